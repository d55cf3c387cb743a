"""`ecs-block block`: tasks under a name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecs_block.cli.fields import task_of, task_options
from ecs_block.cli.help import Subverbs
from ecs_block.cli.offers import block_names, file_names
from ecs_block.cli.output import Console, speaks
from ecs_block.errors import BlockError, BlockInvalid, InvalidTask

if TYPE_CHECKING:
    from ecs_block.task import ECSTask

_EXAMPLES = """\
Examples:

\b
    ecs-block block save nightly --image python:3.12-slim -- python -m report
    ecs-block block ls
    ecs-block run --block nightly
    ecs-block block import prod.json --name nightly

More about one of them: ecs-block block save --help
"""
_SAVE_EXAMPLES = """\
Examples:

\b
  Save a task, look at it, run it:
    ecs-block block save nightly --timeout 30m -- python -m report
    ecs-block block show nightly
    ecs-block run --block nightly
\b
  A secret is saved as a reference; the variable is read when the block runs:
    ecs-block block save nightly \\
        --set 'env.DB_PASSWORD={"$secret": "env:DB_PASSWORD"}' -- ./report.sh
\b
  Change one thing of a saved block:
    ecs-block block save nightly --overwrite --block nightly --memory 4gb
\b
  Run it every night from cron (there a % is written \\%, and the command is
  named by its path; `command -v ecs-block` tells it):
    @daily /opt/v/bin/ecs-block run --block nightly --run-id n-$(date +\\%F)
"""
_LS_EXAMPLES = """\
Examples:

\b
    ecs-block block ls
    ecs-block block ls --type ecs-task
"""
_SHOW_EXAMPLES = """\
Examples:

\b
    ecs-block block show nightly
    ecs-block block show nightly > nightly.json
"""
_IMPORT_EXAMPLES = """\
Examples:

\b
  A block that somebody sent, or that another tool wrote:
    ecs-block block import prod.json --name nightly
\b
  The base job template of an ECS work pool; its defaults become the block:
    ecs-block block import pool.json --name reports
\b
  Then look at what it would run:
    ecs-block block show reports
    ecs-block preview --block reports
"""
_RM_EXAMPLES = """\
Examples:

\b
    ecs-block block rm nightly
    ecs-block block ls | grep ^test- | xargs -n 1 ecs-block block rm
"""
_SCHEMA_EXAMPLES = """\
Examples:

\b
  Let an editor check block files:
    ecs-block block schema > ecs-task.schema.json
\b
  Look up a field:
    ecs-block block schema | jq .properties.labels
"""


@click.group(cls=Subverbs, epilog=_EXAMPLES)
def block() -> None:
    """Save, show and remove blocks: tasks under a name."""


@block.command(epilog=_LS_EXAMPLES)
@click.option("--type", "kind", metavar="TYPE", help="Type of block to list. Default: all.")
@speaks
def ls(console: Console, *, kind: str | None) -> int:
    """List the saved blocks. Those of another type than ecs-task are listed as type/name."""
    from ecs_block.block import Block

    names = [name.removeprefix("ecs-task/") for name in Block.list(kind)]
    if names:
        console.print_text("\n".join(names))
    else:
        console.step("no block is saved; save one with ecs-block block save NAME")
    return 0


@block.command(epilog=_SHOW_EXAMPLES)
@click.argument("name", shell_complete=block_names)
@speaks
def show(console: Console, name: str) -> int:
    """Show a saved block as JSON, with secrets masked."""
    from ecs_block.task import ECSTask

    console.print_json(_masked(ECSTask.load(name)), default=_as_json)
    return 0


def _masked(task: ECSTask) -> Any:
    from ecs_block.aws import redactor

    return redactor().payload(
        {name: getattr(task, name) for name in type(task).model_fields if name in task.model_fields_set}
    )


def _as_json(value: Any) -> Any:
    """Give what is no JSON value as one: hidden strings masked, references as they are written."""
    from pydantic import BaseModel

    from ecs_block.aws import redactor

    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return redactor().payload(value.operations) if hasattr(value, "operations") else str(value)


class _NameFirst(click.Command):
    """A command whose first word is a name, and whose second one ends the options: they may stand around the name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        before, words = self._split(ctx, args)
        after, command = self._split(ctx, words[1:])
        return super().parse_args(ctx, [*before, *after, "--", *words[:1], *command])

    def _split(self, ctx: click.Context, args: list[str]) -> tuple[list[str], list[str]]:
        """Part the options at the front from the words that follow."""
        found = self.make_parser(ctx).parse_args(list(args))[0]
        name, rest = found["name_to_save"], found["words"]  # click has marks of its own for what is not there
        words = [*([name] if isinstance(name, str) else ()), *(rest if isinstance(rest, tuple | list) else ())]
        options = args[: len(args) - len(words)]
        return (options[:-1] if options[-1:] == ["--"] else options), words


