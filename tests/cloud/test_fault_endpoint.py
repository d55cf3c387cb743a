"""The fault endpoint of the tests does what it says, as plain boto3 and http.client see it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from botocore.parsers import ResponseParserError
from faults import (
    Bucket,
    Delay,
    Drop,
    Duplicate,
    Error,
    Fault,
    FaultyEndpoint,
    Hang,
    Html,
    OldCopy,
    Overtaken,
    Status,
    Truncate,
    throttled,
)

from ecs_block.local import LocalCloud

DEFINITION = {"family": "some", "containerDefinitions": [{"name": "main", "image": "none", "memory": 64}]}


@pytest.fixture
def cloud():
    with LocalCloud(execute=False) as cloud:
        yield cloud


@pytest.fixture
def wire(cloud):
    with FaultyEndpoint(cloud, read_timeout=20) as wire:
        yield wire


@pytest.fixture
def ecs(wire):
    with closing(wire.client("ecs")) as client:
        yield client


def ask(wire, operation="ListTasks", body=b"{}"):
    """Send one request by hand (unsigned, so the cloud refuses it) and give the answer and its whole body."""
    with closing(http.client.HTTPConnection("127.0.0.1", int(wire.endpoint_url.rpartition(":")[2]), timeout=5)) as line:
        line.request("POST", "/", body, {"X-Amz-Target": f"AmazonEC2ContainerServiceV20141113.{operation}"})
        answer = line.getresponse()
        return answer, answer.read()


def revisions(cloud):
    return cloud.calls["ecs:RegisterTaskDefinition"]


# --- without a fault ---------------------------------------------------------------------------------------------------


def test_a_call_without_a_fault_goes_through(cloud, wire, ecs):
    """The cloud accepts the signature, the client gets the cloud's answer, and the log has what was asked."""
    ecs.register_task_definition(**DEFINITION)
    assert revisions(cloud) == 1
    [seen] = wire.log
    assert (seen.operation, seen.number, seen.fault, seen.forwarded, seen.status) == (
        "RegisterTaskDefinition",
        1,
        None,
        1,
        200,
    )
    assert wire.requests("RegisterTaskDefinition") == [DEFINITION]
    assert seen.headers["x-amz-target"].endswith(".RegisterTaskDefinition")


def test_the_clouds_refusal_goes_through(ecs):
    """Status and code are the cloud's own."""
    with pytest.raises(ClientError) as caught:
        ecs.describe_task_definition(taskDefinition="none")
    assert caught.value.response["Error"]["Code"] == "ClientException"


def test_the_query_protocol_goes_through(wire):
    """EC2's operation is in its form."""
    with closing(wire.client("ec2")) as ec2:
        assert ec2.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["true"]}])["Vpcs"]
    assert wire.requests("DescribeVpcs")[0]["Filter.1.Name"] == "isDefault"


def test_connections_are_kept(wire):
    """HTTP/1.1: two requests and an answer to each on one connection."""
    with closing(http.client.HTTPConnection("127.0.0.1", int(wire.endpoint_url.rpartition(":")[2]), timeout=5)) as line:
        addresses = []
        for _ in range(2):
            line.request("POST", "/", b"{}", {"X-Amz-Target": "x.ListTasks"})
            addresses.append(line.sock.getsockname())
            line.getresponse().read()
    assert len(set(addresses)) == 1
    assert len(wire.calls("ListTasks")) == 2


# --- which call --------------------------------------------------------------------------------------------------------


def test_a_fault_happens_to_the_calls_that_were_named(wire):
    """The first by default, one, several, or each; counted for each operation by itself."""
    wire.on("A", Status(500))
    wire.on("B", call=2, fault=Status(501))
    wire.on("C", call=range(2, 4), fault=Status(502))
    wire.on("C", call={1, 2}, fault=Status(503))
    wire.on("D", call=None, fault=Status(504))
    found = {name: [ask(wire, name)[0].status for _ in range(4)] for name in "ABCDE"}
    assert found == {
        "A": [500, 400, 400, 400],
        "B": [400, 501, 400, 400],
        "C": [503, 502, 502, 400],
        "D": [504] * 4,
        "E": [400] * 4,
    }


