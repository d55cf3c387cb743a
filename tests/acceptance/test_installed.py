"""The program that an installation puts beside Python: `ecs-block` itself, and no fork nor `python -m`."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from ecs_block.cli import VERBS

PROGRAM = Path(sysconfig.get_path("scripts"), "ecs-block")


def test_it_knows_every_verb(ecs_block: Any) -> None:
    """`ecs-block VERB --help` of each."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = {
        name: subprocess.Popen([PROGRAM, name, "--help"], env=ecs_block.variables, **pipes) for name in VERBS
    }  # fmt: skip
    for name, process in started.items():
        stdout, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (0, "")
        assert stdout.startswith(f"Usage: ecs-block {name} ")


def test_it_runs_a_command(ecs_block: Any) -> None:
    """Without an AWS account: the output on stdout, our lines on stderr, and the container's exit code."""
    words = ("run", "--local", "--", "sh", "-c", "echo hello; exit 7")
    done = subprocess.run([PROGRAM, *words], env=ecs_block.variables, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (7, "hello\n"), done.stderr
    assert "failed with exit code 7" in done.stderr


def test_it_says_what_is_wrong(ecs_block: Any) -> None:
    """2, nothing on stdout, and the nearest verb."""
    done = subprocess.run([PROGRAM, "rum"], env=ecs_block.variables, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'run'?" in done.stderr
