"""One log stream: events in the order in which CloudWatch gives them out."""

from __future__ import annotations

import heapq
import itertools
import time
import uuid
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

# Whoever asks for a delay gets an event as FilterLogEvents shows it, and returns seconds.
Delay = float | Callable[[dict[str, Any]], float]

_order_of_arrival = itertools.count(1)


class Event(NamedTuple):
    """An event, sorted by time and, within a millisecond, by arrival."""

    timestamp: int
    arrival: int
    ingested: int
    size: int
    message: str

    @property
    def position(self) -> Position:
        """Where the event stands in its stream."""
        return self.timestamp, self.arrival


Position = tuple[int, int]
OVERHEAD = 26  # bytes that CloudWatch counts for each event besides its text


def now_ms() -> int:
    """Return the time as CloudWatch counts it."""
    return int(time.time() * 1000)


class LogStream:
    """The events of a stream. The store's lock guards it."""

    def __init__(self, group: str, name: str, delay: Delay) -> None:
        self.group = group
        self.name = name
        self.created = now_ms()
        self.token = uuid.uuid4().hex
        self.stored_bytes = 0
        self._delay = delay
        self._events: list[Event] = []
        self._late: list[tuple[float, int, int, str]] = []  # heap: visible at, order, timestamp, message

    def put(self, events: Iterable[tuple[int, str]]) -> None:
        """Take in events (time in ms, text); they become visible now or when their delay is over."""
        if not self._delay:
            ingested = now_ms()
            for timestamp, message in events:
                self._add(timestamp, ingested, message)
            return
        now = time.time()
        for timestamp, message in events:
            seconds = self._seconds(timestamp, message)
            heapq.heappush(self._late, (now + seconds, next(_order_of_arrival), timestamp, message))

    def _seconds(self, timestamp: int, message: str) -> float:
        if not callable(self._delay):
            return self._delay
        event = {"logStreamName": self.name, "logGroupName": self.group, "timestamp": timestamp, "message": message}
        return self._delay(event)

    def _add(self, timestamp: int, ingested: int, message: str) -> None:
        size = len(message) if message.isascii() else len(message.encode())
        event = Event(timestamp, next(_order_of_arrival), ingested, size + OVERHEAD, message)
        self.stored_bytes += event.size
        if self._events and event < self._events[-1]:
            insort(self._events, event)
        else:
            self._events.append(event)

    def visible(self) -> list[Event]:
        """Return the sorted events that can be read by now; not to be changed by the caller."""
        now = time.time()
        while self._late and self._late[0][0] <= now:
            visible_at, _, timestamp, message = heapq.heappop(self._late)
            self._add(timestamp, int(visible_at * 1000), message)
        return self._events

    def described(self, arn: str) -> dict[str, Any]:
        """Return the stream as DescribeLogStreams shows it."""
        events = self.visible()
        shown: dict[str, Any] = {
            "logStreamName": self.name,
            "creationTime": self.created,
            "uploadSequenceToken": self.token,
            "arn": f"{arn}:log-stream:{self.name}",
            "storedBytes": 0,
        }
        if events:
            shown["firstEventTimestamp"] = events[0].timestamp
            shown["lastEventTimestamp"] = events[-1].timestamp
            shown["lastIngestionTime"] = events[-1].ingested
        return shown


def index_of(events: list[Event], position: Position) -> int:
    """Return the index of the first event at or after a position."""
    return bisect_left(events, position)


def position_before(timestamp: int) -> Position:
    """Return the position before all events of a millisecond."""
    return timestamp, 0
