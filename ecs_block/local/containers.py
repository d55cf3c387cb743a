"""The life of one container: wait for those it depends on, start, end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ecs_block.local.awslogs import Nowhere, Output
from ecs_block.local.processes import Launcher, Running, StartError
from ecs_block.local.task import Container

_DEFAULT_STOP_TIMEOUT = 30


class DependencyError(StartError):
    """A container that this one waits for ended in a way that it must not."""


@dataclass(frozen=True)
class Setting:
    """All that a container needs besides its definition."""

    launcher: Launcher
    environment: dict[str, str]
    directory: str
    output: Output


class ContainerRun:
    """One container, started at most once."""

    def __init__(self, container: Container, changed: Callable[..., None]) -> None:
        self.container = container
        self.exit_code: int | None = None
        self.ended = 0.0  # wall clock
        self.started = asyncio.Event()
        self.exited = asyncio.Event()
        self.healthy = asyncio.Event()
        self._changed = changed
        self._process: Running | None = None

    async def run(self, setting: Setting, others: Mapping[str, ContainerRun]) -> None:
        """Live through the container; raises StartError if it cannot start."""
        try:
            await self._wait_for_dependencies(others)
            self._process = setting.launcher.start(
                self.container.command, setting.environment, setting.directory, setting.output
            )
        except StartError as error:
            setting.output.close()
            self._changed(self, lastStatus="STOPPED", reason=str(error))
            self.exited.set()
            raise
        self.started.set()
        self._changed(self, lastStatus="RUNNING")
        checks = asyncio.ensure_future(self._check_health(setting))
        try:
            self.exit_code = await asyncio.shield(self._process.exited)
        finally:
            checks.cancel()
        self.ended = time.time()
        self.exited.set()
        self._changed(self, lastStatus="STOPPED", exitCode=self.exit_code)

    async def stop(self) -> None:
        """Send SIGTERM, and SIGKILL when the container's ``stopTimeout`` is over."""
        if self._process is None or self._process.exited.done():
            return
        self._process.signal(signal.SIGTERM)
        patience = self.container.definition.get("stopTimeout", _DEFAULT_STOP_TIMEOUT)
        done, _ = await asyncio.wait({self._process.exited}, timeout=patience)
        if not done:
            self.kill()
        await self.exited.wait()

    def kill(self) -> None:
        """Send SIGKILL."""
        if self._process is not None:
            self._process.signal(signal.SIGKILL)

    async def _wait_for_dependencies(self, others: Mapping[str, ContainerRun]) -> None:
        for dependency in self.container.definition.get("dependsOn", []):
            await self._wait_for(others[dependency["containerName"]], dependency["condition"])

    async def _wait_for(self, other: ContainerRun, condition: str) -> None:
        wanted = {"START": other.started, "HEALTHY": other.healthy}.get(condition, other.exited)
        await _first(wanted, other.exited)
        failed = {
            "START": not other.started.is_set(),
            "HEALTHY": not other.healthy.is_set(),
            "SUCCESS": other.exit_code != 0,
            "COMPLETE": other.exit_code is None,
        }[condition]
        if failed:
            raise DependencyError(
                "DependencyError: dependency graph: container dependency resolution failed: "
                f"{self.container.name} waits for {other.container.name} to be {condition}"
            )

    async def _check_health(self, setting: Setting) -> None:
        """Run the health check as Docker does, but for the first time at once: nobody waits 30 s for a local run."""
        check = self.container.definition.get("healthCheck", {"command": []})
        command = _check_command(check["command"])
        failures = 0
        while command:
            if await self._is_healthy(command, check["timeout"], setting):
                failures = 0
                self._set_health("HEALTHY")
            else:
                failures += 1
                if failures >= check["retries"]:
                    self._set_health("UNHEALTHY")
            # Until it is healthy once, look often.
            await asyncio.sleep(check["interval"] if self.healthy.is_set() else min(1.0, check["interval"]))

    async def _is_healthy(self, command: list[str], patience: float, setting: Setting) -> bool:
        with contextlib.suppress(StartError):
            process = setting.launcher.start(command, setting.environment, setting.directory, Nowhere())
            try:
                return await asyncio.wait_for(asyncio.shield(process.exited), patience) == 0
            except TimeoutError:
                return False
            finally:
                process.signal(signal.SIGKILL)
        return False

    def _set_health(self, status: str) -> None:
        if self.container.wire["healthStatus"] != status:
            self._changed(self, healthStatus=status)
        if status == "HEALTHY":
            self.healthy.set()


def _check_command(command: list[str]) -> list[str]:
    if command[:1] == ["CMD-SHELL"]:
        return ["/bin/sh", "-c", " ".join(command[1:])]
    return command[1:] if command[:1] == ["CMD"] else []


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
