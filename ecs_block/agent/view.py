"""What an agent knows of its jobs, for people and for machines that ask whether it works.

The event loop writes, the threads of the status page read; a lock is between them. Of jobs that have ended only the last ones
are kept, so an agent that has run a million jobs takes no more memory than one that has run a hundred.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal

from ecs_block.events import Event, Hook

JobState = Literal["launching", "running", "done", "failed", "rejected", "duplicate", "passed on", "handed back"]
AgentState = Literal["starting", "polling", "full", "backing off", "stopping", "stopped"]

KEPT = 200  # jobs that have ended
SHOWN = 500  # jobs under way
SILENT_FOR = 30.0  # seconds without a sign of life after which the event loop hangs
MANY_FAILURES = 3  # launches in a row that failed, and not for the job's sake


@dataclass(slots=True)
class JobLine:
    """One job, as it is shown. It holds no command, environment or parameters: they may be secret."""

    id: str
    name: str | None
    state: JobState
    received_at: str
    run_id: str = ""
    task: str | None = None
    launched_at: str | None = None
    ended_at: str | None = None
    outcome: str | None = None
    status_code: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class JobChanged(Event):
    """A job of the agent has come to a new state."""

    id: str
    name: str | None
    state: JobState
    task: str | None = None
    reason: str = ""


class View:
    """What is known. `now` is a clock that only goes forward, `wall` the time of day."""

    def __init__(
        self, about: dict[str, Any], now: Callable[[], float], wall: Callable[[], datetime], hook: Hook | None = None
    ) -> None:
        self._about = about
        self._now = now
        self._wall = wall
        self._hook = hook
        self._lock = threading.Lock()
        self._under_way: dict[str, JobLine] = {}
        self._ended: deque[JobLine] = deque(maxlen=KEPT)
        self._started_at = self._time()
        self._beat_at = now()
        self._polled_at: str | None = None
        self._trouble: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self.queue: dict[str, int] = {}
        self.state: AgentState = "starting"
        self.failures = 0
        """Launches in a row that failed, and not for the job's sake."""

    # --- what the agent tells ---

    def beat(self) -> None:
        """Note that the event loop is alive."""
        self._beat_at = self._now()

    def polled(self, messages: int) -> None:
        """Note that the queue has answered."""
        with self._lock:
            self._polled_at = self._time()
            self.counts["polls"] += 1
            self.counts["messages"] += messages
            self.counts["idle polls"] += not messages
            self.state = "polling" if self.state != "stopping" else self.state
        self.well("queue")

    def trouble(self, what: str, message: str) -> bool:
        """Note what stands in the way; True when that is news."""
        with self._lock:
            news = what not in self._trouble
            self._trouble[what] = message
        return news

    def well(self, what: str) -> bool:
        """Note that something stands in the way no more; True when it did."""
        with self._lock:
            return self._trouble.pop(what, None) is not None

    def job(self, key: str, job_id: str, name: str | None, run_id: str = "") -> JobLine:
        """Note a job that is looked after from now on."""
        line = JobLine(job_id, name, "launching", self._time(), run_id)
        with self._lock:
            self._under_way[key] = line
        self._tell(line)
        return line

    def launched(self, line: JobLine, task: str) -> None:
        """Note that AWS has accepted a job's task."""
        with self._lock:
            line.task, line.launched_at, line.state = task, self._time(), "running"
            self.counts["launched"] += 1
        self._tell(line)

    def over(self, key: str, state: JobState, reason: str = "", outcome: Any = None) -> None:
        """Note that nothing more is done for a job here."""
        with self._lock:
            line = self._under_way.pop(key, None)
            if line is None:
                return
            line.state, line.reason, line.ended_at = state, reason, self._time()
            if outcome is not None:
                line.outcome, line.status_code = outcome.outcome, outcome.status_code
            self._keep(line)
        self._tell(line)

    def left(self, key: str) -> None:
        """Note that a job is not looked after any more, whatever becomes of it; nothing where that was said."""
        with self._lock:
            self._under_way.pop(key, None)

    def passing(self, job_id: str, name: str | None, state: JobState, reason: str = "") -> None:
        """Note a message that was never under way: no job, a duplicate, another agent's."""
        line = JobLine(job_id, name, state, self._time(), reason=reason)
        with self._lock:
            self._keep(line)
        self._tell(line)

    # --- what is read ---

    def health(self) -> tuple[bool, str]:
        """Tell whether the queue is polled and jobs can be launched, and why not."""
        with self._lock:
            if self._now() - self._beat_at > SILENT_FOR:
                return False, "the agent does not answer any more"
            if self._trouble:
                return False, " ".join(self._trouble.values())
            if self.state in ("starting", "stopping", "stopped"):
                return False, f"the agent is {self.state}"
            return True, "the queue is polled" if self.state == "polling" else "all slots are taken"

    def snapshot(self) -> dict[str, Any]:
        """Give everything as plain JSON."""
        healthy, reason = self.health()
        with self._lock:
            waiting = sum(line.state == "launching" for line in self._under_way.values())
            counts = {name: self.counts[name] for name in _COUNTED}
            under_way = sorted(self._under_way.values(), key=lambda line: line.received_at, reverse=True)
            return {
                "agent": {**self._about, "started_at": self._started_at, "state": self.state},
                "health": {"healthy": healthy, "reason": reason, "polled_at": self._polled_at},
                "queue": dict(self.queue),
                "counts": {"launching": waiting, "running": len(self._under_way) - waiting, **counts},
                "jobs": [_plain(line) for line in (*under_way[:SHOWN], *reversed(self._ended))],
            }

    # --- inside ---

    def _keep(self, line: JobLine) -> None:
        self._ended.append(line)
        self.counts[line.state] += 1

    def _tell(self, line: JobLine) -> None:
        if self._hook is not None:
            self._hook(JobChanged(line.id, line.name, line.state, line.task, line.reason))

    def _time(self) -> str:
        return self._wall().astimezone(UTC).isoformat(timespec="seconds")


_COUNTED = (
    "done", "failed", "rejected", "duplicate", "passed on", "handed back", "launched", "messages", "polls",
    "idle polls",
)  # fmt: skip
_FIELDS = tuple(field.name for field in fields(JobLine))


def _plain(line: JobLine) -> dict[str, Any]:
    return {name: getattr(line, name) for name in _FIELDS}
