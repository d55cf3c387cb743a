"""Options of an agent: from the command line, the environment and a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ecs_block import AwsCredentials, InvalidTask
from ecs_block.agent.settings import Settings, settings_of
from ecs_block.errors import BlockInvalid

URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/jobs"
# Each option as text of the environment, and what it means.
OPTIONS: dict[str, tuple[str, Any]] = {
    "queue": (URL, URL),
    "dead_letter_queue": (f"{URL}-dead", f"{URL}-dead"),
    "block": ("nightly", "nightly"),
    "pool": ("reports", "reports"),
    "name": ("me", "me"),
    "labels": ("a, b", ["a", "b"]),
    "env": ("{'A': '1'}", {"A": "1"}),
    "max_polls": ("3", 3),
    "limit": ("200", 200),
    "agent_address": ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    "launch_type": ("EC2", "EC2"),
    "enable_task_revisions": ("true", True),
    "use_external_kwargs": ("1", True),
    "external_kwargs_s3_bucket": ("b", "b"),
    "external_kwargs_s3_key": ("p", "p"),
    "no_logs": ("yes", True),
    "allow": ('["image", "cpu"]', ["image", "cpu"]),
    "log_format": ("json", "json"),
    "profile": ("p", "p"),
    "region": ("eu-central-1", "eu-central-1"),
    "endpoint_url": ("http://127.0.0.1:1", "http://127.0.0.1:1"),
    "botocore_config": ('{"max_pool_connections": 5}', {"max_pool_connections": 5}),
}
SECRETS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


def test_every_option_is_known_here() -> None:
    """No option is without a variable in these tests."""
    assert {*OPTIONS, *SECRETS, "arguments"} == set(Settings.model_fields)


@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_in_the_environment_and_in_a_file(name: str, tmp_path: Path) -> None:
    """`ECS_BLOCK_AGENT_NAME_OF_OPTION`, and in a file `name_of_option` or `name-of-option`, typed or as text."""
    text, meant = OPTIONS[name]
    assert getattr(settings_of({}, [], {f"ECS_BLOCK_AGENT_{name.upper()}": text}), name) == meant
    file = tmp_path / "agent.json"
    for key, value in ((name, meant), (name.replace("_", "-"), text)):
        file.write_text(json.dumps({key: value}))
        assert getattr(settings_of({}, [], {}, str(file)), name) == meant


def test_keys_are_hidden() -> None:
    """Keys become credentials, and are shown nowhere."""
    given = {f"ECS_BLOCK_AGENT_{name.upper()}": f"hush-{name}" for name in SECRETS}
    settings = settings_of({}, [], given)
    assert "hush" not in repr(settings)
    credentials = settings.credentials(AwsCredentials(region_name="eu-west-1"))
    assert credentials.aws_secret_access_key.get_secret_value() == "hush-aws_secret_access_key"  # type: ignore[union-attr]
    assert credentials.region_name == "eu-west-1"


def test_what_wins(tmp_path: Path) -> None:
    """The command line, then the environment, then the file; variables and arguments each by themselves."""
    file = tmp_path / "agent.yaml"
    file.write_text("limit: 1\nname: file\nmax-polls: 9\ncpu: '1'\nmemory: '1'\nfamily: f\nenv: {A: f, B: f, C: f}\n")
    around = {"ECS_BLOCK_AGENT_LIMIT": "2", "ECS_BLOCK_AGENT_NAME": "environ", "MEMORY": "2", "CPU": "2"}
    around["ECS_BLOCK_AGENT_ENV"] = "{'A': 'e', 'B': 'e'}"
    settings = settings_of({"limit": 3, "env": {"A": "c"}}, ["cpu=3"], around, str(file))
    assert (settings.limit, settings.name, settings.max_polls) == (3, "environ", 9)
    assert settings.arguments == {"cpu": "3", "memory": "2", "family": "f"}
    assert settings.env == {"A": "c", "B": "e", "C": "f"}


def test_the_file_may_be_named_in_the_environment(tmp_path: Path) -> None:
    """`ECS_BLOCK_AGENT_CONFIG` names it."""
    file = tmp_path / "agent.json"
    file.write_text('{"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["s"]}}, "limit": 4}')
    settings = settings_of({}, [], {"ECS_BLOCK_AGENT_CONFIG": str(file)})
    assert settings.limit == 4
    assert settings.arguments["networkConfiguration"] == {"awsvpcConfiguration": {"subnets": ["s"]}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("limits: 4", "'limits' is neither an option nor an argument. Did you mean 'limit'?"),
        ("networkConfig: {}", "Did you mean 'networkConfiguration'?"),
        ("limit: many", "limit must be a whole number."),
        ("limit: 0", "limit: Input should be greater than 0."),
        ("env: {A: [1]}", "env.A"),
        ("count: [1]", "count must be a whole number"),
        ("botocore_config: x", "botocore_config must be an object"),
        ("- a", "agent.yaml:1: a configuration is an object, not list."),
        ("a: [", "agent.yaml:1:5: this is not valid YAML"),
        ("a: 1\na: 2", "agent.yaml:2:1: the key 'a' stands twice"),
    ],
)
def test_a_file_that_cannot_be_right(text: str, told: str, tmp_path: Path) -> None:
    """The error names the file and what in it is wrong."""
    file = tmp_path / "agent.yaml"
    file.write_text(text)
    with pytest.raises((InvalidTask, BlockInvalid)) as caught:
        settings_of({}, [], {}, str(file))
    assert told in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_worker_takes_no_arguments(tmp_path: Path) -> None:
    """Without words for them, arguments are neither looked for in the environment nor taken from a file."""
    assert settings_of({}, None, {"COUNT": "many"}).arguments == {}
    file = tmp_path / "worker.json"
    file.write_text('{"cpu": "256"}')
    with pytest.raises(InvalidTask, match="'cpu' is not an option"):
        settings_of({}, None, {}, str(file))


def test_a_variable_that_cannot_be_right() -> None:
    """The error names the variable."""
    with pytest.raises(InvalidTask, match="The environment variable NETWORK_CONFIGURATION: networkConfiguration is"):
        settings_of({}, [], {"NETWORK_CONFIGURATION": "{"})
    with pytest.raises(InvalidTask, match="The environment variable ECS_BLOCK_AGENT_LIMIT: limit must be"):
        settings_of({}, [], {"ECS_BLOCK_AGENT_LIMIT": "x"})
