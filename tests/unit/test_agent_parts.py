"""The parts of the agent that need neither a queue nor an ECS."""

from __future__ import annotations

import http.client
import json
import multiprocessing
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_block import AwsCredentials
from ecs_block.agent.claims import Claims
from ecs_block.agent.health import StatusServer, address_of
from ecs_block.agent.job import Job, Rejected, parse_job
from ecs_block.agent.launching import judge
from ecs_block.agent.page import page
from ecs_block.agent.queue import RunQueue
from ecs_block.agent.trust import check_allowed, checked_allow
from ecs_block.agent.view import KEPT, SILENT_FOR, View
from ecs_block.errors import (
    AccessDenied,
    AwsError,
    ClusterNotFound,
    InvalidTask,
    JournalError,
    Kind,
    NoCredentials,
    OutcomeUnknown,
    TaskLaunchFailed,
)
from ecs_block.plan.queue_url import region_of
from ecs_block.plan.result import ECSTaskResult

# --- jobs ---------------------------------------------------------------------------------------------------------------


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200), st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*Job.model_fields, "x"]) | st.text(), inner),
).map(json.dumps)))  # fmt: skip
def test_whatever_a_message_holds_it_is_a_job_or_rejected(body: str | bytes) -> None:
    """#50: nothing but Rejected gets out of reading a message, and a job has an id."""
    with suppress(Rejected):
        job = parse_job(body, message_id="m")
        check_allowed(job)
        assert job.id


def test_the_id_of_a_job() -> None:
    """Its own, else the one that it had before it was sent on, else its message's."""
    kept = {"ecs_block.job_id": {"DataType": "String", "StringValue": "kept"}}
    assert parse_job('{"id": "own"}', kept, "m").id == "own"
    assert parse_job("{}", kept, "m").id == "kept"
    assert parse_job('{"id": null}', {}, "m").id == "m"
    for wrong in ("", "a\nb", "x" * 300):
        assert parse_job("{}", {"ecs_block.job_id": {"StringValue": wrong}}, "m").id == "m"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"\xff\xfe{}", "no UTF-8 text"),
        ('{"a": 1, "a": 2}', "names a member twice"),
        ('{"parameters": {"a": 1e999}}', "too large"),
        ('{"version": true}', "version must be a string or a whole number"),
        ('{"env": {"A": false}}', 'write "false" in quotes'),
        ('{"name": "\\ud800"}', "no UTF-8 text"),
        ('{"id": ""}', "at least 1 character"),
        ('{"name": "a\\nERROR all is lost"}', "control characters or line breaks"),
        ('{"values": {"a": [{"$secret": "env:HOME"}]}}', "values refers to a secret"),
        ('{"comand": 1, "password": "hunter2hunter2"}', "comand is not a field"),
    ],
)
def test_what_is_no_job(body: str | bytes, told: str) -> None:
    """#50: the reason names the field, and no value stands in it."""
    with pytest.raises(Rejected, match=told) as caught:
        parse_job(body)
    assert "hunter2" not in caught.value.reason


def test_the_schema_documents_every_field() -> None:
    """Whoever writes jobs can read what each field means."""
    assert all(field.get("description") for field in Job.model_json_schema()["properties"].values())


@pytest.mark.parametrize(
    "field", sorted(set(Job.model_fields) - {"id", "version", "command", "env", "labels", "name", "parameters"})
)
def test_what_a_job_may_not_set_unless_it_is_allowed(field: str) -> None:
    """A role, an image, a definition, a cluster: each is refused by name, and taken once it is allowed."""
    value: Any = {"task_definition": {"a": 1}, "task_run_request": {"a": 1}, "values": {"a": 1}}.get(field, "x")
    job = Job(**{field: [{"op": "test"}] if field == "task_customizations" else value})
    with pytest.raises(Rejected, match=f"--allow {field}"):
        check_allowed(job)
    check_allowed(job, checked_allow([field]))


def test_variables_that_decide_the_role_are_reserved() -> None:
    """A job cannot give its program another role, endpoint or library."""
    for name in (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "aws_endpoint_url",
        "ECS_CONTAINER_METADATA_URI_V4",
        "LD_PRELOAD",
    ):
        with pytest.raises(Rejected, match=name):
            check_allowed(Job(env={name: "x"}))
    check_allowed(Job(env={"AWS_REGION": "x"}), ("env", "reserved_env"))
    with pytest.raises(InvalidTask, match="Did you mean 'image'"):
        checked_allow(["imagee"])


# --- queues -------------------------------------------------------------------------------------------------------------


