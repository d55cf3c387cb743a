"""What a denied call lacks: the action, and the statement that allows it."""

from __future__ import annotations

import json
import re
from typing import Any

from ecs_block.errors import AccessDenied, Kind

_LACKING = re.compile(r"not authorized to perform:? (?P<action>[\w-]+:\w+)(?: on resource: (?P<resource>[^\s,;]+))?")
_EXPLICIT = re.compile(r"explicit deny in (?P<where>an? [A-Za-z -]+)")
_SILENT = re.compile(r"because no (?P<where>[A-Za-z -]+?) allows")
# A statement for one revision would have to be changed with each new one.
_REVISION = re.compile(r"(:task-definition/[^:]+):\d+$")

_WHY = {
    "iam:PassRole": "The task is handed this role, which the caller must be allowed to do.",
    "ecs:TagResource": "What is made is tagged (labels, tags), which is a permission of its own.",
}


def denied(told: str, details: dict[str, Any]) -> AccessDenied:
    """Make the error of a call that the caller may not make; `action` is what the policy lacks."""
    said = details["aws_message"]
    lacking = _LACKING.search(said)
    action = lacking["action"] if lacking else _action_of(details["operation"], said)
    resource = (lacking["resource"] or "").rstrip(".") if lacking else ""
    error = AccessDenied(f"{told} {_remedy(said, action, resource, details)}", kind=Kind.DENIED, **details)
    error.action = action
    return error


def _action_of(operation: str, said: str) -> str:
    return "kms:Decrypt" if "KMS" in said else operation


def _remedy(said: str, action: str, resource: str, details: dict[str, Any]) -> str:
    forbids = _EXPLICIT.search(said)
    if forbids:
        where = forbids["where"].strip()
        return f"It is forbidden in {where}, which no permission outweighs: ask whoever keeps it, or use other credentials."
    silent = _SILENT.search(said)
    where = silent["where"] if silent and silent["where"] != "identity-based policy" else "caller's IAM policy"
    why = f"{_WHY[action]} " if action in _WHY else ""
    return f"{why}Allow {action} in the {where}: {json.dumps(_statement(action, resource, details['operation']))}"


def _statement(action: str, resource: str, operation: str) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Action": action,
        "Resource": _REVISION.sub(r"\1:*", resource) or "*",
    }
    if action == "iam:PassRole":
        statement["Condition"] = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    elif action == "ecs:TagResource":
        statement["Condition"] = {"StringEquals": {"ecs:CreateAction": operation.split(":", 1)[-1]}}
    return statement
