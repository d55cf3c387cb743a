"""Task definitions at AWS: reuse or register, and deregister.

"No such family" is the only answer that means absent. A throttle, a denied permission or a dead network never leads to a new
revision. What one process has found or registered it remembers, so a second run of the same block asks nothing.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.lowlevel import RunVar

from ecs_block.aws import input_shape, output_only
from ecs_block.engine.clock import backoff
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.machine_lock import alone_on_this_machine
from ecs_block.errors import AwsError, InvalidTask, Kind, TaskDefinitionNotFound
from ecs_block.plan import sameness
from ecs_block.plan.sameness import Definition
from ecs_block.plan.sketch import check_definition

logger = logging.getLogger("ecs_block")

MOST_TRIES = 8
FAMILY_KNOWN_FOR = 300.0  # seconds for which the latest revision of a linked family is taken as known


@dataclass(frozen=True)
class Revision:
    """A revision to run, and whether this run registered it."""

    arn: str
    registered: bool


class _Memory:
    """What this process knows of definitions. Keys begin with the caller's, so accounts and endpoints stay apart."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.revisions: dict[tuple[Any, ...], str] = {}
        self.linked: dict[tuple[Any, ...], tuple[Mapping[str, Any], float]] = {}
        self.family_locks: dict[tuple[Any, ...], threading.Lock] = {}
        self.in_use: Counter[tuple[Any, ...]] = Counter()
        self.unwanted: set[tuple[Any, ...]] = set()


_memory = _Memory()
_loop_locks: RunVar[dict[Any, anyio.Lock]] = RunVar("ecs_block_registry_locks")


async def describe_linked(conversation: Conversation, name: str) -> Mapping[str, Any]:
    """Describe the definition that a block links. Raises TaskDefinitionNotFound, or InvalidTask when it is not active."""
    key = (conversation.aws.key, name)
    async with one_at_a_time(conversation, ("linked", *key)):
        known = _memory.linked.get(key)
        if known is not None and known[1] > conversation.clock.now():
            return known[0]
        answer = await conversation.ask("ecs", "DescribeTaskDefinition", taskDefinition=name)
        described: Mapping[str, Any] = answer["taskDefinition"]
        status = described.get("status", "ACTIVE")
        if status != "ACTIVE":
            raise InvalidTask(
                f"task_definition_arn {name} is {status}: no task can be started from it. Name an active revision, or the "
                f"family {described.get('family')!r} for its latest one."
            )
        # A revision never changes; what a family's latest one is does.
        lasts = float("inf") if ":" in name.rsplit("/", 1)[-1] else FAMILY_KNOWN_FOR
        _memory.linked[key] = (described, conversation.clock.now() + lasts)
        return described


async def reuse_or_register(conversation: Conversation, definition: Definition) -> Revision:
    """Give a revision that is the same as this definition: a known one, the family's latest, or a new one.

    Raises InvalidTask, before AWS is asked, for one that AWS could not take.
    """
    key = (conversation.aws.key, definition["family"], sameness.fingerprint(definition, output_only()))
    async with one_at_a_time(conversation, key[:2]):
        known = _memory.revisions.get(key)
        if known is not None:
            return Revision(known, registered=False)
        check_definition(definition, input_shape("RegisterTaskDefinition"))
        # Processes that need the same new definition at once would each find none, and each register it.
        async with alone_on_this_machine(f"register {key[1]} in {conversation.aws.region}", conversation.clock):
            revision = await _find_or_register(conversation, definition)
        _memory.revisions[key] = revision.arn
        return revision


async def _find_or_register(conversation: Conversation, definition: Definition) -> Revision:
    for attempt in range(MOST_TRIES):
        latest = await latest_of(conversation, definition["family"])
        if latest is not None and sameness.same(latest, definition, output_only()):
            return Revision(str(latest["taskDefinitionArn"]), registered=False)
        if latest is not None and logger.isEnabledFor(logging.DEBUG):
            changes = "; ".join(sameness.differences(latest, definition, output_only()))
            logger.debug("The latest revision %s differs: %s", latest["taskDefinitionArn"], changes)
        try:
            answer = await conversation.call("ecs", "RegisterTaskDefinition", **definition)
            return Revision(str(answer["taskDefinition"]["taskDefinitionArn"]), registered=True)
        except AwsError as error:
            # "Too many concurrent attempts": another process registers the same family. It may well be the same definition.
            if error.kind not in (Kind.THROTTLED, Kind.TRANSIENT) or attempt == MOST_TRIES - 1:
                raise
            pause = backoff(attempt, conversation.clock, first=0.5, most=10.0)
            logger.info("The definition could not be registered yet; looking again in %.1f s. %s", pause, error)
            await conversation.clock.sleep(pause)
    raise AssertionError("the last try either returns or raises")


async def latest_of(conversation: Conversation, family: str) -> Mapping[str, Any] | None:
    """Describe the latest active revision of a family; None where there is none."""
    try:
        answer = await conversation.ask("ecs", "DescribeTaskDefinition", taskDefinition=family)
    except TaskDefinitionNotFound:
        return None
    latest: Mapping[str, Any] = answer["taskDefinition"]
    return latest if latest.get("status", "ACTIVE") == "ACTIVE" else None


def forget(conversation: Conversation, arn: str) -> None:
    """Forget a revision that turned out not to be active any more."""
    for key in [key for key, known in _memory.revisions.items() if known == arn and key[0] == conversation.aws.key]:
        del _memory.revisions[key]
    linked = _memory.linked
    for key in [key for key, (known, _) in linked.items() if known.get("taskDefinitionArn") == arn]:
        del linked[key]


def hold(conversation: Conversation, revision: Revision, *, deregister: bool) -> None:
    """Note that a run uses a revision; `deregister` says that it is unwanted afterwards, if this run registered it."""
    key = (conversation.aws.key, revision.arn)
    with _memory.lock:
        _memory.in_use[key] += 1
        if deregister and revision.registered:
            _memory.unwanted.add(key)


async def release(conversation: Conversation, revision: Revision) -> None:
    """Note that a run has ended; the last one that used an unwanted revision deregisters it."""
    key = (conversation.aws.key, revision.arn)
    with _memory.lock:
        _memory.in_use[key] -= 1
        last = not _memory.in_use[key]
        unwanted = last and key in _memory.unwanted
        if last:
            del _memory.in_use[key]
            _memory.unwanted.discard(key)
    if unwanted:
        forget(conversation, revision.arn)
        with anyio.CancelScope(shield=True):
            await _deregister(conversation, revision.arn)


async def _deregister(conversation: Conversation, arn: str) -> None:
    try:
        await conversation.ask("ecs", "DeregisterTaskDefinition", taskDefinition=arn)
        logger.info("Task definition %s deregistered.", arn)
    except AwsError as error:  # the run's result counts for more than tidiness
        logger.warning("Task definition %s was not deregistered: %s", arn, error)


@asynccontextmanager
async def one_at_a_time(conversation: Conversation, key: tuple[Any, ...]) -> AsyncIterator[None]:
    """Let one run of the process at a time ask for a definition: the others find its answer."""
    try:
        locks = _loop_locks.get()
    except LookupError:
        locks = {}
        _loop_locks.set(locks)
    async with locks.setdefault(key, anyio.Lock()):  # the runs of this event loop queue here…
        with _memory.lock:
            process_lock = _memory.family_locks.setdefault(key, threading.Lock())
        while not process_lock.acquire(blocking=False):  # …and one for each loop here
            await conversation.clock.sleep(0.01)
        try:
            yield
        finally:
            process_lock.release()
