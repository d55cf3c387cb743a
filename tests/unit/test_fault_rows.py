"""Rows of FAULTS.md that no other test holds. docs/faults.md names the tests of all rows."""

from __future__ import annotations

import ast
import copy
import io
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from scripted import EPOCH, FakeAws, SimulatedClock, life_of, lost, make_run, refused, simulate

import ecs_block
from ecs_block import (
    AwsCredentials,
    ECSTask,
    InvalidTask,
    OutcomeUnknown,
    TaskDefinitionNotFound,
    TaskStartFailed,
    TaskStartTimeout,
)
from ecs_block.aws import clients
from ecs_block.engine import run as engine
from ecs_block.engine.logs import stream_name
from ecs_block.errors import Kind
from ecs_block.events import Event, StatusChanged

ROLE = "arn:aws:iam::123456789012:role/execution"
SOURCES = sorted(Path(ecs_block.__file__).parent.rglob("*.py"))


def run_once(
    prepare: Any = lambda aws: None,
    seen: Any = None,
    clock_of: Any = lambda clock: clock,
    output: Any = None,
    **fields: Any,
) -> Any:
    """Run a block on a simulated clock; gives the result or the error, the fake and the clock."""
    kept: dict[str, Any] = {}

    async def work(clock: SimulatedClock) -> None:
        aws = FakeAws(clock)
        prepare(aws)
        kept.update(aws=aws, clock=clock)
        run = make_run(aws, clock_of(clock), seen, **fields)
        run.teller._output = output
        try:
            kept["result"] = await engine.run(run)
        except Exception as error:
            kept["error"] = error

    simulate(work)
    return kept


# --- definitions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["INACTIVE", "DELETE_IN_PROGRESS"])
def test_a_linked_revision_that_is_not_active_starts_nothing(status: str) -> None:
    """#8: told before anything is registered or launched, with its status and what to name instead."""

    def prepare(aws: FakeAws) -> None:
        aws.RegisterTaskDefinition(family="mine", containerDefinitions=[{"name": "app", "image": "x"}])
        aws.definitions["mine"][0] |= {"status": status, "deleteRequestedAt": EPOCH}

    kept = run_once(prepare, task_definition_arn="mine:1", image="other")
    assert isinstance(kept["error"], InvalidTask)
    assert f"mine:1 is {status}" in str(kept["error"])
    assert "family 'mine'" in str(kept["error"])
    assert not {"RegisterTaskDefinition", "RunTask"} & set(kept["aws"].calls)


def test_a_linked_definition_of_another_region_starts_nothing() -> None:
    """#8: AWS does not find it; nothing is registered in its place."""
    gone = TaskDefinitionNotFound("Unable to describe task definition. Check the region.", kind=Kind.NOT_FOUND)
    arn = "arn:aws:ecs:us-west-2:123456789012:task-definition/mine:1"
    kept = run_once(lambda aws: aws.answer_next("DescribeTaskDefinition", gone), task_definition_arn=arn)
    assert kept["error"] is gone
    assert not {"RegisterTaskDefinition", "RunTask"} & set(kept["aws"].calls)


def test_sizes_in_words_of_a_given_definition() -> None:
    """#11: a definition for instances may say `1 vCPU`: it is taken as it is."""
    words = {"cpu": "1 vCPU", "memory": "2 GB", "requiresCompatibilities": ["EC2"]}
    kept = run_once(task_definition=words, launch_type="EC2")
    assert kept["result"].outcome == "succeeded"
    assert kept["aws"].sent("RegisterTaskDefinition")[0]["cpu"] == "1 vCPU"


def test_logging_with_a_linked_definition_and_a_role_of_the_block() -> None:
    """#11: the block's execution role is enough for logging, though it travels in the overrides."""

    def prepare(aws: FakeAws) -> None:
        aws.RegisterTaskDefinition(family="mine", containerDefinitions=[{"name": "app", "image": "x"}])

    kept = run_once(prepare, task_definition_arn="mine", execution_role_arn=ROLE, configure_cloudwatch_logs=True)
    assert kept["result"].outcome == "succeeded"
    assert kept["aws"].sent("RunTask")[0]["overrides"]["executionRoleArn"] == ROLE


FORGOTTEN = re.compile(r"\{[a-z_]+(\.[a-z_]+|\[[^\]]*\])*(![rsa])?(:[^}]*)?\}")


def _texts(tree: ast.AST) -> list[ast.Constant]:
    """Every piece of text in a file that is no f-string, no docstring and not formatted later."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [node for node in found if id(node) not in inside | alone and "@media" not in node.value]  # no style sheet


def test_no_message_shows_its_own_braces() -> None:
    """#12: no text holds `{name}` as if it were an f-string and is none."""
    for path in SOURCES:
        for text in _texts(ast.parse(path.read_text())):
            assert not FORGOTTEN.search(text.value), f"{path}:{text.lineno}: {text.value!r}"


