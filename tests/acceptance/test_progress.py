"""What a run shows on a terminal: steps that stay, a line that moves, and the container's lines above it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from screen import CTRL_C, Screen, Terminal

from ecs_block.local import LocalCloud

SPINNER = re.compile("[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]")


def is_clean(screen: Screen) -> bool:
    """Tell whether the moving line is gone and the cursor is there, at the beginning of a line."""
    return (
        not any(map(SPINNER.search, screen.lines)) and not screen.screen.cursor.hidden and screen.screen.cursor.x == 0
    )


def test_steps_and_lines(terminal: Terminal, role: str) -> None:
    """Each step stays with its facts, the container's lines stand between them in order, and the outcome ends it."""
    script = "echo one; sleep 1.5; echo two"
    with terminal("run", "--execution-role", role, "--run-id", "shown", "--", "sh", "-c", script) as screen:
        screen.until(lambda: any(re.fullmatch(r"\S running     1 s", line) for line in screen.lines))
        assert screen.end() == 0
    patterns = [
        r"✓ network     default VPC, \d subnets?",
        r"✓ definition  ecs-block-\w+:\d+ (registered|reused)",
        r"✓ task        \w{32}",
        r"  run id      shown",
        r"✓ started     after \d.*", "one", "two", r"✓ succeeded   in 1\.\d s \(exit code 0\)",
    ]  # fmt: skip
    assert len(screen.lines) == len(patterns)
    assert all(map(re.fullmatch, patterns, screen.lines)), screen.lines
    assert is_clean(screen)


def test_failed_run(terminal: Terminal, role: str) -> None:
    """A failure is one red line, with the command that shows its output; lines that were shown are not repeated."""
    with terminal(
        "run", "--execution-role", role, "--run-id", "shown-bad", "--", "sh", "-c", "echo why; exit 7"
    ) as screen:
        assert screen.end() == 7
    assert re.fullmatch(r"✗ failed      with exit code 7 after 0\.\d s", screen.lines[-2])
    assert screen.lines[-1] == "  its output  ecs-block logs shown-bad"
    assert screen.lines.count("why") == 1
    assert "\x1b[31mfailed" in screen.text
    with terminal("wait", "shown-bad") as screen:
        assert screen.end() == 7
    assert screen.lines[0].startswith("  recorded    the run shown-bad has ended before (2")
    assert screen.lines[-2:] == ["  last lines  why", "  its output  ecs-block logs shown-bad"]


def test_missing_program(terminal: Terminal, role: str) -> None:
    """A program that is not there is told in one line."""
    with terminal("run", "--execution-role", role, "--", "/no/such/program") as screen:
        assert screen.end() == 127
    assert screen.lines[-1] == '✗ not started cannot start "/no/such/program": no such file or directory'


def test_stdout_elsewhere(terminal: Terminal, role: str) -> None:
    """With stdout in a pipe, the progress is on the terminal, and the container's lines are untouched."""
    ours, theirs = os.pipe()
    with terminal("run", "--execution-role", role, "--", "printf", "a\\033[31mb\\nc\\n", stdout=theirs) as screen:
        os.close(theirs)
        assert screen.end() == 0
    with open(ours, "rb") as pipe:
        assert pipe.read() == b"a\x1b[31mb\nc\n"
    assert any("preparing" in part for part in screen.text.split("\r"))
    assert is_clean(screen)
    assert screen.lines[-1].startswith("✓ succeeded")


def test_heavy_output(terminal: Terminal, role: str) -> None:
    """Under heavy output every line is on the terminal, in order, and the region is painted a few times a second."""
    script = "for i in 0 1 2 3 4 5; do seq $((i*1500+1)) $((i*1500+1500)); sleep 0.3; done"
    began = time.monotonic()
    with terminal("run", "--execution-role", role, "--", "sh", "-c", script) as screen:
        assert screen.end() == 0
    seconds = time.monotonic() - began
    assert [line for line in screen.lines if line.isdigit()] == [str(number) for number in range(1, 9001)]
    assert len(SPINNER.findall(screen.text)) < 25 * seconds
    assert is_clean(screen)


