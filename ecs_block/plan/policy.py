"""The least IAM policies with which a block runs: the caller's, and those of its two roles.

Which resources an action can be limited to comes from the service authorization reference (Amazon ECS, CloudWatch Logs, EC2,
SSM, Secrets Manager). Where an action knows none, `*` stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ecs_block.arn import DEFAULT_CLUSTER, short_name
from ecs_block.plan.fields import TaskFields
from ecs_block.plan.secret import SecretReference
from ecs_block.plan.sketch import Sketch

Statement = dict[str, Any]
Policy = dict[str, Any]

TRUST: Policy = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def caller_policy(
    fields: TaskFields,
    plan: Sketch,
    request: Mapping[str, Any],
    region: str,
    *,
    account: str = "*",
    events: str | None = None,
    check: bool = False,
) -> Policy:
    """Give what the caller of `run` needs for exactly this block; `events` is the URL of the queue of task events.

    It serves also who waits for its tasks, stops, lists or resumes them, reads their logs, or asks what a run would change.
    With `check`, it serves who looks at all beforehand, too.
    """
    arn = _Arns(region, account, short_name(str(request.get("cluster") or DEFAULT_CLUSTER)))
    return _policy(
        [
            _allow("Definition", ["ecs:DescribeTaskDefinition", *_registering(fields)], ["*"]),
            _allow("Launch", ["ecs:RunTask"], [arn.definition(_family(fields, plan))]),
            _allow("Watch", ["ecs:DescribeTasks", "ecs:StopTask"], [arn.ecs(f"task/{arn.cluster}/*")]),
            {
                **_allow("Find", ["ecs:ListTasks"], ["*"]),
                "Condition": {"ArnEquals": {"ecs:cluster": arn.ecs(f"cluster/{arn.cluster}")}},
            },
            *_tagging(fields, plan, request, arn),
            *_passing(plan, request),
            *_looking_up(plan, request),
            *_reading_logs(fields, plan, arn),
            *_reading_secrets([*fields.env.values(), *fields.cloudwatch_logs_options.values()], arn),
            *([_allow("Events", ["sqs:ReceiveMessage", "sqs:DeleteMessage"], [_queue(events)])] if events else []),
            *(_checking(plan, request, arn) if check else []),
        ]
    )


def execution_role_policy(plan: Sketch, region: str, *, account: str = "*") -> Policy:
    """Give what ECS itself needs to start the task: pull images, write logs, read the definition's secrets."""
    arn = _Arns(region, account, "")
    containers: Sequence[Mapping[str, Any]] = plan.definition.get("containerDefinitions") or []
    statements = []
    registries = sorted({image for item in containers if ".dkr.ecr." in (image := str(item.get("image", "")))})
    if registries:
        pull = ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]
        statements += [_allow("Login", ["ecr:GetAuthorizationToken"], ["*"])]
        statements += [_allow("Pull", pull, sorted({_repository(image) for image in registries}))]
    groups: dict[str, bool] = {}
    for item in containers:
        logging = item.get("logConfiguration") or {}
        options = logging.get("options") or {}
        if logging.get("logDriver") == "awslogs" and "awslogs-group" in options:
            groups[options["awslogs-group"]] = options.get("awslogs-create-group") == "true"
    for group, create in groups.items():
        actions = ["logs:CreateLogStream", "logs:PutLogEvents", *(["logs:CreateLogGroup"] if create else [])]
        statements.append(_allow("Logs", actions, [arn.log_group(group), f"{arn.log_group(group)}:*"]))
    secrets = _definition_secrets(plan)
    statements += _secret_statements(
        [name for name in secrets if ":secretsmanager:" not in name],
        [_whole_secret(name) for name in secrets if ":secretsmanager:" in name],
        arn,
        many=True,
    )
    return _policy(statements)


def task_role_policy(request: Mapping[str, Any]) -> Policy:
    """Give what the program's own role needs for the request; what the program itself does, only its author knows."""
    if not request.get("enableExecuteCommand"):
        return _policy([])
    names = ("CreateControlChannel", "CreateDataChannel", "OpenControlChannel", "OpenDataChannel")
    return _policy([_allow("Exec", [f"ssmmessages:{name}" for name in names], ["*"])])


class _Arns:
    def __init__(self, region: str, account: str, cluster: str) -> None:
        self.region, self.account, self.cluster = region, account, cluster

    def of(self, service: str, resource: str) -> str:
        return f"arn:{_partition(self.region)}:{service}:{self.region}:{self.account}:{resource}"

    def ecs(self, resource: str) -> str:
        return self.of("ecs", resource)

    def definition(self, family: str) -> str:
        return family if family.startswith("arn:") else self.ecs(f"task-definition/{family}")

    def log_group(self, group: str) -> str:
        return self.of("logs", f"log-group:{group}")


def _policy(statements: Iterable[Statement]) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(name: str, actions: Sequence[str], resources: Sequence[str]) -> Statement:
    return {"Sid": name, "Effect": "Allow", "Action": list(actions), "Resource": list(resources)}


def _registering(fields: TaskFields) -> list[str]:
    deregisters = getattr(fields, "auto_deregister_task_definition", False)
    return ["ecs:RegisterTaskDefinition", *(["ecs:DeregisterTaskDefinition"] if deregisters else [])]


