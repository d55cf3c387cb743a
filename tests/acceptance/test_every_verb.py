"""What is true of every verb: its result alone on stdout, its exit code, its JSON, where stdout leads, and Ctrl-C.

A row for each verb; a verb without a row fails a test. `local up` only ends by a signal: test_local_up.py has it.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import socket
import struct
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
from crash import NOBODY, Crew, Ended, Started

from conftest import Command
from ecs_block.cli import VERBS
from ecs_block.cli.verbs import ecs_block as root
from ecs_block.local import LocalCloud

ABSENT = f"arn:aws:ecs:us-east-1:123456789012:task/default/{'0' * 32}"
AN_OBJECT = r"\{\n.*\n\}\n"
OUR_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S+ ecs-block: \S")


class Row(NamedTuple):
    """A verb: words with which it succeeds, and words that AWS refuses. `{…}` stands for what the test knows."""

    good: str
    stdout: str = ""
    """What all of stdout matches."""
    json: type[dict[str, Any]] | type[list[Any]] | None = None
    """What `--output json` prints, where the verb has it."""
    refused: str | None = None
    """Words that fail with keys that are wrong; None for a verb that asks AWS for nothing."""
    code: int = 125
    """The exit code then."""
    stdout_refused: str = ""
    json_refused: type[dict[str, Any]] | type[list[Any]] | None = None


ROWS = {
    "run": Row("run --execution-role {role} -- echo out", r"out\n", dict, "run --no-logs true", json_refused=dict),
    "preview": Row(
        "preview --no-logs --image x -- true",
        r"---\n# Task definition\n.*",
        dict,
        "preview --diff --no-logs --image x true",
    ),
    "check": Row(
        "check --no-logs -- true", r"([✓!?] .*\n)+", dict, "check --no-logs -- true", 1, r"✗ credentials: .*", dict
    ),
    "wait": Row("wait ended", "", dict, "wait {absent}", json_refused=dict),
    "stop": Row("stop ended", "", None, "stop {absent}"),
    "ps": Row("ps --all --cluster {cluster}", r"ID +RUN ID +.*\n.* ended +STOPPED .*", list, "ps"),
    "logs": Row("logs ended", r"out\n", list, "logs {absent}"),
    "report": Row("report ended -o -", r"<!doctype html>.*</html>\n"),
    "resume": Row(
        "resume ended", r"ended  \w{32}  succeeded\n", list, "resume going", 125, r"going  \w{32}  undetermined\n", list
    ),
    "block ls": Row("block ls", r"nightly\nwork-pool/jobs\n"),
    "block show": Row("block show nightly", AN_OBJECT),
    "block save": Row("block save new -- true"),
    "block rm": Row("block rm nightly"),
    "block schema": Row("block schema", AN_OBJECT),
    "block import": Row("block import {home}/blocks/ecs-task/nightly.json --name new"),
    "agent start": Row("agent start --queue {queue} --max-polls 1 cpu=256 memory=512"),
    "agent check": Row(
        "agent check --queue {queue} cpu=256 memory=512",
        r"(✓ .*\n)+",
        None,
        "agent check --queue {queue}",
        1,
        r"✗ .*\n",
    ),
    "agent submit": Row("agent submit --queue {queue} -- true", r"\S+\n", None, "agent submit --queue {queue} true"),
    "worker start": Row("worker start --pool jobs --max-polls 1"),
    "worker check": Row("worker check --pool jobs", r"(✓ .*\n)+", None, "worker check --pool jobs", 1, r"✗ .*\n"),
    "worker service-definition": Row(
        "worker service-definition --pool jobs --image x --subnet s-1 --execution-role {role}", AN_OBJECT
    ),
    "pool create": Row("pool create new --queue {queue}"),
    "pool show": Row("pool show jobs", AN_OBJECT),
    "pool ls": Row("pool ls", r"jobs  http\S+\n", list),
    "pool rm": Row("pool rm jobs"),
    "iam-policy": Row("iam-policy --no-logs --image x", AN_OBJECT),
    "completion": Row("completion bash", r"_ecs_block_completion\(\) \{\n.*"),
}
GROUPS = {name.split()[0] for name in ROWS if " " in name}
WITH_RESULT = [verb for verb, row in ROWS.items() if row.stdout]
REFUSED = [verb for verb, row in ROWS.items() if row.refused is not None]
WITH_JSON = [verb for verb, row in ROWS.items() if row.json is not None]


def every_verb() -> Iterator[str]:
    for name in VERBS:
        command = root.get_command(click.Context(root), name)
        yield from (f"{name} {inner}" for inner in command.commands) if isinstance(command, click.Group) else (name,)


def test_every_verb_has_a_row() -> None:
    """So that nobody forgets one."""
    assert sorted(ROWS) == sorted(set(every_verb()) - {"local up"})


class World(NamedTuple):
    """What the verbs are about: a run that has ended, one that goes on, a block, a pool and a queue."""

    home: Path
    known: dict[str, str]


@pytest.fixture(scope="module")
def world(crew: Crew, cloud: LocalCloud, role: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Make what the verbs are about, once."""
    home, name = tmp_path_factory.mktemp("world"), f"verbs-{os.urandom(4).hex()}"
    cloud.client("ecs").create_cluster(clusterName=name, capacityProviders=["FARGATE", "FARGATE_SPOT"])
    url = cloud.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    variables = {"PATH": os.environ["PATH"], **cloud.environment, "ECS_BLOCK_HOME": str(home)}

    def done(*words: str) -> str:
        ended = crew.run(words, variables)
        assert ended.code == 0, ended.stderr
        return ended.stdout.strip()

    done("block", "save", "nightly", "--no-logs", "--", "true")
    done("pool", "create", "jobs", "--queue", url)
    run = ("run", "--cluster", name, "--run-id")
    done(*run, "ended", "--execution-role", role, "--", "echo", "out")
    going = done(*run, "going", "-d", "--execution-role", role, "--", "sh", "-c", "echo up; sleep 300")
    known = {"role": role, "cluster": name, "queue": url, "absent": ABSENT, "going": going}
    yield World(home, known)
    cloud.client("ecs").stop_task(cluster=name, task=going.rpartition("::")[2])


