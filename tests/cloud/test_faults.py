"""What happens on the wire must not show in what a run tells. Rows (#…) and invariants (I…) are those of FAULTS.md.

The engine's clock goes ten times as fast here, so that its pauses do not take the tests' time. botocore's retries, the network
and the tasks keep the real one. Tasks are of launch type EC2, which needs no look-up of the network, except where it is the
matter.
"""

from __future__ import annotations

import functools
import io
import itertools
import json
import time
import traceback
from dataclasses import fields

import anyio
import pytest
from botocore.loaders import JSONFileLoader
from faults import (
    Bucket,
    Delay,
    Drop,
    Duplicate,
    Error,
    FaultyEndpoint,
    Hang,
    Html,
    Meanwhile,
    OldCopy,
    Overtaken,
    Status,
    Truncate,
    throttled,
)

from ecs_block import (
    AccessDenied,
    AwsCredentials,
    AwsError,
    ECSTask,
    InvalidTask,
    NoCredentials,
    TaskRunTimeout,
)
from ecs_block.engine import registry
from ecs_block.engine.clock import SystemClock
from ecs_block.engine.watch import STATUSES
from ecs_block.local import LocalCloud
from ecs_block.local.task import STATES

ROLE = "arn:aws:iam::123456789012:role/execution"
EXPIRED = Error("ExpiredTokenException", "The security token included in the request is expired")
AT_ONCE = {"retries": {"mode": "standard", "total_max_attempts": 1}}  # botocore sends once, and the engine decides
PATIENT = {"read_timeout": 20}  # nothing hangs, and a machine may be busy
LOST = range(1, 5)  # more often than botocore itself tries
UNREAD = (  # what can happen to a question
    Status(500),
    throttled(),
    Html(),
    Drop(after=True),
    Truncate(to=b"{}"),
    Truncate(),
    Truncate(honest=False),
    EXPIRED,
)
MISSING = Truncate(to=b'{"tasks": [], "failures": [{"arn": "it", "reason": "MISSING"}]}')


class QuickClock(SystemClock):
    """The machine's clock, some times as fast."""

    def __init__(self, speed):
        self.speed = speed

    def now(self):
        return time.monotonic() * self.speed

    async def sleep(self, seconds):
        await anyio.sleep(seconds / self.speed)


@pytest.fixture(scope="module", autouse=True)
def _models_once():
    """Let boto3's sessions share the models that they read: to read them took half of each test's time."""
    shared = functools.cache(JSONFileLoader().load_file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda loader, path: shared(path))
        yield


@pytest.fixture(autouse=True)
def speed(monkeypatch):
    """Ten; a test may choose another: less where the time to make a client must not count for so much."""

    def choose(speed):
        monkeypatch.setattr("ecs_block.engine.clock.SYSTEM_CLOCK", QuickClock(speed))

    choose(10)
    return choose


@pytest.fixture
def cloud():
    with LocalCloud(state_seconds=0.005) as cloud:
        yield cloud


@pytest.fixture
def wire(cloud):
    with FaultyEndpoint(cloud, **PATIENT) as wire:
        yield wire


@pytest.fixture
def engine_only(cloud):
    """The endpoint, for credentials with which botocore does not send anything again by itself."""
    with FaultyEndpoint(cloud, **PATIENT, **AT_ONCE) as wire:
        yield wire


@pytest.fixture(params=["run", "asyncio", "trio"])
def colour(request):
    """The blocking verb, and the awaited one on both backends."""
    return request.param


def task_of(wire, *command, **given):
    return ECSTask(command=list(command), aws_credentials=wire.credentials, **{"launch_type": "EC2", **given})


def until(file, script):
    """A program that waits for a file, however long a busy machine takes."""
    return "sh", "-c", f"until [ -e '{file}' ]; do sleep 0.02; done; {script}"


def run(task, colour="run", **arguments):
    if colour == "run":
        return task.run(**arguments)
    return anyio.run(lambda: task.arun(**arguments), backend=colour)


def tokens(wire):
    return {request["clientToken"] for request in wire.requests("RunTask")}


def name(fault):
    """`Drop after=True`: a fault, by what of it is not the default."""
    told = [
        f"{item.name}={getattr(fault, item.name)}"
        for item in fields(fault)
        if item.name != "message" and getattr(fault, item.name) != item.default
    ]
    return " ".join([type(fault).__name__, *told])[:60]


