"""Runs that the journal of this machine knows: by run id, by a task's short id, or as `last`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ecs_block.cli.fields import credentials_of
from ecs_block.errors import InvalidTask

if TYPE_CHECKING:
    from ecs_block.engine.journal import Entry
    from ecs_block.engine.prepare import Run
    from ecs_block.events import Hook

LAST = "last"


def is_identifier(name: str) -> bool:
    """Tell whether a name is meant to be a task's ARN or identifier."""
    return "::" in name or ":task/" in name


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
        raise InvalidTask(
            f"This machine's journal of runs knows no run{'' if name == LAST else f' {name!r}, nor a task of this id'}. "
            "Give the task's ARN, or 'cluster::task_arn' as `run --detach` prints it."
        )
    for option, of in (("region", "region"), ("endpoint_url", "endpoint")):
        found = [entry for entry in found if getattr(entry.place, of) == given[option]] or found
    return found


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
