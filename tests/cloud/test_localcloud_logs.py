"""LocalCloud's CloudWatch Logs and its awslogs driver, with their known traps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ecs_block.local import LocalCloud
from ecs_block.local.awslogs import Lines
from ecs_block.local.log_store import LogStore

BIG = 256 * 1024 - 26


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud(state_seconds=0.0) as cloud:
        yield cloud


@pytest.fixture
def group(cloud: LocalCloud, request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("[", "_").rstrip("]")
    cloud.client("logs").create_log_group(logGroupName=name)
    return str(name)


def now() -> int:
    return int(time.time() * 1000)


def put(logs: Any, group: str, stream: str, events: list[tuple[int, str]]) -> dict[str, Any]:
    if not logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=stream)["logStreams"]:
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    batch = [{"timestamp": timestamp, "message": message} for timestamp, message in events]
    return dict(logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=batch))


def read(logs: Any, group: str, stream: str, **params: Any) -> tuple[list[str], str]:
    """Follow the forward tokens to the end; return the messages and the last token."""
    found: list[str] = []
    request = {"logGroupName": group, "logStreamName": stream, "startFromHead": True, **params}
    while True:
        page = logs.get_log_events(**request)
        found += [event["message"] for event in page["events"]]
        if page["nextForwardToken"] == request.get("nextToken"):
            return found, page["nextForwardToken"]
        request["nextToken"] = page["nextForwardToken"]


def fault(call: Callable[..., Any], **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_what_is_missing_says_which(cloud: LocalCloud, group: str) -> None:
    """Groups and streams that do not exist have texts of their own."""
    get = cloud.client("logs").get_log_events
    found = fault(get, logGroupName="nobody", logStreamName="s")
    assert found == ("ResourceNotFoundException", "The specified log group does not exist.")
    assert fault(get, logGroupName=group, logStreamName="s")[1] == "The specified log stream does not exist."


def test_the_newest_page_comes_first_unless_asked_for_the_head(cloud: LocalCloud, group: str) -> None:
    """Without startFromHead a reader gets the end; its backward token leads to the beginning."""
    logs = cloud.client("logs")
    put(logs, group, "s", [(now() + i, str(i)) for i in range(10)])
    newest = logs.get_log_events(logGroupName=group, logStreamName="s", limit=3)
    assert [event["message"] for event in newest["events"]] == ["7", "8", "9"]
    token = newest["nextBackwardToken"]
    older = logs.get_log_events(logGroupName=group, logStreamName="s", limit=3, nextToken=token)
    assert [event["message"] for event in older["events"]] == ["4", "5", "6"]


def test_forward_tokens_lead_to_the_end_and_repeat_there(cloud: LocalCloud, group: str) -> None:
    """Pages join without loss or repetition, within one millisecond too; the last token still sees what comes later."""
    logs = cloud.client("logs")
    at = now()
    put(logs, group, "s", [(at, str(i)) for i in range(25)])
    found, token = read(logs, group, "s", limit=4)
    assert found == [str(i) for i in range(25)]
    put(logs, group, "s", [(at, "same millisecond"), (at + 1, "later")])
    assert read(logs, group, "s", nextToken=token)[0] == ["same millisecond", "later"]


def test_a_late_older_event_is_behind_the_token(cloud: LocalCloud, group: str) -> None:
    """What sorts before the token is skipped by who goes on from it, and seen by who reads again."""
    logs = cloud.client("logs")
    at = now()
    put(logs, group, "s", [(at, "a"), (at + 10, "c")])
    _, token = read(logs, group, "s")
    put(logs, group, "s", [(at + 5, "b")])
    assert read(logs, group, "s", nextToken=token)[0] == []
    assert read(logs, group, "s")[0] == ["a", "b", "c"]


def test_ends_of_time_ranges(cloud: LocalCloud, group: str) -> None:
    """An endTime is exclusive for GetLogEvents and inclusive for FilterLogEvents; startTime is inclusive for both."""
    logs = cloud.client("logs")
    at = now()
    put(logs, group, "s", [(at + i, str(i)) for i in range(5)])
    assert read(logs, group, "s", startTime=at + 1, endTime=at + 3)[0] == ["1", "2"]
    found = logs.filter_log_events(logGroupName=group, startTime=at + 1, endTime=at + 3)["events"]
    assert [event["message"] for event in found] == ["1", "2", "3"]


def test_filter_reads_many_streams_in_one_order(cloud: LocalCloud, group: str) -> None:
    """Streams are merged by time, events have unique ids, and the token is absent at the end."""
    logs = cloud.client("logs")
    at = now()
    for number in range(3):
        put(logs, group, f"s{number}", [(at + 3 * i + number, f"{3 * i + number}") for i in range(10)])
    names = [f"s{number}" for number in range(3)]
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=group, logStreamNames=names, PaginationConfig={"PageSize": 4}
    )
    events = [event for page in pages for event in page["events"]]
    assert [event["message"] for event in events] == [str(i) for i in range(30)]
    assert len({event["eventId"] for event in events}) == 30
    assert "nextToken" not in logs.filter_log_events(logGroupName=group, logStreamNamePrefix="s1")
    assert fault(logs.filter_log_events, logGroupName=group, filterPattern="x")[0] == "UnsupportedFeatureException"


def test_a_page_holds_one_megabyte(cloud: LocalCloud, group: str) -> None:
    """Large events make pages of fewer events."""
    logs = cloud.client("logs")
    for number in range(3):
        put(logs, group, "s", [(now() + i, "x" * 200_000) for i in range(number * 4, number * 4 + 4)])
    page = logs.get_log_events(logGroupName=group, logStreamName="s", startFromHead=True)
    assert len(page["events"]) == 5
    assert len(read(logs, group, "s")[0]) == 12


def test_put_refuses_and_rejects(cloud: LocalCloud, group: str) -> None:
    """An unordered batch is refused; events too old are left out and counted."""
    logs = cloud.client("logs")
    at = now()
    assert "chronological" in fault(put, logs=logs, group=group, stream="s", events=[(at, "a"), (at - 1, "b")])[1]
    old = at - 15 * 24 * 3600 * 1000
    assert put(logs, group, "s", [(old, "old")])["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    assert read(logs, group, "s")[0] == []


def test_empty_pages_go_on() -> None:
    """With the knob, pages come empty before the end, with a token that is not the one that was sent."""
    with LocalCloud(log_page_events=3, log_empty_pages=2) as cloud:
        logs = cloud.client("logs")
        logs.create_log_group(logGroupName="g")
        put(logs, "g", "s", [(now() + i, str(i)) for i in range(20)])
        assert read(logs, "g", "s")[0] == [str(i) for i in range(20)]
        pages = list(logs.get_paginator("filter_log_events").paginate(logGroupName="g"))
        assert [event["message"] for page in pages for event in page["events"]] == [str(i) for i in range(20)]
        assert any(not page["events"] for page in pages)


def test_delays_make_events_late_and_out_of_order() -> None:
    """log_delay holds events back, each by its own time; they then stand where their time puts them."""
    with LocalCloud(log_delay=lambda event: 0.2 if event["message"] == "b" else 0.0) as cloud:
        logs = cloud.client("logs")
        logs.create_log_group(logGroupName="g")
        at = now()
        put(logs, "g", "s", [(at, "a"), (at + 1, "b"), (at + 2, "c")])
        found, token = read(logs, "g", "s")
        assert found == ["a", "c"]
        time.sleep(0.25)
        assert read(logs, "g", "s", nextToken=token)[0] == []
        assert read(logs, "g", "s")[0] == ["a", "b", "c"]


def test_a_long_stream_is_read_quickly(cloud: LocalCloud, group: str) -> None:
    """100,000 lines come in pages of 10,000, all of them."""
    logs = cloud.client("logs")
    at = now()
    for start in range(0, 100_000, 10_000):
        put(logs, group, "s", [(at, f"line {i}") for i in range(start, start + 10_000)])
    found, _ = read(logs, group, "s")
    assert found == [f"line {i}" for i in range(100_000)]


@pytest.fixture
def output() -> tuple[Lines, Callable[[], list[str]]]:
    store = LogStore("1", "us-east-1", 0.0)
    store.create_group("g")
    stream = store.create_stream("g", "s")
    return Lines(store, stream), lambda: [event.message for event in stream.visible()]


@pytest.mark.parametrize(
    ("chunks", "events"),
    [
        ([b"a\nb", b"c\n", b"d"], ["a", "bc", "d"]),
        ([b"a\n\n\nb\n"], ["a", "b"]),
        ([b"\xff\xfe ok\n"], ["\ufffd\ufffd ok"]),
        (["größe\n".encode()[:4], "größe\n".encode()[4:]], ["größe"]),
        ([b"a\rb\r\n"], ["a\rb\r"]),
        ([b"x" * (BIG + 1) + b"\n"], ["x" * BIG, "x"]),
        ([b"x" * 200_000, b"x" * 200_000], ["x" * BIG, "x" * (400_000 - BIG)]),
        ([b"x" * (BIG - 1) + "ß".encode() + b"\n"], ["x" * (BIG - 1), "ß"]),
    ],
)
def test_output_is_cut_into_events_as_by_the_driver(
    output: tuple[Lines, Callable[[], list[str]]], chunks: list[bytes], events: list[str]
) -> None:
    """Lines are events; empty ones are dropped, long ones are split, what is not UTF-8 is replaced."""
    lines, messages = output
    for chunk in chunks:
        lines.feed(chunk)
    lines.close()
    assert messages() == events


def test_a_task_cannot_start_without_its_group(cloud: LocalCloud) -> None:
    """The driver without awslogs-create-group and without the group is a failed start."""
    ecs = cloud.client("ecs")
    options = {"awslogs-group": "no-such-group", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}
    container = {
        "name": "main",
        "image": "busybox",
        "memory": 64,
        "command": ["true"],
        "logConfiguration": {"logDriver": "awslogs", "options": options},
    }
    ecs.register_task_definition(family="f", containerDefinitions=[container])
    arn = ecs.run_task(taskDefinition="f")["tasks"][0]["taskArn"]
    while (task := ecs.describe_tasks(tasks=[arn])["tasks"][0])["lastStatus"] != "STOPPED":
        time.sleep(0.01)
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("ResourceInitializationError: failed to validate logger args: ")
    assert "The specified log group does not exist." in task["stoppedReason"]


def test_a_region_has_logs_of_its_own(cloud: LocalCloud) -> None:
    """A group of one region is not in another."""
    cloud.client("logs", "eu-west-1").create_log_group(logGroupName="european")
    found = cloud.client("logs").describe_log_groups(logGroupNamePrefix="european")["logGroups"]
    assert found == []
