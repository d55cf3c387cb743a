"""Run a command as an Amazon ECS task, and be told truthfully what became of it.

>>> from ecs_block import ECSTask
>>> result = ECSTask(command=["echo", "hello"]).run()  # doctest: +SKIP

A name is imported when it is first used: the command line shows its help without pydantic.
"""

from typing import TYPE_CHECKING

from ecs_block.lazy import lazily

if TYPE_CHECKING:
    from ecs_block.arn import get_container, parse_task_identifier
    from ecs_block.aws import AwsCredentials
    from ecs_block.block import Block
    from ecs_block.errors import (
        AccessDenied,
        AwsError,
        BlockError,
        BlockExists,
        BlockInvalid,
        BlockNotFound,
        ClusterNotFound,
        EcsBlockError,
        InfrastructureNotAvailable,
        InfrastructureNotFound,
        InvalidTask,
        JournalError,
        NoCredentials,
        OutcomeUnknown,
        PatchError,
        TaskDefinitionNotFound,
        TaskFailed,
        TaskLaunchFailed,
        TaskRunTimeout,
        TaskStartFailed,
        TaskStartTimeout,
    )
    from ecs_block.plan.patch import JsonPatch
    from ecs_block.plan.result import ECSTaskResult, ECSTaskResults
    from ecs_block.task import ECSTask

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AwsCredentials",
    "AwsError",
    "Block",
    "BlockError",
    "BlockExists",
    "BlockInvalid",
    "BlockNotFound",
    "ClusterNotFound",
    "ECSTask",
    "ECSTaskResult",
    "ECSTaskResults",
    "EcsBlockError",
    "InfrastructureNotAvailable",
    "InfrastructureNotFound",
    "InvalidTask",
    "JournalError",
    "JsonPatch",
    "NoCredentials",
    "OutcomeUnknown",
    "PatchError",
    "TaskDefinitionNotFound",
    "TaskFailed",
    "TaskLaunchFailed",
    "TaskRunTimeout",
    "TaskStartFailed",
    "TaskStartTimeout",
    "get_container",
    "parse_task_identifier",
]

_HOMES = {
    "AwsCredentials": "aws",
    "Block": "block",
    "ECSTask": "task",
    "ECSTaskResult": "plan.result",
    "ECSTaskResults": "plan.result",
    "JsonPatch": "plan.patch",
    "get_container": "arn",
    "parse_task_identifier": "arn",
}

__getattr__, __dir__ = lazily(__name__, {name: _HOMES.get(name, "errors") for name in __all__})
