"""Messages that are not launched: those that are no job, and those of other agents. And where what cannot be run ends."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from anyio.abc import TaskGroup

from ecs_block.agent.dead_letters import DeadLetters
from ecs_block.agent.job import Job
from ecs_block.agent.queue import Message, QueueSettings, RunQueue, passes_of
from ecs_block.agent.receipts import Receipts
from ecs_block.agent.view import View
from ecs_block.agent.words import in_a_line
from ecs_block.errors import AwsError, JournalError

logger = logging.getLogger("ecs_block.agent")

STAYS = 30  # seconds until a message that could not be put among the dead letters comes again
FIRST_PASS, LONGEST_PASS = 5, 120  # seconds until a job of other agents can be received again


class Aside:
    """What an agent does with messages that it does not launch."""

    def __init__(self, queue: RunQueue, receipts: Receipts, view: View) -> None:
        self._queue, self._receipts, self._view = queue, receipts, view
        self._dead_letters = DeadLetters(queue)
        self.settings = QueueSettings()
        self.count = 0
        """How many messages are just now rejected or passed on."""

    def reject(self, group: TaskGroup, message: Message, reason: str) -> None:
        """Put a message that is no job among the dead letters."""
        self.count += 1
        group.start_soon(self._safely, message, lambda: self._no_job(message, reason))

    def pass_on(self, group: TaskGroup, message: Message, job: Job) -> None:
        """Leave a job to agents that have its labels: sent anew, so that its receives are not counted against it."""
        self.count += 1
        group.start_soon(self._safely, message, lambda: self._pass_on(message, job))

    async def dead(self, message: Message, job_id: str | None, reason: str) -> bool:
        """Put a message among the dead letters, and only then delete it; False when it stays in the queue."""
        line, what = in_a_line(reason), f"Message {message.id}" if job_id is None else f"Job {job_id}"
        try:
            where = await self._dead_letters.take(message, reason, self.settings)
        except (AwsError, JournalError) as error:
            self._receipts.hand_back([message.id], STAYS)
            logger.warning("%s is to be rejected, and stays in the queue for now: %s", what, error)
            return False
        self._receipts.acknowledge([message.id])
        logger.warning(
            "%s was put into %s: %s", what, where, line,
            extra={"job": job_id, "message_id": message.id, "state": "rejected", "reason": line},
        )  # fmt: skip
        return True

    async def _safely(self, message: Message, work: Callable[[], Awaitable[None]]) -> None:
        """Do something with a message. Nothing gets out: the jobs go on."""
        try:
            await work()
        except Exception:
            logger.exception("Message %s met an error of ecs_block itself.", message.id)
            self._receipts.hand_back([message.id], STAYS)
        finally:
            self.count -= 1

    async def _no_job(self, message: Message, reason: str) -> None:
        if await self.dead(message, None, reason):
            self._view.passing(message.id, None, "rejected", in_a_line(reason))

    async def _pass_on(self, message: Message, job: Job) -> None:
        delay = min(FIRST_PASS * 2 ** min(passes_of(message), 10), LONGEST_PASS)
        try:
            await self._queue.send_on(message, str(job.id), delay)
        except AwsError as error:
            logger.warning("Job %s could not be left to other agents: %s", job.title, error, extra={"job": job.id})
            self._receipts.hand_back([message.id], delay)
        else:
            self._receipts.acknowledge([message.id])
            self._view.passing(str(job.id), job.name, "passed on", f"it wants {', '.join(job.labels)}")
            logger.debug("Job %s is left to agents with the labels %s.", job.title, ", ".join(job.labels))
