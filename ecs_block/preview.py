"""What would be sent, and which permissions that takes: built by the same functions as the run.

Placeholders stand where only AWS knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecs_block.aws import AwsCredentials, input_shape, redactor
from ecs_block.engine.order import identity
from ecs_block.plan import policy
from ecs_block.plan import sketch as plans
from ecs_block.plan.fields import TaskFields
from ecs_block.plan.image import official_python_image
from ecs_block.plan.request import variables_of
from ecs_block.plan.secret import plain


def preview(fields: TaskFields, credentials: AwsCredentials) -> str:
    """Give the task definition and the run request as two YAML documents, secrets masked. No AWS call is made."""
    return yaml_of(documents(fields, credentials))


def yaml_of(shown: Mapping[str, Any]) -> str:
    """Write what `documents` gives as two YAML documents."""
    return _yaml("Task definition", shown["task_definition"]) + _yaml("Task run request", shown["run_request"])


def documents(fields: TaskFields, credentials: AwsCredentials, *, run_id: str | None = None) -> dict[str, Any]:
    """Give the task definition and the run request, with a run id those of exactly this run, secrets masked.

    No AWS call is made.
    """
    plan, request = _planned(fields, credentials.region() or plans.REGION, variables_of(run_id, 1))
    if run_id is not None:
        token, started_by = identity(run_id, 1, request.get("cluster"))
        request = {"startedBy": started_by, **request, "clientToken": token}
    definition: Any = plan.definition if fields.task_definition_arn is None else _linked(fields.task_definition_arn)
    return {"task_definition": redactor().payload(definition), "run_request": redactor().payload(request)}


def policies(
    fields: TaskFields, credentials: AwsCredentials, *, account: str = "*", check: bool = False
) -> dict[str, Any]:
    """Give the least IAM policies for a block: the caller's, and those of its roles, with what may assume them.

    `account` limits the resources; `*` stands for any, and for the region where none is known. With `check`, the caller may
    also look at all that a run needs.
    """
    region = credentials.region() or "*"
    plan, request = _planned(fields, region)
    events = credentials.task_events_queue_url
    return {
        "caller": policy.caller_policy(fields, plan, request, region, account=account, events=events, check=check),
        "execution_role": {
            "trust": policy.TRUST,
            "policy": policy.execution_role_policy(plan, region, account=account),
        },
        "task_role": {"trust": policy.TRUST, "policy": policy.task_role_policy(request)},
    }


def _planned(
    fields: TaskFields, region: str, variables: Mapping[str, str] | None = None
) -> tuple[plans.Sketch, dict[str, Any]]:
    facts = plans.Facts(region=region, default_image=official_python_image(), reveal=plain, variables=variables or {})
    plan = plans.sketch(fields, plans.stand_in(fields), facts)
    if fields.task_definition_arn is None:
        plans.check_definition(plan.definition, input_shape("RegisterTaskDefinition"))
    arn = fields.task_definition_arn or plans.AT_RUNTIME
    request = plans.run_request(fields, plan, facts, task_definition=arn)
    plans.check_request(request, input_shape("RunTask"))
    return plan, request


def _linked(arn: str) -> dict[str, str]:
    return {"taskDefinitionArn": arn, "containerDefinitions": "<read at runtime>"}


def _yaml(title: str, shown: Any) -> str:
    import yaml

    body = yaml.safe_dump(shown, sort_keys=False, default_flow_style=False, allow_unicode=True, width=120)
    return f"---\n# {title}\n{body}"
