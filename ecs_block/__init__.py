"""Run a command as an Amazon ECS task, and be told truthfully what became of it.

>>> from ecs_block import ECSTask
>>> result = ECSTask(command=["echo", "hello"]).run()  # doctest: +SKIP
"""

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
from ecs_block.plan.result import ECSTaskResult
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
    "EcsBlockError",
    "InfrastructureNotAvailable",
    "InfrastructureNotFound",
    "InvalidTask",
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

for _name in __all__:
    globals()[_name].__module__ = "ecs_block"  # a repr shows the path that users import
del _name
