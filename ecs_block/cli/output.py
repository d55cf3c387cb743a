"""How a command speaks: its own lines on stderr, its result on stdout, and its errors in one line.

The container's output is not ours: it goes to stdout as it comes. With `--output json` stdout holds one JSON value and
nothing else, also when the command failed, and the container's output goes to stderr.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, TextIO

import click

from ecs_block.arn import short_name
from ecs_block.cli import exits
from ecs_block.cli.streams import STDERR, STDOUT, Streams, TextStream, print_out
from ecs_block.errors import EcsBlockError, OutcomeUnknown, TaskRunTimeout, TaskStartTimeout

if TYPE_CHECKING:
    from ecs_block.events import Event
    from ecs_block.plan.result import ECSTaskResult
    from ecs_block.plan.verdict import Outcome

Tone = Literal["step", "warning", "error"]

_STYLES: dict[Tone, dict[str, Any]] = {"step": {"dim": True}, "warning": {"fg": "yellow"}, "error": {"fg": "red"}}
_TASK_ARN = r"(arn:[^\s:]+:ecs:[^\s:]*:\d*:task/[\w/-]+)"
_IDENTIFIER = re.compile(rf"(?:[^\s:]\S*?::)?{_TASK_ARN}")
# The library speaks of fields; whoever has typed no field knows the option.
_OPTIONS = {
    "aws_credentials.region_name": "--region",
    "aws_credentials.profile_name": "--profile",
    "task_run_timeout_seconds": "--timeout",
}
_FIELD = re.compile("|".join(map(re.escape, _OPTIONS)))


class Console:
    """The command's voice, and what it has heard of the run so far."""

    def __init__(self, *, debug: bool = False, quiet: bool = False, as_json: bool = False, query: Any = None) -> None:
        self.debug = debug
        self.as_json = as_json
        self.local = False
        """True when the task's cloud ends with this process: then its ARNs are of no use to anybody."""
        self.prints_lists = False
        """True for a command whose JSON is a list, and so not the result of one run."""
        self.run_id: str | None = None
        self.hint: Callable[[], str | None] = lambda: None
        """Gives what to do after a failure, if anything is left to do."""
        self._quiet = quiet
        self._query = query
        self._streams = Streams()
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._coloured = self._terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._launched: str | None = None
        self._ended: ECSTaskResult | None = None
        self._said: set[str] = set()

    @property
    def container_output(self) -> TextIO:
        """Where the container's output goes."""
        return TextStream(self._streams, STDERR if self.as_json else STDOUT)  # type: ignore[return-value]

    # --- our own lines ---------------------------------------------------------------------------------------------

    def step(self, text: str) -> None:
        """Tell something that goes as it should."""
        if not self._quiet:
            self._say(text, "step")

    def warning(self, text: str) -> None:
        """Warn, once of the same thing."""
        if text not in self._said:
            self._said.add(text)
            self._say(text, "warning", "warning: ")

    def error(self, text: str) -> None:
        """Tell why the command failed."""
        self._say(text, "error", "error: ")

    def failure(self, text: str) -> None:
        """Tell what became of a run that did not succeed."""
        self._say(text, "error")

    def _say(self, text: str, tone: Tone, label: str = "") -> None:
        for line in self._named(_FIELD.sub(lambda field: _OPTIONS[field[0]], text)).splitlines():
            self._streams.write(STDERR, self._line(f"ecs-block: {label}{line}", tone) + "\n")

    def _line(self, text: str, tone: Tone) -> str:
        if not self._terminal:
            return f"{datetime.now().astimezone().isoformat(timespec='seconds')} {text}"
        return click.style(text, **_STYLES[tone]) if self._coloured else text

    def _named(self, text: str) -> str:
        """Name a task by its ARN, which `stop` and `wait` take; by its id where nobody else can reach it."""
        return _IDENTIFIER.sub(lambda found: short_name(found[1]) if self.local else found[1], text)

    def close(self, *, interrupted: bool = False) -> None:
        """Wait until all is written."""
        self._streams.close(interrupted=interrupted)

    # --- what happens ----------------------------------------------------------------------------------------------

    def event(self, event: Event) -> None:
        """Tell what happens in a run. At `--debug` the log tells it, with more."""
        from ecs_block import events

        match event:
            case events.TaskLaunched(identifier=identifier):
                self._launched = identifier
            case events.TaskEnded(result=result):
                self._ended = result
        step = _step(event, self.run_id)
        if step and not self.debug:
            self.step(step)

    def finish(self, result: ECSTaskResult) -> int:
        """Tell the result of a run, and give the exit code."""
        if not result:
            self.failure(failure_of(result))
        if self.as_json:
            self._print_result(result)
        return exits.of_result(result)

    def fail(self, error: Exception) -> int:
        """Tell an error, and give the exit code."""
        program = exits.unstartable(error)
        if program is not None:
            self.error(f'cannot start "{program.program}": {program.cause}')
        elif isinstance(error, EcsBlockError):
            self._say(str(error), "error", "" if isinstance(error, exits.Interrupted) else "error: ")
        else:
            self._unexpected(error)
        if (hint := self.hint()) is not None:
            self.step(hint)
        if self.as_json and not self.prints_lists:
            self._print_result(self._result_of(error))
        return exits.of_error(error)

    def _unexpected(self, error: Exception) -> None:
        hint = "" if self.debug else " (--debug shows where)"
        if self.debug:
            self._say(_masked("".join(traceback.format_exception(error))), "error")
        self.error(_masked(f"{type(error).__name__}: {error}").replace("\n", " ") + hint)

    # --- results on stdout -----------------------------------------------------------------------------------------

    def print_text(self, text: str) -> None:
        """Print a result on stdout."""
        self.close()
        print_out(text)

    def print_line(self, text: str) -> None:
        """Print one of several lines on stdout, without ever waiting for its reader."""
        self._streams.write(STDOUT, text + "\n")

    def print_json(self, value: Any) -> None:
        """Print a JSON value on stdout, or what `--query` takes of it."""
        if self._query is not None:
            value = self._query.search(value)
        self.print_text(json.dumps(value, indent=2, ensure_ascii=False))

    def _print_result(self, result: ECSTaskResult) -> None:
        self.print_json(json.loads(result.model_dump_json()))

    def _result_of(self, error: Exception) -> ECSTaskResult:
        """Give the result that goes with an error: its own, the interrupted task's, or one that says what is known."""
        from ecs_block.plan.result import ECSTaskResult

        known = getattr(error, "result", None) or self._ended
        if known is not None:
            return known.model_copy(update={"error": error})
        identifier = getattr(error, "identifier", None) or self._launched
        return ECSTaskResult(
            identifier=identifier, outcome=_outcome(error, identifier), reason=_masked(str(error)), error=error
        )


