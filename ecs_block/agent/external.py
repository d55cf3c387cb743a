"""Arguments that are kept in S3 for single jobs: `<prefix>/<slug of the job's name>/<first 8 of its id>.json`.

Whoever may write there decides about roles and images of the tasks, so the bucket is the operator's, as the agent's own
arguments are.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ecs_block.agent.arguments import Arguments, read
from ecs_block.aws import Aws, AwsCredentials, in_a_thread
from ecs_block.engine.clock import SYSTEM_CLOCK
from ecs_block.engine.conversation import Conversation
from ecs_block.errors import AwsError, InvalidTask

if TYPE_CHECKING:
    from ecs_block.agent.job import Job

LARGEST = 1024 * 1024  # bytes of a file
UNNAMED = "job"


def slug_of(name: str) -> str:
    """Make of a name one part of a key: `flow #1` is `flow-1`."""
    from slugify import slugify  # deferred: it loads a large table

    return str(slugify(name)) or UNNAMED


async def content_of(credentials: AwsCredentials, bucket: str, key: str) -> bytes:
    """Read an object of S3. Raises AwsError, and InvalidTask for one that is too large."""
    conversation = Conversation(Aws(credentials), SYSTEM_CLOCK)
    answer = await conversation.ask("s3", "GetObject", Bucket=bucket, Key=key)
    body: bytes = await in_a_thread(lambda: answer["Body"].read(LARGEST + 1))
    if len(body) > LARGEST:
        raise InvalidTask(f"s3://{bucket}/{key} is larger than {LARGEST // 1024**2} MiB.")
    return body


@dataclass(frozen=True)
class ExternalArguments:
    """Where the arguments of single jobs are kept."""

    bucket: str
    prefix: str
    credentials: AwsCredentials

    @classmethod
    def of(
        cls, wanted: bool, bucket: str | None, prefix: str | None, credentials: AwsCredentials
    ) -> ExternalArguments | None:
        """Make one where it is wanted. Raises InvalidTask when no bucket is named."""
        if not wanted:
            return None
        if not bucket:
            raise InvalidTask("use_external_kwargs needs external_kwargs_s3_bucket: the bucket in which the files are.")
        return cls(bucket, (prefix or "").strip("/"), credentials)

    def key_of(self, job: Job) -> str:
        """Give the key of a job's file."""
        first = re.sub(r"[^a-zA-Z0-9_.-]", "-", (job.id or "")[:8])
        return "/".join(filter(None, (self.prefix, slug_of(job.name or UNNAMED), f"{first}.json")))

    async def of_job(self, job: Job) -> Arguments:
        """Read the arguments of a job; none where there is no file. Raises InvalidTask for a file that is no such thing."""
        key = self.key_of(job)
        try:
            content = await content_of(self.credentials, self.bucket, key)
        except AwsError as error:
            if error.code == "NoSuchKey":
                return {}
            raise
        where = f"s3://{self.bucket}/{key}: "
        return read(_document(content, where), where)


def _document(content: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise InvalidTask(f"{where}this is not valid JSON.") from None
    if not isinstance(found, dict):
        raise InvalidTask(f"{where}this is no JSON object of arguments.")
    return found
