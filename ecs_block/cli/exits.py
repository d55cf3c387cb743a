"""The exit codes, in the manner of docker and timeout(1).

The process exits 0 if and only if the outcome is `succeeded`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ecs_block.errors import BlockError, EcsBlockError, InvalidTask, TaskRunTimeout, TaskStartFailed, TaskStartTimeout

if TYPE_CHECKING:
    from ecs_block.plan.result import ECSTaskResult

USAGE = 2
TIMEOUT = 124
FAILED = 125  # we or AWS failed; nothing can be said about the program
CANNOT_RUN = 126
NOT_FOUND = 127
HUNG_UP = 129  # 128 + SIGHUP
INTERRUPTED = 130  # 128 + SIGINT
TERMINATED = 143  # 128 + SIGTERM

# The container runtime's words, which ECS hands on as the reason.
_UNSTARTABLE = re.compile(
    r'exec: \\?"(?P<program>.*?)\\?": (stat .*?: )?'
    r"(?P<cause>no such file or directory|executable file not found in \$PATH|permission denied|is a directory)"
)


class Unstartable(NamedTuple):
    """A program that the container runtime could not start."""

    program: str
    cause: str

    @property
    def code(self) -> int:
        """127 when there is no such program, 126 when there is and it cannot be executed."""
        return CANNOT_RUN if self.cause in ("permission denied", "is a directory") else NOT_FOUND


def unstartable(error: BaseException) -> Unstartable | None:
    """Tell which program could not be started, if that is what an error is about."""
    if not isinstance(error, TaskStartFailed):
        return None
    found = _UNSTARTABLE.search(error.result.reason if error.result else str(error))
    return Unstartable(found["program"], found["cause"]) if found else None


def of_result(result: ECSTaskResult) -> int:
    """Give the container's own code; 125 where it would claim a success that was none, or there is no code."""
    if result.outcome == "succeeded":
        return 0
    return result.status_code if 0 < result.status_code < 256 else FAILED


def of_error(error: BaseException) -> int:
    """Give the exit code of a run that raised."""
    program = unstartable(error)
    if program is not None:
        return program.code
    if isinstance(error, InvalidTask | BlockError):
        return USAGE
    if isinstance(error, TaskStartTimeout | TaskRunTimeout):
        return TIMEOUT
    return error.code if isinstance(error, Interrupted) else FAILED


class Interrupted(EcsBlockError):
    """A signal ended the command."""

    def __init__(self, code: int) -> None:
        by = {TERMINATED: "SIGTERM", HUNG_UP: "SIGHUP: its terminal was closed"}.get(code, "Ctrl-C")
        super().__init__(f"Interrupted by {by}.")
        self.code = code