def _outcome(error: Exception, identifier: str | None) -> Outcome:
    if isinstance(error, TaskStartTimeout | TaskRunTimeout):
        return "stopped"
    return "unknown" if identifier or isinstance(error, OutcomeUnknown) else "start_failed"


def _step(event: Event, run_id: str | None) -> str | None:
    from ecs_block import events

    match event:
        case events.DefinitionReady(task_definition_arn=arn, registered=registered):
            return f"task definition {short_name(arn)} {'registered' if registered else 'reused'}"
        case events.LaunchDelayed(reason=reason, delay=delay):
            return f"no task yet: {reason.rstrip('.')}; asking again in {delay:.0f} s"
        case events.TaskLaunched(identifier=identifier, attempt=attempt, taken_up=taken_up):
            named = [f"run {run_id}"] if run_id else []
            told = named + ([f"attempt {attempt}"] if attempt > 1 else [])
            done = "is taken up: the run was begun before" if taken_up else "launched"
            return f"task {short_name(identifier)} {done}" + (f" ({', '.join(told)})" if told else "")
        case events.StatusChanged(identifier=identifier, status=status, previous=previous) if previous:
            return f"task {short_name(identifier)} is {status}"
        case events.StopRequested(identifier=identifier, reason=reason):
            return f"stopping task {short_name(identifier)}: {reason}"
    return None


