"""The phases of a run, and a picture of them in plain text.

The rules of this file:

- A phase lasts from its mark to the next mark that is known; a mark that is missing leaves its phase to the one before.
- AWS takes its times from several clocks. A mark never comes before the one that it follows, so no bar is negative.
- A line is never wider than it may be.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Literal, NamedTuple

from ecs_block.arn import short_name

if TYPE_CHECKING:
    from ecs_block.plan.result import ECSTaskResult

PhaseName = Literal["provisioning", "pulling", "starting", "running", "stopping"]

NARROWEST = 20  # columns; what is narrower is drawn in as many
MOST_ROWS = 200  # tasks of a map that one picture shows
NOTHING = "No times are known, so there is nothing to draw."

# What each phase looks like where one line holds them all.
SHADES: dict[PhaseName, str] = {"provisioning": "·", "pulling": "░", "starting": "▒", "running": "█", "stopping": "▓"}
_EIGHTHS = " ▏▎▍▌▋▊▉"
_LEAST_BAR = 8  # columns; with less room there are numbers only
_UNITS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))


class Phase(NamedTuple):
    """A part of a task's life."""

    name: PhaseName
    begin: datetime
    end: datetime | None
    """None: it had begun, and nobody knows its end."""

    @property
    def seconds(self) -> float | None:
        """How long it took; None while that is unknown."""
        return None if self.end is None else (self.end - self.begin).total_seconds()


class Axis(NamedTuple):
    """The time that a picture shows."""

    begin: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end - self.begin).total_seconds()

    def place(self, at: datetime) -> float:
        """Give where a time stands, from 0 to 1."""
        return (at - self.begin).total_seconds() / self.seconds if self.seconds else 0.0


# --- the phases ---------------------------------------------------------------------------------------------------


def phases_of(result: ECSTaskResult) -> list[Phase]:
    """Give the phases of a task, in order, as far as their times are known."""
    marks = _in_order(_marks(result))
    ends = [*(at for _, at in marks[1:]), None]
    found = [Phase(name, at, end) for (name, at), end in zip(marks, ends, strict=False) if name is not None]
    return _named(found, result)


def _marks(result: ECSTaskResult) -> list[tuple[PhaseName | None, datetime]]:
    """Give what begins when. The last mark, STOPPED, begins nothing."""
    ending = result.stopping_at or result.execution_stopped_at
    marks: list[tuple[PhaseName | None, datetime | None]] = [
        ("provisioning", result.created_at),
        ("pulling", result.pull_started_at),
        ("starting", result.pull_stopped_at),
        ("running", result.started_at),
        ("stopping", ending),
        (None, result.stopped_at),
    ]
    return [(name, _aware(at)) for name, at in marks if at is not None]


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _in_order(marks: Sequence[tuple[PhaseName | None, datetime]]) -> list[tuple[PhaseName | None, datetime]]:
    times = accumulate((at for _, at in marks), max)
    return [(name, at) for (name, _), at in zip(marks, times, strict=True)]


def _named(phases: list[Phase], result: ECSTaskResult) -> list[Phase]:
    """Call the time until RUNNING `starting` where AWS tells of no pull in it."""
    untold = result.pull_started_at is None and result.pull_stopped_at is None and result.started_at is not None
    return [phase._replace(name="starting") if untold and phase.name == "provisioning" else phase for phase in phases]


def axis_of(tasks: Iterable[Sequence[Phase]]) -> Axis | None:
    """Give the time that all of these take; None when none is known."""
    times = [at for phases in tasks for phase in phases for at in (phase.begin, phase.end) if at is not None]
    return Axis(min(times), max(times)) if times else None


def total(phases: Sequence[Phase]) -> float | None:
    """Give the seconds from the first mark to the last; None while the end is unknown."""
    if not phases or phases[-1].end is None:
        return None
    return (phases[-1].end - phases[0].begin).total_seconds()


def duration(seconds: float | None) -> str:
    """Write a time in its two largest units: `0.4 s`, `12.3 s`, `1m 04s`, `2h 05m`, `3d 04h`; `?` where it is unknown."""
    if seconds is None:
        return "?"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    size, unit, small, small_unit = next(row for row in _UNITS if whole >= row[0])
    return f"{whole // size}{unit} {whole % size // small:02}{small_unit}"


