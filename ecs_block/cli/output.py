"""The frame of every command: its console, what others log, its exit code, and the options of its output."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from ecs_block.cli import exits
from ecs_block.cli.console import Console
from ecs_block.cli.kinds import Choice
from ecs_block.cli.results import masked
from ecs_block.cli.words import failure_of

__all__ = ["Console", "failure_of", "gives_list", "gives_result", "raw_option", "speaks"]

# --- what others say ----------------------------------------------------------------------------------------------


class _LogLines(logging.Handler):
    """Tells what is logged: ours as it is, warnings of others."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Tell one record."""
        console = self._console
        if _is_told_anyway(record) and not console.debug:
            return
        tell = console.warning if record.levelno == logging.WARNING else console.step
        (console.error if record.levelno > logging.WARNING else tell)(record.getMessage())
        if record.exc_info and console.debug:
            console.step(masked(logging.Formatter().formatException(record.exc_info)))


def _is_told_anyway(record: logging.LogRecord) -> bool:
    """Tell whether the console says it in other words: what the teller logs comes as an event, too."""
    if record.levelno >= logging.WARNING:
        return "Interrupted; task " in record.getMessage()
    return record.module == "teller" or "has ended before" in str(record.msg)


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
    except click.UsageError:
        raise  # the frame of all verbs tells it, with where the help is
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
    choice = Choice(["text", "json"])
    command = click.option(
        "--query", metavar="JMESPATH", callback=_compiled, help="Take a part of the JSON result; implies --output json."
    )(command)
    return click.option("--output", type=choice, default="text", show_default=True, help=told)(command)


def raw_option(command: _Command) -> _Command:
    """Add `--raw`, for a command that shows the container's output."""
    told = "Let control sequences in the container's output reach the terminal."
    return click.option("--raw", is_flag=True, help=told)(command)
