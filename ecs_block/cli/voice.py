"""How a line of ours looks: with its date where nobody looks on, short on a terminal, in columns while a run is shown there."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from ecs_block.cli.streams import STDERR, Streams
from ecs_block.cli.terminal import size_of, terminal_of

if TYPE_CHECKING:
    from ecs_block.cli.paint import Painter, Tone

_STYLES: dict[Tone, dict[str, Any]] = {
    "step": {"dim": True},
    "note": {"dim": True},
    "hint": {"dim": True},
    "success": {"dim": True},
    "warning": {"fg": "yellow"},
    "error": {"fg": "red"},
    "failure": {"fg": "red"},
}
_LABELLED = ("warning", "error")  # the tones whose label stands also in a plain line
# The library speaks of fields; whoever has typed no field knows the option.
_OPTIONS = {
    "aws_credentials.region_name": "--region",
    "aws_credentials.profile_name": "--profile",
    "task_run_timeout_seconds": "--timeout",
}
_FIELD = re.compile("|".join(map(re.escape, _OPTIONS)))


class Voice:
    """Writes our lines to stderr."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self.terminal = terminal_of(sys.stderr)
        self._painter: Painter | None = None
        self.named: Callable[[str], str] = lambda text: text
        """Puts the names of tasks as they are of use here."""

    def dress(self) -> Painter | None:
        """Speak in columns from now on, if the terminal can show them and rich is installed."""
        if self.terminal.live:
            try:
                from ecs_block.cli.paint import Painter
            except ImportError:  # the extra `progress` is not installed
                return None
            self._painter = Painter(coloured=self.terminal.coloured)
        return self._painter

    @property
    def in_columns(self) -> bool:
        """True while a run is shown on a terminal."""
        return self._painter is not None

    def say(self, tone: Tone, label: str, text: str) -> None:
        """Say all of a text. The label has a column; in a plain line only that of a warning and of an error is said."""
        text = self._clear(text)
        if self._painter is not None:
            lines = self._painter.wrapped(tone, label, text, size_of(STDERR)[0] - 1)
        else:
            before = f"{label}: " if tone in _LABELLED else ""
            lines = [self._plain(tone, f"{before}{line}") for line in text.splitlines()]
        self._write(lines)

    def brief(self, tone: Tone, label: str, text: str) -> None:
        """Say as much of a text as there is room for on a line of the terminal."""
        line = self._clear(text).replace("\n", " ")
        if self._painter is not None:
            self._write([self._painter.line(tone, label, line, size_of(STDERR)[0] - 1)])
        else:
            self._write([self._plain(tone, line)])

    def _plain(self, tone: Tone, text: str) -> str:
        line = f"ecs-block: {text}"
        if not self.terminal.interactive:
            line = f"{datetime.now().astimezone().isoformat(timespec='seconds')} {line}"
        return click.style(line, **_STYLES[tone]) if self.terminal.coloured else line

    def _clear(self, text: str) -> str:
        return self._safe(self.named(_FIELD.sub(lambda field: _OPTIONS[field[0]], text)))

    def _safe(self, text: str) -> str:
        """Keep what AWS and containers say from steering the terminal."""
        if not self.terminal.interactive:
            return text
        from ecs_block.plan.terminal import safe_for_terminal

        return safe_for_terminal(text)

    def _write(self, lines: list[str]) -> None:
        self._streams.write(STDERR, "".join(f"{line}\n" for line in lines))
