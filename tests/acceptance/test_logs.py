"""`ecs-block logs`: the output of tasks that were started elsewhere, and of those that have ended."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ecs_block.local import LocalCloud

NUMBERS = "for i in $(seq 1 9); do echo line $i; done"
HOSTILE = r"printf '\033]0;pwned\007\033[2J\033[31mred\n'; printf '\233\060c\302\2331A ok\n'"


def run_id_of(on_aws: Any, role: str, script: str, *options: str, code: int = 0) -> str:
    """Run a script to its end, and give its run id."""
    run_id = f"logs-{time.monotonic_ns()}"
    done = on_aws("run", "-q", "--execution-role", role, "--run-id", run_id, *options, "--", "sh", "-c", script)
    assert done.returncode == code, done.stderr
    return run_id


def wait_for(path: Path) -> str:
    """Give the script that waits for a file."""
    return f"until test -e {path}; do sleep 0.1; done"


def started(on_aws: Any, role: str, script: str) -> str:
    """Start a script, and give the task's identifier."""
    return str(on_aws("run", "-d", "--execution-role", role, "--", "sh", "-c", script).stdout.strip())


def test_a_task_that_has_ended(on_aws: Any, role: str) -> None:
    """Its lines on stdout, nothing else, 0 whatever its own code was; by run id, short id, identifier and `last`."""
    run_id = run_id_of(on_aws, role, f"{NUMBERS}; exit 3", code=3)
    lines = "".join(f"line {n}\n" for n in range(1, 10))
    arn = json.loads(on_aws("logs", run_id, "--query", "[0].task").stdout)
    for name in ("last", f"default::{arn}", arn.rpartition("/")[2]):
        done = on_aws("logs", name)
        assert (done.returncode, done.stdout, done.stderr) == (0, lines, "")


def test_the_last_lines(on_aws: Any, role: str) -> None:
    """--tail N; none for 0."""
    run_id = run_id_of(on_aws, role, NUMBERS)
    assert on_aws("logs", run_id, "--tail", "2").stdout == "line 8\nline 9\n"
    assert on_aws("logs", run_id, "--tail", "0").stdout == ""


