"""Commands that die: whatever kills one, the same command again finds its task and tells its true outcome."""

from __future__ import annotations

import os
import pty
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from crash import Crew, Ended

from ecs_block.engine.journal import Journal
from ecs_block.local import LocalCloud

KILLS = int(os.environ.get("ECS_BLOCK_KILLS", "20"))  # `nox -s soak` asks for 200
AT_ONCE = 6
LINES = "".join(f"{number}\n" for number in range(1, 51))
COUNTS = ("sh", "-c", "seq 50; sleep 0.1; exit 7")
# As a shell starts what it runs in a terminal: the session's leader, and the terminal its own.
IN_A_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


def tasks_of(cloud: LocalCloud, run_id: str) -> list[dict[str, Any]]:
    """What the cloud itself has started for a run."""
    return [task for task in cloud.tasks if task.get("startedBy") == run_id]


def recorded(home: str) -> list[Any]:
    """What a journal holds."""
    books = Journal(Path(home) / "journal.sqlite3")
    try:
        return books.latest()
    finally:
        books.close()


def waits_for(file: Path) -> tuple[str, ...]:
    """Make a command that prints half of the lines, waits for a file to be there, and prints the other half."""
    return ("sh", "-c", f"seq 25; until [ -e '{file}' ]; do sleep 0.05; done; seq 26 50; exit 7")


def run_words(run_id: str, role: str, *command: str, options: tuple[str, ...] = ()) -> list[str]:
    return ["run", "-q", "--run-id", run_id, "--execution-role", role, *options, "--", *command]


# --- SIGKILL -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["intended", "sending", "answered", "launched", "ended"])
def test_killed_at_each_step_of_a_launch(on_aws: Any, role: str, cloud: LocalCloud, moment: str) -> None:
    """The installed command is killed at each step, and given again: one task, its exit code, its output once."""
    words = run_words(f"step-{moment}", role, *COUNTS)
    first = on_aws(*words, ECS_BLOCK_FAILPOINT=moment)
    assert first.returncode == -signal.SIGKILL
    second = on_aws(*words)
    assert second.returncode == 7, second.stderr
    # What has ended was shown by who saw it end; a recorded result has no lines.
    assert (first.stdout, second.stdout) == ((LINES, "") if moment == "ended" else ("", LINES))
    assert len(tasks_of(cloud, f"step-{moment}")) == 1
    [entry] = recorded(on_aws.variables["ECS_BLOCK_HOME"])
    assert (entry.state, entry.outcome["status_code"]) == ("ended", 7)


def test_killed_at_any_moment(crew: Crew, on_aws: Any, role: str, cloud: LocalCloud, tmp_path: Path) -> None:
    """A run is killed at any moment from its first instant to its last, and given again: one task, its exit code, its output.

    Each has a journal and a definition of its own, so that all of a run can be met, registration included.
    """

    def run(run_id: str, kill_after: float | None = None) -> Ended:
        words = run_words(run_id, role, *COUNTS, options=("--set", f"family={run_id}"))
        return crew.run(words, {**on_aws.variables, "ECS_BLOCK_HOME": str(tmp_path / run_id)}, kill_after)

    def moment(index: int) -> str:
        run_id = f"moment-{index}"
        after = (index + dice[index]) / KILLS * duration
        first = run(run_id, after)
        entries = recorded(str(tmp_path / run_id))
        second = run(run_id)
        told = f"killed after {after:.3f} s of {duration:.3f}, at {entries}: {first}, then {second}"
        assert second.code == 7, told
        assert len(tasks_of(cloud, run_id)) == 1, told
        assert second.stdout == LINES or (first.stdout == LINES and not second.stdout and entries[0].outcome), told
        assert first.code in (7, -signal.SIGKILL), told
        return entries[0].state if entries else "nothing"

    seeded = random.Random(20)
    dice = [seeded.random() for _ in range(KILLS)]
    with ThreadPoolExecutor(AT_ONCE) as at_once:
        run("warm")
        undisturbed = list(at_once.map(run, [f"whole-{index}" for index in range(2 * AT_ONCE)]))
        duration = 1.1 * median(ended.seconds for ended in undisturbed)
        assert {(ended.code, ended.stdout) for ended in undisturbed} == {(7, LINES)}
        found = Counter(at_once.map(moment, range(KILLS)))
    print(f"{KILLS} kills over {duration:.2f} s; the journal then held: {dict(found)}")
    assert len(found) > 1, found


