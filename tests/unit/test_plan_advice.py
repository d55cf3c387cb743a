"""What is advised for each cause of a failed launch or start, by the texts that AWS, Docker and containerd really give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_block.plan.advice import advice_for, sentences

# What AWS says, under a part of the advice that no other advice has. A text may be wrapped; a blank line ends it.
SAID = {
    "no such image: check its name and tag": """
        CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref
        docker.io/library/python:3.99: docker.io/library/python:3.99: not found

        CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref
        123456789012.dkr.ecr.eu-central-1.amazonaws.com/app:v2:
        123456789012.dkr.ecr.eu-central-1.amazonaws.com/app:v2: not found

        CannotPullContainerError: Error response from daemon: manifest for app:v2 not found: manifest unknown:
        Requested image not found

        CannotPullContainerError: name unknown: The repository with name 'app' does not exist in the registry
        with id '123456789012'

        CannotPullContainerError: Tag latest not found in repository docker.io/library/owncloud

        CannotPullContainerError: manifest unknown

        CannotPullImageManifestError: Error response from daemon: manifest unknown
    """,
    "There is no such image, or it is private": """
        CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref
        docker.io/me/private:1: pull access denied, repository does not exist or may require authorization:
        server message: insufficient_scope: authorization failed

        CannotPullContainerError: Error response from daemon: pull access denied for app, repository does not
        exist or may require 'docker login': denied: requested access to the resource is denied

        CannotPullContainerError: API error (404): repository app not found: does not exist or no pull access
    """,
    "execution role may not pull": """
        CannotPullContainerError: pull access denied

        CannotPullContainerError: ref pull has been retried 1 time(s): failed to pull and unpack image
        "123456789012.dkr.ecr.eu-central-1.amazonaws.com/app:v1": failed to resolve reference: unexpected status
        code 403 Forbidden

        CannotPullContainerError: inspect image has been retried 1 time(s): failed to resolve ref
        "123456789012.dkr.ecr.eu-central-1.amazonaws.com/app": unexpected status code [manifests 6981141]: 403
        Forbidden

        CannotPullContainerError: Error response from daemon: Head
        https://123456789012.dkr.ecr.eu-central-1.amazonaws.com/v2/app/manifests/v1: no basic auth credentials

        CannotPullContainerError: denied: User: arn:aws:sts::123456789012:assumed-role/ci/job is not authorized
        to perform: ecr:BatchGetImage on resource: arn:aws:ecr:eu-central-1:1:repository/app because no
        resource-based policy allows the ecr:BatchGetImage action

        CannotPullContainerError: The task can't pull the image. Check that the role has the permissions to pull
        images from the registry.
    """,
    "limits anonymous pulls": """
        CannotPullContainerError: inspect image has been retried 5 time(s): httpReaderSeeker: failed open:
        unexpected status code https://registry-1.docker.io/v2/manifests/sha256:2bb501e6429 Too Many Requests -
        Server message: toomanyrequests: You have reached your pull rate limit. You may increase the limit by
        authenticating and upgrading

        CannotPullContainerError: Error response from daemon: toomanyrequests: You have reached your
        unauthenticated pull rate limit.
    """,
    "no way to the registry": """
        CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref
        "123456789012.dkr.ecr.eu-central-1.amazonaws.com/api:v42": failed to do request: Head
        "https://123456789012.dkr.ecr.eu-central-1.amazonaws.com/v2/api/manifests/v42": dial tcp 10.0.3.17:443:
        i/o timeout

        CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref
        docker.io/tryretool/backend:2.110.5: failed to do request: Head
        "https://registry-1.docker.io/v2/tryretool/backend/manifests/2.110.5": dial tcp 34.205.13.154:443: i/o
        timeout

        CannotPullContainerError: API error (500): Get
        https://123456789012.dkr.ecr.eu-central-1.amazonaws.com/v2/: net/http: request canceled while waiting
        for connection (Client.Timeout exceeded while awaiting headers)

        CannotPullContainerError: Error response from daemon: Get https://registry-1.docker.io/v2/: dial tcp:
        lookup registry-1.docker.io: no such host

        CannotPullContainerError: Could not reach any registry endpoint

        CannotPullContainerError: The task cannot pull the image. There is a connection issue between the task
        and the registry. Check your task network configuration.
    """,
    "disk is full": """
        CannotPullContainerError: write /var/lib/docker/tmp/GetImageBlob111111111: no space left on device
    """,
    "CPU architecture": """
        CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/amd64'

        CannotPullContainerError: Error response from daemon: no matching manifest for linux/arm64/v8 in the
        manifest list entries

        CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref
        ghcr.io/x/y:1: no match for platform in manifest: not found

        exec /bin/x: exec format error

        OCI runtime create failed: runc create failed: unable to start container process: exec: "/app": exec
        format error: unknown
    """,
    "cannot be pulled": """
        CannotPullContainerError: pull command failed: panic: runtime error
    """,
    "no way to the service": """
        ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval
        failed: unable to retrieve ecr registry auth: service call has been retried 3 time(s): RequestError:
        send request failed caused by: Post "https://api.ecr.eu-central-1.amazonaws.com/": dial tcp
        34.223.27.76:443: i/o timeout. Please check your task network configuration.

        ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval
        failed: unable to retrieve ecr registry auth: service call has been retried 5 time(s): RequestError:
        send request failed caused by: Post https://api.ecr....

        ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval
        failed: unable to retrieve secrets from ssm: service call has been retried 5 time(s): RequestCanceled:
        request context canceled caused by: context deadli...

        ResourceInitializationError: unable to pull secrets or registry auth: The task cannot pull registry auth
        from Amazon ECR: There is a connection issue between the task and Amazon ECR. Check your task network
        configuration. RequestError: send request failed

        ResourceInitializationError: unable to pull secrets or registry auth: pull command failed: : signal:
        killed

        ResourceInitializationError: failed to download env files: file download command: non-empty error
        stream: RequestCanceled: request context cancelled caused by: context deadline exceeded

        ResourceInitializationError: failed to validate logger args: The task cannot find the Amazon CloudWatch
        log group defined in the task definition. There is a connection issue between the task and Amazon
        CloudWatch. Check your network configuration.

        CannotStartContainerError: Error response from daemon: failed to initialize logging driver: failed to
        create Cloudwatch log stream: RequestError: send request failed caused by: dial tcp: i/o timeout
    """,
    "registry refuses the execution role": """
        ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval
        failed: unable to retrieve ecr registry auth: service call has been retried 1 time(s):
        AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/ci/job is not authorized to perform:
        ecr:GetAuthorizationToken on resource: *
    """,
    "A secret of the task definition": """
        ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval
        failed: unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch
        secret arn:aws:secretsmanager:eu-central-1:1:secret:db from secrets manager: ResourceNotFoundException:
        Secrets Manager can't find the specified secret.

        ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval
        failed: unable to retrieve secret from asm: service call has been retried 1 time(s):
        AccessDeniedException

        ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval
        failed: unable to retrieve secrets from ssm: service call has been retried 1 time(s):
        AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/ci/job is not authorized to perform:
        ssm:GetParameters on resource: arn:aws:ssm:eu-central-1:1:parameter/db
    """,
    "no such JSON key": """
        ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval
        failed: unable to retrieve secret from asm: service call has been retried 1 time(s): retrieved secret
        from Secrets Manager did not contain json key password
    """,
    "The secret in repositoryCredentials": """
        ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval
        failed: unable to get registry auth from asm: service call has been retried 1 time(s): asm fetching
        secret from the service for registry: AccessDeniedException
    """,
    "environment file": """
        ResourceInitializationError: failed to download env files: file download command: non-empty error
        stream: failed to download file 1.env: failed to write to a temporary file: AccessDenied: Access Denied
    """,
    "create the log group": """
        ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times:
        failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not
        exist.

        CannotStartContainerError: Error response from daemon: failed to initialize logging driver: failed to
        create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist

        ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times:
        failed to create Cloudwatch log group: AccessDeniedException: User:
        arn:aws:sts::123456789012:assumed-role/ci/job is not authorized to perform: logs:CreateLogGroup on
        resource: arn:aws:logs:eu-central-1:1:log-group:x

        ResourceInitializationError: failed to validate logger args
    """,
    "TCP 2049": """
        ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: Failed
        to resolve "fs-1.efs.us-east-1.amazonaws.com" - check that your file system ID is correct

        ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr:
        mount.nfs4: Connection reset by peer : unsuccessful EFS utils command execution; code: 32

        ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr:
        b'mount.nfs4: access denied by server while mounting 127.0.0.1:/' : unsuccessful EFS utils command
        execution; code: 32
    """,
    "A volume cannot be made": """
        CannotCreateVolumeError: Error response from daemon: create x: no such driver
    """,
    "trust policy": """
        ECS was unable to assume the role 'arn:aws:iam::123456789012:role/x' that was provided for this task.
        Please verify that the role being passed has the proper trust relationship and permissions and that your
        IAM user has permissions to pass this role.

        ECS was unable to assume the role

        Role is not valid
    """,
    "create-service-linked-role": """
        Unable to assume the service linked role. Please verify that the ECS service linked role exists.
    """,
    "may not hand the role": """
        User: arn:aws:sts::123456789012:assumed-role/ci/job is not authorized to perform: iam:PassRole on
        resource: arn:aws:iam::123456789012:role/ecsTaskExecutionRole
    """,
    "may not tag": """
        User: arn:aws:sts::123456789012:assumed-role/ci/job is not authorized to perform: ecs:TagResource on
        resource: arn:aws:ecs:eu-central-1:123456789012:task/default/*
    """,
    "does not have the program": """
        CannotStartContainerError: Error response from daemon: failed to create task for container: failed to
        create shim task: OCI runtime create failed: runc create failed: unable to start container process:
        exec: "x": executable file not found in $PATH: unknown

        CannotStartContainerError: ResourceInitializationError: failed to create new container runtime task:
        failed to create shim: OCI runtime create failed: runc create failed: unable to start container process:
        exec: "/app/run.sh": stat /app/run.sh: no such file or directory: unknown

        OCI runtime create failed: runc create failed: unable to start container process: exec: "/app":
        permission denied: unknown
    """,
    "workingDirectory": """
        CannotStartContainerError: OCI runtime create failed: runc create failed: unable to start container
        process: error during container init: chdir to cwd ("/srv") set in config.json failed: no such file or
        directory
    """,
    "host port is taken": """
        CannotStartContainerError: Error response from daemon: driver failed programming external connectivity:
        Bind for 0.0.0.0:8080 failed: port is already allocated

        RESOURCE:PORTS
    """,
    "ran out of memory": """
        OutOfMemoryError: Container killed due to memory usage

        Essential container in task exited. OutOfMemoryError: container killed due to memory usage.
    """,
    "too slow": """
        ContainerRuntimeTimeoutError: Could not transition to running; timed out after waiting 1m: <reason>

        DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s

        DockerTimeoutError: Could not tranisition to started; timed out after waiting 8m0s
    """,
    "health check failed": """
        Task failed container health checks
    """,
    "No network interface is left": """
        RESOURCE:ENI

        Error retrieving subnet information: not enough free addresses in subnet (ErrorCode:
        InsufficientFreeAddressesInSubnet)
    """,
    "in time: run it again": """
        Timeout waiting for network interface provisioning to complete.

        Unexpected EC2 error while attempting to Create Network Interface with public IP assignment enabled
    """,
    "subnet or security group is not there": """
        Error retrieving subnet information for [subnet-1]: The subnet ID 'subnet-1' does not exist (ErrorCode:
        InvalidSubnetID.NotFound)

        Error retrieving security group information for [sg-1]: The security group 'sg-1' does not exist
        (ErrorCode: InvalidGroup.NotFound)
    """,
    "try again later": """
        Capacity is unavailable at this time. Please try again later or in a different availability zone
    """,
    "set retries_on_interruption": """
        Your Spot Task was interrupted.
    """,
    "No instance has room": """
        RESOURCE:CPU

        RESOURCE:MEMORY

        RESOURCE:GPU; RESOURCE:MEMORY

        RESOURCE:X; AGENT
    """,
    "has no instance": """
        No Container Instances were found in your cluster.

        No Container Instances were found in your capacity provider.

        TaskFailedToStart: EMPTY CAPACITY PROVIDER

        NO ACTIVE INSTANCES
    """,
    "agent is disconnected": """
        AGENT

        TaskFailedToStart: AGENT
    """,
    "placement constraints": """
        ATTRIBUTE

        LOCATION

        MemberOf placement constraint unsatisfied
    """,
    "500 tasks": """
        Tasks provisioning capacity limit exceeded.
    """,
    "Service Quotas": """
        You've reached the limit on the number of vCPUs you can run concurrently

        You've reached the limit on the number of tasks you can run concurrently

        The requested CPU configuration is above your limit
    """,
    "from its table": """
        No Fargate configuration exists for given values: 256 CPU, 4096 memory. See the Amazon ECS documentation
        for the valid values.
    """,
    "put-cluster-capacity-providers": """
        The specified capacity provider FARGATE_SPOT was not found. Specify a valid capacity provider and try
        again.

        The specified capacity provider strategy cannot contain a capacity provider that is not associated with
        the cluster. Associate the capacity provider with the cluster or specify a valid capacity provider and
        try again.
    """,
    "deregistered": """
        TaskDefinition is inactive
    """,
    "no such task definition": """
        TaskDefinition not found.

        Unable to describe task definition.
    """,
    "create-cluster": """
        The referenced cluster was inactive.

        Cluster not found.
    """,
    "container_name": """
        Override for container named app is not a container in the TaskDefinition.
    """,
}
ADVICE = [(" ".join(text.split()), word) for word, texts in SAID.items() for text in texts.split("\n\n")]

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
    """It is a cause, a colon and a cure, ends like a sentence, and fits into a line or two."""
    told = advice_for(reason) or ""
    assert all(told.partition(": "))
    assert told.endswith(".")
    assert ". " not in told
    assert len(told) < 260


def test_every_advice_has_its_text() -> None:
    """None is hidden behind another, and the words above tell them apart."""
    every = set(sentences())
    assert {advice_for(reason) for reason, _ in ADVICE} == every
    for word in SAID:
        assert sum(word in advice for advice in every) == 1, word


@given(st.text())
def test_any_reason_is_read(reason: str) -> None:
    """A reason is whatever AWS makes of it."""
    assert advice_for(reason) is None or len(advice_for(reason) or "") > 0
