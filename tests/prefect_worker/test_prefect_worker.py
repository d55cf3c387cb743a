"""The Prefect worker, with Prefect's own server and worker process, and flows that run as tasks of a LocalCloud."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest

from conftest import Prefect, Workers, end, wait_for
from ecs_block.local import LocalCloud

FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def tasks_of(cloud: LocalCloud, flow_run: str) -> list[dict[str, Any]]:
    """Give the tasks that were started for a flow run."""
    return [task for task in cloud.tasks if task["startedBy"].startswith(f"prefect/{flow_run}")]


def running(cloud: LocalCloud, flow_run: str) -> list[dict[str, Any]]:
    """Give those that run."""
    return [task for task in tasks_of(cloud, flow_run) if task["lastStatus"] == "RUNNING"]


def until_running(cloud: LocalCloud, worker: Workers, flow_run: str) -> dict[str, Any]:
    """Wait for its task to run."""
    wait_for(lambda: running(cloud, flow_run), lambda: worker.told)
    return running(cloud, flow_run)[0]


# --- how a flow run ends -----------------------------------------------------------------------------------------------


def test_a_flow_completes(prefect: Prefect, cloud: LocalCloud, worker: Workers) -> None:
    """It runs as one task, ends Completed, and its log has its own lines and those of its task."""
    flow_run = prefect.api.start("hello/d")
    assert prefect.api.until(flow_run, *FINAL)["type"] == "COMPLETED"
    (task,) = tasks_of(cloud, flow_run)
    wait_for(lambda: "hello, world" in prefect.api.log(flow_run), lambda: prefect.api.log(flow_run))
    wait_for(lambda: "succeeded." in prefect.api.log(flow_run), lambda: prefect.api.log(flow_run))
    assert f"{task['taskArn']} launched, of ecs-block__hello__d:1." in prefect.api.log(flow_run)
    cluster, _, arn = prefect.api.read(flow_run)["infrastructure_pid"].partition("::")
    assert (arn, cluster) == (task["taskArn"], task["clusterArn"])
    tags = {tag["key"]: tag["value"] for tag in task["tags"]}
    assert tags["prefect.io/flow-run-id"] == flow_run


def test_output_goes_to_the_workers_log(prefect: Prefect, worker: Workers) -> None:
    """With `stream_output`, each line of the container with its flow run's name; a crash then holds the last ones."""
    role = "arn:aws:iam::123456789012:role/x"
    shown = {"stream_output": True, "execution_role_arn": role}
    flow_run = prefect.api.start("hello/d", command="sh -c 'echo one; echo two; exit 3'", **shown)
    state = prefect.api.until(flow_run, *FINAL)
    name = prefect.api.read(flow_run)["name"]
    wait_for(lambda: f"{name} | one\n{name} | two\n" in worker.told, lambda: worker.told)
    assert "    one\n    two" in state["message"]


def test_a_flow_that_raises_has_failed(prefect: Prefect, cloud: LocalCloud, worker: Workers) -> None:
    """What the flow says of itself stays: its task's end does not make it Crashed."""
    flow_run = prefect.api.start("bad/d")
    state = prefect.api.until(flow_run, *FINAL)
    assert (state["type"], "this flow is bad" in state["message"]) == ("FAILED", True)
    wait_for(lambda: tasks_of(cloud, flow_run)[0]["lastStatus"] == "STOPPED", lambda: worker.told)
    time.sleep(3)
    assert prefect.api.read(flow_run)["state"]["type"] == "FAILED"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/nowhere/program", "stat /nowhere/program: no such file or directory"),
        ("false", "failed with exit code 1"),
        ("true", "nothing in it has run the flow"),
        (["sh", "-c", "exit 7"], "failed with exit code 7"),
    ],
)
def test_a_crash_has_its_reason(prefect: Prefect, worker: Workers, command: Any, reason: str) -> None:
    """A command that cannot start, one that ends badly, and one that runs no flow: Crashed, with the reason."""
    flow_run = prefect.api.start("hello/d", command=command)
    state = prefect.api.until(flow_run, *FINAL)
    assert state["type"] == "CRASHED"
    assert reason in state["message"]
    assert prefect.api.read(flow_run)["infrastructure_pid"]


def test_an_image_that_is_not_there(prefect: Prefect, cloud: LocalCloud, worker: Workers) -> None:
    """The reason is AWS's, with advice."""
    cloud.fail_next_start("CannotPullContainerError: pull image manifest has been retried 1 time(s): not found")
    state = prefect.api.until(prefect.api.start("hello/d"), *FINAL)
    assert state["type"] == "CRASHED"
    assert "CannotPullContainerError: pull image manifest" in state["message"]
    assert "image" in state["message"].partition("not found")[2]  # the advice


def test_a_launch_that_is_refused(prefect: Prefect, cloud: LocalCloud, worker: Workers) -> None:
    """Before there is a task the reason is told, too."""
    state = prefect.api.until(prefect.api.start("hello/d", cluster="nowhere"), *FINAL)
    assert state["type"] == "CRASHED"
    assert "nowhere" in state["message"]
    state = prefect.api.until(prefect.api.start("hello/d", cpu=300), *FINAL)
    assert "cpu" in state["message"]
    assert "Traceback" not in worker.told
    assert not cloud.tasks


def test_an_interruption_is_told(prefect: Prefect, cloud: LocalCloud, worker: Workers) -> None:
    """A lost host crashes the flow run, with AWS's words."""
    flow_run = prefect.api.start("hello/d", command="sleep 600")
    cloud.interrupt(until_running(cloud, worker, flow_run)["taskArn"], "host")
    state = prefect.api.until(flow_run, *FINAL)
    assert (state["type"], "was interrupted" in state["message"], "terminated" in state["message"]) == (
        "CRASHED",
        True,
        True,
    )


