"""Every verb in both colours, against a real server and real processes."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from ecs_block import (
    AwsError,
    ECSTask,
    InfrastructureNotAvailable,
    InfrastructureNotFound,
    InvalidTask,
    NoCredentials,
    TaskRunTimeout,
    TaskStartFailed,
    TaskStartTimeout,
)
from ecs_block.engine.signals import into_this_loop
from ecs_block.local import LocalCloud

ROLE = "arn:aws:iam::123456789012:role/execution"


@pytest.fixture(scope="module")
def cloud():
    with LocalCloud() as cloud:
        yield cloud


def task_of(cloud, *command, **fields):
    return ECSTask(command=list(command), aws_credentials=cloud.credentials, **fields)


def await_it(backend, verb):
    """Run a coroutine function on a backend."""
    return anyio.run(verb, backend=backend)


# --- one task ----------------------------------------------------------------------------------------------------------


def test_run_gives_the_exit_code(cloud):
    """The blocking colour."""
    assert task_of(cloud, "sh", "-c", "exit 5").run().status_code == 5


def test_arun_gives_the_exit_code(cloud, backend):
    """The awaited colour, on both backends."""
    assert await_it(backend, task_of(cloud, "sh", "-c", "exit 5").arun).status_code == 5


def test_a_result_tells_the_phases_and_the_container(cloud):
    """Times in their order, the definition, the container's name and code."""
    result = task_of(cloud, "true").run()
    times = [result.created_at, result.started_at, result.execution_stopped_at, result.stopped_at]
    assert None not in times
    assert times == sorted(times)
    assert [(item.name, item.exit_code) for item in result.containers] == [("main", 0)]
    assert result.task_definition_arn in {item["taskDefinitionArn"] for item in cloud.tasks}


def test_run_works_while_an_event_loop_is_running(cloud):
    """As in a notebook."""

    async def cell():
        return task_of(cloud, "true").run()

    assert asyncio.run(cell()).outcome == "succeeded"


def test_fifty_threads_share_one_watch(cloud):
    """Runs from many threads: all finish, with a handful of threads of ours and batched looks."""
    task = task_of(cloud, "sleep", "1")
    task.run()
    cloud.calls.clear()
    before = threading.active_count()
    most = 0
    with ThreadPoolExecutor(50) as pool:
        runs = [pool.submit(task.run) for _ in range(50)]
        while not all(run.done() for run in runs):
            ours = [thread for thread in threading.enumerate() if "AnyIO" in thread.name]
            most = max(most, len(ours))
            time.sleep(0.02)
        assert all(run.result() for run in runs)
    assert most <= 20
    assert threading.active_count() <= before + 40  # the server's connection threads linger
    assert cloud.calls["ecs:RunTask"] == 50
    assert cloud.calls["ecs:DescribeTasks"] <= 25


def test_three_hundred_runs_in_one_loop(cloud, backend):
    """All finish; one DescribeTasks for each hundred tasks and look; a handful of worker threads."""
    task = task_of(cloud, "true")
    results = []

    async def one():
        results.append(await task.arun())

    async def many():
        workers = 0
        async with anyio.create_task_group() as group:
            for _ in range(300):
                group.start_soon(one)
            while len(results) < 300:
                await anyio.sleep(0.05)
                names = [thread.name for thread in threading.enumerate()]
                workers = max(workers, sum("AnyIO" in name or "Trio" in name or "run_sync" in name for name in names))
        return workers

    cloud.calls.clear()
    workers = await_it(backend, many)
    assert all(results)
    assert len(results) == 300
    assert workers <= 25  # ten of this loop, ten of the background loop, which other tests have used
    assert cloud.calls["ecs:RegisterTaskDefinition"] <= 1
    assert cloud.calls["ecs:DescribeTasks"] <= 45


def test_a_failed_start_names_the_program(cloud):
    """In Docker's words, with advice."""
    with pytest.raises(TaskStartFailed, match="/no/such/program") as caught:
        task_of(cloud, "/no/such/program").run()
    assert caught.value.result.outcome == "start_failed"
    assert caught.value.result.status_code == -1
    assert "check the command's first word" in caught.value.advice


def test_start_attach_and_kill(cloud):
    """The identifier leads to the task; a killed one is `stopped`; killing it again is fine."""
    task = task_of(cloud, "sleep", "60")
    identifier = task.start()
    cluster, _, arn = identifier.partition("::")
    assert cluster.endswith(":cluster/default")
    assert ":task/default/" in arn
    task.kill(identifier)
    result = task.attach(identifier)
    assert (result.outcome, result.stop_code) == ("stopped", "UserInitiated")
    task.kill(identifier)


