"""Help: there at once, with examples."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import click
import pytest

from ecs_block.cli import VERBS
from ecs_block.cli.verbs import code_of
from ecs_block.cli.verbs import ecs_block as root

HEAVY = {"boto3", "botocore", "moto", "yaml", "rich", "anyio", "pydantic"}


def pages() -> Iterator[tuple[str, ...]]:
    """Name every verb, and those below one."""
    for name in VERBS:
        yield (name,)
        command = root.get_command(click.Context(root), name)
        for inner in command.commands if isinstance(command, click.Group) else ():
            yield name, inner


PAGES = list(pages())


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


@pytest.fixture
def page(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Show a help page in a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def shown(*words: str) -> str:
        assert code_of([*words, "--help"]) == 0
        return capfd.readouterr().out

    return shown


@pytest.mark.parametrize("words", PAGES, ids=" ".join)
def test_help_is_good_to_look_at(page: Any, words: tuple[str, ...]) -> None:
    """Each page has worked examples of its verb, fits into 80 columns, is cut nowhere and has no spaces at ends of lines."""
    text = page(*words)
    assert text.startswith(f"Usage: ecs-block {' '.join(words)} ")
    assert text.partition("Examples:")[2].count(f"ecs-block {' '.join(words)}") >= 1
    assert [line for line in text.splitlines() if len(line) > 80 or line != line.rstrip()] == []
    assert "..." not in text.replace("...]", "").replace("]...", "")
    assert text.isprintable() or set("".join(c for c in text if not c.isprintable())) == {"\n"}


def test_options_stand_in_sections(page: Any) -> None:
    """The verb's own first, then what the task is, where it runs, who talks to AWS, and what is shown; each option once."""
    text = page("run")
    titles = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["Options:", "Task:", "Where it runs:", "AWS:", "Output and help:"]
    sections = re.split(r"^(?:Options|Task|Where it runs|AWS|Output and help):\n", text, flags=re.MULTILINE)
    assert "--detach" in sections[1]
    assert "--env-file" in sections[2]
    assert "--launch-type" in sections[3]
    assert "--profile" in sections[4]
    assert "--query" in sections[5]
    shown = re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.MULTILINE)
    known = [name for param in root.get_command(click.Context(root), "run").params for name in param.opts]
    assert sorted(shown) == sorted([name for name in known if name.startswith("--")] + ["--help"])


def test_no_words(ecs_block: Any) -> None:
    """The command alone shows the overview, and --version the version."""
    done = ecs_block()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ecs_block("--help").stdout
    assert "ecs-block run --local -- echo hello" in done.stdout
    assert ecs_block("--version").stdout.startswith("ecs-block ")
