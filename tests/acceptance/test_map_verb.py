"""`ecs-block run --map`: one task for each line of a file."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import until
from ecs_block.local import LocalCloud

LINES = """\
# words, as a shell splits them
sh -c 'echo "one  word"'

["sh", "-c", "echo list; exit 3"]
{"command": ["sh", "-c", "echo $PART"], "env": {"PART": "object"}}
"""


@pytest.fixture
def items(tmp_path: Path) -> Callable[[str], str]:
    """Write a file of items."""

    def write(text: str) -> str:
        (tmp_path / "items").write_text(text)
        return str(tmp_path / "items")

    return write


def test_lines(on_aws: Any, role: str, items: Callable[[str], str]) -> None:
    """A line is a command, a JSON list or a JSON object; each line of output says whose it is; the worst gives the code."""
    done = on_aws("run", "--map", items(LINES), "--execution-role", role, "--run-id", "lines")
    assert done.returncode == 3, done.stderr
    assert sorted(done.stdout.splitlines()) == ["[0] one  word", "[1] list", "[2] object"]
    said = [line.partition("ecs-block: ")[2] for line in done.stderr.splitlines()]
    assert re.fullmatch(r"2 of 3 tasks succeeded in \d\S* s; 1 failed", said[-4])
    assert re.fullmatch(r"  \[1\] failed with exit code 3 after \S+ s  sh -c 'echo list; exit 3'", said[-3])
    assert said[-2:] == ["its output: ecs-block logs lines/1", "report: ecs-block report lines -o report.html"]


def test_words_follow_the_command(on_aws: Any, role: str) -> None:
    """The words of a line follow those of the command line, as xargs has it; an object keeps the command or gives its own."""
    text = 'a b\n["c d"]\n{"env": {"X": "1"}}\n{"command": "echo own"}\n'
    done = on_aws("run", "-q", "--map", "-", "--execution-role", role, "--", "echo", "common", stdin=text)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == ["[0] common a b", "[1] common c d", "[2] common", "[3] own"]


def test_recorded_results(on_aws: Any, items: Callable[[str], str], cloud: LocalCloud) -> None:
    """Under the same run id nothing is launched again; each task has an id of its own: the run's, and its index."""
    words = ("run", "--no-logs", "--map", items("true\nfalse\n"), "--run-id", "again", "--query", "[].outcome")
    assert json.loads(on_aws(*words).stdout) == ["succeeded", "failed"]
    assert {"again/0", "again/1"} <= {task.get("startedBy") for task in cloud.tasks}
    launches = cloud.calls["ecs:RunTask"]
    done = on_aws(*words)
    assert (done.returncode, json.loads(done.stdout)) == (1, ["succeeded", "failed"])
    assert cloud.calls["ecs:RunTask"] == launches
    assert done.stderr.count("as recorded") == 2


def test_json_of_all(on_aws: Any, items: Callable[[str], str]) -> None:
    """--output json gives one list of results in order, also where a task could not even be launched."""
    text = 'true\n{"cluster": "nowhere"}\n/no/such/program\n'
    done = on_aws("run", "--no-logs", "--map", items(text), "--output", "json")
    results = json.loads(done.stdout)
    assert [result["outcome"] for result in results] == ["succeeded", "start_failed", "start_failed"]
    assert results[1]["error"]["type"] == "ClusterNotFound"
    assert done.returncode == 125


def test_at_most_ten_are_named(on_aws: Any, items: Callable[[str], str]) -> None:
    """The summary names ten tasks that did not succeed, and counts the others; secrets in their commands are masked."""
    done = on_aws("run", "--no-logs", "--map", items("false --password=hush\n" * 12))
    said = [line.partition("ecs-block: ")[2] for line in done.stderr.splitlines()]
    assert sum(1 for line in said if line.startswith("  [")) == 10
    assert any(line.strip() == "and 2 more" for line in said)
    assert "hush" not in done.stderr


