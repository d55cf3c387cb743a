"""Look at everything that a run needs, before one is started. Nothing is changed at AWS, and nothing is started.

Each look is a function that yields what it finds. What may not be looked at is told as such, with the permission that lacks: a
run may work all the same.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import unquote

from ecs_block.arn import DEFAULT_CLUSTER, short_name
from ecs_block.aws import input_shape, output_only
from ecs_block.engine import network, registry
from ecs_block.engine.prepare import Run
from ecs_block.engine.secrets import revealer
from ecs_block.errors import AwsError, EcsBlockError, Kind, NoCredentials
from ecs_block.plan import sameness
from ecs_block.plan import sketch as plans
from ecs_block.plan.checkup import Checkup, Finding, failed, ok, unseen, warning
from ecs_block.plan.definition import LARGEST_DEFINITION
from ecs_block.plan.image import foreign_registry, is_reference, official_python_image
from ecs_block.plan.request import LONGEST_OVERRIDES, overrides_size
from ecs_block.plan.route import way_out
from ecs_block.plan.sketch import Facts, Sketch

Findings = AsyncIterator[Finding]
Look = Callable[["Subject"], Findings]


@dataclass
class Subject:
    """What is looked at, and what earlier looks have found."""

    run: Run
    caller: str = ""
    """ARN of who asks."""
    linked: Mapping[str, Any] | None = None
    plan: Sketch | None = None
    request: dict[str, Any] = field(default_factory=dict)

    async def ask(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        """Ask AWS."""
        return await self.run.conversation.ask(service, operation, **params)

    @property
    def cluster(self) -> str:
        """The cluster that the run goes to."""
        return str(self.request.get("cluster") or self.run.fields.cluster or DEFAULT_CLUSTER)


async def check(run: Run, tell: Callable[[Finding], None] | None = None) -> Checkup:
    """Look at everything, and tell each finding when it is there."""
    found: list[Finding] = []
    subject = Subject(run)
    for name, look in _LOOKS.items():
        async for finding in _guarded(name, look, subject):
            found.append(finding)
            if tell is not None:
                tell(finding)
        if name == "credentials" and found[-1].state == "failed":
            break  # nothing else can be looked at
    return Checkup(tuple(found))


async def _guarded(name: str, look: Look, subject: Subject) -> Findings:
    try:
        async for finding in look(subject):
            yield finding
    except AwsError as error:
        if error.kind is Kind.DENIED and not isinstance(error, NoCredentials):
            yield unseen(name, f"it may not be looked at. {error}")
        else:
            yield failed(name, str(error))
    except EcsBlockError as error:
        yield failed(name, str(error))


async def _credentials(subject: Subject) -> Findings:
    region = subject.run.conversation.aws.region
    answer = await subject.ask("sts", "GetCallerIdentity")
    subject.caller = str(answer.get("Arn", ""))
    yield ok("credentials", f"{subject.caller} in account {answer.get('Account')}.")
    yield ok("region", f"{region}.")


async def _secrets(subject: Subject) -> Findings:
    fields = subject.run.fields
    given = [*fields.env.values(), *fields.cloudwatch_logs_options.values()]
    references = [value for value in given if value is not None and not isinstance(value, str)]
    if not references:
        return
    await revealer(subject.run.conversation, references)  # raises for one that is not there
    yield ok("secrets", f"{len(references)} of the block can be read.")


async def _definition(subject: Subject) -> Findings:
    run = subject.run
    fields, conversation = run.fields, run.conversation
    if fields.task_definition_arn is not None:
        subject.linked = await registry.describe_linked(conversation, fields.task_definition_arn)
    facts = Facts(conversation.aws.region, official_python_image(), _measured, {})
    subject.plan = plan = plans.sketch(fields, subject.linked, facts)
    subject.request = plans.run_request(fields, plan, facts)
    if subject.linked is not None and sameness.same(subject.linked, plan.definition, output_only()):
        yield ok(
            "task definition", f"{short_name(str(subject.linked['taskDefinitionArn']))} is active, and used as it is."
        )
        return
    wanted = sameness.registrable(plan.definition, output_only())
    plans.check_definition(wanted, input_shape("RegisterTaskDefinition"))
    known = await registry.latest_of(conversation, wanted["family"])
    if known is not None and sameness.same(known, wanted, output_only()):
        yield ok("task definition", f"{short_name(str(known['taskDefinitionArn']))} would be reused.")
    else:
        yield ok("task definition", f"a revision of {wanted['family']} would be registered.")


async def _size(subject: Subject) -> Findings:
    if subject.plan is None:
        return
    overrides = overrides_size(subject.request.get("overrides") or {})
    definition = len(json.dumps(subject.plan.definition, default=str))
    said = f"overrides {overrides} of {LONGEST_OVERRIDES} characters, definition {definition} of {LARGEST_DEFINITION} bytes."
    tight = overrides > 0.9 * LONGEST_OVERRIDES or definition > 0.9 * LARGEST_DEFINITION
    yield (
        warning("size", said, "Little is left: move large values to a file or a secret.") if tight else ok("size", said)
    )


async def _image(subject: Subject) -> Findings:
    for container in (subject.plan.definition.get("containerDefinitions") or []) if subject.plan else []:
        image = str(container.get("image", ""))
        if not is_reference(image):
            yield failed(
                "image", f"{image!r} is no image reference.", "Write [registry/]name[:tag], the name in lower case."
            )
        elif (region := foreign_registry(image, subject.run.conversation.aws.region)) is not None:
            yield warning("image", f"{image} is in {region}, and the task is not: pulls are slower, and cost transfer.")
        else:
            yield ok("image", f"{image} is a well-formed name; whether the registry has it is not looked at.")


async def _cluster(subject: Subject) -> Findings:
    answer = await subject.ask("ecs", "DescribeClusters", clusters=[subject.cluster])
    found = next(iter(answer.get("clusters") or []), None)
    if found is None or found.get("status") != "ACTIVE":
        state = f"is {found['status']}" if found else "does not exist"
        create = f"Create it (aws ecs create-cluster --cluster-name {short_name(subject.cluster)}), or name another."
        yield failed("cluster", f"{subject.cluster} {state} in region {subject.run.conversation.aws.region}.", create)
        return
    yield ok("cluster", f"{found.get('clusterName')} is active.")
    async for finding in _capacity(subject, found):
        yield finding


async def _capacity(subject: Subject, cluster: Mapping[str, Any]) -> Findings:
    strategy = subject.request.get("capacityProviderStrategy") or []
    attached = set(cluster.get("capacityProviders") or [])
    missing = [item["capacityProvider"] for item in strategy if item["capacityProvider"] not in attached]
    if missing:
        attach = f"aws ecs put-cluster-capacity-providers --cluster {cluster.get('clusterName')} --capacity-providers "
        names = " ".join([*sorted(attached), *missing])
        told = f"{', '.join(missing)} is not attached to the cluster."
        yield failed(
            "capacity", told, f"Attach it ({attach}{names} --default-capacity-provider-strategy []), or use FARGATE."
        )
    elif strategy:
        yield ok("capacity", f"{', '.join(item['capacityProvider'] for item in strategy)} is attached to the cluster.")
    elif subject.request.get("launchType") in ("EC2", "EXTERNAL"):
        count = int(cluster.get("registeredContainerInstancesCount") or 0)
        if count:
            yield ok("capacity", f"{count} container instances are registered.")
        else:
            yield failed(
                "capacity", "the cluster has no container instances.", "Register some, or use launch_type FARGATE."
            )


async def _network(subject: Subject) -> Findings:
    if subject.plan is None or not subject.plan.needs_network:
        return
    awsvpc = (subject.request.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    if plans.waits_for_subnets(subject.run.fields, subject.request):
        subnets = list(await network.subnets_of(subject.run.conversation, subject.run.fields.vpc_id))
    else:
        subnets = list(awsvpc.get("subnets") or [])
    described = await subject.ask("ec2", "DescribeSubnets", SubnetIds=subnets)
    vpcs = sorted({str(item.get("VpcId")) for item in described.get("Subnets") or []})
    zones = {item.get("AvailabilityZone") for item in described.get("Subnets") or []}
    yield ok("network", f"{len(subnets)} subnets in {len(zones)} zones of {', '.join(vpcs)}.")
    tables = await subject.run.conversation.pages(
        "ec2", "DescribeRouteTables", "RouteTables", Filters=[{"Name": "vpc-id", "Values": vpcs}]
    )
    ways = {subnet: way_out(subnet, tables) for subnet in subnets}
    yield _way_out(ways, public_ip=awsvpc.get("assignPublicIp") == "ENABLED")


def _way_out(ways: Mapping[str, str], *, public_ip: bool) -> Finding:
    closed = [subnet for subnet, way in ways.items() if way == "none" or (way == "public" and not public_ip)]
    if not closed:
        return ok("way out", "every subnet reaches the internet.")
    why = "no route out" if ways[closed[0]] == "none" else "a route out, but the task gets no public IP"
    shown = ", ".join(closed[:2]) + (", …" if len(closed) > 2 else "")
    return warning(
        "way out",
        f"{len(closed)} of {len(ways)} subnets ({shown}): {why}. Images and secrets can be had through VPC endpoints only.",
        "Use public subnets with assignPublicIp ENABLED, a NAT gateway, or VPC endpoints for ECR, S3, CloudWatch Logs, SSM and "
        "Secrets Manager.",
    )


async def _roles(subject: Subject) -> Findings:
    definition = subject.plan.definition if subject.plan else {}
    overrides = subject.request.get("overrides") or {}
    for member in ("executionRoleArn", "taskRoleArn"):
        arn = overrides.get(member) or definition.get(member)
        if arn:
            name = "execution role" if member == "executionRoleArn" else "task role"
            async for finding in _guarded(name, partial(_role, name=name, arn=str(arn)), subject):
                yield finding


async def _role(subject: Subject, *, name: str, arn: str) -> Findings:
    short = short_name(arn)
    try:
        role = (await subject.ask("iam", "GetRole", RoleName=short))["Role"]
    except AwsError as error:
        if error.code == "NoSuchEntity":
            yield failed(name, f"{short} does not exist.", "Create it, or name another.")
            return
        raise
    trust = role.get("AssumeRolePolicyDocument") or {}
    text = unquote(trust) if isinstance(trust, str) else json.dumps(trust)
    if "ecs-tasks.amazonaws.com" not in text:
        yield failed(
            name,
            f"{short} does not trust ecs-tasks.amazonaws.com.",
            "Allow it sts:AssumeRole in the role's trust policy.",
        )
        return
    yield ok(name, f"{short} exists and trusts ECS tasks.")
    async for finding in _guarded("iam:PassRole", partial(_passes, arn=arn), subject):
        yield finding


async def _passes(subject: Subject, *, arn: str) -> Findings:
    try:
        answer = await subject.ask(
            "iam", "SimulatePrincipalPolicy",
            PolicySourceArn=_principal(subject.caller), ActionNames=["iam:PassRole"], ResourceArns=[arn],
        )  # fmt: skip
    except AwsError:
        yield unseen(
            "iam:PassRole", f"whether you may pass {short_name(arn)} cannot be seen (iam:SimulatePrincipalPolicy)."
        )
        return
    decision = next((item.get("EvalDecision") for item in answer.get("EvaluationResults") or []), "")
    if decision == "allowed":
        yield ok("iam:PassRole", f"you may pass {short_name(arn)} to ECS.")
    else:
        yield failed("iam:PassRole", f"you may not pass {short_name(arn)} to ECS.", f"Allow iam:PassRole on {arn}.")


def _principal(caller: str) -> str:
    """Name the role of an assumed role's session: a policy belongs to that."""
    if ":assumed-role/" not in caller:
        return caller
    head, _, rest = caller.partition(":assumed-role/")
    return f"{head.replace(':sts:', ':iam:')}:role/{rest.split('/')[0]}"


