"""5,000 broken documents: each one is a valid object or a clear error of ours, whatever is wrong with it.

A document is made from its number: a good one (a block, Prefect's block, boto3 arguments, a patch, a job of a queue), broken as
bytes, as tokens or as a structure, and handed to one of the ways in. `Case(4711)` makes document 4711 again.
"""

from __future__ import annotations

import copy
import io
import json
import random
import re
import signal
import socket
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.httpsession
import pytest
import yaml

from ecs_block import AwsCredentials, Block, EcsBlockError, ECSTask, InvalidTask, JsonPatch
from ecs_block.agent.job import Job, parse_job
from ecs_block.aws import Aws
from ecs_block.cli import fields as cli

NUMBER = 5000
BATCHES = 20
LONGEST = 10_000  # characters that an error, or a warning, may have
SECONDS = 3.0  # of the processor's time for one document
SECRET = "Zc4naryK3y9qT7w"

BLOCK: dict[str, Any] = {
    "type": "ecs-task",
    "format_version": 1,
    "name": "nightly",
    "command": ["report", "--password", SECRET, f"--token={SECRET}", "--verbose"],
    "env": {
        "STAGE": "test",
        "DB_PASSWORD": SECRET,
        "TOKEN": {"$secret": f"value:{SECRET}"},
        "KEY": {"$secret": "env:KEY"},
        "GONE": None,
        "LEVEL": 3,
    },
    "labels": {"team": "data", "cost center": 7},
    "aws_credentials": {
        "aws_access_key_id": "AKIDEXAMPLE",
        "aws_secret_access_key": SECRET,
        "aws_session_token": {"$secret": "file:/run/token"},
        "region_name": "eu-central-1",
        "endpoint_url": f"https://me:{SECRET}@aws.test:8443",
        "botocore_config": {"retries": {"mode": "standard"}, "proxies": {"https": f"http://me:{SECRET}@proxy:8080"}},
    },
    "task_definition": {
        "family": "reports",
        "cpu": "512",
        "memory": "1 GB",
        "containerDefinitions": [
            {
                "name": "main",
                "image": "python:3.12-slim",
                "environment": [{"name": "PASSWORD", "value": SECRET}],
                "secrets": [{"name": "KEY", "valueFrom": "arn:aws:ssm:eu-central-1:123456789012:parameter/key"}],
                "logConfiguration": {"logDriver": "splunk", "options": {"splunk-token": SECRET}},
                "portMappings": [{"containerPort": 80}],
            },
            {"name": "sidecar", "image": "envoy", "essential": False, "dependsOn": []},
        ],
        "volumes": [{"name": "data"}],
    },
    "task_run_request": {
        "count": 2,
        "group": "batch",
        "tags": [{"key": "team", "value": "data"}],
        "overrides": {
            "containerOverrides": [{"name": "sidecar", "environment": [{"name": "PASSWORD", "value": SECRET}]}]
        },
    },
    "cpu": "1 vCPU",
    "memory": 2048,
    "execution_role_arn": "arn:aws:iam::123456789012:role/execution",
    "stream_output": True,
    "cloudwatch_logs_options": {"awslogs-group": "reports"},
    "launch_type": "FARGATE",
    "family": "reports",
    "cluster": "batch",
    "task_customizations": [
        {"op": "add", "path": "/group", "value": "other"},
        {"op": "add", "path": "/overrides/containerOverrides/0/environment/-", "value": {"name": "A", "value": SECRET}},
    ],
    "task_start_timeout_seconds": 60,
    "task_watch_poll_interval": 2.5,
    "retries_on_interruption": 1,
}
PREFECT: dict[str, Any] = {
    "block_type_slug": "ecs-task",
    "_block_document_id": "0c5b",
    "_is_anonymous": False,
    "type": "ecs-task",
    "env": {"A": "1", "API_KEY": SECRET},
    "labels": {},
    "name": None,
    "command": ["echo", "hi"],
    "aws_credentials": {
        "block_type_slug": "aws-credentials",
        "aws_access_key_id": "AKIDEXAMPLE",
        "aws_secret_access_key": SECRET,
        "region_name": "us-east-1",
        "aws_client_parameters": {"use_ssl": True, "verify": None, "endpoint_url": None, "config": {"retries": {}}},
    },
    "task_definition": None,
    "launch_type": "FARGATE",
    "task_customizations": [{"op": "remove", "path": "/tags"}],
    "task_start_timeout_seconds": 120,
}
BOTO3: dict[str, Any] = {**BLOCK["task_definition"], **BLOCK["task_run_request"], "launchType": "FARGATE"}
PATCH: list[Any] = [
    *BLOCK["task_customizations"],
    {"op": "move", "from": "/group", "path": "/startedBy"},
    {"op": "copy", "from": "/overrides/containerOverrides", "path": "/tags"},
    {"op": "replace", "path": "/count", "value": 3},
    {"op": "test", "path": "/cluster", "value": "batch"},
    {"op": "remove", "path": "/overrides/containerOverrides/0/environment/0"},
]
JOB: dict[str, Any] = {
    "id": "7d0e9d3c-0000-4c5e-9a1b-1f2e3d4c5b6a",
    "name": "nightly report",
    "version": 3,
    "command": ["python", "-m", "report", "--password", SECRET],
    "env": {"STAGE": "test", "DB_PASSWORD": SECRET, "GONE": None, "LEVEL": 3},
    "labels": ["data", "gpu"],
    "parameters": {"day": "2026-11-21", "parts": [1, {"a": None}]},
    "cpu": "1 vCPU",
    "memory": 2048,
    "task_run_request": {"count": 2},
    "task_customizations": [{"op": "add", "path": "/group", "value": "other"}],
    "values": {"cpu": 512},
}
GOOD: dict[str, Any] = {"block": BLOCK, "prefect": PREFECT, "boto3": BOTO3, "patch": PATCH, "job": JOB}
REQUEST = {
    "cluster": "batch",
    "count": 1,
    "group": "g",
    "tags": [],
    "overrides": {"containerOverrides": [{"name": "main"}]},
}

