"""A random secret in every place where one can be: it arrives where it is sent, and is found nowhere that a person may look.

Two kinds of secrets, and two promises. What is *given* as a secret (a `SecretStr`, a reference, a key of the credentials) is
found nowhere at all, not in other libraries' logs either. What only *calls* itself one (a plain variable DB_PASSWORD,
`--password=…`, the password in a URL) is found in nothing that we say.
"""

from __future__ import annotations

import functools
import hashlib
import http.client
import io
import json
import logging
import os
import secrets
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from botocore.loaders import JSONFileLoader
from faults import Drop, Error, FaultyEndpoint, Html, Status
from pydantic import SecretStr

from ecs_block import (
    AccessDenied,
    AwsCredentials,
    AwsError,
    EcsBlockError,
    ECSTask,
    NoCredentials,
    TaskFailed,
    TaskLaunchFailed,
)
from ecs_block.agent import Agent, RunQueue
from ecs_block.agent.health import StatusServer
from ecs_block.engine.clock import SystemClock
from ecs_block.local import LocalCloud
from ecs_block.plan.redact import Redactor

ROLE = "arn:aws:iam::123456789012:role/execution"
PATCH = {"op": "add", "path": "/overrides/containerOverrides/0/environment/-"}
# Prints digests of its arguments and variables, which prove that they came; and ends as it is told to.
PROGRAM = """
import hashlib, os, sys
for text in [*sys.argv[1:], *os.environ.values()]:
    print(hashlib.sha256(text.encode()).hexdigest())
sys.exit(int(os.environ.get("CODE", "0")))
"""


class QuickClock(SystemClock):
    """The machine's clock, twenty times as fast."""

    def now(self):
        return time.monotonic() * 20

    async def sleep(self, seconds):
        await anyio.sleep(seconds / 20)


class Canaries:
    """The secrets of one test, by the place in which each stands."""

    def __init__(self) -> None:
        self.given: dict[str, str] = {}
        self.named: dict[str, str] = {}

    def hidden(self, place: str, *, plain: bool = False) -> str:
        """Make a secret that is given as one, with letters that every format spells otherwise."""
        self.given[place] = f"{secrets.token_hex(12)}" + ("" if plain else f"\"\\é'{secrets.token_hex(4)}")
        return self.given[place]

    def called(self, place: str) -> str:
        """Make a secret that only its name tells of."""
        self.named[place] = secrets.token_hex(12)
        return self.named[place]


def spellings(secret: str) -> set[str]:
    """The ways in which a secret may be spelled in what is printed; the beginning, for all other ways."""
    return {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], secret[:24]}


def leaks(canaries: dict[str, str], told: dict[str, str]) -> list[str]:
    """Say which secret is found where."""
    return [
        f"{place} in {where}: …{text[max(0, text.find(spelling) - 100) :][:160]}…"
        for place, secret in canaries.items()
        for where, text in told.items()
        for spelling in spellings(secret)
        if spelling in text
    ]


