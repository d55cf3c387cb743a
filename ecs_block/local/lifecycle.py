"""The life of a task, from PROVISIONING to STOPPED: read ``Life.run`` from top to bottom."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ecs_block.local.awslogs import LogDriverError, Nowhere, Output, open_stream
from ecs_block.local.containers import ContainerRun, Setting
from ecs_block.local.environment import pairs
from ecs_block.local.events import LoopThread
from ecs_block.local.log_store import LogStore
from ecs_block.local.processes import Launcher, StartError
from ecs_block.local.task import Container, Task
from ecs_block.local.task_secrets import SecretError, TaskSecrets
from ecs_block.local.trouble import Trouble

logger = logging.getLogger("ecs_block.local")


@dataclass(frozen=True)
class Surroundings:
    """What the tasks of a region live in."""

    lock: threading.RLock
    loop: LoopThread
    launcher: Launcher
    stores: Callable[[str], LogStore]
    secrets: TaskSecrets
    trouble: Trouble
    variables: Callable[[Task, Container], dict[str, str]]
    directory: str
    seconds: Callable[[str], float]
    before_first_run: Callable[[Task], None]
    gone: Sequence[Callable[[Task], None]]


class _NotStartedError(Exception):
    """The task fails to start; the text is its ``stoppedReason``."""


class Life:
    """One task's life. ``run`` belongs to the loop; ``finish`` may be called from any thread."""

    def __init__(self, task: Task, around: Surroundings) -> None:
        self._task = task
        self._around = around
        self._wake = asyncio.Event()
        self._ending = False
        self._host_lost = False
        self._runs: dict[str, ContainerRun] = {}
        self._jobs: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Pass through the states; a task that is to stop skips those before RUNNING."""
        try:
            await self._prepare()
            await self._start()
            await self._until_ending()
        except _NotStartedError as problem:
            self.finish("TaskFailedToStart", str(problem))
        except Exception as error:
            logger.exception("LocalCloud failed to run %s", self._task.arn)
            self.finish("TaskFailedToStart", f"InternalError: {error}")
        await self._wind_down()

    def finish(self, stop_code: str, reason: str, *, host_lost: bool = False) -> None:
        """Have the task stop; the first reason counts."""
        with self._around.lock:
            if self._task["desiredStatus"] == "STOPPED":
                return
            now = time.time()
            self._task.change(desiredStatus="STOPPED", stopCode=stop_code, stoppedReason=reason, stoppingAt=now)
            self._ending = True
            self._host_lost = host_lost
        self._around.loop.soon(self._wake.set)

    # --- up

    async def _prepare(self) -> None:
        await self._pass("PROVISIONING")
        if not self._ending:
            self._attach("ATTACHED")
            self._change(connectivity="CONNECTED", connectivityAt=time.time(), pullStartedAt=time.time())
            await self._pass("PENDING")
        if not self._ending:
            self._check_planned_failure()
            self._change(pullStoppedAt=time.time())
            await self._pass("ACTIVATING")

    def _check_planned_failure(self) -> None:
        reason = self._around.trouble.next_start()
        if reason:
            if reason.startswith("Cannot"):
                self._change_containers(reason=reason)
            raise _NotStartedError(reason)

    async def _start(self) -> None:
        """Start the containers; the task is RUNNING when all of them have started, those too that ended already."""
        if self._ending:
            return
        self._around.before_first_run(self._task)
        settings = await self._settings()
        if self._ending:  # while secrets were fetched
            return
        self._runs = {c.name: ContainerRun(c, self._container_changed) for c in self._task.containers}
        lives = map(self._live, self._runs.values(), settings)
        self._jobs = [self._around.loop.spawn(life) for life in lives]
        await self._until(self._all_started)
        if self._all_started():
            self._change(lastStatus="RUNNING", startedAt=time.time())

    def _all_started(self) -> bool:
        """Say whether every container has started, or failed to and does not matter."""
        runs = self._runs.values()
        return all(run.started.is_set() or (run.exited.is_set() and not run.container.essential) for run in runs)

    async def _live(self, run: ContainerRun, setting: Setting) -> None:
        """Live through one container, and end the task with it if it is essential."""
        essential = run.container.essential
        try:
            await run.run(setting, self._runs)
        except StartError:
            if essential:
                self.finish("TaskFailedToStart", "Task failed to start")
        except Exception as error:
            logger.exception("LocalCloud failed to run container %s of %s", run.container.name, self._task.arn)
            self.finish("TaskFailedToStart", f"InternalError: {error}")
        else:
            if essential:
                self.finish("EssentialContainerExited", "Essential container in task exited")
        self._wake.set()

    async def _until_ending(self) -> None:
        await self._until(lambda: self._ending)

    # --- what containers start with

    async def _settings(self) -> list[Setting]:
        fetched = await self._fetch()
        outputs = self._outputs()
        return [
            self._setting(container, own, output)
            for container, own, output in zip(self._task.containers, fetched, outputs, strict=True)
        ]

    def _setting(self, container: Container, own: dict[str, str], output: Output) -> Setting:
        variables = {**self._around.variables(self._task, container), **own}
        return Setting(self._around.launcher, variables, self._directory(container.definition), output)

    async def _fetch(self) -> list[dict[str, str]]:
        """Return each container's own variables; what must be fetched is fetched in another thread."""
        found = []
        for container in self._task.containers:
            definition, override = container.definition, container.override
            files: dict[str, str] = {}
            secrets: dict[str, str] = {}
            if definition.get("secrets") or definition.get("environmentFiles") or override.get("environmentFiles"):
                try:
                    files, secrets = await asyncio.to_thread(self._around.secrets.fetch, definition, override)
                except SecretError as error:
                    raise _NotStartedError(str(error)) from None
            own, overriding = pairs(definition["environment"]), pairs(override.get("environment", []))
            found.append({**files, **own, **secrets, **overriding})
        return found

    def _outputs(self) -> list[Output]:
        outputs: list[Output] = []
        for container in self._task.containers:
            logging_options = container.definition.get("logConfiguration", {})
            if logging_options.get("logDriver") != "awslogs":
                outputs.append(Nowhere())
                continue
            try:
                runtime_id = container.wire["runtimeId"]
                outputs.append(
                    open_stream(logging_options, container.name, self._task.id, runtime_id, self._around.stores)
                )
            except LogDriverError as error:
                raise _NotStartedError(str(error)) from None
        return outputs

    def _directory(self, definition: dict[str, Any]) -> str:
        wanted = definition.get("workingDirectory", "")
        return wanted if wanted and os.path.isdir(wanted) else self._around.directory

    # --- down

    async def _wind_down(self) -> None:
        """Stop what still runs, and end."""
        for job, run in zip(self._jobs, self._runs.values(), strict=True):
            if not run.started.is_set():
                job.cancel()
        if self._task.last_status == "RUNNING":
            await self._rest("DEACTIVATING")
        if self._runs:
            await self._rest("STOPPING")
        await self._stop_containers()
        self._change(executionStoppedAt=self._executed_until())
        await self._rest("DEPROVISIONING")
        with self._around.lock:
            self._attach("DELETED")
            for container in self._task.containers:
                container.wire["lastStatus"] = "STOPPED"
            self._task.change(lastStatus="STOPPED", stoppedAt=time.time())
            self._task.stopped_at = time.monotonic()
        for forget in self._around.gone:
            forget(self._task)

    async def _stop_containers(self) -> None:
        if self._host_lost:
            for run in self._runs.values():
                run.kill()
        await asyncio.gather(*(run.stop() for run in self._runs.values() if run.started.is_set()))
        await asyncio.gather(*self._jobs, return_exceptions=True)

    def _executed_until(self) -> float:
        """Return when the last container ended; now, if none ran."""
        return max((run.ended for run in self._runs.values()), default=0.0) or time.time()

    # --- changes

    def _container_changed(self, run: ContainerRun, **members: Any) -> None:
        if self._host_lost:
            members.pop("exitCode", None)  # nobody is left to report it
        with self._around.lock:
            self._task.change_container(run.container, **members)
            if "healthStatus" in members:
                self._task.change(healthStatus=self._health())
        self._wake.set()

    def _health(self) -> str:
        checked = [c for c in self._task.containers if c.essential and "healthCheck" in c.definition]
        statuses = {container.wire["healthStatus"] for container in checked}
        return next((status for status in ("UNHEALTHY", "UNKNOWN", "HEALTHY") if status in statuses), "UNKNOWN")

    def _change(self, **members: Any) -> None:
        with self._around.lock:
            self._task.change(**members)

    def _change_containers(self, **members: Any) -> None:
        with self._around.lock:
            for container in self._task.containers:
                self._task.change_container(container, **members)

    def _attach(self, status: str) -> None:
        with self._around.lock:
            attachments = [{**attachment, "status": status} for attachment in self._task["attachments"]]
            if attachments:
                self._task.change(attachments=attachments)

    # --- time

    async def _pass(self, state: str) -> None:
        """Be in a state on the way up, for its time or until the task is to end."""
        if self._task.last_status != state:
            self._change(lastStatus=state)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._around.seconds(state)):
                await self._until_ending()

    async def _rest(self, state: str) -> None:
        """Be in a state on the way down, for its time."""
        self._change(lastStatus=state)
        await asyncio.sleep(self._around.seconds(state))

    async def _until(self, happened: Callable[[], bool]) -> None:
        """Wait until something has happened, or the task is to end."""
        while not happened() and not self._ending:
            await self._wake.wait()
            self._wake.clear()
