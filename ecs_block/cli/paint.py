"""Lines for a terminal, in columns: a mark, a label, and what there is to say. The only file that imports rich.

It is imported only where stderr is a terminal and something runs.
"""

from __future__ import annotations

import io
import textwrap
from typing import Literal, NamedTuple

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.text import Text

from ecs_block.cli.live import Line

Tone = Literal["step", "note", "success", "warning", "error", "failure", "hint"]

LABEL = 12  # cells of the column of labels
_INDENT = 2 + LABEL


class Look(NamedTuple):
    """How a kind of line looks."""

    mark: str
    label: str
    text: str


_LOOKS: dict[Tone, Look] = {
    "step": Look("[green]✓", "", "dim"),
    "note": Look(" ", "dim", "dim"),
    "success": Look("[green]✓", "green", ""),
    "warning": Look("[yellow]!", "yellow", ""),
    "error": Look("[red]✗", "red", "red"),
    "failure": Look("[red]✗", "red", "red"),
    "hint": Look(" ", "dim", "dim"),
}


class Painter:
    """Makes lines of text with control sequences."""

    def __init__(self, *, coloured: bool) -> None:
        self._console = Console(
            file=io.StringIO(), force_terminal=True, color_system="standard" if coloured else None, no_color=not coloured,
            width=1000, legacy_windows=False, emoji=False, markup=False, highlight=False,
        )  # fmt: skip

    def line(self, tone: Tone, label: str, text: str, width: int) -> str:
        """Make one line, cut at the width."""
        return self.cut(_assembled(tone, label, text), width).text

    def wrapped(self, tone: Tone, label: str, text: str, width: int) -> list[str]:
        """Make lines that say everything, broken between words. An ARN stays whole, so that it can be copied."""
        room = max(width - _INDENT, 20)
        parts: list[str] = []
        for given in Text.from_ansi(text).plain.splitlines() or [""]:
            parts += textwrap.wrap(given, room, break_long_words=False, break_on_hyphens=False) or [""]
        first = _assembled(tone, label, parts[0])
        rest = [Text(f"{'':{_INDENT}}{part}", style=_LOOKS[tone].text) for part in parts[1:]]
        return [self.ansi(line) for line in (first, *rest)]

    def cut(self, text: Text, width: int) -> Line:
        """Make a line, cut at the width."""
        text.truncate(max(width, 1), overflow="ellipsis")
        return Line(self.ansi(text), text.cell_len)

    def ansi(self, what: RenderableType) -> str:
        """Render something that takes one line."""
        with self._console.capture() as captured:
            self._console.print(what, end="", soft_wrap=True)
        return captured.get()


def _assembled(tone: Tone, label: str, text: str) -> Text:
    look = _LOOKS[tone]
    mark = Text.from_markup(look.mark)
    gap = " " * max(1, LABEL - cell_len(label))
    said = Text.from_ansi(text)  # colours of a container's line are no text, and take no cells
    said.style = look.text
    return Text.assemble(mark, " ", (label, look.label), gap if label else " " * LABEL, said)
