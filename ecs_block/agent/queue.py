"""The queue of jobs, on SQS: jobs are put in, and messages are received, hidden, and deleted, in batches."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ecs_block.agent.job import ID_ATTRIBUTE, LARGEST, Job
from ecs_block.aws import Aws, AwsCredentials
from ecs_block.engine.clock import SYSTEM_CLOCK
from ecs_block.engine.conversation import Conversation
from ecs_block.errors import AwsError, InvalidTask
from ecs_block.plan.queue_url import checked, is_aws, place_of, region_of

T = TypeVar("T")

BATCH = 10  # messages of one request (API reference, ReceiveMessage, SendMessageBatch, DeleteMessageBatch)
LONGEST_WAIT = 20  # seconds of a long poll (API reference, ReceiveMessage)
LONGEST_DELAY = 900  # seconds (API reference, SendMessage)
DEFAULT_VISIBILITY = 30  # seconds (API reference, CreateQueue)
PASSES_ATTRIBUTE = "ecs_block.passes"
"""The message attribute that counts how often a job was sent on to other agents."""

MOST_ATTRIBUTES = 8  # of a message's own that are kept: SQS takes ten (API reference, SendMessage)

_JOBS = uuid.UUID("6f1c5a0e-6d0d-5f0f-9d43-1d1f5e9b7a42")  # ours alone: the names of jobs become ids of runs in it


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it was received."""

    id: str
    body: str
    receipt: str
    """What deletes or hides it, until it is received again."""
    receives: int
    """How often it was received, this time included."""
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """What the queue itself says."""

    visibility: int = DEFAULT_VISIBILITY
    """Seconds for which a received message is hidden."""
    dead_letters: str | None = None
    """ARN of its dead-letter queue."""
    most_receives: int | None = None
    """After so many receives SQS moves a message to the dead letters by itself."""
    waiting: int = 0
    """About how many messages can be received."""
    delayed: int = 0
    """About how many messages can be received later."""


