"""Runs that the journal of this machine knows: by run id, by a task's short id, or as `last`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ecs_block.arn import parse_task_identifier, short_name
from ecs_block.cli.fields import credentials_of
from ecs_block.errors import InvalidTask

if TYPE_CHECKING:
    from ecs_block.engine.journal import Entry
    from ecs_block.engine.prepare import Run
    from ecs_block.events import Hook

LAST = "last"
_LATE = 200  # attempts among which a name is looked for that may be meant
_ALIKE = 0.85  # run ids made here are alike: cli-20261121-115735-…
_TASK = re.compile(r"(arn:[\w-]+:ecs:[\w-]+:\d{12}:task/([\w-]+/)?)?[0-9a-f-]{32,36}")
_ARN_INSTEAD = " Give the task's ARN, or what `run --detach` printed."


def is_identifier(name: str) -> bool:
    """Tell whether a name is meant to be a task's ARN or identifier. Raises InvalidTask for one that has not their form."""
    if "::" not in name and ":task/" not in name:
        return False
    if not _TASK.fullmatch(parse_task_identifier(name).task_arn):
        raise InvalidTask(
            f"{name!r} names no task: its ARN is arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID, of 12 digits and of 32. "
            "Give that, or what `run --detach` printed."
        )
    return True


def entry_named(name: str, given: Mapping[str, Any]) -> Entry:
    """Give the newest attempt of the run of this name. Raises InvalidTask when there is none, or more than one run."""
    found = entries_named(name, given)
    places = dict.fromkeys(entry.place for entry in found)
    if len(places) > 1:
        told = ", ".join(f"{place.region} {place.cluster} at {place.endpoint}" for place in places)
        raise InvalidTask(
            f"There are several runs {name!r}: in {told}. Give the task's ARN, or --region or --endpoint-url."
        )
    return max(found, key=lambda entry: entry.attempt)


def entries_named(name: str, given: Mapping[str, Any]) -> list[Entry]:
    """Give the attempts of the runs of this name, newest first. Raises InvalidTask when there is none."""
    from ecs_block.engine.journal import journal

    found = journal().latest(1) if name == LAST else journal().named(name)
    if not found:
        raise InvalidTask(_unknown(name))
    for option, of in (("region", "region"), ("endpoint_url", "endpoint")):
        found = [entry for entry in found if getattr(entry.place, of) == given[option]] or found
    return found


def _unknown(name: str) -> str:
    from ecs_block.engine.journal import journal

    if name == LAST:
        return f"This machine's journal of runs knows no run.{_ARN_INSTEAD}"
    if parts := dict.fromkeys(entry.run_id for entry in journal().of_map(name)):
        of = "1 run" if len(parts) == 1 else f"{len(parts)} runs"
        return (
            f"{name!r} is a map of {of}; name one of them, such as {next(iter(parts))}. "
            f"`ecs-block report {name} -o {name.rpartition('/')[2]}.html` shows them all."
        )
    return (
        f"This machine's journal of runs knows no run {name!r}, nor a task of this id.{_nearest(name) or _ARN_INSTEAD}"
    )


def _nearest(name: str) -> str:
    """Suggest a run or a task of late: one that is alike but for a slip, else one whose id begins so."""
    from ecs_block.plan.shape import did_you_mean

    return did_you_mean(name, dict.fromkeys(known_names(_LATE)), alike=_ALIKE)


def known_names(most: int) -> Iterator[str]:
    """Give the names of the newest runs: of each the run id, then the short ids of its tasks."""
    from ecs_block.engine.journal import journal

    for entry in journal().latest(most):
        yield entry.run_id
        yield from (short_name(task.rpartition("::")[2]) for task in entry.tasks)


def run_of(entry: Entry, given: Mapping[str, Any], hook: Hook) -> Run:
    """Make the run of an entry, with who talks to AWS where it was launched, unless the options say otherwise.

    Raises NoCredentials when its profile is not there.
    """
    from ecs_block.task import ECSTask

    run = ECSTask(aws_credentials=credentials_for(entry, given))._run(entry.run_id, hook, stops=False)
    run.profile = entry.profile
    return run


def credentials_for(entry: Entry, given: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields of the AwsCredentials with which a run was launched; the keys come from the environment."""
    from ecs_block.aws import Aws, AwsCredentials

    credentials: dict[str, Any] = {"region_name": entry.place.region}
    if entry.profile is not None:
        credentials["profile_name"] = entry.profile
    credentials |= credentials_of(given)
    # What is recorded may be ECS's usual address; given as an endpoint, it would be that of all services.
    if "endpoint_url" not in credentials and Aws(AwsCredentials(**credentials)).endpoint != entry.place.endpoint:
        credentials["endpoint_url"] = entry.place.endpoint
    return credentials