def test_a_queue_is_known_by_any_of_its_addresses() -> None:
    """The run id of a job is the same for every agent, and one that AWS takes as startedBy."""
    urls = ["https://sqs.eu-west-1.amazonaws.com/123456789012/jobs", "https://eu-west-1.queue.amazonaws.com/123456789012/jobs",
            "https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com/123456789012/jobs/"]  # fmt: skip
    run_ids = {RunQueue(url).run_id_of("a job") for url in urls}
    assert len(run_ids) == 1
    (run_id,) = run_ids
    assert len(run_id) <= 128
    assert run_id.startswith("job/")
    assert RunQueue("https://sqs.us-east-1.amazonaws.com/123456789012/jobs").run_id_of("a job") != run_id
    assert RunQueue(urls[0]).run_id_of("another job") != run_id


def test_region_and_endpoint_come_from_the_url() -> None:
    """Where nothing else says them."""
    assert region_of("https://sqs.ap-southeast-2.amazonaws.com/1/q") == "ap-southeast-2"
    assert region_of("http://127.0.0.1:4566/1/q") is None
    assert RunQueue("http://127.0.0.1:4566/1/q").credentials.endpoint_url == "http://127.0.0.1:4566"
    given = AwsCredentials(endpoint_url="http://other:1")
    assert RunQueue("http://127.0.0.1:4566/1/q", given).credentials.endpoint_url == "http://other:1"


def test_a_job_that_is_none_is_not_sent() -> None:
    """All jobs are checked before the first is sent."""
    queue = RunQueue("https://sqs.eu-west-1.amazonaws.com/1/q")
    for wrong in ({"comand": ["x"]}, {"parameters": {"a": float("nan")}}, {"parameters": {"a": "x" * 300_000}}):
        with pytest.raises(InvalidTask):
            queue.submit_all([{"id": "a"}, wrong])


# --- verdicts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "receives", "most", "dead", "ours"),
    [
        (AwsError("wrong", kind=Kind.INVALID, operation="ecs:RunTask"), 1, 5, True, True),
        (ClusterNotFound("gone", kind=Kind.NOT_FOUND, operation="ecs:RunTask"), 1, None, True, True),
        (AwsError("no vpc", kind=Kind.NOT_FOUND, operation="ec2:DescribeVpcs"), 1, 5, True, True),
        (AwsError("no such secret", kind=Kind.NOT_FOUND, operation="ssm:GetParameter"), 1, 5, False, True),
        (
            AwsError("", operation="ecs:RunTask", aws_message="Unable to assume the service linked role."),
            1,
            5,
            False,
            True,
        ),
        (AwsError("", operation="ecs:RunTask", aws_message="No Container Instances were found"), 4, 5, False, True),
        (AccessDenied("denied", kind=Kind.DENIED, operation="ecs:RunTask"), 4, 5, False, True),
        (NoCredentials("expired", kind=Kind.CREDENTIALS, operation="ecs:RunTask"), 99, None, False, True),
        (AwsError("cut off", kind=Kind.TRANSIENT, operation="ecs:RunTask"), 99, None, False, True),
        (InvalidTask("no"), 1, 5, True, False),
        (Rejected("no"), 1, None, True, False),
        (TaskLaunchFailed("no"), 1, 5, True, False),
        (OutcomeUnknown("no"), 1, 5, True, False),
        (AwsError("slow", kind=Kind.THROTTLED), 1, 5, False, True),
        (AwsError("slow", kind=Kind.THROTTLED), 5, 5, True, True),
        (AwsError("slow", kind=Kind.THROTTLED), 99, None, False, True),
        (AwsError("denied", kind=Kind.DENIED), 99, None, False, True),
        (JournalError("full"), 99, 5, False, True),
        (RuntimeError("bug"), 1, 5, False, True),
        (RuntimeError("bug"), 5, 5, True, True),
        (RuntimeError("bug"), 9, None, False, True),
        (RuntimeError("bug"), 10, None, True, True),
    ],
)
def test_what_becomes_of_a_job_without_a_task(
    error: Exception, receives: int, most: int | None, dead: bool, ours: bool
) -> None:
    """What AWS refuses whenever it is asked is a dead letter at once; what others can mend is tried again."""
    verdict = judge(error, receives, most)
    assert (verdict.dead, verdict.is_ours) == (dead, ours)
    assert dead or 5 <= verdict.delay <= 900


# --- claims -------------------------------------------------------------------------------------------------------------


def _hold(path: Path, ready: Any, leave: Any) -> None:
    claims = Claims(path)
    assert claims.take("job/a")
    ready.set()
    leave.wait(20)


def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    """Another process cannot take it while its holder lives, and can as soon as that is killed."""
    path, context = tmp_path / "locks" / "q.lock", multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(path, ready, leave))
    other.start()
    assert ready.wait(20)
    claims = Claims(path)
    assert not claims.take("job/a")
    assert claims.take("job/b")
    assert not claims.take("job/b")
    other.kill()
    other.join()
    assert claims.take("job/a")
    claims.release("job/b")
    assert claims.take("job/b")


# --- what is shown ------------------------------------------------------------------------------------------------------


class Time:
    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def wall(self) -> datetime:
        return datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def a_view(**about: Any) -> tuple[View, Time]:
    time = Time()
    return View({"name": "a", "queue": "jobs", "labels": [], "limit": None, **about}, time.now, time.wall), time


