"""Queue and agent over a LocalCloud's SQS, in this process."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from faults import Drop, Error, FaultyEndpoint, Status, throttled

from ecs_block import AwsCredentials, ECSTask, InvalidTask
from ecs_block.agent import Agent, Job, RunQueue
from ecs_block.agent.dead_letters import DeadLetters
from ecs_block.agent.queue import Message, passes_of
from ecs_block.agent.view import JobChanged
from ecs_block.errors import AwsError, Kind
from ecs_block.local import LocalCloud


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    """A cloud whose tasks are soon over."""
    with LocalCloud(state_seconds=0.02) as cloud:
        yield cloud


@pytest.fixture
def sqs(cloud: LocalCloud) -> Any:
    """A client of somebody else's."""
    return cloud.client("sqs")


def make(sqs: Any, name: str, **attributes: str) -> str:
    return str(sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])


def with_dead_letters(sqs: Any, name: str, receives: int = 5, **of_the_dead: str) -> tuple[str, str]:
    dead = make(sqs, f"{name}-dead", **of_the_dead)
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})
    return make(sqs, name, VisibilityTimeout="1", RedrivePolicy=policy), dead


def block(cloud: LocalCloud) -> ECSTask:
    return ECSTask(cpu=256, memory=512, aws_credentials=cloud.credentials, task_watch_poll_interval=0.5)


def test_the_cloud_has_sqs_manners(cloud: LocalCloud, sqs: Any) -> None:
    """Visibility, counted receives, and the dead letters after `maxReceiveCount`: what the agent relies on."""
    url, dead = with_dead_letters(sqs, "manners", receives=2)
    queue = RunQueue(url, cloud.credentials)
    assert queue.submit({"id": "a"}) == "a"

    async def work() -> None:
        (first,) = await queue.receive(10, 1)
        assert (first.receives, await queue.receive(10, 0)) == (1, [])
        await anyio.sleep(1.2)
        (second,) = await queue.receive(10, 1)
        assert second.receives == 2
        assert await queue.hide({first.receipt: 0, "nonsense": 0}) != []
        await anyio.sleep(1.2)
        assert await queue.receive(10, 1) == []

    anyio.run(work)
    (kept,) = sqs.receive_message(QueueUrl=dead)["Messages"]
    assert json.loads(kept["Body"]) == {"id": "a"}