def each(*faults):
    return pytest.mark.parametrize("fault", faults, ids=name)


# --- RunTask -----------------------------------------------------------------------------------------------------------


def test_an_answer_that_is_lost_four_times_gives_one_task(cloud, wire, colour):
    """#16, I1: each sending bears the same token, so the cloud starts one task, and the run finds it."""
    wire.on("RunTask", call=LOST, fault=Drop(after=True))
    result = run(task_of(wire, "sh", "-c", "exit 5"), colour)
    assert result.status_code == 5
    assert len(cloud.tasks) == 1
    assert cloud.tasks[0]["taskArn"] in result.identifier
    assert len(wire.calls("RunTask")) == 5
    assert len(tokens(wire)) == 1


@each(
    Drop(),
    Drop(reset=True),
    Status(500),
    Status(503, after=True),
    throttled(),
    Html(),
    Html(after=True),
    Html(status=502),
    Truncate(to=b"{}"),
    Truncate(to=b""),
    Truncate(),
    Truncate(honest=False),
    EXPIRED,
    Error("ClientException", "You've reached the limit on the number of tasks that can be in the PROVISIONING state."),
)
def test_runtask_is_sent_again_until_it_is_answered(cloud, engine_only, fault):
    """#13, #16, #21, #30, #39: whether the cloud acted or not, there is one task, one token, and the right result."""
    engine_only.on("RunTask", call={1, 2}, fault=fault)
    result = run(task_of(engine_only, "sh", "-c", "exit 5"))
    assert result.status_code == 5
    assert len(cloud.tasks) == 1
    assert len(engine_only.calls("RunTask")) == 3
    assert len(tokens(engine_only)) == 1


def test_runtask_that_hangs_after_the_effect(cloud):
    """#16, #38: a half-open connection ends by the read timeout, and the task that was started is the one."""
    with FaultyEndpoint(cloud, read_timeout=0.2) as wire:
        wire.on("RunTask", call=LOST, fault=Hang(after=True))
        assert run(task_of(wire, "true")).outcome == "succeeded"
    assert len(cloud.tasks) == 1
    assert len(tokens(wire)) == 1


def test_a_task_that_runs_already_when_runtask_is_answered(cloud, engine_only):
    """#16, #36: the first answer is lost, the next one says RUNNING: its time counts and its output is shown from then on."""
    engine_only.on("RunTask", Drop(after=True))
    engine_only.on("RunTask", call=2, fault=Delay(0.3))
    task = task_of(
        engine_only,
        "sh",
        "-c",
        "echo begun; sleep 6",
        stream_output=True,
        execution_role_arn=ROLE,
        task_run_timeout_seconds=10,
    )
    output = io.StringIO()
    with pytest.raises(TaskRunTimeout):
        run(task, output=output)
    assert output.getvalue() == "begun\n"
    assert json.loads(engine_only.calls("RunTask")[-1].answer)["tasks"][0]["lastStatus"] == "RUNNING"
    assert len(cloud.tasks) == 1


def test_a_request_that_arrives_twice_starts_one_task(cloud, wire):
    """I1: what a network doubles has one token."""
    wire.on("RunTask", Duplicate())
    assert run(task_of(wire, "true")).outcome == "succeeded"
    assert wire.calls("RunTask")[0].forwarded == 2
    assert len(cloud.tasks) == 1


def test_one_run_id_for_two_requests(cloud, wire, monkeypatch, tmp_path):
    """#19: a token that another machine used for another request is told, with the task that has it; nothing is started."""
    run(task_of(wire, "true"), run_id="night-7")
    monkeypatch.setenv("ECS_BLOCK_HOME", str(tmp_path / "another machine"))
    wire.on("RunTask", call={2, 3}, fault=Status(500))
    with pytest.raises(InvalidTask, match=r"night-7.*arn:aws:ecs"):
        run(task_of(wire, "echo", "another"), run_id="night-7")
    assert len(cloud.tasks) == 1