def test_local_interrupted(ecs_block: Any, items: Callable[[str], str]) -> None:
    """Ctrl-C stops all tasks, shows their last lines, and exits with 130; JSON has all of them."""
    script = "sh -c 'trap \"echo bye; exit 0\" TERM; echo up; while :; do sleep 0.05; done'\n"
    words = ("run", "--local", "--map", items(script * 4), "--max-concurrency", "2", "--output", "json")
    started = ecs_block.start(*words)
    up = 0
    for line in started.process.stderr:
        up += line.endswith("] up\n")
        if up == 2:
            break
    started.signal(signal.SIGINT)
    done = started.end()
    assert done.returncode == 130
    results = json.loads(done.stdout)
    assert [result["outcome"] for result in results] == ["stopped", "stopped", "start_failed", "start_failed"]
    assert done.stderr.count("] bye") == 2
    assert "0 of 4 tasks succeeded" in done.stderr


def test_interrupted_twice(on_aws: Any, role: str, cloud: LocalCloud, items: Callable[[str], str]) -> None:
    """A second Ctrl-C does not wait for tasks that take their time to stop; what is left of them is for `resume`."""
    script = "sh -c 'trap \"\" TERM; echo up; while :; do sleep 0.05; done'\n"
    started = on_aws.start("run", "--map", items(script * 2), "--execution-role", role, "--run-id", "stubborn")
    for number in ("[0]", "[1]"):
        if number not in started.stdout:
            started.read_until(number)
    started.signal(signal.SIGINT)
    until(lambda: sum(task["desiredStatus"] == "STOPPED" for task in tasks_of(cloud, "stubborn")) == 2)
    started.signal(signal.SIGINT)
    began = time.monotonic()
    done = started.end()
    assert time.monotonic() - began < 10  # a task that does not obey is killed after 30 s
    assert done.returncode == 130
    assert "stopping the tasks; Ctrl-C again does not wait for it" in done.stderr
    assert done.stderr.endswith("2 of the runs have no outcome yet; take them up with: ecs-block resume\n")


def tasks_of(cloud: LocalCloud, run_id: str) -> list[Any]:
    return [task for task in cloud.tasks if str(task.get("startedBy")).startswith(f"{run_id}/")]


def test_linked_definition_without_a_role(on_aws: Any, cloud: LocalCloud, items: Callable[[str], str]) -> None:
    """Where a linked definition has no role, the tasks run all the same, without their output, and one line says so."""
    cloud.client("ecs").register_task_definition(
        family="roleless", containerDefinitions=[{"name": "main", "image": "x"}], networkMode="awsvpc", cpu="256",
        memory="512", requiresCompatibilities=["FARGATE"],
    )  # fmt: skip
    done = on_aws("run", "--set", "task_definition_arn=roleless", "--map", items("echo a\necho b\n"))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.count("--execution-role") == 1


REFUSED = {
    "no file": (None, (), "/no/such/items cannot be read"),
    "empty": ("# nothing\n\n", (), "holds no command"),
    "bad quotes": ("true\necho 'x\n", (), "items:2: cannot be split"),
    "bad JSON": ('["a",\n', (), "items:1: is not valid JSON"),
    "no words": ("[1]\n", (), "items:1: a JSON list must hold"),
    "unknown field": ('{"imgae": "x"}\n', (), "items:1: imgae is not a field of ECSTask. Did you mean 'image'?"),
    "run id": ('{"run_id": "x"}\n', (), "items:1: a line has no run_id"),
    "detached": ("true\n", ("-d",), "--map and --detach"),
    "stdin twice": ("-", ("-f", "-"), "Only one of --map"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(on_aws: Any, cloud: LocalCloud, items: Callable[[str], str], name: str) -> None:
    """What cannot be right is refused with 2 in one line that names the file's line, before any call."""
    text, words, told = REFUSED[name]
    path = "/no/such/items" if text is None else "-" if text == "-" else items(text)
    calls = sum(cloud.calls.values())
    done = on_aws("run", *words, "--map", path, stdin="{}")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr
    assert told in done.stderr
    assert sum(cloud.calls.values()) == calls


def test_limit_without_map(on_aws: Any) -> None:
    """--max-concurrency alone has no meaning, and is refused."""
    done = on_aws("run", "--max-concurrency", "3", "true")
    assert done.returncode == 2
    assert "--map" in done.stderr
