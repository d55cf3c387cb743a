"""Write `reference/commands.md` from the help of every verb: `nox -s reference`. A test compares the two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from ecs_block.cli.verbs import ecs_block

PAGE = Path(__file__).parent / "reference" / "commands.md"
WIDTH = 78  # what click takes of a terminal of 80 columns
_HEAD = """\
# Every command

The help of each verb, as `--help` prints it. This page is made by `nox -s reference`, and a test compares it with the commands.
[Command line](../command-line.md) says in words what the verbs do; [exit codes](exit-codes.md) have a page of their own.
"""


def page() -> str:
    """Give the whole page."""
    overview = ecs_block.get_help(click.Context(ecs_block))
    return "\n".join([_HEAD, _section("##", "ecs-block", overview), *_sections(ecs_block, ("ecs-block",), "##")])


def _sections(group: click.Group, words: tuple[str, ...], marks: str) -> Iterator[str]:
    """Give a section for each verb of a group, and after it those of the verbs below it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        if command := group.get_command(context, name):
            here = (*words, name)
            yield _section(marks, " ".join(here[1:]), _help(here, command))
            if isinstance(command, click.Group):
                yield from _sections(command, here, f"{marks}#")


def _section(marks: str, title: str, text: str) -> str:
    return f"{marks} {title}\n\n```text\n{text}\n```\n"


def _help(words: tuple[str, ...], command: click.Command) -> str:
    names = {"help_option_names": ["-h", "--help"]}
    with command.make_context(" ".join(words), [], resilient_parsing=True, terminal_width=WIDTH, **names) as context:
        return command.get_help(context)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