def test_one_run_on_two_machines_with_a_revision_each(cloud, wire, monkeypatch, tmp_path):
    """#19, #55: they registered the same definition at the same moment. One task, and its outcome for both."""
    first = run(task_of(wire, "sh", "-c", "exit 3", env={"A": "1"}), run_id="night-8")
    client = cloud.client("ecs")
    arn = first.task_definition_arn
    made = client.describe_task_definition(taskDefinition=arn)["taskDefinition"]
    client.register_task_definition(family=made["family"], containerDefinitions=made["containerDefinitions"])
    monkeypatch.setenv("ECS_BLOCK_HOME", str(tmp_path / "another machine"))
    monkeypatch.setattr(registry, "_memory", registry._Memory())
    result = run(task_of(wire, "sh", "-c", "exit 3", env={"A": "1"}), run_id="night-8")
    assert result.identifier == first.identifier
    assert result.status_code == 3
    assert len({request["taskDefinition"] for request in wire.requests("RunTask")}) == 2
    assert len(cloud.tasks) == 1


def test_a_definition_that_became_inactive_is_made_again(cloud, wire):
    """#6: RunTask refuses it, so nothing was started; it is looked up once more, and one task runs."""
    wire.on("RunTask", Error("ClientException", "TaskDefinition is inactive"))
    assert run(task_of(wire, "true")).outcome == "succeeded"
    assert len(wire.calls("DescribeTaskDefinition")) == 2
    assert len(cloud.tasks) == 1


def test_a_permission_that_is_missing_is_named(cloud, wire):
    """#29: in IAM's words, at once, without a second sending."""
    denied = "User: arn:aws:iam::1:user/u is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/r"
    wire.on("RunTask", call=None, fault=Error("AccessDeniedException", denied))
    with pytest.raises(AccessDenied, match="iam:PassRole") as caught:
        run(task_of(wire, "true"))
    assert caught.value.action == "iam:PassRole"
    assert len(wire.calls("RunTask")) == 1
    assert cloud.tasks == []


def test_a_cluster_that_is_gone_is_named(wire):
    """#22: told by its code, at once."""
    wire.on("RunTask", call=None, fault=Error("ClusterNotFoundException", "Cluster not found."))
    with pytest.raises(AwsError, match=r"cluster gone.*Check the cluster's name"):
        run(task_of(wire, "true", cluster="gone"))
    assert len(wire.calls("RunTask")) == 1


def test_a_clock_that_is_wrong_is_told(cloud, wire):
    """#40: the signature's error leads to the machine's clock, and says by how much it is wrong."""
    said = "Signature expired: 20260101T000000Z is now earlier than 20260101T010000Z (20260101T011500Z - 15 min.)"
    skewed = Error("InvalidSignatureException", said, date_off=7200)
    wire.on("DescribeTaskDefinition", call=None, fault=skewed)
    wire.on("RunTask", call=None, fault=skewed)
    with pytest.raises(NoCredentials, match=r"clock is 7\d\d\d s behind"):
        run(task_of(wire, "true", task_start_timeout_seconds=5))
    assert cloud.tasks == []


def test_a_bucket_that_is_empty_is_waited_for(cloud, engine_only):
    """#13: twelve launches against three and eight a second: every one comes through, and only as many tasks."""
    bucket = Bucket(3, 8)
    engine_only.on("RunTask", call=None, fault=bucket)
    results = task_of(engine_only).map([["sh", "-c", f"exit {code}"] for code in range(12)])
    assert [result.status_code for result in results] == list(range(12))
    assert len(cloud.tasks) == 12
    assert bucket.refused


# --- watching ----------------------------------------------------------------------------------------------------------


@each(
    *UNREAD,
    MISSING,
    Error("AccessDeniedException", "You are not authorized to perform: ecs:DescribeTasks"),
    Error("ClusterNotFoundException", "Cluster not found."),
)
def test_a_look_that_fails_does_not_end_the_watch(cloud, engine_only, fault, tmp_path):
    """#31, #37, #39: what happens to DescribeTasks for a while says nothing of the task, which ends as it ends."""
    over = tmp_path / "over"
    engine_only.on("DescribeTasks", call={1, 3, 4}, fault=fault)
    engine_only.on("DescribeTasks", call=5, fault=Meanwhile(over.touch))
    result = run(task_of(engine_only, *until(over, "exit 5"), task_watch_poll_interval=1))
    assert result.status_code == 5
    assert engine_only.happened()[type(fault).__name__] == 3
    assert len(cloud.tasks) == 1


def test_a_look_that_hangs_ends_by_itself(cloud, colour):
    """#38: the read timeout ends it, and the watch goes on."""
    with FaultyEndpoint(cloud, read_timeout=0.2) as wire:
        wire.on("DescribeTasks", call=LOST, fault=Hang())
        assert run(task_of(wire, "sh", "-c", "exit 5"), colour).status_code == 5
    assert wire.happened()["Hang"] == 4