def test_astart_aattach_and_akill(cloud, backend):
    """The awaited colours."""
    task = task_of(cloud, "sh", "-c", "exit 9")

    async def story():
        identifier = await task.astart()
        result = await task.aattach(identifier)
        await task.akill(identifier)
        return result

    assert await_it(backend, story).status_code == 9


def test_attach_shows_the_output_of_a_task_of_somebody_else(cloud):
    """Group and stream are read from its definition."""
    task = task_of(cloud, "echo", "from afar", stream_output=True, execution_role_arn=ROLE)
    output = io.StringIO()
    assert task.attach(task.start(), output=output)
    assert output.getvalue() == "from afar\n"


def test_kill_compares_clusters_by_name_and_arn(cloud):
    """Names and ARNs mean the same cluster; another one is refused."""
    identifier = task_of(cloud, "sleep", "60").start()
    arn = identifier.split("::")[1]
    for cluster in ("default", f"arn:aws:ecs:us-east-1:{cloud.account_id}:cluster/default"):
        task_of(cloud, "true", cluster=cluster).kill(f"default::{arn}")
    with pytest.raises(InfrastructureNotAvailable, match="default"):
        task_of(cloud, "true", cluster="other").kill(identifier)


def test_kill_tells_what_does_not_exist(cloud):
    """A missing task and a missing cluster."""
    task = task_of(cloud, "true")
    with pytest.raises(InfrastructureNotFound, match="does not know the task"):
        task.kill(f"default::arn:aws:ecs:us-east-1:{cloud.account_id}:task/default/{'0' * 32}")
    with pytest.raises(InfrastructureNotFound, match="no cluster"):
        task.kill(f"nowhere::arn:aws:ecs:us-east-1:{cloud.account_id}:task/nowhere/{'0' * 32}")


def test_another_grace_period_warns(cloud):
    """ECS takes it from stopTimeout."""
    task = task_of(cloud, "sleep", "60")
    identifier = task.start()
    with pytest.warns(UserWarning, match="stopTimeout"):
        task.kill(identifier, grace_seconds=5)


def test_timeouts_stop_the_task():
    """Start and run timeout; no process is left."""
    with LocalCloud(state_seconds={"PENDING": 5.0}) as cloud:
        with pytest.raises(TaskStartTimeout, match="task_start_timeout_seconds"):
            task_of(cloud, "true", task_start_timeout_seconds=1).run()
        assert cloud.tasks[0]["desiredStatus"] == "STOPPED"
    with LocalCloud() as cloud:
        with pytest.raises(TaskRunTimeout) as caught:
            task_of(cloud, "sleep", "60", task_run_timeout_seconds=1).run()
        assert caught.value.result.outcome == "stopped"
        assert cloud.tasks[0]["lastStatus"] == "STOPPED"


def test_an_interruption_by_spot_is_run_again(cloud):
    """The second attempt is told so in its environment."""
    task = task_of(
        cloud,
        "sh",
        "-c",
        'test "$ECS_BLOCK_ATTEMPT" = 2 || sleep 60',
        launch_type="FARGATE_SPOT",
        retries_on_interruption=1,
        spot_fallback=True,
        task_watch_poll_interval=0.2,
    )

    def interrupt(event):
        if type(event).__name__ == "StatusChanged" and event.status == "RUNNING":
            cloud.interrupt(event.identifier.split("::")[1], "spot")

    result = task.run(on_event=interrupt)
    assert (result.outcome, result.attempt) == ("succeeded", 2)
    launched = [item for item in cloud.tasks if item["taskArn"] == result.identifier.split("::")[1]]
    assert launched[0]["launchType"] == "FARGATE"


def test_count_starts_several_tasks(cloud):
    """And gives a result for each."""
    result = task_of(cloud, "true", task_run_request={"count": 3}).run()
    assert result.outcome == "succeeded"
    assert len({item.identifier for item in result.tasks}) == 3


def test_a_second_run_asks_nothing_again(cloud):
    """Definition and network are known."""
    task = task_of(cloud, "true", image="only-here")
    task.run()
    cloud.calls.clear()
    task.run()
    assert {name.split(":")[1] for name in cloud.calls} == {"RunTask", "DescribeTasks"}