class Verbs:
    """Runs a verb on a copy of the world."""

    def __init__(self, crew: Crew, variables: dict[str, str], known: dict[str, str]) -> None:
        self._crew = crew
        self._variables = variables
        self.known = known

    def start(
        self, line: str, *more: str, stdout: str | None = None, terminal: str | None = None, **variables: str
    ) -> Started:
        """Start it; more options stand behind its name."""
        words = [word.format(**self.known) for word in shlex.split(line)]
        at = 2 if words[0] in GROUPS else 1
        return self._crew.start(
            [*words[:at], *more, *words[at:]], self._variables | variables, None, None, stdout, terminal
        )

    def __call__(self, line: str, *more: str, stdout: str | None = None, **variables: str) -> Ended:
        """Run it to its end."""
        ended = self.start(line, *more, stdout=stdout, **variables).end()
        assert "Traceback" not in ended.stderr
        assert "Exception ignored" not in ended.stderr
        return ended


@pytest.fixture
def verb(crew: Crew, on_aws: Command, world: World, tmp_path: Path) -> Verbs:
    """Run a verb on a copy of the world, as somebody who has an AWS account."""
    home = str(shutil.copytree(world.home, tmp_path / "home"))
    return Verbs(crew, on_aws.variables, world.known | {"home": home})


WRONG_KEYS = {"AWS_SECRET_ACCESS_KEY": "wrong"}


@pytest.mark.parametrize("name", ROWS)
def test_the_result_is_alone_on_stdout(verb: Verbs, name: str) -> None:
    """0; our own lines are on stderr, where no terminal is each with its date."""
    done = verb(ROWS[name].good)
    assert done.code == 0, done.stderr
    assert re.fullmatch(ROWS[name].stdout, done.stdout, re.DOTALL), done.stdout[:500]
    assert all(map(OUR_LINE.match, done.stderr.splitlines())), done.stderr


@pytest.mark.parametrize("name", REFUSED)
def test_what_aws_refuses(verb: Verbs, name: str) -> None:
    """125 (1 of a check), one line that says what AWS has refused, and nothing on stdout that is no result."""
    row = ROWS[name]
    done = verb(str(row.refused), **WRONG_KEYS)
    assert done.code == row.code, done.stderr
    assert re.fullmatch(row.stdout_refused, done.stdout, re.DOTALL), done.stdout
    said = [line for line in (done.stdout + done.stderr).splitlines() if "signature" in line]
    assert len(said) == 1, done.stderr
    assert "failed" in said[0]


@pytest.mark.parametrize("name", WITH_JSON)
def test_json(verb: Verbs, name: str) -> None:
    """With --output json stdout is one value, of the same kind whether it succeeded or not, or empty where there is no list."""
    row = ROWS[name]
    done = verb(row.good, "--output", "json")
    assert (done.code, type(json.loads(done.stdout))) == (0, row.json), done.stderr
    if row.refused is not None:
        failed = verb(row.refused, "--output", "json", **WRONG_KEYS)
        assert failed.code == row.code, failed.stderr
        assert (type(json.loads(failed.stdout)) if failed.stdout else None) is row.json_refused


# --- where stdout leads ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [*(ROWS[name].good for name in WITH_RESULT), "--help", "run --help", "--version"])
def test_a_reader_that_has_gone_away(verb: Verbs, line: str) -> None:
    """`| head` ends each of them quietly, with the code that it has without."""
    done = verb(line, stdout=NOBODY)
    assert done.code == 0, done.stderr
    assert "Broken pipe" not in done.stderr