def test_a_fault_may_depend_on_the_request(wire):
    """Here on its body."""
    wire.on("A", call=None, fault=Status(500), when=lambda seen: seen.body.get("bad", False))
    assert [ask(wire, "A", body)[0].status for body in (b'{"bad": true}', b"{}")] == [500, 400]


def test_chance_follows_from_the_seed(cloud):
    """The same seed, the same calls; another seed, others; about as many as asked for; no other operation."""

    def struck(seed):
        with FaultyEndpoint(cloud, seed=seed) as wire:
            wire.sometimes(0.3, [Status(500), Status(503)], operations=["A"])
            found = [ask(wire, "A")[0].status for _ in range(60)]
            assert {ask(wire, "B")[0].status for _ in range(20)} == {400}
            return found

    once, again, other = struck(1), struck(1), struck(2)
    assert once == again != other
    assert set(once) == {400, 500, 503}
    assert 8 <= sum(status != 400 for status in once) <= 28


# --- answers that do not come ------------------------------------------------------------------------------------------


def test_drop_before_the_effect(cloud, wire, ecs):
    """The cloud never hears of the call, and the client is hung up on."""
    wire.on("RegisterTaskDefinition", Drop())
    with pytest.raises(ConnectionClosedError):
        ecs.register_task_definition(**DEFINITION)
    assert revisions(cloud) == 0
    assert [(seen.fault, seen.forwarded, seen.status) for seen in wire.log] == [("Drop", 0, None)]


def test_drop_after_the_effect(cloud, wire, ecs):
    """The cloud has acted, and the client cannot know."""
    wire.on("RegisterTaskDefinition", Drop(after=True))
    with pytest.raises(ConnectionClosedError):
        ecs.register_task_definition(**DEFINITION)
    assert revisions(cloud) == 1
    assert wire.log[0].forwarded == 1


def test_a_drop_closes_or_resets(wire):
    """The first is the end of the stream, the second a reset of the connection."""
    wire.on("A", Drop())
    wire.on("B", Drop(reset=True))
    with pytest.raises(http.client.RemoteDisconnected):
        ask(wire, "A")
    with pytest.raises(ConnectionResetError) as caught:
        ask(wire, "B")
    assert not isinstance(caught.value, http.client.RemoteDisconnected)


@pytest.mark.parametrize("after", [False, True])
def test_hang(cloud, after):
    """The client gives up by its own timeout, with or without the effect."""
    with FaultyEndpoint(cloud, read_timeout=0.3) as wire, closing(wire.client("ecs")) as ecs:
        wire.on("RegisterTaskDefinition", Hang(after=after))
        with pytest.raises(ReadTimeoutError):
            ecs.register_task_definition(**DEFINITION)
    assert revisions(cloud) == after


def test_a_hang_ends_when_released(wire):
    """Whoever waited until then is hung up on; later ones at once."""
    wire.on("A", call=None, fault=Hang())
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, wire, "A")
        time.sleep(0.2)
        assert not waiting.done()
        wire.release()
        assert isinstance(waiting.exception(timeout=2), http.client.RemoteDisconnected)
    with pytest.raises(http.client.RemoteDisconnected):
        ask(wire, "A")


# --- answers that are not the cloud's ----------------------------------------------------------------------------------


def test_truncate_to_a_body(cloud, wire, ecs):
    """botocore makes an empty answer of `{}` without a word, though the cloud has acted."""
    wire.on("RegisterTaskDefinition", Truncate(to=b"{}"))
    answer = ecs.register_task_definition(**DEFINITION)
    assert "taskDefinition" not in answer
    assert revisions(cloud) == 1


