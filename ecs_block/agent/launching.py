"""What a launch that failed means for its job.

    the job cannot be run        no JSON, not allowed, InvalidTask               dead letter
    AWS started nothing          TaskLaunchFailed: every reason, for 15 minutes  dead letter
    nobody knows                 OutcomeUnknown                                  dead letter: a person decides
    ECS refuses the request      AwsError that is INVALID or NOT_FOUND           dead letter; but after some in a row it is
                                                                                 the agent's settings, and no job's fault
    AWS, the network, the disk,  any other AwsError, JournalError                handed back; dead letter at the last delivery
    the agent's own settings                                                     that the queue allows
    a bug                        anything else                                   so, too, at the tenth delivery at the latest

A job that has a task is never a dead letter: its outcome is recorded, whatever it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ecs_block.agent.job import Rejected
from ecs_block.agent.queue import LONGEST_DELAY
from ecs_block.agent.view import MANY_FAILURES
from ecs_block.errors import AwsError, InvalidTask, JournalError, Kind, OutcomeUnknown, TaskLaunchFailed

FIRST_DELAY = 5.0  # seconds until a message that was handed back comes again; it doubles each time
MOST_TRIES = 10  # deliveries of a job that meets a bug, in a queue that sets no limit itself

# Refusals of ECS that are the account's, and end without the job: roles that are made, instances that join the cluster.
_OF_THE_ACCOUNT = re.compile(r"assume the|No Container Instances", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the message: a dead letter with this reason, or handed back."""

    reason: str
    dead: bool
    delay: float = 0.0
    """Seconds until it comes again."""
    is_ours: bool = False
    """True when the next job may fare the same."""


def judge(error: Exception, receives: int, most_receives: int | None, failures: int = 0) -> Verdict:
    """Decide what becomes of a job that has no task.

    `most_receives` is how often the queue delivers a message, `failures` how many launches in a row have failed before, and
    not for their jobs' sake alone.
    """
    if isinstance(error, Rejected | InvalidTask):
        return Verdict(str(error), dead=True)
    if isinstance(error, TaskLaunchFailed | OutcomeUnknown):
        return Verdict(f"The job was not launched. {error}", dead=True)
    if isinstance(error, AwsError) and failures < MANY_FAILURES and _is_refused(error):
        return Verdict(f"The job was not launched. {error}", dead=True, is_ours=True)
    delay = min(FIRST_DELAY * 2.0 ** min(receives - 1, 16), float(LONGEST_DELAY))
    if isinstance(error, JournalError):
        return Verdict(str(error), dead=False, delay=delay, is_ours=True)
    is_bug = not isinstance(error, AwsError)
    told = f"{type(error).__name__}: {error}" if is_bug else str(error)
    most = most_receives if most_receives is not None else MOST_TRIES if is_bug else None
    last = most is not None and receives >= most
    reason = f"The job could not be launched, at {receives} tries. {told}" if last else told
    return Verdict(reason, dead=last, delay=delay, is_ours=True)


def _is_refused(error: AwsError) -> bool:
    """Tell whether AWS would refuse this job whenever it is asked."""
    is_about_it = error.operation is not None and error.operation.startswith(("ecs:", "ec2:"))
    refused = error.kind in (Kind.INVALID, Kind.NOT_FOUND)
    return is_about_it and refused and not _OF_THE_ACCOUNT.search(error.aws_message)
