"""`ecs-block pool`: work pools, each a template of jobs and a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ecs_block.cli.help import Subverbs
from ecs_block.cli.offers import block_names, file_names, pool_names
from ecs_block.cli.output import Console, gives_list, speaks
from ecs_block.errors import BlockError, InvalidTask

if TYPE_CHECKING:
    from ecs_block.agent import WorkPool

_GROUP_EXAMPLES = """\
Examples:

\b
    ecs-block pool create reports --queue URL --from-block nightly
    ecs-block worker start --pool reports
    ecs-block agent submit --pool reports --value cpu=512 -- python -m report

More about one of them: ecs-block pool create --help
"""
_CREATE_EXAMPLES = """\
Examples:

\b
  Let jobs set any field of a saved block, but for its credentials:
    ecs-block pool create reports --queue URL --from-block nightly
\b
  Let them set command and cpu only:
    ecs-block pool create reports --queue URL --from-block nightly \\
        --variable command --variable cpu
\b
  Write the template yourself: take that of a pool, change it, put it back:
    ecs-block pool show reports --template > template.json
    ecs-block pool create reports --overwrite --queue URL \\
        --template template.json

A template has `variables`, a JSON schema, and `job_configuration`, the fields of a task with {{ variable }} in them. Alone, a
placeholder keeps its value's type; in text it is written out; without a value, its key is left out.
"""
_SHOW_EXAMPLES = """\
Examples:

\b
    ecs-block pool show reports
    ecs-block pool show reports --template > template.json
"""
_LS_EXAMPLES = """\
Examples:

\b
    ecs-block pool ls
    ecs-block pool ls --query "[?contains(queue, 'eu-central-1')].name"
"""
_RM_EXAMPLES = """\
Examples:

\b
    ecs-block pool rm reports
"""


@click.group(cls=Subverbs, epilog=_GROUP_EXAMPLES)
def pool() -> None:
    """Make, show and remove work pools: a template of jobs and the queue that they come from."""


@pool.command(epilog=_CREATE_EXAMPLES)
@click.argument("name", metavar="NAME")
@click.option("--queue", metavar="URL", required=True, help="URL of the SQS queue.")
@click.option("--template", metavar="FILE", shell_complete=file_names, help="Base job template, JSON or YAML.")
@click.option("--from-block", metavar="BLOCK", shell_complete=block_names, help="Make the template of a saved block.")
@click.option(
    "--variable", "variables", multiple=True, metavar="FIELD",
    help="With --from-block: let jobs set this field and no other that is not named. Repeatable.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace a pool that has this name.")
@speaks
def create(console: Console, name: str, *, overwrite: bool, **given: Any) -> int:
    """Make a work pool and save it under NAME. Without a template, it is that of an empty block."""
    made = _made(**given)
    try:
        path = made.save(name, overwrite)
    except BlockError as error:
        told = str(error).replace("Pass overwrite=True", "Give --overwrite").replace("work-pool block", "work pool")
        raise type(error)(told) from None
    console.step(f"work pool {name} saved to {path}")
    return 0


def _made(queue: str, template: str | None, from_block: str | None, variables: tuple[str, ...]) -> WorkPool:
    from ecs_block.agent import RunQueue, WorkPool
    from ecs_block.agent.documents import content_of, document_of
    from ecs_block.task import ECSTask

    RunQueue(queue)  # raises for what is no URL of a queue
    if template is not None and (from_block is not None or variables):
        other = "--from-block" if from_block is not None else "--variable"
        raise InvalidTask(f"--template and {other} exclude each other; give one of them.")
    if template is not None:
        document = document_of(content_of(template, "template"), template, "template")
        return WorkPool(queue=queue, base_job_template=document)
    block = ECSTask.load(from_block) if from_block is not None else ECSTask()
    return WorkPool.of_block(block, queue, variables or None)


@pool.command(epilog=_SHOW_EXAMPLES)
@click.argument("name", shell_complete=pool_names)
@click.option("--template", is_flag=True, help="Show the base job template alone.")
@speaks
def show(console: Console, name: str, *, template: bool) -> int:
    """Show a work pool as JSON, with secrets masked."""
    from ecs_block.agent import WorkPool
    from ecs_block.aws import redactor

    found = WorkPool.load(name)
    if template:
        console.print_json(found.base_job_template)
        return 0
    shown = redactor().payload({"queue": found.queue, "base_job_template": found.base_job_template})
    console.print_json(shown)
    return 0


@pool.command(epilog=_LS_EXAMPLES)
@gives_list
@speaks
def ls(console: Console) -> int:
    """List the work pools, each with its queue."""
    from ecs_block.agent import WorkPool

    console.prints_lists = True
    found = [{"name": name, "queue": WorkPool.load(name).queue} for name in WorkPool.list()]
    if console.as_json:
        console.print_json(found)
    elif found:
        width = max(len(item["name"]) for item in found)
        console.print_text("\n".join(f"{item['name']:<{width}}  {item['queue']}" for item in found))
    else:
        console.step("there is no work pool; make one with ecs-block pool create NAME --queue URL")
    return 0


@pool.command(epilog=_RM_EXAMPLES)
@click.argument("name", shell_complete=pool_names)
@speaks
def rm(console: Console, name: str) -> int:
    """Remove a work pool. Its queue stays, and so do the jobs in it."""
    from ecs_block.agent import WorkPool

    WorkPool.delete(name)
    console.step(f"work pool {name} removed")
    return 0
