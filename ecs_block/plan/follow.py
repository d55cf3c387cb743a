"""Which log events are new, and in which order they are shown.

CloudWatch promises no order of delivery: events become readable late, several share a millisecond, and identical lines are
allowed. The API gives them no ids. So a `Follower` counts: what a window of time holds more often than it was taken before
is new. Events that are read along the forward token are new by themselves; windows that overlap catch what the token passed.

The rules come from the API reference (GetLogEvents, OutputLogEvent) and the measurements in the explanation of the logs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

OVERLAP = 120_000  # milliseconds that an event may be later than a younger one and still be found


class LogEvent(NamedTuple):
    """One line as CloudWatch holds it; both times are milliseconds since 1970 (UTC)."""

    timestamp: int
    message: str
    ingestion_time: int = 0

    @classmethod
    def from_api(cls, event: Mapping[str, Any]) -> LogEvent:
        """Read an event of GetLogEvents or FilterLogEvents."""
        return cls(event.get("timestamp", 0), event.get("message", ""), event.get("ingestionTime", 0))


class Follower:
    """Tells for one stream which of the events read are new. Remembers only the last `overlap` milliseconds.

    Events from before `since` (milliseconds) are none of its business.
    """

    def __init__(self, overlap: int = OVERLAP, since: int = 0) -> None:
        self._overlap = overlap
        self._since = since
        # By second of the event, so that forgetting is cheap; hashes instead of lines, so that waiting is.
        self._taken: dict[int, dict[int, int]] = defaultdict(dict)
        self._swept: dict[int, int] = {}
        self._newest: int | None = None
        self._from = 0

    @property
    def window_start(self) -> int:
        """Where the next sweep must begin to miss nothing that is late by no more than the overlap."""
        return self._start(self._overlap)

    def along_token(self, events: Iterable[LogEvent]) -> list[LogEvent]:
        """Take a page read with the forward token that the last page gave. The API gives no event twice that way."""
        return [self._take(event, hash(event)) for event in events]

    def begin_sweep(self, reach: int | None = None) -> int:
        """Start to read a window again; returns where it begins (milliseconds).

        `reach` is how far it goes back from the newest event (milliseconds); None: as far as is remembered.
        """
        self._swept.clear()
        self._from = self._start(self._overlap if reach is None else min(reach, self._overlap))
        return self._from

    def sweep(self, events: Iterable[LogEvent]) -> list[LogEvent]:
        """Take one page of the sweep. The token after its last page continues behind everything that it saw."""
        new = []
        swept, taken = self._swept, self._taken
        for event in events:
            if event.timestamp < self._from:
                continue  # it was read for another stream, whose window began earlier
            key = hash(event)
            times = swept[key] = swept.get(key, 0) + 1
            if times > taken[event.timestamp // 1000].get(key, 0):
                new.append(self._take(event, key))
        return new

    def end_sweep(self) -> None:
        """Forget what no later sweep can give again."""
        self._swept.clear()
        start = self.window_start // 1000
        for second in [second for second in self._taken if second < start]:
            del self._taken[second]

    def _start(self, back: int) -> int:
        return self._since if self._newest is None else max(self._since, self._newest - back)

    def _take(self, event: LogEvent, key: int) -> LogEvent:
        taken = self._taken[event.timestamp // 1000]
        taken[key] = taken.get(key, 0) + 1
        if self._newest is None or event.timestamp > self._newest:
            self._newest = event.timestamp
        return event


class Settling:
    """Holds new events for a moment, so that one which becomes readable a little late is still shown in its place.

    `hold` is in seconds of the caller's clock; 0 shows everything at once.
    """

    def __init__(self, hold: float) -> None:
        self.hold = hold
        self._waiting: list[tuple[int, int, float, LogEvent]] = []  # in order
        self._number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def oldest(self) -> int | None:
        """The timestamp of the oldest line that waits."""
        return self._waiting[0][0] if self._waiting else None

    def add(self, events: Sequence[LogEvent], now: float) -> None:
        """Put new events in; events of one millisecond keep the order in which they came."""
        first = self._number + 1
        self._number += len(events)
        added = sorted((event.timestamp, number, now, event) for number, event in enumerate(events, first))
        in_order = not added or not self._waiting or self._waiting[-1] < added[0]
        self._waiting += added
        if not in_order:
            self._waiting.sort()

    def reorder(self, window: Sequence[LogEvent]) -> None:
        """Learn from a whole window how the lines of one millisecond stand: a late one may belong between two others."""
        if not window:
            return
        places: dict[LogEvent, list[int]] = defaultdict(list)
        for event in window:
            self._number += 1
            places[event].append(self._number)
        reordered = []
        # From the end: of identical lines, those that wait are the last ones.
        for timestamp, number, read_at, event in reversed(self._waiting):
            known = places.get(event)
            reordered.append((timestamp, known.pop() if known else number, read_at, event))
        self._waiting = sorted(reordered)

    def ready(self, now: float, *, everything: bool = False) -> list[LogEvent]:
        """Take out, oldest first, what has waited long enough (or all of it)."""
        settled = (index for index, item in enumerate(self._waiting) if not everything and now - item[2] < self.hold)
        first_waiting = next(settled, len(self._waiting))
        shown = [item[3] for item in self._waiting[:first_waiting]]
        del self._waiting[:first_waiting]
        return shown
