"""LocalCloud runs commands as processes, and a task lives and ends as on ECS."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ecs_block.local import LocalCloud

AWSLOGS = {
    "logDriver": "awslogs",
    "options": {
        "awslogs-group": "g",
        "awslogs-region": "us-east-1",
        "awslogs-stream-prefix": "p",
        "awslogs-create-group": "true",
    },
}
ROLE = "arn:aws:iam::123456789012:role/exec"
ORDER = ["PROVISIONING", "PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED"]


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud(state_seconds=0.0) as cloud:
        yield cloud


def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
    return found


def main(*command: str, **members: Any) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": "busybox",
        "memory": 64,
        "command": list(command),
        "logConfiguration": AWSLOGS,
    }
    return {**container, **members}


def start(cloud: LocalCloud, *containers: dict[str, Any], **members: Any) -> str:
    ecs = cloud.client("ecs")
    definition = {"family": "f", "executionRoleArn": ROLE, "containerDefinitions": list(containers)}
    arn = ecs.register_task_definition(**definition)["taskDefinition"]["taskDefinitionArn"]
    return str(ecs.run_task(taskDefinition=arn, **members)["tasks"][0]["taskArn"])


def look(cloud: LocalCloud, arn: str) -> dict[str, Any]:
    return next(task for task in cloud.tasks if task["taskArn"] == arn)


def ended(cloud: LocalCloud, arn: str, seconds: float = 10.0) -> dict[str, Any]:
    until(lambda: look(cloud, arn)["lastStatus"] == "STOPPED", seconds)
    return look(cloud, arn)


def running(cloud: LocalCloud, arn: str) -> dict[str, Any]:
    until(lambda: look(cloud, arn)["lastStatus"] == "RUNNING")
    return look(cloud, arn)


def lines(cloud: LocalCloud, arn: str, container: str = "main") -> list[str]:
    stream = f"p/{container}/{arn.rpartition('/')[2]}"
    events = cloud.client("logs").get_log_events(logGroupName="g", logStreamName=stream, startFromHead=True)["events"]
    return [event["message"] for event in events]


def by_name(task: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {container["name"]: container for container in task["containers"]}


def test_a_command_runs_and_its_exit_code_counts(cloud: LocalCloud) -> None:
    """Output of both streams is in the log, in order; the code is the container's."""
    arn = start(cloud, main("sh", "-c", "echo one; echo two >&2; echo three; printf four; exit 7"))
    task = ended(cloud, arn)
    assert (task["stopCode"], task["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    assert task["containers"][0]["exitCode"] == 7
    assert lines(cloud, arn) == ["one", "two", "three", "four"]


def test_states_pass_in_order_and_are_dated() -> None:
    """Each state is seen, versions only grow, and the times are in order."""
    with LocalCloud(state_seconds=0.04) as cloud:
        arn = start(cloud, main("sleep", "0.1"))
        seen: list[tuple[str, int]] = []
        until(
            lambda: (
                seen.append((look(cloud, arn)["lastStatus"], look(cloud, arn)["version"])) or seen[-1][0] == "STOPPED"
            )
        )
        task = look(cloud, arn)
    assert list(dict.fromkeys(state for state, _ in seen)) == ORDER
    assert [version for _, version in seen] == sorted(version for _, version in seen)
    names = ["createdAt", "pullStartedAt", "pullStoppedAt", "startedAt", "stoppingAt", "stoppedAt"]
    times = [task[name] for name in names]
    assert times == sorted(times)
    assert task["startedAt"] < task["executionStoppedAt"] < task["stoppedAt"]


def test_death_by_signal_is_128_and_more(cloud: LocalCloud) -> None:
    """A container that kills itself has the code that a shell would show."""
    assert ended(cloud, start(cloud, main("sh", "-c", "kill -9 $$")))["containers"][0]["exitCode"] == 137


def test_stop_is_sigterm_and_then_sigkill(cloud: LocalCloud) -> None:
    """Who listens to SIGTERM has his own code; who does not is killed after stopTimeout."""
    code = """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: (print("bye"), sys.exit(3)))
        print("up", flush=True)
        time.sleep(60)
    """
    polite = start(cloud, main("python", "-c", textwrap.dedent(code)))
    deaf = start(cloud, main("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.02; done", stopTimeout=1))
    for arn in (polite, deaf):
        until(lambda arn=arn: running(cloud, arn) and lines(cloud, arn) == ["up"])
        cloud.client("ecs").stop_task(task=arn, reason="enough")
    task = ended(cloud, polite)
    assert (task["stopCode"], task["stoppedReason"], task["containers"][0]["exitCode"]) == (
        "UserInitiated",
        "enough",
        3,
    )
    assert lines(cloud, polite) == ["up", "bye"]
    assert ended(cloud, deaf)["containers"][0]["exitCode"] == 137


def test_a_task_stopped_on_its_way_never_ran() -> None:
    """A stop in PROVISIONING ends the task without exit codes."""
    with LocalCloud(state_seconds={"PROVISIONING": 30}) as cloud:
        arn = start(cloud, main("touch", "never"))
        cloud.client("ecs").stop_task(task=arn)
        task = ended(cloud, arn)
    assert (task["stopCode"], task["containers"][0]["lastStatus"]) == ("UserInitiated", "STOPPED")
    assert "exitCode" not in task["containers"][0]
    assert "startedAt" not in task


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("/no/such/program", 'exec: "/no/such/program": stat /no/such/program: no such file or directory: unknown'),
        ("no-such-program", 'exec: "no-such-program": executable file not found in $PATH: unknown'),
        ("/etc/passwd", 'exec: "/etc/passwd": permission denied: unknown'),
    ],
)
def test_a_program_that_cannot_start(cloud: LocalCloud, program: str, words: str) -> None:
    """The container tells Docker's reason and has no exit code; the task failed to start."""
    task = ended(cloud, start(cloud, main(program)))
    assert (task["stopCode"], task["stoppedReason"]) == ("TaskFailedToStart", "Task failed to start")
    assert task["containers"][0]["reason"].startswith("CannotStartContainerError: Error response from daemon: ")
    assert task["containers"][0]["reason"].endswith(words)
    assert "exitCode" not in task["containers"][0]


