"""How a job ends: its outcome is told, or its messages are handed back, or are dead letters."""

from __future__ import annotations

import logging

from ecs_block.agent.aside import Aside
from ecs_block.agent.books import Known
from ecs_block.agent.brake import Brake
from ecs_block.agent.hand import Hand, Hands
from ecs_block.agent.launching import judge
from ecs_block.agent.receipts import Receipts
from ecs_block.agent.view import JobState, View
from ecs_block.agent.words import ended, in_a_line
from ecs_block.errors import JournalError
from ecs_block.plan.result import ECSTaskResult

logger = logging.getLogger("ecs_block.agent")


class Endings:
    """What becomes of the jobs of one agent."""

    def __init__(self, hands: Hands, aside: Aside, receipts: Receipts, view: View, brake: Brake) -> None:
        self._hands, self._aside, self._receipts, self._view, self._brake = hands, aside, receipts, view, brake

    def recorded(self, hand: Hand) -> None:
        """Delete the messages of a job whose task or outcome is recorded."""
        hand.recorded = True
        self._receipts.acknowledge(hand.messages)
        hand.messages.clear()
        self._hands.note_change()

    def was_known(self, hand: Hand, known: Known) -> None:
        """Tell of a job that has ended already, or that another process looks after."""
        reason = (
            f"it {ended(known.result, known.result.reason)}" if known.result is not None else "its task is looked after"
        )
        logger.info("Job %s was delivered again, and runs once: %s", hand.line.id, reason, extra=hand.about)
        self.recorded(hand)
        self._view.over(hand.run_id, "duplicate", reason)

    async def came_to(self, hand: Hand, error: Exception | None, result: ECSTaskResult | None) -> None:
        """Tell the outcome of a job; one that has no task is handed back, or is a dead letter."""
        if hand.task is None and result is None and error is not None:
            await self.failed(hand, error)
            return
        if result is not None and hand.task is None:
            self.recorded(hand)  # it had ended before
        state: JobState = "done" if result else "failed"
        reason = (result.reason or result.headline()) if result is not None else str(error)
        logger.log(
            logging.INFO if state == "done" else logging.WARNING,
            "Job %s %s",
            hand.line.id,
            ended(result, reason),
            extra={
                **hand.about,
                "state": state,
                "outcome": result.outcome if result is not None else None,
                "status_code": result.status_code if result is not None else None,
                "reason": reason,
            },
        )
        self._view.over(hand.run_id, state, reason, result)

    async def failed(self, hand: Hand, error: Exception) -> None:
        """Decide what becomes of a job that has no task."""
        receives = max((message.receives for message in hand.messages.values()), default=1)
        verdict = judge(error, receives, self._aside.settings.most_receives, self._brake.in_a_row)
        if verdict.is_ours:
            self._brake.failed(verdict, "journal" if isinstance(error, JournalError) else "launches")
        if verdict.dead:
            await self._rejected(hand, verdict.reason)
            return
        logger.warning(
            "Job %s is handed back for %.0f s: %s", hand.line.id, verdict.delay, verdict.reason,
            extra={**hand.about, "state": "handed back", "reason": verdict.reason},
        )  # fmt: skip
        self._receipts.hand_back(hand.messages, verdict.delay)
        self._view.over(hand.run_id, "handed back", verdict.reason)

    async def _rejected(self, hand: Hand, reason: str) -> None:
        hand.line.state, hand.line.reason = "rejected", reason
        for message in list(hand.messages.values()):
            if await self._aside.dead(message, hand.line.id, reason):
                del hand.messages[message.id]
        if not hand.messages:
            self._view.over(hand.run_id, "rejected", in_a_line(reason))
