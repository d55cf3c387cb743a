"""The runs of a map in the journal: found by the run id that they share, in the order of the commands."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from ecs_block.engine.journal import Journal, Place

PLACE = Place("123456789012", "us-east-1", "batch", "")


def test_parts_of_a_map(tmp_path: Path) -> None:
    """All attempts of `<run id>/<index>`, by index and attempt; nothing that only begins alike."""
    with closing(Journal(tmp_path / "journal.sqlite3")) as journal:
        for run_id, attempt in [
            ("a/10", 1), ("a/2", 2), ("a/2", 1), ("a", 1), ("a/x", 1), ("a/1/2", 1), ("a0", 1), ("a.5", 1), ("ab/1", 1),
        ]:  # fmt: skip
            journal.intend(
                run_id=run_id, attempt=attempt, place=PLACE, caller="me", token="t", started_by="s", plan={}, request={},
                digest="d", whole=True,
            )  # fmt: skip
        assert [(entry.run_id, entry.attempt) for entry in journal.of_map("a")] == [("a/2", 1), ("a/2", 2), ("a/10", 1)]
        assert [entry.run_id for entry in journal.of_map("a/1")] == ["a/1/2"]
        assert journal.of_map("") == journal.of_map("a/") == journal.of_map("nowhere") == []
