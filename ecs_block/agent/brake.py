"""What an agent does when launches fail, and not for their jobs' sake: it receives no more for a while, and says so."""

from __future__ import annotations

import math

from ecs_block.agent.launching import Verdict
from ecs_block.agent.view import MANY_FAILURES, View
from ecs_block.engine.clock import Clock

LONGEST_PAUSE = 60.0  # seconds
FORGOTTEN_AFTER = 120.0  # seconds after a failed launch in which none has failed


class Brake:
    """How long no job is to be received."""

    def __init__(self, view: View, clock: Clock) -> None:
        self._view, self._clock = view, clock
        self.until = -math.inf
        """No job is received before, on the clock."""
        self.in_a_row = 0
        """Launches that failed since the last one that went well."""

    def failed(self, verdict: Verdict, what: str) -> None:
        """Receive no more for a while: the next job may fare the same. `what` failed: the launch, or the journal."""
        self.in_a_row += 1
        self._view.failures += 1
        pause = min(2.0 ** min(self._view.failures, 6), LONGEST_PAUSE) * (0.5 + self._clock.random() / 2)
        self.until = self._clock.now() + pause
        if what == "journal" or self._view.failures >= MANY_FAILURES:
            self._view.trouble(what, verdict.reason)

    def launched(self) -> None:
        """Note that a launch went well."""
        self.in_a_row = 0
        self._healthy()

    def _healthy(self) -> None:
        self._view.failures = 0
        self._view.well("launches")

    def forget(self) -> None:
        """Forget launches that failed a while ago; nobody knows whether the next one would."""
        if self._view.failures and self._clock.now() > self.until + FORGOTTEN_AFTER:
            self._healthy()
