"""Who is told what becomes of a flow run: Prefect, its log, and the worker's own output."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from ecs_block import events
from ecs_block.arn import short_name
from ecs_block.errors import EcsBlockError
from ecs_block.events import Event
from ecs_block.plan.result import ECSTaskResult

if TYPE_CHECKING:
    import logging

Placed = Callable[[str], object]


class Following:
    """The hook of one flow run: its events become lines of the flow run's log, and its task is told to Prefect."""

    def __init__(self, logger: logging.LoggerAdapter[Any], started: Placed, moved: Placed) -> None:
        self._logger = logger
        self._started, self._moved = started, moved
        self.identifier: str | None = None
        """The task that AWS accepted last."""

    def __call__(self, event: Event) -> None:
        """Take an event of the engine."""
        if isinstance(event, events.TaskLaunched):
            self._launched(event)
        if (line := line_of(event)) is not None:
            trouble = isinstance(event, events.Trouble)
            (self._logger.warning if trouble else self._logger.info)("%s", line)

    def _launched(self, event: events.TaskLaunched) -> None:
        tell = self._started if self.identifier is None else self._moved
        if event.identifier != self.identifier:
            self.identifier = event.identifier
            tell(event.identifier)

    def at(self, identifier: str) -> None:
        """Tell Prefect of a task that the journal has, if it was not told of any."""
        if self.identifier is None:
            self.identifier = identifier
            self._started(identifier)


def line_of(event: Event) -> str | None:
    """Give the line of an event in the log of its flow run; None for what is not told there."""
    match event:
        case events.LaunchDelayed(reason, delay):
            return f"No task yet: {reason.rstrip('.')}. Asking again in {delay:.0f} s."
        case events.TaskLaunched(identifier, definition, _, taken_up):
            return f"Task {identifier} {'is taken up again' if taken_up else 'launched'}, of {short_name(definition)}."
        case events.StatusChanged(identifier, status, _):
            return f"Task {short_name(identifier.rpartition('::')[2])} is {status}."
        case events.StopRequested(identifier, reason):
            return f"Stopping task {identifier}: {reason}."
        case events.TaskEnded(_, result):
            return result.headline()
        case events.Trouble(message, _):
            return message
    return None


def crash_of(result: ECSTaskResult) -> str:
    """Say why a flow run has crashed: AWS's reason, our advice, and the last lines that were seen."""
    if result.error is not None:
        return str(result.error)
    return result.describe_failure()


def nothing_ran(result: ECSTaskResult) -> str:
    """Say that a task has ended well, and no flow was run in it."""
    return (
        f"Task {result.identifier} ended with exit code 0, and nothing in it has run the flow. Its command must do that: "
        "leave `command` unset for Prefect's own, or let yours end with `prefect flow-run execute`."
    )


def told_by(error: EcsBlockError) -> str:
    """Say what an error says; its task's last lines, where it has some."""
    result = getattr(error, "result", None)
    tail = result.log_tail if isinstance(result, ECSTaskResult) else ()
    return "\n".join([str(error), *(f"    {line}" for line in tail)])


class Named:
    """A stream in which each line of a container says whose it is, for many runs write there at once."""

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self._name = name
        self._stream = stream

    def write(self, text: str) -> int:
        """Write whole lines."""
        lines = "".join(f"{self._name} | {line}\n" for line in text.removesuffix("\n").split("\n"))
        return self._to.write(lines)

    def flush(self) -> None:
        """Let them be seen."""
        self._to.flush()

    def isatty(self) -> bool:
        """Tell whether they go to a terminal: then nothing that could steer it is written."""
        return self._to.isatty()

    @property
    def _to(self) -> TextIO:
        return self._stream or sys.stderr