def test_old_copies_do_not_turn_a_task_back(tmp_path):
    """#41: an answer that is older than the last one is dropped; each status is told once, in order."""
    told, over = [], tmp_path / "over"
    slow_to_begin = {**dict.fromkeys(STATES, 0.1), "PROVISIONING": 0.8}  # the first look comes before it is over

    def times_back():
        shown = [json.loads(seen.answer)["tasks"][0]["lastStatus"] for seen in wire.calls("DescribeTasks")[:-1]]
        return sum(STATUSES.index(new) < STATUSES.index(old) for old, new in itertools.pairwise(shown))

    with LocalCloud(state_seconds=slow_to_begin) as cloud, FaultyEndpoint(cloud, **PATIENT) as wire:
        for number in range(3, 100, 2):
            wire.on("DescribeTasks", call=number, fault=OldCopy(back=number - 1))  # the first answer, again and again
        wire.on("DescribeTasks", call=None, fault=Meanwhile(lambda: times_back() >= 2 and over.touch()))
        task = task_of(wire, *until(over, "exit 5"), task_watch_poll_interval=0.5)
        result = run(task, on_event=lambda event: told.append(getattr(event, "status", None)))
    assert result.status_code == 5
    assert times_back() >= 2
    ranks = [STATUSES.index(status) for status in told if status]
    assert ranks == sorted(set(ranks))
    assert {STATUSES.index("RUNNING"), STATUSES.index("STOPPED")} <= set(ranks)


def test_answers_that_come_in_another_order(wire):
    """#41: the looks of two event loops overtake each other, and both runs are told the truth."""
    wire.on("DescribeTasks", call=range(1, 30, 2), fault=Overtaken(patience=0.2))
    codes = {}

    async def one(code):
        codes[code] = (await task_of(wire, "sh", "-c", f"sleep 0.2; exit {code}").arun()).status_code

    async def both():
        async with anyio.create_task_group() as group:
            group.start_soon(one, 3)
            group.start_soon(anyio.to_thread.run_sync, lambda: anyio.run(one, 4))

    anyio.run(both)
    assert codes == {3: 3, 4: 4}


def test_credentials_that_expire_while_watching(wire, colour):
    """#39: ExpiredToken in the middle; the task is not touched, and the run ends as it would have."""
    wire.on("DescribeTasks", call=range(2, 5), fault=EXPIRED)
    assert run(task_of(wire, "sh", "-c", "exit 5"), colour).status_code == 5
    assert not wire.calls("StopTask")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_credentials_that_were_renewed_in_their_file_are_read_again(cloud, wire, tmp_path, monkeypatch, backend):
    """#39: keys of a profile expire, somebody writes new ones to the file, and every call after that bears them."""
    file, given = tmp_path / "credentials", cloud.credentials
    key, secret = given.aws_access_key_id.get_secret_value(), given.aws_secret_access_key.get_secret_value()

    def write(token):
        file.write_text(
            f"[work]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\naws_session_token = {token}\n"
        )

    def renew(event):
        if getattr(event, "status", "") == "RUNNING":
            write("token-of-today")

    def bears_an_old_one(seen):
        return "today" in file.read_text() and seen.headers["x-amz-security-token"] == "token-of-yesterday"

    write("token-of-yesterday")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    for operation in ("DescribeTasks", "StopTask"):
        wire.on(operation, call=None, fault=EXPIRED, when=bears_an_old_one)
    who = AwsCredentials(profile_name="work", region_name=given.region_name, endpoint_url=wire.endpoint_url)
    task = ECSTask(command=["sh", "-c", "sleep 0.3; exit 5"], aws_credentials=who, launch_type="EC2")

    async def story():
        with anyio.fail_after(8):
            return await task.arun(on_event=renew)

    assert anyio.run(story, backend=backend).status_code == 5
    borne = [seen.headers["x-amz-security-token"] for seen in wire.log]
    assert borne == sorted(borne, reverse=True)  # yesterday's, then today's, and never back
    assert set(borne) == {"token-of-yesterday", "token-of-today"}
    assert not wire.calls("StopTask")


# --- definitions -------------------------------------------------------------------------------------------------------


