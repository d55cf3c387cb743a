"""Runs under run ids: launched once, and taken up after their process was killed."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ecs_block.engine.journal import Entry, Journal
from ecs_block.local import LocalCloud

GENERATED = r"cli-\d{8}-\d{6}-[0-9a-f]{12}"


def lines(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """Give the columns of what stands on stdout."""
    return [re.split(r"\s{2,}", line) for line in done.stdout.splitlines()]


def entries(on_aws: Any) -> list[Entry]:
    """Read the journal, newest first."""
    books = Journal(Path(on_aws.variables["ECS_BLOCK_HOME"], "journal.sqlite3"))
    try:
        return books.latest()
    finally:
        books.close()


@pytest.fixture
def other_cloud() -> Iterator[LocalCloud]:
    """A cloud of the test's own: with tasks in several regions."""
    with LocalCloud() as cloud:
        yield cloud


def short(entry: Entry) -> str:
    """Give the short id of a run's one task."""
    return entry.tasks[0].rpartition("/")[2]


def killed_at(on_aws: Any, moment: str, *words: str, run_id: str = "") -> Entry:
    """Run a command, and let it be killed at a moment of its launch; gives what is in the journal."""
    named = ("--run-id", run_id) if run_id else ()
    done = on_aws("run", "--no-logs", *named, "--", *words, ECS_BLOCK_FAILPOINT=moment)
    assert done.returncode == -signal.SIGKILL
    return entries(on_aws)[0]


# --- run --------------------------------------------------------------------------------------------------------------


def test_every_run_has_a_run_id(on_aws: Any) -> None:
    """One is made where none is given, is told once, and is in the journal with the outcome."""
    done = on_aws("run", "--no-logs", "true")
    [entry] = entries(on_aws)
    assert re.fullmatch(GENERATED, entry.run_id)
    assert len(re.findall(rf"launched \(run {entry.run_id}\)", done.stderr)) == 1
    assert (entry.state, entry.started_by) == ("ended", entry.run_id)
    detached = on_aws("run", "-d", "--output", "json", "true")
    assert json.loads(detached.stdout)["run_id"] == entries(on_aws)[0].run_id != entry.run_id


def test_no_run_id_where_it_cannot_be(ecs_block: Any, on_aws: Any, cloud: LocalCloud) -> None:
    """A local run's cloud ends with it; a patch of startedBy has taken its place."""
    assert ecs_block("run", "--local", "true").returncode == 0
    patch = '[{"op": "add", "path": "/startedBy", "value": "mine"}]'
    assert on_aws("run", "--no-logs", "--patch", patch, "true").returncode == 0
    assert [task for task in cloud.tasks if task.get("startedBy") == "mine"]
    assert not Path(on_aws.variables["ECS_BLOCK_HOME"], "journal.sqlite3").exists()
    named = on_aws("run", "--no-logs", "--run-id", "nightly", "--patch", patch, "true")
    assert (named.returncode, "/startedBy" in named.stderr) == (2, True)


def test_the_same_run_id_never_starts_a_second_task(on_aws: Any, cloud: LocalCloud) -> None:
    """A finished run gives its recorded result; another request under its id is refused, and nothing is started."""
    before = cloud.calls["ecs:RunTask"]
    first = on_aws("run", "--no-logs", "--run-id", "once", "--output", "json", "--", "sh", "-c", "exit 7")
    again = on_aws("run", "--no-logs", "--run-id", "once", "--output", "json", "--", "sh", "-c", "exit 7")
    assert (first.returncode, again.returncode) == (7, 7)
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert "has ended before" in again.stderr
    other = on_aws("run", "--no-logs", "--run-id", "once", "--", "sh", "-c", "exit 8")
    assert (other.returncode, "differs in" in other.stderr) == (2, True)
    assert cloud.calls["ecs:RunTask"] == before + 1


def test_a_running_task_is_taken_up(on_aws: Any, cloud: LocalCloud, eventually: Callable[..., Any]) -> None:
    """After kill -9, the same command again waits for the same task."""
    words = ("run", "--no-logs", "--run-id", "taken", "--", "sh", "-c", "sleep 2; exit 5")
    started = on_aws.start(*words)
    eventually(lambda: [task for task in cloud.tasks if task.get("startedBy") == "taken"])
    eventually(lambda: entries(on_aws)[0].tasks)
    started.signal(signal.SIGKILL)
    started.end()
    done = on_aws(*words)
    assert done.returncode == 5
    assert "is taken up: the run was begun before (run taken)" in done.stderr
    assert len([task for task in cloud.tasks if task.get("startedBy") == "taken"]) == 1


# --- resume -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["sending", "answered", "launched"])
def test_resume_after_a_kill(on_aws: Any, cloud: LocalCloud, moment: str) -> None:
    """One task, its outcome told in one line and recorded; then nothing is left."""
    entry = killed_at(on_aws, moment, "true")
    done = on_aws("resume")
    assert done.returncode == 0, done.stderr
    assert lines(done) == [[entry.run_id, short(entries(on_aws)[0]), "succeeded"]]
    assert len([task for task in cloud.tasks if task.get("startedBy") == entry.run_id]) == 1
    again = on_aws("resume")
    assert (again.returncode, again.stdout) == (0, "")
    assert "no run is unfinished" in again.stderr
    named = on_aws("resume", entry.run_id)  # what was recorded
    assert (named.returncode, lines(named)) == (0, lines(done))


