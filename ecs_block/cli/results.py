"""The result that goes with an error, so that `--output json` always has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecs_block.errors import OutcomeUnknown, TaskRunTimeout, TaskStartTimeout

if TYPE_CHECKING:
    from ecs_block.plan.result import ECSTaskResult
    from ecs_block.plan.verdict import Outcome


def result_of(error: Exception, ended: ECSTaskResult | None, launched: str | None) -> ECSTaskResult:
    """Give the result that goes with an error: its own, that of the task which ended, or one that says what is known."""
    from ecs_block.plan.result import ECSTaskResult

    known = getattr(error, "result", None)
    known = ended if known is None else known
    if known is not None:
        return known.model_copy(update={"error": error})
    identifier = getattr(error, "identifier", None) or launched
    return ECSTaskResult(
        identifier=identifier, outcome=_outcome(error, identifier), reason=masked(str(error)), error=error
    )


def _outcome(error: Exception, identifier: str | None) -> Outcome:
    if isinstance(error, TaskStartTimeout | TaskRunTimeout):
        return "stopped"
    return "unknown" if identifier or isinstance(error, OutcomeUnknown) else "start_failed"


def masked(text: str) -> str:
    """Mask what the library knows to be secret; an error of somebody else's making may quote anything."""
    from ecs_block.aws import redactor

    return redactor().text(text)
