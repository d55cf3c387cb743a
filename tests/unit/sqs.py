"""A queue in memory, on the simulated clock, with SQS's manners: visibility, receipts, redelivery, dead letters."""

from __future__ import annotations

import itertools
import json
from typing import Any

from scripted import FakeAws, SimulatedClock, refused

from ecs_block import ECSTask
from ecs_block.agent.agent import Agent
from ecs_block.agent.queue import RunQueue
from ecs_block.agent.recipe import recipe_of
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.journal import Journal
from ecs_block.engine.record import RunJournal
from ecs_block.errors import Kind

URL = "https://sqs.eu-test-1.amazonaws.com/123456789012/jobs"
DEAD = "https://sqs.eu-test-1.amazonaws.com/123456789012/dead"


class Waiting:
    """A message in the queue."""

    def __init__(self, number: int, body: str, attributes: dict[str, Any], visible_at: float) -> None:
        self.id, self.body, self.attributes, self.visible_at = f"m-{number}", body, attributes, visible_at
        self.receives, self.receipt = 0, ""


class FakeSqs(FakeAws):
    """ECS, and SQS beside it. `messages` and `dead` are what the two queues hold."""

    def __init__(self, clock: SimulatedClock, visibility: int = 30, most_receives: int = 5) -> None:
        super().__init__(clock)
        self.visibility, self.most_receives = visibility, most_receives
        self.queues: dict[str, list[Waiting]] = {URL: [], DEAD: []}
        self.has_dead_letters = True
        self._messages = itertools.count(1)
        self._receipts = itertools.count(1)
        self.received_at: list[float] = []

    @property
    def messages(self) -> list[Waiting]:
        return self.queues[URL]

    @property
    def dead(self) -> list[Waiting]:
        return self.queues[DEAD]

    def put(self, body: Any, **attributes: Any) -> Waiting:
        text = body if isinstance(body, str) else json.dumps(body)
        message = Waiting(next(self._messages), text, attributes, self.clock.now())
        self.messages.append(message)
        return message

    def _of(self, url: str) -> list[Waiting]:
        if url not in self.queues:
            raise refused("AWS.SimpleQueueService.NonExistentQueue", "no such queue", Kind.NOT_FOUND, "sqs:Test")
        return self.queues[url]

    async def ReceiveMessage(self, QueueUrl: str, MaxNumberOfMessages: int, WaitTimeSeconds: int, **_: Any) -> Any:
        self.received_at.append(self.clock.now())
        until = self.clock.now() + WaitTimeSeconds
        while not (found := self._receivable(QueueUrl)[:MaxNumberOfMessages]) and self.clock.now() < until:
            await self.clock.sleep(0.2)
        return {"Messages": [self._received(message) for message in found]}

    def _receivable(self, url: str) -> list[Waiting]:
        queue, now = self._of(url), self.clock.now()
        for message in [one for one in queue if one.visible_at <= now and one.receives >= self.most_receives]:
            queue.remove(message)
            self.dead.append(message)
        return [message for message in queue if message.visible_at <= now]

    def _received(self, message: Waiting) -> dict[str, Any]:
        message.receives += 1
        message.receipt = f"r-{next(self._receipts)}"
        message.visible_at = self.clock.now() + self.visibility
        return {
            "MessageId": message.id,
            "Body": message.body,
            "ReceiptHandle": message.receipt,
            "Attributes": {"ApproximateReceiveCount": str(message.receives)},
            "MessageAttributes": message.attributes,
        }

    def DeleteMessageBatch(self, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:
        for entry in Entries:  # an old receipt deletes nothing, and SQS says yes all the same
            self.queues[QueueUrl] = [one for one in self._of(QueueUrl) if one.receipt != entry["ReceiptHandle"]]
        return {"Successful": Entries}

    def ChangeMessageVisibilityBatch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        failed = []
        for entry in Entries:
            found = [one for one in self._of(QueueUrl) if one.receipt == entry["ReceiptHandle"]]
            if not found:
                failed.append({"Id": entry["Id"], "Code": "ReceiptHandleIsInvalid", "SenderFault": True})
            for message in found:
                message.visible_at = self.clock.now() + entry["VisibilityTimeout"]
        return {"Failed": failed}

    def SendMessage(
        self, QueueUrl: str, MessageBody: str, MessageAttributes: Any, DelaySeconds: int = 0
    ) -> dict[str, Any]:
        at = self.clock.now() + DelaySeconds
        self._of(QueueUrl).append(Waiting(next(self._messages), MessageBody, MessageAttributes, at))
        return {}

    def SendMessageBatch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        for entry in Entries:
            self.put(entry["MessageBody"])
        return {}

    def GetQueueAttributes(self, QueueUrl: str, AttributeNames: list[str]) -> dict[str, Any]:
        policy = {
            "deadLetterTargetArn": "arn:aws:sqs:eu-test-1:123456789012:dead",
            "maxReceiveCount": self.most_receives,
        }
        found = {"VisibilityTimeout": str(self.visibility), "ApproximateNumberOfMessages": str(len(self._of(QueueUrl)))}
        return {"Attributes": found | ({"RedrivePolicy": json.dumps(policy)} if self.has_dead_letters else {})}

    def GetQueueUrl(self, QueueName: str, QueueOwnerAWSAccountId: str) -> dict[str, Any]:
        return {"QueueUrl": DEAD}

    def reasons(self) -> dict[str, str]:
        """The reason of each dead letter, by its body."""
        return {one.body: one.attributes["ecs_block.reason"]["StringValue"] for one in self.dead}


async def at_once(work: Any) -> Any:
    return work()


def make_agent(aws: FakeSqs, journal: Journal, **options: Any) -> Agent:
    """Make an agent against the fake. The journal's work is done at once: a thread's time is not the clock's."""
    conversation = Conversation(aws, aws.clock)
    options.setdefault("recipe", recipe_of(ECSTask(**options.pop("fields", {}))))
    dead_letter_url = options.pop("dead_letter_url", None)
    queue = RunQueue(URL, dead_letter_url=dead_letter_url, conversation=conversation)
    return Agent(queue, conversation=conversation, journal=RunJournal(journal, aside=at_once), **options)
