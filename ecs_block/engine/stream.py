"""One log stream that is being followed: what was read of it, what waits to be shown, and when to read again."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Sequence

from ecs_block.engine.relay import Ticket
from ecs_block.plan.follow import Follower, LogEvent, Settling
from ecs_block.plan.result import LogComplete

logger = logging.getLogger("ecs_block")

HOLD = 3.0  # seconds for which a line waits for one that belongs before it
QUIET = 6.0  # seconds without anything new that end the drain
SOONEST, LATEST = 0.5, 5.0  # seconds between two reads of a stream
SWEEP_EVERY = 30.0  # seconds between two sweeps of the whole window
SHORT_SWEEP = 10_000  # milliseconds that every other read goes back, if that is no more than…
FEW_LINES = 1000  # …this many lines; a busier stream is read along its token
TAIL = 20  # lines kept for the error of a failed task

Sink = Callable[[Sequence[LogEvent]], None]


class Stream:
    """One log stream that is being followed. A `follower` knows what was read of it before."""

    def __init__(
        self, group: str, name: str, region: str | None, sink: Sink, now: float, follower: Follower | None = None
    ) -> None:
        self.group = group
        self.name = name
        self.region = region
        self.sink: Sink | None = sink
        self.due = now
        self.done = Ticket()
        self.tail: deque[str] = deque(maxlen=TAIL)
        self.follower = follower or Follower()
        self.settling = Settling(HOLD)
        self.quiet = QUIET
        self.opened_at = now
        self.token: str | None = None
        self.window: int | None = None  # where the sweep in progress began; None: along the token
        self.swept_at = -math.inf
        self.swept_lines = 0
        self.swept_again: list[LogEvent] = []  # what the sweep found beside lines that still wait to be shown
        self.pause = SOONEST
        self.failures = 0
        self.alone = False  # it could not be read together with others
        self.lost: str | None = None
        self.hinted = False
        self.stopped_at: float | None = None
        self.last_new = -math.inf
        self.drain_began: float | None = None

    @property
    def complete(self) -> LogComplete:
        """Whether every line was read: only a finished drain proves it."""
        return "no" if self.lost else "yes" if self.done.called else "unknown"

    def stop(self, now: float, complete_at_stop: bool) -> None:
        """Note that the task has stopped: the stream is to be drained, from now on."""
        self.stopped_at = self.due = now
        self.quiet = 0.0 if complete_at_stop else QUIET

    @property
    def may_be_swept(self) -> bool:
        """True where a sweep costs no more than following the token."""
        return self.stopped_at is not None or self.swept_lines <= FEW_LINES

    def may_be_read_with(self, other: Stream) -> bool:
        """Tell whether one FilterLogEvents can read both."""
        same_place = (self.region, self.group) == (other.region, other.group)
        return same_place and not self.alone and self.window is None and self.may_be_swept

    def begin_sweep(self, now: float) -> int:
        """Begin to read a window again; returns where it begins (milliseconds)."""
        whole = self.stopped_at is not None or now - self.swept_at >= SWEEP_EVERY
        self.window = self.follower.begin_sweep(None if whole else SHORT_SWEEP)
        self.swept_at = now if whole else self.swept_at
        self.token, self.swept_lines = None, 0
        return self.window

    def take(self, events: Sequence[LogEvent], now: float) -> None:
        """Take a page: what is new of it waits to be shown."""
        if self.window is None:
            new = self.follower.along_token(events)
        else:
            self.swept_lines += len(events)
            oldest = self.settling.oldest
            if oldest is not None:
                self.swept_again += [event for event in events if event.timestamp >= oldest]
            new = self.follower.sweep(events)
        self.settling.add(new, now)
        if new:
            self.last_new, self.pause = now, SOONEST

    def end_sweep(self) -> None:
        """End a sweep, if one is in progress."""
        if self.window is not None:
            self.follower.end_sweep()
            self.settling.reorder(self.swept_again)
            self.swept_again, self.window = [], None

    def show(self, now: float, *, everything: bool = False) -> None:
        """Hand on the lines that have settled. A sink that fails is told once and then left alone."""
        events = self.settling.ready(now, everything=everything)
        if not events:
            return
        self.tail.extend(event.message for event in events[-TAIL:])
        if self.sink is None:
            return
        try:
            self.sink(events)
        except Exception as error:
            self.sink = None
            self.lost = f"the output could not be written any more ({type(error).__name__})"
            if not isinstance(error, BrokenPipeError):
                logger.warning("The output of a task cannot be written any more; the run goes on. %s", error)
