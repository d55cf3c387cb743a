"""ECS on this machine: the same API as AWS, on 127.0.0.1, and the commands really run."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecs_block.local.cloud import LocalCloud as LocalCloud

__all__ = ["LocalCloud"]


def __getattr__(name: str) -> object:
    if name == "LocalCloud":
        from ecs_block.local.cloud import LocalCloud

        return LocalCloud
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
