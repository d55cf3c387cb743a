"""What is to be launched, under which identity: the client token, and the `startedBy` by which the task is found again."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from ecs_block.arn import DEFAULT_CLUSTER, short_name
from ecs_block.errors import InvalidTask
from ecs_block.plan.request import Request

LONGEST_STARTED_BY = 128  # characters
TOKEN_LIFE = 55 * 60.0  # seconds; AWS keeps a token for an hour after its task has ended, so this is surely within it


class Diary(Protocol):
    """Who keeps a diary of a launch, on disk, so that another process can finish it. Each entry is made before the deed."""

    async def sending(self, request: Request, token: str, tokens_used: int) -> None:
        """Note a RunTask that is about to be sent. Raises JournalError, and then nothing is sent."""

    async def sending_again(self) -> None:
        """Look whether the same RunTask may be sent once more. Raises OutcomeUnknown when a stop was asked for meanwhile."""

    async def launched(self, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Note the tasks that were started."""

    async def answered(self) -> None:
        """Note that all that came of what was sent is known, though it is not all that is wanted."""

    async def refused(self, reason: str) -> None:
        """Note that nothing was started, and that AWS will start nothing."""

    async def stop_requested(self, reason: str) -> None:
        """Note that the run is to end: nothing may be started for it any more."""


@dataclass(frozen=True)
class Order:
    """What is to be launched, under which identity, until when (on the conversation's clock)."""

    request: Request
    fallback: Request | None
    """What to send instead once Spot has no capacity."""
    client_token: str
    started_by: str
    deadline: float
    wanted: int | None = None
    """How many tasks there are to be in the end; None: as many as the request asks for."""
    partial: bool = False
    """Whether a part of the tasks is welcome, the rest being launched otherwise."""
    attempt: int = 1
    """Which attempt of the run it is."""
    tokens_used: int = 0
    """How many tokens of this attempt have brought only failures before."""
    diary: Diary | None = None
    sent_at: float | None = None
    """When its token was sent first (seconds since the epoch), if it may have been: then a refusal proves nothing."""

    @property
    def cluster(self) -> str:
        """Where it is to be launched."""
        return str(self.request.get("cluster", DEFAULT_CLUSTER))

    @property
    def count(self) -> int:
        """How many tasks it asks for."""
        return int(self.request.get("count", 1))

    @property
    def total(self) -> int:
        """How many tasks there are to be in the end."""
        return self.wanted or self.count

    @property
    def mark(self) -> str:
        """The `startedBy` that its tasks bear."""
        return str(self.request.get("startedBy", self.started_by))

    @property
    def is_marked(self) -> bool:
        """False for a `startedBy` of the user's own, which other tasks may share: it proves nothing."""
        return self.mark == self.started_by


_launches = itertools.count(1)


@cache
def _process_part(process: int) -> str:
    """The random part of a process's tokens. One for all: the system's randomness is slow to ask for."""
    return uuid.uuid4().hex


def identity(run_id: str | None, attempt: int, cluster: str | None) -> tuple[str, str]:
    """Make the client token and the `startedBy` of one attempt.

    With a run id they are made of it, so that a second launch of the same attempt is the same launch to AWS; a token counts
    within a cluster. Without one they are new.
    """
    if run_id is None:
        token = f"{_process_part(os.getpid())}-{next(_launches)}"
        return token, f"ecs-block/{token}"
    name = f"{short_name(cluster or DEFAULT_CLUSTER)}\n{run_id}\n{attempt}"
    return hashlib.sha256(name.encode()).hexdigest()[:56], run_id


def check_run_id(run_id: str) -> None:
    """Refuse a run id that cannot be a task's `startedBy` (API reference, RunTask). Raises InvalidTask."""
    refused = sorted(set(re.findall(r"[^a-zA-Z0-9_/-]", run_id)))
    if refused:
        raise InvalidTask(
            f"run_id {run_id!r} holds {', '.join(map(repr, refused))}, which AWS refuses in startedBy; use letters, digits, "
            "'-', '_' and '/'."
        )
    if not 0 < len(run_id) <= LONGEST_STARTED_BY:
        raise InvalidTask(f"run_id has {len(run_id)} characters; AWS accepts 1 to {LONGEST_STARTED_BY} in startedBy.")


def run_ids_of(given: str | Sequence[str] | None, count: int) -> Sequence[str | None]:
    """Give each item of a `map` its run id. Raises InvalidTask when they do not fit."""
    if given is None:
        return [None] * count
    if isinstance(given, str):
        check_run_id(given)
    run_ids = [f"{given}/{index}" for index in range(count)] if isinstance(given, str) else list(given)
    if len(run_ids) != count:
        raise InvalidTask(
            f"run_id has {len(run_ids)} ids for {count} commands; give one for each, or one text for all."
        )
    for run_id in run_ids:
        check_run_id(run_id)
    if twice := sorted(run_id for run_id, times in Counter(run_ids).items() if times > 1):
        raise InvalidTask(
            f"run_id names {', '.join(map(repr, twice[:5]))}{', …' if len(twice) > 5 else ''} more than once; each task needs "
            "an id of its own."
        )
    return run_ids


def token_of(base: str, used: int) -> str:
    """Give the client token that follows so many used ones; at most 64 characters (API reference, RunTask)."""
    return base if used == 0 else f"{base[:58]}-{used + 1}"
