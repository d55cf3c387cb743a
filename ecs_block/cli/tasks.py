"""`ecs-block wait` and `ecs-block stop`: a task that was started elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ecs_block.arn import parse_task_identifier, short_name
from ecs_block.cli.fields import aws_options, credentials_of
from ecs_block.cli.output import Console, gives_result, speaks

if TYPE_CHECKING:
    from ecs_block.task import ECSTask

_WAIT_EXAMPLES = """\
Examples:

\b
  Start a task now, wait for it later:
    id=$(ecs-block run -d -- ./build.sh)
    ecs-block wait "$id" && echo built
\b
  Take a part of the result:
    ecs-block wait "$id" --query 'containers[].[name, exit_code]'
"""
_STOP_EXAMPLES = """\
Examples:

\b
  Stop what was started with --detach:
    id=$(ecs-block run -d -- sleep 3600)
    ecs-block stop "$id"
\b
  Stop a task by its ARN:
    ecs-block stop arn:aws:ecs:eu-central-1:123456789012:task/default/0123456789abcdef0123456789abcdef
"""


@click.command(epilog=_WAIT_EXAMPLES)
@click.argument("identifier", metavar="ID")
@aws_options
@gives_result
@speaks
def wait(console: Console, identifier: str, **given: Any) -> int:
    """Wait for a task's end and exit with its code.

    ID is what `run --detach` printed, or the task's ARN. Ctrl-C ends the waiting, not the task.
    """
    return console.finish(_owner(identifier, given).attach(identifier, on_event=console.event))


@click.command(epilog=_STOP_EXAMPLES)
@click.argument("identifier", metavar="ID")
@aws_options
@speaks
def stop(console: Console, identifier: str, **given: Any) -> int:
    """Stop a task. One that has stopped already is fine.

    ID is what `run --detach` printed, or the task's ARN.
    """
    _owner(identifier, given).kill(identifier)
    console.step(f"task {short_name(identifier)} was told to stop")
    return 0


def _owner(identifier: str, given: Mapping[str, Any]) -> ECSTask:
    """Give a task object that talks to the region of a task. Raises InvalidTask for what is no identifier."""
    from ecs_block.task import ECSTask

    arn = parse_task_identifier(identifier).task_arn
    credentials = credentials_of(given)
    if arn.startswith("arn:"):
        credentials.setdefault("region_name", arn.split(":")[3])
    return ECSTask(aws_credentials=credentials)
