"""The tables: ours beside the floor, and their ratio."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from benchmarks.clients import Facts

_MEASURES = ("wall", "cpu", "cpu_run", "rss_mb", "threads")
_HEAD = (
    "N",
    "who",
    "wall s",
    "CPU s",
    "of the run",
    "RSS MB",
    "threads",
    "succeeded",
    "RunTask",
    "DescribeTasks",
    "other calls",
)


def about() -> dict[str, str]:
    """Tell when, on what and with which versions this was measured."""
    packages = ("ecs-block", "boto3", "botocore", "pydantic", "anyio", "moto")
    versions = {name: version(name) for name in packages}
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return {"date": date, "python": platform.python_version(), "cores": str(os.cpu_count()), **versions}


def runs(measured: Sequence[Facts]) -> str:
    """Show the runs: for each N the floor, the others, and how each compares to it."""
    rows: list[Sequence[str]] = [_HEAD]
    for facts in measured:
        rows.append(_row(facts))
        floor = next((one for one in measured if one["count"] == facts["count"] and one["who"] == "floor"), None)
        if floor is not None and facts is not floor:
            rows.append(_ratios(facts, floor))
    return markdown(rows)


def _row(facts: Facts) -> list[str]:
    calls = facts["calls"]
    known = ("ecs:RunTask", "ecs:DescribeTasks")
    others = ", ".join(f"{name.split(':')[1]} {calls[name]:g}" for name in calls if name not in known)
    numbers = [_number(facts[name]) for name in _MEASURES]
    return [
        str(facts["count"]),
        facts["who"],
        *numbers,
        f"{facts['succeeded']}",
        *(f"{calls.get(n, 0):g}" for n in known),
        others,
    ]


def _ratios(facts: Facts, floor: Facts) -> list[str]:
    ratios = [_number(facts[name] / floor[name]) if floor[name] else "" for name in _MEASURES]
    calls = [_times(facts["calls"], floor["calls"], name) for name in ("ecs:RunTask", "ecs:DescribeTasks")]
    return ["", "/ floor", *ratios, "", *calls, ""]


def _times(calls: dict[str, Any], floor: dict[str, Any], name: str) -> str:
    return f"{calls.get(name, 0) / floor[name]:.2f}" if floor.get(name) else ""


def _number(value: float) -> str:
    return f"{value:.0f}" if isinstance(value, int) or value >= 100 else f"{value:.2f}"


def markdown(rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table; the first row is its head."""
    given = [list(row) for row in rows]
    widths = [max(len(row[column]) for row in given) for column in range(len(given[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in given
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def facts(title: str, measured: Facts) -> str:
    """Show single facts, a line each."""
    shown = (
        f"  {name}: {value:.3g}" if isinstance(value, float) else f"  {name}: {value}"
        for name, value in measured.items()
    )
    return "\n".join([title, *shown])
