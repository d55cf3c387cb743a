"""What happens is told twice: to the stdlib logger `ecs_block`, and to the hook that was given as `on_event=`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TextIO

from ecs_block import events
from ecs_block.arn import short_name
from ecs_block.events import Event, Hook
from ecs_block.plan.follow import LogEvent
from ecs_block.plan.result import ECSTaskResult
from ecs_block.plan.terminal import safe_for_terminal

logger = logging.getLogger("ecs_block")


class Teller:
    """Tells what happens in a run. `name` is the task's, shown in log lines; `output` takes the container's lines."""

    def __init__(self, name: str | None, hook: Hook | None, output: TextIO | None) -> None:
        self._prefix = f"{name}: " if name else ""
        self._hook = hook
        self._output = output

    def network(self, vpc_id: str | None, subnets: tuple[str, ...]) -> None:
        """Tell in which subnets the task may run."""
        logger.info("%sNetwork: %d subnets of %s.", self._prefix, len(subnets), vpc_id or "the default VPC")
        self._event(events.NetworkReady(vpc_id, subnets))

    def definition(self, arn: str, *, registered: bool) -> None:
        """Tell which definition runs."""
        logger.info("%sTask definition %s %s.", self._prefix, arn, "registered" if registered else "reused")
        self._event(events.DefinitionReady(arn, registered))

    def delayed(self, reason: str, seconds: float) -> None:
        """Tell that RunTask is asked again."""
        logger.info("%sNo task yet: %s. Asking again in %.0f s.", self._prefix, reason.rstrip("."), seconds)
        self._event(events.LaunchDelayed(reason, seconds))

    def launched(self, identifier: str, definition: str, attempt: int, *, taken_up: bool = False) -> None:
        """Tell that AWS accepted a task; or that the run was begun before, and its task is taken up."""
        logger.info("%sTask %s %s.", self._prefix, identifier, "is taken up again" if taken_up else "launched")
        self._event(events.TaskLaunched(identifier, definition, attempt, taken_up))

    def status(self, identifier: str, status: str, previous: str | None) -> None:
        """Tell a new status."""
        logger.info("%sTask %s is %s.", self._prefix, short_name(identifier.rsplit("::", 1)[-1]), status)
        self._event(events.StatusChanged(identifier, status, previous))

    def stopping(self, identifier: str, reason: str) -> None:
        """Tell that the task is being stopped by this run."""
        logger.info("%sStopping task %s: %s.", self._prefix, identifier, reason)
        self._event(events.StopRequested(identifier, reason))

    def ended(self, result: ECSTaskResult) -> None:
        """Tell how a task ended."""
        reason = f" {result.reason}" if result.reason and not result else ""
        logger.info("%s%s%s", self._prefix, result.headline(), reason)
        self._event(events.TaskEnded(result.identifier or "", result))

    def trouble(self, message: str, identifier: str | None = None) -> None:
        """Tell what does not end the run."""
        logger.warning("%s%s", self._prefix, message)
        self._event(events.Trouble(message, identifier))

    def lines(self, identifier: str, *, prefix: str = "") -> Callable[[Sequence[LogEvent]], None]:
        """Give a sink for a task's output: to the stream, and a `LogLine` for each line."""

        def sink(lines: Sequence[LogEvent]) -> None:
            # Looked up when it is written: a notebook or a test may have replaced the stream meanwhile.
            write_lines(self._output or sys.stderr, lines, prefix=prefix)
            if self._hook is not None:
                for line in lines:
                    at = datetime.fromtimestamp(line.timestamp / 1000, UTC)
                    self._event(events.LogLine(identifier, at, line.message))

        return sink

    def _event(self, event: Event) -> None:
        if self._hook is None:
            return
        try:
            self._hook(event)
        except Exception:
            hook, self._hook = self._hook, None
            logger.exception("%sThe hook %r raised, and is not called any more; the run goes on.", self._prefix, hook)


def write_lines(output: TextIO, lines: Sequence[LogEvent], *, prefix: str = "", stamped: bool = False) -> None:
    """Write a container's lines as they are; to a terminal without what could steer it. `stamped`: with their times."""
    messages = [line.message for line in lines]
    if _is_terminal(output):
        messages = [safe_for_terminal(message) for message in messages]
    stamps = [f"{stamp_of(line)} " if stamped else "" for line in lines]
    output.write("".join(f"{prefix}{stamp}{message}\n" for stamp, message in zip(stamps, messages, strict=True)))
    output.flush()


def stamp_of(line: LogEvent) -> str:
    """Write the time of a line: ISO 8601, UTC, to the millisecond."""
    at = datetime.fromtimestamp(line.timestamp / 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{line.timestamp % 1000:03}Z"


def _is_terminal(output: TextIO) -> bool:
    isatty = getattr(output, "isatty", None)  # what a caller gives may have no more than write and flush
    return bool(isatty and isatty())
