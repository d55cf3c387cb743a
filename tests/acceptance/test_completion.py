"""Completion: the scripts, what a real bash makes of them, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecs_block.engine.journal import Journal, Place

Complete = Callable[..., list[str]]


@pytest.fixture
def complete(ecs_block: Any, tmp_path: Path) -> Complete:
    """Press Tab at the end of some words, in bash, with `ecs-block` on the PATH."""
    program = tmp_path / "bin/ecs-block"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m ecs_block.cli "$@"\n')
    program.chmod(0o700)
    ecs_block.variables["PATH"] = f"{program.parent}:{ecs_block.variables['PATH']}"
    script = """
        eval "$(ecs-block completion bash)"
        registered=$(complete -p ecs-block); function=${registered##*-F }
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { echo "compopt $*"; }
        ${function%% *} ecs-block && printf '%s\\n' "${COMPREPLY[@]}"
    """

    def press_tab(*words: str) -> list[str]:
        done = subprocess.run(
            ["bash", "--norc", "-c", script, "bash", "ecs-block", *words],
            env=ecs_block.variables,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.split("\n")[:-1]

    return press_tab


def test_bash_completes_verbs_options_and_choices(complete: Complete) -> None:
    """Verbs and those below them, options, the words of a choice as they are written, and files."""
    verbs = complete("")
    assert {"run", "wait", "block", "completion"} <= set(verbs)
    assert complete("resu") == ["resume"]
    assert complete("block", "s") == ["save", "schema", "show"]
    assert complete("preview", "--dif") == ["--diff"]
    assert complete("run", "--launch-type", "FARGATE_") == ["FARGATE_SPOT"]
    assert complete("run", "--launch-type", "ec") == ["EC2"]
    assert complete("ps", "--output", "") == ["text", "json"]
    assert complete("completion", "") == ["bash", "zsh", "fish"]
    assert complete("run", "-f", "ni")[0] == "compopt -o default"
    assert complete("run", "--env-file", "")[0] == "compopt -o default"


def test_bash_completes_blocks(ecs_block: Any, complete: Complete) -> None:
    """Saved blocks, wherever a name of one belongs, and also behind an equals sign, which bash takes for a word."""
    for name in ("nightly", "hourly"):
        assert ecs_block("block", "save", name, "true").returncode == 0
    assert complete("run", "--block", "") == ["hourly", "nightly"]
    assert complete("run", "--block", "=", "ni") == ["nightly"]
    assert complete("run", "--block", "=") == ["hourly", "nightly"]
    assert complete("block", "show", "ho") == ["hourly"]
    assert complete("block", "rm", "x") == [""]
    assert "--local" in complete("run", "")
    assert complete("run", "--", "") == [""]


def test_bash_completes_runs(tmp_path: Path, complete: Complete) -> None:
    """`last` and the newest twenty runs of the journal; `resume` only those without an outcome."""
    book = Journal(tmp_path / "home/journal.sqlite3")
    place = Place(account="123456789012", region="us-east-1", cluster="default", endpoint="")
    same = {"place": place, "caller": "c", "started_by": "s", "plan": {}, "request": {}, "digest": "d", "whole": True}
    for number in range(25):
        entry = book.intend(run_id=f"run-{number}", attempt=1, token=f"t{number}", **same)
        if number != 7:
            book.ended(entry.number, {})
    book.close()
    newest = [f"run-{number}" for number in range(24, 4, -1)]
    assert complete("wait", "") == ["last", *newest]
    assert complete("stop", "run-24") == ["run-24"]
    assert complete("resume", "") == ["run-7"]


def test_what_is_broken_is_not_told_at_a_prompt(tmp_path: Path, complete: Complete) -> None:
    """A journal that is none, a verb that is none: no offer, and no word on stderr."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home/journal.sqlite3").write_text("this is no journal" * 100)
    assert complete("wait", "") == [""]
    assert complete("wait", "--block", "'x") == [""]
    assert complete("block", "nope", "--a", "") is not None


def test_zsh_and_fish_are_asked_in_their_own_way(ecs_block: Any) -> None:
    """Their scripts name the command and the variable; an answer has help, and is a whole word behind an equals sign."""
    zsh, fish = (ecs_block("completion", shell).stdout for shell in ("zsh", "fish"))
    assert zsh.startswith("#compdef ecs-block\n")
    assert "_ECS_BLOCK_COMPLETE=zsh_complete ecs-block" in zsh
    assert "complete --no-files --command ecs-block" in fish
    asked = {"_ECS_BLOCK_COMPLETE": "zsh_complete", "COMP_WORDS": "ecs-block wa", "COMP_CWORD": "1"}
    assert ecs_block(**asked).stdout == "plain\nwait\nWait for a task's end and exit with its code.\n"
    asked |= {"COMP_WORDS": "ecs-block run --launch-type=fargate_", "COMP_CWORD": "2"}
    assert ecs_block(**asked).stdout.split()[:2] == ["plain", "--launch-type=FARGATE_SPOT"]
    asked |= {"_ECS_BLOCK_COMPLETE": "fish_complete", "COMP_WORDS": "ecs-block wa", "COMP_CWORD": "wa"}
    assert ecs_block(**asked).stdout.startswith("plain,wait\tWait for")
    asked["_ECS_BLOCK_COMPLETE"] = "tcsh_complete"
    assert (ecs_block(**asked).returncode, ecs_block(**asked).stdout) == (2, "")


@pytest.mark.parametrize("words", ["", "run --", "run --block n", "block show n", "wait n"])
def test_completion_loads_nothing_heavy(ecs_block: Any, words: str) -> None:
    """At each Tab a process starts: it imports neither AWS's library nor rich nor a local cloud."""
    ecs_block("block", "save", "nightly", "true")
    line = f"ecs-block {words}"
    script = "import sys, ecs_block.cli as c\ntry: c.main([])\nexcept SystemExit: print('|', *sys.modules)"
    asked = {"_ECS_BLOCK_COMPLETE": "zsh_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", script], env=ecs_block.variables | asked, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.rpartition("|")[2].split())
    assert "click" in loaded
    assert {"boto3", "botocore", "moto", "rich", "yaml"}.isdisjoint(loaded)


def test_listing_blocks_loads_nothing_heavy(ecs_block: Any) -> None:
    """`block ls` reads the names of files."""
    script = "import sys, ecs_block.cli as c\ntry: c.main(['block', 'ls'])\nexcept SystemExit: print('|', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=ecs_block.variables, capture_output=True, text=True, check=True
    )
    assert {"boto3", "botocore", "moto", "rich", "yaml"}.isdisjoint(done.stdout.rpartition("|")[2].split())