# --- cancelling --------------------------------------------------------------------------------------------------------


def test_a_cancelled_flow_run_stops_its_task(prefect: Prefect, cloud: LocalCloud, worker: Workers) -> None:
    """One whose flow has not begun is stopped by the worker."""
    flow_run = prefect.api.start("hello/d", command="sleep 600")
    task = until_running(cloud, worker, flow_run)
    wait_for(lambda: prefect.api.read(flow_run)["infrastructure_pid"], lambda: worker.told)
    prefect.api.cancel(flow_run)
    assert prefect.api.until(flow_run, *FINAL)["type"] == "CANCELLED"
    wait_for(lambda: tasks_of(cloud, flow_run)[0]["lastStatus"] == "STOPPED", lambda: worker.told)
    (task,) = tasks_of(cloud, flow_run)
    assert task["stoppedReason"] == "ecs_block: the flow run was cancelled in Prefect"
    time.sleep(2)
    assert prefect.api.read(flow_run)["state"]["type"] == "CANCELLED"


def test_a_launch_is_cancelled(prefect: Prefect, cloud: LocalCloud, worker: Workers) -> None:
    """One for which there is no capacity yet is not asked for any more."""
    cloud.fail_next_launches(1000)
    flow_run = prefect.api.start("hello/d")
    wait_for(lambda: "No task yet" in worker.told, lambda: worker.told)
    prefect.api.cancel(flow_run)
    assert prefect.api.until(flow_run, *FINAL)["type"] == "CANCELLED"
    wait_for(lambda: "its task is not launched" in worker.told, lambda: worker.told)
    asked = cloud.calls["ecs:RunTask"]
    time.sleep(5)
    assert (cloud.calls["ecs:RunTask"], cloud.tasks) == (asked, [])


def test_a_flow_that_runs_is_cancelled(prefect: Prefect, cloud: LocalCloud, worker: Workers) -> None:
    """One that runs is ended in its task by Prefect itself, and the task ends."""
    flow_run = prefect.api.start("long/d")
    prefect.api.until(flow_run, "RUNNING")
    prefect.api.cancel(flow_run)
    assert prefect.api.until(flow_run, *FINAL)["type"] == "CANCELLED"
    wait_for(lambda: tasks_of(cloud, flow_run)[0]["lastStatus"] == "STOPPED", lambda: worker.told)


# --- once --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_is_restarted(prefect: Prefect, cloud: LocalCloud, workers: Workers, number: signal.Signals) -> None:
    """What runs goes on, is started only once, and its end is told by the next worker."""
    first = workers.start()
    good, lost = prefect.api.start("long/d"), prefect.api.start("hello/d", command="sleep 600")
    until_running(cloud, workers, lost)
    prefect.api.until(good, "RUNNING")
    end(first, number)
    workers.start()
    cloud.interrupt(tasks_of(cloud, lost)[0]["taskArn"], "host")
    assert prefect.api.until(lost, *FINAL)["type"] == "CRASHED"
    assert prefect.api.until(good, *FINAL)["type"] == "COMPLETED"
    assert (len(tasks_of(cloud, good)), len(tasks_of(cloud, lost))) == (1, 1)
    assert cloud.calls["ecs:RunTask"] == 2


def test_a_flow_run_is_scheduled_again(prefect: Prefect, cloud: LocalCloud, worker: Workers) -> None:
    """Each scheduling after the end of a task has a task of its own."""
    flow_run = prefect.api.start("bad/d")
    prefect.api.until(flow_run, *FINAL)
    wait_for(lambda: tasks_of(cloud, flow_run)[0]["lastStatus"] == "STOPPED", lambda: worker.told)
    prefect.api.post(f"/flow_runs/{flow_run}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"})
    wait_for(lambda: len(tasks_of(cloud, flow_run)) == 2, lambda: worker.told)
    assert prefect.api.until(flow_run, *FINAL)["type"] == "FAILED"


def test_one_task_at_a_time(prefect: Prefect, cloud: LocalCloud, worker: Workers) -> None:
    """One that is scheduled again while its task runs gets no second task beside it, but one after it."""
    flow_run = prefect.api.start("hello/d", command="sleep 600")
    task = until_running(cloud, worker, flow_run)
    prefect.api.post(f"/flow_runs/{flow_run}/set_state", state={"type": "SCHEDULED", "name": "Scheduled"}, force=True)
    prefect.api.until(flow_run, "PENDING")
    time.sleep(3)
    assert len(tasks_of(cloud, flow_run)) == 1
    cloud.interrupt(task["taskArn"], "spot")
    wait_for(lambda: len(tasks_of(cloud, flow_run)) == 2, lambda: worker.told)
    assert prefect.api.read(flow_run)["state"]["type"] == "PENDING"


# --- many --------------------------------------------------------------------------------------------------------------


def test_a_hundred_share_a_watcher(prefect: Prefect, cloud: LocalCloud, workers: Workers) -> None:
    """A hundred flow runs, one task each, are looked at together."""
    flow_runs = [prefect.api.start("hello/d", command="sleep 20") for _ in range(100)]
    begun = time.monotonic()
    workers.start()
    for flow_run in flow_runs:
        assert prefect.api.until(flow_run, *FINAL)["type"] == "CRASHED"  # `sleep` has run no flow
    seconds = time.monotonic() - begun
    calls = dict(cloud.calls)
    print(f"100 flow runs in {seconds:.0f} s: {calls}")
    assert (calls["ecs:RunTask"], len(cloud.tasks)) == (100, 100)
    assert (
        calls["ecs:DescribeTasks"] <= seconds + 5
    )  # a look at all of them each second at most; one for each is 100 a look
    assert calls.get("ecs:RegisterTaskDefinition") == 1
