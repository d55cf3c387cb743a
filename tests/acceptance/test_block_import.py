"""`ecs-block block import`: blocks and work pools that people bring along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROLE = "arn:aws:iam::123456789012:role/ecsTaskExecutionRole"
# As Prefect 2.20 printed one, but for the secret.
BLOCK: dict[str, Any] = {
    "block_type_slug": "ecs-task",
    "type": "ecs-task",
    "command": ["echo", "hi"],
    "image": "prefecthq/prefect:2.20.26-python3.11",
    "name": None,
    "cpu": None,
    "auto_deregister_task_definition": True,
    "task_customizations": [
        {"op": "add", "path": "/networkConfiguration/awsvpcConfiguration/subnets", "value": ["subnet-1"]}
    ],
    "task_start_timeout_seconds": 120,
}
VARIABLES = [
    "name", "command", "env", "labels", "task_definition_arn", "aws_credentials", "cluster", "family",
    "launch_type", "capacity_provider_strategy", "image", "cpu", "memory", "container_name",
    "prefect_api_key_secret_arn", "task_role_arn", "execution_role_arn", "vpc_id", "configure_cloudwatch_logs",
    "cloudwatch_logs_options", "cloudwatch_logs_prefix", "network_configuration",
    "auto_deregister_task_definition", "match_latest_revision_in_family",
]  # fmt: skip
OVERRIDES = {
    "containerOverrides": [{"name": "container_name", "command": "command", "environment": "env", "cpu": "cpu"}],
    "cpu": "cpu",
    "memory": "memory",
    "taskRoleArn": "task_role_arn",
}


def pool(configuration: dict[str, Any] | None = None, **defaults: Any) -> dict[str, Any]:
    """Make a base job template as that of a pool of type `ecs` is, with these defaults of its variables."""
    defaults = {"launch_type": "FARGATE", "match_latest_revision_in_family": True} | defaults
    properties = {name: {"default": defaults[name]} if name in defaults else {} for name in VARIABLES}
    plain = [name for name in VARIABLES if name not in ("task_definition_arn", "family", "launch_type", "image", "cpu")]
    request = {
        "launchType": "launch_type",
        "cluster": "cluster",
        "overrides": OVERRIDES,
        "tags": "labels",
        "taskDefinition": "task_definition_arn",
        "capacityProviderStrategy": "capacity_provider_strategy",
    }
    definition = {
        "containerDefinitions": [{"image": "image", "name": "container_name"}],
        "cpu": "cpu",
        "family": "family",
        "memory": "memory",
        "executionRoleArn": "execution_role_arn",
    }
    left_out = ("capacity_provider_strategy", "memory", "task_role_arn")
    parts = {name: name for name in plain if name not in left_out}
    parts |= {"task_definition": definition, "task_run_request": request}
    unused = {"stream_output": False, "task_start_timeout_seconds": 0, "task_watch_poll_interval": 0}
    made = {**_placeholders(parts), **unused, **(configuration or {})}
    return {"variables": {"type": "object", "properties": properties}, "job_configuration": made}


def _placeholders(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _placeholders(value) for key, value in part.items()}
    return [_placeholders(item) for item in part] if isinstance(part, list) else f"{{{{ {part} }}}}"


@pytest.fixture
def brought(ecs_block: Any, tmp_path: Path) -> Any:
    """Import a document, and give what was saved."""

    def bring(document: Any, *words: str, file: str = "mine.json") -> dict[str, Any]:
        path = tmp_path / file
        path.write_text(json.dumps(document, indent=1))
        done = ecs_block("block", "import", str(path), "--name", "got", *words)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        bring.said = done.stderr
        found: dict[str, Any] = json.loads((tmp_path / "home/blocks/ecs-task/got.json").read_text())
        return {key: value for key, value in found.items() if key not in ("type", "format_version")}

    return bring


def test_a_block(brought: Any) -> None:
    """A block of Prefect's is saved in our own shape, with nulls unset and its container's name."""
    assert brought(BLOCK) == {
        "command": ["echo", "hi"],
        "image": "prefecthq/prefect:2.20.26-python3.11",
        "auto_deregister_task_definition": True,
        "task_customizations": BLOCK["task_customizations"],
        "task_start_timeout_seconds": 120,
        "container_name": "prefect",
    }


def test_a_block_as_an_api_gives_it(ecs_block: Any, tmp_path: Path) -> None:
    """What the API says about a block holds it; it is saved under the name that it has there."""
    data = {key: value for key, value in BLOCK.items() if key != "block_type_slug"}
    document = {"name": "prod", "data": data, "block_type": {"slug": "ecs-task"}}
    (tmp_path / "x.json").write_text(json.dumps(document))
    assert ecs_block("block", "import", str(tmp_path / "x.json")).returncode == 0
    assert json.loads(ecs_block("block", "show", "prod").stdout)["command"] == ["echo", "hi"]


def test_the_defaults_of_a_pool_become_fields(brought: Any) -> None:
    """Of a work pool's template the values of a job that says nothing are taken, each as the field that it is here."""
    fields = {
        "image": "reports:1.4",
        "cpu": 512,
        "memory": 1024,
        "cluster": "reports",
        "env": {"STAGE": "prod"},
        "labels": {"team": "data"},
        "execution_role_arn": ROLE,
        "task_role_arn": "arn:aws:iam::123456789012:role/reports",
        "configure_cloudwatch_logs": True,
        "vpc_id": "vpc-1",
        "family": "reports",
        "launch_type": "EC2",
        "auto_deregister_task_definition": False,
    }
    got = brought(pool(**fields, command="python -m report", cloudwatch_logs_prefix="pool"))
    assert got == fields | {
        "container_name": "prefect",
        "command": ["python", "-m", "report"],
        "cloudwatch_logs_options": {"awslogs-stream-prefix": "pool"},
    }