def test_truncate_with_a_length_that_fits(wire):
    """Half of the body, whose length is announced truly: to HTTP nothing is wrong."""
    whole = ask(wire, "ListTasks")[1]
    wire.on("ListTasks", call=None, fault=Truncate())
    answer, body = ask(wire, "ListTasks")
    assert body == whole[: len(whole) // 2]
    assert int(answer.headers["Content-Length"]) == len(body) > 0
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(body)


def test_truncate_with_the_length_of_the_whole(wire):
    """HTTP sees that a part is missing."""
    whole = ask(wire, "ListTasks")[1]
    wire.on("ListTasks", call=None, fault=Truncate(honest=False))
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(wire, "ListTasks")
    assert len(caught.value.partial) + caught.value.expected == len(whole)


def test_html(cloud, wire, ecs):
    """A page of somebody else's with status 200; the cloud was not asked."""
    wire.on("A", Html())
    answer, body = ask(wire, "A")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html")
    assert body.startswith(b"<!DOCTYPE html>")
    wire.on("ListTasks", Html())
    assert "taskArns" not in ecs.list_tasks()
    assert not cloud.calls["ecs:ListTasks"]
    with closing(wire.client("ec2")) as ec2:
        wire.on("DescribeVpcs", Html())
        with pytest.raises(ResponseParserError):
            ec2.describe_vpcs()


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Status(500), 500, "500"),
        (Status(503), 503, "503"),
        (throttled(), 400, "ThrottlingException"),
        (Error("ExpiredTokenException", "The security token included in the request is expired"), 400, None),
        (Error("AccessDeniedException", "no", status=403), 403, None),
    ],
)
@pytest.mark.parametrize("service", ["ecs", "ec2"])
def test_errors_in_both_protocols(cloud, wire, fault, status, code, service):
    """botocore reads code and message; the cloud was not asked."""
    operation = {"ecs": "ListTasks", "ec2": "DescribeVpcs"}[service]
    wire.on(operation, fault)
    with closing(wire.client(service)) as client, pytest.raises(ClientError) as caught:
        client.list_tasks() if service == "ecs" else client.describe_vpcs()
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == status
    assert answer["Error"]["Code"] == (code or fault.code)
    assert getattr(fault, "message", "") in answer["Error"]["Message"]
    assert not cloud.calls


def test_an_error_may_come_from_another_time(wire):
    """By its Date: an hour ago, as a client sees it whose clock is an hour ahead."""
    wire.on("A", Error("RequestTimeTooSkewed", date_off=-3600))
    date = parsedate_to_datetime(ask(wire, "A")[0].headers["Date"])
    assert 3590 < (datetime.now(UTC) - date).total_seconds() < 3660
    date = parsedate_to_datetime(ask(wire, "A")[0].headers["Date"])
    assert abs((datetime.now(UTC) - date).total_seconds()) < 60


@pytest.mark.parametrize("fault", [Html(after=True), Status(500, after=True), throttled(after=True)])
def test_any_answer_may_come_after_the_effect(cloud, wire, ecs, fault):
    """The cloud has acted, whatever the client hears."""
    wire.on("RegisterTaskDefinition", fault)
    with suppress(ClientError):
        assert "taskDefinition" not in ecs.register_task_definition(**DEFINITION)
    assert revisions(cloud) == 1
    assert (wire.log[0].forwarded, wire.log[0].status) == (1, fault.status)


def test_bucket(wire):
    """So many at once, then so many a second; the others are throttled and counted."""
    bucket = Bucket(burst=3, rate=10)
    wire.on("A", call=None, fault=bucket)

    def refused():
        return b"ThrottlingException" in ask(wire, "A")[1]

    assert [refused() for _ in range(3)] == [False] * 3
    assert refused()
    time.sleep(0.15)
    assert not refused()
    assert bucket.refused == 1


# --- answers late, twice, out of order ---------------------------------------------------------------------------------


def test_delay(wire):
    """The answer is the cloud's, and late."""
    wire.on("A", Delay(0.3))
    began = time.monotonic()
    assert ask(wire, "A")[0].status == 400
    assert 0.3 <= time.monotonic() - began < 1


