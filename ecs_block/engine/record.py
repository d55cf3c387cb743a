"""A run under a run id, as the journal keeps it: what is written at which moment, and what is read of it again.

The journal is on disk, so its work is done in a thread. No secret goes there: what is masked in the recorded request is filled
in again from the block when the request has to be sent once more.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import anyio

from ecs_block.arn import TaskIdentifier, cluster_arn_of
from ecs_block.aws import in_a_thread, redactor
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.failpoint import reached
from ecs_block.engine.journal import Entry, Journal, Place
from ecs_block.errors import EcsBlockError, JournalError, OutcomeUnknown, TaskLaunchFailed
from ecs_block.plan.request import Request
from ecs_block.plan.result import ECSTaskResult, as_recorded, from_record
from ecs_block.plan.sameness import differences_of
from ecs_block.plan.secret import MASK

logger = logging.getLogger("ecs_block")

T = TypeVar("T")
Aside = Callable[[Callable[[], T]], Awaitable[T]]


@dataclass(frozen=True)
class RunJournal:
    """The journal for one run, and how its work is kept out of the event loop's way."""

    journal: Journal
    run_id: str = ""
    """Empty where it is read for whichever run it is."""
    aside: Aside[Any] = in_a_thread

    async def do(self, work: Callable[..., T], *args: Any, **named: Any) -> T:
        """Let the journal work, and wait until it has: a cancellation comes after. Raises JournalError."""
        with anyio.CancelScope(shield=True):
            done: T = await self.aside(partial(work, *args, **named))
        return done


class StoppedMeanwhile(OutcomeUnknown):
    """A stop was asked for after a RunTask was sent, and before anybody knew what came of it."""


class Record:
    """What the journal keeps of one attempt. It is the diary of the launch."""

    def __init__(self, books: RunJournal, entry: Entry) -> None:
        self._books = books
        self.entry = entry

    async def sending(self, request: Request, token: str, tokens_used: int) -> None:
        """Note a RunTask that is about to be sent. Raises JournalError, or that the run was stopped: then nothing is sent."""
        now = recordable(request)
        self.entry = await self._books.do(self._books.journal.sending, self.entry.number, token, tokens_used, **now)
        if self.entry.stop_reason is not None:
            raise await self._stopped()
        if (self.entry.token, self.entry.digest) != (token, now["digest"]):
            raise JournalError(
                f"Another process is launching the run {self.entry.run_id} with another request, so nothing was sent. Wait for "
                "it, and then repeat the command."
            )

    async def sending_again(self) -> None:
        """Look whether the same RunTask may be sent once more. Raises StoppedMeanwhile."""
        self.entry = await self._note(self._books.journal.entry) or self.entry
        if self.entry.stop_reason is not None:
            raise await self._stopped()

    async def _stopped(self) -> EcsBlockError:
        """Say that nothing is sent for the run any more, and what that means for what was sent before."""
        why = self.entry.stop_reason
        if self.entry.sent_at is not None:
            return StoppedMeanwhile(
                f"Nobody knows whether a task was started: the run was stopped ({why}), and what was sent was not answered."
            )
        if self.entry.tasks:
            return TaskLaunchFailed(f"The run was stopped before all its tasks were started ({why}).")
        return TaskLaunchFailed((await self.stopped_before()).reason)

    async def launched(self, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Note the tasks that RunTask gave, and learn whether a stop was asked for meanwhile."""
        identifiers = [str(identifier_of(self.entry.request, task)) for task in tasks]
        self.entry = await self._note(self._books.journal.launched, identifiers) or self.entry
        reached("launched")

    async def answered(self) -> None:
        """Note that all that came of what was sent is known, though it is not all that is wanted."""
        await self._note(self._books.journal.answered)

    async def refused(self, reason: str) -> None:
        """Note that nothing was started, and that AWS will start nothing."""
        await self._note(self._books.journal.refused, reason)

    async def stop_requested(self, reason: str) -> None:
        """Note that the run is to end: nothing may be started for it any more."""
        await self._note(self._books.journal.stop_requested, reason)

    async def ended(self, result: ECSTaskResult) -> None:
        """Note what became of the run."""
        await self._note(self._books.journal.ended, redactor().payload(as_recorded(result)))
        reached("ended")

    async def stopped_before(self) -> ECSTaskResult:
        """Note that the run was stopped before anything was started for it."""
        told = f"The run was stopped before a task was started ({self.entry.stop_reason})."
        result = ECSTaskResult(outcome="stopped", reason=told, attempt=self.entry.attempt)
        await self.ended(result)
        return result

    async def is_to_stop(self) -> bool:
        """Tell whether somebody, in whatever process, has asked for the run's end."""
        self.entry = await self._books.do(self._books.journal.entry, self.entry.number)
        return self.entry.stop_reason is not None

    def result(self) -> ECSTaskResult | None:
        """Give the recorded result, with the error that the run raised."""
        return None if self.entry.outcome is None else from_record(self.entry.outcome)

    async def _note(self, write: Callable[..., T], *args: Any) -> T | None:
        """Write what is known already. A task that runs is not given up because of a full disk: then None is given."""
        try:
            return await self._books.do(write, self.entry.number, *args)
        except JournalError as error:
            logger.warning("The run %s goes on, but: %s", self.entry.run_id, error)
            return None


async def known_by(books: RunJournal, arn: str) -> Record | None:
    """Give the record that knows a task. None where there is none, or the journal cannot be read: the task goes on."""
    try:
        entry = await books.do(books.journal.by_task, arn)
    except JournalError as error:
        logger.warning("What becomes of the task %s is not recorded: %s", arn, error)
        return None
    return None if entry is None else Record(books, entry)


def identifier_of(request: Request, task: Mapping[str, Any]) -> TaskIdentifier:
    """Name a task by the cluster as it was given, else by the cluster's ARN.

    Of a task that has ended, RunTask may tell nothing but the ARN when its token is sent again.
    """
    arn = str(task["taskArn"])
    return TaskIdentifier(str(request.get("cluster") or task.get("clusterArn") or cluster_arn_of(arn)), arn)


def recordable(request: Request) -> dict[str, Any]:
    """Give a request as the journal keeps it: masked, with a digest of what it really is."""
    shown = _plain(redactor().payload(request))
    return {"request": shown, "digest": _digest(request), "whole": shown == _plain(request)}


def whole_request(entry: Entry, fresh: Request) -> Request | None:
    """Give the exact request that was recorded, its secrets filled in from a fresh one; None if they are not the same."""
    filled: Request = _filled(entry.request, _plain(fresh))
    return filled if _digest(filled) == entry.digest else None


def _filled(recorded: Any, fresh: Any) -> Any:
    if isinstance(recorded, str) and MASK in recorded and isinstance(fresh, str):
        return fresh
    if isinstance(recorded, dict) and isinstance(fresh, dict):
        return {key: _filled(value, fresh.get(key)) for key, value in recorded.items()}
    if isinstance(recorded, list) and isinstance(fresh, list) and len(recorded) == len(fresh):
        return [_filled(value, other) for value, other in zip(recorded, fresh, strict=True)]
    return recorded


def _digest(request: Request) -> str:
    return hashlib.sha256(json.dumps(_plain(request), sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def what_differs(recorded: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Tell where two plans differ, a path each, without values."""
    return differences_of(recorded, _plain(asked))


def place_of(conversation: Conversation, cluster: str, account: str = "") -> Place:
    """Give the place within which a run id means one run."""
    return Place(account, conversation.aws.region, cluster, conversation.aws.endpoint)