def test_a_task_needs_a_command(cloud: LocalCloud) -> None:
    """The image's own command is unknown here, and the reason says so."""
    task = ended(cloud, start(cloud, main()))
    assert task["stopCode"] == "TaskFailedToStart"
    assert "LocalCloud runs no images" in task["containers"][0]["reason"]


def test_the_environment_is_the_tasks(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Overrides win over the definition; nothing of the host's AWS settings and secrets gets in."""
    monkeypatch.setenv("AWS_PROFILE", "host")
    monkeypatch.setenv("HOST_SECRET", "host")
    dump = "import json, os; print(json.dumps(dict(os.environ)))"
    environment = [{"name": "A", "value": "definition"}, {"name": "B", "value": "definition"}]
    overrides = {"containerOverrides": [{"name": "main", "environment": [{"name": "B", "value": "run"}]}]}
    arn = start(cloud, main("python", "-c", dump, environment=environment), overrides=overrides)
    assert ended(cloud, arn)["containers"][0]["exitCode"] == 0
    found = json.loads("".join(lines(cloud, arn)))
    assert (found["A"], found["B"]) == ("definition", "run")
    assert not {"AWS_PROFILE", "HOST_SECRET"} & set(found)
    assert found["AWS_ENDPOINT_URL"] == cloud.endpoint_url
    assert found["AWS_EXECUTION_ENV"] == "AWS_ECS_EC2"


def test_a_job_can_read_about_itself(cloud: LocalCloud) -> None:
    """The metadata address of ECS tells a job its task's ARN."""
    code = """
        import json, os, urllib.request
        address = os.environ["ECS_CONTAINER_METADATA_URI_V4"]
        print(json.load(urllib.request.urlopen(address + "/task"))["TaskARN"])
        print(json.load(urllib.request.urlopen(address))["Name"])
    """
    arn = start(cloud, main("python", "-c", textwrap.dedent(code)))
    ended(cloud, arn)
    assert lines(cloud, arn) == [arn, "main"]


def test_secrets_are_fetched(cloud: LocalCloud) -> None:
    """SSM parameters by name and ARN, secrets whole and by JSON key."""
    ssm, manager = cloud.client("ssm"), cloud.client("secretsmanager")
    ssm.put_parameter(Name="/app/key", Value="ssm!", Type="SecureString")
    parameter = ssm.get_parameter(Name="/app/key")["Parameter"]["ARN"]
    secret = manager.create_secret(Name="app", SecretString='{"user": "me"}')["ARN"]
    secrets = {"A": "/app/key", "B": parameter, "C": secret, "D": f"{secret}:user::"}
    given = [{"name": name, "valueFrom": value} for name, value in secrets.items()]
    arn = start(cloud, main("sh", "-c", 'echo "$A $B $C $D"', secrets=given))
    ended(cloud, arn)
    assert lines(cloud, arn) == ['ssm! ssm! {"user": "me"} me']


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (
            "/nothing",
            "retrieve secrets from ssm: service call has been retried 1 time(s): invalid parameters: /nothing",
        ),
        (
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:nothing-abcdef",
            "ResourceNotFoundException: Secrets Manager can't find the specified secret.",
        ),
    ],
)
def test_a_missing_secret_stops_the_start(cloud: LocalCloud, reference: str, words: str) -> None:
    """The stopped reason is that of the agent."""
    task = ended(cloud, start(cloud, main("true", secrets=[{"name": "A", "valueFrom": reference}])))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("ResourceInitializationError: unable to pull secrets or registry auth")
    assert words in task["stoppedReason"]


