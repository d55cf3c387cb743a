"""`ecs-block logs`: what a task has written, and what it still writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ecs_block.arn import parse_task_identifier, short_name
from ecs_block.cli import exits
from ecs_block.cli.fields import aws_options
from ecs_block.cli.kinds import Duration
from ecs_block.cli.known import entry_named, is_identifier, run_of
from ecs_block.cli.offers import run_names
from ecs_block.cli.output import Console, failure_of, gives_list, raw_option, speaks
from ecs_block.cli.results import masked
from ecs_block.cli.streams import Unwritable
from ecs_block.cli.tasks import owner_of
from ecs_block.errors import InfrastructureNotFound, InvalidTask, JournalError

if TYPE_CHECKING:
    from ecs_block.engine.history import Asked, Output
    from ecs_block.engine.journal import Entry
    from ecs_block.engine.prepare import Run
    from ecs_block.events import Event
    from ecs_block.plan.follow import LogEvent
    from ecs_block.plan.result import ECSTaskResult

    Sink = Callable[[Output, Sequence[LogEvent]], None]

_EXAMPLES = """\
Examples:

\b
  Read what the newest run wrote; follow a run until its task has ended:
    ecs-block logs last
    ecs-block logs -f nightly-2026-11-20
\b
  Look at the end of it, with times; at what came since:
    ecs-block logs last --tail 20 -t
    ecs-block logs last --since 10m
    ecs-block logs last --since 2026-11-20T03:00
\b
  Read a task by its short id or ARN; take the lines as JSON:
    ecs-block logs 0123456789abcdef0123456789abcdef
    ecs-block logs last --query '[?contains(message, `ERROR`)].message'

Exit codes: 0 the lines were shown, whatever became of the task; 2 wrong usage or an unknown run; 125 ecs-block or AWS
failed; 130 Ctrl-C.
"""


class Since(click.ParamType[int]):
    """A moment: how long ago (`10m`, `2d`), or an ISO date or time, local unless it says otherwise; in milliseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the text."""
        try:
            moment = time.time() - Duration().convert(value, param, ctx)
        except click.BadParameter:
            try:
                moment = datetime.fromisoformat(str(value).strip()).timestamp()
            except (ValueError, OverflowError, OSError):
                self.fail(f"{value!r} is no time; write 10m, 1h30m, 2d, 2026-11-20 or 2026-11-20T03:00Z.", param, ctx)
        return max(0, int(moment * 1000))


class Lines(click.ParamType[int]):
    """A number of lines."""

    name = "number of lines"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the text."""
        if not str(value).isdecimal():
            self.fail(f"{value!r} is not a number of lines; write 0, 20 or 1000.", param, ctx)
        return int(value)


@click.command(epilog=_EXAMPLES)
@click.argument("identifier", metavar="ID", shell_complete=run_names)
@click.option("-f", "--follow", is_flag=True, help="Go on until the task has ended.")
@click.option("--since", type=Since(), metavar="TIME", help="From then on: 10m or 2d ago, an ISO date or time.")
@click.option("--tail", type=Lines(), metavar="N", help="Only the last N lines (of each task).")
@click.option("-t", "--timestamps", is_flag=True, help="Begin each line with its time (UTC).")
@raw_option
@aws_options
@gives_list
@speaks
def logs(
    console: Console,
    identifier: str,
    *,
    follow: bool,
    since: int | None,
    tail: int | None,
    timestamps: bool,
    raw: bool,
    **given: Any,
) -> int:
    """Show the output of a task, also long after its end.

    ID is what `run --detach` printed, the task's ARN, or what this machine's journal of runs knows: a run id, a task's
    short id, or `last` for the newest run. Where a run has several tasks, each line begins with the end of its task's id.
    AWS forgets a task an hour after its end; then the journal tells where its output is. Ctrl-C ends the following, not
    the task.
    """
    console.prints_lists, console.raw, console.given = True, raw, given
    if follow and console.as_json:
        raise InvalidTask("A JSON list has an end, so --follow does not go with --output json or --query.")
    from ecs_block.engine.history import Asked

    lines: list[dict[str, str]] = []
    named = _named(identifier, given)
    sink = _collector(lines) if console.as_json else _writer(console, named, stamped=timestamps)
    try:
        code = _show(console, named, Asked(since or 0, tail), sink, follow=follow)
        console.check_written()
    except BrokenPipeError:  # nobody wants the rest
        return 0
    except OSError as error:
        raise Unwritable(error) from None
    if console.as_json:
        console.print_json(lines)
    return code


