"""What a job may ask for. Its message is written by somebody who may not have the agent's rights.

A job names what is run and with which data. Which image, role, definition, cluster and network that has is the agent's to say,
unless `--allow` names the field. The variables with which ECS and the SDKs find a role and an endpoint are the agent's too:
a job that set them would give itself another role, or send the program's requests elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from ecs_block.agent.job import Job, Rejected
from ecs_block.errors import InvalidTask
from ecs_block.plan.shape import did_you_mean

DEFAULT_ALLOW = ("command", "env", "labels", "name", "parameters")
ALWAYS = frozenset({"id", "version"})
RESERVED_ENV = "reserved_env"
"""Allows variables whose names are reserved (`AWS_…`, `ECS_…`)."""

# AWS_*: role, keys, region and endpoint of the SDKs. ECS_*: the agent of ECS, its metadata, and our own variables.
# LD_* and DYLD_*: code that is loaded into the program before its own.
_RESERVED = re.compile(r"(AWS_|ECS_|LD_|DYLD_)", re.IGNORECASE)


def check_allowed(job: Job, allow: Collection[str] = DEFAULT_ALLOW) -> None:
    """Refuse a job that sets what it may not. Raises Rejected, naming the fields and how to allow them."""
    named = [name for name in Job.model_fields if name in job.model_fields_set]
    refused = [name for name in named if name not in allow and name not in ALWAYS and not _is_empty(job, name)]
    if refused:
        raise Rejected(
            f"The job sets {', '.join(refused)}, and this agent takes only {', '.join(sorted({*allow} - {RESERVED_ENV}))} from "
            f"a job. Start it with {' '.join(f'--allow {name}' for name in refused)} if whoever can write to the queue may."
        )
    found = reserved(job.env)
    if found and RESERVED_ENV not in allow:
        raise Rejected(
            f"The job sets {', '.join(found[:5])}{', …' if len(found) > 5 else ''}: variables that begin with AWS_, ECS_, "
            f"LD_ or DYLD_ decide which role, endpoint and code the program has. Start the agent with --allow {RESERVED_ENV} "
            "if whoever can write to the queue may do so."
        )


def reserved(names: Iterable[str]) -> list[str]:
    """Give the names of variables that decide about the program's role, endpoint or code."""
    return sorted(name for name in names if _RESERVED.match(name))


def checked_allow(names: Iterable[str]) -> tuple[str, ...]:
    """Check what is to be allowed. Raises InvalidTask for a field that a job does not have, with the nearest one."""
    known = [*Job.model_fields, RESERVED_ENV]
    given = tuple(dict.fromkeys(names))
    for name in given:
        if name not in known:
            raise InvalidTask(f"allow names {name!r}, which is not a field of a job.{did_you_mean(name, known)}")
    return given


def _is_empty(job: Job, name: str) -> bool:
    """Tell whether a field says nothing: writers of JSON like to write all fields out."""
    return getattr(job, name) in (None, [], {})
