"""Bad input: exit 2 (or 125 where only AWS could tell), one or two lines on stderr, and what would be right.

The command runs in this process, but for a few rows, which show that a process does the same.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest

from ecs_block import ECSTask
from ecs_block.cli import VERBS
from ecs_block.cli.verbs import code_of
from ecs_block.cli.verbs import ecs_block as ecs_block_command


def _named(value: Any) -> str:
    return " ".join(value) if isinstance(value, list | tuple) else ""


TASK_VERBS = [("run",), ("preview",), ("check",), ("iam-policy",), ("block", "save", "new")]


def _every_verb() -> Iterator[tuple[str, ...]]:
    for name in VERBS:
        command = ecs_block_command.get_command(click.Context(ecs_block_command), name)
        yield from ((name, inner) for inner in command.commands) if isinstance(command, click.Group) else ((name,),)


class Said(NamedTuple):
    """What a command answered."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        """Our lines, without the one that names the help."""
        return [line for line in self.stderr.splitlines() if not line.startswith("Try '")]


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Run the command in this process, in an empty folder, with two blocks saved."""
    import logging
    import warnings

    root, ours = logging.getLogger(), logging.getLogger("ecs_block")
    handlers, level, show = list(root.handlers), ours.level, warnings.showwarning
    monkeypatch.chdir(tmp_path)
    for name in ("nightly", "hourly"):
        ECSTask(command=["true"]).save(name)

    def run(*words: str) -> Said:
        code = code_of(words)
        return Said(code, *capfd.readouterr())

    yield run
    root.handlers, warnings.showwarning = handlers, show
    ours.setLevel(level)


def is_short(answer: Said, *, code: int = 2) -> None:
    """Hold what is true of every answer to bad input."""
    assert answer.code == code, answer
    assert answer.stdout == ""
    assert 1 <= len(answer.lines) <= 2, answer.stderr
    assert "Traceback" not in answer.stderr
    assert "--debug shows where" not in answer.stderr  # that is for errors that nobody thought of
    assert max(map(len, answer.lines)) < 320


@pytest.mark.parametrize("verb", list(_every_verb()), ids=_named)
def test_an_unknown_option(said: Any, verb: tuple[str, ...]) -> None:
    """Of every verb: the nearest one is named, and only that; then where the help is."""
    answer = said(*verb, "--hepl")
    is_short(answer)
    assert answer.stderr.splitlines() == [
        "ecs-block: error: No such option '--hepl'. Did you mean '--help'?",
        f"Try 'ecs-block {' '.join(verb)} --help'.",
    ]


def test_nothing_is_named_that_is_not_near(said: Any) -> None:
    """There is no option for the command, and `--map` is not like it."""
    assert said("run", "--comand", "true").lines[0] == "ecs-block: error: No such option '--comand'."


