"""`ecs-block preview --diff`: what a run would change at AWS, told before, and held to afterwards."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest

from ecs_block.local import LocalCloud


@pytest.fixture
def family(request: pytest.FixtureRequest) -> str:
    """A family for each test: they share a cloud."""
    return re.sub(r"\W", "-", request.node.name)


def options(family: str, password: str = "hush-hush-1", stage: str = "test", **fields: str) -> list[str]:
    """Describe a task whose definition has variables, one of them secret."""
    environment = [{"name": "DB_PASSWORD", "value": password}, {"name": "STAGE", "value": stage}]
    definition = {"family": family, "containerDefinitions": [{"name": "main", "environment": environment}]}
    settings = {"task_definition": json.dumps(definition), "image": "one", **fields}
    return [word for name, value in settings.items() for word in ("--set", f"{name}={value}")] + ["--no-logs"]


def test_a_new_family_is_told_as_one(on_aws: Any, cloud: LocalCloud, family: str) -> None:
    """All of it is added, AWS is only read, the secret is masked, and the exit code is 1, as kubectl's."""
    before = Counter(cloud.calls)
    done = on_aws("preview", "--diff", *options(family), "--", "true")
    assert done.returncode == 1
    assert set(cloud.calls - before) == {"ecs:DescribeTaskDefinition"}
    lines = done.stdout.splitlines()
    assert lines[:2] == ["--- /dev/null", f"+++ {family} (as this block has it)"]
    assert all(line.startswith(("+", "@@")) for line in lines[2:])
    assert "+    value: '**********'" in lines
    assert "hush-hush" not in done.stdout + done.stderr
    assert f"there is no family {family} yet: a run would register it as a new one" in done.stderr
    assert "\033" not in done.stdout


def test_what_is_told_is_what_a_run_does(on_aws: Any, cloud: LocalCloud, family: str) -> None:
    """The same: reused, exit 0. One value differs: that line is shown, and a run registers the next revision."""
    assert on_aws("run", *options(family), "--", "true").returncode == 0
    same = on_aws("preview", "--diff", *options(family), "--", "echo", "another command is no other definition")
    assert (same.returncode, same.stdout) == (0, "")
    assert f"no difference: revision {family}:1 would be reused" in same.stderr
    changed = options(family, stage="prod", cpu="512")
    done = on_aws("preview", "--diff", *changed, "--", "true")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == f"--- {family}:1 (at AWS)"
    changes = [line for line in lines[2:] if line.startswith(("-", "+"))]
    assert changes == ["-    value: test", "+    value: prod", "-cpu: '1024'", "+cpu: '512'"]
    assert f"register a new revision of {family}" in done.stderr
    assert f"{family}:2 registered" in on_aws("run", *changed, "--", "true").stderr
    assert on_aws("preview", "--diff", *changed, "--", "true").returncode == 0


def test_a_secret_that_differs_is_named_and_not_shown(on_aws: Any, family: str) -> None:
    """Both sides look alike once they are masked, and still it is a difference."""
    assert on_aws("run", *options(family), "--", "true").returncode == 0
    done = on_aws("preview", "--diff", *options(family, password="hush-hush-2"), "--", "true")
    assert done.returncode == 1
    assert done.stdout == "# containerDefinitions[main].environment[DB_PASSWORD].value: changed; its value is masked\n"
    assert "hush-hush" not in done.stdout + done.stderr


def test_a_linked_definition(on_aws: Any, family: str) -> None:
    """As it is: reused. Contradicted: what the copy changes of the revision that is linked. Absent: an error of AWS."""
    assert on_aws("run", *options(family), "--", "true").returncode == 0
    linked = ("--set", f"task_definition_arn={family}:1", "--no-logs")
    assert on_aws("preview", "--diff", *linked, "--", "true").returncode == 0
    done = on_aws("preview", "--diff", *linked, "--image", "two", "--", "true")
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines()[2:] if line.startswith(("-", "+"))] == [
        "-  image: one",
        "+  image: two",
    ]
    assert f"would register a changed copy of it in {family}" in done.stderr
    absent = on_aws("preview", "--diff", "--set", "task_definition_arn=nowhere", "--no-logs", "--", "true")
    assert (absent.returncode, absent.stdout) == (125, "")
    assert "nowhere" in absent.stderr


def test_without_a_family(on_aws: Any) -> None:
    """The family is named after the content: it is the same, or it is not there; and how to keep one is told."""
    words = ("--no-logs", "--image", "nameless", "--", "true")
    done = on_aws("preview", "--diff", *words)
    assert done.returncode == 1
    assert "it is named after its content; --set family=NAME keeps one" in done.stderr
    assert on_aws("run", *words).returncode == 0
    assert on_aws("preview", "--diff", *words).returncode == 0


def test_the_difference_as_json(on_aws: Any, family: str) -> None:
    """What would be done, between what, and the paths that differ."""
    assert on_aws("run", *options(family), "--", "true").returncode == 0
    done = on_aws("preview", "--diff", "--output", "json", *options(family, memory="4096"), "--", "true")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (told["change"], told["family"], told["revision"]) == ("new revision", family, f"{family}:1")
    assert told["differences"] == ["memory: changed"]
    assert "+memory: '4096'" in told["diff"]
    same = on_aws("preview", "--diff", "--query", "change", *options(family), "--", "true")
    assert (same.returncode, same.stdout) == (0, '"none"\n')


def test_colours_only_where_they_are_wanted(on_aws: Any, family: str) -> None:
    """A pipe gets none unless FORCE_COLOR asks for them, and NO_COLOR has the last word."""
    words = ("preview", "--diff", *options(family), "--", "true")
    coloured = on_aws(*words, FORCE_COLOR="1").stdout
    assert f"\033[32m+family: {family}\033[0m" in coloured
    assert "\033" not in on_aws(*words, FORCE_COLOR="1", NO_COLOR="1").stdout


def test_preview_as_json(on_aws: Any, cloud: LocalCloud) -> None:
    """One object with both, masked, and a part of it; AWS is not asked."""
    before = sum(cloud.calls.values())
    words = ("--no-logs", "--image", "img", "-e", "DB_PASSWORD=hush-hush", "--", "echo", "x")
    told = json.loads(on_aws("preview", "--output", "json", *words).stdout)
    assert set(told) == {"task_definition", "run_request"}
    assert told["task_definition"]["containerDefinitions"][0]["image"] == "img"
    assert "hush-hush" not in json.dumps(told)
    part = on_aws("preview", "--query", "run_request.overrides.containerOverrides[0].command", *words)
    assert json.loads(part.stdout) == ["echo", "x"]
    assert sum(cloud.calls.values()) == before
