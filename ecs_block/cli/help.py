"""How help is set: options in sections, lines that fit, and the nearest name for one that is not there."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import click

_OWN = "Options"
_SECTIONS = {
    "Jobs": "queue pool dead-letter-queue label limit max-polls allow worker enable-task-revisions use-external-kwargs "
    "external-kwargs-s3-bucket external-kwargs-s3-key",
    "Task": "file block set env env-file name image cpu memory timeout no-logs patch",
    "Where it runs": "cluster launch-type vpc-id execution-role task-role",
    "AWS": "profile region endpoint-url aws-access-key-id aws-secret-access-key aws-session-token botocore-config",
    "Output and help": "output query raw debug quiet help",
}
_SECTION_OF = {f"--{name}": title for title, names in _SECTIONS.items() for name in names.split()}
_HYPHEN = "\N{NON-BREAKING HYPHEN}"  # ecs-block and --env-file are one word each, whatever the width
_INNER_HYPHENS = re.compile(r"(?<=\S)-(?=\w)|(?<=-)-")

Rows = Iterable[tuple[str, str]]


class _Formatter(click.HelpFormatter):
    """Sets a long list of options in sections, and breaks no line at a hyphen."""

    _in_options = False

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        self._in_options = name == _OWN
        if self._in_options:  # its parts have titles of their own
            yield
            self._in_options = False
            return
        with super().section(name):
            yield

    def write_text(self, text: str) -> None:
        super().write_text(_unbroken(text))

    def write_dl(self, rows: Rows, col_max: int = 30, col_spacing: int = 2) -> None:
        rows = list(rows)
        width = min(col_max, max((len(name) for name, _ in rows), default=0))
        aligned = [(name.ljust(width), _unbroken(told)) for name, told in rows]
        if not self._in_options:
            super().write_dl(aligned, col_max, col_spacing)
            return
        for title, some in _sections(aligned).items():
            with super().section(title):
                super().write_dl(some, col_max, col_spacing)

    def getvalue(self) -> str:
        # A \b that follows no empty line is not taken away by click.
        text = super().getvalue().replace(_HYPHEN, "-").replace("\b", "")
        return re.sub(r"[ \t]+(?=\n)", "", text)


def _unbroken(text: str) -> str:
    return _INNER_HYPHENS.sub(_HYPHEN, text)


def _sections(rows: Rows) -> dict[str, list[tuple[str, str]]]:
    """Sort options into sections; the verb's own come first, and a section of one is none."""
    found: dict[str, list[tuple[str, str]]] = {title: [] for title in (_OWN, *_SECTIONS)}
    for row in rows:
        name = re.search(r"--[\w-]+", row[0])
        found[_SECTION_OF.get(name[0] if name else "", _OWN)].append(row)
    for title in _SECTIONS:
        if len(found[title]) == 1:
            found[_OWN] += found.pop(title)
    return {title: some for title, some in found.items() if some}


class _Context(click.Context):
    formatter_class = _Formatter


def dressed(command: click.Command) -> click.Command:
    """Give a verb, and those below it, this kind of help."""
    command.context_class = _Context
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        dressed(inner)
    return command


class Subverbs(click.Group):
    """Verbs below a verb. One that is not there is answered with the nearest."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that is meant. Raises UsageError."""
        refuse_unknown(args[0], list(self.commands), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them with their whole first sentences."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, _first_sentence(self.commands[name])) for name in self.list_commands(ctx)])


def _first_sentence(command: click.Command) -> str:
    text = inspect.cleandoc(command.help or "").partition("\n\n")[0].replace("\n", " ")
    return text.partition(". ")[0].removesuffix(".") + "."


def refuse_unknown(name: str, known: list[str], ctx: click.Context) -> None:
    """Raise UsageError for a verb that is not there, unless completion is only looking."""
    if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
        from ecs_block.plan.shape import did_you_mean

        nearest = did_you_mean(name, known) or f" There is {', '.join(known)}."
        raise click.UsageError(f"No such command {name!r}.{nearest}", ctx)


def told(error: click.ClickException) -> str:
    """Say what was wrong, and the one option that is nearest to one that is not there."""
    if not isinstance(error, click.NoSuchOption):
        return error.format_message()
    from ecs_block.plan.shape import did_you_mean

    command = error.ctx.command if error.ctx is not None else None
    known = [name for param in (command.params if command else ()) for name in param.opts if name.startswith("--")]
    # Their dashes make even words that have nothing in common alike by a third.
    nearest = did_you_mean(error.option_name, [*known, "--help"], alike=0.7)
    return f"No such option {error.option_name!r}.{nearest}"
