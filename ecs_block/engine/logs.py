"""The shared log reader: one for each client and region of an event loop.

A stream is read along its forward token, which is cheap and misses what becomes readable late. So from time to time, and
after the task has stopped, a window is read again from its start (a sweep), and what it holds more often than was shown is
new (`ecs_block.plan.follow`). After the stop, sweeps go on until nothing new has come for a while.

What all streams together may ask of CloudWatch is kept by `pace`; here the reads of many streams are spread over it.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from anyio.lowlevel import RunVar

from ecs_block.engine.clock import backoff
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.pace import rate_of
from ecs_block.engine.relay import Relay, Ticket
from ecs_block.errors import AwsError, Kind
from ecs_block.plan.follow import Follower, LogEvent, Settling
from ecs_block.plan.result import LogComplete

logger = logging.getLogger("ecs_block")

CALLS_A_READ = 2.5  # a page, the page that says it was the last one, and some room
PAGES_A_TURN = 20  # then another stream has its turn, and the watcher hears of the time that passed
HOLD = 3.0  # seconds for which a line waits for one that belongs before it
QUIET = 6.0  # seconds without anything new that end the drain
LONGEST_DRAIN = 30.0  # seconds after which a stream that still brings new lines is given up
SWEEP_EVERY = 30.0  # seconds; a window of few lines is swept with every read, which costs no more than the token
FEW_LINES = 1000
SOONEST, LATEST = 0.5, 5.0  # seconds between two reads of a stream
HINT_AFTER = 60.0  # seconds without a stream after which a hint is given
TAIL = 20  # lines kept for the error of a failed task

Sink = Callable[[Sequence[LogEvent]], None]


class Stream:
    """One log stream that is being followed."""

    def __init__(self, group: str, name: str, region: str | None, sink: Sink, now: float) -> None:
        self.group = group
        self.name = name
        self.region = region
        self.sink: Sink | None = sink
        self.due = now
        self.done = Ticket()
        self.tail: deque[str] = deque(maxlen=TAIL)
        self.follower = Follower()
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
        self.lost: str | None = None
        self.hinted = False
        self.stopped_at: float | None = None
        self.last_new = -math.inf
        self.drain_began: float | None = None

    @property
    def complete(self) -> LogComplete:
        """Whether every line was read: only a finished drain proves it."""
        return "no" if self.lost else "yes" if self.done.called else "unknown"

    def show(self, now: float, *, everything: bool = False) -> None:
        """Hand on the lines that have settled. A sink that fails is told once and then left alone."""
        events = self.settling.ready(now, everything=everything)
        if not events:
            return
        self.tail.extend(event.message for event in events)
        if self.sink is None:
            return
        try:
            self.sink(events)
        except Exception as error:
            self.sink = None
            self.lost = f"the output could not be written any more ({type(error).__name__})"
            if not isinstance(error, BrokenPipeError):
                logger.warning("The output of a task cannot be written any more; the run goes on. %s", error)


class LogReader:
    """Reads the streams of all runs in turn."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._clock = conversation.clock
        self._streams: dict[int, Stream] = {}
        self._relay = Relay(self._turn, conversation.clock)

    def open(self, group: str, name: str, region: str | None, sink: Sink) -> Stream:
        """Begin to follow a stream."""
        stream = Stream(group, name, region, sink, self._clock.now())
        self._streams[id(stream)] = stream
        self._relay.poke()
        return stream

    def stopped(self, stream: Stream, *, complete_at_stop: bool = False) -> None:
        """Note that the task has stopped: from now on the stream is drained.

        `complete_at_stop` says that the platform makes all lines readable before it says STOPPED.
        """
        if stream.stopped_at is None:
            stream.stopped_at = stream.due = self._clock.now()
            stream.quiet = 0.0 if complete_at_stop else QUIET
            self._relay.poke()

    async def drained(self, stream: Stream) -> None:
        """Wait until the stream is drained, or given up."""
        await self._relay.wait(stream.done)

    def close(self, stream: Stream) -> None:
        """Stop following."""
        stream.show(self._clock.now(), everything=True)
        self._streams.pop(id(stream), None)
        self._relay.poke()

    async def _turn(self) -> None:
        now = self._clock.now()
        for other in self._streams.values():
            other.show(now)
        open_streams = [stream for stream in self._streams.values() if not stream.done.called]
        stream = min(open_streams, key=lambda stream: stream.due, default=None)
        rest = 3600.0 if stream is None else stream.due - now
        if any(len(other.settling) for other in open_streams):
            rest = min(rest, HOLD / 4)
        if stream is None or rest > 0:
            await self._relay.rest(max(rest, 0.001))
            return
        await self._read(stream)

    async def _read(self, stream: Stream) -> None:
        now = self._clock.now()
        if stream.window is None and (
            stream.stopped_at is not None or stream.swept_lines <= FEW_LINES or now - stream.swept_at >= SWEEP_EVERY
        ):
            stream.window, stream.token, stream.swept_lines = stream.follower.begin_sweep(), None, 0
        for _ in range(PAGES_A_TURN):
            try:
                at_end, new = await self._page(stream)
            except AwsError as error:
                self._failed(stream, error)
                return
            now = self._clock.now()
            stream.failures = 0
            if new:
                stream.last_new = now
                stream.pause = SOONEST
            if at_end:
                self._reached_end(stream, now)
                return
        stream.due = now  # there is more: after the others

    async def _page(self, stream: Stream) -> tuple[bool, bool]:
        """Read one page; returns whether it was the last, and whether it held anything new."""
        position: dict[str, Any] = {"startFromHead": True}
        if stream.window is not None:
            position["startTime"] = stream.window
        elif stream.swept_at > -math.inf:
            position["startTime"] = stream.follower.window_start
        if stream.token is not None:
            position["nextToken"] = stream.token
        answer = await self._conversation.call(
            "logs",
            "GetLogEvents",
            region=stream.region,
            logGroupName=stream.group,
            logStreamName=stream.name,
            **position,
        )
        events = [LogEvent.from_api(event) for event in answer.get("events") or []]
        new = self._taken(stream, events)
        token = answer.get("nextForwardToken")
        # Pages may be empty before the end; only a token that repeats is the end (API reference, GetLogEvents).
        at_end = token is None or token == stream.token
        stream.token = token or stream.token
        return at_end, bool(new)

    def _taken(self, stream: Stream, events: Sequence[LogEvent]) -> list[LogEvent]:
        now = self._clock.now()
        if stream.window is None:
            new = stream.follower.along_token(events)
            stream.settling.add(new, now)
            return new
        stream.swept_lines += len(events)
        oldest = stream.settling.oldest
        if oldest is not None:
            stream.swept_again += [event for event in events if event.timestamp >= oldest]
        new = stream.follower.sweep(events)
        stream.settling.add(new, now)
        return new

    def _reached_end(self, stream: Stream, now: float) -> None:
        if stream.window is not None:
            stream.follower.end_sweep()
            stream.settling.reorder(stream.swept_again)
            stream.swept_again = []
            stream.window, stream.swept_at = None, now
        if stream.stopped_at is None:
            stream.pause = min(LATEST, stream.pause * 1.5)
            rate = rate_of("GetLogEvents", stream.region or self._conversation.aws.region)
            stream.due = now + max(stream.pause, len(self._streams) * CALLS_A_READ / rate)
        else:
            self._drain_on(stream, now)

    def _drain_on(self, stream: Stream, now: float) -> None:
        """After a sweep of a stopped task: end when it has been quiet long enough, else sweep again."""
        if stream.drain_began is None:
            stream.drain_began = now
        quiet_for = now - max(stream.drain_began, stream.last_new)
        if quiet_for >= stream.quiet:
            self._finish(stream)
        elif now - stream.drain_began >= LONGEST_DRAIN:
            self._finish(stream, f"new lines still came {LONGEST_DRAIN:.0f} s after the task had stopped")
        else:
            stream.due = now + min(stream.quiet / 2, stream.quiet - quiet_for + 0.01)

    def _failed(self, stream: Stream, error: AwsError) -> None:
        """Go on after an error: reading logs never ends a run. What is lost shows in `log_complete`."""
        now = self._clock.now()
        if error.kind is Kind.NOT_FOUND:
            self._not_there(stream, now)
            return
        stream.failures += 1
        if not error.temporary:
            self._finish(stream, str(error))
            return
        if stream.failures == 1:
            logger.info("The log stream %s cannot be read for now; it is tried again. %s", stream.name, error)
        if stream.stopped_at is not None and now - stream.stopped_at >= LONGEST_DRAIN and stream.failures > 3:
            self._finish(stream, str(error))
            return
        stream.due = now + backoff(stream.failures, self._clock, first=1.0, most=10.0)

    def _not_there(self, stream: Stream, now: float) -> None:
        """The driver makes the stream with its first lines; until then there is none (and CloudWatch says so)."""
        if stream.stopped_at is not None:
            self._drain_on(stream, now)
            return
        if not stream.hinted and now - stream.opened_at >= HINT_AFTER:
            stream.hinted = True
            logger.warning(
                "The log stream %s of the group %s is not there after %.0f s. Check the region and stream prefix in the log "
                "options, and that the execution role may create streams (logs:CreateLogStream).",
                stream.name,
                stream.group,
                HINT_AFTER,
            )
        stream.due = now + stream.pause
        stream.pause = min(LATEST, stream.pause * 1.5)

    def _finish(self, stream: Stream, lost: str | None = None) -> None:
        stream.show(self._clock.now(), everything=True)
        if lost:
            stream.lost = lost
            logger.warning("Lines of the log stream %s may be missing: %s", stream.name, lost)
        stream.done.call()


_readers: RunVar[dict[tuple[Any, ...], LogReader]] = RunVar("ecs_block_log_readers")


def reader_for(conversation: Conversation) -> LogReader:
    """Give the log reader that this event loop shares for one client."""
    try:
        known = _readers.get()
    except LookupError:
        known = {}
        _readers.set(known)
    key = (conversation.aws.key, id(conversation.clock))
    if key not in known:
        known[key] = LogReader(conversation)
    return known[key]


def stream_name(options: Mapping[str, str], container: str, task: Mapping[str, Any]) -> str | None:
    """Tell the stream of a container: `prefix/container/task-id`; without a prefix it is the runtime's id, if known by now."""
    prefix = options.get("awslogs-stream-prefix")
    if prefix:
        return f"{prefix}/{container}/{str(task['taskArn']).rsplit('/', 1)[-1]}"
    runtime = (item.get("runtimeId") for item in task.get("containers") or [] if item.get("name") == container)
    return next(runtime, None)
