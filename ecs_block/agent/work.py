"""The jobs that an agent has in hand: from a message to a task, and from the task to its recorded outcome.

The order in which a job goes, and what may be believed after a crash at each point:

    claimed      this process has it; no other one of this machine does anything for it
    looked up    in the journal, after the claim: it may have been launched long ago
    launched     intent, RunTask, ARN: each recorded (`engine.once_only`)
    deleted      its messages, once the ARN is recorded and not before
    ended        its outcome is recorded

One task of the event loop for each job, no thread.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import TaskGroup

from ecs_block.agent.aside import STAYS, Aside
from ecs_block.agent.books import Books, Known
from ecs_block.agent.job import Job, Rejected, parse_job
from ecs_block.agent.launching import Verdict, judge
from ecs_block.agent.queue import Message, RunQueue
from ecs_block.agent.receipts import Receipts
from ecs_block.agent.runs import Runs
from ecs_block.agent.trust import check_allowed
from ecs_block.agent.view import MANY_FAILURES, JobLine, JobState, View
from ecs_block.agent.words import ended, in_a_line
from ecs_block.arn import short_name
from ecs_block.engine.clock import Clock
from ecs_block.engine.journal import Entry
from ecs_block.engine.launch import LAUNCHES_AT_ONCE
from ecs_block.engine.resume import Found, resumed
from ecs_block.engine.run import run as run_task
from ecs_block.errors import EcsBlockError, JournalError
from ecs_block.events import Event, TaskLaunched
from ecs_block.plan.result import ECSTaskResult

logger = logging.getLogger("ecs_block.agent")

FORGOTTEN_AFTER = 120.0  # seconds after a failed launch in which none has failed
LOOK_AGAIN = 1.0  # seconds between two looks at a job that another process has in hand


@dataclass(eq=False, slots=True)
class Hand:
    """A job in hand."""

    run_id: str
    line: JobLine
    job: Job | None = None
    """None for one that was taken up from the journal."""
    messages: dict[str, Message] = field(default_factory=dict)
    """Those that ask for it, and are not deleted yet."""
    claimed: bool = False
    has_begun: bool = False
    """True once RunTask may have been sent."""
    task: str | None = None
    """Its identifier, once AWS has accepted it."""
    recorded: bool = False
    """True once its task or its outcome is in the journal."""
    scope: anyio.CancelScope | None = None
    free: Callable[[], None] = lambda: None
    """Gives back its place among the launches; a second call does nothing."""


class Work:
    """The jobs in hand."""

    def __init__(
        self,
        queue: RunQueue,
        runs: Runs,
        books: Books,
        receipts: Receipts,
        view: View,
        clock: Clock,
        *,
        labels: Iterable[str],
        allow: Sequence[str],
        hook: Callable[[Event], object] | None,
    ) -> None:
        self._queue, self._runs, self._books = queue, runs, books
        self._receipts, self._view, self._clock, self._hook = receipts, view, clock, hook
        self._labels, self._allow = frozenset(labels), allow
        self.aside = Aside(queue, receipts, view)
        self._in_hand: dict[str, Hand] = {}
        self._slots = anyio.Semaphore(LAUNCHES_AT_ONCE)
        self._to_record: dict[str, Hand] = {}
        self._record_now = anyio.Event()
        self._left_out: set[str] = set()  # jobs of which it was said that AWS cannot tell what became of them
        self.changed = anyio.Event()
        """Set whenever a job has left, or has been launched."""
        self.stopping = False
        self.pause_until = -math.inf
        """No job is received before, on the clock: launches fail, and not for their jobs' sake."""

    @property
    def count(self) -> int:
        """How many jobs are in hand: launched or about to be."""
        return len(self._in_hand)

    @property
    def launching(self) -> int:
        """How many of them have no task yet, or one that is not recorded."""
        return sum(not hand.recorded for hand in self._in_hand.values())

    # --- messages ---

    def sort(self, group: TaskGroup, messages: Sequence[Message]) -> None:
        """Take messages in hand: each is launched, rejected, passed on, or known already. Raises nothing of ours."""
        for message in messages:
            self._receipts.hold(message)
            try:
                job = parse_job(message.body, message.attributes, message.id)
                check_allowed(job, self._allow)
            except Rejected as error:
                self.aside.reject(group, message, error.reason)
                continue
            except Exception:  # an error of ours must not keep the other messages waiting
                logger.exception("Message %s cannot be read.", message.id)
                self._receipts.hand_back([message.id], STAYS)
                continue
            run_id = self._queue.run_id_of(str(job.id))
            if not self._labels.issuperset(job.labels):
                self.aside.pass_on(group, message, job)
            elif (hand := self._in_hand.get(run_id)) is not None:
                self._again(hand, job, message)
            else:
                line = self._view.job(run_id, str(job.id), job.name, run_id)
                self._in_hand[run_id] = hand = Hand(run_id, line, job, {message.id: message})
                group.start_soon(self._one, hand)

    def _again(self, hand: Hand, job: Job, message: Message) -> None:
        """Note another message, or the same one once more, of a job that is in hand."""
        if message.id in hand.messages:
            hand.messages[message.id] = message
            return
        self._view.passing(str(job.id), job.name, "duplicate", "it is in hand already")
        logger.info("Job %s was delivered again while it is in hand; it runs once.", job.title, extra=_of(hand))
        if hand.recorded:
            self._receipts.acknowledge([message.id])
        else:
            hand.messages[message.id] = message

    # --- one job ---

    async def _one(self, hand: Hand) -> None:
        """See a job through, and let it go whatever happens. Nothing gets out: the other jobs go on."""
        try:
            with anyio.CancelScope() as hand.scope:
                known = await self._claimed(hand)
                if known is not None:
                    await self._see_through(hand, known)
        except Exception:
            logger.exception("Job %s met an error of ecs_block itself.", hand.line.id, extra=_of(hand))
            self._receipts.hand_back(hand.messages, STAYS)
        finally:
            self._let_go(hand)

    def _let_go(self, hand: Hand) -> None:
        hand.free()
        if hand.claimed:
            self._books.claims.release(hand.run_id)
        if self._in_hand.get(hand.run_id) is hand:
            del self._in_hand[hand.run_id]
        if not hand.recorded and hand.run_id not in self._to_record:
            self._receipts.hand_back(hand.messages)  # what is left of them: it was cancelled
        self._view.left(hand.run_id)
        self.changed.set()

    async def _claimed(self, hand: Hand) -> Known | None:
        """Claim a job, and give what is known of it; wait while another process has it and has not launched it yet.

        None when there is nothing left to be done for it here.
        """
        while True:
            try:
                hand.claimed = self._books.claims.take(hand.run_id)
                known = (await self._books.known([hand.run_id]))[hand.run_id]
            except JournalError as error:
                self._failed(hand, error)
                return None
            if known.has_ended or (known.was_launched and not hand.claimed):
                self._is_known(hand, known)
                return None
            if hand.claimed:
                return known
            if self.stopping:
                return None
            await self._clock.sleep(LOOK_AGAIN)

    def _is_known(self, hand: Hand, known: Known) -> None:
        reason = (
            f"it {ended(known.result, known.result.reason)}" if known.result is not None else "its task is looked after"
        )
        logger.info("Job %s was delivered again, and runs once: %s", hand.line.id, reason, extra=_of(hand))
        self._done(hand)
        self._view.over(hand.run_id, "duplicate", reason)

    async def _see_through(self, hand: Hand, known: Known) -> None:
        if known.entry is not None and (known.was_launched or known.is_cut_off):
            await self._taken_up(hand, known.entry)
        else:
            await self._launched(hand)

    async def _launched(self, hand: Hand) -> None:
        """Launch a job and wait for its end."""
        assert hand.job is not None  # noqa: S101
        await self._slots.acquire()
        hand.free = _once(self._slots.release)
        if self.stopping:
            return  # it is handed back
        hand.has_begun = True
        try:
            run = await self._runs.of_job(hand.job, self._books.of_run(hand.run_id), self._hears(hand))
            result = await run_task(run)
        except EcsBlockError as error:
            self._came_to(hand, error, getattr(error, "result", None))
        except Exception as error:
            if hand.task is not None:
                raise
            logger.exception("Job %s could not be launched.", hand.line.id, extra=_of(hand))
            self._came_to(hand, error, None)
        else:
            self._came_to(hand, None, result)
        finally:
            await self._rejected_now(hand)

    async def _taken_up(self, hand: Hand, entry: Entry) -> None:
        """Take up a job whose launch is recorded, and whose process is gone."""
        hand.has_begun = True
        if entry.tasks:
            self._has_task(hand, entry.tasks[0])
            hand.recorded = True
            self._done(hand)
        logger.info("Job %s is taken up again.", hand.line.id, extra=_of(hand))
        try:
            run = self._runs.of_entry(entry, self._books.of_run(hand.run_id), self._hears(hand))
        except EcsBlockError as error:
            found = Found(entry, "", error=error)
        else:
            found = await resumed(run, entry)
        if found.result is not None:
            self._left_out.discard(hand.run_id)
            self._came_to(hand, None, found.result)
        elif found.error is not None and hand.task is None:
            self._came_to(hand, found.error, None)
            await self._rejected_now(hand)
        elif found.error is not None and hand.run_id not in self._left_out:
            self._left_out.add(hand.run_id)
            logger.warning("Job %s is looked at again later: %s", hand.line.id, found.error, extra=_of(hand))

    def _hears(self, hand: Hand) -> Callable[[Event], None]:
        def heard(event: Event) -> None:
            if isinstance(event, TaskLaunched):
                self._has_task(hand, event.identifier)
            if self._hook is not None:
                self._hook(event)

        return heard

    def _has_task(self, hand: Hand, task: str) -> None:
        """Note that AWS has accepted the task; its messages are deleted once that is certainly recorded."""
        hand.free()
        self._well()
        if hand.task == task:
            return
        hand.task = task
        self._view.launched(hand.line, task)
        logger.info("Job %s is launched as task %s.", hand.line.id, short_name(task), extra=_of(hand))
        if not hand.recorded:
            self._to_record[hand.run_id] = hand
            self._record_now.set()

    # --- how it ended ---

    def _came_to(self, hand: Hand, error: Exception | None, result: ECSTaskResult | None) -> None:
        if hand.task is None and result is None and error is not None:
            self._failed(hand, error)
            return
        if result is not None and hand.task is None:
            self._done(hand)  # it had ended before
        state: JobState = "done" if result else "failed"
        reason = (result.reason or result.headline()) if result is not None else str(error)
        logger.log(
            logging.INFO if state == "done" else logging.WARNING,
            "Job %s %s",
            hand.line.id,
            ended(result, reason),
            extra={
                **_of(hand),
                "state": state,
                "outcome": result.outcome if result is not None else None,
                "status_code": result.status_code if result is not None else None,
                "reason": reason,
            },
        )
        self._view.over(hand.run_id, state, reason, result)

    def _failed(self, hand: Hand, error: Exception) -> None:
        """Decide what becomes of a job that has no task: its messages are handed back, or are dead letters."""
        receives = max((message.receives for message in hand.messages.values()), default=1)
        verdict = judge(error, receives, self.aside.settings.most_receives)
        if verdict.is_ours:
            self._ill(error, verdict)
        if verdict.dead:
            hand.line.state, hand.line.reason = "rejected", verdict.reason
            return
        logger.warning(
            "Job %s is handed back for %.0f s: %s", hand.line.id, verdict.delay, verdict.reason,
            extra={**_of(hand), "state": "handed back", "reason": verdict.reason},
        )  # fmt: skip
        self._receipts.hand_back(hand.messages, verdict.delay)
        self._view.over(hand.run_id, "handed back", verdict.reason)

    async def _rejected_now(self, hand: Hand) -> None:
        if hand.line.state != "rejected" or hand.run_id not in self._in_hand:
            return
        for message in list(hand.messages.values()):
            if await self.aside.dead(message, hand.line.id, hand.line.reason):
                del hand.messages[message.id]
        if not hand.messages:
            self._view.over(hand.run_id, "rejected", in_a_line(hand.line.reason))

    def _done(self, hand: Hand) -> None:
        """Delete the messages of a job whose task or outcome is recorded."""
        hand.recorded = True
        self._receipts.acknowledge(hand.messages)
        hand.messages.clear()
        self.changed.set()

    def _ill(self, error: Exception, verdict: Verdict) -> None:
        """Receive no more for a while: the next job would fare the same."""
        self._view.failures += 1
        pause = min(2.0 ** min(self._view.failures, 6), 60.0) * (0.5 + self._clock.random() / 2)
        self.pause_until = self._clock.now() + pause
        what = "journal" if isinstance(error, JournalError) else "launches"
        if what == "journal" or self._view.failures >= MANY_FAILURES:
            self._view.trouble(what, verdict.reason)

    def _well(self) -> None:
        self._view.failures = 0
        self._view.well("launches")

    def forget_failures(self) -> None:
        """Forget launches that failed a while ago; nobody knows whether the next one would."""
        if self._view.failures and self._clock.now() > self.pause_until + FORGOTTEN_AFTER:
            self._well()

    # --- beside the jobs ---

    async def record(self) -> None:
        """Delete the messages of launched jobs, once it is certain that their tasks are recorded, as long as the agent runs."""
        while True:
            await self._record_now.wait()
            self._record_now = anyio.Event()
            try:
                known = await self._books.record({run_id: str(hand.task) for run_id, hand in self._to_record.items()})
            except JournalError as error:
                self._view.trouble("journal", str(error))
                known = set()
            for run_id in known:
                self._done(self._to_record.pop(run_id))
            if self._to_record and not known:
                self._record_now.set()
                await self._clock.sleep(LOOK_AGAIN)

    async def take_up(self, group: TaskGroup) -> int:
        """Take up the jobs of this queue that nobody of this machine has in hand, and tell how many. Raises JournalError."""
        taken = 0
        for entry in await self._books.unfinished():
            may_be = entry.state == "launched" or Known(entry).is_cut_off
            if not may_be or entry.run_id in self._in_hand or not self._books.claims.take(entry.run_id):
                continue
            variables = _variables(entry)
            job_id = variables.get("ECS_BLOCK_JOB_ID") or entry.run_id
            line = self._view.job(entry.run_id, job_id, variables.get("ECS_BLOCK_JOB_NAME"), entry.run_id)
            hand = Hand(entry.run_id, line, claimed=True)
            self._in_hand[entry.run_id] = hand
            group.start_soon(self._one_taken_up, hand)
            taken += 1
        return taken

    async def _one_taken_up(self, hand: Hand) -> None:
        try:
            with anyio.CancelScope() as hand.scope:
                known = (await self._books.known([hand.run_id]))[hand.run_id]  # it may have ended before it was claimed
                if known.entry is not None and not known.has_ended:
                    await self._taken_up(hand, known.entry)
        except JournalError as error:
            self._view.trouble("journal", str(error))
        except Exception:
            logger.exception("Job %s met an error of ecs_block itself.", hand.line.id, extra=_of(hand))
        finally:
            self._let_go(hand)

    # --- the end ---

    @property
    def is_busy(self) -> bool:
        """True while there are launches under way, or messages that are just now rejected or passed on."""
        return bool(self.aside.count or self._to_record) or any(
            hand.has_begun and not hand.recorded for hand in self._in_hand.values()
        )

    def give_up_waiting(self) -> None:
        """Let go of every job: tasks that run go on, and are taken up by the next agent."""
        for hand in list(self._in_hand.values()):
            if hand.scope is not None:
                hand.scope.cancel()


def _once(release: Callable[[], None]) -> Callable[[], None]:
    waiting = [release]

    def free() -> None:
        if waiting:
            waiting.pop()()

    return free


def _of(hand: Hand) -> dict[str, Any]:
    return {"job": hand.line.id, "job_name": hand.line.name, "run_id": hand.run_id, "task": hand.task}


def _variables(entry: Entry) -> dict[str, str]:
    """Give the variables of the main container, as they were recorded."""
    overrides = (entry.request.get("overrides") or {}).get("containerOverrides") or [{}]
    return {str(item.get("name")): str(item.get("value")) for item in overrides[0].get("environment") or []}
