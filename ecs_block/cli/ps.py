"""`ecs-block ps`: which tasks of ours run."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from ecs_block.arn import short_name
from ecs_block.cli.fields import aws_options, credentials_of
from ecs_block.cli.output import Console, gives_list, speaks

if TYPE_CHECKING:
    from ecs_block.engine.ours import OurTask

_HEAD = ("ID", "RUN ID", "STATUS", "AGE", "DEFINITION", "COMMAND")
_EXAMPLES = """\
Examples:

\b
  What runs, and what ran in the last hour:
    ecs-block ps
    ecs-block ps --all --cluster reports
\b
  Stop what this machine's journal does not know, after a look at it:
    ecs-block ps --orphans
    ecs-block ps --orphans --query '[].identifier' \\
        | jq -r '.[]' | xargs -n 1 ecs-block stop
"""


@click.command(epilog=_EXAMPLES)
@click.option("-a", "--all", "everything", is_flag=True, help="Show also what has stopped within the last hour.")
@click.option(
    "--orphans", is_flag=True,
    help="Show only what this machine's journal does not know: also what another machine started, whose journal is not seen.",
)  # fmt: skip
@click.option("--cluster", metavar="NAME", help="Cluster, by name or ARN. Default: the one named default.")
@aws_options
@gives_list
@speaks
def ps(console: Console, *, everything: bool, orphans: bool, cluster: str | None, **given: Any) -> int:
    """List the tasks of a cluster that ecs-block started, from whichever machine, oldest first.

    They are told by what they were started with, or by this machine's journal of runs. Secrets in commands are masked. A
    run of the library without run_id is in no journal.
    """
    console.prints_lists = True
    tasks = _tasks(cluster, given, stopped=everything)
    if orphans:
        tasks = [task for task in tasks if not task.in_journal]
    if not tasks:
        console.step("no tasks")
    if console.as_json:
        console.print_json([_as_json(task) for task in tasks])
    elif tasks:
        console.print_text("\n".join(_table(tasks, datetime.now(UTC))))
    return 0


def _tasks(cluster: str | None, given: Any, *, stopped: bool) -> list[OurTask]:
    from ecs_block.engine import bridge
    from ecs_block.engine.journal import journal
    from ecs_block.engine.ours import our_tasks
    from ecs_block.engine.prepare import Control
    from ecs_block.engine.record import RunJournal
    from ecs_block.task import ECSTask

    conversation = ECSTask(aws_credentials=credentials_of(given))._conversation()
    return bridge.block_on(
        lambda: our_tasks(conversation, RunJournal(journal()), cluster, stopped=stopped), Control(only_reads=True)
    )


def _as_json(task: OurTask) -> dict[str, Any]:
    return {
        "identifier": task.identifier,
        "run_id": task.run_id,
        "attempt": task.attempt,
        "status": task.status,
        "created_at": _time(task.created_at),
        "started_at": _time(task.started_at),
        "stopped_at": _time(task.stopped_at),
        "task_definition_arn": task.task_definition_arn,
        "command": None if task.command is None else list(task.command),
        "in_journal": task.in_journal,
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()


# --- the table ----------------------------------------------------------------------------------------------------


def _table(tasks: Sequence[OurTask], now: datetime) -> Iterator[str]:
    rows = [_HEAD, *(_row(task, now) for task in tasks)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD) - 1)]
    width = shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None
    for row in rows:
        cells = [cell.ljust(room) for cell, room in zip(row, widths, strict=False)]
        yield _cut("  ".join([*cells, row[-1]]), width)


def _row(task: OurTask, now: datetime) -> tuple[str, ...]:
    return (
        short_name(task.identifier.rpartition("::")[2]),
        _printable(task.run_id or "-"),
        task.status,
        "-" if task.created_at is None else _age((now - task.created_at).total_seconds()),
        short_name(task.task_definition_arn),
        "-" if task.command is None else _printable(shlex.join(task.command)),
    )


def _cut(line: str, width: int | None) -> str:
    return line if width is None or len(line) <= width else f"{line[: max(width - 1, 0)]}…"


def _printable(text: str) -> str:
    """Spell out what would break the line, or drive the terminal: a task may be anybody's."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _age(seconds: float) -> str:
    """Give an age in its two largest units: `45s`, `12m`, `3h5m`, `2d4h`."""
    whole = max(int(seconds), 0)
    if whole < 3600:
        return f"{whole // 60}m" if whole >= 60 else f"{whole}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60}m"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"