# --- how a document is broken ------------------------------------------------------------------------------------------

BYTES = [
    b"\0", b"\xef\xbb\xbf", b"\xff", b"\xed\xa0\x80", b"\xc3", b"\x80", b"\x1b[31m", b"\r", b"\t", b"\n", b'"', b"\\",
    b"{", b"}", b"[", b"]", b",", b":", b"'", b"#", b"\xe2\x80\xa8", b"\xc2\x85", b"\\ud800", b"\\u0000", b"*", b"&a ",
    b"!", b"- ",
]  # fmt: skip
TOKENS = [
    "NaN", "-Infinity", "1e999", "-0", "0x1f", "01", "1_000", "1.5e-400", "nul", "null", "true", "{}", "[]", "/**/", "//",
    ",,", "::", '""', '"a', r'"\ud800"', r'"\u0000"', '"**********"', '{"a": 1, "a": 2}', '{"$secret": 1}',
    '{"$secret": "ssm:"}', '{"$secret": "env:A", "b": 1}', "9" * 400, "9" * 5000, "-" + "9" * 30, "[" * 300, "[" * 2000,
    '{"a":' * 90,
]  # fmt: skip
YAML = [
    "&a", "*a", "<<: {a: 1}", "1:30", "0o17", "no", "=", "~", "2026-01-01", "2026-99-99", "2001-12-14t21:59:43.10-99:99",
    ".inf", ".nan", "12e03", "!!bool x", "!!int x", '!!int ""', "!!float x", "!!timestamp x", "!!binary AAA=",
    '!!binary "%"', "!!null x", "!!str [a]", "!!set {a, b}", "!!omap [a: 1]", "!!pairs [a]", "!own x",
    "!!python/name:os.system", "!!python/object/apply:os.system [exit]", "%x", "? a", "@a", "`a", "{a: 1", "[a, b",
    "- a\n- b", "|\n  a", ">-\n a", "---\na: 1\n", "...\n", "%YAML 9.9\n---\n",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, 10**400, 1e308, float("nan"), float("inf"), "", " ", "\0", "\ud800", "*" * 10,
    "x" * 300, "é" * 300, "/", "a=b", "aws:x", "-", "arn:aws:ecs:x", "a::b", "1 vCPU", "9" * 400 + " GB", "9" * 5000,
    "${HOME}", "{{ name }}", "\u202e", "\x1b]0;x\x07", "日本語", "'", '"', "a 'b", "https://a:b@c", "a-" * 200 + "://",
    [], {}, [None], [[]], {"": 1}, {"$secret": "env:A"}, {"$secret": "no:A"}, {"$secret": None}, {"$ref": {}},
    [1, "a", None], ["a", {"b": []}], {f"key-{number}": number for number in range(60)}, list(range(60)),
]  # fmt: skip
KEYS = [
    "", "\0", "\ud800", "$secret", "typ", "Env", "commands", "taskDefinition", "clientToken", "a" * 300, "é", "0",
    "__class__", "a.b",
]  # fmt: skip
JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+')


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every path that leads into a structure."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in members:
        yield (*path, key)
        yield from places(item, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def deep(levels: int, inner: Any, chance: random.Random) -> Any:
    for _ in range(levels):
        inner = [inner] if chance.random() < 0.5 else {"a": inner}
    return inner


def break_structure(document: Any, chance: random.Random) -> Any:
    """Exchange, remove, add, rename, wrap or swap something in a structure."""
    path = chance.choice([*places(document)] or [()])
    if not path:
        return chance.choice(VALUES)
    holder, key = at(document, path[:-1]), path[-1]
    match chance.randrange(8):
        case 0 | 1 | 2:
            holder[key] = copy.deepcopy(chance.choice(VALUES))
        case 3:
            del holder[key]
        case 4 if isinstance(holder, dict):
            holder[chance.choice(KEYS)] = holder.pop(key)
        case 5:
            holder[key] = deep(chance.choice([1, 1, 2, 50, 150]), holder[key], chance)
        case 6:
            other = chance.choice([*places(document)])
            holder[key] = copy.deepcopy(at(document, other))
        case _ if isinstance(holder, list):
            holder.extend(copy.deepcopy(holder[key]) for _ in range(chance.choice([1, 12, 60])))
        case _:
            holder[chance.choice(KEYS)] = copy.deepcopy(chance.choice(VALUES))
    return document


def break_tokens(text: str, chance: random.Random) -> str:
    tokens = [match.span() for match in JSON_TOKEN.finditer(text)]
    begin, end = chance.choice(tokens)
    match chance.randrange(5):
        case 0:
            return text[:begin] + text[end:]
        case 1:
            return text[:end] + text[begin:]
        case 2:
            other = chance.choice(tokens)
            return text[:begin] + text[slice(*other)] + text[end:]
        case _:
            return text[:begin] + chance.choice(TOKENS) + text[end:]


def break_yaml(text: str, chance: random.Random) -> str:
    """Put something of YAML's own in the place of a value, or before it."""
    values = [match.span(1) for match in re.finditer(r"(?:: |- )(\S.*)$", text, re.MULTILINE)] or [(0, 0)]
    begin, end = chance.choice(values)
    return text[:begin] + chance.choice(YAML) + (text[end:] if chance.random() < 0.7 else " " + text[begin:])


def break_bytes(data: bytes, chance: random.Random) -> bytes:
    begin = chance.randrange(len(data) + 1)
    end = min(len(data), begin + chance.choice([1, 1, 2, 5, 40]))
    match chance.randrange(5):
        case 0:
            return data[:begin] + data[end:]
        case 1:
            return data[:end] + data[begin:]
        case 2:
            return data[:begin]
        case 3:
            return data[:begin] + bytes(chance.randrange(256) for _ in range(end - begin)) + data[end:]
        case _:
            return data[:begin] + chance.choice(BYTES) + data[begin:]


def some(document: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """A few members of a document: YAML is read slowly, and one broken place hides the others."""
    kept = set(chance.sample(sorted(document), min(len(document), chance.randint(1, 5))))
    return {key: value for key, value in document.items() if key in kept or key == "block_type_slug"}


class Case:
    """One broken document, and the way in that it takes."""

    def __init__(self, number: int) -> None:
        chance = random.Random(number)
        self.kind = chance.choice(["block"] * 5 + ["prefect", "boto3", "patch", "patch", "job"])
        whole = copy.deepcopy(GOOD[self.kind])
        document = chance.sample(whole, chance.randint(1, 3)) if isinstance(whole, list) else some(whole, chance)
        is_file = self.kind in ("block", "prefect")
        self.suffix = chance.choice([".json", ".json", ".yaml"]) if is_file else ".json"
        # Who calls `from_boto3_kwargs` has read the document, so it is always one.
        way = "structure" if self.kind == "boto3" else chance.choice(["bytes", "tokens", "structure", "structure"])
        if way == "structure":
            for _ in range(chance.choice([1, 1, 2, 4])):
                document = break_structure(document, chance)
        self.document = document
        text = self._text(document)
        if way == "tokens":
            for _ in range(chance.choice([1, 1, 2])):
                text = break_yaml(text, chance) if self.suffix == ".yaml" else break_tokens(text, chance)
        self.data = text.encode("utf-8", "surrogatepass")
        if way == "bytes":
            for _ in range(chance.choice([1, 1, 3])):
                self.data = break_bytes(self.data, chance)
        self.way_in = chance.randrange(4)

    def _text(self, document: Any) -> str:
        if self.suffix == ".yaml":
            try:
                return yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
            except (yaml.YAMLError, RecursionError, ValueError):
                self.suffix = ".json"
        try:
            return json.dumps(document, indent=1, ensure_ascii=False)
        except ValueError:  # a number of more digits than Python writes
            return "[" + "9" * 5000 + "]"

    def enter(self, folder: Path, stdin: pytest.MonkeyPatch) -> Any:
        """Hand the document in, and give what is made of it."""
        if self.kind == "patch":
            return self._as_patch()
        if self.kind == "boto3":
            return ECSTask.from_boto3_kwargs(**_mapping(self.data))
        if self.kind == "job":
            return parse_job(self.data if self.way_in % 2 else self.data.decode(errors="surrogateescape"))
        if self.way_in == 0 and self.suffix == ".json":
            return ECSTask.model_validate_json(self.data)
        if self.way_in == 1:
            stdin.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(self.data)))
            return cli.task_of({**NOTHING_GIVEN, "file": "-"})
        path = folder / f"document{self.suffix}"
        path.write_bytes(self.data)
        if self.way_in == 2:
            return cli.task_of({**NOTHING_GIVEN, "file": str(path)})
        return Block.load_from(path) if b'"type"' in self.data else ECSTask.load_from(path)

    def _as_patch(self) -> Any:
        if self.way_in == 0:
            return cli.task_of({**NOTHING_GIVEN, "patches": (self.data.decode(errors="surrogateescape"),)})
        if self.way_in == 1:
            return ECSTask(task_customizations=self.data.decode(errors="replace"))
        patch = JsonPatch(self.data)
        patch.apply(REQUEST)
        return patch

    @property
    def keeps_the_secret(self) -> bool:
        """True unless it was broken so that the secret became a name, or the value of a field that is none."""
        try:
            read = yaml.safe_load(self.data) if self.suffix == ".yaml" else json.loads(self.data)
        except Exception:
            return True  # nobody can know where it stands, so it must not be shown
        return all(_may_stand(path, read) for path in places(read) if _holds(path, read))