def test_an_untouched_pool(brought: Any) -> None:
    """The template that a new pool has says nothing but the launch type and the container's name."""
    assert brought(pool()) == {"launch_type": "FARGATE", "container_name": "prefect"}


def test_a_network_and_a_strategy_of_a_pool(brought: Any) -> None:
    """A pool's network and its strategy become arguments of `run_task`; the strategy takes the launch type's place."""
    strategy = [{"capacityProvider": "gpu", "weight": 1, "base": 0}]
    network = {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}
    got = brought(pool(capacity_provider_strategy=strategy, network_configuration=network, vpc_id="vpc-1"))
    request = {"capacityProviderStrategy": strategy, "networkConfiguration": {"awsvpcConfiguration": network}}
    assert got == {"task_run_request": request, "container_name": "prefect"}


def test_what_somebody_wrote_into_a_template_stays(brought: Any) -> None:
    """Parts of a definition or a request that are no field here stay, in their place."""
    container = {
        "name": "{{ container_name }}",
        "image": "{{ image }}",
        "linuxParameters": {"initProcessEnabled": True},
    }
    volumes = [{"name": "data"}]
    configuration = {
        "task_definition": {"containerDefinitions": [container], "volumes": volumes},
        "task_run_request": {"launchType": "FARGATE", "enableExecuteCommand": True, "overrides": {}},
    }
    assert brought(pool(configuration, image="img")) == {
        "launch_type": "FARGATE",
        "image": "img",
        "container_name": "prefect",
        "task_definition": {
            "containerDefinitions": [{"name": "prefect", "linuxParameters": {"initProcessEnabled": True}}],
            "volumes": volumes,
        },
        "task_run_request": {"enableExecuteCommand": True},
    }


def test_a_linked_definition_of_a_pool(brought: Any) -> None:
    """Where a pool names a definition, the one in its template is moot, here as there."""
    got = brought(pool(task_definition_arn="reports:3", image="img", cluster="c"))
    assert got == {"launch_type": "FARGATE", "task_definition_arn": "reports:3", "cluster": "c"}


