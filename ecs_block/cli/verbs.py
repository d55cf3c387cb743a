"""The verbs as click sees them, and what its errors are to the caller."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from ecs_block.cli import VERBS, exits, overview
from ecs_block.cli.help import dressed, refuse_unknown, told
from ecs_block.cli.streams import print_out


class _Verbs(click.Group):
    """The verbs of the command line, each loaded at its first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        file, member, _ = VERBS[name]
        command: click.Command = getattr(import_module(f"ecs_block.cli.{file}"), member)
        return dressed(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        refuse_unknown(args[0], list(VERBS), ctx)
        return super().resolve_command(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        return overview()

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Offer the verbs, without loading them."""
        verbs = [CompletionItem(name, help=VERBS[name][2]) for name in VERBS if name.startswith(incomplete)]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]


def _show_version(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from ecs_block import __version__

        print_out(f"ecs-block {__version__}")
        ctx.exit()


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version)
def ecs_block() -> None:
    """Run a command as an Amazon ECS task, and be told truthfully what became of it."""


def code_of(words: Sequence[str]) -> int:
    """Run the verb and give the exit code."""
    try:
        # Not click's standalone mode, in which its own exit codes and messages stand in for ours.
        code = ecs_block.main(words, prog_name="ecs-block", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return exits.USAGE
    except click.ClickException as error:
        return _usage(error)
    except click.Abort:
        return exits.INTERRUPTED
    except SystemExit as end:
        if end.code == 1:  # click's own, where nobody reads a help page any more
            return 0
        raise
    except Exception as error:
        return _unexpected(error, debug="--debug" in words)
    return code if isinstance(code, int) else 0


def _usage(error: click.ClickException) -> int:
    click.echo(f"ecs-block: error: {told(error)}", err=True)
    ctx = getattr(error, "ctx", None)
    if ctx is not None:
        click.echo(f"Try '{ctx.command_path} --help'.", err=True)
    return exits.USAGE


def _unexpected(error: Exception, *, debug: bool) -> int:
    from ecs_block.cli.output import Console

    console = Console(debug=debug)
    try:
        return console.fail(error)
    finally:
        console.close()
