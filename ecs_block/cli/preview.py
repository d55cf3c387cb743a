"""`ecs-block preview`: what a run would send to AWS, and what it would change there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ecs_block.cli.fields import describes_a_task, task_of, task_options
from ecs_block.cli.output import Console, gives_result, speaks
from ecs_block.cli.run import with_output
from ecs_block.errors import InvalidTask

if TYPE_CHECKING:
    from ecs_block.engine.difference import Difference
    from ecs_block.task import ECSTask

DIFFERS = 1
_COLOURS: dict[str, dict[str, Any]] = {
    "---": {"bold": True},
    "+++": {"bold": True},
    "@@": {"fg": "cyan"},
    "-": {"fg": "red"},
    "+": {"fg": "green"},
}
_EXAMPLES = """\
Examples:

\b
  See what a run would send; nothing is sent:
    ecs-block preview --image python:3.12-slim --cpu 512 -- python -V
\b
  See what a patch does to a saved block's request:
    ecs-block preview --block nightly \\
        --patch '[{"op": "add", "path": "/group", "value": "batch"}]'
\b
  See what a run would change about the task definition at AWS:
    ecs-block preview --block nightly --diff
\b
  Take a part of it:
    ecs-block preview --block nightly --query run_request.cluster

Exit codes: 0 shown, and with --diff: no difference; 1 with --diff: it differs; 2 wrong usage, 125 AWS or ecs-block
failed.
"""


@click.command(context_settings={"allow_interspersed_args": False}, epilog=_EXAMPLES)
@click.option("--diff", "compare", is_flag=True, help="Compare with the latest revision at AWS, which is only read.")
@task_options
@gives_result
@speaks
def preview(console: Console, *, compare: bool, **given: Any) -> int:
    """Show as YAML the task definition and the run request that `run` would send, with secrets masked.

    No AWS call is made; what only AWS knows is a placeholder. A run adds its run id, as `startedBy` and as the variable
    ECS_BLOCK_RUN_ID. With --diff: what would change about the task definition, as a unified diff.
    """
    console.prints_lists = True  # what is not shown has no result of a run, either
    if not describes_a_task(given):
        raise InvalidTask("Nothing says what to preview. Give a COMMAND, --block, --file or --image, as to run.")
    if compare:
        return _show_difference(console, with_output(console, task_of(given), _difference))
    if console.as_json:
        console.print_json(with_output(console, task_of(given), _documents))
    else:
        console.print_text(with_output(console, task_of(given), lambda task: task.preview()).rstrip("\n"))
    return 0


def _documents(task: ECSTask) -> dict[str, Any]:
    from ecs_block.preview import documents

    return documents(task, task.aws_credentials)


def _difference(task: ECSTask) -> Difference:
    from ecs_block.engine import bridge
    from ecs_block.engine.difference import difference
    from ecs_block.engine.prepare import Control

    run = task._run(None, None)
    return bridge.block_on(lambda: difference(run), Control(only_reads=True))


def _show_difference(console: Console, found: Difference) -> int:
    if console.as_json:
        console.print_json(found.as_json())
    elif lines := found.lines():
        console.print_text("\n".join(_coloured(lines)))
    console.step(_told(found))
    return 0 if found.change == "none" else DIFFERS


def _told(found: Difference) -> str:
    if found.change == "none":
        return f"no difference: revision {found.revision} would be reused"
    if found.copied:
        return f"the block changes {found.revision}: a run would register a changed copy of it in {found.family}"
    if found.change == "new revision":
        return f"a run would register a new revision of {found.family}"
    named = f"there is no family {found.family} yet: a run would register it as a new one"
    return f"{named} (it is named after its content; --set family=NAME keeps one)" if found.generated else named


def _coloured(lines: list[str]) -> list[str]:
    from ecs_block.cli.terminal import terminal_of

    return [_in_colour(line) for line in lines] if terminal_of(sys.stdout).coloured else lines


def _in_colour(line: str) -> str:
    style = next((style for start, style in _COLOURS.items() if line.startswith(start)), {})
    return click.style(line, **style) if style else line
