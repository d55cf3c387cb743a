"""One sentence on what to do, for the known causes of a launch or start that failed.

The texts that are looked for are AWS's and Docker's: developer guide, "Stopped task error codes" and "API failure reasons", the
API's error messages, and what people quote in their reports. AWS cuts a reason off after some hundred characters, and puts the
general before the particular; so the particular stands first here, and the first that is found is told. An unknown cause gets
no advice, and is still told in AWS's words.
"""

from __future__ import annotations

import re
from functools import cache

_PULL = r"CannotPull(Container|ImageManifest)"
_NO_WAY = (
    r"i/o timeout|dial tcp|no route to host|no such host|connection (refused|reset|issue)|deadline exc|context deadli"
    r"|send request failed|RequestCanceled|request cancell?ed|TLS handshake timeout|Client\.Timeout|signal: killed"
    r"|network configuration"
)

_ADVICE: tuple[tuple[str, str], ...] = (
    # --- volumes, before the network that they need
    (
        r"EFS utils|mount\.nfs4?\b|\.efs\.[\w-]+\.amazonaws|EFS (volume|file ?system)",
        "The EFS file system cannot be mounted: check its id and access point, that it has a mount target in the task's zone, "
        "and that its security group lets TCP 2049 in (with IAM authorization, also the task role).",
    ),
    (
        r"CannotCreateVolumeError",
        "A volume cannot be made: check the volume's driver and options in the task definition.",
    ),
    # --- the image
    (
        r"exec format error|does not contain descriptor matching platform|no match(ing manifest)? for (current |your )?"
        r"(platform|linux|windows)|does not match the (detected|specified) .*platform|no match.* platform in manifest",
        "The image is for another CPU architecture: build it for the task's, or set runtimePlatform.cpuArchitecture in the "
        "task definition (X86_64 or ARM64).",
    ),
    (
        rf"{_PULL}.*(toomanyrequests|too many requests|rate limit)",
        "The registry limits anonymous pulls: use the image from public.ecr.aws or a pull-through cache, or sign in with "
        "repositoryCredentials.",
    ),
    (
        r"no space left on device",
        "The disk is full: give the task more (ephemeralStorage on Fargate, 21 to 200 GiB; larger volumes for instances), or "
        "make the image smaller.",
    ),
    (
        rf"{_PULL}.*({_NO_WAY}|Could not reach any registry)",
        "The task has no way to the registry: use a public subnet with a public IP, a NAT gateway, or VPC endpoints for ECR "
        "and S3; its security group must let TCP 443 out.",
    ),
    (
        rf"{_PULL}.*(or may require|or no pull access|insufficient_scope)",
        "There is no such image, or it is private: check its name; for a private one, let the execution role pull it, or set "
        "repositoryCredentials.",
    ),
    (
        rf"{_PULL}.*(denied|unauthorized|authorization|not authorized|no basic auth|40[13]\b|has the permissions)",
        "The execution role may not pull the image: give it AmazonECSTaskExecutionRolePolicy, or set repositoryCredentials "
        "for a private registry (for another account's repository, its policy must allow it too).",
    ),
    (
        rf"{_PULL}.*(not found|unknown|does not exist|invalid reference|404)",
        "There is no such image: check its name and tag, and that it was pushed to that registry and region.",
    ),
    (
        _PULL,
        "The image cannot be pulled: check its name and tag, and that the registry can be reached from the task's subnets.",
    ),
    # --- what is fetched before the container starts
    (
        rf"(ResourceInitializationError|CannotStartContainerError).*({_NO_WAY})",
        "The task has no way to the service that it asks: use a public subnet with a public IP, a NAT gateway, or VPC "
        "endpoints for ECR, S3, CloudWatch Logs, SSM and Secrets Manager; its security group must let TCP 443 out.",
    ),
    (
        r"env(ironment)?( variable)? ?files?\b.*(download|S3|denied)|download (the )?env(ironment)?( variable)? ?files?",
        "An environment file cannot be read: check the bucket and key, and that the execution role may read it "
        "(s3:GetObject, s3:GetBucketLocation).",
    ),
    (
        r"registry auth from (asm|secrets? ?manager)|asm fetching secret",
        "The secret in repositoryCredentials cannot be read: check its name, and that the execution role may read it "
        "(secretsmanager:GetSecretValue, kms:Decrypt for a key of your own).",
    ),
    (
        r"ecr registry auth|registry auth from Amazon ECR",
        "The registry refuses the execution role: give it AmazonECSTaskExecutionRolePolicy.",
    ),
    (
        r"did not contain json key",
        "The secret has no such JSON key: check what follows the secret's ARN in valueFrom (secret:json-key:stage:version).",
    ),
    (
        r"retrieve secrets? from|secrets? from ssm|unable to pull secrets|pull the secret|fetch(ing)? secret",
        "A secret of the task definition cannot be read: check its name, and that the execution role may read it "
        "(ssm:GetParameters or secretsmanager:GetSecretValue, kms:Decrypt for a key of your own).",
    ),
    (
        r"log group does not exist|failed to (create|validate|initialize)[^:]*\blog(s|ger|ging)?\b|failed to create Cloudwatch"
        r"|initialize logging driver|logs:Create|find the Amazon CloudWatch log group",
        "The log driver cannot write: create the log group, or let the execution role do it (logs:CreateLogGroup, "
        "logs:CreateLogStream, logs:PutLogEvents).",
    ),
    # --- permissions
    (
        r"assume the service.linked role|service.linked role exists|iam:CreateServiceLinkedRole",
        "The role that ECS itself works with is missing: make it once with `aws iam create-service-linked-role "
        "--aws-service-name ecs.amazonaws.com` (a new one takes a minute).",
    ),
    (
        r"unable to assume the (\S+ )*role|is unable to assume|sts:AssumeRole|Role is not valid",
        "ECS cannot assume the role: check that it exists, and let ecs-tasks.amazonaws.com assume it in the role's trust "
        "policy.",
    ),
    (
        r"iam:PassRole",
        "The caller may not hand the role to ECS: allow it iam:PassRole on the execution role and the task role.",
    ),
    (
        r"ecs:TagResource",
        "The caller may not tag what it makes: allow it ecs:TagResource, or leave labels and tags out.",
    ),
    # --- the container
    (
        r"chdir to cwd|working directory.*(not exist|no such)",
        "The image does not have the working directory: check workingDirectory in the task definition.",
    ),
    (
        r"(CannotStartContainerError|exec:).*(no such file|not found in \$PATH|permission denied|is a directory)",
        "The image does not have the program that the command names, or it may not be executed: check the command's first "
        "word and the image.",
    ),
    (
        r"port is already allocated|address already in use|RESOURCE:PORTS",
        "The host port is taken on the instance: leave hostPort out, or use network mode awsvpc.",
    ),
    (
        r"OutOfMemory|killed due to memory usage",
        "The container ran out of memory: give it more (memory), or make the program use less.",
    ),
    (
        r"failed container health checks",
        "The container's health check failed: check its command, and give it more time (startPeriod).",
    ),
    (
        r"(ContainerRuntime|Docker)TimeoutError|Could not trans?ition to",
        "The container runtime was too slow: run it again; on instances of your own, look at their load and disk, or raise "
        "ECS_CONTAINER_START_TIMEOUT.",
    ),
    # --- network and capacity
    (
        r"Timeout waiting for network interface|Create Network Interface",
        "AWS did not make the network interface in time: run it again; if it stays so, look for free addresses in the subnets "
        "and for the service-linked role.",
    ),
    (
        r"RESOURCE:ENI|network interface|InsufficientFreeAddresses|(not enough|no) free addresses",
        "No network interface is left: use subnets with free addresses, or larger instances.",
    ),
    (
        r"InvalidSubnetID|InvalidGroup|(subnet|security group).*(does not exist|not found)",
        "A subnet or security group is not there: check the network configuration, the region and the account.",
    ),
    (
        r"provisioning capacity limit exceeded|tasks in (the )?PROVISIONING",
        "500 tasks of the cluster wait for instances, which is all that AWS allows: let some start first, or let the capacity "
        "provider add instances faster.",
    ),
    (
        r"reached the limit on the number of|is above your limit",
        "The account's Fargate quota is used up: let tasks end first, or raise it in Service Quotas (Fargate vCPU count).",
    ),
    (
        r"No Container Instances|EMPTY CAPACITY PROVIDER|NO ACTIVE INSTANCES",
        "The cluster has no instance for the task: add instances, check their agents and the capacity provider, or use "
        "launch_type='FARGATE'.",
    ),
    (
        r"RESOURCE:|insufficient (CPU|memory)",
        "No instance has room: add instances to the cluster, ask for less cpu and memory, or use launch_type='FARGATE'.",
    ),
    (
        r"Capacity is unavailable",
        "AWS has no capacity there now: try again later, add subnets in other zones, or set spot_fallback=True for Spot.",
    ),
    (
        r"Spot Task was interrupted|SpotInterruption|Spot interruption",
        "AWS took the Spot capacity back: set retries_on_interruption, and spot_fallback=True to go on without Spot.",
    ),
    (
        r"(?-i:(^|[;:] )AGENT\b)",
        "The container instance's agent is disconnected: restart it, or drain the instance.",
    ),
    (
        r"(?-i:\b(ATTRIBUTE|LOCATION)\b)|MemberOf|placement constraint",
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
    # --- the request
    (
        r"TaskDefinition is inactive|task definition .*is inactive",
        "The task definition was deregistered: register it again, or name another revision.",
    ),
    (
        r"TaskDefinition not found|(describe|find) task definition",
        "There is no such task definition: check its name and revision, the region and the account.",
    ),
    (
        r"cluster was inactive|Cluster not found|cluster.*not ACTIVE",
        "The cluster was deleted or never made: check its name, the region and the account, or make it with `aws ecs "
        "create-cluster`.",
    ),
    (
        r"is not a container in the TaskDefinition",
        "The task definition has no container of that name: set container_name to one of its own.",
    ),
)


def advice_for(reason: str) -> str | None:
    """Give the advice for the first known cause in a reason, or None."""
    return next((advice for pattern, advice in _compiled() if pattern.search(reason)), None)


@cache
def _compiled() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Compile at the first failure: most runs have none, and it takes as long as a tenth of importing ecs_block."""
    return tuple((re.compile(pattern, re.IGNORECASE | re.DOTALL), advice) for pattern, advice in _ADVICE)


def sentences() -> tuple[str, ...]:
    """Give every advice, each a cause, a colon, and what to do. The documentation lists them."""
    return tuple(advice for _, advice in _ADVICE)
