"""The tasks of a cluster that ecs_block started, from whichever machine.

AWS cannot be asked for them alone: all tasks are listed, and described a hundred at a time. Ours are told by their
`startedBy`, by the variable that names their run, or by the journal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ecs_block.arn import DEFAULT_CLUSTER, short_name
from ecs_block.aws import redactor
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.journal import Entry, Journal
from ecs_block.engine.record import RunJournal
from ecs_block.engine.watch import BATCH
from ecs_block.plan.request import attempt_of, run_of

STARTED_BY = "ecs-block/"  # what starts the `startedBy` of a run without a run id

Described = Mapping[str, Any]


@dataclass(frozen=True)
class OurTask:
    """A task of ours, as AWS describes it, with everything secret masked."""

    identifier: str
    run_id: str | None
    attempt: int | None
    status: str
    created_at: datetime | None
    started_at: datetime | None
    stopped_at: datetime | None
    task_definition_arn: str
    command: tuple[str, ...] | None
    """None where it is the definition's own."""
    in_journal: bool
    """True when the journal of this machine knows it."""


async def our_tasks(
    conversation: Conversation, books: RunJournal, cluster: str | None = None, *, stopped: bool = False
) -> list[OurTask]:
    """Give the tasks of a cluster that are ours, oldest first: those that run; if wanted, those stopped of late as well.

    Raises AwsError, JournalError.
    """
    where = cluster or DEFAULT_CLUSTER
    arns: dict[str, None] = {}
    for status in ("RUNNING", "STOPPED") if stopped else ("RUNNING",):
        listed = await conversation.pages("ecs", "ListTasks", "taskArns", cluster=where, desiredStatus=status)
        arns |= dict.fromkeys(map(str, listed))
    described: list[Described] = []
    for batch in _batches(list(arns)):
        answer = await conversation.ask("ecs", "DescribeTasks", cluster=where, tasks=batch)
        described += answer.get("tasks") or []
    entries = await books.do(lambda: [_entry_of(books.journal, conversation, task) for task in described])
    found = [_ours(task, entry, cluster) for task, entry in zip(described, entries, strict=True)]
    return sorted((task for task in found if task is not None), key=_age)


def _age(task: OurTask) -> float:
    return task.created_at.timestamp() if task.created_at is not None else 0.0


def _batches(items: Sequence[str]) -> Iterator[list[str]]:
    return (list(items[start : start + BATCH]) for start in range(0, len(items), BATCH))


def _ours(task: Described, entry: Entry | None, cluster: str | None) -> OurTask | None:
    run_id = entry.run_id if entry is not None else run_of(task)
    if entry is None and run_id is None and not str(task.get("startedBy", "")).startswith(STARTED_BY):
        return None
    attempt = attempt_of(task)
    return OurTask(
        identifier=f"{cluster or task['clusterArn']}::{task['taskArn']}",
        run_id=run_id,
        attempt=int(attempt) if attempt is not None and attempt.isdecimal() else None,
        status=str(task.get("lastStatus")),
        created_at=task.get("createdAt"),
        started_at=task.get("startedAt"),
        stopped_at=task.get("stoppedAt"),
        task_definition_arn=str(task.get("taskDefinitionArn")),
        command=_command(task),
        in_journal=entry is not None,
    )


def _entry_of(journal: Journal, conversation: Conversation, task: Described) -> Entry | None:
    """Find what the journal knows of a task: by its ARN; or by its run, if the ARN was never recorded."""
    entry = journal.by_task(str(task["taskArn"]))
    run_id = run_of(task)
    if entry is not None or run_id is None:
        return entry
    same_run = journal.attempts(
        run_id,
        region=conversation.aws.region,
        cluster=short_name(str(task.get("clusterArn"))),
        endpoint=conversation.aws.endpoint,
        account=str(task["taskArn"]).split(":")[4],
    )
    return next((entry for entry in same_run if str(entry.attempt) == attempt_of(task)), None)


def _command(task: Described) -> tuple[str, ...] | None:
    """Give the command of the container that runs ours: the first that was overridden."""
    for container in (task.get("overrides") or {}).get("containerOverrides") or []:
        if container.get("command"):
            return tuple(redactor().payload(list(container["command"])))
    return None
