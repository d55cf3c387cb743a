"""What a launch that failed means for its job.

    the job cannot be run        no JSON, not allowed, InvalidTask               dead letter
    AWS started nothing          TaskLaunchFailed: every reason, for 15 minutes  dead letter
    nobody knows                 OutcomeUnknown                                  dead letter: a person decides
    AWS, the network, the disk   AwsError, JournalError, anything else           handed back; dead letter at its last delivery

A job that has a task is never a dead letter: its outcome is recorded, whatever it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from ecs_block.agent.job import Rejected
from ecs_block.agent.queue import LONGEST_DELAY
from ecs_block.errors import AwsError, InvalidTask, JournalError, OutcomeUnknown, TaskLaunchFailed

FIRST_DELAY = 5.0  # seconds until a message that was handed back comes again; it doubles each time
MOST_TRIES = 10  # deliveries of a job that nobody will help, in a queue that sets no limit itself


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the message: a dead letter with this reason, or handed back."""

    reason: str
    dead: bool
    delay: float = 0.0
    """Seconds until it comes again."""
    is_ours: bool = False
    """True when the job cannot help it: the next one would fare the same."""


def judge(error: Exception, receives: int, most_receives: int | None) -> Verdict:
    """Decide what becomes of a job that has no task."""
    if isinstance(error, Rejected | InvalidTask):
        return Verdict(str(error), dead=True)
    if isinstance(error, TaskLaunchFailed | OutcomeUnknown):
        return Verdict(f"The job was not launched. {error}", dead=True)
    delay = min(FIRST_DELAY * 2.0 ** min(receives - 1, 16), float(LONGEST_DELAY))
    if isinstance(error, JournalError):
        return Verdict(str(error), dead=False, delay=delay, is_ours=True)
    told = str(error) if isinstance(error, AwsError) else f"{type(error).__name__}: {error}"
    hopeless = not (isinstance(error, AwsError) and error.temporary)
    most = most_receives if most_receives is not None else MOST_TRIES if hopeless else None
    last = most is not None and receives >= most
    reason = f"The job could not be launched, at {receives} tries. {told}" if last else told
    return Verdict(reason, dead=last, delay=delay, is_ours=True)