class RunQueue:
    """A queue of jobs on SQS.

    Region and endpoint are read from the URL where the credentials leave them open. `dead_letter_url` is where messages go
    that are no jobs, for a queue that has no dead-letter queue of its own. Raises InvalidTask for what is no URL of a queue.
    """

    def __init__(
        self,
        url: str,
        aws_credentials: AwsCredentials | None = None,
        dead_letter_url: str | None = None,
        *,
        conversation: Conversation | None = None,
    ) -> None:
        self.url = checked(url)
        self.dead_letter_url = None if dead_letter_url is None else checked(dead_letter_url)
        self.name = url.rstrip("/").rpartition("/")[2]
        self.credentials = _with_endpoint(aws_credentials or AwsCredentials(), url)
        self._conversation = conversation

    def __repr__(self) -> str:
        return f"RunQueue({self.url!r})"

    # --- names ---

    @property
    def key(self) -> str:
        """Eight characters that name the queue, whichever of AWS's addresses its URL has."""
        return hashlib.sha256(place_of(self.url).encode()).hexdigest()[:8]

    @property
    def prefix(self) -> str:
        """What the run id of each of its jobs begins with."""
        return f"job/{self.key}/"

    def run_id_of(self, job_id: str) -> str:
        """Give the run id of a job: the same for every agent, and short enough for `startedBy`."""
        return f"{self.prefix}{uuid.uuid5(_JOBS, job_id)}"

    # --- putting jobs in ---

    def submit(self, job: Job | Mapping[str, Any]) -> str:
        """Put a job into the queue and return its id. Raises InvalidTask for what is no job, AwsError when SQS refuses."""
        return self.submit_all([job])[0]

    async def asubmit(self, job: Job | Mapping[str, Any]) -> str:
        """Put a job into the queue and return its id, as `submit` does."""
        return (await self.asubmit_all([job]))[0]

    def submit_all(self, jobs: Iterable[Job | Mapping[str, Any]]) -> list[str]:
        """Put jobs into the queue, ten a request, and return their ids. None is sent if one of them is no job."""
        from ecs_block.engine import bridge
        from ecs_block.engine.prepare import Control

        return bridge.block_on(lambda: self.asubmit_all(jobs), Control())

    async def asubmit_all(self, jobs: Iterable[Job | Mapping[str, Any]]) -> list[str]:
        """Put jobs into the queue, as `submit_all` does."""
        named = [_with_id(job) for job in jobs]
        bodies = [_body(job) for job in named]
        for batch in _batches_by_size(bodies):
            entries = [{"Id": str(index), "MessageBody": body} for index, body in enumerate(batch)]
            answer = await self._ask("SendMessageBatch", Entries=entries)
            if failed := answer.get("Failed"):
                raise _refused("SendMessageBatch", failed[0], f"{len(failed)} of {len(entries)} jobs were not taken")
        return [str(job.id) for job in named]

    # --- taking messages out ---

    async def receive(self, most: int, wait: int, visibility: int | None = None) -> list[Message]:
        """Receive up to `most` messages (10), waiting for one for `wait` seconds (20). Raises AwsError; it is not repeated."""
        more = {} if visibility is None else {"VisibilityTimeout": visibility}
        answer = await self.conversation().call(
            "sqs", "ReceiveMessage", region=self._region, QueueUrl=self.url,
            MaxNumberOfMessages=min(most, BATCH), WaitTimeSeconds=min(wait, LONGEST_WAIT),
            MessageSystemAttributeNames=["ApproximateReceiveCount"], MessageAttributeNames=["All"], **more,
        )  # fmt: skip
        return [_message(item) for item in answer.get("Messages") or []]

    async def delete(self, receipts: Sequence[str]) -> list[str]:
        """Delete messages; gives the receipts with which that failed. Raises AwsError."""
        return await self._each("DeleteMessageBatch", [{"ReceiptHandle": receipt} for receipt in receipts])

    async def hide(self, receipts: Mapping[str, int]) -> list[str]:
        """Hide messages for so many seconds from now on (0: they can be received at once); gives the receipts that failed."""
        entries = [{"ReceiptHandle": receipt, "VisibilityTimeout": seconds} for receipt, seconds in receipts.items()]
        return await self._each("ChangeMessageVisibilityBatch", entries)

    async def send_on(self, message: Message, job_id: str, delay: int) -> None:
        """Put a message into the queue anew, with its job's id; the old one is left to be deleted. Raises AwsError."""
        kept = dict(list(sendable(message.attributes).items())[:MOST_ATTRIBUTES])
        kept[ID_ATTRIBUTE] = {"DataType": "String", "StringValue": job_id}
        kept[PASSES_ATTRIBUTE] = {"DataType": "Number", "StringValue": str(passes_of(message) + 1)}
        await self._ask(
            "SendMessage", MessageBody=message.body, DelaySeconds=min(delay, LONGEST_DELAY), MessageAttributes=kept
        )

    async def settings(self) -> QueueSettings:
        """Read what the queue says of itself. Raises AwsError."""
        names = [
            "VisibilityTimeout", "RedrivePolicy", "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed",
        ]  # fmt: skip
        answer = await self._ask("GetQueueAttributes", AttributeNames=names)
        found = answer.get("Attributes") or {}
        redrive = json.loads(found.get("RedrivePolicy") or "{}")
        return QueueSettings(
            visibility=int(found.get("VisibilityTimeout", DEFAULT_VISIBILITY)),
            dead_letters=redrive.get("deadLetterTargetArn"),
            most_receives=int(redrive["maxReceiveCount"]) if "maxReceiveCount" in redrive else None,
            waiting=int(found.get("ApproximateNumberOfMessages", 0)),
            delayed=int(found.get("ApproximateNumberOfMessagesDelayed", 0)),
        )

    # --- how SQS is asked ---

    def conversation(self) -> Conversation:
        """Give who talks to SQS, and the clock."""
        if self._conversation is None:
            self._conversation = Conversation(Aws(self.credentials), SYSTEM_CLOCK)
        return self._conversation

    @property
    def _region(self) -> str | None:
        return None if self.credentials.region_name else region_of(self.url)

    async def _ask(self, operation: str, url: str | None = None, **params: Any) -> dict[str, Any]:
        return await self.conversation().ask("sqs", operation, region=self._region, QueueUrl=url or self.url, **params)

    async def ask_of(self, url: str, operation: str, **params: Any) -> dict[str, Any]:
        """Ask SQS about another queue, such as the dead letters. Raises AwsError."""
        return await self._ask(operation, url, **params)

    async def url_of(self, arn: str) -> str:
        """Give the URL of the queue with this ARN. Raises AwsError."""
        _, _, _, region, account, name = arn.split(":", 5)
        answer = await self.conversation().ask(
            "sqs", "GetQueueUrl", region=region or self._region, QueueName=name, QueueOwnerAWSAccountId=account
        )
        return str(answer["QueueUrl"])

    async def _each(self, operation: str, entries: Sequence[dict[str, Any]]) -> list[str]:
        failed: list[str] = []
        for batch in _batches(entries):
            numbered = [{"Id": str(index), **entry} for index, entry in enumerate(batch)]
            answer = await self._ask(operation, Entries=numbered)
            failed += [batch[int(item["Id"])]["ReceiptHandle"] for item in answer.get("Failed") or []]
        return failed