@pytest.mark.parametrize("verb", TASK_VERBS, ids=_named)
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--set", "imgae=x"], "imgae is not a field of ECSTask. Did you mean 'image'?"),
        (["--set", "aws_credentials.region=x"], "Did you mean 'region_name'?"),
        (["--set", "task_run_request.contt=2"], "Did you mean 'count'?"),
        (["--block", "nigthly"], "Did you mean 'nightly'?"),
        (["--launch-type", "fargat"], "FARGATE, FARGATE_SPOT, EC2, EXTERNAL and MANAGED_INSTANCES. Did you mean 'FARGATE'?"),
        (["-f", "missing.json"], "There is no block file missing.json"),
        (["-f", "."], "Is a directory"),
        (["--patch", '[{"op": "ad"}]'], "add, replace, test, remove, move, copy"),
    ],
    ids=["field", "inner field", "AWS's field", "block", "launch type", "no file", "folder", "patch"],
)  # fmt: skip
def test_every_verb_that_takes_a_task(said: Any, verb: tuple[str, ...], words: list[str], told: str) -> None:
    """They read the same options, so they say the same of them."""
    answer = said(*verb, *words, *([] if "-f" in words else ["--", "true"]))
    is_short(answer)
    assert told in answer.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nigthly"], "There is run, preview, check"),
        (["ruun"], "Did you mean 'run'?"),
        (["block", "sohw", "x"], "Did you mean 'show'?"),
        (["local", "down"], "There is up."),
        (["local", "up", "--state-seconds", "slow"], "is not a number of seconds; write 0.5 or 2"),
        (["local", "up", "--state-seconds", "-1"], "is not a number of seconds; write 0.5 or 2"),
        (["completion", "tcsh"], "is none of bash, zsh and fish"),
        (["completion"], "bash|zsh|fish"),
        (["block", "show", "nigthly"], "Did you mean 'nightly'?"),
        (["block", "rm", "houry"], "Did you mean 'hourly'?"),
        (["block", "show", "../nightly"], "cannot be the name of a block: use 1 to 100 of a-z"),
        (["block", "save", "Über", "true"], "cannot be the name of a block: use 1 to 100 of a-z"),
        (["block", "save"], "Missing argument 'NAME'"),
        (["block", "save", "nightly", "true"], "Give --overwrite"),
        (["block", "save", "new", "--include-secret"], "Did you mean '--include-secrets'?"),
        (["run"], "Nothing says what to run. Give a COMMAND (ecs-block run -- echo hello)"),
        (["preview"], "Nothing says what to preview. Give a COMMAND"),
        (["run", "--local", "--detach", "true"], "--local and --detach exclude each other"),
        (["run", "--local", "--profile", "p", "true"], "--local and --profile exclude each other"),
        (["run", "--local", "--cluster", "a b", "true"], "AWS accepts 1 to 255 of [a-zA-Z0-9_-]"),
        (["run", "--block", "nightly", "-f", "x"], "--file and --block exclude each other"),
        (["run", "--run-id", "", "true"], "run_id"),
        (["run", "--output", "jsn", "true"], "is none of text and json. Did you mean 'json'?"),
        (["run", "--query", "[", "true"], "is not a JMESPath expression"),
        (["ps", "--output", "yaml"], "is none of text and json"),
        (["ps", "extra"], "unexpected extra argument (extra)"),
        (["wait"], "Missing argument 'ID'"),
        (["resume", "--give-up"], "--give-up needs the RUN_ID"),
    ],
    ids=_named,
)
def test_words_and_their_order(said: Any, words: list[str], told: str) -> None:
    """Verbs, names and options that do not go together, or are not there."""
    answer = said(*words)
    is_short(answer)
    assert told in answer.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--cpu", "lots"], 'write CPU units (1024) or "1 vCPU"'),
        (["--cpu", "-1"], "cpu"),
        (["--cpu", "300"], "the nearest is cpu=512, memory=2048"),
        (["--memory", "2gg"], 'write MiB (2048) or "2 GB"'),
        (["--memory", "1"], "the nearest is cpu=1024, memory=2048"),
        (["--timeout", "5x"], "write 90s, 30m or 1h30m"),
        (["--timeout", "0"], "write 90s, 30m or 1h30m"),
        (["--timeout", "1h 30m"], "write 90s, 30m or 1h30m"),
        (["--timeout", "-5m"], "write 90s, 30m or 1h30m"),
        (["-e", ""], "write K=V, or K to take its value from here"),
        (["-e", "=x"], "write K=V, or K to take its value from here"),
        (["-e", "NOT_SET_ANYWHERE"], "is not set here; set it, or give NOT_SET_ANYWHERE=VALUE"),
        (["--set", "image"], "--set needs FIELD=VALUE, such as --set image=python:3.12"),
        (["--set", "=x"], "--set needs FIELD=VALUE"),
        (["--set", "env=5"], "env must be a map of names to values"),
        (["--set", "image.tag=5", "--set", "image=x", "--set", "image.tag=5"], "image must be a map"),
        (["--set", "stop_on_interrupt=perhaps"], "stop_on_interrupt"),
        (["--set", "retries_on_interruption=-1"], "retries_on_interruption"),
        (["--set", "task_run_request.networkConfiguration.awsvpc.subnets=[]"], "Did you mean 'awsvpcConfiguration'?"),
        (["--patch", "{"], "is not valid JSON"),
        (["--patch", "[1]"], "task_customizations[0]"),
        (["--patch", '[{"op": "add", "path": "group", "value": 1}]'], "/group"),
        (["--patch", '[{"op": "remove", "path": "/nope"}]'], "/nope"),
        (["--patch", "@nowhere.json"], "--patch: nowhere.json cannot be read: No such file"),
        (["--patch", "@"], "--patch: "),
        (["--patch", "-", "-f", "-"], "Only one of --file and --patch can be read from stdin"),
        (["--env-file", "nowhere.env"], "--env-file: nowhere.env cannot be read: No such file"),
        (["--env-file", "."], "--env-file: . cannot be read: Is a directory"),
    ],
    ids=_named,
)
def test_values(said: Any, words: list[str], told: str) -> None:
    """Sizes, times, variables, fields and patches: what is wrong with it, and how it is written."""
    answer = said("preview", *words, *([] if "-f" in words else ["--", "true"]))
    is_short(answer)
    assert told in answer.stderr