@each(throttled(), Status(500), Drop(), Html(), Truncate(to=b"{}"), Truncate())
def test_a_definition_that_cannot_be_read_for_now_is_not_registered_again(cloud, engine_only, fault, speed):
    """#1: only "no such family" means that there is none; everything else is asked again."""
    speed(2)
    run(task_of(cloud, "true"))
    engine_only.on("DescribeTaskDefinition", call={1, 2}, fault=fault)
    assert run(task_of(engine_only, "true")).outcome == "succeeded"
    assert engine_only.calls("RegisterTaskDefinition") == []
    assert cloud.tasks[0]["taskDefinitionArn"] == cloud.tasks[1]["taskDefinitionArn"]


@each(Truncate(to=b"{}"), Truncate(), Truncate(to=b""), Html(status=400))
def test_a_refusal_that_is_cut_short_is_asked_for_again(cloud, engine_only, fault, speed):
    """#1, #21: a family that is not there is a refusal (400); what arrives without code and reason tells nothing."""
    speed(2)
    engine_only.on("DescribeTaskDefinition", fault)
    assert run(task_of(engine_only, "true")).outcome == "succeeded"
    assert engine_only.calls("DescribeTaskDefinition")[0].status == 400
    assert len(engine_only.calls("DescribeTaskDefinition")) == 2
    assert len(cloud.tasks) == 1


def test_a_definition_that_may_not_be_read_is_told(cloud, wire, colour):
    """#1: the error names the permission; nothing is registered, nothing is started."""
    denied = "User: arn:aws:iam::1:user/u is not authorized to perform: ecs:DescribeTaskDefinition on resource: *"
    wire.on("DescribeTaskDefinition", call=None, fault=Error("AccessDeniedException", denied))
    with pytest.raises(AccessDenied, match="ecs:DescribeTaskDefinition") as caught:
        run(task_of(wire, "true"), colour)
    assert caught.value.action == "ecs:DescribeTaskDefinition"
    assert set(cloud.calls) == set()


def test_a_definition_that_nobody_can_read_is_told_without_registering(cloud, engine_only):
    """#1: when the patience is over, the failure itself is the error."""
    engine_only.on("DescribeTaskDefinition", call=None, fault=Status(500))
    with pytest.raises(AwsError, match=r"DescribeTaskDefinition.*500"):
        run(task_of(engine_only, "true"))
    assert len(engine_only.calls("DescribeTaskDefinition")) > 2
    assert set(cloud.calls) == set()


def test_registrations_at_the_same_time(cloud, wire):
    """#2: AWS refuses twice; each time the family is looked at again first, for it may have the same by now."""
    said = "Too many concurrent attempts to create a new revision of the specified family."
    wire.on("RegisterTaskDefinition", call={1, 2}, fault=Error("ClientException", said))
    assert run(task_of(wire, "true")).outcome == "succeeded"
    looked = [seen.operation for seen in wire.log if "TaskDefinition" in seen.operation]
    assert looked == ["DescribeTaskDefinition", "RegisterTaskDefinition"] * 3


def test_the_winner_of_registrations_at_the_same_time_is_used(cloud, wire):
    """#2: who lost finds the same definition, and registers nothing."""
    said = "Too many concurrent attempts to create a new revision of the specified family."
    wire.on("RegisterTaskDefinition", call=None, fault=Error("ClientException", said, after=True))
    assert run(task_of(wire, "true")).outcome == "succeeded"
    assert cloud.calls["ecs:RegisterTaskDefinition"] == 1
    assert cloud.tasks[0]["taskDefinitionArn"].endswith(":1")


def test_a_registration_whose_answer_is_lost(cloud, engine_only):
    """#3: the family is looked at before anything is sent again, so what was registered unseen is used."""
    engine_only.on("RegisterTaskDefinition", call=None, fault=Drop(after=True))
    assert run(task_of(engine_only, "true")).outcome == "succeeded"
    assert cloud.calls["ecs:RegisterTaskDefinition"] == 1
    assert cloud.tasks[0]["taskDefinitionArn"].endswith(":1")


def test_a_registration_that_botocore_repeats_is_harmless(cloud, wire):
    """#3: botocore sends it again by itself, which makes revisions that are the same; the run uses one of them."""
    wire.on("RegisterTaskDefinition", call={1, 2}, fault=Drop(after=True))
    assert run(task_of(wire, "true")).outcome == "succeeded"
    assert cloud.calls["ecs:RegisterTaskDefinition"] == 3
    assert len(cloud.tasks) == 1


# --- the network, secrets ----------------------------------------------------------------------------------------------


