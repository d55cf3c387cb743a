"""ECS's own events, from an SQS queue that an EventBridge rule feeds: a task changed, so it is worth a look.

An event is only a hint. Delivery is at least once and in no order (EventBridge, "Amazon ECS events"), so what is true is still
read with DescribeTasks; and where no event comes, a slow poll is the safety net. The queue must be this process's own: what is
received is deleted.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Any

from ecs_block.engine.conversation import Conversation
from ecs_block.errors import AwsError

logger = logging.getLogger("ecs_block")

LONGEST_LISTEN = 3.0  # seconds; a caller that goes away, or a new task, is noticed only afterwards
TRY_AGAIN_AFTER = 60.0  # seconds after an error of the queue
MOST_MESSAGES = 10  # API reference, ReceiveMessage


class TaskEvents:
    """The queue of one process."""

    def __init__(self, conversation: Conversation, queue_url: str) -> None:
        self._conversation = conversation
        self._queue_url = queue_url
        self._broken_until = -math.inf

    @property
    def healthy(self) -> bool:
        """True while the queue can be read, so that polling may be slow."""
        return self._conversation.clock.now() >= self._broken_until

    async def listen(self, seconds: float) -> list[str]:
        """Wait for events for some seconds at most; returns the ARNs of the tasks that they are about."""
        wait = max(1, min(int(seconds), int(LONGEST_LISTEN)))
        try:
            answer = await self._conversation.call(
                "sqs",
                "ReceiveMessage",
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=MOST_MESSAGES,
                WaitTimeSeconds=wait,
            )
            messages = answer.get("Messages") or []
            if messages:
                await self._delete(messages)
        except AwsError as error:
            self._broken_until = self._conversation.clock.now() + TRY_AGAIN_AFTER
            logger.warning("The queue of task events cannot be read, so tasks are polled for now. %s", error)
            return []
        return [arn for arn in map(task_of_event, messages) if arn is not None]

    async def _delete(self, messages: list[Mapping[str, Any]]) -> None:
        entries = [
            {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]} for index, message in enumerate(messages)
        ]
        await self._conversation.call("sqs", "DeleteMessageBatch", QueueUrl=self._queue_url, Entries=entries)


def task_of_event(message: Mapping[str, Any]) -> str | None:
    """Give the task of an "ECS Task State Change" event; None for anything else that somebody put into the queue."""
    try:
        event = json.loads(str(message.get("Body")))
        return str(event["detail"]["taskArn"]) if event["detail-type"] == "ECS Task State Change" else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