def test_health_is_200_only_while_polling_works() -> None:
    """Not before the first poll, not while something stands in the way, not when the loop hangs, not at the end."""
    view, time = a_view()
    assert view.health() == (False, "the agent is starting")
    view.polled(0)
    assert view.health()[0]
    view.trouble("queue", "it is gone")
    assert view.health() == (False, "it is gone")
    view.well("queue")
    assert view.health()[0]
    time.at += SILENT_FOR + 1
    assert view.health() == (False, "the agent does not answer any more")
    view.beat()
    assert view.health()[0]
    view.state = "stopping"
    assert not view.health()[0]


def test_the_view_keeps_only_the_last_jobs_and_counts_all() -> None:
    """Ten thousand jobs take the memory of two hundred."""
    view, _ = a_view()
    for index in range(10_000):
        line = view.job(f"r{index}", f"j{index}", None)
        view.launched(line, "c::arn:aws:ecs:r:1:task/c/1")
        view.over(f"r{index}", "done", "", ECSTaskResult(outcome="succeeded", status_code=0))
        view.over(f"r{index}", "failed")  # nothing counts twice
    told = view.snapshot()
    assert told["counts"]["done"] == told["counts"]["launched"] == 10_000
    assert told["counts"]["failed"] == told["counts"]["running"] == 0
    assert [job["id"] for job in told["jobs"][:2]] == ["j9999", "j9998"]
    assert len(told["jobs"]) == KEPT
    json.dumps(told)


@pytest.fixture
def served() -> Iterator[tuple[View, str, int]]:
    """A view, and where it is served."""
    view, _ = a_view(name="<script>alert(1)</script>")
    server = StatusServer("http://127.0.0.1:0", view)
    server.start()
    host, port = address_of(server.url)
    yield view, host, port
    server.stop()


def ask(
    host: str, port: int, path: str, name: str | None = None, method: str = "GET"
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request(method, path, headers={} if name is None else {"Host": name})
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


def test_health_and_status_over_http(served: tuple[View, str, int]) -> None:
    """503 and 200 with a reason; the status is JSON; nothing else is there, and nothing can be changed."""
    view, host, port = served
    status, _, body = ask(host, port, "/api/health")
    assert (status, json.loads(body)) == (503, {"healthy": False, "reason": "the agent is starting"})
    view.polled(3)
    assert ask(host, port, "/api/health")[0] == 200
    assert ask(host, port, "/api/health?x=1", method="HEAD")[::2] == (200, "")
    assert json.loads(ask(host, port, "/api/status")[2])["counts"]["messages"] == 3
    assert ask(host, port, "/etc/passwd")[0] == 404
    assert ask(host, port, "/api/health", method="POST")[0] == 501


def test_a_page_of_somebody_else_cannot_read_it(served: tuple[View, str, int]) -> None:
    """On loopback it answers only to the machine's own names: a name that leads here is not enough."""
    _, host, port = served
    assert ask(host, port, "/api/status", f"localhost:{port}")[0] == 200
    assert ask(host, port, "/api/status", "[::1]:80")[0] == 200
    for name in ("evil.example", "127.0.0.1.evil.example", "", "[bad"):
        assert ask(host, port, "/api/status", name)[0] == 403, name


def test_nothing_on_the_page_is_markup_that_a_job_wrote(served: tuple[View, str, int]) -> None:
    """Names, ids and reasons are text; there is no script, and no other site is asked for anything."""
    view, host, port = served
    nasty = '"><img src=x onerror=alert(1)>\x1b[31m'
    view.job("r", nasty, nasty)
    view.passing(nasty, nasty, "rejected", nasty)
    status, headers, body = ask(host, port, "/")
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "<script" not in body
    assert "<img" not in body
    assert "http" not in body.replace("http-equiv", "")
    assert '<meta http-equiv="refresh"' in body


def test_addresses() -> None:
    """http://HOST:PORT or HOST:PORT; anything else is told, and so is a port in use."""
    assert address_of("http://127.0.0.1:9") == ("127.0.0.1", 9)
    assert address_of("localhost:9") == ("localhost", 9)
    assert address_of("http://[::1]:9/") == ("::1", 9)
    assert address_of("127.0.0.1") == ("127.0.0.1", 8080)
    for wrong in ("https://x:1", "http://x:99999", "http://x:1/path", "", "ftp://x"):
        with pytest.raises(InvalidTask, match="agent_address"):
            address_of(wrong)
    view, _ = a_view()
    server = StatusServer("127.0.0.1:0", view)
    server.start()
    with pytest.raises(InvalidTask, match="cannot be listened on"):
        StatusServer(server.url, view)
    server.stop()


def test_a_page_without_jobs() -> None:
    """It says so."""
    view, _ = a_view()
    assert "No job is running." in page(view.snapshot())
