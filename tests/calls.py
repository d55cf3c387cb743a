"""Every request of our library to a LocalCloud that a test makes, and the permissions that it takes.

A cloud of this process is listened to here; one of a command that a test starts writes down what it hears, into the file that
a variable names (`recording/sitecustomize.py`). Requests of other clients, such as a test's own, do not count.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

VARIABLE = "ECS_BLOCK_TEST_CALLS"
RECORDING = Path(__file__).parent / "recording"
RINGS = [Path(__file__).parent / name for name in ("cloud", "acceptance")]

_OURS = "ecs_block"  # a word of our clients' user agent
_ACTIONS = {  # the others are called as their operations
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "s3:GET": "s3:GetObject",
}
_FREE = {"sts:GetCallerIdentity"}  # needs no permission
# Permissions that other calls ask for: RunTask, RegisterTaskDefinition, and GetObject of what is not there.
NO_CALLS = {"iam:PassRole", "ecs:TagResource", "s3:ListBucket"}

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/events"
ROLE = "arn:aws:iam::123456789012:role/runner"


def in_a_ring(path: Path) -> bool:
    """Tell whether a test belongs to a ring that makes real requests."""
    return any(path.is_relative_to(ring) for ring in RINGS)


def listen(record: Callable[[str], object]) -> None:
    """Have each request of ours to a cloud of this process recorded, as `ecs:RunTask`, from now on."""
    from ecs_block.local.gateway import Gateway

    route, make, request_of = Gateway._route, Gateway.__init__, threading.local()

    def routed(self, request):
        request_of.ours = _OURS in request.headers.get("user-agent", "").split()
        return route(self, request)

    def made(self, gate, services, others, before, *rest):
        def heard(name: str) -> None:
            if request_of.ours:
                record(name)
            before(name)

        make(self, gate, services, others, heard, *rest)

    Gateway._route, Gateway.__init__ = routed, made


def write_down(name: str) -> None:
    """Add a call to the file that the variable names."""
    with open(os.environ[VARIABLE], "a") as file:
        file.write(f"{name}\n")


def permissions(calls: Iterable[str]) -> set[str]:
    """Give the IAM actions that these calls need."""
    return {_ACTIONS.get(name, name) for name in calls} - _FREE


@cache
def grantable() -> frozenset[str]:
    """Give every action that a caller's policy can allow, or a worker's."""
    from ecs_block import AwsCredentials
    from ecs_block.plan.worker_policy import worker_policy
    from ecs_block.preview import policies

    credentials = AwsCredentials(region_name="eu-west-1", task_events_queue_url=QUEUE)
    caller = policies(fullest(), credentials, check=True)["caller"]
    return _actions(caller) | _actions(
        worker_policy(caller, QUEUE, dead_letters=QUEUE, revisions=True, bucket="arguments", check=True)
    )


def _actions(policy) -> frozenset[str]:
    return frozenset(action for statement in policy["Statement"] for action in statement["Action"])


def fullest(**more):
    """Make a block that needs everything."""
    from ecs_block import ECSTask

    secrets = [
        {"name": "A", "valueFrom": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:kept-AbCdEf"},
        {"name": "B", "valueFrom": "/param"},
    ]
    return ECSTask(
        command=["true"],
        task_definition={"containerDefinitions": [{"name": "main", "secrets": secrets}], "tags": [{"key": "a"}]},
        labels={"team": "data"},
        env={"A": {"$secret": "ssm:/param"}, "B": {"$secret": "secretsmanager:kept"}},
        execution_role_arn=ROLE,
        task_role_arn=ROLE,
        configure_cloudwatch_logs=True,
        auto_deregister_task_definition=True,
        **more,
    )


def written_in_the_source() -> set[str]:
    """Give every action that stands in the files of the policies, for whichever block."""
    from ecs_block.plan import policy, worker_policy

    text = "".join(Path(str(file.__file__)).read_text() for file in (policy, worker_policy))
    return set(re.findall(r'"([a-z0-9-]+:[A-Z]\w+)"', text))


class Heard:
    """What was called in this process, and in those that it started."""

    def __init__(self) -> None:
        self.all: set[str] = set()
        self.now: set[str] = set()
        listen(lambda name: self.now.add(name))

    def refused(self, file: Path) -> set[str]:
        """Give what the test that has just ended called, its commands writing to a file, and no policy allows."""
        if file.exists():
            self.now |= set(file.read_text().split())
        called, self.now = permissions(self.now), set()
        self.all |= called
        return called - grantable()


def uncalled(called: Iterable[str]) -> set[str]:
    """Give what a policy can allow and no test has called."""
    return set(grantable()) - set(called) - NO_CALLS
