"""What one run shows on a terminal: a line for each step that is done, and one that moves, at the bottom.

✓ network     default VPC, 3 subnets
✓ definition  ecs-block-93a4c1:3 reused
✓ task        8f0c5a6e5d0b4a7f9f5a3a1b6c2d7e80
  run id      nightly-2026-11-20
✓ started     after 15 s: PROVISIONING 12 s, PENDING 3 s
⠹ running     1:05
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from rich.spinner import Spinner
from rich.text import Text

from ecs_block import events
from ecs_block.arn import short_name
from ecs_block.cli.live import Line
from ecs_block.cli.paint import LABEL, Painter, Tone
from ecs_block.cli.words import INTERRUPTED, clock, network_of, step_of, task_id, took
from ecs_block.events import Event
from ecs_block.plan.terminal import safe_for_terminal

_FRAMES = Spinner("dots").frames
_FRAME = 0.1  # seconds
_BEFORE = ("PROVISIONING", "PENDING", "ACTIVATING")

Clock = Callable[[], float]


class Step(NamedTuple):
    """A line that stays."""

    tone: Tone
    label: str
    text: str


class Progress(Protocol):
    """What shows on a terminal how a run proceeds."""

    def event(self, event: Event) -> Sequence[Step]:
        """Take note of what happens, and give the lines that stay of it."""

    def stopping(self) -> None:
        """Show from now on that the end is being waited for."""

    def lines(self, width: int) -> Sequence[Line]:
        """Give the lines that move."""


class OneTask:
    """The progress of one run. Told by the event loop's thread, painted by the writer's."""

    def __init__(self, painter: Painter, run_id: str | None, clock: Clock = time.monotonic) -> None:
        self._painter = painter
        self._run_id = run_id
        self._clock = clock
        self._lock = threading.Lock()
        self._began = clock()
        self._doing, self._more = "preparing", ""
        self._since = self._began
        self._launched_at: float | None = None
        self._states: dict[str, str] = {}
        self._past: list[tuple[str, float]] = []  # the states that a single task has left, and how long it had them
        self._seen_to_start = False
        self._stopping = False

    def event(self, event: Event) -> list[Step]:
        """Take note of what happens, and give the lines that stay of it."""
        with self._lock:
            return self._noted(event)

    def stopping(self) -> None:
        """Show from now on that the end is being waited for."""
        with self._lock:
            if not self._stopping:
                self._stopping = True
                self._say("stopping")

    def _noted(self, event: Event) -> list[Step]:
        match event:
            case events.NetworkReady():
                return [Step("step", "network", network_of(event))]
            case events.DefinitionReady(task_definition_arn=arn, registered=registered):
                self._say("launching")
                how = "registered" if registered else "reused"
                return [Step("step", "definition", f"{short_name(arn)} {how}")]
            case events.LaunchDelayed():
                self._say("waiting", safe_for_terminal(step_of(event, None) or ""))
            case events.TaskLaunched():
                return self._launched(event)
            case events.StatusChanged(identifier=identifier, status=status):
                return self._changed(identifier, status)
            case events.StopRequested(reason=reason):
                self._stopping = True
                self._say("stopping")
                return [] if reason == INTERRUPTED else [Step("note", "stopping", reason)]
        return []

    def _say(self, doing: str, more: str = "") -> None:
        self._doing, self._more = doing, more
        self._since = self._clock()

    def _launched(self, event: events.TaskLaunched) -> list[Step]:
        first = self._launched_at is None or event.attempt > 1
        if event.attempt > 1 and self._states and all(state == "STOPPED" for state in self._states.values()):
            self._states.clear()
            self._past.clear()
        if first:
            self._launched_at = self._clock()
            self._say("launched")
        self._states[event.identifier] = ""
        self._seen_to_start = not event.taken_up
        told = [f"attempt {event.attempt}"] if event.attempt > 1 else []
        told += ["taken up"] if event.taken_up else []
        text = task_id(event.identifier) + (f"  {', '.join(told)}" if told else "")
        steps = [Step("step", "task", text)]
        if first and event.attempt == 1 and self._run_id is not None:
            steps.append(Step("note", "run id", self._run_id))
        return steps

    def _changed(self, identifier: str, status: str) -> list[Step]:
        before = self._states.get(identifier, "")
        self._states[identifier] = status
        if len(self._states) > 1:
            return []
        now = self._clock()
        if before:
            self._past.append((before, now - self._since))
            self._seen_to_start = True
        if not self._stopping:
            self._say(status)
        if status != "RUNNING" or not self._seen_to_start:
            return []
        started = [Step("step", "started", self._start_told(now))]
        self._past.clear()
        return started

    def _start_told(self, now: float) -> str:
        total = now - (self._launched_at if self._launched_at is not None else self._began)
        parts = [f"{state} {clock(seconds)}" for state, seconds in self._past if seconds >= 1]
        return f"after {took(total)}" + (f": {', '.join(parts)}" if parts else "")

    # --- painting --------------------------------------------------------------------------------------------------

    def lines(self, width: int) -> Sequence[Line]:
        """Give the line that moves."""
        with self._lock:
            now = self._clock()
            frame = _FRAMES[int((now - self._began) / _FRAME) % len(_FRAMES)]
            label, told = self._told(now)
        text = Text.assemble((frame, "cyan"), " ", (f"{label:<{LABEL}}", "cyan"), told)
        return [self._painter.cut(text, width)]

    def _told(self, now: float) -> tuple[str, Text]:
        spent = clock(now - self._since)
        if len(self._states) > 1 and not self._stopping:
            count = Counter(state or "PROVISIONING" for state in self._states.values())
            counts = ", ".join(f"{number} {state}" for state, number in count.items())
            return f"{len(self._states)} tasks", Text.assemble(spent, (f"  {counts}", "dim"))
        if self._more:
            return self._doing, Text.assemble(spent, (f"  {self._more}", "dim"))
        if self._doing == "RUNNING" or not self._doing.isupper():
            told = spent if self._seen_to_start or self._doing != "RUNNING" else f"watched for {spent}"
            return self._doing.lower(), Text(told)
        past = "".join(f"{state} {clock(seconds)} → " for state, seconds in self._past)
        label = "starting" if self._doing in _BEFORE else "ending"
        return label, Text.assemble((past, "dim"), f"{self._doing} {spent}")
