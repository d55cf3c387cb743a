"""What the tests of agents stand on: a queue with dead letters in a cloud, and agents as processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import Command, Started
from ecs_block.agent import RunQueue
from ecs_block.local import LocalCloud

VISIBILITY = 4  # seconds; so long do the messages of a killed agent stay hidden


class Queues:
    """A queue of jobs in a cloud, and its dead letters."""

    def __init__(self, cloud: LocalCloud, name: str = "jobs", receives: int = 20) -> None:
        self.cloud, self.sqs = cloud, cloud.client("sqs")
        self.dead = self.sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        arn = self.attributes(self.dead)["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})
        attributes = {"VisibilityTimeout": str(VISIBILITY), "RedrivePolicy": policy}
        self.url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.queue = RunQueue(self.url, cloud.credentials)

    def attributes(self, url: str) -> dict[str, str]:
        return dict(self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"])

    @property
    def left(self) -> int:
        """How many messages are in the queue: to be received, hidden or delayed."""
        found = self.attributes(self.url)
        names = ("", "NotVisible", "Delayed")
        return sum(int(found[f"ApproximateNumberOfMessages{name}"]) for name in names)

    def dead_letters(self) -> Iterator[tuple[str, str]]:
        """Each dead letter: what it says, and why it is there."""
        while True:
            answer = self.sqs.receive_message(
                QueueUrl=self.dead, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=600
            )
            if not answer.get("Messages"):
                return
            for message in answer["Messages"]:
                yield message["Body"], message.get("MessageAttributes", {})["ecs_block.reason"]["StringValue"]


@pytest.fixture
def jobs_cloud() -> Iterator[LocalCloud]:
    """A cloud whose tasks are soon over."""
    with LocalCloud(state_seconds=0.02) as cloud:
        yield cloud


def start_agent(ecs_block: Command, cloud: LocalCloud, url: str, *words: str, **more: Any) -> Started:
    """Start an agent on a queue of this cloud."""
    ecs_block.variables |= {**cloud.environment, "AWS_EC2_METADATA_DISABLED": "true"}
    options = ("--queue", url, "--log-format", "json", "cpu=256", "memory=512", *words)
    return ecs_block.start("agent", "start", *options, **more)


def lines_of(stderr: str) -> list[dict[str, Any]]:
    """Read the log lines of an agent."""
    return [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]