@each(Status(503), Html(), Truncate(to=b"<html/>"), Truncate())
def test_the_network_is_looked_up_again(cloud, wire, fault, speed):
    """#26: EC2 speaks XML, and what happens to it on the way passes as well."""
    speed(2)
    wire.on("DescribeVpcs", fault)
    wire.on("DescribeSubnets", fault)
    assert run(task_of(wire, "true", launch_type="FARGATE")).outcome == "succeeded"
    assert wire.requests("RunTask")[0]["networkConfiguration"]["awsvpcConfiguration"]["subnets"]
    assert len(wire.calls("DescribeVpcs")) == len(wire.calls("DescribeSubnets")) == 2


@each(Html(), Truncate(to=b"{}"))
@pytest.mark.parametrize("kind", ["ssm", "secretsmanager"])
def test_a_secret_is_asked_for_again(cloud, wire, fault, kind, speed):
    """#21: an answer without the secret is no answer."""
    speed(2)
    if kind == "ssm":
        cloud.client("ssm").put_parameter(Name="/made/up", Value="a made up one", Type="SecureString")
        reference, operation = {"$secret": "ssm:/made/up"}, "GetParameter"
    else:
        cloud.client("secretsmanager").create_secret(Name="made-up", SecretString="a made up one")
        reference, operation = {"$secret": "secretsmanager:made-up"}, "GetSecretValue"
    wire.on(operation, fault)
    task = task_of(wire, "sh", "-c", 'test "$PASSWORD" = "a made up one"', env={"PASSWORD": reference})
    assert run(task).status_code == 0
    assert len(wire.calls(operation)) == 2


# --- output ------------------------------------------------------------------------------------------------------------


def lines_of(wire, program):
    output = io.StringIO()
    task = task_of(wire, "sh", "-c", program, stream_output=True, execution_role_arn=ROLE)
    return run(task, output=output), output.getvalue().splitlines()


@each(
    *UNREAD,
    OldCopy(),
)
def test_every_line_comes_once(engine_only, fault):
    """#46h, I4: what cannot be read is read again; `log_complete` says that nothing is missing."""
    engine_only.on("GetLogEvents", call={1, 2, *range(4, 40, 2)}, fault=fault)
    result, lines = lines_of(engine_only, "for i in 1 2 3; do echo one $i; echo same; sleep 0.1; done")
    assert lines == ["one 1", "same", "one 2", "same", "one 3", "same"]
    assert (result.outcome, result.log_complete) == ("succeeded", "yes")
    assert engine_only.happened()[type(fault).__name__] >= 2


def test_lines_that_become_readable_late_come_once():
    """#46e, #46h, I4: also where the platform does not promise that all is there when the task has stopped."""
    with LocalCloud(log_delay=0.2) as cloud, FaultyEndpoint(cloud, **PATIENT, **AT_ONCE) as wire:
        wire.sometimes(0.3, [Status(500), Drop(after=True), Truncate(), Html()], ["GetLogEvents", "FilterLogEvents"])
        result, lines = lines_of(wire, "for i in $(seq 30); do echo $i; echo same; done")
        assert wire.happened()
    assert [line for line in lines if line != "same"] == [str(number) for number in range(1, 31)]
    assert len(lines) == 60
    assert result.log_complete == "yes"


@each(Status(500), Error("AccessDeniedException", "You are not authorized to perform: logs:GetLogEvents"))
def test_lines_that_cannot_be_read_do_not_hide_the_outcome(engine_only, fault, caplog, speed):
    """#46h, I4: the result is the task's, `log_complete` says no, and a warning says why."""
    speed(30)
    engine_only.on("GetLogEvents", call=None, fault=fault)
    result, lines = lines_of(engine_only, "echo lost; exit 5")
    assert (result.status_code, result.log_complete, lines) == (5, "no", [])
    assert "may be missing" in caplog.text


# --- stopping ----------------------------------------------------------------------------------------------------------


@each(
    Drop(after=True),
    Status(500),
    Html(after=True),
    Truncate(to=b"{}"),
    throttled(),
    EXPIRED,
    Error("InvalidParameterException", "The referenced task was not found.", after=True),
)
def test_a_stop_whose_answer_is_lost(cloud, engine_only, fault):
    """#36, #39, #45h: the task is stopped all the same, and the timeout is what is told."""
    engine_only.on("StopTask", call={1, 2}, fault=fault)
    with pytest.raises(TaskRunTimeout, match="task_run_timeout_seconds") as caught:
        run(task_of(engine_only, "sleep", "20", task_run_timeout_seconds=2))
    assert caught.value.result.outcome == "stopped"
    assert [task["lastStatus"] for task in cloud.tasks] == ["STOPPED"]
    assert engine_only.happened()


