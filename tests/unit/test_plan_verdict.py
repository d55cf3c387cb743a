"""What became of a task: from stop code, exit codes and reasons to one outcome."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_block.plan import verdict
from ecs_block.plan.verdict import OUTCOMES, Verdict, interruption, judge

STOP_CODES = [
    "TaskFailedToStart",
    "EssentialContainerExited",
    "UserInitiated",
    "ServiceSchedulerInitiated",
    "SpotInterruption",
    "TerminationNotice",
    "InfrastructureHealth",
]
reasons = st.text(max_size=20) | st.sampled_from(
    [
        "Your Spot Task was interrupted.",
        "Host EC2 (instance i-0) terminated.",
        "OutOfMemoryError",
        "Essential container in task exited",
    ]
)
containers = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["main", "side", "aws-guardduty-agent-x"]) | st.text(max_size=5),
        "exitCode": st.none() | st.sampled_from([0, 1, 137, 139, 143]) | st.integers(0, 255),
        "reason": st.none() | reasons,
        "lastStatus": st.just("STOPPED"),
    },
)
tasks = st.fixed_dictionaries(
    {},
    optional={
        "stopCode": st.none() | st.sampled_from(STOP_CODES) | st.text(max_size=12),
        "stoppedReason": st.none() | reasons,
        "startedAt": st.none() | st.datetimes(),
        "containers": st.none() | st.lists(containers, max_size=4),
        "lastStatus": st.just("STOPPED"),
    },
)
essentials = st.none() | st.frozensets(st.sampled_from(["main", "side"]))


def main_exit_code(task: dict[str, Any]) -> int | None:
    found = [item for item in task.get("containers") or [] if item.get("name") == "main"]
    return found[0].get("exitCode") if found else None


@given(tasks, essentials)
def test_every_task_has_a_verdict(task: dict[str, Any], essential: frozenset[str] | None) -> None:
    """Whatever AWS says of a stopped task, there is one outcome, and it keeps these promises."""
    judged = judge(task, "main", essential)
    code = main_exit_code(task)
    assert judged.outcome in OUTCOMES
    assert judged.status_code == (-1 if code is None else code)
    if judged.outcome == "succeeded":
        assert code == 0
    if task.get("stopCode") == "UserInitiated":
        assert judged.outcome == "stopped"
    if task.get("stopCode") in ("SpotInterruption", "TerminationNotice", "InfrastructureHealth"):
        assert judged.outcome == "interrupted"
    if task.get("stopCode") == "TaskFailedToStart":
        assert judged.outcome in ("start_failed", "interrupted")
    if task.get("stopCode") == "EssentialContainerExited" and code:
        assert judged.outcome == "failed"
    assert (judged.outcome == "interrupted") == (interruption(task) is not None)


def task_of(stop_code: str | None, exit_code: int | None = None, reason: str = "", **more: Any) -> dict[str, Any]:
    main = {"name": "main"} | ({} if exit_code is None else {"exitCode": exit_code})
    task = {"stopCode": stop_code, "stoppedReason": reason, "startedAt": "then", "containers": [main]}
    return task | more


EXITED = "EssentialContainerExited"
MAINTENANCE = "ECS is performing maintenance on the underlying infrastructure hosting the task"
TABLE = {
    "exit 0": (task_of(EXITED, 0), "succeeded", 0),
    "exit 0, OOM of a child": (task_of(EXITED, 0, "OutOfMemoryError"), "succeeded", 0),
    "exit 7": (task_of(EXITED, 7), "failed", 7),
    "killed": (task_of(EXITED, 137), "failed", 137),
    "no exit code": (task_of(EXITED), "failed", -1),
    "no containers": (task_of(EXITED, containers=[]), "failed", -1),
    "never started": (task_of("TaskFailedToStart", reason="CannotPullContainerError"), "start_failed", -1),
    "no stop code, never started": (task_of(None, startedAt=None), "start_failed", -1),
    "no stop code, no start seen, exit 0": (task_of(None, 0, startedAt=None), "succeeded", 0),
    "stopped by a user": (task_of("UserInitiated", 143), "stopped", 143),
    "stopped by a user, exit 0": (task_of("UserInitiated", 0), "stopped", 0),
    "stopped by a user who mentions Spot": (
        task_of("UserInitiated", 0, "Your Spot Task was interrupted."),
        "stopped",
        0,
    ),
    "exit 1 of a program that says Spot": (task_of(EXITED, 1, "SpotInterruptionError"), "failed", 1),
    "Spot": (task_of("SpotInterruption", 143), "interrupted", 143),
    "Spot, exit 0 after SIGTERM": (task_of("SpotInterruption", 0), "interrupted", 0),
    "Spot before the start": (
        task_of("TaskFailedToStart", reason="SpotInterruptionError: gone", startedAt=None),
        "interrupted",
        -1,
    ),
    "host gone": (task_of("TerminationNotice"), "interrupted", -1),
    "unhealthy host": (task_of("InfrastructureHealth"), "interrupted", -1),
    "scheduler": (task_of("ServiceSchedulerInitiated", 0), "interrupted", 0),
    "maintenance": (task_of(None, 143, MAINTENANCE), "interrupted", 143),
    "host terminated": (task_of(None, None, "Host EC2 (instance i-0abc) terminated."), "interrupted", -1),
    "a stop code of tomorrow, exit 0": (task_of("SomethingNew", 0), "succeeded", 0),
    "a stop code of tomorrow, exit 1": (task_of("SomethingNew", 1), "failed", 1),
    "a stop code of tomorrow, no exit code": (task_of("SomethingNew"), "failed", -1),
}


@pytest.mark.parametrize(("task", "outcome", "code"), TABLE.values(), ids=TABLE)
def test_decision_table(task: dict[str, Any], outcome: str, code: int) -> None:
    """The decision table, row by row."""
    judged = judge(task, "main")
    assert (judged.outcome, judged.status_code) == (outcome, code)


def test_a_missing_exit_code_is_said() -> None:
    """A container that gave no exit code is named, with what the task and the container say."""
    task = task_of(EXITED, containers=[{"name": "main", "reason": "CannotStartContainerError: no"}])
    judged = judge({**task, "stoppedReason": "Essential container in task exited"}, "main")
    assert judged.reason == (
        "The container 'main' gave no exit code. Essential container in task exited. CannotStartContainerError: no."
    )


def with_side(main_code: int, side: dict[str, Any], main_reason: str | None = None) -> dict[str, Any]:
    main = {"name": "main", "exitCode": main_code, "reason": main_reason}
    return {"stopCode": EXITED, "containers": [side, main]}


SIDECARS = {
    "ended first": (with_side(143, {"name": "side", "exitCode": 3}), {"main", "side"}, True),
    "ended first, essential unknown": (with_side(137, {"name": "side", "exitCode": 3}), None, True),
    "is not essential": (with_side(143, {"name": "side", "exitCode": 3}), {"main"}, False),
    "was signalled as well": (with_side(143, {"name": "side", "exitCode": 143}), {"main", "side"}, False),
    "gave no exit code": (with_side(143, {"name": "side"}), {"main", "side"}, False),
    "main failed by itself": (with_side(1, {"name": "side", "exitCode": 3}), {"main", "side"}, False),
    "main ran out of memory": (
        with_side(137, {"name": "side", "exitCode": 0}, "OutOfMemoryError: Container killed"),
        {"main", "side"},
        False,
    ),
    "is GuardDuty's": (with_side(137, {"name": "aws-guardduty-agent-1a", "exitCode": 1}), None, False),
}


@pytest.mark.parametrize(("task", "essential", "blamed"), SIDECARS.values(), ids=SIDECARS)
def test_a_sidecar_that_ended_the_task(task: dict[str, Any], essential: set[str] | None, blamed: bool) -> None:
    """A main container that was killed is explained by the essential container that ended first, and by no other."""
    judged = judge(task, "main", essential)
    assert judged.outcome == "failed"
    assert ("essential container 'side' exited with" in judged.reason) == blamed
    assert "guardduty" not in judged.reason.split("exited with")[0] or blamed


def test_added_containers_are_ignored() -> None:
    """A container that AWS adds decides nothing: the main one is found by its name, wherever it stands."""
    task = task_of(
        EXITED, containers=[{"name": "aws-guardduty-agent-1a", "exitCode": 9}, {"name": "main", "exitCode": 0}]
    )
    assert judge(task, "main") == Verdict("succeeded", 0, "")


def test_reasons_are_joined_once() -> None:
    """The reason is the task's, then the main container's, then the others', each said once and as a sentence."""
    task = task_of(EXITED, 1, "Out of luck")
    task["containers"] = [
        {"name": "side", "reason": "Out of luck"},
        {"name": "main", "exitCode": 1, "reason": "boom!"},
        {"name": "third", "reason": "also"},
    ]
    assert judge(task, "main").reason == "Out of luck. boom! also."


KINDS = [("SpotInterruption", "spot"), ("TerminationNotice", "host"), ("ServiceSchedulerInitiated", "scheduler")]


@pytest.mark.parametrize(("stop_code", "kind"), KINDS)
def test_kinds_of_interruption(stop_code: str, kind: str) -> None:
    """An interruption has a kind; a task that was not interrupted has none."""
    assert interruption({"stopCode": stop_code}) == kind
    assert interruption({"stopCode": EXITED}) is None


@given(st.lists(st.sampled_from(OUTCOMES), min_size=1))
def test_the_worst_speaks_for_all(outcomes: list[Any]) -> None:
    """Several tasks are a success only if each is, and unknown as soon as one is."""
    speaker = outcomes[verdict.worst(outcomes)]
    assert (speaker == "succeeded") == (set(outcomes) == {"succeeded"})
    assert (speaker == "unknown") == ("unknown" in outcomes)
