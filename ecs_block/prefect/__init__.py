"""A Prefect 3 worker: `prefect worker start --pool POOL --type ecs-block` runs each flow run as an ECS task.

Needs the extra `prefect`. Prefect finds it by the entry point `prefect.collections`; nothing else of ecs_block imports Prefect.
"""

from ecs_block.prefect.configuration import EcsBlockJobConfiguration
from ecs_block.prefect.worker import EcsBlockWorker, EcsBlockWorkerResult

__all__ = ["EcsBlockJobConfiguration", "EcsBlockWorker", "EcsBlockWorkerResult"]