NOTHING_GIVEN = {
    **dict.fromkeys([*cli._FIELDS, *cli._CREDENTIALS, "file", "block"]),
    **dict.fromkeys(["settings", "env", "env_file", "patches", "words"], ()),
    "no_logs": False,
}


def _mapping(data: bytes) -> dict[str, Any]:
    """What a program that reads JSON hands to `from_boto3_kwargs`; nothing where even JSON's reader gives up."""
    try:
        read = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return {str(key): value for key, value in read.items()} if isinstance(read, dict) else {"family": read}


def _holds(path: tuple[Any, ...], read: Any) -> bool:
    value = at(read, path)
    return SECRET in str(path[-1]) or (isinstance(value, str | bytes) and SECRET in str(value))


def _may_stand(path: tuple[Any, ...], read: Any) -> bool:
    if any(SECRET in str(part) for part in path):
        return False
    if "botocore_config" in path and "proxies" not in path:
        return False
    named = {"env", "aws_credentials", "command", "value", "options"} & set(path)
    return bool(named) and path[-1] not in ("op", "path", "from", "profile_name", "assume_role_arn")


# --- what may come of it -----------------------------------------------------------------------------------------------


class Hang(BaseException):
    """A document takes too long."""


class CallError(BaseException):
    """A document leads to a call."""


