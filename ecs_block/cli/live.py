"""Lines that stay at the bottom of a terminal while others scroll above them.

They are taken back before anything else is written, and written again after it. Each is cut, never wrapped, so that
what is to be taken back is known; a terminal that was made narrower has wrapped them, which is counted. The cursor is
never hidden: whatever ends this process, nothing has to be put right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Line(NamedTuple):
    """A line with its control sequences, and the cells that it takes."""

    text: str
    cells: int


Lines = Callable[[int], Sequence[Line]]
"""Gives the lines as they are now, each cut to a width in cells."""


class Region:
    """The lines, and what of them is on the terminal. Used by one thread."""

    def __init__(self, lines: Lines, size: Callable[[], tuple[int, int]]) -> None:
        self._lines = lines
        self._size = size
        self._shown: Sequence[Line] = ()

    @property
    def is_shown(self) -> bool:
        """True while the lines stand on the terminal."""
        return bool(self._shown)

    def taken_back(self) -> str:
        """Give what removes the lines from the terminal."""
        if not self._shown:
            return ""
        columns, _ = self._size()
        rows = sum(max(1, -(-line.cells // columns)) for line in self._shown)
        self._shown = ()
        return "\r" + (f"\x1b[{rows - 1}A" if rows > 1 else "") + "\x1b[J"

    def painted(self) -> str:
        """Give what takes the lines back and writes them as they are now."""
        gone = self.taken_back()
        columns, height = self._size()
        # A cell is left free: a terminal differs from another in what it does at its last one.
        self._shown = self._lines(max(columns - 1, 1))[-max(height - 1, 1) :]
        return gone + "\n".join(f"\x1b[0m{line.text}" for line in self._shown)
