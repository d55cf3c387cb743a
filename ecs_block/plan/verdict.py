"""What became of a task: a total function from stop code, exit codes and reasons to one outcome.

Sources: Amazon ECS developer guide, "Stopped task error codes"; API reference, Task.stopCode. AWS adds stop codes, so an
unknown one is judged by what the containers say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, Literal

from ecs_block.arn import get_container

Outcome = Literal["succeeded", "failed", "start_failed", "stopped", "interrupted", "unknown"]
OUTCOMES: tuple[Outcome, ...] = ("succeeded", "failed", "start_failed", "interrupted", "stopped", "unknown")

NO_EXIT_CODE = -1

_INTERRUPTIONS = {
    "SpotInterruption": "spot",
    "TerminationNotice": "host",
    "InfrastructureHealth": "host",
    "ServiceSchedulerInitiated": "scheduler",
}
_INTERRUPTION_REASONS = re.compile(
    r"Your Spot Task was interrupted|SpotInterruptionError|maintenance on the underlying infrastructure"
    r"|Host EC2 \(instance .+?\) (stopped|terminated)",
    re.IGNORECASE,
)
_KILLED = (137, 143)  # 128 + SIGKILL, 128 + SIGTERM
_OUT_OF_MEMORY = re.compile(r"OutOfMemory", re.IGNORECASE)
# AWS adds these containers to a task; their end does not end it (developer guide, "Amazon ECS task state change events").
_ADDED_BY_AWS = re.compile(r"aws-guardduty-agent|ecs-service-connect")


@dataclass(frozen=True)
class Verdict:
    """The outcome, the exit code of the main container (-1 when it never gave one) and the reason in AWS's words."""

    outcome: Outcome
    status_code: int
    reason: str


def judge(task: Mapping[str, Any], main: str, essential: Set[str] | None = None) -> Verdict:
    """Judge a stopped task, as DescribeTasks gives it.

    `main` is the container that ran the command, `essential` the essential containers of its definition (None: unknown,
    then any of them may be).
    """
    containers = task.get("containers") or []
    container = get_container(containers, main) or {}
    exit_code = container.get("exitCode")
    status_code = NO_EXIT_CODE if exit_code is None else int(exit_code)
    reason = _reason(task, container)
    stop_code = task.get("stopCode")
    if _interrupted(stop_code, task):
        return Verdict("interrupted", status_code, reason)
    if stop_code == "TaskFailedToStart" or _never_started(stop_code, task, exit_code):
        return Verdict("start_failed", status_code, reason)
    if stop_code == "UserInitiated":
        return Verdict("stopped", status_code, reason)
    if exit_code is None:
        return Verdict("failed", NO_EXIT_CODE, f"The container {main!r} gave no exit code. {reason}".strip())
    if exit_code == 0:
        return Verdict("succeeded", 0, reason)
    killed_by_another = exit_code in _KILLED and not _OUT_OF_MEMORY.search(container.get("reason") or "")
    sidecar = _sidecar_that_ended_it(containers, main, essential) if killed_by_another else None
    if sidecar:
        return Verdict("failed", status_code, f"{sidecar} {reason}".strip())
    return Verdict("failed", status_code, reason)


def interruption(task: Mapping[str, Any]) -> str | None:
    """Name the kind of an interruption (`spot`, `host`, `scheduler`); None when the task was not interrupted."""
    stop_code = task.get("stopCode")
    if not _interrupted(stop_code, task):
        return None
    return _INTERRUPTIONS.get(stop_code or "", "host")


def _interrupted(stop_code: str | None, task: Mapping[str, Any]) -> bool:
    if stop_code in _INTERRUPTIONS:
        return True
    # Where a person or the program ended the task, its reason is theirs and proves nothing.
    if stop_code in ("UserInitiated", "EssentialContainerExited"):
        return False
    return bool(_INTERRUPTION_REASONS.search(task.get("stoppedReason") or ""))


def _never_started(stop_code: str | None, task: Mapping[str, Any], exit_code: int | None) -> bool:
    return stop_code is None and task.get("startedAt") is None and exit_code is None


def _reason(task: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    """Join what the task and its containers say, the main container's words next to the task's."""
    others = [item.get("reason") for item in task.get("containers") or [] if item is not container]
    said = [task.get("stoppedReason"), container.get("reason"), *others]
    return " ".join(dict.fromkeys(_sentence(text) for text in said if text))


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _sidecar_that_ended_it(containers: Any, main: str, essential: Set[str] | None) -> str | None:
    """Name the essential container whose end got the main container killed.

    The main one was signalled. A sidecar that was signalled as well did not start it; one that ended on its own did.
    """
    for container in containers:
        name, code = container.get("name"), container.get("exitCode")
        if name == main or code is None or code in _KILLED:
            continue
        if name in essential if essential is not None else not _ADDED_BY_AWS.match(str(name)):
            return f"The essential container {name!r} exited with {code} first, which stopped {main!r}."
    return None


def worst(outcomes: list[Outcome]) -> int:
    """Give the index of the outcome that speaks for several tasks: any but success wins over success."""
    ranks = {"succeeded": 0, "stopped": 1, "interrupted": 2, "failed": 3, "start_failed": 4, "unknown": 5}
    return max(range(len(outcomes)), key=lambda index: ranks[outcomes[index]])
