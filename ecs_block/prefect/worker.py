"""The worker: Prefect gives it flow runs, and each is one run of the engine.

prepared    by Prefect: template, values, environment, command; `configuration` makes an ECSTask of it
launched    once, under a run id; Prefect is told the task (`cluster::task_arn`) as soon as AWS has accepted it
watched     by one watcher for all flow runs
ended       what is not a success is told to Prefect as Crashed, with AWS's reason; a state that the flow has reached
            itself stays as it is
taken up    what an earlier worker of this machine has left running, when the next one starts
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import prefect.exceptions
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Crashed
from prefect.utilities.engine import propose_state
from prefect.workers.base import BaseVariables, BaseWorker, BaseWorkerResult

from ecs_block import errors
from ecs_block.engine import run as engine
from ecs_block.engine.journal import Entry
from ecs_block.engine.resume import UNDETERMINED, Found, resumed
from ecs_block.errors import AwsError, EcsBlockError, JournalError
from ecs_block.plan.result import ECSTaskResult
from ecs_block.plan.verdict import NO_EXIT_CODE
from ecs_block.prefect.configuration import EcsBlockJobConfiguration
from ecs_block.prefect.following import Following, crash_of, nothing_ran, told_by
from ecs_block.prefect.hands import Hand, cancelled_among
from ecs_block.prefect.runs import Runs, flow_run_of, run_id_of, unfinished
from ecs_block.prefect.template import base_job_template

if TYPE_CHECKING:
    from uuid import UUID

    from anyio.abc import TaskStatus
    from prefect.client.schemas.objects import FlowRun


class EcsBlockWorkerResult(BaseWorkerResult):
    """What became of a flow run's task: `status_code` is the main container's exit code, -1 when it gave none."""


class EcsBlockWorker(BaseWorker[EcsBlockJobConfiguration, BaseVariables, EcsBlockWorkerResult]):
    """Runs flow runs as ECS tasks."""

    type = "ecs-block"
    job_configuration = EcsBlockJobConfiguration

    _display_name = "AWS ECS (ecs-block)"
    _description = "Run each flow run as an Amazon ECS task, launched once, with AWS's reason when it crashes."

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._runs = Runs()
        self._hands: dict[UUID, Hand] = {}
        self._has_taken_up = False
        self._is_looking = False

    @classmethod
    def get_default_base_job_template(cls) -> dict[str, Any]:
        """Give the template that a new pool begins with: the fields of `ECSTask`."""
        return base_job_template()

    async def sync_with_backend(self) -> None:
        """Tell Prefect of this worker; the first time, take up what an earlier one of this machine has left running."""
        await super().sync_with_backend()
        if not self._has_taken_up and self._work_pool is not None:
            self._has_taken_up = True
            self._beside(self._take_up)

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Take what is scheduled, and look which of those in hand somebody has cancelled."""
        found = await super().get_and_submit_flow_runs()
        if self._hands and not self._is_looking:
            self._is_looking = True
            self._beside(self._look_for_cancelled)
        return found

    async def run(
        self,
        flow_run: FlowRun,
        configuration: EcsBlockJobConfiguration,
        task_status: TaskStatus[Any] | None = None,
    ) -> EcsBlockWorkerResult:
        """Run a flow run as a task, and wait for its end. Raises what keeps the end of a task that runs from being seen."""
        following = self._following(flow_run, (lambda identifier: None) if task_status is None else task_status.started)
        with self._in_hand(flow_run, Hand(run_id_of(flow_run), configuration, following)) as hand:
            try:
                return await self._to_its_end(flow_run, hand)
            except EcsBlockError as error:
                if following.identifier is not None and isinstance(error, AwsError | JournalError):
                    raise  # who cannot be asked for now may still run well
                self.get_flow_run_logger(flow_run).error("%s", error)
                following.at(following.identifier or "")
                return await self._crashed(flow_run, hand.run_id, following, error)
        following.at(following.identifier or "")  # it was cancelled before there was a task
        return EcsBlockWorkerResult(identifier=following.identifier or "", status_code=0)

    async def kill_infrastructure(
        self, infrastructure_pid: str, configuration: EcsBlockJobConfiguration, grace_seconds: int = 30
    ) -> None:
        """Stop the task of a flow run; ECS takes the grace period from the container's `stopTimeout`.

        Raises Prefect's InfrastructureNotFound and InfrastructureNotAvailable.
        """
        try:
            await self._runs.kill(infrastructure_pid, configuration.task())
        except errors.InfrastructureNotFound as error:
            raise prefect.exceptions.InfrastructureNotFound(str(error)) from None
        except EcsBlockError as error:
            raise prefect.exceptions.InfrastructureNotAvailable(str(error)) from None

    # --- one flow run ---------------------------------------------------------------------------------------------------

    async def _earlier(
        self, flow_run: FlowRun, configuration: EcsBlockJobConfiguration, following: Following
    ) -> EcsBlockWorkerResult | None:
        """Wait for the tasks of earlier schedulings: one at a time runs a flow. None when it still waits to be run.

        Raises EcsBlockError when nobody can say now whether there is such a task.
        """
        for entry in await unfinished([flow_run.id]):
            if entry.run_id != run_id_of(flow_run):
                found = await resumed(self._runs.of_entry(entry, flow_run, configuration.task(), following), entry)
                if not has_ended(found):
                    raise found.error or EcsBlockError(f"Another process of this machine is launching {entry.run_id}.")
                if not await self._still_waits(flow_run):
                    return await self._told_of(flow_run, run_id_of(flow_run), found, following)
        return None

    async def _to_its_end(self, flow_run: FlowRun, hand: Hand) -> EcsBlockWorkerResult:
        run = self._runs.of_flow_run(flow_run, hand.configuration.task(), hand.following)
        earlier = await self._earlier(flow_run, hand.configuration, hand.following)
        if earlier is not None:
            return earlier
        hand.run = run
        result = await engine.run(run)
        hand.following.at(result.identifier or "")
        return await self._told(flow_run, hand.run_id, result)

    @contextmanager
    def _in_hand(self, flow_run: FlowRun, hand: Hand) -> Iterator[Hand]:
        """Have a flow run in hand; one that is cancelled before there is a task goes on behind the context."""
        self._hands[flow_run.id] = hand
        try:
            with hand.scope:
                yield hand
        finally:
            if self._hands.get(flow_run.id) is hand:
                del self._hands[flow_run.id]

    async def _crashed(
        self, flow_run: FlowRun, run_id: str, following: Following, error: EcsBlockError
    ) -> EcsBlockWorkerResult:
        is_ours = await self._tell(flow_run, run_id, told_by(error))
        return EcsBlockWorkerResult(identifier=following.identifier or "", status_code=NO_EXIT_CODE if is_ours else 0)

    async def _told(self, flow_run: FlowRun, run_id: str, result: ECSTaskResult) -> EcsBlockWorkerResult:
        """Tell what became of a task. Its code is 0 too where the flow run is not its own any more: Prefect crashes others."""
        code = 0
        if not result:
            is_ours = await self._tell(flow_run, run_id, crash_of(result))
            code = (result.status_code or NO_EXIT_CODE) if is_ours else 0  # one that was stopped may have ended with 0
        elif await self._still_waits(flow_run):
            await self._tell(flow_run, run_id, nothing_ran(result))
        return EcsBlockWorkerResult(identifier=result.identifier or "", status_code=code)

    async def _tell(self, flow_run: FlowRun, run_id: str, reason: str) -> bool:
        """Tell Prefect of a crash; False when the flow run has been cancelled or scheduled again: then this is no crash of it.

        A flow run that has a final state keeps it: the flow knew better.
        """
        logger = self.get_flow_run_logger(flow_run)
        if (hand := self._hands.get(flow_run.id)) is not None and hand.is_given_up:
            return False
        try:
            if await self._is_scheduled_again(flow_run, run_id):
                logger.info("The flow run is scheduled again, so it has not crashed with its earlier task: %s", reason)
                return False
            await propose_state(self.client, Crashed(message=reason), flow_run_id=flow_run.id)
        except prefect.exceptions.Abort:
            logger.debug("Prefect has a final state of the flow run already; its task: %s", reason)
        except Exception:
            logger.exception("Prefect could not be told of a crash: %s", reason)
        return True

    async def _is_scheduled_again(self, flow_run: FlowRun, run_id: str) -> bool:
        hand = self._hands.get(flow_run.id)
        if hand is not None and hand.run_id != run_id:
            return True
        now = await self.client.read_flow_run(flow_run.id)
        return now.state is not None and now.state.is_scheduled()

    async def _still_waits(self, flow_run: FlowRun) -> bool:
        """Tell whether nothing has begun to run the flow."""
        now = await self.client.read_flow_run(flow_run.id)
        return now.state is None or now.state.is_pending()

    # --- cancelling -----------------------------------------------------------------------------------------------------

    async def _look_for_cancelled(self) -> None:
        try:
            in_hand = [id_ for id_, hand in self._hands.items() if not hand.is_given_up]
            for flow_run in await cancelled_among(self.client, in_hand):
                if (hand := self._hands.get(flow_run.id)) is not None:
                    await self._give_up(flow_run, hand)
        except Exception:
            self._logger.exception("Nobody can say now which flow runs are cancelled; it is asked again.")
        finally:
            self._is_looking = False

    async def _give_up(self, flow_run: FlowRun, hand: Hand) -> None:
        logger = self.get_flow_run_logger(flow_run)
        try:
            await hand.give_up(self.kill_infrastructure)
        except prefect.exceptions.InfrastructureNotFound:
            logger.debug("The task of the cancelled flow run is gone.")
        except prefect.exceptions.InfrastructureNotAvailable as error:
            hand.is_given_up = False
            logger.warning("The task of the cancelled flow run cannot be stopped now: %s", error)
            return
        logger.info(
            "The flow run was cancelled before its flow began; its task %s.",
            hand.following.identifier or "is not launched",
        )
        if flow_run.state is not None and flow_run.state.is_cancelling():
            told: State[Any] = Cancelled(message="Its task was stopped before the flow began.")
            await self.client.set_flow_run_state(flow_run.id, told, force=True)

    def _following(self, flow_run: FlowRun, started: Callable[[str], object]) -> Following:
        """Make the hook. A later task of the same flow run, after an interruption, is told to Prefect beside."""
        moved = partial(self._beside, self._note_task, flow_run)
        return Following(self.get_flow_run_logger(flow_run), started, moved)

    async def _note_task(self, flow_run: FlowRun, identifier: str) -> None:
        try:
            await self.client.update_flow_run(flow_run.id, infrastructure_pid=identifier)
        except Exception:
            self._logger.exception(
                "Prefect could not be told that the flow run %s is the task %s.", flow_run.id, identifier
            )

    def _beside(self, work: Callable[..., Any], *args: Any) -> None:
        if self._runs_task_group is not None:
            self._runs_task_group.start_soon(work, *args)

    # --- what an earlier worker has left --------------------------------------------------------------------------------

    async def _take_up(self) -> None:
        try:
            found = await unfinished()
        except JournalError as error:
            self._logger.warning("What an earlier worker has left running is not watched: %s", error)
            return
        for entry in found:
            self._beside(self._take_up_one, entry)

    async def _take_up_one(self, entry: Entry) -> None:
        """Watch a task to its end. One of another pool, or of another Prefect server, is left to its own worker."""
        flow_run_id = flow_run_of(entry.run_id)
        try:
            flow_run = await self.client.read_flow_run(flow_run_id)  # type: ignore[arg-type]
            if flow_run.work_pool_name != self._work_pool_name:
                return
            configuration = await self.job_configuration.resolve_for_flow_run(
                flow_run, client=self.client, work_pool=self.work_pool, worker_name=self.name, worker_id=self.backend_id
            )
            following = self._following(flow_run, partial(self._beside, self._note_task, flow_run))
            if flow_run.id in self._hands:
                return  # it is scheduled again, and whoever has it waits for this task
            if entry.tasks:
                following.at(entry.tasks[-1])
            with self._in_hand(flow_run, Hand(entry.run_id, configuration, following)):
                found = await resumed(self._runs.of_entry(entry, flow_run, configuration.task(), following), entry)
                if has_ended(found):
                    await self._told_of(flow_run, entry.run_id, found, following)
                elif found.error is not None:
                    self._logger.warning(
                        "Nobody can say now what became of the flow run %s: %s", flow_run_id, found.error
                    )
        except prefect.exceptions.ObjectNotFound:
            return
        except Exception:
            self._logger.exception("The flow run %s cannot be taken up, and is not watched.", flow_run_id)

    async def _told_of(
        self, flow_run: FlowRun, run_id: str, found: Found, following: Following
    ) -> EcsBlockWorkerResult:
        """Tell what was found of a run that has ended."""
        if found.result is not None:
            return await self._told(flow_run, run_id, found.result)
        return await self._crashed(flow_run, run_id, following, found.error or EcsBlockError(found.state))


def has_ended(found: Found) -> bool:
    """Tell whether it is known that a run goes on no more: not when another process launches it, or AWS cannot be asked."""
    return found.result is not None or (found.error is not None and found.state != UNDETERMINED)
