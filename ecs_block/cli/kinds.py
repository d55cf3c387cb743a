"""Kinds of values that options take, beyond click's own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click
import click.shell_completion

if TYPE_CHECKING:
    _Whole = click.ParamType[int]
else:
    _Whole = click.ParamType  # click 8.2 and 8.3 know no types in brackets here


class Duration(_Whole):
    """A time as people write it: `90`, `90s`, `30m`, `1h30m`; in seconds."""

    name = "duration"
    _FORM = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", re.IGNORECASE)
    _SECONDS = (86400, 3600, 60, 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the text."""
        match = self._FORM.fullmatch(str(value).strip())
        parts = match.groups("0") if match else ()
        seconds = sum(int(part) * unit for part, unit in zip(parts, self._SECONDS, strict=False))
        if seconds == 0:
            self.fail(f"{value!r} is not a duration; write 90s, 30m or 1h30m.", param, ctx)
        return seconds


class Choice(click.Choice[str]):
    """One of a few words. Another one is answered with the nearest."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Say which words there are, as they are written, and which one may be meant."""
        from ecs_block.plan.shape import did_you_mean

        *most, last = self.choices
        return f"{value!r} is none of {', '.join(most)} and {last}.{did_you_mean(str(value), list(self.choices))}"

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str:
        """Add nothing: the words stand in the name of the argument."""
        return ""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem[str]]:
        """Offer them as they are written, in whatever case one was begun."""
        begun = incomplete.lower()
        return [click.shell_completion.CompletionItem(one) for one in self.choices if one.lower().startswith(begun)]


class Seconds(click.FloatRange):
    """A number of seconds, 0 or more."""

    name = "number of seconds"

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the number."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is not a number of seconds; write 0.5 or 2.", param, ctx)
