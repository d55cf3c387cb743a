"""The verbs as click sees them, and what its errors are to the caller."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import click

from ecs_block.cli import VERBS, exits, overview
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
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in VERBS and not args[0].startswith("-"):
            raise click.UsageError(f"No such command {args[0]!r}.{_nearest(args[0])}", ctx)
        return super().resolve_command(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        return overview()


def _nearest(name: str) -> str:
    from ecs_block.plan.shape import did_you_mean

    return did_you_mean(name, list(VERBS))


def _show_version(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from ecs_block import __version__

        print_out(f"ecs-block {__version__}")
        ctx.exit()


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version)
def _ecs_block() -> None:
    pass


def code_of(words: Sequence[str]) -> int:
    """Run the verb and give the exit code."""
    try:
        # Not click's standalone mode, in which its own exit codes and messages stand in for ours.
        code = _ecs_block.main(words, prog_name="ecs-block", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return exits.USAGE
    except click.ClickException as error:
        return _usage(error)
    except click.Abort:
        return exits.INTERRUPTED
    except Exception as error:
        return _unexpected(error, debug="--debug" in words)
    return code if isinstance(code, int) else 0


def _usage(error: click.ClickException) -> int:
    click.echo(f"ecs-block: error: {error.format_message()}", err=True)
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
