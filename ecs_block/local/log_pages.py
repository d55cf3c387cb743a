"""Pages of log events, and the tokens that lead from one to the next.

A token is a position: a time, and the arrival within that millisecond. An event that turns up late and sorts before the
token is not seen by who goes on from there, as in CloudWatch.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ecs_block.local.faults import invalid
from ecs_block.local.log_stream import Event, LogStream, Position, index_of, position_before

_MAX_BYTES = 1024 * 1024
_MAX_EVENTS = 10_000
_END_OF_TIME = 1 << 62


@dataclass
class Pager:
    """Cut events into pages; ``page_events`` makes them small, each ``empty_pages``-th page comes empty."""

    page_events: int = _MAX_EVENTS
    empty_pages: int = 0

    def __post_init__(self) -> None:
        self._pages = itertools.count(1)

    def get(self, stream: LogStream, params: dict[str, Any]) -> dict[str, Any]:
        """Answer GetLogEvents."""
        events = stream.visible()
        first = position_before(params.get("startTime", 0))
        last = position_before(params.get("endTime", _END_OF_TIME))  # endTime is exclusive
        token = params.get("nextToken")
        direction, position = _read(token) if token else _start(params, first, last)
        if turn := self._empty_turn():
            return _answer([], _write("f", position, turn), _write("b", position, turn))
        if direction == "f":
            indexes = range(index_of(events, max(first, _after(position))), index_of(events, last))
            chosen = _cut(events, indexes, self._limit(params))
        else:
            indexes = range(index_of(events, min(last, position)) - 1, index_of(events, first) - 1, -1)
            chosen = _cut(events, indexes, self._limit(params))[::-1]
        if not chosen:
            # The token comes back as it was: that is how a client knows the end.
            end = token or _write(direction, position)
            return _answer([], "f" + end[1:], "b" + end[1:])
        return _answer(chosen, _write("f", chosen[-1].position), _write("b", chosen[0].position))

    def filter(self, streams: Iterable[LogStream], params: dict[str, Any]) -> dict[str, Any]:
        """Answer FilterLogEvents: all streams in one order."""
        token = params.get("nextToken")
        start = _read(token)[1] if token else position_before(params.get("startTime", 0))
        stop = position_before(params.get("endTime", _END_OF_TIME) + 1)  # endTime is inclusive here
        merged = heapq.merge(*(_between(stream, start, stop) for stream in streams))
        turn = self._empty_turn()
        chosen = [] if turn else _take(merged, self._limit(params))
        more = next(merged, None)
        answer = {"events": [_filtered(event, stream) for event, stream in chosen], "searchedLogStreams": []}
        return {**answer, "nextToken": _write("n", more[0].position, turn)} if more else answer

    def _limit(self, params: dict[str, Any]) -> int:
        limit: int = params.get("limit", _MAX_EVENTS)
        if not 1 <= limit <= _MAX_EVENTS:
            raise invalid("limit must be between 1 and 10000.")
        return min(limit, self.page_events)

    def _empty_turn(self) -> int:
        """Return a number if this page is to come empty, otherwise 0."""
        turn = next(self._pages)
        return turn if self.empty_pages and turn % self.empty_pages == 0 else 0


def _cut(events: list[Event], indexes: range, limit: int) -> list[Event]:
    """Return the first events of the range that fit into a page."""
    chosen: list[Event] = []
    room = _MAX_BYTES
    for index in indexes[:limit]:
        event = events[index]
        room -= event.size
        if room < 0 and chosen:
            break
        chosen.append(event)
    return chosen


def _take(merged: Iterator[tuple[Event, LogStream]], limit: int) -> list[tuple[Event, LogStream]]:
    chosen = []
    room = _MAX_BYTES
    for event, stream in merged:
        chosen.append((event, stream))
        room -= event.size
        if room <= 0 or len(chosen) >= limit:
            break
    return chosen


def _between(stream: LogStream, start: Position, stop: Position) -> Iterator[tuple[Event, LogStream]]:
    events = stream.visible()
    for index in range(index_of(events, start), index_of(events, stop)):
        yield events[index], stream


def _start(params: dict[str, Any], first: Position, last: Position) -> tuple[str, Position]:
    """Return where a reader without a token begins: at the newest events, unless it asks for the head."""
    return ("f", first) if params.get("startFromHead") else ("b", last)


def _answer(events: list[Event], forward: str, backward: str) -> dict[str, Any]:
    shown = [{"timestamp": e.timestamp, "message": e.message, "ingestionTime": e.ingested} for e in events]
    return {"events": shown, "nextForwardToken": forward, "nextBackwardToken": backward}


def _filtered(event: Event, stream: LogStream) -> dict[str, Any]:
    return {
        "logStreamName": stream.name,
        "timestamp": event.timestamp,
        "message": event.message,
        "ingestionTime": event.ingested,
        "eventId": f"{event.timestamp:020d}{event.arrival:036d}",
    }


def _after(position: Position) -> Position:
    return position[0], position[1] + 1


def _write(direction: str, position: Position, turn: int = 0) -> str:
    return f"{direction}/{position[0]:020d}{position[1]:036d}/{turn or 's'}"


def _read(token: str) -> tuple[str, Position]:
    direction, _, rest = token.partition("/")
    digits = rest.partition("/")[0]
    if direction not in ("f", "b", "n") or len(digits) != 56 or not digits.isdecimal():
        raise invalid("The specified nextToken is invalid.")
    return direction, (int(digits[:20]), int(digits[20:]))