def test_what_is_registered_is_found_again_by_another_process():
    """With all of AWS's registration defaults filled in, and every list in another order."""
    definition = {
        "family": "rich",
        "containerDefinitions": [
            {
                "name": "main",
                "image": "app",
                "environment": [{"name": "B", "value": "2"}, {"name": "A", "value": ""}],
                "portMappings": [{"containerPort": 80}, {"containerPort": 443}],
                "healthCheck": {"command": ["CMD-SHELL", "true"]},
                "ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": 2}],
                "essential": True,
            },
            {"name": "side", "image": "side", "essential": False, "readonlyRootFilesystem": False, "command": ["true"]},
        ],
        "volumes": [{"name": "scratch"}],
    }
    script = """
import json, sys
from ecs_block import ECSTask
fields = json.load(sys.stdin)
print(ECSTask(**fields).run().task_definition_arn)
"""
    with LocalCloud(shuffle=True) as cloud:
        task = task_of(cloud, "true", task_definition=definition)
        first = task.run().task_definition_arn
        fields = {"command": ["true"], "task_definition": definition}
        second = subprocess.run(
            [sys.executable, "-c", script],
            input=json.dumps(fields),
            env={**cloud.environment, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert second.stdout.strip() == first
        assert cloud.calls["ecs:RegisterTaskDefinition"] == 1


# --- many tasks --------------------------------------------------------------------------------------------------------


def test_map_gives_results_in_order(cloud):
    """One failure does not end the others, and what `run` would raise is in the result."""
    results = task_of(cloud).map(["true", ["sh", "-c", "sleep 1; exit 3"], "/no/such/program", {"command": ["true"]}])
    assert [result.outcome for result in results] == ["succeeded", "failed", "start_failed", "succeeded"]
    assert isinstance(results[2].error, TaskStartFailed)


def test_map_tells_its_progress(cloud):
    """How many have ended, and how many there are; a hook that raises harms nothing."""
    told = []
    assert all(task_of(cloud).map(["true"] * 3, on_progress=lambda done, count: told.append((done, count))))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert all(task_of(cloud).map(["true"] * 3, on_progress=lambda done, count: 1 / 0))


def test_processes_that_need_the_same_new_definitions_register_each_once():
    """Four processes at once, ten definitions each: ten registrations."""
    script = """
from ecs_block import ECSTask
results = ECSTask(command=["true"]).map([{"image": f"app:{n}"} for n in range(10)])
assert all(results), results
"""
    with LocalCloud() as cloud:
        environment = {**os.environ, **cloud.environment}
        processes = [subprocess.Popen([sys.executable, "-c", script], env=environment) for _ in range(4)]
        assert [process.wait(60) for process in processes] == [0] * 4
        assert cloud.calls["ecs:RegisterTaskDefinition"] == 10
        assert cloud.calls["ecs:RunTask"] == 40


def test_map_of_nothing_is_nothing(cloud):
    """No call is made."""
    cloud.calls.clear()
    assert task_of(cloud).map([]) == []
    assert not cloud.calls


@pytest.mark.parametrize(("commands", "limit", "said"), [(["true", 7], 5, "Item 1"), (["true"], 0, "max_concurrency")])
def test_map_refuses_bad_input_before_anything_is_started(cloud, commands, limit, said):
    """It names the index."""
    cloud.calls.clear()
    with pytest.raises(InvalidTask, match=said):
        task_of(cloud).map(commands, max_concurrency=limit)
    assert not cloud.calls


def test_amap_yields_results_as_they_end(cloud, backend):
    """The quick one first."""

    async def story():
        return [result.status_code async for result in task_of(cloud).amap([["sh", "-c", "sleep 2; exit 1"], "true"])]

    assert await_it(backend, story) == [0, 1]


def test_leaving_amap_early_stops_what_was_started(cloud, backend):
    """Nothing goes on behind the caller's back."""
    marker = f"{time.monotonic_ns()}"

    async def story():
        results = task_of(cloud, labels={"marker": marker}).amap(["true", ["sleep", "60"], ["sleep", "61"]])
        async for _ in results:
            break
        await results.aclose()

    await_it(backend, story)
    commands = [item["overrides"]["containerOverrides"][0].get("command") for item in cloud.tasks]
    for item, command in zip(cloud.tasks, commands, strict=True):
        if command in (["sleep", "60"], ["sleep", "61"]):
            assert item["desiredStatus"] == "STOPPED"


# --- cancellation ------------------------------------------------------------------------------------------------------


def test_a_cancel_scope_stops_the_task(cloud, backend):
    """And waits for its end."""

    async def story():
        with anyio.move_on_after(1):
            await task_of(cloud, "sleep", "70").arun()

    await_it(backend, story)
    assert {item["lastStatus"] for item in cloud.tasks if _command(item) == ["sleep", "70"]} == {"STOPPED"}


@pytest.mark.parametrize("after", [0.0, 0.005, 0.02, 0.1, 1.0])
def test_cancellation_by_asyncio_itself_leaves_no_task(cloud, after):
    """`asyncio.wait_for` goes through shields; at whatever moment it strikes, nothing is left running."""

    async def story():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(task_of(cloud, "sleep", "80").arun(), after)

    asyncio.run(story())
    assert all(item["desiredStatus"] == "STOPPED" for item in cloud.tasks if _command(item) == ["sleep", "80"])


def _command(item):
    return item["overrides"]["containerOverrides"][0].get("command")


def test_work_can_be_sent_into_a_loop(backend):
    """The way by which signals and threads reach a loop, on both backends."""

    async def story():
        done = anyio.Event()
        tell = into_this_loop()
        thread = threading.Thread(target=lambda: tell(done.set))
        thread.start()
        with anyio.fail_after(5):
            await done.wait()
        thread.join()

    await_it(backend, story)


@pytest.mark.parametrize(("verb", "count"), [("run()", 1), ("arun", 1), ("map()", 3)])
@pytest.mark.parametrize(("signal_name", "code"), [("SIGINT", (1, -2, 130)), ("SIGTERM", (143,))])
def test_a_signal_stops_the_task_and_ends_the_script(cloud, verb, count, signal_name, code):
    """A library script that is interrupted leaves no ghost, however many tasks it started."""
    task = "ECSTask(command=['sleep', '90'], task_watch_poll_interval=0.2)"
    map_call = f"{task}.map([['sleep', '90']] * 3)"
    calls = {"run()": f"{task}.run()", "arun": f"asyncio.run({task}.arun())", "map()": map_call}
    script = f"import asyncio\nfrom ecs_block import ECSTask\n{calls[verb]}\n"
    cloud.calls.clear()
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**cloud.environment, "PATH": os.environ["PATH"]},
        stderr=subprocess.PIPE,
        text=True,
    )
    ours = {}

    def all_run():
        now = [t for t in cloud.tasks if _command(t) == ["sleep", "90"] and t["lastStatus"] == "RUNNING"]
        ours.update({t["taskArn"]: t for t in now})
        return len(now) == count

    _wait_for(all_run)
    process.send_signal(getattr(signal, signal_name))
    _, told = process.communicate(timeout=30)
    assert process.returncode in code, told
    ended = [t for t in cloud.tasks if t["taskArn"] in ours]
    assert [t["lastStatus"] for t in ended] == ["STOPPED"] * count
    assert all("interrupted" in t["stoppedReason"] for t in ended)