@pytest.fixture(autouse=True)
def _nobody_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def call(*_: Any, **__: Any) -> Any:
        raise CallError

    monkeypatch.setattr(Aws, "_invoke", call)
    monkeypatch.setattr(botocore.httpsession.URLLib3Session, "send", call)
    monkeypatch.setattr(socket.socket, "connect", call)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise Hang when the processor has worked so long."""

    def ring(*_: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def wrong_with(work: Callable[[], Any], *, secret: bool = True, seconds: float = SECONDS) -> Iterator[str]:
    """What is wrong with the way in which a document is read: nothing, as a rule."""
    shown: list[str] = []
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            with limited(seconds):
                shown += _uses(work())
        except EcsBlockError as error:
            shown += [str(error)]
            if error.__context__ is not None and not error.__suppress_context__:
                yield f"shows another library's traceback: {''.join(traceback.format_exception(error))[-300:]}"
        except Exception as error:
            yield f"{type(error).__name__}: {str(error)[:200]} from {traceback.extract_tb(error.__traceback__)[-1]}"
        except Hang:
            yield f"takes more than {seconds} s"
        except CallError:
            yield "leads to a call"
    for warning in told:
        shown.append(str(warning.message))
        if warning.category is not UserWarning:
            yield f"warns {warning.category.__name__} {str(warning.message)[:150]}"
    yield from (f"says {len(text):,} characters: {text[:150]}" for text in shown if len(text) >= LONGEST)
    yield from (f"shows the secret: …{_around(text)}…" for text in shown if secret and SECRET in text)


def _uses(made: Any) -> list[str]:
    """Use what was made: it must be good for that, or say why not. Gives what it says then."""
    assert f"{made!r}{made}"
    if isinstance(made, JsonPatch | Job):
        return []
    assert made.model_dump_json()
    try:
        assert made.preview()
    except InvalidTask as error:
        return [str(error)]
    return []


def _around(text: str) -> str:
    place = text.find(SECRET)
    return text[max(0, place - 120) : place + 40]


# --- the tests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_broken_document_is_a_valid_object_or_a_clear_error(
    batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """No error of another library, no page of text, no secret, no changed file, no call, no hang."""
    wrong = []
    for number in range(batch, NUMBER, BATCHES):
        case = Case(number)
        told = [*wrong_with(lambda case=case: case.enter(tmp_path, monkeypatch), secret=case.keeps_the_secret)]
        for path in tmp_path.iterdir():
            if path.read_bytes() != case.data:
                told.append(f"left {path.name} changed")
            path.unlink()
        wrong += [f"Case({number}) {case.kind}{case.suffix}: {what}\n    {case.data[:300]!r}" for what in told]
    assert not wrong, f"{len(wrong)} of {NUMBER // BATCHES}:\n" + "\n".join(wrong)
    assert not any(capfd.readouterr())


def test_good_documents_are_good(tmp_path: Path) -> None:
    """What is broken above is whole before."""
    (tmp_path / "block.json").write_text(json.dumps(BLOCK))
    (tmp_path / "block.yaml").write_text(yaml.safe_dump(BLOCK))
    (tmp_path / "prefect.json").write_text(json.dumps(PREFECT))
    assert ECSTask.load_from(tmp_path / "block.json") == ECSTask.load_from(tmp_path / "block.yaml")
    assert ECSTask.load_from(tmp_path / "prefect.json").env["A"] == "1"
    assert ECSTask.from_boto3_kwargs(**copy.deepcopy(BOTO3)).container_name == "main"
    assert len(JsonPatch(json.dumps(PATCH))) == len(PATCH)
    assert parse_job(json.dumps(JOB)).id == JOB["id"]
    assert not [*wrong_with(lambda: ECSTask(**{key: BLOCK[key] for key in BLOCK if key != "format_version"}))]


# --- what was found so, or thought of ----------------------------------------------------------------------------------


def _prefect_config(config: Any) -> dict[str, Any]:
    return {"block_type_slug": "ecs-task", "aws_credentials": {"aws_client_parameters": {"config": config}}}


NUMERIC = "007142536"  # a secret of digits, which YAML takes for a number
YAML_FOUND = {
    "a truth that is none": "env: {A: !!bool x}",
    "an empty truth": 'env: {A: !!bool ""}',
    "a date that is none": "env: {A: !!timestamp x}",
    "a number that is none": "env: {A: !!int x}",
    "sixties of sixties": "env: {A: 1" + ":1" * 200_000 + ".0}",
    "a document that is no truth": "!!bool x",
    "a secret that begins like a tag": f"env:\n  DB_PASSWORD: !{SECRET}",
    "a secret that is tagged": f"env:\n  DB_PASSWORD: !!int {SECRET}",
    "a secret of digits": f"env:\n  DB_PASSWORD: {NUMERIC}",
    "a long tag": "a: !" + "a" * 200_000 + " x",
    "a long number": "a: 0" + "1_" * 20_000 + "1",
    "a long key": "? " + "a" * 200_000 + "\n: 1",
    "NUL in base 64": "env: {A: !!binary AAA=}",
}
JSON_FOUND = {
    "a long type": json.dumps({"type": "A" * 100_000}),
    "a long version": json.dumps({"format_version": "A" * 100_000}),
    "a version of many digits": '{"format_version": ' + "9" * 4200 + "}",
    "a long field": json.dumps({"A" * 100_000: 1}),
    "many fields": json.dumps({f"k{number}": 1 for number in range(5000)}),
    "a long key twice": f'{{"{"A" * 100_000}": 1, "{"A" * 100_000}": 1}}',
    "many wrong variables": json.dumps({"env": {f"k{number}": [1] for number in range(5000)}}),
    "deep and wrong": '{"env": {"A": ' + "[" * 900 + "]" * 900 + "}}",
    "deep and twice": '{"env": {"A": ' + '{"a":1,"a":' * 400 + "1" + "}" * 400 + "}}",
    "half a character as a field": r'{"\ud800": 1}',
    "half a character as a name": r'{"name": "\ud800"}',
    "half a character as a variable": r'{"env": {"\ud800": "1"}}',
    "half a character in a definition": r'{"task_definition": {"containerDefinitions": [{"name": "\ud800"}]}}',
    "half a character in a patch": r'{"task_customizations": [{"op": "add", "path": "/group", "value": "\ud800"}]}',
    "a secret for a version": json.dumps({"format_version": {"name": "PASSWORD", "value": SECRET}}),
    "a secret for a type": json.dumps({"type": {"name": "PASSWORD", "value": SECRET}}),
    "a number for Prefect's configuration": json.dumps(_prefect_config(5)),
    "words for Prefect's configuration": json.dumps(_prefect_config("retries")),
    "a megabyte of nothing": json.dumps({"env": {"A": [1] * 300_000}}),
}
PYTHON_FOUND: dict[str, Callable[[], Any]] = {
    "a patch with a long op": lambda: JsonPatch([{"op": "A" * 100_000, "path": "/a"}]),
    "a patch with a long path": lambda: JsonPatch([{"op": "add", "path": "A" * 100_000}]),
    "a patch with a path of many steps": lambda: JsonPatch([{"op": "remove", "path": "/a" * 50_000}]).apply({}),
    "a patch with a secret for a path": lambda: JsonPatch([{"op": "add", "path": {"value": SECRET}}]),
    "a patch with a secret for an op": lambda: JsonPatch([{"op": {"value": SECRET}, "path": "/a"}]),
    "a patch with a secret for a source": lambda: JsonPatch([{"op": "copy", "path": "/a", "from": {"value": SECRET}}]),
    "a size of many digits": lambda: ECSTask(cpu="1" * 5000 + " vCPU"),
    "a size of many digits and a half": lambda: ECSTask(memory="9" * 400 + ".5 GB"),
    "a size that is a large number": lambda: ECSTask(cpu=10**4000, memory=10**4000),
    "a definition's size of many digits": lambda: ECSTask(task_definition={"cpu": "9" * 5000, "memory": "1"}),
    "a count of many digits": lambda: ECSTask(task_run_request={"count": 10**4000}),
    "a count of more digits than Python writes": lambda: ECSTask(task_run_request={"count": 10**5000}),
    "a long ARN": lambda: ECSTask(task_definition_arn="é" * 100_000),
    "a long container": lambda: ECSTask(container_name="é" * 100_000),
    "a long family": lambda: ECSTask(family="!" * 100_000),
    "many NULs": lambda: ECSTask(command=["\0"] * 5000),
    "many tags": lambda: ECSTask(labels={f"aws:{number}": "x" * 300 for number in range(5000)}),
    "many containers": lambda: ECSTask(task_definition={"containerDefinitions": [1] * 5000}),
    "a long member": lambda: ECSTask(task_definition={"A" * 100_000: 1}),
    "many members": lambda: ECSTask(task_run_request={f"k{number}": 1 for number in range(5000)}),
    "many arguments": lambda: ECSTask.from_boto3_kwargs(**{f"k{number}": 1 for number in range(5000)}),
    "a long argument": lambda: ECSTask.from_boto3_kwargs(**{"k" * 100_000: 1}),
    "a long setting of botocore's": lambda: AwsCredentials(botocore_config={"retries": {"mode": "A" * 100_000}}),
    "bytes with NUL": lambda: _without_nul(ECSTask(env={"A": b"\0"})),
    "half a character that is saved": lambda: ECSTask(name="\ud800").save("half"),
    "a long command that does not end": lambda: ECSTask(command='"' + "é " * 500_000),
    "a long word that might be a URL": lambda: ECSTask(cluster="a-" * 50_000 + "://"),
    "a long word that might be a variable": lambda: _with_word("a." * 25_000),
}


def _with_word(word: str) -> ECSTask:
    return ECSTask(task_definition={"containerDefinitions": [{"name": "main", "command": [word]}]})


def _without_nul(task: ECSTask) -> ECSTask:
    assert "\0" not in str(task.env.get("A")), "NUL came through"
    return task


@pytest.mark.parametrize("name", YAML_FOUND)
def test_yaml_that_was_found(name: str, tmp_path: Path) -> None:
    """Clear and short, without the value, which may be a secret."""
    path = tmp_path / "found.yaml"
    path.write_text(YAML_FOUND[name])
    assert not [*wrong_with(lambda: _without_nul_in_file(path))]
    with pytest.raises(EcsBlockError) as caught:
        ECSTask.load_from(path)
    assert NUMERIC not in str(caught.value)


def _without_nul_in_file(path: Path) -> ECSTask:
    return _without_nul(ECSTask.load_from(path))


@pytest.mark.parametrize("name", JSON_FOUND)
def test_json_that_was_found(name: str, tmp_path: Path) -> None:
    """Clear and short, also for what is deep, long or half a character."""
    path = tmp_path / "found.json"
    path.write_text(JSON_FOUND[name])
    assert not [*wrong_with(lambda: ECSTask.load_from(path))]
    with pytest.raises(EcsBlockError):
        ECSTask.load_from(path)


@pytest.mark.parametrize("name", PYTHON_FOUND)
def test_values_that_were_found(name: str) -> None:
    """Clear and short, and soon."""
    assert not [*wrong_with(PYTHON_FOUND[name])]
