"""`ecs-block run --dry-run`: what this very run would send, checked as far as it can be without AWS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ecs_block.cli.console import Console
from ecs_block.cli.items import Item, task_of_item

if TYPE_CHECKING:
    from ecs_block.task import ECSTask


def show(console: Console, task: ECSTask, items: Sequence[Item] | None, run_id: str | None) -> int:
    """Print the definition and the request; of many tasks their number, and those of the first."""
    from ecs_block.preview import yaml_of

    if items is None:
        shown: dict[str, Any] = _checked(task, run_id)
        said = ""
    else:
        all_of_them = [_checked(task_of_item(task, item), run_id, index) for index, item in enumerate(items)]
        shown = {"tasks": len(items), **all_of_them[0]}
        said = f"# {len(items)} tasks; this is the first of them\n"
    if console.as_json:
        console.print_json(shown)
    else:
        console.print_text(said + yaml_of(shown).rstrip("\n"))
    console.step("a dry run: nothing was sent to AWS")
    return 0


def _checked(task: ECSTask, run_id: str | None, index: int | None = None) -> dict[str, Any]:
    from ecs_block.engine.order import check_run_id
    from ecs_block.engine.prepare import check_patches
    from ecs_block.engine.secrets import check_here
    from ecs_block.preview import documents

    name = run_id if run_id is None or index is None else f"{run_id}/{index}"
    if name is not None:
        check_run_id(name)
    check_patches(task, name)
    check_here([*task.env.values(), *task.cloudwatch_logs_options.values()])
    return documents(task, task.aws_credentials, run_id=name)
