"""What would be sent, as YAML: built by the same functions as the run, with placeholders where only AWS knows."""

from __future__ import annotations

from typing import Any

from ecs_block.aws import AwsCredentials, input_shape, redactor
from ecs_block.plan import sketch as plans
from ecs_block.plan.fields import TaskFields
from ecs_block.plan.image import official_python_image
from ecs_block.plan.secret import plain


def preview(fields: TaskFields, credentials: AwsCredentials) -> str:
    """Give the task definition and the run request as two YAML documents, secrets masked. No AWS call is made."""
    facts = plans.Facts(
        region=credentials.region() or plans.REGION,
        default_image=official_python_image(),
        reveal=plain,
        variables={},
    )
    plan = plans.sketch(fields, plans.stand_in(fields), facts)
    if fields.task_definition_arn is None:
        plans.check_definition(plan.definition, input_shape("RegisterTaskDefinition"))
    arn = fields.task_definition_arn or plans.AT_RUNTIME
    request = plans.run_request(fields, plan, facts, task_definition=arn)
    plans.check_request(request, input_shape("RunTask"))
    definition: Any = plan.definition if fields.task_definition_arn is None else _linked(fields.task_definition_arn)
    return _document("Task definition", definition) + _document("Task run request", request)


def _linked(arn: str) -> dict[str, str]:
    return {"taskDefinitionArn": arn, "containerDefinitions": "<read at runtime>"}


def _document(title: str, content: Any) -> str:
    import yaml

    shown = redactor().payload(content)
    body = yaml.safe_dump(shown, sort_keys=False, default_flow_style=False, allow_unicode=True, width=120)
    return f"---\n# {title}\n{body}"
