"""Which log events are new, and in which order they are shown, against a CloudWatch that does what it may."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_block.plan.follow import Follower, LogEvent, Settling

# Milliseconds, here; the rules do not depend on the size. What is late by less than the overlap, without the pause between
# two sweeps and the time that a sweep takes, must be found.
OVERLAP, SWEEP_EVERY, LATE = 150, 30, 60


class Written(NamedTuple):
    """An event, and when it becomes readable."""

    event: LogEvent
    visible: int


class CloudWatch:
    """GetLogEvents as it may behave: sorted by time, pages of any size or empty, tokens that pass over late events."""

    def __init__(self, written: list[Written], page_size: int, empty_pages: bool) -> None:
        self._written = written
        self._page_size = page_size
        self._empty_pages = empty_pages
        self.now = 0

    def get(self, start: int, token: tuple[Any, ...] | None) -> tuple[list[LogEvent], tuple[Any, ...]]:
        """Give a page behind the token, and the next token; a token that is given back is the end."""
        position, had_empty = token or ((-1, -1), False)
        readable = [
            (written.event.timestamp, index)
            for index, written in enumerate(self._written)
            if written.visible <= self.now and written.event.timestamp >= start
        ]
        waiting = sorted(place for place in readable if place > position)
        if waiting and self._empty_pages and not had_empty:
            return [], (position, True)  # an empty page, and more behind it
        page = waiting[: self._page_size]
        if not page:
            return [], (position, had_empty)
        return [self._written[index].event for _, index in page], (page[-1], False)


class Reader:
    """Drives a follower as `ecs_block.engine.logs` does: along the token, with a sweep from time to time."""

    def __init__(self, cloud: CloudWatch, time_per_page: int = 0) -> None:
        self.cloud = cloud
        self.follower = Follower(OVERLAP)
        self.taken: list[LogEvent] = []
        self._time_per_page = time_per_page
        self._token: tuple[Any, ...] | None = None
        self._swept_at = -SWEEP_EVERY

    def look(self) -> None:
        if self.cloud.now - self._swept_at >= SWEEP_EVERY:
            self.sweep()
        else:
            self._read(self.follower.window_start, self.follower.along_token)

    def sweep(self) -> None:
        start, self._token = self.follower.begin_sweep(), None
        self._read(start, self.follower.sweep)
        self.follower.end_sweep()
        self._swept_at = self.cloud.now

    def _read(self, start: int, take: Any) -> None:
        at_end = False
        while not at_end:
            events, token = self.cloud.get(start, self._token)
            self.taken += take(events)
            at_end = token == self._token
            self._token = token
            self.cloud.now += self._time_per_page


@st.composite
def programs(draw: st.DrawFn) -> list[Written]:
    """Draw what a program writes: several lines a millisecond, identical ones, each readable some time later."""
    time, written = 0, []
    for number in range(draw(st.integers(0, 25))):
        time += draw(st.sampled_from([0, 0, 1, 5, 40, 300]))
        message = draw(st.sampled_from(["tick", "tick", f"line {number}"]))
        ingested = draw(st.integers(time, time + LATE))
        written.append(Written(LogEvent(time, message, ingested), draw(st.integers(ingested, time + LATE))))
    return written


@settings(max_examples=100)
@given(programs(), st.integers(1, 5), st.booleans(), st.integers(0, 1), st.lists(st.integers(0, 200), max_size=60))
def test_nothing_is_lost_and_nothing_comes_twice(
    written: list[Written], page_size: int, empty_pages: bool, time_per_page: int, pauses: list[int]
) -> None:
    """Every event is taken once: several in a millisecond, identical, late, behind empty pages, whenever one looks."""
    cloud = CloudWatch(written, page_size, empty_pages)
    reader = Reader(cloud, time_per_page)
    for pause in pauses:
        cloud.now += pause
        reader.look()
        assert not Counter(reader.taken) - Counter(item.event for item in written if item.visible <= cloud.now)
    cloud.now += 10_000
    reader.sweep()
    assert Counter(reader.taken) == Counter(item.event for item in written)


def test_identical_lines_are_all_taken() -> None:
    """Lines that are the same to the millisecond are counted, not matched."""
    follower = Follower()
    line = LogEvent(1, "same", 2)
    follower.begin_sweep()
    assert len(follower.sweep([line, line])) == 2
    follower.end_sweep()
    follower.begin_sweep()
    assert follower.sweep([line]) == []
    assert follower.sweep([line, line]) == [line]


def test_a_sweep_takes_what_the_token_passed() -> None:
    """An event that became readable behind the token is found by the next sweep."""
    follower = Follower()
    follower.along_token([LogEvent(10, "a"), LogEvent(20, "c")])
    follower.begin_sweep()
    assert follower.sweep([LogEvent(10, "a"), LogEvent(15, "b"), LogEvent(20, "c")]) == [LogEvent(15, "b")]


def test_the_window_begins_an_overlap_before_the_newest() -> None:
    """A sweep begins one overlap before the newest event, whatever came in between, and at 0 before there is one."""
    follower = Follower(overlap=100)
    assert follower.window_start == 0
    follower.along_token([LogEvent(1000, "new"), LogEvent(50, "old")])
    assert follower.window_start == 900
    assert follower.begin_sweep() == 900


def test_memory_does_not_grow_with_the_stream() -> None:
    """Of a long stream only the last overlap is remembered."""
    follower = Follower(overlap=10_000)
    for second in range(2000):
        follower.along_token([LogEvent(second * 1000 + n, f"{second} {n}") for n in range(5)])
        if second % 30 == 0:
            follower.begin_sweep()
            follower.end_sweep()
    assert sum(len(counts) for counts in follower._taken.values()) <= (10 + 30 + 1) * 5


def test_events_as_the_api_gives_them() -> None:
    """An event of GetLogEvents is read as it is; what is missing is 0 or empty."""
    assert LogEvent.from_api({"timestamp": 5, "message": "m", "ingestionTime": 7}) == LogEvent(5, "m", 7)
    assert LogEvent.from_api({}) == LogEvent(0, "", 0)


# --- settling ---

HOLD = 2.0


@given(st.lists(st.tuples(st.integers(0, 5000), st.floats(0, HOLD - 0.01)), max_size=30), st.lists(st.integers(1, 900)))
def test_what_is_late_by_less_than_the_hold_is_shown_in_its_place(
    lines: list[tuple[int, float]], pauses: list[int]
) -> None:
    """Lines that are read no later than the hold after their time are shown sorted, and none is lost."""
    arriving = sorted((when / 1000 + late, when) for when, late in lines)
    settling, shown, now = Settling(HOLD), [], 0.0
    for arrival, when in arriving:
        settling.add([LogEvent(when, str(when))], arrival)
        shown += settling.ready(arrival)
        now = arrival
    for pause in pauses:
        now += pause / 1000
        shown += settling.ready(now)
    shown += settling.ready(now, everything=True)
    times = [event.timestamp for event in shown]
    assert times == sorted(when for when, _ in lines)
    assert len(settling) == 0


def test_lines_of_one_millisecond_keep_their_order() -> None:
    """Lines of one millisecond are shown in the order in which they came."""
    settling = Settling(HOLD)
    settling.add([LogEvent(1, "z"), LogEvent(1, "a")], 0.0)
    settling.add([LogEvent(1, "m")], 0.1)
    assert [event.message for event in settling.ready(9.0)] == ["z", "a", "m"]


@pytest.mark.parametrize(("now", "shown"), [(1.9, []), (2.0, ["a"]), (3.0, ["a", "b"])])
def test_a_line_waits_for_the_hold(now: float, shown: list[str]) -> None:
    """A line is shown once it has waited for the hold, no sooner."""
    settling = Settling(HOLD)
    settling.add([LogEvent(1, "a")], 0.0)
    settling.add([LogEvent(2, "b")], 1.0)
    assert [event.message for event in settling.ready(now)] == shown


def test_without_a_hold_all_is_shown_at_once() -> None:
    """A hold of 0 shows everything as it comes, sorted."""
    settling = Settling(0)
    settling.add([LogEvent(2, "b"), LogEvent(1, "a")], 5.0)
    assert [event.message for event in settling.ready(5.0)] == ["a", "b"]