def test_duplicate(cloud, wire, ecs):
    """The cloud acts twice on one request, and the client hears of the second."""
    wire.on("RegisterTaskDefinition", Duplicate())
    assert ecs.register_task_definition(**DEFINITION)["taskDefinition"]["revision"] == 2
    assert revisions(cloud) == 2
    assert len(wire.log) == 1


def test_old_copy(cloud, wire, ecs):
    """What the same request was answered earlier; another request has a past of its own."""
    wire.on("ListTaskDefinitions", call={2, 4, 5, 6}, fault=OldCopy())
    wire.on("ListTaskDefinitions", call=7, fault=OldCopy(back=6))

    def known(**request):
        return len(ecs.list_task_definitions(**request)["taskDefinitionArns"])

    found = [known(familyPrefix="some")]
    for _ in range(2):
        ecs.register_task_definition(**DEFINITION)
        found.append(known(familyPrefix="some"))  # the first of these is a copy
    assert found == [0, 0, 2]
    assert known(familyPrefix="som") == 0
    assert known() == 2  # it has no past
    ecs.register_task_definition(**DEFINITION)
    assert known(familyPrefix="some") == 2  # the last true answer, not the copy
    assert known(familyPrefix="some") == 3  # nor is there any from six calls ago


def test_overtaken(wire):
    """The answer comes after the one to a later call; without a later call, when the patience is over."""
    wire.on("A", Overtaken(patience=20))
    wire.on("A", call=3, fault=Overtaken(patience=0.3))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, wire, "A")
        wire.wait_for("A")
        time.sleep(0.2)
        assert not first.done()
        ask(wire, "A")
        began = time.monotonic()
        assert first.result()[0].status == 400
        assert time.monotonic() - began < 10
    began = time.monotonic()
    ask(wire, "A")
    assert time.monotonic() - began >= 0.3


def test_waiting_for_a_call(wire):
    """Returns when it has come, and tells when it does not."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wire.wait_for, "A", 2)
        ask(wire, "A")
        assert not waiting.done()
        ask(wire, "A")
        waiting.result(timeout=2)
    with pytest.raises(TimeoutError, match="call 1 of B"):
        wire.wait_for("B", patience=0.05)


# --- its end -----------------------------------------------------------------------------------------------------------


def test_nothing_of_it_outlives_it(cloud):
    """No thread, no listener; a client that waits for ever is hung up on, idle or not."""
    before = set(threading.enumerate())
    with ThreadPoolExecutor(4) as pool:
        with FaultyEndpoint(cloud) as wire:
            port = int(wire.endpoint_url.rpartition(":")[2])
            wire.on("A", call=None, fault=Hang())
            wire.on("B", call=None, fault=Delay(60))
            wire.on("C", call=None, fault=Overtaken(patience=60))
            waiting = [pool.submit(ask, wire, name) for name in "ABC"]
            idle = socket.create_connection(("127.0.0.1", port))
            for name in "ABC":
                wire.wait_for(name)
            began = time.monotonic()
        assert time.monotonic() - began < 2
        with idle, suppress(ConnectionResetError):  # either is a hang-up
            assert idle.recv(1) == b""
        for one in waiting:
            assert one.exception(timeout=5) is None or isinstance(one.exception(), ConnectionError)
    left = set(threading.enumerate()) - before
    assert [thread for thread in left if not thread.daemon] == []  # the cloud's own are daemons
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_fault_that_nobody_ordered_is_told():
    """When the cloud itself does not answer, or a fault is broken, the test must not pass for that."""

    class Broken(Fault):
        def meet(self, call):
            raise LookupError("a mistake in a fault")

    def story():
        with LocalCloud(execute=False) as cloud, FaultyEndpoint(cloud) as wire:
            wire.on("A", Broken())
            with pytest.raises(http.client.RemoteDisconnected):
                ask(wire, "A")
            cloud.stop()
            with pytest.raises(http.client.RemoteDisconnected):
                ask(wire, "A")

    with pytest.raises(ExceptionGroup) as caught:
        story()
    assert [type(error) for error in caught.value.exceptions] == [LookupError, RuntimeError]
