"""Everything that can go wrong, as one tree.

::

    EcsBlockError
    ├── InvalidTask (ValueError)          the block or the request it makes cannot be right
    │   └── PatchError                    a JSON 6902 operation is malformed or does not apply
    ├── AwsError                          AWS answered an error, or no usable answer came
    │   ├── AccessDenied                  the credentials lack a permission
    │   ├── NoCredentials                 there are no credentials, or they have expired
    │   ├── ClusterNotFound
    │   └── TaskDefinitionNotFound
    ├── InfrastructureNotFound            the task or cluster that was named does not exist
    ├── InfrastructureNotAvailable        it exists, but not where this block looks
    ├── TaskLaunchFailed                  RunTask started nothing
    ├── TaskStartFailed                   a task was created, its container never ran
    ├── TaskStartTimeout                  it did not reach RUNNING in time and was stopped
    ├── TaskRunTimeout                    it ran longer than allowed and was stopped
    ├── TaskFailed                        the program ended badly (only from `raise_for_status`)
    ├── OutcomeUnknown                    nobody can know what became of the task
    ├── JournalError                      the journal of runs cannot be read or written
    └── BlockError
        ├── BlockNotFound
        ├── BlockExists
        └── BlockInvalid

Every message says what happened, to what, and what to do next. No message carries a secret: who raises one masks it.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecs_block.plan.result import ECSTaskResult

__all__ = [
    "AccessDenied",
    "AwsError",
    "BlockError",
    "BlockExists",
    "BlockInvalid",
    "BlockNotFound",
    "ClusterNotFound",
    "EcsBlockError",
    "InfrastructureNotAvailable",
    "InfrastructureNotFound",
    "InvalidTask",
    "JournalError",
    "NoCredentials",
    "OutcomeUnknown",
    "PatchError",
    "TaskDefinitionNotFound",
    "TaskFailed",
    "TaskLaunchFailed",
    "TaskRunTimeout",
    "TaskStartFailed",
    "TaskStartTimeout",
]


LONGEST_MESSAGE = 8000  # characters; of a thousand problems the first ones are told


class EcsBlockError(Exception):
    """Root of every error that this library raises on purpose."""

    def __init__(self, message: str = "") -> None:
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[:LONGEST_MESSAGE]}… ({len(message) - LONGEST_MESSAGE:,} more characters)"
        super().__init__(message)


class InvalidTask(EcsBlockError, ValueError):
    """The block, or the request that it makes, cannot be right. Nothing was changed at AWS."""

    location: tuple[str | int, ...] = ()  # where in the block, so that a file's line can be named


class PatchError(InvalidTask):
    """A JSON 6902 operation is malformed or does not apply; the message names its index, operation and path."""


class Kind(Enum):
    """What an AWS error means for the caller. One of these is decided for every failed call, in `ecs_block.aws`."""

    THROTTLED = "throttled"
    TRANSIENT = "transient"
    """AWS or the network failed; the call may or may not have had its effect."""
    CREDENTIALS = "credentials"
    DENIED = "denied"
    NOT_FOUND = "not found"
    CONFLICT = "conflict"
    INVALID = "invalid"
    """AWS understood and refused. Asking the same again gives the same answer."""


class AwsError(EcsBlockError):
    """AWS refused a call, or no usable answer came.

    `operation` is `service:Operation`, `code` AWS's error code (None when no answer came), `request_id` what AWS support
    asks for, `kind` what it means for a retry.
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str | None = None,
        code: str | None = None,
        request_id: str | None = None,
        kind: Kind = Kind.INVALID,
        aws_message: str = "",
        resource_ids: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.code = code
        self.request_id = request_id
        self.kind = kind
        self.aws_message = aws_message
        self.resource_ids = resource_ids

    @property
    def temporary(self) -> bool:
        """True when the same call may well be answered later."""
        return self.kind in (Kind.THROTTLED, Kind.TRANSIENT, Kind.CREDENTIALS)


class AccessDenied(AwsError):
    """The credentials lack a permission; `action` names it as an IAM policy would (`ecs:RunTask`)."""

    action: str | None = None


class NoCredentials(AwsError):
    """There are no AWS credentials, or the ones there are have expired or are not accepted."""


class ClusterNotFound(AwsError):
    """The cluster does not exist in this account and region, or is not active."""


class TaskDefinitionNotFound(AwsError):
    """The task definition does not exist in this account and region."""


class InfrastructureNotFound(EcsBlockError):
    """The task, or the cluster that it was said to be in, does not exist."""


class InfrastructureNotAvailable(EcsBlockError):
    """The task may exist, but not in the cluster of this block."""


class TaskLaunchFailed(EcsBlockError):
    """RunTask started no task. `reasons` holds each reason in AWS's words."""

    def __init__(self, message: str, *, reasons: tuple[str, ...] = (), advice: str | None = None) -> None:
        super().__init__(message)
        self.reasons = reasons
        self.advice = advice


class _TaskError(EcsBlockError):
    """An error about one task, which the result describes."""

    def __init__(
        self,
        message: str,
        *,
        identifier: str | None = None,
        result: ECSTaskResult | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(message)
        self.identifier = identifier
        self.result = result
        self.advice = advice


class TaskStartFailed(_TaskError):
    """The task was created, but its container never ran. `advice` says what to do where the cause is a known one."""


class TaskStartTimeout(_TaskError):
    """The task did not reach RUNNING within `task_start_timeout_seconds`; it was stopped."""


class TaskRunTimeout(_TaskError):
    """The task ran longer than `task_run_timeout_seconds`; it was stopped."""


class TaskFailed(_TaskError):
    """The task did not succeed; raised only by `ECSTaskResult.raise_for_status()`."""


class OutcomeUnknown(_TaskError):
    """Nobody can know what became of the task, so nothing is started in its place."""


class JournalError(EcsBlockError):
    """The journal of runs cannot be read or written; without it, nothing is launched."""


class BlockError(EcsBlockError):
    """A saved block could not be read, written or found."""


class BlockNotFound(BlockError):
    """No block of that name and type is saved."""


class BlockExists(BlockError):
    """A block of that name is already saved; pass `overwrite=True` to replace it."""


class BlockInvalid(BlockError):
    """A block file is broken or newer than this library, or a block cannot be saved as it is."""


for _error in list(globals().values()):
    if isinstance(_error, type) and issubclass(_error, EcsBlockError) and not _error.__name__.startswith("_"):
        _error.__module__ = "ecs_block"  # tracebacks show the name that users import


def again(name: str, message: str, result: ECSTaskResult) -> EcsBlockError:
    """Make an error of the class of this name once more, for a result that was recorded with it."""
    found = globals().get(name)
    kind = found if isinstance(found, type) and issubclass(found, EcsBlockError) else EcsBlockError
    if issubclass(kind, _TaskError):
        return kind(message, identifier=result.identifier, result=result, advice=result.advice)
    return kind(message)