# --- which tasks --------------------------------------------------------------------------------------------------


class _Named(NamedTuple):
    """The tasks that an ID means."""

    run: Run
    """Who talks to AWS."""
    tasks: tuple[str, ...]
    """Their identifiers."""
    entry: Entry | None
    """What the journal has of them."""


def _named(name: str, given: Mapping[str, Any]) -> _Named:
    """Find the tasks. Raises InvalidTask for an ID that means none, InfrastructureNotFound for a run without a task."""
    if is_identifier(name):
        owner, entry = owner_of(name, given), _entry_of(name)
        run = owner._run(None, None, stops=False) if entry is None else run_of(entry, given, _nothing)
        return _Named(run, (name,), entry)
    entry = entry_named(name, given)
    if not entry.tasks:
        why = entry.refused or f"Its launch was not finished; `ecs-block resume {entry.run_id}` finishes it."
        raise InfrastructureNotFound(f"The run {entry.run_id!r} has no task, so there is no output. {why}")
    tasks = tuple(task for task in entry.tasks if _short_id(task) == name) or entry.tasks
    return _Named(run_of(entry, given, _nothing), tasks, entry)


def _entry_of(identifier: str) -> Entry | None:
    """Give what the journal has of a task, if it can be read."""
    from ecs_block.engine.journal import journal

    try:
        return journal().by_task(identifier)
    except JournalError:
        return None


def _nothing(event: Event) -> None:
    """Say nothing of what happens: only the output is wanted."""


def _short_id(identifier: str) -> str:
    return short_name(parse_task_identifier(identifier).task_arn)


# --- their lines --------------------------------------------------------------------------------------------------


def _show(console: Console, named: _Named, asked: Asked, sink: Sink, *, follow: bool) -> int:
    """Hand on the lines, tell where there are none, and give the exit code."""
    from ecs_block.engine import bridge, history
    from ecs_block.engine.prepare import Control

    async def work() -> int:
        outputs = [await history.output_of(named.run, task, named.entry) for task in named.tasks]
        await history.show(outputs, asked, sink, lambda: console.is_full)
        for output in outputs:
            _tell_if_missing(console, output)
        return _ended(console, await history.follow(outputs, sink)) if follow else 0

    return bridge.block_on(work, Control(only_reads=True))


def _tell_if_missing(console: Console, output: Output) -> None:
    if output.exists:
        return
    task_id = short_name(output.task.identifier.task_arn)
    if output.status != "STOPPED":
        console.step(f"no output yet: task {task_id} is {output.status}")
        return
    reason = output.task.task.get("stoppedReason")
    told = f"no output: task {task_id} has no log stream in {output.group}"
    console.step(masked(f"{told} ({reason})" if reason else told))


def _ended(console: Console, results: Sequence[ECSTaskResult]) -> int:
    """Tell of tasks that never ran; 125 where lines are missing. What became of the others is not asked."""
    for result in results:
        if result.outcome == "start_failed":
            console.step(failure_of(result))
    return exits.FAILED if any(result.log_complete == "no" for result in results) else 0


def _writer(console: Console, named: _Named, *, stamped: bool) -> Sink:
    from ecs_block.engine.teller import write_lines

    stream = console.container_output

    def write(output: Output, lines: Sequence[LogEvent]) -> None:
        prefix = f"[{output.task.identifier.task_arn[-6:]}] " if len(named.tasks) > 1 else ""
        write_lines(stream, lines, prefix=prefix, stamped=stamped)

    return write


def _collector(found: list[dict[str, str]]) -> Sink:
    from ecs_block.engine.teller import stamp_of

    def collect(output: Output, lines: Sequence[LogEvent]) -> None:
        arn = output.task.identifier.task_arn
        found.extend({"timestamp": stamp_of(line), "message": line.message, "task": arn} for line in lines)

    return collect
