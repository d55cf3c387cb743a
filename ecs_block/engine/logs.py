"""The shared log reader: one for each client and region of an event loop.

A stream is read along its forward token, which is cheap and misses what becomes readable late. So from time to time, and
after the task has stopped, a window is read again from its start (a sweep), and what it holds more often than was shown is
new (`ecs_block.plan.follow`). After the stop, sweeps go on until nothing new has come for a while. Where several streams of a
group are to be swept, one FilterLogEvents does it for a hundred of them.

What all streams together may ask of CloudWatch is kept by `pace`; here the reads of many streams are spread over it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

from anyio.lowlevel import RunVar

from ecs_block.aws import redactor
from ecs_block.engine.clock import backoff
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.pace import rate_of
from ecs_block.engine.relay import Relay
from ecs_block.engine.stream import HOLD, LATEST, SWEEP_EVERY, Sink, Stream
from ecs_block.errors import AwsError, Kind
from ecs_block.plan.follow import Follower, LogEvent

logger = logging.getLogger("ecs_block")

CALLS_A_READ = 2.5  # a page, the page that says it was the last one, and some room
WORTH_READING_TOGETHER = 4  # streams; FilterLogEvents has the smaller quota
MOST_TOGETHER = 100  # API reference, FilterLogEvents, logStreamNames
PAGES_A_TURN = 20  # then another stream has its turn, and the watcher hears of the time that passed
LONGEST_DRAIN = 30.0  # seconds after which a stream that still brings new lines is given up
HINT_AFTER = 60.0  # seconds without a stream after which a hint is given


class LogReader:
    """Reads the streams of all runs in turn."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._clock = conversation.clock
        self._streams: dict[int, Stream] = {}
        self._relay = Relay(self._turn, conversation.clock)

    def open(self, group: str, name: str, region: str | None, sink: Sink, follower: Follower | None = None) -> Stream:
        """Begin to follow a stream, from where a `follower` stands if there is one."""
        stream = Stream(group, name, region, sink, self._clock.now(), follower)
        self._streams[id(stream)] = stream
        self._relay.poke()
        return stream

    def stopped(self, stream: Stream, *, complete_at_stop: bool = False) -> None:
        """Note that the task has stopped: from now on the stream is drained.

        `complete_at_stop` says that the platform makes all lines readable before it says STOPPED.
        """
        if stream.stopped_at is None:
            stream.stop(self._clock.now(), complete_at_stop)
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
        first = min(open_streams, key=lambda stream: stream.due, default=None)
        rest = 3600.0 if first is None else first.due - now
        if any(len(other.settling) for other in open_streams):
            rest = min(rest, HOLD / 4)
        if first is None or rest > 0:
            await self._relay.rest(max(rest, 0.001))
            return
        due = [stream for stream in open_streams if stream.due <= now and stream.may_be_read_with(first)]
        together = {stream.name: stream for stream in [*due, first]}  # of runs that follow the same one, one at a time
        if first.may_be_read_with(first) and len(together) >= WORTH_READING_TOGETHER:
            await self._read_together(list(together.values())[-MOST_TOGETHER:])
        else:
            await self._read(first)

    async def _read_together(self, streams: list[Stream]) -> None:
        """Sweep up to a hundred streams of a group with FilterLogEvents, which gives them all in one page after the other."""
        windows = [stream.begin_sweep(self._clock.now()) for stream in streams]
        by_name = {stream.name: stream for stream in streams}
        token: dict[str, str] = {}
        while True:
            try:
                answer = await self._conversation.call(
                    "logs",
                    "FilterLogEvents",
                    region=streams[0].region,
                    logGroupName=streams[0].group,
                    logStreamNames=list(by_name),
                    startTime=min(windows),
                    **token,
                )
            except AwsError as error:
                self._not_together(streams, error)
                return
            for name, events in _by_stream(answer.get("events") or []).items():
                by_name[name].take(events, self._clock.now())
            if not answer.get("nextToken"):  # empty pages may come before the end, so only this is it
                break
            token = {"nextToken": answer["nextToken"]}
        for stream in streams:
            self._reached_end(stream, self._clock.now())

    def _not_together(self, streams: list[Stream], error: AwsError) -> None:
        """After an error with several streams: one of them may not be there, so each is asked for by itself next time."""
        for stream in streams:
            stream.window = None
            if error.temporary:
                self._failed(stream, error)
            else:
                stream.alone, stream.due = True, self._clock.now()

    async def _read(self, stream: Stream) -> None:
        now = self._clock.now()
        if stream.window is None and (stream.may_be_swept or now - stream.swept_at >= SWEEP_EVERY):
            stream.begin_sweep(now)
        for _ in range(PAGES_A_TURN):
            try:
                at_end = await self._page(stream)
            except AwsError as error:
                self._failed(stream, error)
                return
            if at_end:
                self._reached_end(stream, self._clock.now())
                return
            stream.show(self._clock.now())  # what need not wait is not kept
        stream.due = self._clock.now()  # there is more: after the others

    async def _page(self, stream: Stream) -> bool:
        """Read one page; returns whether it was the last."""
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
        stream.take(events, self._clock.now())
        token = answer.get("nextForwardToken")
        # Pages may be empty before the end; only a token that repeats is the end (API reference, GetLogEvents).
        at_end = token is None or token == stream.token
        stream.token = token or stream.token
        return at_end

    def _reached_end(self, stream: Stream, now: float) -> None:
        stream.end_sweep()
        stream.failures = 0
        if stream.stopped_at is None:
            stream.pause = min(LATEST, stream.pause * 1.5)
            region = stream.region or self._conversation.aws.region
            stream.due = now + max(stream.pause, self._calls_for_all() / rate_of("GetLogEvents", region))
        else:
            self._drain_on(stream, now)

    def _calls_for_all(self) -> float:
        """Give about how many calls it takes to read every stream once."""
        alone = sum(stream.alone or not stream.may_be_swept for stream in self._streams.values())
        together = len(self._streams) - alone
        return alone * CALLS_A_READ + (
            together if together < WORTH_READING_TOGETHER else math.ceil(together / MOST_TOGETHER)
        )

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
                redactor().text(stream.name),
                redactor().text(stream.group),
                HINT_AFTER,
            )
        stream.due = now + stream.pause
        stream.pause = min(LATEST, stream.pause * 1.5)

    def _finish(self, stream: Stream, lost: str | None = None) -> None:
        stream.show(self._clock.now(), everything=True)
        if lost:
            stream.lost = lost
            logger.warning("Lines of the log stream %s may be missing: %s", redactor().text(stream.name), lost)
        stream.done.call()


