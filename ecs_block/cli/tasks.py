"""`ecs-block wait` and `ecs-block stop`: a task that was started elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import click

from ecs_block.arn import parse_task_identifier, short_name
from ecs_block.cli.fields import aws_options, credentials_of
from ecs_block.cli.known import credentials_for, entry_named, is_identifier, run_of
from ecs_block.cli.offers import run_names
from ecs_block.cli.output import Console, gives_result, speaks
from ecs_block.errors import InfrastructureNotFound

if TYPE_CHECKING:
    from ecs_block.engine.journal import Entry
    from ecs_block.engine.resume import Found
    from ecs_block.plan.result import ECSTaskResult
    from ecs_block.task import ECSTask

_WAIT_EXAMPLES = """\
Examples:

\b
  Start a task now, wait for it later:
    id=$(ecs-block run -d -- ./build.sh)
    ecs-block wait "$id" && echo built
\b
  Wait for a run by its run id; for the newest one, of which a part is shown:
    ecs-block wait nightly-2026-11-20
    ecs-block wait last --query 'containers[].[name, exit_code]'
"""
_STOP_EXAMPLES = """\
Examples:

\b
  Stop what was started with --detach:
    id=$(ecs-block run -d -- sleep 3600)
    ecs-block stop "$id"
\b
  Stop a run by its run id, a task by its short id, or the newest run:
    ecs-block stop nightly-2026-11-20
    ecs-block stop 0123456789abcdef0123456789abcdef
    ecs-block stop last
"""


@click.command(epilog=_WAIT_EXAMPLES)
@click.argument("identifier", metavar="ID", shell_complete=run_names)
@aws_options
@gives_result
@speaks
def wait(console: Console, identifier: str, **given: Any) -> int:
    """Wait for a task's end and exit with its code.

    ID is what `run --detach` printed, the task's ARN, or what this machine's journal of runs knows: a run id, a task's
    short id, or `last` for the newest run. A run that has ended gives its recorded result. Ctrl-C ends the waiting, not
    the task.
    """
    console.given = given
    if is_identifier(identifier):
        owner = owner_of(identifier, given)
        console.identifier = identifier
        console.show_run()
        return console.finish(owner.attach(identifier, on_event=console.event))
    return console.finish(_outcome_of(console, entry_named(identifier, given), given))


def _outcome_of(console: Console, entry: Entry, given: Mapping[str, Any]) -> ECSTaskResult:
    """Wait for a run's end, and record it. Raises what its result's `error` says."""
    from ecs_block.engine import bridge
    from ecs_block.engine.prepare import Control
    from ecs_block.engine.resume import recorded, resumed

    if entry.launch_is_open:
        known = f"Only {len(entry.tasks)} of {entry.count} tasks" if entry.tasks else "No task"
        are = "are" if len(entry.tasks) > 1 else "is"
        raise InfrastructureNotFound(
            f"{known} of the run {entry.run_id!r} {are} known: its launch was not finished. "
            f"`ecs-block resume {entry.run_id}` finishes it, or tells what became of it."
        )
    console.run_id = entry.run_id
    console.show_run()

    async def to_its_end() -> Found:
        return await resumed(run_of(entry, given, console.event), entry)

    found = recorded(entry) or bridge.block_on(to_its_end, Control(only_reads=True))
    error = found.error if found.result is None else found.result.error
    if error is not None:
        raise error
    return cast("ECSTaskResult", found.result)


@click.command(epilog=_STOP_EXAMPLES)
@click.argument("identifier", metavar="ID", shell_complete=run_names)
@aws_options
@speaks
def stop(console: Console, identifier: str, **given: Any) -> int:
    """Stop a task. One that has stopped already is fine.

    ID is what `run --detach` printed, the task's ARN, or what this machine's journal of runs knows: a run id, a task's
    short id, or `last` for the newest run. Nothing more is started for a run that was told to stop.
    """
    if is_identifier(identifier):
        _stop(console, identifier, owner_of(identifier, given))
        return 0
    from ecs_block.engine.journal import journal

    entry = entry_named(identifier, given)
    if entry.state in ("ended", "refused"):
        console.step(f"the run {entry.run_id} has ended already")
        return 0
    if entry.state == "intended":
        journal().stop_requested(entry.number, "stopped by the user")
        raise InfrastructureNotFound(
            f"No task of the run {entry.run_id!r} is known: its launch was not finished. The stop is noted; `ecs-block resume "
            f"{entry.run_id}` stops a task that was started all the same."
        )
    owner = _task(credentials_for(entry, given))
    for task in entry.tasks:
        _stop(console, task, owner)
    return 0


def _stop(console: Console, identifier: str, owner: ECSTask) -> None:
    owner.kill(identifier)
    console.step(f"task {short_name(identifier)} was told to stop")


def owner_of(identifier: str, given: Mapping[str, Any]) -> ECSTask:
    """Give a task object that talks to the region of a task. Raises InvalidTask for what is no identifier."""
    arn = parse_task_identifier(identifier).task_arn
    credentials = credentials_of(given)
    if arn.startswith("arn:"):
        credentials.setdefault("region_name", arn.split(":")[3])
    return _task(credentials)


def _task(credentials: Mapping[str, Any]) -> ECSTask:
    from ecs_block.aws import AwsCredentials
    from ecs_block.task import ECSTask

    return ECSTask(aws_credentials=AwsCredentials(**credentials))