def test_narrow_terminal(terminal: Terminal, role: str) -> None:
    """On a terminal narrower than the text, what moves is cut and never wrapped, so that nothing of it stays."""
    with terminal("run", "--execution-role", role, "--", "sh", "-c", "echo x; sleep 1; echo y", columns=18) as screen:
        screen.until(screen.shows("running"))
        assert screen.end() == 0
    assert is_clean(screen)
    assert [line for line in screen.lines if len(line) == 1] == ["x", "y"]


def test_no_color(terminal: Terminal) -> None:
    """NO_COLOR takes the colours, not the progress."""
    with terminal("run", "--no-logs", "--", "sleep", "1", NO_COLOR="1") as screen:
        assert screen.end() == 0
    assert re.search(r"\x1b\[[1-9]\d*m", screen.text) is None
    assert "⠋ preparing" in screen.text


def test_dumb_terminal(terminal: Terminal) -> None:
    """TERM=dumb gets short plain lines without any control sequence; --quiet gets none; --debug has no live line."""
    with terminal("run", "--no-logs", "--", "true", TERM="dumb", FORCE_COLOR="1") as screen:
        assert screen.end() == 0
    assert "\x1b" not in screen.text
    assert screen.lines[0].startswith("ecs-block: network default VPC, ")
    with terminal("run", "-q", "--no-logs", "--", "true") as screen:
        assert screen.end() == 0
    assert screen.raw == b""
    with terminal("run", "--debug", "--no-logs", "--", "true") as screen:
        assert screen.end() == 0
    assert SPINNER.search(screen.text) is None


def test_forced_colours(on_aws: Any) -> None:
    """FORCE_COLOR colours the dated lines where there is no terminal, and nothing moves there."""
    done = on_aws("run", "--no-logs", "true", FORCE_COLOR="1")
    assert re.match(r"\x1b\[2m\d{4}-\S+ ecs-block: ", done.stderr)
    assert "\r" not in done.stderr
    assert "\x1b[J" not in done.stderr


def test_without_rich(terminal: Terminal, on_aws: Any, tmp_path: Path) -> None:
    """Without rich there are plain short lines, in colour."""
    (tmp_path / "rich.py").write_text("raise ImportError")
    path = f"{tmp_path}:{on_aws.variables['PYTHONPATH']}"
    with terminal("run", "--no-logs", "--", "sh", "-c", "exit 2", PYTHONPATH=path) as screen:
        assert screen.end() == 2
    assert "\x1b[2mecs-block: task " in screen.text
    assert "\x1b[31mecs-block: Task arn:" in screen.text


