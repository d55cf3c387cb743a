"""The console of a command: it speaks, and has heard of the run so far; so it can tell how that ended, and what to do next."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ecs_block.arn import short_name
from ecs_block.cli import exits
from ecs_block.cli.results import masked, result_of
from ecs_block.cli.speech import Speech
from ecs_block.cli.streams import Unwritable
from ecs_block.cli.terminal import is_pipe, is_terminal
from ecs_block.cli.words import Hint, failure_of, name_of, step_of, success_of, task_id, to_get_at, verdict_of
from ecs_block.errors import EcsBlockError

if TYPE_CHECKING:
    from ecs_block.cli.paint import Painter
    from ecs_block.cli.progress import Progress, Step
    from ecs_block.events import Event
    from ecs_block.plan.result import ECSTaskResult

_TASK_ARN = r"(arn:[^\s:]+:ecs:[^\s:]*:\d*:task/[\w/-]+)"
_IDENTIFIER = re.compile(rf"(?:[^\s:]\S*?::)?{_TASK_ARN}")
_TAIL = 10  # lines of a failed task's output


class Console(Speech):
    """The command's voice, and what it has heard of the run so far."""

    def __init__(self, *, debug: bool = False, quiet: bool = False, as_json: bool = False, query: Any = None) -> None:
        super().__init__(debug=debug, quiet=quiet, as_json=as_json, query=query)
        self.prints_lists = False
        """True for a command whose JSON is a list, and so not the result of one run."""
        self.run_id: str | None = None
        self.identifier: str | None = None
        """The task that the run has launched, or that is waited for."""
        self.given: Mapping[str, Any] = {}
        """The options of the command: what is recommended next may need some of them."""
        self.has_lines = False
        """True when the container's output can be read again."""
        self.hint: Callable[[], str | None] = lambda: None
        """Gives what to do after a failure, if anything is left to do."""
        self.anew = ""
        """Says how to launch a run once more that has ended before."""
        self.left: Sequence[str] = ()
        """The tasks that were left to themselves by a second Ctrl-C."""
        self._voice.named = self._named
        self._progress: Progress | None = None
        self._taken_up = False
        self._streamed = False
        self._interrupted = False
        self._ended: ECSTaskResult | None = None

    def _named(self, text: str) -> str:
        """Name a task by its ARN, which `stop` and `wait` take; by its id where that will do."""
        short = self.local or (self._voice.in_columns and self.run_id is not None)
        return _IDENTIFIER.sub(lambda found: short_name(found[1]) if short else found[1], text)

    # --- what happens ----------------------------------------------------------------------------------------------

    def show(self, make: Callable[[Painter], Progress]) -> Progress | None:
        """Show on the terminal how a run proceeds, if stderr is one that can; else plain lines tell it."""
        if self._quiet or self.debug or (self.raw and is_terminal(self._output)):
            return None
        painter = self._voice.dress()
        if painter is not None:
            self._progress = make(painter)
            self._streams.show(self._progress.lines)
        return self._progress

    def show_run(self) -> None:
        """Show how one run proceeds."""

        def one(painter: Painter) -> Progress:
            from ecs_block.cli.progress import OneTask

            return OneTask(painter, self.run_id)

        self.show(one)

    def event(self, event: Event) -> None:
        """Tell what happens in a run. At `--debug` the log tells it, with more."""
        self.notice(event)
        if self._progress is not None:
            self.steps(self._progress.event(event))
        elif not self.debug and (step := step_of(event, self.run_id)):
            self.step(step)

    def notice(self, event: Event) -> None:
        """Take note of what happens, without a word."""
        from ecs_block import events

        match event:
            case events.LogLine():
                self._streamed = True
            case events.TaskLaunched(identifier=identifier):
                self.identifier, self._taken_up, self._ended = identifier, True, None
            case events.TaskEnded(result=result):
                self._ended = result

    def steps(self, steps: Iterable[Step]) -> None:
        """Tell steps that are done, each in a line of the terminal."""
        for step in steps:
            self._voice.brief(step.tone, step.label, step.text)

    def interrupted(self) -> None:
        """Tell at once that Ctrl-C was heard. Called in the signal's handler."""
        if self._interrupted:
            return
        self._interrupted = True
        if self._progress is not None:
            self._progress.stopping()
        what = "stopping" if self.identifier is None else f"stopping the task{'s' if self.prints_lists else ''}"
        self.step(f"{what}; Ctrl-C again does not wait for it", "Ctrl-C")

    # --- how it ended ----------------------------------------------------------------------------------------------

    def finish(self, result: ECSTaskResult) -> int:
        """Tell the result of a run, and give the exit code."""
        self._tell_what_was_lost()
        self._tell_if_recorded(result)
        word, more = verdict_of(result)
        if not result:
            self.failure(more if self._voice.in_columns else failure_of(result), word)
        elif not self._quiet:
            self._voice.say("success", word, more if self._voice.in_columns else self._success(result))
        self._after(result)
        if self.as_json:
            self._print_result(result)
        return exits.of_result(result)

    def finish_many(self, tone: Literal["step", "success", "failure"], text: str) -> None:
        """Tell the results of many runs in a line; as a step, where a signal has ended them."""
        if tone == "step":
            self._streams.hide()
        else:
            self._tell_what_was_lost()
        label = {"step": "until then", "success": "succeeded", "failure": "failed"}[tone]
        if tone == "failure" or not self._quiet:
            text = text.replace(" succeeded", "") if tone == "success" and self._voice.in_columns else text
            self._voice.say("note" if tone == "step" else tone, label, text)

    def _tell_what_was_lost(self) -> None:
        """Warn where stdout has not taken all of the container's output. What the program did is not changed by it."""
        try:
            self.check_written()
        except Unwritable as error:
            self.warning(str(error))

    def _success(self, result: ECSTaskResult) -> str:
        one = f"task {task_id(result.identifier or '')} "
        return ("" if result.tasks else one) + success_of(result)

    def _tell_if_recorded(self, result: ECSTaskResult) -> None:
        """Say so where nothing was launched nor taken up: the run has ended before."""
        if self.run_id is None or self._taken_up or result.identifier is None:
            return
        at = f" ({result.stopped_at.astimezone():%Y-%m-%d %H:%M})" if result.stopped_at else ""
        self.step(f"the run {self.run_id} has ended before{at}; this is its recorded result{self.anew}", "recorded")

    def _after(self, result: ECSTaskResult) -> None:
        """Show the last lines of a failed task, unless they were seen, and where the output can be read."""
        recorded = self.run_id is not None and not self._taken_up and result.identifier is not None
        if not result and result.log_tail and not self._quiet and not self._tail_was_seen():
            self._show_tail(result.log_tail[-_TAIL:])
        if (recorded or not result) and (self.has_lines or result.log_tail):
            name = name_of(self.run_id, result.identifier, self.given)
            self.hints([Hint("its output", name.command("logs"))] if name else [])

    def _show_tail(self, lines: Sequence[str]) -> None:
        columns = self._voice.in_columns
        if not columns:
            self.step("its last lines of output:")
        for number, line in enumerate(lines):
            self._voice.brief("note", "" if number else "last lines", line if columns else f"    {line}")

    def _tail_was_seen(self) -> bool:
        """Tell whether the output was shown where our lines are read, or may have been: a pipe can lead there, too."""
        elsewhere = self._voice.terminal.interactive and not (is_terminal(self._output) or is_pipe(self._output))
        return self._streamed and not elsewhere

    def fail(self, error: Exception) -> int:
        """Tell an error, and give the exit code."""
        self._streams.hide()
        result = getattr(error, "result", None)
        if result is not None:
            self._tell_if_recorded(result)
        if isinstance(error, exits.Interrupted):
            self._tell_interrupt(error)
        else:
            self._tell_error(error, result)
            if result is not None and exits.unstartable(error) is None:
                self._after(result)
            if (hint := self.hint()) is not None:
                self.step(hint)
        if self.as_json and not self.prints_lists and not isinstance(error, Unwritable):
            self._print_result(self._result_of(error))
        return exits.of_error(error)

    def _tell_interrupt(self, error: exits.Interrupted) -> None:
        """Say what becomes of the task, and how to get at it if it goes on."""
        goes_on = self.identifier is not None and self._ended is None
        told = "" if self.prints_lists else self._fate(goes_on=goes_on)
        text = str(error).removeprefix("Interrupted ") if self._voice.in_columns else str(error)
        self.failure(f"{text} {told}".strip(), "interrupted")
        name = name_of(self.run_id, self.identifier, self.given)
        if goes_on and name is not None and not self.prints_lists:
            self.hints(to_get_at(name, has_lines=self.has_lines))
        elif (hint := self.hint()) is not None:
            self.step(hint)

    def _fate(self, *, goes_on: bool) -> str:
        if self._ended is not None:  # before, where all that was left was to write out its lines
            return "The task was stopped." if self._ended.outcome == "stopped" else "The task had ended before."
        if not goes_on:
            return ""
        if self.local:
            return "The task was killed."
        return "The task may not have stopped yet." if self.left else "The task goes on."

    def _tell_error(self, error: Exception, result: ECSTaskResult | None) -> None:
        program = exits.unstartable(error)
        if program is not None:
            label = "not started" if self._voice.in_columns else "error"
            self._voice.say("error", label, f'cannot start "{program.program}": {program.cause}')
        elif not isinstance(error, EcsBlockError):
            self._unexpected(error)
        else:
            label = verdict_of(result).word if self._voice.in_columns and result is not None else "error"
            self._voice.say("error", label, str(error))

    def _unexpected(self, error: Exception) -> None:
        hint = "" if self.debug else " (--debug shows where)"
        if self.debug:
            self.failure(masked("".join(traceback.format_exception(error))))
        self.error(masked(f"{type(error).__name__}: {error}").replace("\n", " ") + hint)

    def _print_result(self, result: ECSTaskResult) -> None:
        self.print_json(json.loads(result.model_dump_json()))

    def _result_of(self, error: Exception) -> ECSTaskResult:
        return result_of(error, self._ended, self.identifier)