# --- the cluster, the start --------------------------------------------------------------------------------------------


def test_a_cluster_that_is_deleted_while_the_task_runs() -> None:
    """#22: after a minute nobody can know what became of the task, and no other is started."""
    gone = refused("ClusterNotFoundException", "Cluster not found.", Kind.NOT_FOUND)
    kept = run_once(lambda aws: aws.answer_next("DescribeTasks", *[gone] * 1000))
    assert isinstance(kept["error"], OutcomeUnknown)
    assert 60 <= kept["clock"].now() <= 90
    assert kept["aws"].calls["RunTask"] == 1


def test_a_failed_task_without_containers() -> None:
    """#32: told in AWS's words, without the environment of the task."""
    life = [
        (0.0, {"lastStatus": "PROVISIONING", "containers": []}),
        (
            3.0,
            {
                "lastStatus": "STOPPED",
                "stopCode": "TaskFailedToStart",
                "stoppedReason": "ResourceInitializationError: unable to pull secrets",
                "containers": [],
            },
        ),
    ]
    kept = run_once(lambda aws: aws.lives.append(life), env={"A": "value-of-a-variable"})
    assert isinstance(kept["error"], TaskStartFailed)
    assert "unable to pull secrets" in str(kept["error"])
    assert "value-of-a-variable" not in str(kept["error"])
    assert kept["error"].result.containers == ()


@pytest.mark.parametrize(
    ("status", "waits_for"), [("PROVISIONING", "capacity and a network"), ("PENDING", "its image")]
)
def test_a_start_timeout_says_what_was_waited_for(status: str, waits_for: str) -> None:
    """#36: capacity or the image, with the command that shows what AWS says."""
    kept = run_once(lambda aws: aws.lives.append([(0.0, {"lastStatus": status})]), task_start_timeout_seconds=60)
    assert isinstance(kept["error"], TaskStartTimeout)
    assert f"still {status} after 60 s" in str(kept["error"])
    assert f"waiting for {waits_for}" in str(kept["error"])
    assert "aws ecs describe-tasks" in str(kept["error"])


# --- reading -----------------------------------------------------------------------------------------------------------


class Unreachable:
    """A fake that nobody reaches from one time to another."""

    def __init__(self, begin: float, end: float) -> None:
        self.begin, self.end = begin, end

    def __call__(self, aws: FakeAws) -> None:
        describe = aws.DescribeTasks

        def reached(**request: Any) -> Any:
            if self.begin <= aws.clock.now() < self.end:
                raise lost()
            return describe(**request)

        aws.DescribeTasks = reached  # type: ignore[method-assign]


def test_a_partition_of_half_an_hour_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """#37, #38: the task ended meanwhile; its end is told as it was, and there was a line for each minute, no more."""

    def prepare(aws: FakeAws) -> None:
        aws.lives.append(life_of(300, code=7))
        Unreachable(60, 60 + 1800)(aws)

    caplog.set_level(logging.WARNING)
    kept = run_once(prepare)
    assert kept["result"].status_code == 7
    assert 1860 <= kept["clock"].now() <= 1900
    told = [record for record in caplog.records if "cannot be asked about the tasks" in record.message]
    assert 25 <= len(told) <= 31


def test_a_partition_that_outlasts_aws_s_memory_is_told_as_such() -> None:
    """#33, #38: more than an hour after its end AWS has forgotten the task: nobody can know."""

    def prepare(aws: FakeAws) -> None:
        aws.lives.append([*life_of(300), (300 + 3700.0, {"lastStatus": "GONE"})])
        Unreachable(60, 60 + 7200)(aws)

    kept = run_once(prepare)
    assert isinstance(kept["error"], OutcomeUnknown)
    assert "forgets a task about an hour after its end" in str(kept["error"])
    assert kept["aws"].calls["RunTask"] == 1


class Jumping:
    """A clock whose time of day jumps by hours, to and fro; time itself goes on as ever."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock

    def wall(self) -> Any:
        return self._clock.wall() + timedelta(hours=(3, -5)[int(self._clock.now()) % 2])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)


def test_a_time_of_day_that_jumps_is_not_noticed() -> None:
    """#40: time limits and pauses go by a clock that only goes forward."""
    seen: list[Event] = []
    kept = run_once(
        lambda aws: aws.lives.append(life_of(100, code=3)),
        seen,
        Jumping,
        task_start_timeout_seconds=60,
        task_run_timeout_seconds=120,
    )
    assert kept["result"].status_code == 3
    assert 102 <= kept["clock"].now() <= 115
    statuses = [event.status for event in seen if isinstance(event, StatusChanged)]
    assert statuses[-1] == "STOPPED"