async def _logs(subject: Subject) -> Findings:
    options = subject.plan.log_options if subject.plan else None
    if options is None or "awslogs-group" not in options:
        return
    group = options["awslogs-group"]
    answer = await subject.ask(
        "logs", "DescribeLogGroups", region=options.get("awslogs-region"), logGroupNamePrefix=group
    )
    if any(item.get("logGroupName") == group for item in answer.get("logGroups") or []):
        yield ok("log group", f"{group} exists.")
    elif options.get("awslogs-create-group") == "true":
        yield ok("log group", f"{group} will be created; the execution role needs logs:CreateLogGroup for that.")
    else:
        create = f"Create it (aws logs create-log-group --log-group-name {group}), or set awslogs-create-group to true."
        yield failed("log group", f"{group} does not exist, so the task could not start.", create)


async def _definition_secrets(subject: Subject) -> Findings:
    containers = (subject.plan.definition.get("containerDefinitions") or []) if subject.plan else []
    for name in sorted({str(item.get("valueFrom")) for each in containers for item in each.get("secrets") or []}):
        async for finding in _guarded("secret", partial(_secret, name=name), subject):
            yield finding


async def _secret(subject: Subject, *, name: str) -> Findings:
    try:
        if ":secretsmanager:" in name:
            await subject.ask("secretsmanager", "DescribeSecret", SecretId=":".join(name.split(":")[:7]))
        else:
            parameter = name.split(":parameter", 1)[-1]
            wanted = [{"Key": "Name", "Option": "Equals", "Values": [parameter]}]
            if not (await subject.ask("ssm", "DescribeParameters", ParameterFilters=wanted)).get("Parameters"):
                yield failed("secret", f"{name} does not exist.", "Create the parameter, or correct the name.")
                return
    except AwsError as error:
        if error.kind is Kind.NOT_FOUND:
            yield failed("secret", f"{name} does not exist.", "Create the secret, or correct the name.")
            return
        raise
    yield ok("secret", f"{name} exists.")


def _measured(value: Any) -> str:
    return str(value.get_secret_value()) if hasattr(value, "get_secret_value") else str(value)


_LOOKS: dict[str, Look] = {
    "credentials": _credentials,
    "secrets": _secrets,
    "task definition": _definition,
    "size": _size,
    "image": _image,
    "cluster": _cluster,
    "network": _network,
    "roles": _roles,
    "log group": _logs,
    "secret": _definition_secrets,
}
