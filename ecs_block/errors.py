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
    """The block, or the request that it makes, cannot be right. Nothing was changed at AWS.

    What to do: correct what the message names; it says what is allowed. `preview()` shows what would be sent.
    """

    location: tuple[str | int, ...] = ()  # where in the block, so that a file's line can be named


class PatchError(InvalidTask):
    """A JSON 6902 operation is malformed or does not apply; the message names its index, operation and path.

    What to do: look at the run request in `preview()`, to which the operation is applied, and correct its path.
    """


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

    What to do: read AWS's words in the message. Where `temporary` is true, the same call may be answered later.
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
    """The credentials lack a permission; `action` names it as an IAM policy would (`ecs:RunTask`).

    What to do: add the statement that the message ends with; `ecs-block iam-policy` prints all that the block needs.
    """

    action: str | None = None


class NoCredentials(AwsError):
    """There are no AWS credentials, or the ones there are have expired or are not accepted.

    What to do: the message names where they came from and how to renew them: `aws configure`, `aws sso login`, a profile,
    a role. Without AWS, `ecs-block run --local` and `LocalCloud` need none.
    """


class ClusterNotFound(AwsError):
    """The cluster does not exist in this account and region, or is not active.

    What to do: check its name, the region and the account, or make it with `aws ecs create-cluster`.
    """


class TaskDefinitionNotFound(AwsError):
    """The task definition does not exist in this account and region.

    What to do: check its family and revision, the region and the account. A deregistered revision is not there any more.
    """


class InfrastructureNotFound(EcsBlockError):
    """The task, or the cluster that it was said to be in, does not exist.

    What to do: check the identifier, the region and the account. AWS forgets a task about an hour after its end; a run with a
    run id is then still in the journal of the machine that started it.
    """


class InfrastructureNotAvailable(EcsBlockError):
    """The task may exist, but not in the cluster of this block.

    What to do: use a block of the task's cluster, or one without `cluster`.
    """


class TaskLaunchFailed(EcsBlockError):
    """RunTask started no task. `reasons` holds each reason in AWS's words.

    What to do: as `advice` and the message say. Reasons that may pass were tried again until `task_start_timeout_seconds`.
    """

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
    """The task was created, but its container never ran. `advice` says what to do where the cause is a known one.

    What to do: as `advice` and the message say; the causes that are known are listed with the errors in the documentation.
    """


class TaskStartTimeout(_TaskError):
    """The task did not reach RUNNING within `task_start_timeout_seconds`; it was stopped.

    What to do: large images, a full cluster and a network without a way out are the usual causes; `ecs-block check` looks at
    cluster and network. Or allow more time.
    """


class TaskRunTimeout(_TaskError):
    """The task ran longer than `task_run_timeout_seconds`; it was stopped.

    What to do: look at its last lines (`result.log_tail`), and allow more time if it was working.
    """


class TaskFailed(_TaskError):
    """The task did not succeed; raised only by `ECSTaskResult.raise_for_status()`.

    What to do: the message ends with the last lines of output; `result` has the exit code, the reason and the containers.
    """


class OutcomeUnknown(_TaskError):
    """Nobody can know what became of the task, so nothing is started in its place.

    What to do: look yourself, with `ecs-block ps`, in the cluster, and for what the program has done; then start it again under
    another run id.
    """


class JournalError(EcsBlockError):
    """The journal of runs cannot be read or written; without it, nothing is launched.

    What to do: make room on the disk, or the folder writable; `ECS_BLOCK_HOME` names another one.
    """


class BlockError(EcsBlockError):
    """A saved block could not be read, written or found."""


class BlockNotFound(BlockError):
    """No block of that name and type is saved.

    What to do: `ECSTask.list()` and `ecs-block block ls` show the names; `ECS_BLOCK_HOME` decides where they are looked for.
    """


class BlockExists(BlockError):
    """A block of that name is already saved; pass `overwrite=True` to replace it.

    What to do: take another name, or `overwrite=True` (`--overwrite`).
    """


class BlockInvalid(BlockError):
    """A block file is broken or newer than this library, or a block cannot be saved as it is.

    What to do: the message names file, line and field. The file was left as it is. Secrets are saved by reference, or with
    `include_secrets=True`.
    """


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
