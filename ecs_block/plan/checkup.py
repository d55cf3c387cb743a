"""What `check` found: whether a run would work, as far as can be seen without starting one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "warning", "failed", "unseen"]

MARKS: dict[State, str] = {"ok": "✓", "warning": "!", "failed": "✗", "unseen": "?"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    """What was looked at: `credentials`, `cluster`, `network`, …"""
    state: State
    """`ok`; `warning`: a run may fail on it; `failed`: it would; `unseen`: it could not be looked at."""
    said: str
    """What is there."""
    advice: str | None = None
    """What to do about it."""

    def __str__(self) -> str:
        advice = f" {self.advice}" if self.advice else ""
        return f"{MARKS[self.state]} {self.name}: {self.said}{advice}"


@dataclass(frozen=True)
class Checkup:
    """Everything that was looked at. True when a run would work, as far as can be seen."""

    findings: tuple[Finding, ...]

    def __bool__(self) -> bool:
        return not any(finding.state == "failed" for finding in self.findings)

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings))

    def as_json(self) -> dict[str, Any]:
        """Give it as plain values."""
        return {"ok": bool(self), "findings": [asdict(finding) for finding in self.findings]}


def ok(name: str, said: str) -> Finding:
    """Make a finding that is as it should be."""
    return Finding(name, "ok", said)


def failed(name: str, said: str, advice: str | None = None) -> Finding:
    """Make a finding on which a run would fail."""
    return Finding(name, "failed", said, advice)


def warning(name: str, said: str, advice: str | None = None) -> Finding:
    """Make a finding on which a run may fail."""
    return Finding(name, "warning", said, advice)


def unseen(name: str, said: str, advice: str | None = None) -> Finding:
    """Make a finding of which nobody knows."""
    return Finding(name, "unseen", said, advice)
