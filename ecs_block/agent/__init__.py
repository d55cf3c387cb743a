"""Jobs from a queue: the agent takes them from SQS and runs each, once, as an Amazon ECS task.

A name is imported when it is first used, as in `ecs_block` itself.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecs_block.agent.agent import Agent
    from ecs_block.agent.job import Job
    from ecs_block.agent.pool import WorkPool
    from ecs_block.agent.queue import RunQueue

__all__ = ["Agent", "Job", "RunQueue", "WorkPool"]

_HOMES = {"Agent": "agent", "Job": "job", "RunQueue": "queue", "WorkPool": "pool"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    value.__module__ = __name__  # a repr shows the path that users import
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
