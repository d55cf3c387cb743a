"""`ecs-block run --map`: one task for each line of a file."""

from __future__ import annotations

import json
import shlex
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import click

from ecs_block.cli import VERBS, exits
from ecs_block.cli.console import Console
from ecs_block.cli.items import Item, task_of_item
from ecs_block.cli.streams import TextStream
from ecs_block.cli.words import Hint, brief_of, name_of, step_of, task_id, took

if TYPE_CHECKING:
    from ecs_block.cli.paint import Painter
    from ecs_block.cli.progress_many import ManyTasks
    from ecs_block.engine.prepare import Run
    from ecs_block.events import Event
    from ecs_block.plan.result import ECSTaskResult
    from ecs_block.task import ECSTask

_MOST_TOLD = 10  # tasks that did not succeed
_LONGEST_COMMAND = 60  # characters of a command in the summary
_COLOURS = ("cyan", "magenta", "blue", "green", "yellow")


def run_many(console: Console, task: ECSTask, items: Sequence[Item], run_id: str | None, limit: int | None) -> int:
    """Run one task for each item, tell how they ended, and give the exit code: that of the worst."""
    from ecs_block.engine import bridge, many
    from ecs_block.task import MOST_AT_ONCE

    refuse_silence(task)
    work = _Many(console, items, run_id)
    runs = work.runs(task)
    try:
        bridge.block_on(lambda: many.each(runs, limit or MOST_AT_ONCE, work.ended), runs[0].control)
    except (KeyboardInterrupt, SystemExit):
        work.tell_summary(interrupted=True)
        raise
    work.tell_summary()
    return work.code()


def refuse_silence(task: ECSTask) -> None:
    """Raise InvalidTask where output is wanted and a linked definition has no role for it: each task would raise it."""
    from ecs_block.cli.fields import has_execution_role

    if not task.stream_output or task.task_definition_arn is None or has_execution_role(task):
        return
    from ecs_block.engine import bridge
    from ecs_block.engine.prepare import Control
    from ecs_block.engine.registry import describe_linked
    from ecs_block.plan import sketch as plans
    from ecs_block.plan.image import official_python_image
    from ecs_block.plan.secret import plain

    conversation, arn = task._conversation(), task.task_definition_arn
    linked = bridge.block_on(lambda: describe_linked(conversation, arn), Control(only_reads=True))
    plans.sketch(task, linked, plans.Facts(conversation.aws.region, official_python_image(), plain, {}))