def clock(at: datetime) -> str:
    """Write a time, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


# --- which of many are shown --------------------------------------------------------------------------------------


def chosen(results: Sequence[object], most: int) -> list[int]:
    """Give the indexes of those to show, in order: what did not succeed comes before the rest."""
    bad_first = sorted(range(len(results)), key=lambda index: bool(results[index]))
    return sorted(bad_first[:most])


def left_out(shown: int, of: int) -> str:
    """Say that not all are shown; empty when they are."""
    return "" if shown == of else f"{shown} of {of:,} tasks are shown: those that did not succeed, then the first ones."


# --- the picture --------------------------------------------------------------------------------------------------


def text(result: ECSTaskResult, width: int) -> str:
    """Draw the phases of a run, a row each; of several tasks, a row for each task."""
    if result.tasks:
        return text_of_many(result.tasks, width, [_id_of(task) for task in result.tasks])
    phases = phases_of(result)
    axis = axis_of([phases])
    if axis is None:
        return textwrap.fill(NOTHING, max(width, NARROWEST))
    rows = [(phase.name, _bar(phase, axis), duration(phase.seconds)) for phase in phases]
    lines = _rows(rows, max(width, NARROWEST))
    lines.append(_foot(axis, phases, max(width, NARROWEST)))
    return "\n".join(lines)


def text_of_many(results: Sequence[ECSTaskResult], width: int, names: Sequence[str] | None = None) -> str:
    """Draw a row for each task on a common axis, with its outcome and how long it took."""
    width = max(width, NARROWEST)
    shown = chosen(results, MOST_ROWS)
    phases = {index: phases_of(results[index]) for index in shown}
    axis = axis_of(phases.values())
    if axis is None:
        return textwrap.fill(NOTHING, width)
    digits = len(str(shown[-1]))
    rows = [
        (
            f"{names[index] if names else str(index).rjust(digits)}  {results[index].outcome}",
            _shaded(phases[index], axis),
            duration(total(phases[index])),
        )
        for index in shown
    ]
    lines = _rows(rows, width)
    lines += [_foot(axis, [], width), *_legend(width)]
    lines += textwrap.wrap(left_out(len(shown), len(results)), width)
    return "\n".join(lines)


class _Drawn(NamedTuple):
    """A bar, before it is known how many columns it has."""

    parts: Sequence[tuple[str, float, float]]
    """Its characters, and where each part begins and ends, from 0 to 1."""
    fine: bool = False
    """True where the end may be drawn in eighths of a column."""

    def columns(self, room: int) -> str:
        """Draw it. A part that began is seen, however short it was."""
        cells = [" "] * room
        for shade, begin, end in self.parts:
            first = min(int(begin * room), room - 1)
            last = max(first + 1, round(end * room))
            cells[first:last] = shade * (last - first)
        if self.fine:
            _sharpen(cells, self.parts[0], room)
        return "".join(cells)


def _sharpen(cells: list[str], part: tuple[str, float, float], room: int) -> None:
    """Draw the end of a single bar in eighths of a column."""
    shade, begin, end = part
    first = min(int(begin * room), room - 1)
    whole, eighths = divmod(max(round(end * room * 8), first * 8 + 1), 8)
    cells[first:] = " " * (room - first)
    cells[first:whole] = shade * (whole - first)
    if eighths and whole < room:
        cells[whole] = _EIGHTHS[eighths]


def _bar(phase: Phase, axis: Axis) -> _Drawn:
    return _Drawn([("█", axis.place(phase.begin), axis.place(phase.end or phase.begin))], fine=True)


def _shaded(phases: Sequence[Phase], axis: Axis) -> _Drawn:
    return _Drawn(
        [(SHADES[phase.name], axis.place(phase.begin), axis.place(phase.end or phase.begin)) for phase in phases]
    )


def _rows(rows: Sequence[tuple[str, _Drawn, str]], width: int) -> list[str]:
    names = max(len(name) for name, _, _ in rows)
    times = max(len(took) for _, _, took in rows)
    room = width - names - times - 4
    if room < _LEAST_BAR:
        names = min(names, width - times - 2)
        return [f"{_cut(name, names):<{names}}  {took:>{times}}" for name, _, took in rows]
    return [f"{name:<{names}}  {drawn.columns(room)}  {took:>{times}}" for name, drawn, took in rows]


def _cut(name: str, room: int) -> str:
    return name if len(name) <= room else f"{name[: room - 1]}…"


def _foot(axis: Axis, phases: Sequence[Phase], width: int) -> str:
    took = duration(axis.seconds if not phases else total(phases))
    told = f"from {clock(axis.begin)}" if took == "?" else f"from {clock(axis.begin)}, {took} in all"
    return told if len(told) <= width else f"{took} in all"


def _legend(width: int) -> list[str]:
    told = "   ".join(f"{shade}\N{NO-BREAK SPACE}{name}" for name, shade in SHADES.items())
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in textwrap.wrap(told, width)]


def _id_of(task: ECSTaskResult) -> str:
    return short_name((task.identifier or "-").rpartition("::")[2])[:8]
