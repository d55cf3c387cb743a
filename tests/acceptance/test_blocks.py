"""`ecs-block block` and `ecs-block preview`: tasks under a name, and what they would send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from ecs_block.local import LocalCloud


def test_life_of_a_block(on_aws: Any, tmp_path: Path) -> None:
    """A block is saved with the options of run, listed, shown with secrets masked, run, replaced if asked, and removed."""
    reference = '{"$secret": "env:DB_PASSWORD"}'
    options = ("--no-logs", "-e", "API_TOKEN=hush-hush", "--set", f"env.DB_PASSWORD={reference}", "--timeout", "1h")
    saved = on_aws("block", "save", "nightly", *options, "--", "sh", "-c", 'test "$DB_PASSWORD" = xyz && exit 6')
    assert (saved.returncode, saved.stdout) == (0, "")
    assert "hush-hush" not in saved.stderr
    content = json.loads((tmp_path / "home/blocks/ecs-task/nightly.json").read_text())
    assert content["task_run_timeout_seconds"] == 3600
    assert on_aws("block", "ls").stdout == "nightly\n"
    shown = json.loads(on_aws("block", "show", "nightly").stdout)
    assert shown["env"] == {"API_TOKEN": "**********", "DB_PASSWORD": {"$secret": "env:DB_PASSWORD"}}
    assert on_aws("run", "--block", "nightly", DB_PASSWORD="xyz").returncode == 6
    again = on_aws("block", "save", "nightly", "true")
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    assert on_aws("block", "save", "--overwrite", "nightly", "--no-logs", "true").returncode == 0
    assert on_aws("run", "--block", "nightly").returncode == 0
    assert on_aws("block", "rm", "nightly").returncode == 0
    assert on_aws("block", "ls").stdout == ""


def test_unknown_block(ecs_block: Any) -> None:
    """A block that is not there is wrong usage, with the nearest name."""
    ecs_block("block", "save", "nightly", "true")
    for verb in ("show", "rm"):
        done = ecs_block("block", verb, "nigthly")
        assert (done.returncode, done.stdout) == (2, "")
        assert "Did you mean 'nightly'?" in done.stderr


def test_secret_is_not_saved_unasked(ecs_block: Any) -> None:
    """A secret value is saved only when it is asked for, and shown never."""
    options = (
        "--set",
        "aws_credentials.aws_access_key_id=AKIDEXAMPLE",
        "--set",
        "aws_credentials.aws_secret_access_key=hush-hush",
    )
    refused = ecs_block("block", "save", "keys", *options)
    assert refused.returncode == 2
    assert "give --include-secrets" in refused.stderr
    assert ecs_block("block", "save", "keys", "--include-secrets", *options).returncode == 0
    shown = ecs_block("block", "show", "keys")
    assert shown.returncode == 0
    assert "hush-hush" not in refused.stderr + shown.stdout + shown.stderr


def test_schema(ecs_block: Any) -> None:
    """The JSON schema describes every field."""
    properties = json.loads(ecs_block("block", "schema").stdout)["properties"]
    assert all(field["description"] for field in properties.values())


def test_preview(on_aws: Any, role: str, cloud: LocalCloud) -> None:
    """Preview prints the definition and the request as YAML, secrets masked, and calls AWS for nothing."""
    before = sum(cloud.calls.values())
    done = on_aws(
        "preview", "--image", "img", "--execution-role", role, "-e", "DB_PASSWORD=hush-hush", "--", "echo", "x"
    )
    assert done.returncode == 0
    assert "hush-hush" not in done.stdout + done.stderr
    definition, request = yaml.safe_load_all(done.stdout)
    container = definition["containerDefinitions"][0]
    assert (container["image"], container["logConfiguration"]["logDriver"]) == ("img", "awslogs")
    assert request["overrides"]["containerOverrides"][0]["command"] == ["echo", "x"]
    assert sum(cloud.calls.values()) == before