class _Many:
    """The runs of one command, and what became of each."""

    def __init__(self, console: Console, items: Sequence[Item], run_id: str | None) -> None:
        self._console = console
        self._items = items
        self._run_id = run_id
        self._began = time.monotonic()
        self._results: dict[int, ECSTaskResult] = {}
        self._identifiers: dict[int, str] = {}
        self._told: set[object] = set()
        self._commands: list[list[str]] = []
        self._progress = cast("ManyTasks | None", console.show(self._painted))

    def _painted(self, painter: Painter) -> ManyTasks:
        from ecs_block.cli.progress_many import ManyTasks

        return ManyTasks(painter, len(self._items))

    def runs(self, task: ECSTask) -> list[Run]:
        """Make a run of each item, in one conversation. Each is a block of its own: none shares another's launch."""
        conversation = task._conversation()
        runs: list[Run] = []
        for index, item in enumerate(self._items):
            one = task_of_item(task, item)
            self._commands.append(one.command)
            run_id = None if self._run_id is None else f"{self._run_id}/{index}"
            shared = conversation if one.aws_credentials == task.aws_credentials else None
            run = one._run(run_id, self._hook(index), self._output(index), conversation=shared)
            run.control = runs[0].control if runs else run.control
            runs.append(run)
        return runs

    def _hook(self, index: int) -> Callable[[Event], None]:
        return lambda event: self.event(index, event)

    def _output(self, index: int) -> Any:
        prefix = f"{f'[{index}]':<{len(str(len(self._items) - 1)) + 2}} "
        if self._console.output_is_coloured:
            prefix = click.style(prefix, fg=_COLOURS[index % len(_COLOURS)])
        return Prefixed(cast(TextStream, self._console.container_output), prefix)

    # --- what happens ----------------------------------------------------------------------------------------------

    def event(self, index: int, event: Event) -> None:
        """Take note of what happens to one of the tasks."""
        from ecs_block import events

        console = self._console
        console.notice(event)
        match event:
            case events.TaskLaunched(identifier=identifier):
                self._identifiers[index] = identifier
            case events.TaskEnded(result=result):
                self._results[index] = result
        if self._progress is not None:
            console.steps(self._progress.event(event))
        elif not console.debug and not isinstance(event, events.TaskLaunched | events.StatusChanged):
            self._tell(index, event)

    def _tell(self, index: int, event: Event) -> None:
        from ecs_block import events

        text = step_of(event, None)
        if isinstance(event, events.NetworkReady | events.DefinitionReady):  # they share it
            shared = getattr(event, "task_definition_arn", event)
            if shared not in self._told:
                self._told.add(shared)
                self._console.step(str(text))
        elif text:
            self._console.step(f"[{index}] {text}")

    def ended(self, index: int, result: ECSTaskResult) -> None:
        """Take note of how one of them ended."""
        self._results[index] = result
        if self._progress is not None:
            self._console.steps(self._progress.ended(index, result))
        elif not self._console.debug:
            recorded = ", as recorded" if result.identifier and index not in self._identifiers else ""
            task = f" task {task_id(result.identifier)}" if result.identifier else ""
            self._console.step(f"[{index}]{task} {brief_of(result)}{recorded}")

    # --- how it ended ----------------------------------------------------------------------------------------------

    def tell_summary(self, *, interrupted: bool = False) -> None:
        """Tell in short how all of them ended; with `--output json`, give all results."""
        results = [
            self._results[index] if index in self._results else self._unended(index)
            for index in range(len(self._items))
        ]
        bad = [index for index, result in enumerate(results) if not result]
        told = _summary(results, len(bad), time.monotonic() - self._began)
        self._console.finish_many("step" if interrupted else "failure" if bad else "success", told)
        if bad and not interrupted:
            self._tell_bad(results, bad)
        if self._console.as_json:
            self._console.print_json([json.loads(result.model_dump_json()) for result in results])

    def _unended(self, index: int) -> ECSTaskResult:
        from ecs_block.plan.result import ECSTaskResult

        if index in self._identifiers:
            told = "The command ended before this task did."
            return ECSTaskResult(identifier=self._identifiers[index], outcome="unknown", reason=told)
        return ECSTaskResult(
            outcome="start_failed", reason="The command was interrupted before this task was launched."
        )

    def _tell_bad(self, results: Sequence[ECSTaskResult], bad: Sequence[int]) -> None:
        console = self._console
        for index in bad[:_MOST_TOLD]:
            console.told_one(f"[{index}]", f"{brief_of(results[index])}  {self._command(index)}")
        if len(bad) > _MOST_TOLD:
            console.told_one("", f"and {len(bad) - _MOST_TOLD} more")
        console.hints(self._hints(results, bad))

    def _command(self, index: int) -> str:
        """Show the command of an item, its secrets masked."""
        from ecs_block.aws import redactor

        text = shlex.join(redactor().payload(self._commands[index]))
        return text if len(text) <= _LONGEST_COMMAND else f"{text[: _LONGEST_COMMAND - 1]}…"

    def _hints(self, results: Sequence[ECSTaskResult], bad: Sequence[int]) -> list[Hint]:
        if self._run_id is None:
            return []
        found = []
        ran = [index for index in bad if results[index].identifier]
        if ran and self._console.has_lines:
            name = name_of(f"{self._run_id}/{ran[0]}", None, {})
            found.append(Hint("its output" if len(ran) == 1 else "output", name.command("logs") if name else ""))
        if "report" in VERBS:
            found.append(Hint("report", shlex.join(["ecs-block", "report", self._run_id, "-o", "report.html"])))
        return found

    def code(self) -> int:
        """Give the exit code: 0 when all have succeeded, else that of the worst."""
        from ecs_block.plan.verdict import worst

        results = [self._results[index] for index in range(len(self._items))]
        one = results[worst([result.outcome for result in results])]
        return exits.of_error(one.error) if one.error is not None else exits.of_result(one)


_WORDS = {"start_failed": "not started", "stopped": "stopped", "interrupted": "interrupted", "unknown": "unknown"}


def _summary(results: Sequence[ECSTaskResult], bad: int, seconds: float) -> str:
    """Say how many ended how."""
    total = len(results)
    noun = "task" if total == 1 else "tasks"
    if not bad:
        return f"{total} {noun} succeeded in {took(seconds)}"
    count = Counter(_WORDS.get(result.outcome, "failed") for result in results if not result)
    others = ", ".join(f"{number} {word}" for word, number in count.most_common())
    return f"{total - bad} of {total} {noun} succeeded in {took(seconds)}; {others}"


class Prefixed(TextStream):
    """A stream in which each line begins with what tells its task."""

    def __init__(self, stream: TextStream, prefix: str) -> None:
        self._stream = stream
        self._prefix = prefix

    def isatty(self) -> bool:
        """Tell it of the stream."""
        return self._stream.isatty()

    def write(self, text: str) -> int:
        """Write whole lines."""
        lines = text.removesuffix("\n").split("\n")
        return self._stream.write("".join(f"{self._prefix}{line}\n" for line in lines))
