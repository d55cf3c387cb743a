"""Where messages go that cannot be run, each with the reason: the queue's own dead letters, another queue, else files.

A message is sent there first and deleted from its queue afterwards, so it may be there twice, and is never lost.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecs_block.agent.queue import MOST_ATTRIBUTES, Message, QueueSettings, RunQueue, sendable
from ecs_block.aws import in_a_thread, redactor
from ecs_block.errors import AwsError, JournalError, Kind
from ecs_block.home import home

REASON_ATTRIBUTE = "ecs_block.reason"
MESSAGE_ATTRIBUTE = "ecs_block.message_id"
LONGEST_REASON = 1000  # characters
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what SQS takes is what XML 1.0 takes


@dataclass
class DeadLetters:
    """The dead letters of a queue."""

    queue: RunQueue
    _urls: dict[str, str] = field(default_factory=dict)

    async def take(self, message: Message, reason: str, settings: QueueSettings) -> str:
        """Keep a message with the reason, and tell where. Raises AwsError or JournalError when it is not kept anywhere."""
        told = _NOT_XML.sub("?", redactor().text(reason))[:LONGEST_REASON]
        url = await self._url(settings)
        if url is None:
            return await in_a_thread(lambda: self._to_file(message, told))
        try:
            await self.queue.ask_of(
                url, "SendMessage", MessageBody=message.body, MessageAttributes=_attributes(message, told)
            )
        except AwsError as error:
            if error.kind is not Kind.INVALID:
                raise
            # It is so large that there is no room for the reason: the whole is kept in a file, and the queue tells where.
            path = await in_a_thread(lambda: self._to_file(message, told))
            note = {"reason": told, "message_id": message.id, "kept_at": path}
            await self.queue.ask_of(
                url, "SendMessage", MessageBody=json.dumps(note), MessageAttributes=_attributes(message, told)
            )
        return f"the queue {url.rpartition('/')[2]}"

    async def _url(self, settings: QueueSettings) -> str | None:
        """Give the queue for them: that of the redrive policy first."""
        arn = settings.dead_letters
        if arn is None:
            return self.queue.dead_letter_url
        if arn not in self._urls:
            self._urls[arn] = await self.queue.url_of(arn)
        return self._urls[arn]

    def _to_file(self, message: Message, reason: str) -> str:
        folder = home("state") / "rejected" / f"{re.sub(r'[^A-Za-z0-9_-]', '_', self.queue.name)[:80]}-{self.queue.key}"
        path = folder / f"{re.sub(r'[^A-Za-z0-9_-]', '_', message.id)[:80]}.json"
        document = {"queue": self.queue.url, "message_id": message.id, "reason": reason, "body": message.body}
        try:
            _write(path, document)
        except OSError as error:
            raise JournalError(
                f"The rejected message {message.id} cannot be kept at {path} ({error.strerror}), so it stays in the queue. "
                "Make the folder writable, or give the queue a dead-letter queue."
            ) from None
        return str(path)


def _attributes(message: Message, reason: str) -> dict[str, Any]:
    ours = {
        REASON_ATTRIBUTE: {"DataType": "String", "StringValue": reason},
        MESSAGE_ATTRIBUTE: {"DataType": "String", "StringValue": message.id},
    }
    theirs = {name: value for name, value in sendable(message.attributes).items() if name not in ours}
    return dict(list(theirs.items())[:MOST_ATTRIBUTES]) | ours


def _write(path: Path, document: dict[str, Any]) -> None:
    """Write a file whole, or not at all; only its owner can read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
