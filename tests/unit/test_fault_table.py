"""The table in docs/faults.md: every row once, every test that it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
NUMBERS = [
    *map(str, range(1, 45)),
    *(f"45{letter}" for letter in "abcdefghi"),
    *(f"46{letter}" for letter in "abcdefghijklmno"),
    *map(str, range(47, 74)),
]
AGENT = [str(number) for number in range(47, 60)]
INVARIANTS = [f"I{number}" for number in range(1, 8)]
NOT_YET = "not built yet"

LINES = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
ROWS = {cells[0]: cells for cells in LINES if cells[0]}
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def defined_in(file: str) -> frozenset[str]:
    """The names of the tests that a file defines."""
    tree = ast.parse((ROOT / file).read_text())
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def test_every_row_is_there_once_and_in_order() -> None:
    """1 to 73, with the parts of 45 and 46, and the seven invariants."""
    found = [cells[0] for cells in LINES if re.fullmatch(r"I?\d+[a-z]?", cells[0])]
    assert found == [*INVARIANTS, *NUMBERS]


@pytest.mark.parametrize("number", [*INVARIANTS, *NUMBERS])
def test_a_row_says_what_is_seen_and_names_tests_that_exist(number: str) -> None:
    """A row without a test says that it is not built yet; no other text stands where the tests do."""
    cells = ROWS[number]
    assert len(cells) == (3 if number in INVARIANTS else 4)
    assert all(cell.strip() for cell in cells)
    named = NAMED.findall(cells[-1])
    assert named or NOT_YET in cells[-1]
    assert not NAMED.sub("", cells[-1]).replace(NOT_YET, "").strip(", ") or not named
    for file, test in named:
        assert test in defined_in(file), f"{file} has no {test}"
    assert len(set(named)) == len(named)


def test_only_the_agents_rows_have_no_test() -> None:
    """The agent is an issue of its own; every other row is held by a test."""
    without = {number for number, cells in ROWS.items() if number in [*INVARIANTS, *NUMBERS] and NOT_YET in cells[-1]}
    assert without <= {*AGENT, "I2"}


def test_a_test_that_names_a_row_is_of_one_that_there_is() -> None:
    """`#16` in a docstring of a test means row 16, `I1` the first invariant."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                cited = re.findall(r"#(\d+[a-z]?)\b|\b(I\d)\b", (ast.get_docstring(node) or "").split(":")[0])
                unknown = {number or invariant for number, invariant in cited} - {*NUMBERS, *INVARIANTS}
                assert not unknown, f"{path.name}::{node.name} names {unknown}"
