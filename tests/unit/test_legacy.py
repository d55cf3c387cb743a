"""Block files as Prefect's `ECSTask` block wrote them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from ecs_block import AwsCredentials, Block, BlockInvalid, ECSTask, JsonPatch

# As Prefect 2.20 printed it.
PREFECT: dict[str, Any] = {
    "type": "ecs-task",
    "env": {"A": "1"},
    "labels": {},
    "name": None,
    "command": ["echo", "hi"],
    "aws_credentials": {
        "aws_access_key_id": "AK",
        "aws_secret_access_key": "**********",
        "aws_session_token": None,
        "profile_name": None,
        "region_name": "us-east-1",
        "aws_client_parameters": {
            "api_version": None,
            "use_ssl": True,
            "verify": None,
            "verify_cert_path": None,
            "endpoint_url": None,
            "config": None,
        },
        "block_type_slug": "aws-credentials",
    },
    "task_definition_arn": None,
    "task_definition": None,
    "family": None,
    "image": "prefecthq/prefect:2.20.26-python3.11",
    "auto_deregister_task_definition": True,
    "cpu": None,
    "memory": None,
    "execution_role_arn": None,
    "configure_cloudwatch_logs": None,
    "cloudwatch_logs_options": {},
    "stream_output": None,
    "launch_type": "FARGATE",
    "vpc_id": None,
    "cluster": None,
    "task_role_arn": None,
    "task_customizations": [
        {"op": "add", "path": "/networkConfiguration/awsvpcConfiguration/subnets", "value": ["subnet-1"]}
    ],
    "task_start_timeout_seconds": 120,
    "task_watch_poll_interval": 5.0,
    "block_type_slug": "ecs-task",
}
REFERENCE = {"$secret": "env:AWS_SECRET_ACCESS_KEY"}


def load(tmp_path: Path, credentials: Any = None, **changes: Any) -> ECSTask:
    data = copy.deepcopy(PREFECT)
    data["aws_credentials"] |= {"aws_secret_access_key": REFERENCE, **(credentials or {})}
    path = tmp_path / "prefect.json"
    path.write_text(json.dumps(data | changes, indent=1))
    return ECSTask.load_from(path)


def test_a_masked_secret_is_refused_with_a_hint(tmp_path: Path) -> None:
    """The file as Prefect printed it lacks the secret key: its line, its field and the way to give it are told."""
    path = tmp_path / "prefect.json"
    text = json.dumps(PREFECT, indent=1)
    path.write_text(text)
    line = text[: text.index("aws_secret_access_key")].count("\n") + 1
    with pytest.raises(
        BlockInvalid, match=rf"prefect\.json:{line}: .*aws_credentials\.aws_secret_access_key is masked"
    ) as error:
        ECSTask.load_from(path)
    assert '{"$secret": "env:AWS_SECRET_ACCESS_KEY"}' in str(error.value)
    assert path.read_text() == text


def test_it_loads_once_the_secret_is_a_reference(tmp_path: Path) -> None:
    """With the secret by reference the block loads: nulls unset, container `prefect`, Prefect's own keys gone."""
    task = load(tmp_path)
    assert task == ECSTask(
        env={"A": "1"},
        command=["echo", "hi"],
        container_name="prefect",
        image="prefecthq/prefect:2.20.26-python3.11",
        auto_deregister_task_definition=True,
        launch_type="FARGATE",
        aws_credentials=AwsCredentials(
            aws_access_key_id="AK", aws_secret_access_key=REFERENCE, region_name="us-east-1"
        ),
        task_customizations=PREFECT["task_customizations"],
        task_start_timeout_seconds=120,
    )
    assert {"name", "cpu", "family", "cluster"}.isdisjoint(task.model_fields_set)
    assert isinstance(task.task_customizations, JsonPatch)
    assert task.preview().count("prefect") > 1


def test_block_recognises_it_too(tmp_path: Path) -> None:
    """`Block.load_from` gives an ECSTask of such a file."""
    load(tmp_path)
    assert type(Block.load_from(tmp_path / "prefect.json")) is ECSTask


def test_prefects_bookkeeping_is_dropped(tmp_path: Path) -> None:
    """What Prefect writes about its own documents is dropped; a container name that is given stays."""
    task = load(
        tmp_path,
        _block_document_id="1",
        _block_document_name="x",
        _block_type_slug="ecs-task",
        _is_anonymous=False,
        block_type_name="ECS Task",
        container_name="mine",
    )
    assert task.container_name == "mine"


def test_client_parameters_become_ours(tmp_path: Path) -> None:
    """`aws_client_parameters` become endpoint_url and botocore_config."""
    parameters = {"endpoint_url": "http://127.0.0.1:9", "config": {"read_timeout": 7}, "use_ssl": True}
    credentials = load(tmp_path, {"aws_client_parameters": parameters}).aws_credentials
    assert credentials.endpoint_url == "http://127.0.0.1:9"
    assert credentials.botocore_config == {"read_timeout": 7}


@pytest.mark.parametrize(
    ("parameter", "value"), [("use_ssl", False), ("verify", False), ("verify_cert_path", "/x"), ("api_version", "1")]
)
def test_what_does_not_carry_over_warns(tmp_path: Path, parameter: str, value: Any) -> None:
    """A client parameter that we do not have is told in a warning at the caller's line."""
    with pytest.warns(UserWarning, match=rf"aws_client_parameters\.{parameter} did not carry over") as caught:
        load(tmp_path, {"aws_client_parameters": {parameter: value}})
    assert caught[0].filename == __file__


REFUSED = {
    "a reference to a document": (
        {"aws_credentials": {"$ref": {"block_document_id": "1"}}},
        "aws_credentials refers to another block",
    ),
    "another block": ({"block_type_slug": "docker-container"}, "only 'ecs-task' can be loaded"),
    "an unknown field": ({"commnd": "x"}, "commnd is not a field"),
    "a masked variable": ({"env": {"S": "********"}}, r"env\.S is a masked value"),
}


@pytest.mark.parametrize(("changes", "told"), REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    """What only Prefect's server could resolve, and what is no field, is BlockInvalid with the line."""
    with pytest.raises(BlockInvalid, match=rf"prefect\.json:\d+: .*{told}"):
        load(tmp_path, **changes)


def test_it_is_saved_in_our_own_shape(tmp_path: Path) -> None:
    """Loaded and saved, it is a block file of ours, and loads as the same block."""
    task = load(tmp_path)
    content = json.loads(task.save("moved", include_secrets=True).read_text())
    assert (content["type"], content["format_version"]) == ("ecs-task", 1)
    assert "block_type_slug" not in content
    assert ECSTask.load("moved") == task