def _family(fields: TaskFields, plan: Sketch) -> str:
    """Name the revisions that may be run: a linked definition may have to be copied within its family."""
    linked = fields.task_definition_arn
    if linked is None:
        return f"{plan.definition['family']}:*"
    return (
        linked
        if linked.startswith("arn:") and ":" in linked.rsplit("/", 1)[-1]
        else f"{linked.rsplit('/', 1)[-1].split(':')[0]}:*"
    )


def _tagging(fields: TaskFields, plan: Sketch, request: Mapping[str, Any], arn: _Arns) -> list[Statement]:
    created = ["RunTask"] if request.get("tags") or request.get("propagateTags") else []
    created += ["RegisterTaskDefinition"] if plan.definition.get("tags") else []
    if not created:
        return []
    resources = [
        arn.ecs(f"task/{arn.cluster}/*"),
        *([arn.ecs("task-definition/*")] if len(created) > 1 or not request.get("tags") else []),
    ]
    condition = {"StringEquals": {"ecs:CreateAction": created}}
    return [{**_allow("Tag", ["ecs:TagResource"], resources), "Condition": condition}]


def _passing(plan: Sketch, request: Mapping[str, Any]) -> list[Statement]:
    roles = _roles(plan, request)
    if not roles:
        return []
    condition = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    return [{**_allow("PassRoles", ["iam:PassRole"], roles), "Condition": condition}]


def _roles(plan: Sketch, request: Mapping[str, Any]) -> list[str]:
    places = (plan.definition, request.get("overrides") or {})
    return sorted({str(place[m]) for m in ("executionRoleArn", "taskRoleArn") for place in places if place.get(m)})


def _checking(plan: Sketch, request: Mapping[str, Any], arn: _Arns) -> list[Statement]:
    """Give what `check` looks at and a run does not. sts:GetCallerIdentity needs no permission."""
    statements = [_allow("CheckCluster", ["ecs:DescribeClusters"], [arn.ecs(f"cluster/{arn.cluster}")])]
    anywhere = ["ec2:DescribeSubnets", "ec2:DescribeRouteTables"] if plan.needs_network else []
    if roles := _roles(plan, request):
        statements.append(_allow("CheckRoles", ["iam:GetRole"], roles))
        anywhere.append("iam:SimulatePrincipalPolicy")
    if "awslogs-group" in (plan.log_options or {}):
        anywhere.append("logs:DescribeLogGroups")
    secrets = _definition_secrets(plan)
    if kept := [_whole_secret(name) for name in secrets if ":secretsmanager:" in name]:
        statements.append(_allow("CheckSecrets", ["secretsmanager:DescribeSecret"], kept))
    if len(kept) < len(secrets):
        anywhere.append("ssm:DescribeParameters")
    return [*statements, *([_allow("Check", anywhere, ["*"])] if anywhere else [])]


def _definition_secrets(plan: Sketch) -> list[str]:
    containers: Sequence[Mapping[str, Any]] = plan.definition.get("containerDefinitions") or []
    return sorted({str(secret["valueFrom"]) for item in containers for secret in item.get("secrets") or []})


def _whole_secret(name: str) -> str:
    """Give the ARN of a secret of which a definition may name a field."""
    return ":".join(name.split(":")[:7])


def _looking_up(plan: Sketch, request: Mapping[str, Any]) -> list[Statement]:
    awsvpc = (request.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    waits = any(str(subnet).startswith("<") for subnet in awsvpc.get("subnets") or [])
    if not (plan.needs_network and waits):
        return []
    return [_allow("Network", ["ec2:DescribeVpcs", "ec2:DescribeSubnets"], ["*"])]


def _reading_logs(fields: TaskFields, plan: Sketch, arn: _Arns) -> list[Statement]:
    options = plan.log_options
    if options is None or "awslogs-group" not in options:
        return []
    group = arn.log_group(options["awslogs-group"])
    return [_allow("ReadLogs", ["logs:GetLogEvents", "logs:FilterLogEvents"], [group, f"{group}:*"])]


def _reading_secrets(values: Iterable[Any], arn: _Arns) -> list[Statement]:
    references = [value for value in values if isinstance(value, SecretReference)]
    return _secret_statements(
        sorted({item.name for item in references if item.kind == "ssm"}),
        sorted({item.name for item in references if item.kind == "secretsmanager"}),
        arn,
        many=False,
    )


def _secret_statements(parameters: Sequence[str], secrets: Sequence[str], arn: _Arns, *, many: bool) -> list[Statement]:
    statements = []
    if parameters:
        named = [
            name if name.startswith("arn:") else arn.of("ssm", f"parameter/{name.lstrip('/')}") for name in parameters
        ]
        statements.append(_allow("Parameters", ["ssm:GetParameters" if many else "ssm:GetParameter"], named))
    if secrets:
        # Secrets Manager adds six characters of its own to a name.
        named = [
            name if name.startswith("arn:") else arn.of("secretsmanager", f"secret:{name}-??????") for name in secrets
        ]
        statements.append(_allow("Secrets", ["secretsmanager:GetSecretValue"], named))
    return statements


def _repository(image: str) -> str:
    registry, _, path = image.partition("/")
    account, _, _, region = registry.split(".")[:4]
    name = path.split("@")[0].rsplit(":", 1)[0]
    return f"arn:{_partition(region)}:ecr:{region}:{account}:repository/{name}"


def _partition(region: str) -> str:
    return "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"


def _queue(url: str) -> str:
    host, account, name = url.split("//", 1)[-1].split("/", 2)
    parts = host.split(".")
    return f"arn:aws:sqs:{parts[1] if len(parts) > 2 else '*'}:{account}:{name}"
