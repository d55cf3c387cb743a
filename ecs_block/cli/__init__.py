"""The command `ecs-block`. Nothing here imports the library's heavy parts: a command does so when it runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import NoReturn

import click

from ecs_block.cli import exits

# Each verb: its file, its object there, and its line in the overview. A file is imported when its verb is used.
_VERBS = {
    "run": ("run", "run", "Run a command as a task and wait for its end."),
    "preview": ("preview", "preview", "Show what a run would send to AWS."),
    "wait": ("tasks", "wait", "Wait for a task's end and exit with its code."),
    "stop": ("tasks", "stop", "Stop a task."),
    "block": ("block", "block", "Save, show and remove blocks: tasks under a name."),
    "local": ("local", "local", "Run a cloud of your own on this machine."),
}


class _Verbs(click.Group):
    """The verbs of the command line, each loaded at its first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _VERBS:
            return None
        file, member, _ = _VERBS[name]
        command: click.Command = getattr(import_module(f"ecs_block.cli.{file}"), member)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _VERBS and not args[0].startswith("-"):
            near = get_close_matches(args[0], _VERBS, n=1)
            raise click.UsageError(
                f"No such command {args[0]!r}." + (f" Did you mean {near[0]!r}?" if near else ""), ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, overview) for name, (_, _, overview) in _VERBS.items()])


def _show_version(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from ecs_block import __version__

        click.echo(f"ecs-block {__version__}")
        ctx.exit()


@click.command(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="The first thing to try needs no AWS account:\n\n\b\n  ecs-block run --local -- echo hello",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def cli() -> None:
    """Run a command as an Amazon ECS task, and be told truthfully what became of it."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit code."""
    sys.exit(_code_of(arguments))


def _code_of(arguments: Sequence[str] | None) -> int:
    try:
        # Not click's standalone mode, in which its own exit codes and messages stand in for ours.
        code = cli.main(arguments, prog_name="ecs-block", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return exits.USAGE
    except click.ClickException as error:
        return _usage(error)
    except click.Abort:
        return exits.INTERRUPTED
    return code if isinstance(code, int) else 0


def _usage(error: click.ClickException) -> int:
    click.echo(f"ecs-block: error: {error.format_message()}", err=True)
    ctx = getattr(error, "ctx", None)
    if ctx is not None:
        click.echo(f"Try '{ctx.command_path} --help'.", err=True)
    return exits.USAGE
