"""The least IAM policy of an agent or a worker: that of a run, over many definitions, and its queue."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ecs_block.plan.queue_url import region_of

Statement = dict[str, Any]
Policy = dict[str, Any]

_GENERATED = re.compile(r"task-definition/ecs-block-[0-9a-f]{12}:\*$")
_UNUSED = ("ReadLogs",)  # nobody watches the output of jobs


def worker_policy(
    caller: Mapping[str, Any],
    queue: str,
    *,
    dead_letters: str | None = None,
    revisions: bool = False,
    bucket: str | None = None,
    prefix: str | None = None,
    check: bool = False,
) -> Policy:
    """Give what a worker needs: `caller` is the policy of a run of its block.

    `revisions`: families are named after jobs. `bucket` and `prefix`: where arguments of single jobs are. `check`: also for
    `agent check`.
    """
    statements = [_widened(item, revisions=revisions, check=check) for item in caller["Statement"]]
    statements = [item for item in statements if item["Sid"] not in _UNUSED]
    partition = _partition(caller)
    return {
        "Version": "2012-10-17",
        "Statement": [*statements, *_revisions(revisions), *_queues(queue, dead_letters, partition),
                      *_arguments(bucket, prefix, partition)],
    }  # fmt: skip


def _widened(statement: Statement, *, revisions: bool, check: bool) -> Statement:
    if statement["Sid"] == "Definition" and check:
        return {**statement, "Action": [*dict.fromkeys([*statement["Action"], "ecs:DeregisterTaskDefinition"])]}
    if statement["Sid"] != "Launch":
        return statement
    return {**statement, "Resource": [*dict.fromkeys(_families(statement["Resource"], revisions, check))]}


def _families(resources: Sequence[str], revisions: bool, check: bool) -> Iterator[str]:
    for resource in resources:
        head = f"{resource.partition('task-definition/')[0]}task-definition/"
        if revisions:
            yield f"{head}*"
        elif _GENERATED.search(resource):
            # A job that says more than the block makes a definition of its own, whose family is named after its content.
            yield f"{head}ecs-block-*"
        else:
            yield resource
            if check:
                yield f"{head}ecs-block-check-*"


def _revisions(wanted: bool) -> list[Statement]:
    if not wanted:
        return []
    condition = {"StringEquals": {"ecs:CreateAction": ["RegisterTaskDefinition"]}}
    return [
        _allow("Revisions", ["ecs:ListTaskDefinitions"], ["*"]),
        {**_allow("TagRevisions", ["ecs:TagResource"], ["*"]), "Condition": condition},
    ]


def _queues(queue: str, dead_letters: str | None, partition: str) -> list[Statement]:
    actions = ["ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes", "SendMessage"]
    found = [_allow("Queue", [f"sqs:{action}" for action in actions], [queue_arn(queue, partition)])]
    if dead_letters is not None:
        arn = queue_arn(dead_letters, partition)
        found.append(_allow("DeadLetters", ["sqs:SendMessage", "sqs:GetQueueUrl"], [arn]))
    return found


def _arguments(bucket: str | None, prefix: str | None, partition: str) -> list[Statement]:
    if bucket is None:
        return []
    arn = f"arn:{partition}:s3:::{bucket}"
    under = "/".join(filter(None, (prefix.strip("/") if prefix else "", "*")))
    # Whoever may not list a bucket is told that a missing object is forbidden.
    return [_allow("Arguments", ["s3:GetObject"], [f"{arn}/{under}"]), _allow("Missing", ["s3:ListBucket"], [arn])]


def queue_arn(url: str, partition: str = "aws") -> str:
    """Give the ARN of the queue with this URL; `*` for a region that it does not say."""
    parts = urlsplit(url)
    region = region_of(url) or "*"
    account, _, name = parts.path.strip("/").rpartition("/")
    return f"arn:{partition}:sqs:{region}:{account.rpartition('/')[2] or '*'}:{name}"


def _partition(caller: Mapping[str, Any]) -> str:
    arns = [resource for item in caller["Statement"] for resource in item["Resource"] if resource.startswith("arn:")]
    return str(arns[0].split(":")[1]) if arns else "aws"


def _allow(name: str, actions: Sequence[str], resources: Sequence[str]) -> Statement:
    return {"Sid": name, "Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
