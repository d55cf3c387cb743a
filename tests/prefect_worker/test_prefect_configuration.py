"""From a pool's template and values to the task, without a server."""

from __future__ import annotations

import asyncio
import uuid
import warnings
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Prefect's own
    from prefect.client.schemas.objects import Flow, FlowRun

from ecs_block import ECSTask, InvalidTask
from ecs_block.prefect import EcsBlockJobConfiguration, EcsBlockWorker
from ecs_block.prefect.runs import flow_run_of, run_id_of

KEY = "pnu_0123456789abcdef"
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf"


def prepared(template: dict[str, Any] | None = None, **values: Any) -> EcsBlockJobConfiguration:
    """Prepare a flow run as a worker does."""
    template = template or EcsBlockWorker.get_default_base_job_template()

    async def work() -> EcsBlockJobConfiguration:
        return await EcsBlockJobConfiguration.from_template_and_values(template, values, client=object())  # type: ignore[arg-type]

    configuration = asyncio.run(work())
    flow = Flow(id=uuid.uuid4(), name="etl", labels={})
    configuration.prepare_for_flow_run(FlowRun(id=uuid.uuid4(), name="odd-otter", flow_id=flow.id), flow=flow)
    return configuration


def test_nothing_is_set_that_nobody_set() -> None:
    """A template's defaults that are a task's own do not win over what they would leave open."""
    task = prepared().task()
    assert {name for name in task.model_fields_set if name not in ("type",)} == {
        "command",
        "env",
        "labels",
        "image",
        "family",
    }
    strategy = {"capacityProviderStrategy": [{"capacityProvider": "gpu"}]}
    task = prepared(task_run_request=strategy, cpu=256, memory=512).task()
    assert "launch_type" not in task.model_fields_set
    assert (task.cpu, task.memory, task.command) == (256, 512, ["prefect", "flow-run", "execute"])
    assert task.family == "ecs-block__etl"
    assert (task.image or "").startswith("prefecthq/prefect:3.")


def test_a_command_is_a_line_or_a_list() -> None:
    """Both come to the same words."""
    assert prepared(command="sh -c 'a b'").task().command == ["sh", "-c", "a b"]
    assert prepared(command=["sh", "-c", "a b"]).task().command == ["sh", "-c", "a b"]


def test_the_api_key_is_hidden() -> None:
    """It is sent, and shown nowhere."""
    task = prepared(env={"PREFECT_API_KEY": KEY, "N": 1, "R": {"$secret": "env:R"}}).task()
    assert KEY not in repr(task) + task.preview() + task.model_dump_json()
    assert task.env["PREFECT_API_KEY"].get_secret_value() == KEY  # type: ignore[union-attr]
    assert (task.env["N"], task.env["R"].reference) == ("1", "env:R")  # type: ignore[union-attr]


def test_ecs_gives_the_api_key() -> None:
    """With the ARN of a secret it is in the definition, and not sent."""
    values = {"prefect_api_key_secret_arn": ARN, "execution_role_arn": "arn:aws:iam::123456789012:role/x"}
    task = prepared(env={"PREFECT_API_KEY": KEY}, image="etl:1", **values).task()
    assert task.task_definition == {
        "containerDefinitions": [{"name": "main", "secrets": [{"name": "PREFECT_API_KEY", "valueFrom": ARN}]}]
    }
    assert "PREFECT_API_KEY" not in task.env
    with pytest.raises(InvalidTask, match="etl:3"):
        prepared(task_definition_arn="etl:3", **values).task()


def test_null_removes_a_variable() -> None:
    """It is not sent, and taken out of the definition."""
    assert prepared(env={"PREFECT_API_URL": None}).task().env["PREFECT_API_URL"] is None


def test_prefects_credentials() -> None:
    """A block of Prefect's is read as what it is."""
    block = {
        "region_name": "eu-west-1",
        "aws_client_parameters": {"endpoint_url": "http://127.0.0.1:1"},
        "profile_name": None,
    }
    found = prepared(aws_credentials=block).task().aws_credentials
    assert (found.region_name, found.endpoint_url) == ("eu-west-1", "http://127.0.0.1:1")


def test_a_field_that_there_is_not() -> None:
    """It is refused, with the nearest one."""
    template = EcsBlockWorker.get_default_base_job_template()
    template["job_configuration"]["clutser"] = "prod"
    with pytest.raises(InvalidTask, match="cluster"):
        prepared(template).task()


def test_a_block_is_a_template() -> None:
    """The template of a block of ours works as a pool's."""
    template = ECSTask(cpu=512, memory=1024, labels={"team": "data"}).generate_work_pool_base_job_template()
    task = prepared(template).task()
    assert (task.cpu, task.labels["team"], task.labels["prefect.io/flow-name"]) == (512, "data", "etl")


def test_the_run_id_is_of_the_scheduling() -> None:
    """The same one gives the same id, another one another, and the flow run can be told from it."""
    flow_run = FlowRun(id=uuid.uuid4(), flow_id=uuid.uuid4(), state_id=uuid.uuid4())
    again = flow_run.model_copy(update={"state_id": uuid.uuid4()})
    assert run_id_of(flow_run) == run_id_of(flow_run.model_copy()) != run_id_of(again)
    assert flow_run_of(run_id_of(flow_run)) == flow_run_of(run_id_of(again)) == flow_run.id
    assert [flow_run_of(name) for name in ("nightly", "prefect/nightly", "agent/x")] == [None] * 3
