"""`ecs-block preview`: what a run would send to AWS."""

from __future__ import annotations

from typing import Any

import click

from ecs_block.cli.fields import describes_a_task, task_of, task_options
from ecs_block.cli.output import Console, speaks
from ecs_block.cli.run import with_output
from ecs_block.errors import InvalidTask

_EXAMPLES = """\
Examples:

\b
  See what a run would send; nothing is sent:
    ecs-block preview --image python:3.12-slim --cpu 512 --memory 1gb -- python -V
\b
  See what a patch does to a saved block's request:
    ecs-block preview --block nightly --patch '[{"op": "add", "path": "/group", "value": "batch"}]'
"""


@click.command(context_settings={"allow_interspersed_args": False}, epilog=_EXAMPLES)
@task_options
@speaks
def preview(console: Console, **given: Any) -> int:
    """Show as YAML the task definition and the run request that `run` would send, with secrets masked.

    No AWS call is made; what only AWS knows is a placeholder. A run adds its run id, as `startedBy` and as the variable
    ECS_BLOCK_RUN_ID.
    """
    if not describes_a_task(given):
        raise InvalidTask("Nothing says what to preview. Give a COMMAND, --block, --file or --image, as to run.")
    console.print_text(with_output(console, task_of(given), lambda task: task.preview()).rstrip("\n"))
    return 0
