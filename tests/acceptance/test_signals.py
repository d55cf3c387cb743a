"""Ctrl-C and SIGTERM."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from ecs_block.local import LocalCloud

# Says its process id, and its last words when it is told to stop.
SCRIPT = "trap 'echo last words; exit 0' TERM; echo up $$; while :; do sleep 0.05; done"


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_local_run_interrupted(ecs_block: Any, number: signal.Signals, code: int) -> None:
    """Ctrl-C and SIGTERM stop the task's process, show its last lines, and exit with 130 and 143."""
    started = ecs_block.start("run", "--local", "--", "sh", "-c", SCRIPT)
    pid = int(started.read_until("up").split()[1])
    assert is_alive(pid)
    started.signal(number)
    done = started.end()
    assert done.returncode == code
    assert not is_alive(pid)
    assert done.stdout.endswith("last words\n")
    assert "Traceback" not in done.stderr


def test_interrupted_with_json(on_aws: Any, role: str, cloud: LocalCloud) -> None:
    """An interrupted run stops its task at AWS, and still gives its one JSON object."""
    started = on_aws.start("run", "--execution-role", role, "--output", "json", "--", "sh", "-c", SCRIPT)
    for line in started.process.stderr:
        if "up " in line:
            break
    started.signal(signal.SIGINT)
    done = started.end()
    assert done.returncode == 130
    result = json.loads(done.stdout)
    assert (result["outcome"], result["error"]["type"]) == ("stopped", "Interrupted")
    task = next(task for task in cloud.tasks if result["identifier"].endswith(task["taskArn"]))
    assert (task["lastStatus"], task["stopCode"]) == ("STOPPED", "UserInitiated")


def test_second_interrupt_detaches(on_aws: Any, role: str, cloud: LocalCloud, eventually: Callable[..., Any]) -> None:
    """A second Ctrl-C does not wait for a task that takes its time to stop, and says how to get at it."""
    script = "trap '' TERM; echo up; while :; do sleep 0.05; done"
    started = on_aws.start("run", "--execution-role", role, "--", "sh", "-c", script)
    started.read_until("up")
    task = next(task for task in cloud.tasks if task["lastStatus"] == "RUNNING")
    started.signal(signal.SIGINT)
    eventually(lambda: next(t for t in cloud.tasks if t["taskArn"] == task["taskArn"])["desiredStatus"] == "STOPPED")
    started.signal(signal.SIGINT)
    done = started.end()
    assert done.returncode == 130
    run_id = task["startedBy"]
    hints = [line.partition("ecs-block: ")[2] for line in done.stderr.splitlines()[-3:]]
    assert hints == [
        f"follow: ecs-block logs -f {run_id}",
        f"wait: ecs-block wait {run_id}",
        f"stop: ecs-block stop {run_id}",
    ]
    assert "stopping the task; Ctrl-C again does not wait for it" in done.stderr
    assert "Traceback" not in done.stderr


def test_interrupted_wait_leaves_the_task_alone(on_aws: Any, cloud: LocalCloud, eventually: Callable[..., Any]) -> None:
    """Ctrl-C ends a wait, not the task that it waits for."""
    identifier = on_aws("run", "-d", "--no-logs", "sleep", "60").stdout.strip()
    looks = cloud.calls["ecs:DescribeTasks"]
    started = on_aws.start("wait", identifier)
    eventually(lambda: cloud.calls["ecs:DescribeTasks"] > looks + 1)
    started.signal(signal.SIGINT)
    done = started.end()
    assert done.returncode == 130
    assert "The task goes on." in done.stderr
    assert "ecs-block stop " in done.stderr
    task = next(task for task in cloud.tasks if identifier.endswith(task["taskArn"]))
    assert task["desiredStatus"] == "RUNNING"
    cloud.client("ecs").stop_task(task=task["taskArn"])