@block.command(cls=_NameFirst, context_settings={"allow_interspersed_args": False}, epilog=_SAVE_EXAMPLES)
@click.argument("name_to_save", metavar="NAME")
@click.option("--overwrite", is_flag=True, help="Replace a block that has this name.")
@click.option(
    "--include-secrets", is_flag=True, help="Save secret values themselves, in a file that only you can read."
)
@task_options
@speaks
def save(console: Console, name_to_save: str, *, overwrite: bool, include_secrets: bool, **given: Any) -> int:
    """Save a task under NAME. It takes the options of `run`; only what is given is saved."""
    try:
        path = task_of(given).save(name_to_save, overwrite, include_secrets=include_secrets)
    except BlockError as error:
        raise type(error)(_in_options(str(error))) from None
    console.step(f"block {name_to_save} saved to {path}")
    return 0


def _in_options(text: str) -> str:
    """Say what to do as it is done here: with an option, not with an argument of Python."""
    text = text.replace("Pass overwrite=True", "Give --overwrite")
    return text.replace("pass include_secrets=True", "give --include-secrets")


@block.command("import", epilog=_IMPORT_EXAMPLES)
@click.argument("file", metavar="FILE", shell_complete=file_names)
@click.option(
    "--name", metavar="NAME", help="Name to save it under. Default: what FILE calls it, else FILE's own name."
)
@click.option("--overwrite", is_flag=True, help="Replace a block that has this name.")
@click.option(
    "--include-secrets", is_flag=True, help="Save secret values themselves, in a file that only you can read."
)
@speaks
def import_(console: Console, file: str, *, name: str | None, overwrite: bool, include_secrets: bool) -> int:
    """Save the block in FILE, JSON or YAML.

    FILE is a block of ours, an ECS task block that another tool wrote, or the base job template of an ECS work pool. What does
    not carry over is told; what only a server could resolve is refused.
    """
    task, called = _brought(Path(file))
    name = name or called
    try:
        path = task.save(name, overwrite, include_secrets=include_secrets)
    except BlockError as error:
        raise type(error)(_in_options(str(error))) from None
    console.step(f"block {name} saved to {path}")
    return 0


def _brought(path: Path) -> tuple[ECSTask, str]:
    """Read the block in a file, and what it is called."""
    from ecs_block import legacy
    from ecs_block.block import read_text
    from ecs_block.parse import line_of, parse
    from ecs_block.task import ECSTask

    text = read_text(path)
    found = legacy.unwrap(parse(text, path))
    if not legacy.is_legacy(found.content):
        return ECSTask.load_from(path), _name_of(path)
    try:
        return ECSTask(**legacy.translate(found.content)), found.name or _name_of(path)
    except InvalidTask as error:
        line = line_of(text, (*found.location, *error.location))
        raise BlockInvalid(f"{path}:{line}: {error} The file was left as it is.") from None


def _name_of(path: Path) -> str:
    from slugify import slugify

    return slugify(path.stem, regex_pattern=r"[^a-z0-9._-]+").strip("._-")


@block.command(epilog=_RM_EXAMPLES)
@click.argument("name", shell_complete=block_names)
@speaks
def rm(console: Console, name: str) -> int:
    """Remove a saved block."""
    from ecs_block.task import ECSTask

    ECSTask.delete(name)
    console.step(f"block {name} removed")
    return 0


@block.command(epilog=_SCHEMA_EXAMPLES)
@speaks
def schema(console: Console) -> int:
    """Show the JSON schema of a block, every field described."""
    from ecs_block.task import ECSTask

    console.print_json(ECSTask.model_json_schema())
    return 0