def test_times_and_since(on_aws: Any, role: str) -> None:
    """-t: UTC, to the millisecond; --since: a duration, a date, or a time, local unless it says otherwise."""
    run_id = run_id_of(on_aws, role, "echo old; sleep 2; echo new")
    stamped = on_aws("logs", run_id, "-t").stdout.splitlines()
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (old|new)", line) for line in stamped)
    old, new = (datetime.fromisoformat(line.split()[0]) for line in stamped)
    assert new - old > timedelta(seconds=1)
    between = old + (new - old) / 2
    local = between.astimezone().replace(tzinfo=None).isoformat()
    for since in (new.isoformat(), local):
        assert on_aws("logs", run_id, "--since", since).stdout == "new\n"
    for since in ("10m", f"{old - timedelta(days=2):%Y-%m-%d}"):
        assert on_aws("logs", run_id, "--since", since).stdout == "old\nnew\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nobodys-run"], "knows no run 'nobodys-run'"),
        (["a::"], "is not a task identifier"),
        (["last", "--since", "soon"], "'soon' is no time; write 10m"),
        (["last", "--since", "0001-01-01"], "is no time"),
        (["last", "--tail", "-1"], "'-1' is not a number of lines"),
        (["last", "-f", "--output", "json"], "--follow does not go with --output json"),
        (["last"], "journal of runs knows no run."),
    ],
)
def test_wrong_usage(on_aws: Any, words: list[str], told: str) -> None:
    """2, and what would be right."""
    done = on_aws("logs", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_json(on_aws: Any, role: str) -> None:
    """A list of lines with their times and tasks; --query takes of it."""
    run_id = run_id_of(on_aws, role, NUMBERS)
    lines = json.loads(on_aws("logs", run_id, "--output", "json", "--tail", "2").stdout)
    assert [line["message"] for line in lines] == ["line 8", "line 9"]
    assert set(lines[0]) == {"timestamp", "message", "task"}
    assert abs(datetime.fromisoformat(lines[0]["timestamp"]) - datetime.now(UTC)) < timedelta(minutes=5)
    assert on_aws("logs", run_id, "--query", "length(@)").stdout == "9\n"


def test_several_tasks(on_aws: Any, role: str) -> None:
    """Each line begins with the end of its task's id, the oldest first; a task's own id gives its lines alone."""
    run_id = run_id_of(on_aws, role, "echo 1; sleep 0.4; echo 2", "--set", "task_run_request.count=3")
    done = on_aws("logs", run_id)
    found = [re.fullmatch(r"\[(\w{6})\] (\d)", line) for line in done.stdout.splitlines()]
    assert [match[2] for match in found if match] == ["1"] * 3 + ["2"] * 3
    assert len({match[1] for match in found if match}) == 3
    arn = json.loads(on_aws("logs", run_id, "--query", "[0].task").stdout)
    assert on_aws("logs", arn.rpartition("/")[2]).stdout == "1\n2\n"


def test_an_interrupted_run(on_aws: Any, role: str, cloud: LocalCloud, eventually: Callable[..., Any]) -> None:
    """The output of its newest attempt; that of an earlier one by its task's id."""
    words = ("run", "--run-id", "interrupted", "--execution-role", role, "--set", "retries_on_interruption=1", "--")
    running = on_aws.start(
        *words, "sh", "-c", "echo attempt $ECS_BLOCK_ATTEMPT; test $ECS_BLOCK_ATTEMPT = 2 || sleep 60"
    )
    running.read_until("attempt 1")
    first = eventually(lambda: [task for task in cloud.tasks if _is_of(task, "interrupted")])[0]["taskArn"]
    cloud.interrupt(first)
    assert running.end().returncode == 0
    assert on_aws("logs", "interrupted").stdout == "attempt 2\n"
    assert on_aws("logs", first.rpartition("/")[2]).stdout == "attempt 1\n"


def _is_of(task: dict[str, Any], run_id: str) -> bool:
    overrides = task["overrides"]["containerOverrides"][0].get("environment") or []
    return {"name": "ECS_BLOCK_RUN_ID", "value": run_id} in overrides


# --- following ----------------------------------------------------------------------------------------------------


def test_following(on_aws: Any, role: str, tmp_path: Path) -> None:
    """What was there, then what comes, as it comes, until the task has ended; 0 though it failed."""
    go_on = tmp_path / "go-on"
    identifier = started(on_aws, role, f"{NUMBERS}; {wait_for(go_on)}; echo more; sleep 1; echo end; exit 5")
    running, last = on_aws.start("logs", "-f", identifier), on_aws.start("logs", "-f", "--tail", "1", identifier)
    running.read_until("line 9")
    last.read_until("line")
    go_on.touch()
    running.read_until("more")
    assert running.process.poll() is None
    done = running.end()
    lines = "".join(f"line {n}\n" for n in range(1, 10))
    assert (done.returncode, done.stdout) == (0, f"{lines}more\nend\n")
    assert last.end().stdout == "line 9\nmore\nend\n"
    again = on_aws("logs", "-f", "--tail", "1", identifier)
    assert (again.returncode, again.stdout) == (0, "end\n")


def test_ctrl_c_ends_the_following_not_the_task(on_aws: Any, role: str, cloud: LocalCloud) -> None:
    """130 and one line."""
    identifier = started(on_aws, role, "echo up; sleep 60")
    running = on_aws.start("logs", "-f", identifier)
    running.read_until("up")
    running.signal(signal.SIGINT)
    done = running.end()
    assert done.returncode == 130
    assert done.stderr.rstrip().endswith("Interrupted by Ctrl-C.")
    assert len(done.stderr.splitlines()) == 1
    assert [task["lastStatus"] for task in cloud.tasks if task["taskArn"] in identifier] == ["RUNNING"]
    assert on_aws("stop", identifier).returncode == 0


def test_head(on_aws: Any, role: str) -> None:
    """A reader that has seen enough ends it, quietly; following ends with it, too."""
    identifier = started(on_aws, role, "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.05; done")
    for options in ("", "-f"):
        done = on_aws.shell(f'$ecs_block logs {options} {identifier} | head -n 1; echo "${{PIPESTATUS[0]}}"')
        assert (done.stdout, done.stderr) == ("line 1\n0\n", "")
    assert on_aws("stop", identifier).returncode == 0


def test_a_reader_that_rests(on_aws: Any, role: str, cloud: LocalCloud) -> None:
    """`logs | less` of a huge log asks AWS for no more than little ahead of what is read; nothing of it is lost."""
    run_id = run_id_of(on_aws, role, "seq -f %01000.0f 12000")
    before = cloud.calls["logs:GetLogEvents"]
    resting = on_aws.start("logs", run_id)
    pages = _until_it_stays(lambda: cloud.calls["logs:GetLogEvents"] - before)
    assert 1 < pages < 8
    done = resting.end()
    assert done.stdout.split() == [f"{n:01000}" for n in range(1, 12_001)]
    assert cloud.calls["logs:GetLogEvents"] - before > 11


def _until_it_stays(count: Callable[[], int]) -> int:
    """Wait until a count has begun, and has not changed for a second."""
    last, since = 0, time.monotonic()
    while time.monotonic() - since < (1 if last else 30):
        if count() != last:
            last, since = count(), time.monotonic()
        time.sleep(0.05)
    return last


# --- where there is nothing ---------------------------------------------------------------------------------------


def test_a_task_that_writes_nothing_to_cloudwatch(on_aws: Any, role: str) -> None:
    """125: its container has no log driver; how to have one is said."""
    identifier = on_aws("run", "-d", "--no-logs", "--", "true").stdout.strip()
    done = on_aws("logs", identifier)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (125, "", 1)
    assert "has no log driver" in done.stderr
    assert "--execution-role" in done.stderr


def test_a_task_that_has_not_started(ecs_block: Any, role: str) -> None:
    """0, and a line on stderr; `-f` waits for its output."""
    with LocalCloud(state_seconds={"PROVISIONING": 8.0}) as cloud:
        ecs_block.variables |= {**cloud.environment, "AWS_EC2_METADATA_DISABLED": "true"}
        identifier = started(ecs_block, role, "echo here")
        done = ecs_block("logs", identifier)
        assert (done.returncode, done.stdout) == (0, "")
        assert re.search(r"no output yet: task \w+ is PROVISIONING$", done.stderr.rstrip())
        done = ecs_block("logs", "-f", identifier)
        assert (done.returncode, done.stdout) == (0, "here\n")


def test_a_task_that_could_not_start(on_aws: Any, role: str, cloud: LocalCloud) -> None:
    """0, and a line on stderr that says why there is nothing."""
    cloud.fail_next_start("CannotPullContainerError: pull access denied")
    run_id = run_id_of(on_aws, role, "true", code=125)
    done = on_aws("logs", run_id)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (0, "", 1)
    assert re.search(
        r"no output: task \w+ has no log stream in ecs-block \(CannotPull.*denied\)$", done.stderr.rstrip()
    )


def test_a_run_without_a_task(on_aws: Any, role: str) -> None:
    """125: its launch was cut off; what finishes it is said."""
    words = ("run", "--execution-role", role, "--run-id", "logs-cut-off", "--", "true")
    on_aws(*words, ECS_BLOCK_FAILPOINT="sending")
    done = on_aws("logs", "logs-cut-off")
    assert (done.returncode, done.stdout) == (125, "")
    assert "ecs-block resume logs-cut-off" in done.stderr


@pytest.fixture
def forgetful(ecs_block: Any) -> Iterator[Any]:
    """The command on an AWS that soon forgets a task that has ended."""
    with LocalCloud(stopped_task_retention=5.0) as cloud:
        ecs_block.variables |= {**cloud.environment, "AWS_EC2_METADATA_DISABLED": "true"}
        yield ecs_block


def test_a_task_that_aws_has_forgotten(forgetful: Any, role: str, eventually: Callable[..., Any]) -> None:
    """The journal knows where its output is; without it, 125 and where to look."""
    run_id = run_id_of(forgetful, role, NUMBERS)
    arn = json.loads(forgetful("logs", run_id, "--query", "[0].task").stdout)
    _make_old(Path(forgetful.variables["ECS_BLOCK_HOME"]))
    eventually(lambda: not json.loads(forgetful("ps", "--all", "--output", "json").stdout))
    for name in ("last", arn):
        done = forgetful("logs", "-f", name, "--tail", "1")
        assert (done.returncode, done.stdout, done.stderr) == (0, "line 9\n", "")
    done = forgetful("logs", arn, ECS_BLOCK_HOME=f"{forgetful.variables['HOME']}/elsewhere")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (125, "", 1)
    assert f"the stream that ends in /{arn.rpartition('/')[2]}." in done.stderr


def _make_old(home: Path) -> None:
    """Let the runs of the journal be of yesterday."""
    (path,) = home.rglob("journal.sqlite3")
    with sqlite3.connect(path) as journal:
        journal.execute("UPDATE entry SET created_at = created_at - 86400")
    journal.close()


# --- on a terminal ------------------------------------------------------------------------------------------------


def on_a_terminal(on_aws: Any, *words: str) -> bytes:
    """Run the command with a terminal as stdout, and give what the terminal is sent."""
    leader, follower = pty.openpty()
    running = on_aws.start(*words, stdout=follower, stderr=subprocess.DEVNULL)
    os.close(follower)
    shown = b""
    try:
        while data := os.read(leader, 65536):
            shown += data
    except OSError:  # the other end was closed
        pass
    os.close(leader)
    assert running.process.wait(timeout=60) == 0
    return shown.replace(b"\r\n", b"\n")


def test_control_sequences_reach_no_terminal(on_aws: Any, role: str) -> None:
    """#46i: neither from `run` nor from `logs`; colours do, and end with their line."""
    words = ("--execution-role", role, "--run-id", "hostile", "--", "sh", "-c", HOSTILE)
    safe = b"\x1b[31mred\x1b[0m\n"
    assert on_a_terminal(on_aws, "run", *words).startswith(safe)
    for options in ((), ("-f",)):
        shown = on_a_terminal(on_aws, "logs", *options, "hostile")
        assert shown.startswith(safe)
        assert b"\xc2\x9b" not in shown
        assert shown.endswith(b" ok\n")


def test_control_sequences_reach_files_and_those_who_ask_for_them(on_aws: Any, role: str) -> None:
    """A pipe gets what was written, and with --raw the terminal does."""
    words = ("--execution-role", role, "--", "sh", "-c", HOSTILE)
    raw = b"\x1b]0;pwned\x07\x1b[2J\x1b[31mred\n"
    assert on_a_terminal(on_aws, "run", "--raw", *words).startswith(raw)
    assert on_a_terminal(on_aws, "logs", "--raw", "last").startswith(raw)
    assert on_aws("logs", "last").stdout.encode().startswith(raw)