def cancelled_at_launch(task, wire, backend="asyncio"):
    """Run a task, and cancel it as soon as RunTask was sent."""

    async def story():
        async with anyio.create_task_group() as group:
            group.start_soon(task.arun)
            await anyio.to_thread.run_sync(wire.wait_for, "RunTask")
            group.cancel_scope.cancel()

    anyio.run(story, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_run_that_is_cancelled_while_its_answers_are_lost(cloud, engine_only, backend):
    """#45e, I3, I7: the task that was started unseen is found by `startedBy` and stopped, and no other is started."""
    engine_only.on("RunTask", call=None, fault=Drop(after=True))
    engine_only.on("ListTasks", Status(500))
    engine_only.on("StopTask", call={1, 2}, fault=Status(500))
    task = task_of(engine_only, "sleep", "20")

    cancelled_at_launch(task, engine_only, backend)
    assert len(tokens(engine_only)) == 1
    assert [item["desiredStatus"] for item in cloud.tasks] == ["STOPPED"]


def test_a_run_that_is_cancelled_before_its_task_can_be_listed():
    """#45e, I3: ListTasks is as late as DescribeTasks; a task that was started unseen is looked for more than once."""
    with LocalCloud(missing_seconds=0.3) as cloud, FaultyEndpoint(cloud, **PATIENT, **AT_ONCE) as wire:
        wire.on("RunTask", call=None, fault=Drop(after=True))
        cancelled_at_launch(task_of(wire, "sleep", "20"), wire)
        assert [item["desiredStatus"] for item in cloud.tasks] == ["STOPPED"]


# --- no AWS at all -----------------------------------------------------------------------------------------------------


def test_an_endpoint_that_is_dead_from_the_start(cloud, colour, speed):
    """#37: an AwsError that names call and endpoint, after some seconds, without another library's traceback."""
    speed(5)
    with FaultyEndpoint(cloud) as wire:
        task = task_of(wire, "true")
    began = time.monotonic()
    with pytest.raises(AwsError, match=f"DescribeTaskDefinition got no answer.*{wire.endpoint_url}") as caught:
        run(task, colour)
    assert 0.2 <= time.monotonic() - began <= 3  # five times as much outside of this test
    told = "".join(traceback.format_exception(caught.value))
    assert "botocore" not in told
    assert "urllib3" not in told


def test_an_endpoint_that_never_answers(cloud):
    """#38: likewise where connections are made and nothing comes; with botocore's own timeout for each try."""
    with FaultyEndpoint(cloud, read_timeout=0.2) as wire:
        wire.on("DescribeTaskDefinition", call=None, fault=Hang())
        with pytest.raises(AwsError, match=r"DescribeTaskDefinition got no answer.*[Tt]imeout"):
            run(task_of(wire, "true"))
    assert cloud.tasks == []


# --- everything at once ------------------------------------------------------------------------------------------------

EVERY_FAULT = [
    Drop(),
    Drop(after=True),
    Drop(reset=True, after=True),
    Status(500),
    Status(503, after=True),
    Html(),
    throttled(),
    Truncate(),
    Truncate(to=b"{}"),
    Truncate(honest=False),
    Duplicate(),
    Hang(after=True),
]


@pytest.mark.parametrize("seed", [1, 2])
def test_forty_runs_under_every_fault(cloud, seed, speed):
    """I1, I6: each run is told the truth, and the cloud has as many tasks as runs."""
    speed(2)
    commands = [["true"]] * 20 + [["sh", "-c", f"exit {code}"] for code in range(20)]
    with FaultyEndpoint(cloud, seed=seed, read_timeout=0.3) as wire:
        wire.sometimes(0.3, EVERY_FAULT, ["RunTask", "DescribeTasks"])
        wire.sometimes(0.1, EVERY_FAULT)
        results = task_of(wire).map(commands)
        happened = wire.happened()
    assert [result.status_code for result in results] == [0] * 20 + list(range(20))
    assert len(cloud.tasks) == 40
    assert len({result.identifier for result in results}) == 40
    assert sum(happened.values()) >= 8
