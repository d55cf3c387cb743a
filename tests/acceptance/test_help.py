"""Help: there at once, with examples."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest

HEAVY = {"boto3", "botocore", "moto", "yaml", "rich", "anyio", "pydantic"}
VERBS = [("run",), ("preview",), ("wait",), ("stop",), ("ps",), ("resume",), ("local", "up")]
VERBS += [("block", verb) for verb in ("ls", "show", "save", "rm", "schema")]


@pytest.mark.parametrize("words", [("--help",), ("run", "--help"), ("block", "--help")])
def test_help_loads_nothing_heavy(ecs_block: Any, words: tuple[str, ...]) -> None:
    """Help imports none of the libraries that work needs."""
    script = f"import sys, ecs_block.cli as c\ntry: c.main({words!r})\nexcept SystemExit: print('|', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=ecs_block.variables, capture_output=True, text=True, check=True
    )
    assert HEAVY.isdisjoint(done.stdout.rpartition("|")[2].split())


def test_help_is_quick(ecs_block: Any) -> None:
    """The overview takes at most four times as long as starting Python."""
    code = "from ecs_block.cli import main; main(['--help'])"

    def seconds(script: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", script], env=ecs_block.variables, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - began

    best = [min(seconds(script) for _ in range(7)) for script in ("pass", code)]
    assert best[1] <= 4 * best[0]


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_help_has_examples(ecs_block: Any, words: tuple[str, ...]) -> None:
    """Each verb's help shows worked examples."""
    done = ecs_block(*words, "--help")
    assert done.returncode == 0
    assert done.stdout.partition("Examples:")[2].count(f"ecs-block {' '.join(words)}") >= 1


def test_no_words(ecs_block: Any) -> None:
    """The command alone shows the overview, and --version the version."""
    done = ecs_block()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ecs_block("--help").stdout
    assert "ecs-block run --local -- echo hello" in done.stdout
    assert ecs_block("--version").stdout.startswith("ecs-block ")
