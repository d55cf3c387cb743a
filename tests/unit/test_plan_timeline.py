"""The phases of a run: none is negative, none is invented, and a picture of them is never wider than it may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_block import ECSTaskResult, ECSTaskResults
from ecs_block.plan.timeline import MOST_ROWS, NARROWEST, NOTHING, SHADES, chosen, duration, phases_of

BEGIN = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NAMES = ["created_at", "pull_started_at", "pull_stopped_at", "started_at", "stopping_at", "stopped_at"]
ORDER = list(SHADES)


def result(*seconds: float | None, outcome: Any = "succeeded", **more: Any) -> ECSTaskResult:
    """A task whose times, in the order of NAMES, are these seconds after BEGIN."""
    times = {name: BEGIN + timedelta(seconds=at) for name, at in zip(NAMES, seconds, strict=False) if at is not None}
    return ECSTaskResult(outcome=outcome, **{**times, **more})


def told(of: ECSTaskResult) -> list[tuple[str, float | None]]:
    return [(phase.name, phase.seconds) for phase in phases_of(of)]


moments = st.one_of(st.none(), st.floats(-1e5, 1e6, allow_nan=False))
results = st.tuples(*[moments] * 6).map(lambda seconds: result(*seconds))


# --- phases ---


def test_phases_of_a_whole_life() -> None:
    """Each phase lasts from its own time to the next one."""
    whole = result(0, 12, 26, 27, 90, 95)
    assert told(whole) == [
        ("provisioning", 12), ("pulling", 14), ("starting", 1), ("running", 63), ("stopping", 5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("of", "phases"),
    [
        (result(0, None, None, 3, 4, 5), [("starting", 3), ("running", 1), ("stopping", 1)]),  # no pull is told of
        (result(0, 2, None, None, 9, 10), [("provisioning", 2), ("pulling", 7), ("stopping", 1)]),  # the pull failed
        (result(0, None, None, None, 9, 10), [("provisioning", 9), ("stopping", 1)]),  # nothing was pulled
        (result(0, 1, 2, 3, None, 5), [("provisioning", 1), ("pulling", 1), ("starting", 1), ("running", 2)]),
        (result(None, None, None, 3, 4, 5), [("running", 1), ("stopping", 1)]),
        (result(0, 1, 2, 3), [("provisioning", 1), ("pulling", 1), ("starting", 1), ("running", None)]),
        (result(None, None, None, None, None, 5), []),
        (result(), []),
    ],
)
def test_times_that_are_missing(of: ECSTaskResult, phases: list[tuple[str, float | None]]) -> None:
    """A time that is missing leaves its phase out, and to the one before; the last may have no known end."""
    assert told(of) == phases


def test_end_of_the_program_stands_in() -> None:
    """Where AWS does not say when the task began to stop, it is when its containers had ended."""
    of = result(None, None, None, 0, None, 9, execution_stopped_at=BEGIN + timedelta(seconds=7))
    assert told(of) == [("running", 7), ("stopping", 2)]


def test_clocks_that_disagree() -> None:
    """A time before the one that it follows counts as the same: no phase is negative."""
    assert told(result(0, 12, 11, 20, 15, 30)) == [
        ("provisioning", 12), ("pulling", 0), ("starting", 8), ("running", 0), ("stopping", 10),
    ]  # fmt: skip


def test_times_without_a_zone_are_utc() -> None:
    """Times with a zone and without one can stand beside each other."""
    of = result(0, None, None, None, 4, stopped_at=datetime(2026, 11, 20, 12, 0, 9))
    assert told(of) == [("provisioning", 4), ("stopping", 5)]


@given(results)
def test_phases_follow_one_another(of: ECSTaskResult) -> None:
    """Whatever the times: the phases are in order, none twice, none negative, each begins where the last one ended."""
    phases = phases_of(of)
    assert [ORDER.index(phase.name) for phase in phases] == sorted({ORDER.index(phase.name) for phase in phases})
    assert all(phase.seconds is None or phase.seconds >= 0 for phase in phases)
    assert all(one.end == other.begin for one, other in pairwise(phases))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "?"), (0, "0.0 s"), (0.44, "0.4 s"), (59.94, "59.9 s"), (59.97, "1m 00s"), (64, "1m 04s"),
        (3599.6, "1h 00m"), (7500, "2h 05m"), (86400 * 3 + 3600 * 4, "3d 04h"),
    ],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    """A time is written in its two largest units; one that is unknown is a question mark."""
    assert duration(seconds) == text


# --- pictures ---


def test_picture_of_a_run() -> None:
    """A row for each phase: its name, its bar where it was, and how long it took, aligned."""
    assert result(0, 10, 30, 30, 70, 80).timeline(46).split("\n") == [
        "provisioning  ███                       10.0 s",
        "pulling          ██████                 20.0 s",
        "starting               ▏                 0.0 s",
        "running                ████████████     40.0 s",
        "stopping                           ███  10.0 s",
        "from 2026-11-20 12:00:00 UTC, 1m 20s in all",
    ]


def test_picture_of_several_tasks() -> None:
    """Where a run has several tasks: a row for each on one axis, with its id, its outcome and a legend."""
    arn = "arn:aws:ecs:us-east-1:123456789012:task/batch/"
    tasks = (
        result(0, 10, 20, 20, 60, 80, identifier=f"batch::{arn}{'a' * 32}"),
        result(40, 40, 60, 60, 80, 80, identifier=f"batch::{arn}{'b' * 32}", outcome="failed"),
    )
    assert ECSTaskResult(outcome="failed", tasks=tasks).timeline(62).split("\n") == [
        "aaaaaaaa  succeeded  ····░░░░████████████████▓▓▓▓▓▓▓▓▓  1m 20s",
        "bbbbbbbb  failed                     ░░░░░░░░████████▓  40.0 s",
        "from 2026-11-20 12:00:00 UTC, 1m 20s in all",
        "· provisioning   ░ pulling   ▒ starting   █ running",
        "▓ stopping",
    ]


def test_nothing_is_known() -> None:
    """Without times there is one line that says so."""
    assert result().timeline() == NOTHING
    assert ECSTaskResults().timeline() == NOTHING
    assert ECSTaskResults([result()]).timeline() == NOTHING


@given(results, st.integers(-5, 200))
def test_run_fits(of: ECSTaskResult, width: int) -> None:
    """No line is wider than it may be, and none has a control character; each phase has a row, and a bar if there is room."""
    lines = of.timeline(width).split("\n")
    assert all(len(line) <= max(width, NARROWEST) for line in lines)
    assert all(line.isprintable() for line in lines)
    phases = phases_of(of)
    if phases:
        assert [line.split()[0] for line in lines[:-1]] == [phase.name for phase in phases]
        if width >= 40:
            assert all(set(line) & set("█▏▎▍▌▋▊▉") for line in lines[:-1])


@given(st.lists(results, max_size=12), st.integers(-5, 200))
def test_map_fits(of: list[ECSTaskResult], width: int) -> None:
    """The same of many tasks: a row for each, in order."""
    lines = ECSTaskResults(of).timeline(width).split("\n")
    assert all(len(line) <= max(width, NARROWEST) for line in lines)
    if width >= 40 and any(phases_of(each) for each in of):
        assert [line.split()[:2] for line in lines[: len(of)]] == [
            [str(index), "succeeded"] for index in range(len(of))
        ]


def test_large_map() -> None:
    """Of very many tasks, those that did not succeed are shown and as many others as there is room for; that is said."""
    many = ECSTaskResults(result(0, 1, 2, 3, 4, 5, outcome="succeeded" if i < 990 else "failed") for i in range(1000))
    assert chosen(many, 20) == [*range(10), *range(990, 1000)]
    lines = many.timeline(120).split("\n")
    assert sum(" failed " in line for line in lines) == 10
    assert sum(" succeeded " in line for line in lines) == MOST_ROWS - 10
    assert lines[-1] == "200 of 1,000 tasks are shown: those that did not succeed, then the first ones."


def test_results_are_a_list() -> None:
    """What `map` gives is a list, equal to one, that can be sliced and added to."""
    two = ECSTaskResults([result(0), result(1)])
    assert two == [result(0), result(1)]
    assert isinstance(two, list)
    assert two[1:] == [result(1)]
    assert [*two, result(2)][-1] == result(2)