def failure_of(result: ECSTaskResult) -> str:
    """Say what became of a run that did not succeed."""
    told = f"{result.headline()} {result.reason} {result.advice or ''}".strip()
    if not result.tasks:
        return told
    bad = sum(1 for task in result.tasks if not task)
    return f"{bad} of {len(result.tasks)} tasks did not succeed. {told}"


def _masked(text: str) -> str:
    """Mask what the library knows to be secret; an error of somebody else's making may quote anything."""
    from ecs_block.aws import redactor

    return redactor().text(text)


# --- what others say ----------------------------------------------------------------------------------------------


class _LogLines(logging.Handler):
    """Tells what is logged: ours as it is, warnings of others."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Tell one record."""
        console = self._console
        # What the teller logs comes as an event, too; the log has it in other words.
        if record.module == "teller" and record.levelno < logging.WARNING and not console.debug:
            return
        tell = console.warning if record.levelno == logging.WARNING else console.step
        (console.error if record.levelno > logging.WARNING else tell)(record.getMessage())
        if record.exc_info and console.debug:
            console.step(_masked(logging.Formatter().formatException(record.exc_info)))


def _listen(console: Console) -> None:
    """Let the log and Python's warnings speak through the console."""
    handler = _LogLines(console)
    logging.getLogger().addHandler(handler)
    logging.getLogger("ecs_block").setLevel(logging.DEBUG if console.debug else logging.INFO)

    def warn(message: Warning | str, *where: Any, **more: Any) -> None:
        console.warning(str(message))

    warnings.showwarning = warn


# --- the options, and the frame of every command ------------------------------------------------------------------

_Command = Callable[..., Any]


def speaks(command: Callable[..., int]) -> _Command:
    """Give a command its console, `--debug` and `--quiet`; make exit codes of what it raises."""

    @click.option("--debug", is_flag=True, help="Show what is sent to AWS, and where an unexpected error comes from.")
    @click.option("-q", "--quiet", is_flag=True, help="Show warnings and errors only.")
    @wraps(command)
    def framed(*, debug: bool, quiet: bool, output: str = "text", query: Any = None, **options: Any) -> int:
        console = Console(debug=debug, quiet=quiet, as_json=output == "json" or query is not None, query=query)
        _listen(console)
        return _guarded(console, lambda: command(console, **options))

    return framed


def _guarded(console: Console, work: Callable[[], int]) -> int:
    interrupted = False
    try:
        return work()
    except (KeyboardInterrupt, SystemExit) as error:
        interrupted = True
        code = error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else exits.INTERRUPTED
        return console.fail(exits.Interrupted(code))
    except Exception as error:
        return console.fail(error)
    finally:
        console.close(interrupted=interrupted)


def _compiled(ctx: click.Context, option: click.Parameter, text: str | None) -> Any:
    if text is None:
        return None
    import jmespath  # type: ignore[import-untyped]
    import jmespath.exceptions  # type: ignore[import-untyped]

    try:
        return jmespath.compile(text)
    except jmespath.exceptions.JMESPathError as error:
        said = str(error).splitlines()[0].rstrip(":")
        raise click.BadParameter(f"{text!r} is not a JMESPath expression ({said}).") from None


def gives_result(command: _Command) -> _Command:
    """Add `--output` and `--query`."""
    return _gives(command, "json: print the result as one JSON object.")


def gives_list(command: _Command) -> _Command:
    """Add `--output` and `--query` to a command that gives a list."""
    return _gives(command, "json: print a JSON list.")


def _gives(command: _Command, told: str) -> _Command:
    choice = click.Choice(["text", "json"])
    command = click.option(
        "--query", metavar="JMESPATH", callback=_compiled, help="Take a part of the JSON result; implies --output json."
    )(command)
    return click.option("--output", type=choice, default="text", show_default=True, help=told)(command)