def test_environment_files_come_from_s3(cloud: LocalCloud) -> None:
    """NAME=value lines of a file; the definition's own environment wins."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="env-files")
    s3.put_object(Bucket="env-files", Key="a.env", Body=b"# comment\nA=file\nB=file\n")
    files = [{"type": "s3", "value": "arn:aws:s3:::env-files/a.env"}]
    environment = [{"name": "B", "value": "own"}]
    arn = start(cloud, main("sh", "-c", "echo $A $B", environment=environment, environmentFiles=files))
    ended(cloud, arn)
    assert lines(cloud, arn) == ["file own"]


def test_an_essential_end_takes_the_others_along(cloud: LocalCloud) -> None:
    """When an essential container exits, the others get SIGTERM; a container that is not essential ends alone."""
    sidecar = main("sleep", "60", name="sidecar")
    helper = main("sh", "-c", "exit 5", name="helper", essential=False)
    task = ended(cloud, start(cloud, main("sleep", "0.2"), sidecar, helper))
    codes = {name: container["exitCode"] for name, container in by_name(task).items()}
    assert codes == {"main": 0, "sidecar": 143, "helper": 5}
    assert task["stopCode"] == "EssentialContainerExited"


def test_containers_wait_for_each_other(cloud: LocalCloud, tmp_path: Path) -> None:
    """SUCCESS, COMPLETE, START and HEALTHY hold a container back until they are so."""
    health = {"command": ["CMD-SHELL", f"test -e {tmp_path}/healthy"], "interval": 5, "retries": 10}
    first = main("sh", "-c", f"sleep 0.1; echo first >> {tmp_path}/order", name="first", essential=False)
    db = main(
        "sh", "-c", f"echo db >> {tmp_path}/order; touch {tmp_path}/healthy; sleep 60", name="db", healthCheck=health
    )
    db["dependsOn"] = [{"containerName": "first", "condition": "SUCCESS"}]
    waits = [{"containerName": "db", "condition": "HEALTHY"}, {"containerName": "first", "condition": "COMPLETE"}]
    arn = start(cloud, main("sh", "-c", f"echo main >> {tmp_path}/order", dependsOn=waits), db, first)
    task = ended(cloud, arn)
    assert (tmp_path / "order").read_text().split() == ["first", "db", "main"]
    assert by_name(task)["db"]["healthStatus"] == "HEALTHY"


def test_a_dependency_that_fails_stops_the_start(cloud: LocalCloud) -> None:
    """A container that waits for SUCCESS of one that fails never starts, nor does the task."""
    waits = [{"containerName": "first", "condition": "SUCCESS"}]
    first = main("false", name="first", essential=False)
    task = ended(cloud, start(cloud, main("true", dependsOn=waits), first))
    assert task["stopCode"] == "TaskFailedToStart"
    assert "dependency" in by_name(task)["main"]["reason"]
    assert "exitCode" not in by_name(task)["main"]


def test_a_grandchild_with_the_pipe_does_not_hold_the_task(cloud: LocalCloud) -> None:
    """The container ends with its main process, and so do those that it left behind."""
    arn = start(cloud, main("sh", "-c", "sleep 60 & echo $!; exit 0"))
    assert ended(cloud, arn)["containers"][0]["exitCode"] == 0
    (pid,) = lines(cloud, arn)
    until(lambda: not _alive(int(pid)))


@pytest.mark.parametrize(
    ("kind", "stop_code", "exit_code"),
    [("spot", "SpotInterruption", 143), ("host", "TerminationNotice", None), ("retirement", "TerminationNotice", 143)],
)
def test_interruptions(cloud: LocalCloud, kind: str, stop_code: str, exit_code: int | None) -> None:
    """Spot and retirement end with SIGTERM; a lost host leaves no exit code."""
    arn = start(cloud, main("sleep", "60"))
    running(cloud, arn)
    cloud.interrupt(arn, kind)
    task = ended(cloud, arn)
    assert (task["stopCode"], task["containers"][0].get("exitCode")) == (stop_code, exit_code)
    assert task["stoppedReason"]


def test_a_start_fails_as_planned(cloud: LocalCloud) -> None:
    """fail_next_start gives one task a reason of ECS, once."""
    cloud.fail_next_start("CannotPullContainerError: pull image manifest has been retried 1 time(s)")
    task = ended(cloud, start(cloud, main("true")))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["containers"][0]["reason"].startswith("CannotPullContainerError")
    assert ended(cloud, start(cloud, main("true")))["stopCode"] == "EssentialContainerExited"


def test_pretended_containers_only_take_time() -> None:
    """execute=False reads the command as steps and starts no process."""
    with LocalCloud(execute=False, state_seconds=0.0) as cloud:
        arn = start(cloud, main("lines", "3", "sleep", "0.1", "exit", "4"))
        other = start(cloud, main("sleep", "60"))
        assert ended(cloud, arn)["containers"][0]["exitCode"] == 4
        assert lines(cloud, arn) == ["line 0", "line 1", "line 2"]
        running(cloud, other)
        cloud.client("ecs").stop_task(task=other)
        assert ended(cloud, other)["containers"][0]["exitCode"] == 143


def test_many_tasks_few_threads(cloud: LocalCloud) -> None:
    """200 processes at once are watched by one thread."""
    ecs = cloud.client("ecs")
    arn = start(cloud, main("sleep", "60"))
    definition = look(cloud, arn)["taskDefinitionArn"]
    before = threading.active_count()
    arns = [arn]
    for _ in range(20):
        arns += [task["taskArn"] for task in ecs.run_task(taskDefinition=definition, count=10)["tasks"]]
    until(lambda: sum(task["lastStatus"] == "RUNNING" for task in cloud.tasks) >= 201, 30)
    assert threading.active_count() <= before + 2
    for arn in arns:
        ecs.stop_task(task=arn)
    assert {ended(cloud, arn)["containers"][0]["exitCode"] for arn in arns} == {143}


def test_it_says_once_that_images_are_not_pulled(caplog: pytest.LogCaptureFixture) -> None:
    """Starting a cloud says nothing; the first task does, the second does not."""
    with caplog.at_level(logging.WARNING, "ecs_block.local"), LocalCloud(state_seconds=0.0) as cloud:
        assert caplog.messages == []
        for _ in range(2):
            ended(cloud, start(cloud, main("true")))
    assert caplog.messages == [
        "LocalCloud does not pull images: busybox is not used, the command runs as a process of this machine."
    ]


def test_stop_leaves_nothing_behind() -> None:
    """After stop() there is no process and no thread of the cloud, however deaf the processes are."""
    before = set(threading.enumerate())
    with LocalCloud(state_seconds=0.0) as cloud:
        arn = start(cloud, main("sh", "-c", "trap '' TERM; echo $$; while :; do sleep 0.1; done"))
        (pid,) = until(lambda: running(cloud, arn) and lines(cloud, arn))
    assert not _alive(int(pid))
    assert set(threading.enumerate()) <= before
    cloud.stop()


def test_a_killed_host_process_leaves_no_processes(tmp_path: Path) -> None:
    """SIGKILL to the process that hosts the cloud ends the tasks' processes too."""
    code = """
        import sys, time
        from ecs_block.local import LocalCloud
        with LocalCloud(state_seconds=0.0) as cloud:
            ecs = cloud.client("ecs")
            command = ["sh", "-c", "echo $$ > %s; sleep 60"]
            container = {"name": "main", "image": "x", "memory": 64, "command": command}
            ecs.register_task_definition(family="f", containerDefinitions=[container])
            ecs.run_task(taskDefinition="f")
            time.sleep(60)
    """
    path = tmp_path / "pid"
    host = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code) % path], stderr=subprocess.DEVNULL)
    pid = int(until(lambda: path.exists() and path.read_text().strip()))
    assert _alive(pid)
    host.send_signal(signal.SIGKILL)
    host.wait()
    until(lambda: not _alive(pid))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie that its new parent has not collected yet is dead enough.
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
