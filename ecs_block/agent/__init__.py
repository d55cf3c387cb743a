"""Jobs from a queue: the agent takes them from SQS and runs each, once, as an Amazon ECS task.

A name is imported when it is first used, as in `ecs_block` itself.
"""

from typing import TYPE_CHECKING

from ecs_block.lazy import lazily

if TYPE_CHECKING:
    from ecs_block.agent.agent import Agent
    from ecs_block.agent.job import Job
    from ecs_block.agent.pool import WorkPool
    from ecs_block.agent.queue import RunQueue

__all__ = ["Agent", "Job", "RunQueue", "WorkPool"]

__getattr__, __dir__ = lazily(__name__, {"Agent": "agent", "Job": "job", "RunQueue": "queue", "WorkPool": "pool"})