INTERRUPTED_IN_ANOTHER_THREAD = """
import signal, threading
from ecs_block import ECSTask

def hook(event):  # called in the background loop's thread
    if getattr(event, "status", None) == "RUNNING":
        signal.pthread_kill(threading.get_ident(), signal.SIGNAL)

ECSTask(command=["sleep", "91"]).run(on_event=hook)
"""


@pytest.mark.parametrize(("signal_name", "code"), [("SIGINT", -2), ("SIGTERM", 143)])
def test_a_signal_that_another_thread_received_is_heard(cloud, signal_name, code):
    """The kernel gives a process's signal to any of its threads; the main thread, which waits, hears of it all the same."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IN_ANOTHER_THREAD.replace("SIGNAL", signal_name)],
        env={**cloud.environment, "PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=45,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert {t["lastStatus"] for t in cloud.tasks if _command(t) == ["sleep", "91"]} == {"STOPPED"}


def _wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


# --- credentials -------------------------------------------------------------------------------------------------------


def test_wrong_keys_are_told_as_such(cloud):
    """AWS's words, and what to check."""
    wrong = cloud.credentials.model_copy(update={"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE"})
    with pytest.raises(NoCredentials, match="aws_credentials") as caught:
        ECSTask(command=["true"], aws_credentials=wrong).run()
    assert caught.value.code in ("UnrecognizedClientException", "AuthFailure")


def test_no_credentials_are_told_as_such(monkeypatch):
    """Before anything is sent."""
    with pytest.raises(NoCredentials, match="AWS_ACCESS_KEY_ID"):
        ECSTask(command=["true"], aws_credentials={"region_name": "us-east-1"}).run()


def test_no_region_is_told_as_such():
    """It names where one can be set."""
    with pytest.raises(InvalidTask, match="region_name"):
        ECSTask(command=["true"], aws_credentials={"aws_access_key_id": "AK", "aws_secret_access_key": "SK"}).run()


def test_an_endpoint_that_is_not_there_is_told_as_such():
    """A dead endpoint is an AwsError, not a traceback of botocore's."""
    credentials = {
        "aws_access_key_id": "AK",
        "aws_secret_access_key": "SK",
        "region_name": "us-east-1",
        "endpoint_url": "http://127.0.0.1:9",
        "botocore_config": {"retries": {"total_max_attempts": 1}},
    }
    with pytest.raises(AwsError, match=r"127\.0\.0\.1:9"):
        ECSTask(command=["true"], aws_credentials=credentials).run()


def test_the_environment_leads_to_the_cloud_too(cloud, monkeypatch):
    """Nothing set in the block: boto3's own chain."""
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    assert ECSTask(command=["true"]).run()


def test_wrong_settings_of_the_environment_do_not_reach_a_block_with_its_own(cloud, monkeypatch):
    """Keys, region and endpoint of the block win."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "WRONG")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "mars-north-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert task_of(cloud, "true").run()