@pytest.mark.parametrize("name", WITH_RESULT)
def test_a_disk_that_is_full(verb: Verbs, name: str) -> None:
    """125, and why: whoever saves a result must not believe it whole. A run keeps its program's code."""
    done = verb(ROWS[name].good, stdout="/dev/full")
    assert done.code == (0 if name == "run" else 125)
    assert done.stderr.count("The output cannot be written: No space left on device.") == 1


def on_a_terminal(verb: Verbs, line: str, *more: str) -> tuple[int, str]:
    """Run a verb with all of its streams on a terminal of 80 columns, and give what the terminal was sent."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    started = verb.start(line, *more, terminal=os.ttyname(follower), TERM="xterm", NO_COLOR="1")
    seen = b""
    while True:
        over = started.over
        if select.select([leader], [], [], 0 if over else 0.02)[0]:
            seen += os.read(leader, 65536)
        elif over:
            break
    os.close(follower)
    os.close(leader)
    return started.end().code, seen.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("name", ROWS)
def test_a_terminal(verb: Verbs, name: str) -> None:
    """The same result and code; our lines have no date; what moves is taken back, and nothing else steers the terminal."""
    code, seen = on_a_terminal(verb, ROWS[name].good)
    assert code == 0, seen
    assert "Traceback" not in seen
    assert not re.search(r"\d{4}-\d\d-\d\dT\S+ ecs-block: ", seen)
    assert (
        set(re.findall(r"\x1b.{1,3}?[A-Za-z]", seen)) <= {"\x1b[0m", "\x1b[J"}
        if name in ("run", "wait")
        else "\x1b" not in seen
    )
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\r", "", seen)
    assert re.search(ROWS[name].stdout, plain, re.DOTALL), seen
    assert not seen or seen.endswith(("\n", "\x1b[J"))


def test_json_steers_no_terminal(verb: Verbs) -> None:
    """#46i: what of a container's output JSON leaves as it is (U+009B begins control sequences, too) is spelled out."""
    hostile = shlex.quote(r"printf '\302\2332J\342\200\256red\n'; exit 3")
    assert verb(f"run -q --execution-role {{role}} --run-id hostile -- sh -c {hostile}").code == 3
    for line, query in (("wait hostile", "log_tail"), ("logs hostile", "[].message")):
        done = verb(line, "--query", query)
        assert done.stdout == '[\n  "\\u009b2J\\u202ered"\n]\n'
        assert json.loads(done.stdout) == ["\x9b2J\u202ered"]


# --- Ctrl-C ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("line", ["wait going", "wait {going}", "logs -f going", "resume going"])
def test_a_signal_ends_the_waiting_and_not_the_task(
    verb: Verbs, cloud: LocalCloud, eventually: Any, line: str, number: signal.Signals, code: int
) -> None:
    """One is enough; the task goes on, and no outcome is recorded for it."""
    looks = cloud.calls["ecs:DescribeTasks"]
    started = verb.start(line)
    eventually(lambda: cloud.calls["ecs:DescribeTasks"] > looks + 1)
    started.signal(number)
    done = started.end()
    assert (done.code, done.stdout) == (code, "up\n" if line.startswith("logs") else "")
    assert "Traceback" not in done.stderr
    (task,) = [task for task in cloud.tasks if task["taskArn"] in verb.known["going"]]
    assert task["desiredStatus"] == "RUNNING"
    assert "it may run still" in verb("report going -o -").stdout


ASKING = [row for row in (str(ROWS[verb].refused) for verb in REFUSED) if not row.startswith("resume")]
ASKING += ["run -d --no-logs true", "logs -f {absent}"]


READING = [line for line in ASKING if line.split()[0] in ("check", "preview", "wait", "ps", "logs")]


@pytest.mark.parametrize(("lines", "times"), [(READING, 1), (ASKING, 2)], ids=["once", "twice"])
def test_ctrl_c_while_aws_does_not_answer(verb: Verbs, lines: list[str], times: int) -> None:
    """Nobody waits for an answer that may take minutes: 130 soon, at the first one where there is nothing to end properly."""
    assert len(READING) >= 5
    with ExitStack() as opened:
        holes = [opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in lines]
        started = [
            verb.start(line, AWS_ENDPOINT_URL=f"http://127.0.0.1:{hole.getsockname()[1]}")
            for line, hole in zip(lines, holes, strict=True)
        ]
        for hole in holes:
            hole.settimeout(30)
            opened.enter_context(hole.accept()[0])
        for _ in range(times):
            for one in started:
                one.signal(signal.SIGINT)
            time.sleep(0.5)
        began = time.monotonic()
        for line, one in zip(lines, started, strict=True):
            done = one.end()
            # One that comes when the process is about to end ends it as signals do, which is 130 to a shell, too.
            assert done.code in (130, *([-signal.SIGINT] if times > 1 else [])), (line, done.stderr)
            assert "Traceback" not in done.stderr
            assert "Interrupted by Ctrl-C." in done.stderr
        assert time.monotonic() - began < 10
