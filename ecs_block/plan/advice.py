"""One sentence on what to do, for the known causes of a launch or start that failed.

The texts that are looked for are AWS's: developer guide, "Stopped task error codes" and "API failure reasons". An unknown
cause gets no advice, and is still told in AWS's words.
"""

from __future__ import annotations

import re

_ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"exec format error|image Manifest does not contain descriptor matching platform|no match(ing)? .*platform",
        "The image is for another CPU architecture: build it for the task's, or set runtimePlatform.cpuArchitecture in the "
        "task definition (X86_64 or ARM64).",
    ),
    (
        r"CannotPullContainer.*(timeout|i/o|dial tcp|no route|connection (refused|reset)|deadline)",
        "The task has no way to the registry: use a public subnet with a public IP, a NAT gateway, or VPC endpoints for ECR "
        "and S3.",
    ),
    (
        r"CannotPullContainer.*(denied|unauthorized|authorization|403)",
        "The execution role may not pull the image: give it AmazonECSTaskExecutionRolePolicy, or set repositoryCredentials "
        "for a private registry.",
    ),
    (
        r"CannotPullContainer.*(toomanyrequests|rate limit)",
        "The registry limits anonymous pulls: use the image from public.ecr.aws, or a pull-through cache.",
    ),
    (
        r"CannotPullContainer",
        "The image cannot be pulled: check its name and tag, and that the registry can be reached from the task's subnets.",
    ),
    (
        r"ResourceInitializationError.*(i/o timeout|dial tcp|no route|connection (refused|reset)|deadline exceeded)",
        "The task has no way to the service that it asks: use a public subnet with a public IP, a NAT gateway, or VPC "
        "endpoints for ECR, S3, CloudWatch Logs, SSM and Secrets Manager.",
    ),
    (
        r"ecr registry auth",
        "The registry refuses the execution role: give it AmazonECSTaskExecutionRolePolicy.",
    ),
    (
        r"unable to retrieve secret|secrets from ssm|unable to pull secrets",
        "A secret of the task definition cannot be read: check its name, and that the execution role may read it "
        "(ssm:GetParameters or secretsmanager:GetSecretValue) and reach the service.",
    ),
    (
        r"(log group does not exist|failed to (create|validate).*(log|logger)|initialize logging driver)",
        "The log driver cannot write: create the log group, or let the execution role do it (logs:CreateLogGroup, "
        "logs:CreateLogStream, logs:PutLogEvents).",
    ),
    (
        r"unable to assume the (service linked )?role|is unable to assume|sts:AssumeRole",
        "ECS cannot assume the role: let ecs-tasks.amazonaws.com do so in the role's trust policy.",
    ),
    (
        r"iam:PassRole",
        "The caller may not hand the role to ECS: allow it iam:PassRole on the execution role and the task role.",
    ),
    (
        r"CannotStartContainerError.*(no such file|not found in \$PATH|permission denied)",
        "The image does not have the program that the command names, or it may not be executed: check the command's first "
        "word and the image.",
    ),
    (
        r"RESOURCE:ENI|network interface|InsufficientFreeAddresses|not enough free addresses",
        "No network interface is left: use subnets with free addresses, or larger instances.",
    ),
    (
        r"RESOURCE:|No Container Instances|EMPTY CAPACITY PROVIDER|NO ACTIVE INSTANCES",
        "No instance has room: add instances to the cluster, ask for less cpu and memory, or use launch_type='FARGATE'.",
    ),
    (
        r"Capacity is unavailable",
        "AWS has no capacity there now: try again later, add subnets in other zones, or set spot_fallback=True for Spot.",
    ),
    (r"^AGENT\b", "The container instance's agent is disconnected: restart it, or drain the instance."),
    (
        r"(?-i:\b(ATTRIBUTE|LOCATION)\b)|MemberOf",
        "No instance meets the placement constraints: check placementConstraints, and what the definition needs.",
    ),
    (
        r"No Fargate configuration exists",
        "Fargate does not offer this size: choose cpu and memory from its table.",
    ),
    (
        r"capacity provider.*(not associated|not found)|not associated with the cluster",
        "The capacity provider is not attached to the cluster: attach it with `aws ecs put-cluster-capacity-providers`, or "
        "use launch_type='FARGATE'.",
    ),
    (
        r"TaskDefinition is inactive",
        "The task definition was deregistered: register it again, or name another revision.",
    ),
    (
        r"OutOfMemory",
        "The container ran out of memory: give it more (memory), or make the program use less.",
    ),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE | re.DOTALL), advice) for pattern, advice in _ADVICE)


def advice_for(reason: str) -> str | None:
    """Give the advice for the first known cause in a reason, or None."""
    return next((advice for pattern, advice in _COMPILED if pattern.search(reason)), None)
