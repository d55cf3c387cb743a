"""StopTask, in the two ways in which it is needed: for a task of ours, and for one that somebody names."""

from __future__ import annotations

import logging

from ecs_block.arn import TaskIdentifier, cluster_of, same_cluster, short_name
from ecs_block.engine.clock import backoff
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.record import RunJournal, known_by
from ecs_block.errors import AwsError, ClusterNotFound, InfrastructureNotAvailable, InfrastructureNotFound

logger = logging.getLogger("ecs_block")

LONGEST_REASON = 1024  # characters; API reference, Task.stoppedReason
KNOWN_WITHIN = 60.0  # seconds for which AWS may not know a task that it has accepted
PATIENCE = 300.0  # seconds for which a stop is asked for again while AWS cannot answer: nothing may be left running


async def stop(conversation: Conversation, identifier: TaskIdentifier, reason: str) -> None:
    """Ask AWS to stop a task of ours. One that has ended already is fine. Raises AwsError.

    AWS may not know a task that it has only just started, and forgets one that has ended long ago.
    """
    clock, cluster, task = conversation.clock, *identifier
    until, attempt = clock.now() + KNOWN_WITHIN, 0
    while True:
        try:
            await conversation.ask(
                "ecs", "StopTask", patience=PATIENCE, cluster=cluster, task=task, reason=reason[:LONGEST_REASON]
            )
            return
        except AwsError as error:
            pause = backoff(attempt, clock, first=1.0, most=5.0)
            if not _is_gone(error):
                raise
            if clock.now() + pause > until:
                return
        await clock.sleep(pause)
        attempt += 1


async def kill(
    conversation: Conversation,
    identifier: TaskIdentifier,
    own_cluster: str | None,
    reason: str,
    books: RunJournal | None = None,
) -> None:
    """Stop a task that somebody names. Where a run in the journal has it, nothing is started for that run any more.

    Raises InfrastructureNotAvailable when it is in another cluster than the block's, InfrastructureNotFound when AWS knows
    neither the task nor the cluster.
    """
    cluster, task = identifier
    if own_cluster is not None and not _is_in(own_cluster, identifier):
        raise InfrastructureNotAvailable(
            f"The task {short_name(task)} is in the cluster {short_name(cluster)!r}, and this block works in "
            f"{short_name(own_cluster)!r}. Use a block for that cluster."
        )
    record = None if books is None else await known_by(books, task)
    if record is not None:
        await record.stop_requested(reason.removeprefix("ecs_block: "))
    try:
        await conversation.ask("ecs", "StopTask", cluster=cluster, task=task, reason=reason[:LONGEST_REASON])
    except ClusterNotFound:
        raise InfrastructureNotFound(
            f"There is no cluster {cluster!r} in region {conversation.aws.region}, so no task {short_name(task)} either. "
            "Check the region and the account."
        ) from None
    except AwsError as error:
        if not _is_gone(error):
            raise
        await _accept_if_stopped(conversation, identifier)


def _is_in(own_cluster: str, identifier: TaskIdentifier) -> bool:
    """Tell whether a task is in the block's cluster, by both of what its identifier says."""
    in_arn = cluster_of(identifier.task_arn)
    return same_cluster(own_cluster, identifier.cluster) and (in_arn is None or short_name(own_cluster) == in_arn)


def _is_gone(error: AwsError) -> bool:
    return error.code == "InvalidParameterException" and "not found" in error.aws_message.lower()


async def _accept_if_stopped(conversation: Conversation, identifier: TaskIdentifier) -> None:
    answer = await conversation.ask("ecs", "DescribeTasks", cluster=identifier.cluster, tasks=[identifier.task_arn])
    if answer.get("tasks"):
        return
    raise InfrastructureNotFound(
        f"AWS does not know the task {identifier.task_arn} in the cluster {short_name(identifier.cluster)!r}. It forgets a "
        "task about an hour after its end; otherwise check the region and the account."
    )
