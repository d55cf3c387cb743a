"""What may follow on a command line, for completion: quickly, and from this machine alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    Items = list[CompletionItem[str]]

_NEWEST = 20  # attempts of runs


def _beginning(names: Iterable[str], incomplete: str) -> Items:
    return [CompletionItem(name) for name in dict.fromkeys(names) if name.startswith(incomplete)]


def block_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the saved blocks."""
    from ecs_block.block import Block

    return _beginning(Block.list("ecs-task"), incomplete)


def pool_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the saved work pools."""
    from ecs_block.block import Block

    return _beginning(Block.list("work-pool"), incomplete)


def run_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer `last` and the newest runs of the journal; their tasks only to one who has begun to write an id."""
    from ecs_block.cli.known import LAST, known_names
    from ecs_block.engine.journal import journal

    if incomplete:
        return _beginning([LAST, *known_names(_NEWEST)], incomplete)
    return _beginning([LAST, *(entry.run_id for entry in journal().latest(_NEWEST))], "")


def open_runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the newest runs that have no outcome yet."""
    from ecs_block.engine.journal import journal

    return _beginning((entry.run_id for entry in reversed(journal().unfinished()[-_NEWEST:])), incomplete)


def file_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Let the shell offer its files."""
    return [CompletionItem(incomplete, type="file")]


def options_first(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the options where a command may begin, of which nothing is known."""
    return [] if incomplete or ctx.params.get("words") else ctx.command.shell_complete(ctx, "--")