def test_no_terminal_loads_no_rich(on_aws: Any) -> None:
    """A run without a terminal does not import rich."""
    script = (
        "import sys, ecs_block.cli as c\n"
        "try: c.main(['run', '--no-logs', 'true'])\n"
        "except SystemExit as end: print(end.code, 'rich' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], env=on_aws.variables, capture_output=True, text=True)
    assert done.stdout == "0 False\n", done.stderr


def test_errors_before_anything_runs(terminal: Terminal) -> None:
    """What is wrong before anything runs is one short line."""
    with terminal("run", "--set", "imgae=x", "true", NO_COLOR="1") as screen:
        assert screen.end() == 2
    assert screen.text == "ecs-block: error: imgae is not a field of ECSTask. Did you mean 'image'?\r\n"


def test_containers_do_not_steer_the_terminal(terminal: Terminal, role: str) -> None:
    """What a container sends the terminal is taken out, but for colours; with --raw it comes as it is, and nothing moves."""
    words = ("--execution-role", role, "--", "printf", "\\033]0;title\\007\\033[2Jgreen \\033[32mx\\n")
    with terminal("run", *words) as screen:
        assert screen.end() == 0
    assert b"title" not in screen.raw
    assert b"\x1b[2J" not in screen.raw
    assert b"green \x1b[32mx" in screen.raw
    with terminal("run", "--raw", *words) as screen:
        assert screen.end() == 0
    assert b"\x1b]0;title\x07\x1b[2Jgreen \x1b[32mx" in screen.raw
    assert SPINNER.search(screen.text) is None


def test_json(terminal: Terminal, role: str) -> None:
    """With --output json the progress and the container's lines are on the terminal, and stdout is one object."""
    ours, theirs = os.pipe()
    with terminal("run", "--execution-role", role, "--output", "json", "echo", "hello", stdout=theirs) as screen:
        os.close(theirs)
        assert screen.end() == 0
    with open(ours) as pipe:
        assert json.load(pipe)["outcome"] == "succeeded"
    assert "hello" in screen.lines
    assert is_clean(screen)


# --- signals -----------------------------------------------------------------------------------------------------------

POLITE = "trap 'echo last words; exit 0' TERM; echo up; while :; do sleep 0.05; done"
STUBBORN = "trap '' TERM; echo up; while :; do sleep 0.05; done"


def test_ctrl_c(terminal: Terminal, role: str) -> None:
    """Ctrl-C is answered at once, the last lines are shown, and the terminal is left in order."""
    with terminal("run", "--execution-role", role, "--", "sh", "-c", POLITE) as screen:
        screen.until(screen.shows("up"))
        screen.press(CTRL_C)
        screen.until(screen.shows("stopping the task; Ctrl-C again does not wait for it"))
        assert screen.end() == 130
    assert "last words" in screen.lines
    assert screen.lines[-1] == "✗ interrupted by Ctrl-C. The task was stopped."
    assert is_clean(screen)


def test_ctrl_c_twice(terminal: Terminal, role: str, cloud: LocalCloud) -> None:
    """A second Ctrl-C leaves the task to itself, and gives the commands to follow, to wait for and to stop it."""
    with terminal("run", "--execution-role", role, "--run-id", "left", "--", "sh", "-c", STUBBORN) as screen:
        screen.until(screen.shows("up"))
        screen.press(CTRL_C)
        screen.until(screen.shows("stopping"))
        screen.press(CTRL_C)
        assert screen.end() == 130
    assert screen.lines[-4:] == [
        "✗ interrupted by Ctrl-C. The task may not have stopped yet.",
        "  follow      ecs-block logs -f left",
        "  wait        ecs-block wait left",
        "  stop        ecs-block stop left",
    ]
    assert is_clean(screen)


def test_sigterm(terminal: Terminal, role: str) -> None:
    """SIGTERM stops the task and leaves the terminal in order."""
    with terminal("run", "--execution-role", role, "--", "sh", "-c", POLITE) as screen:
        screen.until(screen.shows("up"))
        screen.process.send_signal(signal.SIGTERM)
        assert screen.end() == 143
    assert screen.lines[-1] == "✗ interrupted by SIGTERM. The task was stopped."
    assert is_clean(screen)


# --- many --------------------------------------------------------------------------------------------------------------


def test_many(terminal: Terminal, role: str, tmp_path: Path) -> None:
    """Many tasks have a bar with counts; each that fails has a line at once, and again in the summary."""
    lines = [f"sh -c 'echo part {number}; sleep 1; exit {int(number == 3)}'" for number in range(12)]
    (tmp_path / "items").write_text("\n".join(lines))
    words = ("--map", str(tmp_path / "items"), "--max-concurrency", "4", "--run-id", "many")
    with terminal("run", "--execution-role", role, *words) as screen:
        screen.until(lambda: any(re.search(r"━ +4/12  1 failed .* 4 running", line) for line in screen.lines))
        assert screen.end() == 1
    assert sum(1 for line in screen.lines if re.fullmatch(r"\[\d+\] +part \d+", line)) == 12
    summary = screen.lines[-4:]
    assert re.fullmatch(r"✗ failed      11 of 12 tasks succeeded in \d.*; 1 failed", summary[0])
    assert summary[1].startswith("  [3]         failed with exit code 1 after 1.")
    assert summary[2] == "  its output  ecs-block logs many/3"
    assert summary[3] == "  report      ecs-block report many -o report.html"
    assert is_clean(screen)