class Stage:
    """A cloud, a block with a secret in every place, and everything that is told while a scene is played."""

    def __init__(
        self, cloud: LocalCloud, wire: FaultyEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.cloud = cloud
        self.wire = wire
        self.folder = tmp_path
        self.canaries = Canaries()
        self.told: dict[str, str] = {}
        self.events: list[Any] = []
        self.output = io.StringIO()
        self.task = ECSTask(**self._fields(monkeypatch))

    def _fields(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        hidden, called = self.canaries.hidden, self.canaries.called
        monkeypatch.setenv("CANARY_SOURCE", hidden("a reference to a variable"))
        (self.folder / "canary").write_text(hidden("a reference to a file"))
        parameter, secret = hidden("a reference to SSM"), hidden("a reference to Secrets Manager")
        name = f"canary-{secrets.token_hex(4)}"
        self.cloud.client("ssm").put_parameter(Name=name, Value=parameter, Type="SecureString")
        self.cloud.client("secretsmanager").create_secret(Name=name, SecretString=secret)
        keys = self.wire.credentials
        for field in ("aws_access_key_id", "aws_secret_access_key"):
            self.canaries.given[field] = getattr(keys, field).get_secret_value()
        password = called("a URL in a variable")
        return {
            "name": "canary",
            "command": [
                sys.executable,
                "-c",
                PROGRAM,
                "--password",
                called("a word after its option"),
                f"--token={called('an option with its value')}",
                f"postgres://me:{called('a URL in a word')}@db/reports",
                f"PGPASSWORD={called('a variable in a script')} psql",
            ],
            "env": {
                "HIDDEN": SecretStr(hidden("a hidden variable")),
                "WRITTEN": {"$secret": f"value:{hidden('a variable as files write it')}"},
                "A": {"$secret": "env:CANARY_SOURCE"},
                "B": {"$secret": f"file:{self.folder / 'canary'}"},
                "C": {"$secret": f"ssm:{name}"},
                "D": {"$secret": f"secretsmanager:{name}"},
                "DB_PASSWORD": called("a variable that says so"),
                "DATABASE": f"postgres://me:{password}@db/reports",
            },
            "labels": {"api-key": called("a label"), "team": "reports"},
            "aws_credentials": keys.model_copy(update={"aws_session_token": hidden("the session token", plain=True)}),
            "task_definition": {
                "containerDefinitions": [
                    {
                        "name": "main",
                        "image": "python",
                        "environment": [{"name": "API_TOKEN", "value": called("a variable of the definition")}],
                        "dockerLabels": {"access-key": called("a label of a container")},
                    },
                    {
                        "name": "sidecar",
                        "memory": 64,
                        "image": "python",
                        "essential": False,
                        "command": ["sh", "-c", f"SECRET={called('a script of the definition')} true"],
                    },
                ]
            },
            "task_run_request": {
                "overrides": {
                    "containerOverrides": [
                        {"name": "sidecar", "environment": [{"name": "PASSPHRASE", "value": called("given overrides")}]}
                    ]
                }
            },
            "task_customizations": [
                {
                    "op": "add",
                    "path": "/overrides/containerOverrides/0/environment/-",
                    "value": {"name": "PATCH_TOKEN", "value": called("a patch")},
                }
            ],
            "stream_output": True,
            "execution_role_arn": ROLE,
            "cloudwatch_logs_options": {"awslogs-stream-prefix": SecretStr(hidden("a log option", plain=True))},
            "launch_type": "EC2",
            "task_start_timeout_seconds": 200,
        }

    def run(self, **changes: Any) -> Any:
        """Run the block, and keep all that is told of it, whether it works or not."""
        run_id = changes.pop("run_id", None)
        task = self.task.model_copy(update=changes) if changes else self.task
        self.look_at(task)
        try:
            result = task.run(run_id=run_id, on_event=self.events.append, output=self.output)
        except Exception as error:
            self.broken(error)
            known = getattr(error, "result", None)
            return error if known is None else known
        self.result(result)
        return result

    def look_at(self, task: ECSTask) -> None:
        """Show a block in every way that hides what calls itself a secret."""
        self.told |= {"repr": repr(task), "str": str(task), "preview": task.preview(), "HTML": task._repr_html_()}
        self.told["repr of credentials"] = repr(task.aws_credentials)
        self.told["repr of patches"] = repr(task.task_customizations)

    def result(self, result: Any) -> None:
        """Keep what a result says."""
        self.told |= {"repr of result": repr(result), "JSON of result": result.model_dump_json()}
        self.told |= {"timeline of result": result.timeline(), "HTML of result": result._repr_html_()}
        self.told["result in words"] = result.headline() + result.describe_failure()

    def broken(self, error: BaseException) -> None:
        """Keep what an error says, with its traceback and the result that it carries."""
        number = len(self.told)
        self.told[f"error {number}"] = f"{error}\n{error!r}\n{vars(error)}"
        self.told[f"traceback {number}"] = "".join(traceback.format_exception(error))
        if getattr(error, "result", None) is not None:
            self.result(error.result)  # type: ignore[attr-defined]

    def refused(self, work: Callable[[], Any], *, at_times: bool = False) -> None:
        """Do what is refused, and keep what is said."""
        try:
            work()
        except EcsBlockError as error:
            self.broken(error)
        else:
            assert at_times, "it was not refused"


@pytest.fixture(scope="module", autouse=True)
def _models_once():
    """Let boto3's sessions share the models that they read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", functools.cache(JSONFileLoader.load_file))
        yield


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    """One cloud for all scenes: its secret stores take a second to start."""
    with LocalCloud(state_seconds=0.005) as cloud:
        yield cloud


@pytest.fixture
def stage(cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """The stage, with all loggers at DEBUG once it is set."""
    monkeypatch.setattr("ecs_block.engine.clock.SYSTEM_CLOCK", QuickClock())
    # As in a new process: what earlier scenes hid would only make this one slow.
    monkeypatch.setattr("ecs_block.aws.hidden._hidden_values", set())
    monkeypatch.setattr("ecs_block.aws.hidden._redactor", Redactor())
    with FaultyEndpoint(cloud) as wire:
        yield Stage(cloud, wire, tmp_path, monkeypatch)


@pytest.fixture
def search(stage: Stage, caplog, capfd) -> Iterator[Callable[..., None]]:
    """Search everything that was told, logged, printed, warned of and written for every secret."""
    caplog.set_level(logging.DEBUG)
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")

        def find_nothing() -> None:
            ours = [record for record in caplog.records if record.name.startswith("ecs_block")]
            printed = capfd.readouterr()
            told = {
                **stage.told,
                "events": "\n".join(map(repr, stage.events)),
                "output": stage.output.getvalue(),
                "our log": "\n".join(map(logging.Formatter().format, ours)),
                "stdout": printed.out,
                "stderr": printed.err,
                "warnings": "\n".join(str(warning.message) for warning in warned),
                **{f"file {path.name}": _text(path) for path in (stage.folder / "home").rglob("*") if path.is_file()},
            }
            everything = {**told, "other logs": caplog.text}
            everything["other records"] = "\n".join(f"{record.getMessage()} {record.args}" for record in caplog.records)
            assert len(caplog.records) > 30 or not stage.wire.log
            assert not leaks(stage.canaries.given, everything)
            assert not leaks(stage.canaries.named, told)

        yield find_nothing


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")


def arrived(stage: Stage) -> set[str]:
    """Tell which secrets a program has received, by their digests in its output."""
    digests = set(stage.output.getvalue().split())
    every = {**stage.canaries.given, **stage.canaries.named}
    return {place for place, secret in every.items() if hashlib.sha256(secret.encode()).hexdigest() in digests}


# --- scenes ------------------------------------------------------------------------------------------------------------


def test_a_run_that_succeeds(stage, search):
    """Every secret that is sent has arrived, and none is told: not in the journal either."""
    assert stage.run(run_id="night-1").outcome == "succeeded"
    assert arrived(stage) == {
        *("a hidden variable", "a variable as files write it", "a reference to a variable", "a reference to a file"),
        *("a reference to SSM", "a reference to Secrets Manager", "a variable that says so", "a patch"),
        *("a variable of the definition", "a word after its option"),
        *("aws_access_key_id", "aws_secret_access_key"),  # as a role's: this cloud has no others
    }
    sent = json.dumps([*stage.wire.requests("RunTask"), *stage.wire.requests("RegisterTaskDefinition")])
    for place, secret in stage.canaries.named.items():
        assert secret in sent, f"{place} was not sent"
    assert stage.run(run_id="night-1").outcome == "succeeded"  # as recorded
    assert any(path.name.startswith("journal") for path in (stage.folder / "home").rglob("*"))
    search()


def fails(stage):
    result = stage.run(env={**stage.task.env, "CODE": "3"}, run_id="night-2")
    assert result.status_code == 3
    with pytest.raises(TaskFailed) as caught:
        result.raise_for_status()
    stage.broken(caught.value)


def runs_too_long(stage):
    waiting = [*stage.task.command[:2], f"import time; time.sleep(30)\n{PROGRAM}", *stage.task.command[3:]]
    stage.run(command=waiting, task_run_timeout_seconds=10, run_id="night-3")
    assert stage.cloud.tasks[-1]["stopCode"] == "UserInitiated"


def is_not_launched(stage):
    stage.cloud.fail_next_launches(1, reason="LOCATION")
    assert isinstance(stage.run(run_id="night-4"), TaskLaunchFailed)


def is_launched_at_the_second_try(stage):
    stage.cloud.fail_next_launches(1, reason="RESOURCE:MEMORY")
    stage.wire.on("RunTask", call={2, 3}, fault=Drop(after=True))
    assert stage.run(run_id="night-5").outcome == "succeeded"


def does_not_start(stage):
    stage.cloud.fail_next_start("CannotPullContainerError: pull image manifest has been retried 1 time(s): denied")
    assert stage.run(run_id="night-6").outcome == "start_failed"


def cannot_be_started(stage):
    result = stage.run(command=["/no/such/program", *stage.task.command[3:]])
    assert result.outcome == "start_failed"


def is_refused_with_its_own_words(stage):
    """AWS repeats what it does not like."""
    said = " and ".join(stage.canaries.given.values())
    stage.wire.on(
        "RunTask", call=None, fault=Error("InvalidParameterException", f"1 validation error detected: {said}")
    )
    assert isinstance(stage.run(run_id="night-7"), AwsError)


def starts_with_its_own_words(stage):
    """The agent repeats what it could not do."""
    stage.cloud.fail_next_start(f"CannotStartContainerError: {' and '.join(stage.canaries.given.values())}")
    assert stage.run(run_id="night-8").outcome == "start_failed"


def is_denied(stage):
    stage.wire.on("RunTask", call=None, fault=Error("AccessDeniedException", "not authorized to perform: iam:PassRole"))
    assert isinstance(stage.run(), AccessDenied)


def meets_trouble(stage):
    stage.wire.on("RunTask", call=1, fault=Html(after=True))
    stage.wire.on("DescribeTasks", call={1, 2}, fault=Status(500))
    stage.wire.on("GetLogEvents", call=None, fault=Error("AccessDeniedException", "no"))
    assert stage.run(run_id="night-9").log_complete == "no"


def has_keys_that_are_not_accepted(stage):
    said = f"The security token {stage.canaries.given['the session token']} included in the request is invalid"
    stage.wire.on("DescribeTaskDefinition", call=None, fault=Error("UnrecognizedClientException", said))
    assert isinstance(stage.run(), NoCredentials)


def has_an_endpoint_that_is_not_there(stage):
    password = stage.canaries.called("the password in the endpoint's URL")
    other = stage.task.aws_credentials.model_copy(update={"endpoint_url": f"http://me:{password}@127.0.0.1:9"})
    assert isinstance(stage.run(aws_credentials=other), AwsError)


def has_a_proxy_that_is_not_there(stage):
    password = stage.canaries.called("the password of the proxy")
    proxies = {"proxies": {"http": f"http://me:{password}@127.0.0.1:9"}}
    other = stage.task.aws_credentials.model_copy(update={"botocore_config": proxies})
    assert isinstance(stage.run(aws_credentials=other), AwsError)


def lacks_a_secret(stage):
    stage.wire.on("GetSecretValue", call=None, fault=Error("AccessDeniedException", "not authorized"))
    assert isinstance(stage.run(run_id="night-10"), AccessDenied)


def is_wrong(stage):
    """Every field is exchanged for what it cannot be; files and copies alike."""
    given = {name: getattr(stage.task, name) for name in stage.task.model_fields_set}
    for name in given:
        for wrong in (5, [5], {"a": [5]}, object(), "\0", "*" * 10):
            stage.refused(lambda name=name, wrong=wrong: ECSTask(**{**given, name: wrong}), at_times=True)
    for name, value in given.items():
        stage.refused(lambda name=name, value=value: ECSTask(**{**given, name: {"a": value}}), at_times=True)
        stage.refused(lambda name=name, value=value: ECSTask(**given, **{f"{name}s": value}))
    stage.refused(lambda: setattr(stage.task, "env", given["env"]))
    for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token"):
        keys = {"aws_access_key_id": "AKID", "aws_secret_access_key": "key", name: [stage.canaries.hidden(name)]}
        stage.refused(lambda keys=keys: AwsCredentials(**keys))


def is_saved(stage):
    stage.refused(lambda: stage.task.save("canary"))
    stage.refused(lambda: stage.task.save_to(stage.folder / "home" / "canary.json"))
    stage.told["JSON"] = _without(stage.task.model_dump_json(), stage.canaries.named)
    stage.told["job template"] = _without(
        json.dumps(stage.task.generate_work_pool_base_job_template()), stage.canaries.named
    )


def is_loaded(stage):
    """A file that holds secrets, and is then broken at every line."""
    kept = stage.task.model_copy(update={"task_definition": None}).save_to(
        stage.folder / "k.json", include_secrets=True
    )
    lines = kept.read_text().splitlines()
    assert len(lines) > 40
    for number in range(len(lines)):
        for broken in (
            [*lines[:number], *lines[number + 1 :]],
            [*lines[:number], "}", *lines[number:]],
            lines[:number],
        ):
            for suffix in ("json", "yaml"):
                path = stage.folder / f"broken.{suffix}"
                path.write_text("\n".join(broken))
                stage.refused(lambda path=path: ECSTask.load_from(path), at_times=True)


def is_mapped(stage):
    stage.wire.on(
        "RunTask", call=2, fault=Error("InvalidParameterException", f"no: {stage.canaries.given['the session token']}")
    )
    commands = [stage.task.command, [*stage.task.command, "more"], ["/no/such/program"]]
    results = stage.task.map(commands, max_concurrency=1, on_event=stage.events.append, output=stage.output)
    stage.told |= {"results": repr(results), "timelines": results.timeline(), "HTML of results": results._repr_html_()}
    for result in results:
        stage.result(result)
        if result.error is not None:
            stage.broken(result.error)


def is_killed(stage):
    waiting = [*stage.task.command[:2], "import time; time.sleep(30)", *stage.task.command[3:]]
    task = stage.task.model_copy(update={"command": waiting})
    identifier = task.start(run_id="night-11", on_event=stage.events.append)
    task.kill(identifier)
    assert stage.result(task.attach(identifier, on_event=stage.events.append)) is None
    stage.refused(lambda: task.kill("other::" + identifier.partition("::")[2]))


SCENES = [
    fails, runs_too_long, is_not_launched, is_launched_at_the_second_try, does_not_start, cannot_be_started,
    is_refused_with_its_own_words, starts_with_its_own_words, is_denied, meets_trouble, has_keys_that_are_not_accepted,
    has_an_endpoint_that_is_not_there, has_a_proxy_that_is_not_there, lacks_a_secret, is_wrong, is_saved, is_loaded,
    is_mapped, is_killed,
]  # fmt: skip


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_block_full_of_secrets(scene, stage, search):
    """Whatever becomes of it, no secret is told."""
    scene(stage)
    search()


def _without(text: str, named: dict[str, str]) -> str:
    """What is saved is what was set: a value that is plain to pydantic stays plain there."""
    for secret in named.values():
        text = text.replace(secret, "")
    return text


# --- the command -------------------------------------------------------------------------------------------------------


class Shell:
    """The command as a process, with the cloud in its environment."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.variables = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HOME": str(stage.folder),
            "ECS_BLOCK_HOME": str(stage.folder / "home"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "FROM_HERE": stage.canaries.hidden("a variable of the shell", plain=True),
            **stage.cloud.environment,
        }
        stage.canaries.given["AWS_SECRET_ACCESS_KEY"] = stage.cloud.environment["AWS_SECRET_ACCESS_KEY"]

    def __call__(self, *words: str, variables: dict[str, str] | None = None) -> int:
        """Run it, and keep what it says."""
        done = subprocess.run(
            [sys.executable, "-m", "ecs_block.cli", *words],
            env=self.variables | (variables or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        number = len(self.stage.told)
        self.stage.told |= {
            f"stdout {number} of {words[0]}": done.stdout,
            f"stderr {number} of {words[0]}": done.stderr,
        }
        return done.returncode


def on_the_line(stage: Stage) -> tuple[list[str], list[str]]:
    """Give the options of a block that is full of secrets, and a command."""
    called = stage.canaries.called
    (stage.folder / "variables").write_text(
        f"API_KEY={called('a file of variables')}\nDB_PASSWORD={called('another line')}\n"
    )
    written = {"$secret": f"value:{stage.canaries.hidden('a block file')}"}
    block, patch = stage.folder / "block.json", {"name": "PATCH_TOKEN", "value": called("a patch of the command")}
    block.write_text(json.dumps({"env": {"WRITTEN": written}, "launch_type": "EC2"}))
    options = [
        *("-f", str(block), "--env-file", str(stage.folder / "variables"), "--execution-role", ROLE),
        *("-e", f"AUTH_TOKEN={called('an option')}", "--set", 'env.A={"$secret": "env:FROM_HERE"}'),
        *("--set", f"labels.api-key={called('a setting')}", "--patch", json.dumps([{**PATCH, "value": patch}])),
    ]
    return options, ["sh", "-c", f"PGPASSWORD={called('a script')} true; exit $0", f"--password={called('a word')}"]


@pytest.mark.parametrize("how", [("--debug",), ("--debug", "--output", "json")], ids=" ".join)
def test_the_command_tells_no_secret(stage, search, how):
    """Options, files of variables and blocks hold secrets; runs go well and badly; both streams are searched."""
    shell, (options, words) = Shell(stage), on_the_line(stage)
    assert shell("run", *how, *options, "--", "true", *words[3:]) == 0
    assert shell("run", *how, *options, "--", *words[:3], "3") == 3
    assert shell("run", *how, *options, "--timeout", "1", "--", "sh", "-c", "sleep 20", *words[3:]) == 124
    assert shell("run", *how, *options, "--cluster", "nowhere", "--", *words) == 125
    assert shell("run", *how, *options, "--patch", '[{"op": "remove", "path": "/x"}]', "--", *words) == 2
    assert shell("run", *how, *options, "--set", "cpu=many", "--", *words) == 2
    assert shell("run", *how, *options, "--dry-run", "--", *words) == 0
    assert shell("preview", "--debug", *options, "--", *words) == 0
    for verb in (("ps", "--all"), ("check", *options, "--", *words), ("resume",)):
        shell(verb[0], *how, *verb[1:])
    sent = json.dumps([task["overrides"] for task in stage.cloud.tasks], default=str)
    assert stage.canaries.given["a variable of the shell"] in sent
    assert stage.canaries.named["a file of variables"] in sent
    search()


def test_pages_and_lists_tell_no_secret(stage, search):
    """What is shown of runs that are over, of many at once, and of what would be sent or allowed."""
    shell, (options, words) = Shell(stage), on_the_line(stage)
    many = stage.folder / "many"
    many.write_text(f"0 --password={stage.canaries.called('a line of a map')}\n3 --password {words[-1]}\n")
    assert shell("run", "--run-id", "many", "--output", "json", *options, "--map", str(many), "--", *words[:3]) == 3
    assert shell("run", "--run-id", "one", *options, "--", *words[:3], "0") == 0
    assert shell("preview", "--diff", *options, "-e", "DB_PASSWORD=other", "--cpu", "512", "--", *words) == 1
    assert shell("iam-policy", "--all", "--check", *options, "--", *words) == 0
    for name in ("one", "many"):
        assert shell("report", name, "-o", "-") == 0
        assert "<html" in [text for where, text in stage.told.items() if where.startswith("stdout")][-1]
    for verb in (("logs", "one"), ("wait", "one"), ("stop", "one"), ("ps", "--all", "--output", "json")):
        assert shell(*verb, "--debug") == 0
    for line in ("logs ", "wait o", "run --block ", f"run -e AUTH_TOKEN={stage.canaries.named['an option']} --"):
        complete = ["ecs-block", *line.split(" ")]
        variables = {"COMP_WORDS": "\n".join(complete), "COMP_CWORD": str(len(complete) - 1)}
        assert shell("completion", variables={"_ECS_BLOCK_COMPLETE": "bash_complete", **variables}) == 0
    service = (
        "--queue",
        "https://sqs.us-east-1.amazonaws.com/123456789012/jobs",
        "--task-role",
        ROLE,
        "--subnet",
        "a-1",
    )
    assert shell("worker", "service-definition", "--image", "a", "--execution-role", ROLE, *service) == 0
    search()


def test_saved_by_the_command(stage, search):
    """A block with its secrets in it is shown without them."""
    shell = Shell(stage)
    secret = '{"$secret": "value:' + stage.canaries.hidden("a saved secret", plain=True) + '"}'
    assert shell("block", "save", "canary", "--set", f"env.A={secret}", "--", "true") == 2
    assert shell("block", "save", "canary", "--include-secrets", "--set", f"env.A={secret}", "--", "true") == 0
    assert shell("block", "show", "canary") == 0
    assert shell("run", "--debug", "--block", "canary", "--launch-type", "EC2") == 0
    saved = stage.folder / "home" / "blocks" / "ecs-task" / "canary.json"
    assert stage.canaries.given["a saved secret"] in saved.read_text()
    saved.unlink()
    search()


def test_imported_by_the_command(stage, search):
    """A block that another tool wrote, with its secrets: told without them, and kept only if that is asked for."""
    shell, file = Shell(stage), stage.folder / "theirs.json"
    keys = {
        "aws_access_key_id": "AKIDEXAMPLE",
        "aws_secret_access_key": stage.canaries.hidden("an imported key", plain=True),
    }
    variables = {"DB_PASSWORD": stage.canaries.called("an imported variable")}
    theirs = {"block_type_slug": "ecs-task", "command": ["true"], "env": variables, "aws_credentials": keys}
    file.write_text(json.dumps(theirs))
    assert shell("block", "import", "--debug", str(file)) == 2
    assert shell("block", "import", "--debug", "--include-secrets", "--name", "theirs", str(file)) == 0
    for verb in (("show", "theirs"), ("ls",)):
        assert shell("block", *verb) == 0
    saved = stage.folder / "home" / "blocks" / "ecs-task" / "theirs.json"
    assert stage.canaries.given["an imported key"] in saved.read_text()
    saved.unlink()
    search()


# --- the agent ---------------------------------------------------------------------------------------------------------


def test_an_agent_tells_no_secret(stage, search):
    """Jobs that are run, fail, are refused and cannot be read: lines, events, status, health, page, reasons, its own files."""
    called = stage.canaries.called
    poison = called("a message that is none")
    bodies = [
        *(_job(called, name, ["sh", "-c", f"exit {code}"]) for name, code in (("good", 0), ("bad", 3), ("refused", 0))),
        json.dumps({"id": "wrong", "env": {"DB_PASSWORD": [poison]}, "password": poison, "labels": {"token": poison}}),
        json.dumps({"id": "unclosed", "command": f'--password={poison} "'}),
        f'{{"password": "{poison}"',
        f"DB_PASSWORD={poison}",
    ]
    with _unheard():
        url, dead = _queues(stage.cloud, bodies)
    said = Error("InvalidParameterException", f"no: {stage.canaries.given['the session token']}")
    stage.wire.on("RunTask", said, call=None, when=lambda seen: "refused" in json.dumps(seen.body["overrides"]))
    queue = RunQueue(url, stage.task.aws_credentials)
    agent = Agent(queue, block=stage.task, max_polls=2, poll_seconds=1, on_event=stage.events.append)
    agent.start()
    assert agent.view.counts["done"] == agent.view.counts["failed"] == 1
    stage.told |= _status(agent)
    with _unheard():
        reasons = _reasons(stage.cloud, dead)
    assert set(reasons) == set(bodies[2:])
    stage.told["reasons"] = "\n".join(reasons.values())  # the messages themselves are handed on as they came
    search()


@contextmanager
def _unheard() -> Iterator[None]:
    """What other clients than ours log is their own affair."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def _queues(cloud: LocalCloud, bodies: list[str]) -> tuple[str, str]:
    """Make a queue with these messages, and one for its dead letters."""
    sqs = cloud.client("sqs")
    dead = sqs.create_queue(QueueName="canary-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5})
    url = sqs.create_queue(QueueName="canary", Attributes={"RedrivePolicy": redrive})["QueueUrl"]
    for body in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=body)
    return url, dead


def _reasons(cloud: LocalCloud, dead: str) -> dict[str, str]:
    """What is said of each dead letter, by its text."""
    sqs, reasons = cloud.client("sqs"), {}
    while messages := sqs.receive_message(QueueUrl=dead, MessageAttributeNames=["All"]).get("Messages"):
        reasons |= {message["Body"]: json.dumps(message["MessageAttributes"]) for message in messages}
    return reasons


def _status(agent: Agent) -> dict[str, str]:
    """What the agent's status server answers."""
    server, told = StatusServer("http://127.0.0.1:0", agent.view), {}
    server.start()
    for path in ("/", "/api/health", "/api/status"):
        with closing(http.client.HTTPConnection(urlsplit(server.url).netloc)) as line:
            line.request("GET", path)
            told[f"status {path}"] = line.getresponse().read().decode()
    server.stop()
    assert all("good" in told[path] for path in ("status /", "status /api/status"))
    return told


def _job(called: Callable[[str], str], name: str, command: list[str]) -> str:
    """Make a job with secrets wherever one can be."""
    words = [*command, f"--password={called(f'a word of the job {name}')}"]
    variables = {"API_TOKEN": called(f"a variable of the job {name}")}
    parameters = {"password": called(f"a parameter of the job {name}")}
    return json.dumps({"id": name, "name": name, "command": words, "env": variables, "parameters": parameters})