@pytest.mark.parametrize("option", ["-f", "--env-file", "--patch"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe\x00\x01\x9f", "UTF-8"),
        (b'{"image": "x", "image": "y"}', "twice"),
        (b'{"image": ', "JSON"),
        (b"[1, 2]", "not list"),
        (b'{"imgae": "x"}', "Did you mean 'image'?"),
        (b'{"command": ["true"], "cpu": "lots"}', "write CPU units"),
    ],
    ids=["binary", "key twice", "half", "list", "field", "value"],
)
def test_files(said: Any, tmp_path: Path, option: str, content: bytes, told: str) -> None:
    """A file that is not what it should be is named with its line, and left alone."""
    file = tmp_path / "given.json"
    file.write_bytes(content)
    answer = said(
        "preview", option, f"{'@' if option == '--patch' else ''}{file}", *([] if option == "-f" else ["true"])
    )
    is_short(answer)
    assert file.read_bytes() == content
    if option == "-f":
        assert f"{file}" in answer.stderr
        assert told in answer.stderr
    if content[0] == 0xFF:
        assert "UTF-8" in answer.stderr
        assert str(file) in answer.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["run", "-f", "-"],
        ["run", "--patch", "-", "true"],
        ["run", "--map", "-", "echo"],
        ["report", "--from", "-", "-o", "-"],
        ["agent", "submit", "--queue", "http://127.0.0.1:1/1/jobs", "-f", "-"],
    ],
    ids=_named,
)
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "binary"])
def test_stdin(said: Any, monkeypatch: pytest.MonkeyPatch, words: list[str], closed: bool) -> None:
    """Whichever option reads it: where it is closed (`<&-`) or no text, that is said."""
    monkeypatch.setattr("sys.stdin", None if closed else io.TextIOWrapper(io.BytesIO(b"\xff\xfe\x00")))
    answer = said(*words)
    is_short(answer)
    assert ("stdin is closed" if closed else "What stands on stdin is not UTF-8 text.") in answer.stderr


