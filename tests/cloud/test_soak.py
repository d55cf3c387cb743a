"""The soak of `nox -s soak` in short."""

from __future__ import annotations

from pathlib import Path

import pytest
from soak import Plan, soak


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="what a process uses is read from /proc")
def test_nothing_is_lost_and_nothing_grows(tmp_path: Path) -> None:
    """Sixty runs, while every fifth call goes wrong: a task and an outcome for each, every line once; no more threads."""
    report = soak(Plan(runs=60, at_once=20, faults=0.2, seed=3, stream_each=4), tmp_path)
    print(report.table())
    assert not report.problems, report.table()
