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
from collections.abc import Awaitable, Callable, Iterable, Sequence

import anyio
from anyio.abc import TaskGroup

from ecs_block.agent.aside import STAYS, Aside
from ecs_block.agent.books import Books, Known
from ecs_block.agent.brake import Brake
from ecs_block.agent.endings import Endings
from ecs_block.agent.hand import Hand, Hands, once
from ecs_block.agent.job import Job, Rejected, parse_job
from ecs_block.agent.queue import Message, RunQueue
from ecs_block.agent.receipts import Receipts
from ecs_block.agent.recording import Recording
from ecs_block.agent.runs import Runs
from ecs_block.agent.trust import check_allowed
from ecs_block.agent.view import View
from ecs_block.arn import short_name
from ecs_block.engine.clock import Clock
from ecs_block.engine.journal import Entry
from ecs_block.engine.launch import LAUNCHES_AT_ONCE
from ecs_block.engine.resume import Found, resumed
from ecs_block.engine.run import run as run_task
from ecs_block.errors import EcsBlockError, JournalError
from ecs_block.events import Event, TaskLaunched

logger = logging.getLogger("ecs_block.agent")

LOOK_AGAIN = 1.0  # seconds between two looks at a job that another process has in hand


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
        self.hands, self.aside, self.brake = Hands(), Aside(queue, receipts, view), Brake(view, clock)
        self._ends = Endings(self.hands, self.aside, receipts, view, self.brake)
        self.recording = Recording(books, view, clock, self._ends.recorded)
        self._slots = anyio.Semaphore(LAUNCHES_AT_ONCE)
        self._left_out: set[str] = set()  # jobs of which it was said that AWS cannot tell what became of them
        self.stopping = False

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
            elif (hand := self.hands.of(run_id)) is not None:
                self._again(hand, job, message)
            else:
                line = self._view.job(run_id, str(job.id), job.name, run_id)
                self._start(group, Hand(run_id, line, job, {message.id: message}), self._seen_through)

    def _again(self, hand: Hand, job: Job, message: Message) -> None:
        """Note another message, or the same one once more, of a job that is in hand."""
        if message.id in hand.messages:
            hand.messages[message.id] = message
            return
        self._view.passing(str(job.id), job.name, "duplicate", "it is in hand already")
        logger.info("Job %s was delivered again while it is in hand; it runs once.", job.title, extra=hand.about)
        if hand.recorded:
            self._receipts.acknowledge([message.id])
        else:
            hand.messages[message.id] = message

    # --- one job ---

    def _start(self, group: TaskGroup, hand: Hand, work: Callable[[Hand], Awaitable[None]]) -> None:
        self.hands.take(hand)
        group.start_soon(self._one, hand, work)

    async def _one(self, hand: Hand, work: Callable[[Hand], Awaitable[None]]) -> None:
        """See a job through, and let it go whatever happens. Nothing gets out: the other jobs go on."""
        try:
            with anyio.CancelScope() as hand.scope:
                await work(hand)
        except Exception:
            logger.exception("Job %s met an error of ecs_block itself.", hand.line.id, extra=hand.about)
            self._receipts.hand_back(hand.messages, STAYS)
        finally:
            self._let_go(hand)

    def _let_go(self, hand: Hand) -> None:
        hand.free()
        if hand.claimed:
            self._books.claims.release(hand.run_id)
        if not hand.recorded and hand not in self.recording:
            self._receipts.hand_back(hand.messages)  # what is left of them: it was cancelled
        self._view.left(hand.run_id)
        self.hands.drop(hand)

    async def _seen_through(self, hand: Hand) -> None:
        known = await self._claimed(hand)
        if known is None:
            return
        if known.entry is not None and (known.was_launched or known.is_cut_off):
            await self._taken_up(hand, known.entry)
        else:
            await self._launched(hand)

    async def _claimed(self, hand: Hand) -> Known | None:
        """Claim a job, and give what is known of it; wait while another process has it and has not launched it yet.

        None when there is nothing left to be done for it here.
        """
        while True:
            try:
                hand.claimed = self._books.claims.take(hand.run_id)
                known = (await self._books.known([hand.run_id]))[hand.run_id]
            except JournalError as error:
                await self._ends.failed(hand, error)
                return None
            if known.has_ended or (known.was_launched and not hand.claimed):
                self._ends.was_known(hand, known)
                return None
            if hand.claimed:
                return known
            if self.stopping:
                return None
            await self._clock.sleep(LOOK_AGAIN)

    async def _launched(self, hand: Hand) -> None:
        """Launch a job and wait for its end."""
        assert hand.job is not None  # noqa: S101
        await self._slots.acquire()
        hand.free = once(self._slots.release)
        if self.stopping:
            return  # it is handed back
        hand.has_begun = True
        try:
            run = await self._runs.of_job(hand.job, self._books.of_run(hand.run_id), self._hears(hand))
            result = await run_task(run)
        except EcsBlockError as error:
            await self._ends.came_to(hand, error, getattr(error, "result", None))
        except Exception as error:
            if hand.task is not None:
                raise
            logger.exception("Job %s could not be launched.", hand.line.id, extra=hand.about)
            await self._ends.came_to(hand, error, None)
        else:
            await self._ends.came_to(hand, None, result)

    async def _taken_up(self, hand: Hand, entry: Entry) -> None:
        """Take up a job whose launch is recorded, and whose process is gone."""
        hand.has_begun = True
        if entry.tasks:
            self._ends.recorded(hand)
            self._has_task(hand, entry.tasks[0])
        logger.info("Job %s is taken up again.", hand.line.id, extra=hand.about)
        try:
            run = self._runs.of_entry(entry, self._books.of_run(hand.run_id), self._hears(hand))
        except EcsBlockError as error:
            found = Found(entry, "", error=error)
        else:
            found = await resumed(run, entry)
        if found.result is not None:
            self._left_out.discard(hand.run_id)
            await self._ends.came_to(hand, None, found.result)
        elif found.error is not None and hand.task is None:
            await self._ends.came_to(hand, found.error, None)
        elif found.error is not None and hand.run_id not in self._left_out:
            self._left_out.add(hand.run_id)
            logger.warning("Job %s is looked at again later: %s", hand.line.id, found.error, extra=hand.about)

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
        self.brake.launched()
        if hand.task == task:
            return
        hand.task = task
        self._view.launched(hand.line, task)
        logger.info("Job %s is launched as task %s.", hand.line.id, short_name(task), extra=hand.about)
        if not hand.recorded:
            self.recording.add(hand)

    # --- what other processes have left behind ---

    async def take_up(self, group: TaskGroup) -> None:
        """Take up the jobs of this queue that nobody of this machine has in hand. Raises JournalError."""
        for entry in await self._books.unfinished():
            may_be = entry.state == "launched" or Known(entry).is_cut_off
            if not may_be or self.hands.of(entry.run_id) is not None or not self._books.claims.take(entry.run_id):
                continue
            variables = _variables(entry)
            job_id = variables.get("ECS_BLOCK_JOB_ID") or entry.run_id
            line = self._view.job(entry.run_id, job_id, variables.get("ECS_BLOCK_JOB_NAME"), entry.run_id)
            self._start(group, Hand(entry.run_id, line, claimed=True), self._left_behind)

    async def _left_behind(self, hand: Hand) -> None:
        try:
            known = (await self._books.known([hand.run_id]))[hand.run_id]  # it may have ended before it was claimed
        except JournalError as error:
            self._view.trouble("journal", str(error))
            return
        if known.entry is not None and not known.has_ended:
            await self._taken_up(hand, known.entry)

    # --- the end ---

    @property
    def is_busy(self) -> bool:
        """True while there are launches under way, or messages that are just now rejected or passed on."""
        return bool(self.aside.count or self.recording) or any(
            hand.has_begun and not hand.recorded for hand in self.hands
        )

    def give_up_waiting(self) -> None:
        """Let go of every job: tasks that run go on, and are taken up by the next agent."""
        for hand in self.hands:
            if hand.scope is not None:
                hand.scope.cancel()


def _variables(entry: Entry) -> dict[str, str]:
    """Give the variables of the main container, as they were recorded."""
    overrides = (entry.request.get("overrides") or {}).get("containerOverrides") or [{}]
    return {str(item.get("name")): str(item.get("value")) for item in overrides[0].get("environment") or []}