def test_a_file_that_may_not_be_read(said: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's reason is told. Root may read everything, so the refusal is made here."""
    file = tmp_path / "closed.json"
    file.write_text("{}")

    def refusing(real: Any) -> Any:
        def opened(path: Any, *more: Any, **named: Any) -> Any:
            if str(path) == str(file):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *more, **named)

        return opened

    monkeypatch.setattr(os, "open", refusing(os.open))
    monkeypatch.setattr(Path, "read_text", refusing(Path.read_text))
    for words in (["-f", str(file)], ["--env-file", str(file), "true"], ["--patch", f"@{file}", "true"]):
        answer = said("preview", *words)
        is_short(answer)
        assert f"{file} cannot be read: Permission denied" in answer.stderr


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nightly-20", "Did you mean 'nightly-2026-11-20'?"),
        ("nightly-2026-12-20", "Did you mean 'nightly-2026-11-20'?"),
        ("0123456789abcdef0123456789abcdee", "Did you mean '0123456789abcdef0123456789abcdef'?"),
        ("something else", "Give the task's ARN, or what `run --detach` printed."),
        ("xx::yy::zz", "is not a task identifier. Expected 'cluster::task_arn'"),
        ("::x", "is not a task identifier"),
        ("xx::yy", "names no task: its ARN is arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID"),
        (
            "arn:aws:ecs:us-east-1:123456789012:task/",
            "names no task: its ARN is arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID",
        ),
    ],
)
@pytest.mark.parametrize("verb", ["wait", "stop", "resume"])
def test_ids(said: Any, verb: str, name: str, told: str) -> None:
    """A run that this machine does not know: the one that is near. What has the form of no task: what that form is."""
    remember("nightly-2026-11-20", "0123456789abcdef0123456789abcdef")
    remember("cli-20261121-115735-3f9a61c204b7", "fedcba9876543210fedcba9876543210")
    answer = said(verb, name)
    is_short(answer)
    if verb != "resume" or ("::" not in name and ":task/" not in name):
        assert told in answer.stderr


@pytest.mark.parametrize("verb", ["wait", "stop", "resume", "logs"])
def test_the_name_of_a_map(said: Any, verb: str) -> None:
    """It names many runs, where one is wanted: one of them is named, and what shows them all."""
    for number in (7, 10):
        remember(f"parts/{number}", f"{number:032x}")
    answer = said(verb, "parts")
    is_short(answer)
    assert "'parts' is a map of 2 runs; name one of them, such as parts/7." in answer.stderr
    assert "`ecs-block report parts -o parts.html` shows them all." in answer.stderr


def remember(run_id: str, task: str) -> None:
    """Write a run into the journal."""
    from ecs_block.engine.journal import Place, journal

    place = Place(account="123456789012", region="us-east-1", cluster="default", endpoint="")
    entry = journal().intend(
        run_id=run_id, attempt=1, place=place, caller="c", token=run_id, started_by="s", plan={}, request={}, digest="d",
        whole=True,
    )  # fmt: skip
    journal().launched(entry.number, [f"default::arn:aws:ecs:us-east-1:123456789012:task/default/{task}"])


def test_an_empty_journal(said: Any) -> None:
    """`last` of nothing."""
    for verb in ("wait", "stop"):
        answer = said(verb, "last")
        is_short(answer)
        assert "journal of runs knows no run. Give the task's ARN" in answer.stderr


# --- a process does the same -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--imgae", "x"],
        ["run", "--set", "imgae=x", "true"],
        ["wait", "nothing"],
        ["block", "show", "nothing"],
    ],
    ids=_named,
)
def test_as_a_process(ecs_block: Any, words: list[str]) -> None:
    """The installed command: the same code, nothing on stdout, at most two lines."""
    done = ecs_block(*words)
    is_short(Said(done.returncode, done.stdout, done.stderr))


@pytest.mark.parametrize("verb", ["wait", "stop"])
def test_a_task_that_aws_does_not_know(on_aws: Any, verb: str) -> None:
    """Only AWS can tell: exit 125, and where it was looked for."""
    absent = "arn:aws:ecs:us-east-1:123456789012:task/default/0123456789abcdef0123456789abcdef"
    done = on_aws(verb, absent)
    is_short(Said(done.returncode, done.stdout, done.stderr), code=125)
    assert "0123456789abcdef0123456789abcdef" in done.stderr


def test_a_cluster_that_aws_does_not_know(on_aws: Any) -> None:
    """Or that could be no name at all."""
    for verb, name in (("ps", "nope"), ("ps", "a b"), ("run", "nope")):
        words = ("--no-logs", "--", "true") if verb == "run" else ()
        done = on_aws(verb, "--cluster", name, *words)
        assert (done.returncode, done.stdout) == (125, "")
        assert name in done.stderr
        assert "Traceback" not in done.stderr