def test_resume_of_what_was_never_sent(on_aws: Any, cloud: LocalCloud) -> None:
    """Nothing was started: that is told, recorded, and no success; the run id is free again."""
    before = cloud.calls["ecs:RunTask"]
    killed_at(on_aws, "intended", "true", run_id="unsent")
    done = on_aws("resume")
    assert (done.returncode, lines(done)) == (125, [["unsent", "-", "not started"]])
    assert "never sent" in done.stderr
    assert cloud.calls["ecs:RunTask"] == before
    assert on_aws("run", "--no-logs", "--run-id", "unsent", "true").returncode == 0


def test_exit_code_is_that_of_the_worst(on_aws: Any) -> None:
    """Each run has its line, in JSON its object; --query takes of the list."""
    killed_at(on_aws, "launched", "true")
    killed_at(on_aws, "launched", "sh", "-c", "exit 9", run_id="bad")
    done = on_aws("resume", "--query", "[].[outcome, result.status_code, run_id == 'bad']")
    assert done.returncode == 9
    assert sorted(json.loads(done.stdout)) == [["failed", 9, True], ["succeeded", 0, False]]
    assert json.loads(on_aws("resume", "--output", "json").stdout) == []


def test_resume_without_waiting(on_aws: Any) -> None:
    """The status of what runs, which is no failure; it is left as it is."""
    on_aws("run", "-d", "--no-logs", "--run-id", "long", "--", "sleep", "60")
    started = on_aws("resume", "--no-wait")
    [[run_id, _, status]] = lines(started)
    assert (started.returncode, run_id) == (0, "long")
    assert status in ("PROVISIONING", "PENDING", "ACTIVATING", "RUNNING")
    assert entries(on_aws)[0].state == "launched"
    on_aws("stop", "long")
    stopped = on_aws("resume", "long")
    assert (stopped.returncode, lines(stopped)[0][2]) == (143, "stopped")


def test_interrupted_resume_leaves_the_task_alone(
    on_aws: Any, cloud: LocalCloud, eventually: Callable[..., Any]
) -> None:
    """Ctrl-C ends the waiting."""
    on_aws("run", "-d", "--no-logs", "--run-id", "alone", "--", "sleep", "60")
    looks = cloud.calls["ecs:DescribeTasks"]
    started = on_aws.start("resume", "--output", "json")
    eventually(lambda: cloud.calls["ecs:DescribeTasks"] > looks + 2)
    started.signal(signal.SIGINT)
    done = started.end()
    assert (done.returncode, done.stdout) == (130, "")
    task = next(task for task in cloud.tasks if task.get("startedBy") == "alone")
    assert task["desiredStatus"] == "RUNNING"
    on_aws("stop", "alone")


def test_a_cloud_that_is_gone(on_aws: Any) -> None:
    """It is told in one line, the others go on, and the exit code is 125; given up, it is in the list no more."""
    with LocalCloud() as gone:
        on_aws("run", "-d", "--no-logs", "--run-id", "of-old", "true", **gone.environment)
        address = gone.endpoint_url
    reserved = socket.create_server(("127.0.0.1", int(address.rpartition(":")[2])), backlog=0)
    reserved.shutdown(socket.SHUT_RDWR)  # it listens no more, and nobody else gets its port
    killed_at(on_aws, "launched", "true", run_id="of-now")
    done = on_aws("resume", "-q")
    assert done.returncode == 125
    assert {line[0]: line[2] for line in lines(done)} == {"of-old": "undetermined", "of-now": "succeeded"}
    [told] = [line for line in done.stderr.splitlines() if "of-old" in line]
    assert address in told
    given_up = on_aws("resume", "--give-up", "of-old")
    assert (given_up.returncode, lines(given_up)[0][::2]) == (0, ["of-old", "unknown"])
    assert on_aws("resume").stdout == ""
    reserved.close()


