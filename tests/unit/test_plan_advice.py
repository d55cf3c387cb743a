"""What is advised for each cause of a failed launch or start, by the texts that AWS, Docker and containerd really give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_block.plan.advice import advice_for

ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
PULL = "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref"
INIT = "ResourceInitializationError:"
AUTH = f"{INIT} unable to pull secrets or registry auth: execution resource retrieval failed:"
RUNC = "OCI runtime create failed: runc create failed: unable to start container process:"
USER = "User: arn:aws:sts::123456789012:assumed-role/ci/job is not authorized to perform:"

# What AWS says, and a word of the advice that no other advice has.
ADVICE: list[tuple[str, str]] = [
    # --- the image cannot be pulled: not there
    (
        f"{PULL} docker.io/library/python:3.99: docker.io/library/python:3.99: not found",
        "no such image: check its name and tag",
    ),
    (f"{PULL} {ECR}/app:v2: {ECR}/app:v2: not found", "no such image: check its name and tag"),
    (
        "CannotPullContainerError: Error response from daemon: manifest for app:v2 not found: manifest unknown: Requested image "
        "not found",
        "no such image: check its name and tag",
    ),
    (
        "CannotPullContainerError: name unknown: The repository with name 'app' does not exist in the registry with id "
        "'123456789012'",
        "no such image: check its name and tag",
    ),
    ("CannotPullContainerError: Tag latest not found in repository docker.io/library/owncloud", "no such image: check"),
    ("CannotPullContainerError: manifest unknown", "no such image: check"),
    ("CannotPullImageManifestError: Error response from daemon: manifest unknown", "no such image: check"),
    # --- … not there or not ours
    (
        f"{PULL} docker.io/me/private:1: pull access denied, repository does not exist or may require authorization: server "
        "message: insufficient_scope: authorization failed",
        "There is no such image, or it is private",
    ),
    (
        "CannotPullContainerError: Error response from daemon: pull access denied for app, repository does not exist or may require "
        "'docker login': denied: requested access to the resource is denied",
        "There is no such image, or it is private",
    ),
    (
        "CannotPullContainerError: API error (404): repository app not found: does not exist or no pull access",
        "or it is private",
    ),
    # --- … denied
    ("CannotPullContainerError: pull access denied", "execution role may not pull"),
    (
        f'CannotPullContainerError: ref pull has been retried 1 time(s): failed to pull and unpack image "{ECR}/app:v1": failed to '
        "resolve reference: unexpected status code 403 Forbidden",
        "execution role may not pull",
    ),
    (
        f'CannotPullContainerError: inspect image has been retried 1 time(s): failed to resolve ref "{ECR}/app": unexpected status '
        "code [manifests 6981141]: 403 Forbidden",
        "execution role may not pull",
    ),
    (
        f"CannotPullContainerError: Error response from daemon: Head https://{ECR}/v2/app/manifests/v1: no basic auth credentials",
        "execution role may not pull",
    ),
    (
        f"CannotPullContainerError: denied: {USER} ecr:BatchGetImage on resource: arn:aws:ecr:eu-central-1:1:repository/app because "
        "no resource-based policy allows the ecr:BatchGetImage action",
        "execution role may not pull",
    ),
    (
        "CannotPullContainerError: The task can't pull the image. Check that the role has the permissions to pull images from the "
        "registry.",
        "execution role may not pull",
    ),
    # --- … rate limit
    (
        "CannotPullContainerError: inspect image has been retried 5 time(s): httpReaderSeeker: failed open: unexpected status code "
        "https://registry-1.docker.io/v2/manifests/sha256:2bb501e6429 Too Many Requests - Server message: toomanyrequests: You have "
        "reached your pull rate limit. You may increase the limit by authenticating and upgrading",
        "limits anonymous pulls",
    ),
    (
        "CannotPullContainerError: Error response from daemon: toomanyrequests: You have reached your unauthenticated pull rate "
        "limit.",
        "limits anonymous pulls",
    ),
    # --- … no way
    (
        f'{PULL} "{ECR}/api:v42": failed to do request: Head "https://{ECR}/v2/api/manifests/v42": dial tcp 10.0.3.17:443: i/o '
        "timeout",
        "no way to the registry",
    ),
    (
        f"{PULL} docker.io/tryretool/backend:2.110.5: failed to do request: Head "
        '"https://registry-1.docker.io/v2/tryretool/backend/manifests/2.110.5": dial tcp 34.205.13.154:443: i/o timeout',
        "no way to the registry",
    ),
    (
        f"CannotPullContainerError: API error (500): Get https://{ECR}/v2/: net/http: request canceled while waiting for connection "
        "(Client.Timeout exceeded while awaiting headers)",
        "no way to the registry",
    ),
    (
        "CannotPullContainerError: Error response from daemon: Get https://registry-1.docker.io/v2/: dial tcp: lookup "
        "registry-1.docker.io: no such host",
        "no way to the registry",
    ),
    ("CannotPullContainerError: Could not reach any registry endpoint", "no way to the registry"),
    (
        "CannotPullContainerError: The task cannot pull the image. There is a connection issue between the task and the registry. "
        "Check your task network configuration.",
        "no way to the registry",
    ),
    # --- … the rest
    (
        "CannotPullContainerError: write /var/lib/docker/tmp/GetImageBlob111111111: no space left on device",
        "disk is full",
    ),
    (
        "CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/amd64'",
        "CPU architecture",
    ),
    (
        "CannotPullContainerError: Error response from daemon: no matching manifest for linux/arm64/v8 in the manifest list entries",
        "CPU architecture",
    ),
    (f"{PULL} ghcr.io/x/y:1: no match for platform in manifest: not found", "CPU architecture"),
    ("CannotPullContainerError: pull command failed: panic: runtime error", "cannot be pulled"),
    ("exec /bin/x: exec format error", "CPU architecture"),
    (f'{RUNC} exec: "/app": exec format error: unknown', "CPU architecture"),
    # --- before the start: no way
    (
        f"{AUTH} unable to retrieve ecr registry auth: service call has been retried 3 time(s): RequestError: send request failed "
        'caused by: Post "https://api.ecr.eu-central-1.amazonaws.com/": dial tcp 34.223.27.76:443: i/o timeout. Please check your '
        "task network configuration.",
        "no way to the service",
    ),
    (
        f"{AUTH} unable to retrieve ecr registry auth: service call has been retried 5 time(s): RequestError: send request failed "
        "caused by: Post https://api.ecr....",
        "no way to the service",
    ),
    (
        f"{AUTH} unable to retrieve secrets from ssm: service call has been retried 5 time(s): RequestCanceled: request context "
        "canceled caused by: context deadli...",
        "no way to the service",
    ),
    (
        f"{INIT} unable to pull secrets or registry auth: The task cannot pull registry auth from Amazon ECR: There is a connection "
        "issue between the task and Amazon ECR. Check your task network configuration. RequestError: send request failed",
        "no way to the service",
    ),
    (f"{INIT} unable to pull secrets or registry auth: pull command failed: : signal: killed", "no way to the service"),
    (
        f"{INIT} failed to download env files: file download command: non-empty error stream: RequestCanceled: request context "
        "cancelled caused by: context deadline exceeded",
        "no way to the service",
    ),
    (
        f"{INIT} failed to validate logger args: The task cannot find the Amazon CloudWatch log group defined in the task "
        "definition. There is a connection issue between the task and Amazon CloudWatch. Check your network configuration.",
        "no way to the service",
    ),
    (
        "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: failed to create Cloudwatch log "
        "stream: RequestError: send request failed caused by: dial tcp: i/o timeout",
        "no way to the service",
    ),
    # --- … secrets and the like
    (
        f"{AUTH} unable to retrieve ecr registry auth: service call has been retried 1 time(s): AccessDeniedException: {USER} "
        "ecr:GetAuthorizationToken on resource: *",
        "registry refuses the execution role",
    ),
    (
        f"{AUTH} unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret "
        "arn:aws:secretsmanager:eu-central-1:1:secret:db from secrets manager: ResourceNotFoundException: Secrets Manager can't find "
        "the specified secret.",
        "A secret of the task definition",
    ),
    (
        f"{AUTH} unable to retrieve secret from asm: service call has been retried 1 time(s): AccessDeniedException",
        "A secret of the task definition",
    ),
    (
        f"{AUTH} unable to retrieve secrets from ssm: service call has been retried 1 time(s): AccessDeniedException: {USER} "
        "ssm:GetParameters on resource: arn:aws:ssm:eu-central-1:1:parameter/db",
        "A secret of the task definition",
    ),
    (
        f"{AUTH} unable to retrieve secret from asm: service call has been retried 1 time(s): retrieved secret from Secrets Manager "
        "did not contain json key password",
        "no such JSON key",
    ),
    (
        f"{AUTH} unable to get registry auth from asm: service call has been retried 1 time(s): asm fetching secret from the service "
        "for registry: AccessDeniedException",
        "The secret in repositoryCredentials",
    ),
    (
        f"{INIT} failed to download env files: file download command: non-empty error stream: failed to download file 1.env: failed "
        "to write to a temporary file: AccessDenied: Access Denied",
        "environment file",
    ),
    # --- … the log driver
    (
        f"{INIT} failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: "
        "ResourceNotFoundException: The specified log group does not exist.",
        "create the log group",
    ),
    (
        "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: failed to create Cloudwatch log "
        "stream: ResourceNotFoundException: The specified log group does not exist",
        "create the log group",
    ),
    (
        f"{INIT} failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log group: "
        f"AccessDeniedException: {USER} logs:CreateLogGroup on resource: arn:aws:logs:eu-central-1:1:log-group:x",
        "create the log group",
    ),
    (f"{INIT} failed to validate logger args", "create the log group"),
    # --- … EFS
    (
        f'{INIT} failed to invoke EFS utils commands to set up EFS volumes: stderr: Failed to resolve "fs-1.efs.us-east-1.amazonaws'
        '.com" - check that your file system ID is correct',
        "TCP 2049",
    ),
    (
        f"{INIT} failed to invoke EFS utils commands to set up EFS volumes: stderr: mount.nfs4: Connection reset by peer : "
        "unsuccessful EFS utils command execution; code: 32",
        "TCP 2049",
    ),
    (
        f"{INIT} failed to invoke EFS utils commands to set up EFS volumes: stderr: b'mount.nfs4: access denied by server while "
        "mounting 127.0.0.1:/' : unsuccessful EFS utils command execution; code: 32",
        "TCP 2049",
    ),
    ("CannotCreateVolumeError: Error response from daemon: create x: no such driver", "A volume cannot be made"),
    # --- roles
    (
        "ECS was unable to assume the role 'arn:aws:iam::123456789012:role/x' that was provided for this task. Please verify that "
        "the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass "
        "this role.",
        "trust policy",
    ),
    ("ECS was unable to assume the role", "trust policy"),
    ("Role is not valid", "trust policy"),
    (
        "Unable to assume the service linked role. Please verify that the ECS service linked role exists.",
        "create-service-linked-role",
    ),
    (f"{USER} iam:PassRole on resource: arn:aws:iam::123456789012:role/ecsTaskExecutionRole", "may not hand the role"),
    (f"{USER} ecs:TagResource on resource: arn:aws:ecs:eu-central-1:123456789012:task/default/*", "may not tag"),
    # --- the container
    (
        f"CannotStartContainerError: Error response from daemon: failed to create task for container: failed to create shim task: "
        f'{RUNC} exec: "x": executable file not found in $PATH: unknown',
        "does not have the program",
    ),
    (
        f"CannotStartContainerError: ResourceInitializationError: failed to create new container runtime task: failed to create "
        f'shim: {RUNC} exec: "/app/run.sh": stat /app/run.sh: no such file or directory: unknown',
        "does not have the program",
    ),
    (f'{RUNC} exec: "/app": permission denied: unknown', "does not have the program"),
    (
        f'CannotStartContainerError: {RUNC} error during container init: chdir to cwd ("/srv") set in config.json failed: no such '
        "file or directory",
        "workingDirectory",
    ),
    (
        "CannotStartContainerError: Error response from daemon: driver failed programming external connectivity: Bind for "
        "0.0.0.0:8080 failed: port is already allocated",
        "host port is taken",
    ),
    ("OutOfMemoryError: Container killed due to memory usage", "ran out of memory"),
    (
        "Essential container in task exited. OutOfMemoryError: container killed due to memory usage.",
        "ran out of memory",
    ),
    ("ContainerRuntimeTimeoutError: Could not transition to running; timed out after waiting 1m: <reason>", "too slow"),
    ("DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s", "too slow"),
    ("DockerTimeoutError: Could not tranisition to started; timed out after waiting 8m0s", "too slow"),
    ("Task failed container health checks", "health check failed"),
    # --- network and capacity
    ("RESOURCE:ENI", "No network interface is left"),
    (
        "Error retrieving subnet information: not enough free addresses in subnet (ErrorCode: InsufficientFreeAddressesInSubnet)",
        "No network interface is left",
    ),
    ("Timeout waiting for network interface provisioning to complete.", "in time: run it again"),
    ("Unexpected EC2 error while attempting to Create Network Interface with public IP assignment enabled", "in time"),
    (
        "Error retrieving subnet information for [subnet-1]: The subnet ID 'subnet-1' does not exist (ErrorCode: "
        "InvalidSubnetID.NotFound)",
        "subnet or security group is not there",
    ),
    (
        "Error retrieving security group information for [sg-1]: The security group 'sg-1' does not exist (ErrorCode: "
        "InvalidGroup.NotFound)",
        "subnet or security group is not there",
    ),
    (
        "Capacity is unavailable at this time. Please try again later or in a different availability zone",
        "try again later",
    ),
    ("Your Spot Task was interrupted.", "set retries_on_interruption"),
    ("RESOURCE:CPU", "No instance has room"),
    ("RESOURCE:MEMORY", "No instance has room"),
    ("RESOURCE:GPU; RESOURCE:MEMORY", "No instance has room"),
    ("RESOURCE:PORTS", "host port is taken"),
    ("No Container Instances were found in your cluster.", "has no instance"),
    ("No Container Instances were found in your capacity provider.", "has no instance"),
    ("TaskFailedToStart: EMPTY CAPACITY PROVIDER", "has no instance"),
    ("NO ACTIVE INSTANCES", "has no instance"),
    ("AGENT", "agent is disconnected"),
    ("RESOURCE:X; AGENT", "No instance has room"),
    ("TaskFailedToStart: AGENT", "agent is disconnected"),
    ("ATTRIBUTE", "placement constraints"),
    ("LOCATION", "placement constraints"),
    ("MemberOf placement constraint unsatisfied", "placement constraints"),
    ("Tasks provisioning capacity limit exceeded.", "500 tasks"),
    ("You've reached the limit on the number of vCPUs you can run concurrently", "Service Quotas"),
    ("You've reached the limit on the number of tasks you can run concurrently", "Service Quotas"),
    ("The requested CPU configuration is above your limit", "Service Quotas"),
    (
        "No Fargate configuration exists for given values: 256 CPU, 4096 memory. See the Amazon ECS documentation for the valid "
        "values.",
        "from its table",
    ),
    # --- the request
    (
        "The specified capacity provider FARGATE_SPOT was not found. Specify a valid capacity provider and try again.",
        "put-cluster-capacity-providers",
    ),
    (
        "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. "
        "Associate the capacity provider with the cluster or specify a valid capacity provider and try again.",
        "put-cluster-capacity-providers",
    ),
    ("TaskDefinition is inactive", "deregistered"),
    ("TaskDefinition not found.", "no such task definition"),
    ("Unable to describe task definition.", "no such task definition"),
    ("The referenced cluster was inactive.", "create-cluster"),
    ("Cluster not found.", "create-cluster"),
    ("Override for container named app is not a container in the TaskDefinition.", "container_name"),
]

NONE = [
    "allocation of memory failed at that location",
    "Essential container in task exited",
    "ecs_block: task_run_timeout_seconds is over",
    "Scaling activity initiated by deployment ecs-svc/1",
    "the agent ended; see the location of the attribute",
    "",
]  # fmt: skip


@pytest.mark.parametrize(("reason", "word"), ADVICE, ids=lambda value: value[:60])
def test_advice(reason: str, word: str) -> None:
    """Each known cause gets its own sentence on what to do."""
    assert word in (advice_for(reason) or "nothing")


@pytest.mark.parametrize("reason", NONE)
def test_no_advice(reason: str) -> None:
    """What is not known gets none: wrong advice is worse."""
    assert advice_for(reason) is None


@pytest.mark.parametrize("reason", [reason for reason, _ in ADVICE])
def test_advice_is_one_sentence(reason: str) -> None:
    """It ends like one, and fits into a line or two."""
    told = advice_for(reason) or ""
    assert told.endswith(".")
    assert ". " not in told
    assert len(told) < 260


@given(st.text())
def test_any_reason_is_read(reason: str) -> None:
    """A reason is whatever AWS makes of it."""
    assert advice_for(reason) is None or len(advice_for(reason) or "") > 0