def test_the_engine_asks_no_other_clock() -> None:
    """#40: only the clock itself, and the journal (whose times outlive the process), read the time."""
    for path in SOURCES:
        if path.parent.name == "engine" and path.name not in ("clock.py", "journal.py"):
            calls = re.findall(r"\btime\.\w+|datetime\.now|perf_counter", path.read_text())
            assert not calls, f"{path.name}: {calls}"


# --- the end -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "outcome"), [(137, "failed"), (0, "succeeded")])
def test_a_container_that_ran_out_of_memory_is_told(code: int, outcome: str) -> None:
    """#45d: also where the program itself ended with 0, its reason is in the result; a failure comes with advice."""
    container = {"name": "main", "exitCode": code, "reason": "OutOfMemoryError: Container killed due to memory usage"}
    result = run_once(lambda aws: aws.lives.append(life_of(5, code=None, containers=[container])))["result"]
    assert (result.outcome, result.status_code) == (outcome, code)
    assert "OutOfMemoryError" in result.reason
    assert ("give it more (memory)" in (result.advice or "")) == (code != 0)


# --- logs --------------------------------------------------------------------------------------------------------------


class Told(list[Event]):
    """Keeps when each status was told."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[str, float] = {}

    def of(self, clock: SimulatedClock) -> SimulatedClock:
        self.clock = clock
        return clock

    def append(self, event: Event) -> None:
        if isinstance(event, StatusChanged):
            self.at[event.status] = self.clock.now()


def test_more_lines_than_can_be_read_do_not_hide_the_end_of_the_task() -> None:
    """#46k: many pages are behind, and the status is told in time all the same; then every line is shown."""

    def prepare(aws: FakeAws) -> None:
        aws.lives.append(life_of(20))
        aws.GetLogEvents = pages  # type: ignore[method-assign]

    def pages(startTime: int = 0, nextToken: str = "", **_: Any) -> dict[str, Any]:  # noqa: N803
        first = int(nextToken or startTime)  # line n has timestamp n
        page = range(first, min(first + 3, 3000))
        events = [{"timestamp": number, "message": str(number)} for number in page]
        return {"events": events, "nextForwardToken": str(max(page.stop, first))}

    told, output = Told(), io.StringIO()
    kept = run_once(prepare, told, told.of, output, stream_output=True, execution_role_arn=ROLE)
    assert told.at["STOPPED"] <= 32
    assert kept["clock"].now() > 40  # there was that much to read
    assert output.getvalue().splitlines() == [str(number) for number in range(3000)]
    assert kept["result"].log_complete == "yes"


def test_a_stream_without_a_prefix_has_the_name_of_the_runtime() -> None:
    """#46n: as the driver names it on instances; until the runtime is known there is none to read."""
    task = {"taskArn": "arn:aws:ecs:eu-test-1:1:task/c/0a", "containers": [{"name": "main"}]}
    assert stream_name({}, "main", task) is None
    task["containers"] = [{"name": "side", "runtimeId": "s"}, {"name": "main", "runtimeId": "r"}]
    assert stream_name({}, "main", task) == "r"
    assert stream_name({"awslogs-stream-prefix": "p"}, "main", task) == "p/main/0a"


# --- clients and models ------------------------------------------------------------------------------------------------


def test_threads_share_one_client_and_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """#72: whoever asks first makes the client, the others get it; a session is made for each who asks for one."""
    made: list[str] = []
    new_client = clients._new_client

    def counted(*about: Any) -> Any:
        made.append(about[2])
        return new_client(*about)

    monkeypatch.setattr(clients, "_new_client", counted)
    credentials = AwsCredentials(
        aws_access_key_id="AKID",
        aws_secret_access_key="key",
        region_name="eu-west-3",
        endpoint_url="http://localhost:9",
    )
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: clients.client(credentials, "ecs").client, range(60)))
    assert len(set(map(id, found))) == 1
    assert made == ["ecs"]
    assert clients.client(credentials.model_copy(), "ecs").client is found[0]  # equal credentials are the same
    assert clients.client(credentials.model_copy(update={"region_name": "eu-west-1"}), "ecs").client is not found[0]
    assert credentials.get_boto3_session() is not credentials.get_boto3_session()


def test_blocks_share_no_default() -> None:
    """#73: what is done to the default of one block is not done to another's."""
    before = copy.deepcopy(ECSTask())
    task = ECSTask()
    task.env["A"] = "1"
    task.labels["a"] = "1"
    task.command.append("x")
    task.task_run_request["group"] = "g"
    task.aws_credentials.botocore_config["retries"] = {}
    assert ECSTask() == before
    assert ECSTask().aws_credentials == AwsCredentials()
