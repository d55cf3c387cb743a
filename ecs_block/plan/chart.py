"""The timeline as a picture: one SVG, with lengths in per cent, so that bars grow with the page and letters do not.

Its colours are seen on a light and on a dark page; text takes the page's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from ecs_block.plan.markup import Html, el, joined
from ecs_block.plan.timeline import Axis, Phase, PhaseName, axis_of, clock, duration, total

COLOURS: dict[PhaseName, str] = {
    "provisioning": "#7f8b9b",
    "pulling": "#4f86c6",
    "starting": "#2a96a5",
    "running": "#3a8f62",
    "stopping": "#8d75b8",
}
# A program that did not succeed is seen by the colour of its time: beside the word, never instead of it.
RUNNING_COLOURS = {
    "succeeded": "#3a8f62",
    "failed": "#cf4a3f",
    "start_failed": "#cf4a3f",
    "stopped": "#b7791f",
    "interrupted": "#b7791f",
}
_UNKNOWN = "#7f8b9b"
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
_MOST_TICKS = 4  # more would not fit on a phone
_LEFT, _RIGHT = 25.0, 83.0  # per cent between which the bars are; the names stand before, the times after
_LEFT_OF_NUMBERS = 14.0  # where the names are short
_LEAST = 0.3  # per cent that a bar has, however short its time was
_FONT = "system-ui,-apple-system,'Segoe UI',sans-serif"


class Row(NamedTuple):
    """One row of the picture."""

    name: str
    phases: Sequence[Phase]
    outcome: str
    took: str
    href: str | None = None
    """Where on the page more is told."""


class _Frame(NamedTuple):
    """Where the bars are."""

    axis: Axis
    left: float

    def x(self, at: datetime) -> float:
        """Give the place of a time, in per cent of the picture's width."""
        return self.left + self.axis.place(at) * (_RIGHT - self.left)


def chart(rows: Sequence[Row], title: str, *, height: int = 26) -> Html | None:
    """Draw rows on a common axis; None where no time is known. `height` is that of a row, in pixels."""
    axis = axis_of(row.phases for row in rows)
    if axis is None:
        return None
    frame = _Frame(axis, _LEFT if max(len(row.name) for row in rows) > 6 else _LEFT_OF_NUMBERS)
    bottom = height * len(rows) + 4
    return el(
        "svg",
        el("title", title),
        el("desc", _told(rows, axis)),
        *_grid(frame, bottom),
        *(_row(row, frame, index * height + 2, height) for index, row in enumerate(rows)),
        xmlns="http://www.w3.org/2000/svg",
        role=None if any(row.href for row in rows) else "img",  # links inside an image could not be reached
        width="100%",
        height=bottom + 20,
        font_family=_FONT,
        font_size="12",
        fill="currentColor",
    )


def row_of_each(phases: Sequence[Phase], outcome: str) -> list[Row]:
    """Give a row for each phase of one task."""
    return [Row(phase.name, [phase], outcome, duration(phase.seconds)) for phase in phases]


def _told(rows: Sequence[Row], axis: Axis) -> str:
    """Say in words what is seen: all of a few rows, the sum of many."""
    began = f"From {clock(axis.begin)}, {duration(axis.seconds)} in all."
    if len(rows) > 10:
        return f"{began} One bar for each of {len(rows)} tasks, by phase."
    return " ".join([began, *(f"{row.name}: {row.took}." for row in rows)])


def _row(row: Row, frame: _Frame, y: float, height: int) -> Html:
    middle, bar = y + height / 2 + 4, max(height - 12, 8)
    drawn = joined(
        el("text", row.name, x=f"{frame.left - 1.5}%", y=middle, text_anchor="end"),
        *(_bar(phase, row, frame, y + (height - bar) / 2, bar) for phase in row.phases),
        el("text", row.took, x="100%", y=middle, text_anchor="end", opacity="0.8"),
    )
    return el("a", drawn, href=row.href) if row.href else el("g", drawn)


def _bar(phase: Phase, row: Row, frame: _Frame, y: float, height: float) -> Html:
    begin, end = frame.x(phase.begin), frame.x(phase.end or phase.begin)
    colour = RUNNING_COLOURS.get(row.outcome, _UNKNOWN) if phase.name == "running" else COLOURS[phase.name]
    tip = el("title", f"{phase.name}: {duration(phase.seconds)}, from {clock(phase.begin)}")
    wide = f"{max(end - begin, _LEAST):.2f}%"
    return el(
        "g", tip, el("rect", class_="bar", x=f"{begin:.2f}%", y=y, width=wide, height=height, rx="2", fill=colour)
    )


def _grid(frame: _Frame, bottom: float) -> Iterator[Html]:
    for seconds in _ticks(frame.axis.seconds):
        x = f"{frame.x(frame.axis.begin + timedelta(seconds=seconds)):.2f}%"
        yield el("line", x1=x, x2=x, y1="0", y2=bottom, stroke="currentColor", stroke_opacity="0.15")
        yield el("text", _tick(seconds), x=x, y=bottom + 14, text_anchor="middle", font_size="11", opacity="0.75")


def _ticks(seconds: float) -> list[float]:
    """Give round times for the axis."""
    step = next((step for step in _STEPS if seconds / step <= _MOST_TICKS), None)
    if step is None:
        step = 86400 * max(1, round(seconds / 86400 / _MOST_TICKS + 0.5))
    return [step * number for number in range(int(seconds / step + 1e-9) + 1)]


def _tick(seconds: float) -> str:
    """Write a round time shortly: `0`, `0.5s`, `30s`, `2m`, `1h`, `2d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            whole, rest = divmod(round(seconds), size)
            return f"{whole}{unit}" + (_tick(rest) if rest else "")
    return f"{seconds:g}s" if seconds else "0"


def legend(outcomes: Sequence[str]) -> list[tuple[str, str]]:
    """Give the colours of a picture with these outcomes, with what they mean."""
    phases = [(name, colour) for name, colour in COLOURS.items() if name != "running"]
    by_colour: dict[str, list[str]] = {}
    for outcome in dict.fromkeys(outcomes):
        by_colour.setdefault(RUNNING_COLOURS.get(outcome, _UNKNOWN), []).append(outcome.replace("_", " "))
    running = [(f"running ({', '.join(named)})", colour) for colour, named in by_colour.items()]
    return [*phases[:3], *running, *phases[3:]]


def took(phases: Sequence[Phase]) -> str:
    """Write how long a task took, from what is known."""
    return duration(total(phases)) if phases else "-"
