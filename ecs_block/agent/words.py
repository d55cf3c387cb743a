"""How an agent says what became of a job, in a line of its log."""

from __future__ import annotations

from ecs_block.plan.result import ECSTaskResult

_WORDS = {
    "failed": "failed",
    "start_failed": "could not be started",
    "stopped": "was stopped",
    "interrupted": "was interrupted by AWS",
    "unknown": "has an outcome that nobody knows",
}


def in_a_line(text: str) -> str:
    """Make one line of text that somebody else may have written."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def ended(result: ECSTaskResult | None, reason: str) -> str:
    """Say in a few words how a job ended."""
    if result is None:
        return f"ended: {reason}"
    if result:
        return "succeeded."
    if result.outcome == "failed" and result.status_code > 0:
        return f"failed with exit code {result.status_code}."
    return f"{_WORDS[result.outcome]}: {reason}"
