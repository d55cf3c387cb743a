"""The engine's runs of flow runs: under a run id, through the journal, and never stopped with the worker.

A flow run is launched once for each time that Prefect schedules it: its run id is made of its own id and of the id of the
scheduled state. Whoever gets the same scheduling again, be it another machine, sends the same client token.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO, cast
from uuid import UUID

from ecs_block.arn import parse_task_identifier
from ecs_block.engine.conversations import Conversations
from ecs_block.engine.journal import Entry, journal
from ecs_block.engine.prepare import Run
from ecs_block.engine.record import RunJournal
from ecs_block.engine.stop import kill
from ecs_block.engine.teller import Teller
from ecs_block.prefect.following import Following, Named
from ecs_block.task import ECSTask

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

_PREFIX = "prefect"


def run_id_of(flow_run: FlowRun) -> str:
    """Give the run id of a flow run, as it is scheduled now."""
    state = flow_run.state_id or (flow_run.state.id if flow_run.state is not None else None)
    return f"{_PREFIX}/{flow_run.id}/{state}" if state is not None else f"{_PREFIX}/{flow_run.id}"


def flow_run_of(run_id: str) -> UUID | None:
    """Give the id of the flow run that a run id is of; None where it is none of ours."""
    prefix, _, rest = run_id.partition("/")
    try:
        return UUID(rest.partition("/")[0]) if prefix == _PREFIX else None
    except ValueError:
        return None


class Runs:
    """Makes the runs of one worker. All with the same credentials share a conversation, and so a watcher."""

    def __init__(self) -> None:
        self._conversations = Conversations()

    def of_flow_run(self, flow_run: FlowRun, task: ECSTask, following: Following) -> Run:
        """Make the run of a flow run. Raises InvalidTask."""
        return self._of(run_id_of(flow_run), flow_run.name, task, following)

    def of_entry(self, entry: Entry, flow_run: FlowRun, task: ECSTask, following: Following) -> Run:
        """Make the run of what is recorded, with the credentials of its flow run, where it was launched."""
        credentials = self._conversations.at(entry.place, task.aws_credentials)
        if credentials is not task.aws_credentials:
            task = task.model_copy(update={"aws_credentials": credentials})
        return self._of(entry.run_id, flow_run.name, task, following)

    def _of(self, run_id: str, name: str, task: ECSTask, following: Following) -> Run:
        run = task._run(run_id, following, stops=False, conversation=self._conversations.of(task.aws_credentials))
        run.teller = Teller(name, following, cast(TextIO, Named(name)))
        return run

    async def kill(self, identifier: str, task: ECSTask) -> None:
        """Stop a task, so that nothing more is started for its run either.

        Raises InfrastructureNotAvailable, InfrastructureNotFound, InvalidTask or AwsError.
        """
        conversation, named = self._conversations.of(task.aws_credentials), parse_task_identifier(identifier)
        reason = "ecs_block: the flow run was cancelled in Prefect"
        await kill(conversation, named, task.cluster, reason, RunJournal(journal()))


async def unfinished(flow_run_ids: Iterable[UUID] | None = None) -> list[Entry]:
    """Give what the journal has of flow runs, of these or of all, without an outcome, oldest first. Raises JournalError."""
    wanted = None if flow_run_ids is None else set(flow_run_ids)
    books = RunJournal(journal())
    found: list[Entry] = await books.do(books.journal.unfinished)
    of_flow_runs = ((entry, flow_run_of(entry.run_id)) for entry in found)
    return [entry for entry, id_ in of_flow_runs if id_ is not None and (wanted is None or id_ in wanted)]