def test_killed_while_its_task_goes_on(on_aws: Any, role: str, cloud: LocalCloud, tmp_path: Path) -> None:
    """The task of a killed command goes on; the same command again watches it and shows all of its lines, once, in order."""
    words = run_words("goes-on", role, *waits_for(tmp_path / "go"))
    first = on_aws.start(*words)
    first.read_until("25")
    first.signal(signal.SIGKILL)
    assert first.end().returncode == -signal.SIGKILL
    [task] = tasks_of(cloud, "goes-on")
    assert task["lastStatus"] == "RUNNING"
    second = on_aws.start(*words)
    second.read_until("25")
    (tmp_path / "go").touch()
    done = second.end()
    assert (done.returncode, done.stdout) == (7, LINES)
    assert [task["taskArn"]] == [task["taskArn"] for task in tasks_of(cloud, "goes-on")]
    [entry] = recorded(on_aws.variables["ECS_BLOCK_HOME"])
    assert (entry.outcome["status_code"], entry.outcome["log_complete"]) == (7, "yes")


# --- signals that can be heard -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_and_given_again(
    crew: Crew, on_aws: Any, role: str, cloud: LocalCloud, eventually: Callable[..., Any], number: signal.Signals
) -> None:
    """A run that Ctrl-C or SIGTERM has stopped stays stopped: the same command again starts nothing and is no success."""
    run_id = f"interrupted-{number.name}"
    words = run_words(run_id, role, "sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done")
    started = crew.start(words, on_aws.variables)
    eventually(lambda: "up" in started.stdout)
    started.signal(number)
    assert started.end().code == 128 + number
    second = crew.run(words, on_aws.variables)
    assert second.code == 125
    [task] = tasks_of(cloud, run_id)
    assert (task["lastStatus"], task["stopCode"]) == ("STOPPED", "UserInitiated")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_and_left_alone(
    crew: Crew, on_aws: Any, role: str, cloud: LocalCloud, eventually: Any, tmp_path: Path, number: signal.Signals
) -> None:
    """With `stop_on_interrupt` false the task goes on, and the same command again waits for its end."""
    run_id = f"left-alone-{number.name}"
    words = run_words(run_id, role, *waits_for(tmp_path / "go"), options=("--set", "stop_on_interrupt=false"))
    started = crew.start(words, on_aws.variables)
    eventually(lambda: "25" in started.stdout)
    started.signal(number)
    assert started.end().code == 128 + number
    [task] = tasks_of(cloud, run_id)
    assert task["desiredStatus"] == "RUNNING"
    (tmp_path / "go").touch()
    second = crew.run(words, on_aws.variables)
    assert (second.code, second.stdout) == (7, LINES)
    assert len(tasks_of(cloud, run_id)) == 1