# Each lives as long as a run uses it, and so do the clients that it holds.
_readers: RunVar[WeakValueDictionary[tuple[Any, ...], LogReader]] = RunVar("ecs_block_log_readers")


def reader_for(conversation: Conversation) -> LogReader:
    """Give the log reader that this event loop shares for one client."""
    try:
        known = _readers.get()
    except LookupError:
        known = WeakValueDictionary()
        _readers.set(known)
    key = (conversation.aws.key, id(conversation.clock))
    found = known.get(key)
    if found is None:
        known[key] = found = LogReader(conversation)
    return found


def _by_stream(events: Sequence[Mapping[str, Any]]) -> dict[str, list[LogEvent]]:
    found: dict[str, list[LogEvent]] = {}
    for event in events:
        found.setdefault(str(event.get("logStreamName")), []).append(LogEvent.from_api(event))
    return found


def stream_name(options: Mapping[str, str], container: str, task: Mapping[str, Any]) -> str | None:
    """Tell the stream of a container: `prefix/container/task-id`; without a prefix it is the runtime's id, if known by now."""
    prefix = options.get("awslogs-stream-prefix")
    if prefix:
        return f"{prefix}/{container}/{str(task['taskArn']).rsplit('/', 1)[-1]}"
    runtime = (item.get("runtimeId") for item in task.get("containers") or [] if item.get("name") == container)
    return next(runtime, None)