def test_a_pool_as_an_api_gives_it(brought: Any) -> None:
    """What the API says about a pool holds its template."""
    document = {"name": "reports", "type": "ecs", "base_job_template": pool(image="img")}
    assert brought(document)["image"] == "img"


def test_a_template_of_ours(brought: Any) -> None:
    """The template that a block of ours gives comes back as that block."""
    from ecs_block import ECSTask

    block = ECSTask(
        image="img", command=["a", "b"], labels={"x": "y"}, task_customizations=BLOCK["task_customizations"]
    )
    got = brought(block.generate_work_pool_base_job_template())
    assert ECSTask(**{**got, "type": "ecs-task"}).preview() == block.preview()


def test_a_key_for_prefect_s_own_server_is_left_out(brought: Any) -> None:
    """What has no meaning here is left out, and that is told."""
    got = brought(pool(prefect_api_key_secret_arn="arn:aws:secretsmanager:eu-west-1:123456789012:secret:key"))
    assert "prefect_api_key_secret_arn" not in got
    assert "prefect_api_key_secret_arn did not carry over" in brought.said


def test_names_and_overwriting(ecs_block: Any, tmp_path: Path) -> None:
    """Without --name the file's name is taken; a block that is there is replaced only when that is asked for."""
    path = tmp_path / "My Block.json"
    path.write_text(json.dumps(BLOCK))
    assert ecs_block("block", "import", str(path)).returncode == 0
    assert ecs_block("block", "ls").stdout == "my-block\n"
    again = ecs_block("block", "import", str(path))
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    assert ecs_block("block", "import", "--overwrite", str(path)).returncode == 0


def test_a_block_of_ours(ecs_block: Any, tmp_path: Path) -> None:
    """A block file of ours, YAML too, is saved under a name."""
    (tmp_path / "nightly.yaml").write_text("image: img\ncommand: [echo, hi]\n")
    assert ecs_block("block", "import", str(tmp_path / "nightly.yaml")).returncode == 0
    assert json.loads(ecs_block("block", "show", "nightly").stdout)["image"] == "img"


REFUSED = {
    "a masked secret": (
        {**BLOCK, "aws_credentials": {"aws_access_key_id": "AK", "aws_secret_access_key": "**********"}},
        "aws_credentials.aws_secret_access_key is masked",
    ),
    "a reference to another block": (
        pool(aws_credentials={"$ref": {"block_document_id": "1"}}),
        "only Prefect's server knows",
    ),
    "a secret of a server": (
        pool(env={"KEY": "{{ prefect.blocks.secret.key }}"}),
        "uses {{ prefect.blocks.secret.key }}",
    ),
    "a block of another kind": ({**BLOCK, "block_type_slug": "docker-container"}, "only 'ecs-task' can be loaded"),
    "an unknown field": (pool({"launch_typ": "EC2"}), "Did you mean 'launch_type'?"),
    "a wrong value": (pool(cpu=-1), "cpu"),
}


@pytest.mark.parametrize(("document", "told"), REFUSED.values(), ids=REFUSED)
def test_refused(ecs_block: Any, tmp_path: Path, document: Any, told: str) -> None:
    """What cannot be resolved here, and what cannot be right, is exit code 2 with file and line, and nothing is saved."""
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document, indent=1))
    done = ecs_block("block", "import", str(path))
    assert done.returncode == 2
    assert f"{path}:" in done.stderr
    assert told in done.stderr
    assert ecs_block("block", "ls").stdout == ""


def test_no_file(ecs_block: Any, tmp_path: Path) -> None:
    """A file that is not there is named."""
    done = ecs_block("block", "import", str(tmp_path / "nix.json"))
    assert done.returncode == 2
    assert "There is no block file" in done.stderr