def test_reader_that_goes_away(on_aws: Any, role: str, cloud: LocalCloud) -> None:
    """`| head -1` does not end a run with an id: its outcome is recorded, and the same command again gives that."""
    words = f"run -q --run-id head --execution-role {role} -- sh -c 'seq 20000; exit 7'"
    done = on_aws.shell(f"$ecs_block {words} | head -1; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stdout) == (7, "1\n")
    assert on_aws.shell(f"$ecs_block {words}").returncode == 7
    assert len(tasks_of(cloud, "head")) == 1
    [entry] = recorded(on_aws.variables["ECS_BLOCK_HOME"])
    assert entry.outcome["status_code"] == 7


@pytest.mark.parametrize("stops", [True, False])
def test_terminal_that_is_closed(on_aws: Any, role: str, cloud: LocalCloud, tmp_path: Path, stops: bool) -> None:
    """A terminal that is closed (SIGHUP) is like SIGTERM: the task is stopped, unless `stop_on_interrupt` is false; 129."""
    run_id = f"closed-{stops}"
    options = () if stops else ("--set", "stop_on_interrupt=false")
    words = run_words(run_id, role, *waits_for(tmp_path / "go"), options=options)
    process, terminal = start_in_a_terminal(on_aws, *words)
    shown = b""
    while b"25\r\n" not in shown:
        shown += os.read(terminal, 65536)
    os.close(terminal)
    assert process.wait(60) == 129
    [task] = tasks_of(cloud, run_id)
    [entry] = recorded(on_aws.variables["ECS_BLOCK_HOME"])
    assert task["lastStatus"] == ("STOPPED" if stops else "RUNNING")
    assert entry.state == ("ended" if stops else "launched")
    (tmp_path / "go").touch()
    second = on_aws(*words)
    assert second.returncode == (143 if stops else 7)
    assert len(tasks_of(cloud, run_id)) == 1


def test_nohup(on_aws: Any, role: str) -> None:
    """Under nohup(1) a run does not hear of its terminal's end."""
    command = f"$ecs_block run --execution-role {role} -- sh -c 'sleep 2; exit 3'"
    assert on_aws.shell(f"nohup {command} & sleep 1.5; kill -HUP $!; wait $!").returncode == 3


def test_sighup_in_asyncio(on_aws: Any, cloud: LocalCloud) -> None:
    """A program that awaits `arun` stops its task too, and a second SIGHUP does not keep it from that."""
    code = """
import asyncio, os, signal, threading
from ecs_block import ECSTask, events

def hang_up():
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGHUP)

def hear(event):
    if isinstance(event, events.TaskLaunched):
        threading.Timer(0.5, hang_up).start()

asyncio.run(ECSTask(command=["sleep", "30"]).arun(run_id="hangs-up", on_event=hear))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=on_aws.variables, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 129, done.stderr
    assert [task["stopCode"] for task in tasks_of(cloud, "hangs-up")] == ["UserInitiated"]


def start_in_a_terminal(on_aws: Any, *words: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start the command as the leader of a terminal's session, and give our end: closing it closes the terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", IN_A_TERMINAL, sys.executable, "-m", "ecs_block.cli", *words]
    try:
        process = subprocess.Popen(
            command, env=on_aws.variables, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
    finally:
        os.close(theirs)
    return process, ours


# --- many at once ------------------------------------------------------------------------------------------------------


def test_many_processes_register_once(crew: Crew, on_aws: Any, cloud: LocalCloud) -> None:
    """Twenty processes that need the same new definition at once register one revision, and all of them succeed."""
    words = ["run", "-q", "--no-logs", "--set", "family=twenty", "--", "true"]
    started = [crew.start(words, on_aws.variables) for _ in range(20)]
    assert [one.end().code for one in started] == [0] * 20
    found = cloud.client("ecs").list_task_definitions(familyPrefix="twenty")["taskDefinitionArns"]
    assert [name.rpartition("/")[2] for name in found] == ["twenty:1"]
    assert sum(":task-definition/twenty:1" in task["taskDefinitionArn"] for task in cloud.tasks) == 20


def test_many_processes_run_one_id(crew: Crew, on_aws: Any, role: str, cloud: LocalCloud) -> None:
    """Eight processes that run one id at once start one task; each shows its output and exits with its code."""
    words = run_words("eight", role, *COUNTS)
    started = [crew.start(words, on_aws.variables) for _ in range(8)]
    ended = [one.end() for one in started]
    assert [one.code for one in ended] == [7] * 8
    assert len(tasks_of(cloud, "eight")) == 1
    assert LINES in {one.stdout for one in ended} <= {LINES, ""}  # nothing, for one that came after its end


def test_many_machines_run_one_id(crew: Crew, on_aws: Any, role: str, cloud: LocalCloud, tmp_path: Path) -> None:
    """Eight machines that share no journal start one task for one id: AWS knows the token, and they send the same request."""
    words = run_words("machines", role, *COUNTS, options=("--set", "family=machines"))
    crew.run(run_words("before", role, *COUNTS, options=("--set", "family=machines")), on_aws.variables)
    started = [crew.start(words, {**on_aws.variables, "ECS_BLOCK_HOME": str(tmp_path / str(n))}) for n in range(8)]
    assert [(ended.code, ended.stdout) for ended in [one.end() for one in started]] == [(7, LINES)] * 8
    assert len(tasks_of(cloud, "machines")) == 1


@pytest.mark.parametrize("moment", ["intended", "sending", "answered", "launched"])
def test_one_of_several_dies(crew: Crew, on_aws: Any, role: str, cloud: LocalCloud, moment: str) -> None:
    """Where the process that launches is killed, one that waited for it takes over: one task, and its code for the others."""
    run_id = f"several-{moment}"
    words = run_words(run_id, role, *COUNTS)
    first = crew.start(words, {**on_aws.variables, "ECS_BLOCK_FAILPOINT": moment})
    others = [crew.start(words, on_aws.variables) for _ in range(3)]
    assert {one.end().code for one in others} == {7}
    assert first.end().code in (7, -signal.SIGKILL)  # it need not have been the one that launched
    assert len(tasks_of(cloud, run_id)) == 1