def test_a_job_that_is_sent_on_keeps_its_id_and_counts_its_passes(cloud: LocalCloud, sqs: Any) -> None:
    """The new message has no receives, and what the sender wrote beside the job is still there."""
    url = make(sqs, "passes", VisibilityTimeout="30")
    beside = {
        "trace": {"DataType": "String", "StringValue": "t"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\xff"},
    }
    sqs.send_message(QueueUrl=url, MessageBody="{}", MessageAttributes=beside)
    queue = RunQueue(url, cloud.credentials)

    async def work() -> None:
        (message,) = await queue.receive(10, 1)
        await queue.send_on(message, message.id, 0)
        await queue.delete([message.receipt])
        (again,) = await queue.receive(10, 1)
        assert (again.receives, passes_of(again)) == (1, 1)
        assert again.attributes["ecs_block.job_id"]["StringValue"] == message.id
        assert again.attributes["trace"]["StringValue"] == "t"
        assert again.attributes["raw"]["BinaryValue"] == b"\xff"

    anyio.run(work)


def test_a_queue_that_is_not_there_is_not_found(cloud: LocalCloud, sqs: Any) -> None:
    """#53: the error says which call, and that it is no matter of waiting."""
    queue = RunQueue(f"{make(sqs, 'there')}-not", cloud.credentials)
    with pytest.raises(AwsError, match=r"sqs:SendMessageBatch.*does not exist") as caught:
        queue.submit(Job(id="a"))
    assert caught.value.kind is Kind.NOT_FOUND


def test_the_endpoint_is_that_of_the_url(cloud: LocalCloud, sqs: Any) -> None:
    """A queue of a local cloud needs no endpoint to be named."""
    keys = {
        name: getattr(cloud.credentials, name) for name in ("aws_access_key_id", "aws_secret_access_key", "region_name")
    }
    assert RunQueue(make(sqs, "endpoint"), AwsCredentials(**keys)).submit({"command": ["true"]})


def test_a_message_too_large_for_the_dead_letters_is_kept_in_a_file(cloud: LocalCloud, sqs: Any, tmp_path: Any) -> None:
    """#50: the dead letter then tells the reason, and where the whole is."""
    url, dead = with_dead_letters(sqs, "large", MaximumMessageSize="1024")
    queue = RunQueue(url, cloud.credentials)

    async def work() -> str:
        return await DeadLetters(queue).take(Message("m-1", "x" * 2000, "r", 1, {}), "why", await queue.settings())

    assert "large-dead" in anyio.run(work)
    (kept,) = sqs.receive_message(QueueUrl=dead, MessageAttributeNames=["All"])["Messages"]
    assert kept["MessageAttributes"]["ecs_block.reason"]["StringValue"] == "why"
    file = tmp_path / "home" / "rejected"
    told = json.loads(kept["Body"])
    assert told["kept_at"].startswith(str(file))
    with open(told["kept_at"]) as written:
        assert json.load(written)["body"] == "x" * 2000


def test_poison_of_every_kind_over_the_wire(cloud: LocalCloud, sqs: Any) -> None:
    """#50: 256 KiB, binary attributes, control characters and text that is no JSON; good jobs go through."""
    url, dead = with_dead_letters(sqs, "poison")
    bodies = ["x" * 262_145, '{"a": "\t"}', "\ud7ff\u0085", '{"labels": 5}']
    for body in bodies:
        binary = {"raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=binary)
    RunQueue(url, cloud.credentials).submit({"id": "good", "command": ["true"]})
    seen: list[JobChanged] = []
    agent = Agent(url, block=block(cloud), max_polls=3, poll_seconds=1, on_event=lambda event: seen.append(event))  # type: ignore[arg-type]
    agent.start()
    assert [event.state for event in seen if getattr(event, "id", None) == "good"] == ["launching", "running", "done"]
    found = {}
    while messages := sqs.receive_message(QueueUrl=dead, MaxNumberOfMessages=10, MessageAttributeNames=["All"]).get(
        "Messages"
    ):
        found |= {message["Body"]: message["MessageAttributes"] for message in messages}
    assert set(found) == set(bodies)
    assert all(attributes["ecs_block.reason"]["StringValue"] for attributes in found.values())
    assert all(attributes["raw"]["BinaryValue"] == b"\x00\xff" for attributes in found.values())


# What ECS answers to RunTask, and what an agent's operator has to mend, or time.
FOR_GOOD = (
    Error("InvalidParameterException", "The security group sg-1 does not exist"),
    Error("ClusterNotFoundException", "Cluster not found."),
    Error("PlatformUnknownException", "The specified platform version does not exist."),
)
OF_OTHERS = (
    Error("AccessDeniedException", "User: arn:aws:iam::1:user/a is not authorized to perform: ecs:RunTask"),
    Error("UnrecognizedClientException", "The security token included in the request is invalid."),
    Error("InvalidParameterException", "Unable to assume the service linked role."),
    throttled(),
    Status(503),
    Drop(after=True),
)


def reasons(sqs: Any, dead: str) -> dict[str, str]:
    """Why each job is a dead letter, by its id."""
    found = {}
    while messages := sqs.receive_message(QueueUrl=dead, MaxNumberOfMessages=10, MessageAttributeNames=["All"]).get(
        "Messages"
    ):
        for message in messages:
            found[json.loads(message["Body"])["id"]] = message["MessageAttributes"]["ecs_block.reason"]["StringValue"]
    return found


def of_job(id_: str, most: int | None = None) -> Callable[[Any], bool]:
    """Tell whether a call is about a job; of the first `most` calls only."""
    calls = itertools.count(1)
    return lambda seen: f'"{id_}"' in json.dumps(seen.body) and (most is None or next(calls) <= most)


def test_what_ecs_refuses_for_good_is_a_dead_letter_at_once(cloud: LocalCloud, sqs: Any) -> None:
    """#50: one RunTask and one delivery each, with AWS's own words as the reason; a good job between them is run."""
    url, dead = with_dead_letters(sqs, "for-good", receives=20)
    with FaultyEndpoint(cloud) as wire:
        ids = [f"job-{number}" for number in range(len(FOR_GOOD))]
        for id_, fault in zip(ids, FOR_GOOD, strict=True):
            wire.on("RunTask", fault, call=None, when=of_job(id_))
        RunQueue(url, cloud.credentials).submit_all([{"id": id_, "command": ["true"]} for id_ in [*ids, "good"]])
        agent = Agent(RunQueue(url, cloud.credentials), block=at(wire), max_polls=1)
        agent.start()
        sent = Counter(id_ for request in wire.requests("RunTask") for id_ in ids if f'"{id_}"' in json.dumps(request))
    assert sent == dict.fromkeys(ids, 1)
    assert agent.view.counts["done"] == 1
    told = reasons(sqs, dead)
    assert set(told) == set(ids)
    for id_, fault in zip(ids, FOR_GOOD, strict=True):
        assert fault.message.rstrip(".") in told[id_]


def test_what_is_not_the_job_s_fault_is_no_dead_letter(cloud: LocalCloud, sqs: Any) -> None:
    """#56: denied, unknown keys, throttled, unavailable, cut off: each job comes again, and is run once."""
    url, dead = with_dead_letters(sqs, "of-others", receives=20)
    with FaultyEndpoint(cloud) as wire:
        ids = [f"job-{number}" for number in range(len(OF_OTHERS))]
        for id_, fault in zip(ids, OF_OTHERS, strict=True):
            wire.on("RunTask", fault, call=None, when=of_job(id_, most=1))
        RunQueue(url, cloud.credentials).submit_all([{"id": id_, "command": ["true"]} for id_ in ids])
        agent = Agent(RunQueue(url, cloud.credentials), block=at(wire), poll_seconds=1)
        threading.Thread(target=stop_when, args=(agent, lambda: agent.view.counts["done"] == len(ids))).start()
        agent.start()
    assert agent.view.counts["done"] == len(ids)
    assert reasons(sqs, dead) == {}
    queue = RunQueue(url)
    assert Counter(task["startedBy"] for task in cloud.tasks if task["startedBy"].startswith(queue.prefix)) == {
        queue.run_id_of(id_): 1 for id_ in ids
    }


def at(wire: FaultyEndpoint) -> ECSTask:
    return ECSTask(cpu=256, memory=512, aws_credentials=wire.credentials, task_watch_poll_interval=0.5)


def stop_when(agent: Agent, condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    agent.stop()


@pytest.mark.parametrize("verb", ["start", "start within a loop", "astart"])
def test_every_way_to_start(cloud: LocalCloud, sqs: Any, verb: str) -> None:
    """In a script, in a notebook whose own loop runs, and awaited."""
    queue = RunQueue(make(sqs, verb.replace(" ", "-")), cloud.credentials)
    queue.submit_all([{"command": ["true"]}] * 3)
    agent = Agent(queue, block=block(cloud), max_polls=1)

    async def within() -> None:
        agent.start()

    if verb == "start":
        agent.start()
    else:
        anyio.run(within if verb == "start within a loop" else agent.astart)
    assert agent.view.counts["done"] == 3
    assert agent.view.state == "stopped"


def test_trio_runs_an_agent_too(cloud: LocalCloud, sqs: Any) -> None:
    """As all of the library."""
    queue = RunQueue(make(sqs, "trio"), cloud.credentials)
    assert anyio.run(queue.asubmit, {"id": "four", "command": ["sh", "-c", "exit 4"]}, backend="trio") == "four"
    agent = Agent(queue, block=block(cloud), max_polls=1)
    anyio.run(agent.astart, backend="trio")
    (job,) = agent.view.snapshot()["jobs"]
    assert (job["state"], job["status_code"]) == ("failed", 4)


def test_stop_from_another_thread(cloud: LocalCloud, sqs: Any) -> None:
    """`stop()` ends it as SIGTERM does, also before it has begun."""
    queue = RunQueue(make(sqs, "stop"), cloud.credentials)
    agent = Agent(queue, block=block(cloud), poll_seconds=1)
    timer = threading.Timer(2, agent.stop)
    began = time.monotonic()
    timer.start()
    agent.start()
    timer.join()
    assert time.monotonic() - began < 15
    assert agent.view.counts["polls"] > 0
    early = Agent(queue, block=block(cloud))
    early.stop()
    early.start()
    assert early.view.counts["polls"] == 0


def test_without_a_region_nothing_is_started() -> None:
    """An agent that could never poll says so at once."""
    agent = Agent("https://queue.example/123456789012/jobs", aws_credentials=AwsCredentials(
        aws_access_key_id="AKIATEST", aws_secret_access_key="not-a-real-one"))  # fmt: skip
    with pytest.raises(InvalidTask, match="region"):
        agent.start()