def test_profile_and_region_are_those_of_the_run(on_aws: Any, other_cloud: LocalCloud, tmp_path: Path) -> None:
    """The keys come from where they come from; a profile that is gone is told."""
    cloud = other_cloud
    config = tmp_path / "config"
    keys = f"aws_access_key_id={cloud.environment['AWS_ACCESS_KEY_ID']}\n"
    keys += f"aws_secret_access_key={cloud.environment['AWS_SECRET_ACCESS_KEY']}\n"
    config.write_text(f"[profile work]\n{keys}region=eu-west-1\nendpoint_url={cloud.endpoint_url}\n")
    for name in [name for name in on_aws.variables if name.startswith("AWS_")]:
        del on_aws.variables[name]
    on_aws.variables["AWS_CONFIG_FILE"] = str(config)
    on_aws("run", "-d", "--no-logs", "--profile", "work", "--run-id", "profiled", "true")
    assert (entries(on_aws)[0].profile, entries(on_aws)[0].place.region) == ("work", "eu-west-1")
    absent = on_aws("resume", AWS_CONFIG_FILE="/dev/null")
    assert (absent.returncode, lines(absent)[0][2]) == (125, "undetermined")
    assert "work" in absent.stderr
    assert on_aws("resume", AWS_DEFAULT_REGION="us-east-1").returncode == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("resume", "nightly"), "'nightly'"),
        (("resume", "--give-up"), "RUN_ID"),
        (("wait", "nightly"), "'nightly'"),
        (("stop", "last"), "knows no run."),
    ],
    ids=" ".join,
)
def test_a_run_that_nobody_knows(on_aws: Any, words: tuple[str, ...], told: str) -> None:
    """Told in one line, with what is taken instead; no journal is made by looking."""
    done = on_aws(*words)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert told in done.stderr
    assert not Path(on_aws.variables["ECS_BLOCK_HOME"], "journal.sqlite3").exists()


# --- wait and stop ----------------------------------------------------------------------------------------------------


def test_wait_takes_names_of_the_journal(on_aws: Any) -> None:
    """A run id, a task's short id, `last`; then the recorded result, for which nobody has to be asked."""
    on_aws("run", "-d", "--no-logs", "--run-id", "named", "--", "sh", "-c", "exit 4")
    entry = entries(on_aws)[0]
    waited = on_aws("wait", "named", "--query", "[outcome, status_code]")
    assert (waited.returncode, json.loads(waited.stdout)) == (4, ["failed", 4])
    assert entries(on_aws)[0].state == "ended"
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    for name in ("named", "last", short(entry)):
        recorded = on_aws("wait", name, "--query", "identifier", **nobody)
        assert (recorded.returncode, json.loads(recorded.stdout)) == (4, entry.tasks[0])


def test_wait_by_identifier_records_the_outcome(on_aws: Any) -> None:
    """So that `resume` has nothing left to do."""
    identifier = on_aws("run", "-d", "--no-logs", "true").stdout.strip()
    assert on_aws("wait", identifier).returncode == 0
    assert entries(on_aws)[0].outcome["identifier"] == identifier


def test_stop_takes_names_of_the_journal(on_aws: Any, cloud: LocalCloud) -> None:
    """The run is noted as to be stopped; stopping it again is fine, also when it has ended."""
    on_aws("run", "-d", "--no-logs", "--run-id", "stoppable", "--", "sleep", "60")
    for name in ("stoppable", "last", short(entries(on_aws)[0])):
        assert on_aws("stop", name).returncode == 0
    assert entries(on_aws)[0].stop_reason == "killed by the user"
    assert on_aws("wait", "stoppable").returncode == 143
    done = on_aws("stop", "stoppable")
    assert (done.returncode, "ended already" in done.stderr) == (0, True)


def test_a_launch_that_was_cut_off_is_for_resume(on_aws: Any, cloud: LocalCloud) -> None:
    """wait and stop say so; after a stop nothing is started for the run."""
    killed_at(on_aws, "sending", "sleep", "60", run_id="cut-off")
    for verb in ("wait", "stop"):
        done = on_aws(verb, "cut-off")
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (125, "", 1)
        assert "ecs-block resume cut-off" in done.stderr
    resumed = on_aws("resume", "cut-off")
    assert (resumed.returncode, lines(resumed)[0][2]) == (125, "stopped")
    assert not [task for task in cloud.tasks if task.get("startedBy") == "cut-off"]


def test_the_same_run_id_in_two_places(on_aws: Any, other_cloud: LocalCloud) -> None:
    """Which one is meant has to be said."""
    on_aws.variables |= other_cloud.environment
    for region in ("us-east-1", "eu-west-1"):
        on_aws("run", "-d", "--no-logs", "--region", region, "--run-id", "twice", "true")
    done = on_aws("wait", "twice")
    assert (done.returncode, "--region" in done.stderr) == (2, True)
    assert on_aws("wait", "twice", "--region", "eu-west-1").returncode == 0
    both = on_aws("resume", "twice")  # what is left of it: the other one
    assert (both.returncode, len(lines(both))) == (0, 1)
    assert not [entry for entry in entries(on_aws) if entry.state != "ended"]


def test_detached_by_a_second_interrupt(on_aws: Any, cloud: LocalCloud, eventually: Callable[..., Any]) -> None:
    """The last words name what waits for the run, and what stops it."""
    script = "trap '' TERM; while :; do sleep 0.05; done"
    started = on_aws.start("run", "--no-logs", "--run-id", "detached", "--", "sh", "-c", script)
    find = lambda: next((task for task in cloud.tasks if task.get("startedBy") == "detached"), {})  # noqa: E731
    eventually(lambda: find().get("lastStatus") == "RUNNING")
    started.signal(signal.SIGINT)
    eventually(lambda: find()["desiredStatus"] == "STOPPED")
    started.signal(signal.SIGINT)
    done = started.end()
    assert done.returncode == 130
    assert "ecs-block wait detached" in done.stderr
    assert "ecs-block stop detached" in done.stderr