def passes_of(message: Message) -> int:
    """Tell how often a job was sent on to other agents."""
    text = str((message.attributes.get(PASSES_ATTRIBUTE) or {}).get("StringValue", "0"))
    return int(text) if text.isdecimal() and len(text) < 6 else 0


def _with_endpoint(credentials: AwsCredentials, url: str) -> AwsCredentials:
    """Take the endpoint from the URL of a queue that is not at AWS, where nothing else says it."""
    said = credentials.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_SQS") or os.environ.get("AWS_ENDPOINT_URL")
    if said or is_aws(url):
        return credentials
    parts = urlsplit(url)
    return credentials.model_copy(update={"endpoint_url": f"{parts.scheme}://{parts.netloc}"})


def _with_id(job: Job | Mapping[str, Any]) -> Job:
    """Make sure that a job has an id: then it is one job also if its message has to be sent twice."""
    made = job if isinstance(job, Job) else Job.model_validate(dict(job))
    return made if made.id is not None else made.model_copy(update={"id": str(uuid.uuid4())})


def _body(job: Job) -> str:
    try:
        body = json.dumps(job.model_dump(exclude_unset=True), allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidTask(f"The job {job.title} cannot be written as JSON: {error}.") from None
    if len(body) > LARGEST:
        raise InvalidTask(f"The job {job.title} has {len(body):,} bytes; a job has at most {LARGEST:,}.")
    return body


def _message(item: Mapping[str, Any]) -> Message:
    count = (item.get("Attributes") or {}).get("ApproximateReceiveCount", "1")
    attributes = item.get("MessageAttributes") or {}
    return Message(item["MessageId"], item.get("Body") or "", item["ReceiptHandle"], int(count), attributes)


def sendable(attributes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the attributes of a received message as they can be sent again."""
    names = ("DataType", "StringValue", "BinaryValue")
    return {key: {name: value[name] for name in names if name in value} for key, value in attributes.items()}


def _refused(operation: str, failed: Mapping[str, Any], what: str) -> AwsError:
    code = str(failed.get("Code"))
    return AwsError(
        f"sqs:{operation}: {what}: {failed.get('Message')} ({code}).", operation=f"sqs:{operation}", code=code,
        aws_message=str(failed.get("Message")),
    )  # fmt: skip


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


def _batches_by_size(bodies: Iterable[str]) -> Iterator[list[str]]:
    """Cut into what one request may carry: ten messages, and as many bytes as one message may have."""
    batch: list[str] = []
    for body in bodies:
        if len(batch) == BATCH or (batch and sum(map(len, batch)) + len(body) > LARGEST):
            yield batch
            batch = []
        batch.append(body)
    if batch:
        yield batch
