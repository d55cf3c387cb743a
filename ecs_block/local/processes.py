"""Containers as processes of this machine. All of this happens in the cloud's one loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import signal
import subprocess
import uuid
from typing import Protocol

from ecs_block.local.awslogs import Nowhere, Output
from ecs_block.local.reaper import Reaper

_READ_SIZE = 64 * 1024
# The most that a pipe can hold: after the end of the process nothing more belongs to it.
_MAX_DRAIN = 1024 * 1024
_POLL_SECONDS = 0.02
# By this variable's value, made for one process, the reaper knows a process that has just been started.
_MARK = "ECS_BLOCK_LOCAL_PROCESS"
_RUNC = (
    "CannotStartContainerError: Error response from daemon: failed to create shim task: OCI runtime create failed: "
    "runc create failed: unable to start container process: "
)
_NO_COMMAND = (
    "CannotStartContainerError: LocalCloud runs no images, so it does not know the command of this one: "
    "give the task a command"
)


class StartError(Exception):
    """A container cannot be started; the text is the container's ``reason``."""


class Running(Protocol):
    """A started container."""

    exited: asyncio.Future[int]

    def signal(self, number: int) -> None:
        """Send a signal."""


class Launcher(Protocol):
    """Starts containers."""

    def start(self, command: list[str], environment: dict[str, str], directory: str, output: Output) -> Running:
        """Start a container; raises StartError."""

    async def close(self) -> None:
        """End all containers."""


class Process:
    """A running command and everything in its process group."""

    def __init__(self, owner: Processes, popen: subprocess.Popen[bytes], pipe: int | None, output: Output) -> None:
        self.exited: asyncio.Future[int] = owner.loop.create_future()
        self.popen = popen
        self._owner = owner
        self._pipe = pipe
        self._output = output
        if pipe is not None:
            os.set_blocking(pipe, False)
            owner.loop.add_reader(pipe, self._read)

    def signal(self, number: int) -> None:
        """Send a signal to the command and all that it started."""
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.popen.pid, number)

    def _read(self) -> int:
        if self._pipe is None:
            return 0
        try:
            data = os.read(self._pipe, _READ_SIZE)
        except BlockingIOError:
            return 0
        if data:
            self._output.feed(data)
        else:
            self._close_pipe()
        return len(data)

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            self._owner.loop.remove_reader(self._pipe)
            os.close(self._pipe)
            self._pipe = None

    def finish(self) -> None:
        """Take the exit code and what is left in the pipe; kill the rest of the group, as a container's end does."""
        self.signal(signal.SIGKILL)
        self._owner.reaper.forget(self.popen.pid)
        code = self.popen.wait()
        drained = 0
        while self._pipe is not None and drained < _MAX_DRAIN and (size := self._read()):
            drained += size
        self._close_pipe()
        self._output.close()
        self.exited.set_result(code if code >= 0 else 128 - code)


class Processes:
    """Starts commands, reads their output and notices their ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.reaper = Reaper()
        self._running: set[Process] = set()
        self._polled: set[Process] = set()
        self._timer: asyncio.TimerHandle | None = None

    def start(self, command: list[str], environment: dict[str, str], directory: str, output: Output) -> Process:
        """Run a command; raises StartError in Docker's words."""
        if not command:
            raise StartError(_NO_COMMAND)
        has_room = self._make_room()
        mark = uuid.uuid4().hex
        self.reaper.expect(mark)
        ends: tuple[int, int] | None = None
        try:
            ends = None if isinstance(output, Nowhere) else os.pipe()
            popen = _popen(command, {**environment, _MARK: mark}, directory, ends[1] if ends else subprocess.DEVNULL)
            self.reaper.watch(popen.pid)
        except (OSError, ValueError) as error:
            if ends:
                os.close(ends[0])
            raise StartError(_RUNC + _cause(command[0], error)) from None
        finally:
            self.reaper.unexpect(mark)
            if ends:
                os.close(ends[1])
        process = Process(self, popen, ends[0] if ends else None, output)
        self._running.add(process)
        self._watch(process, has_room)
        return process

    async def close(self, patience: float = 0.5) -> None:
        """End everything quickly."""
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            running = [process for process in self._running if not process.exited.done()]
            for process in running:
                process.signal(number)
            if running:
                await asyncio.wait([process.exited for process in running], timeout=seconds)
        if self._timer is not None:
            self._timer.cancel()
        self.reaper.close()

    def _watch(self, process: Process, has_room: bool) -> None:
        """Wait for the end: by a file descriptor where there are such, and enough of them, otherwise by looking."""
        if has_room and hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                pidfd = os.pidfd_open(process.popen.pid)
                self.loop.add_reader(pidfd, self._ended, process, pidfd)
                return
        self._polled.add(process)
        if self._timer is None:
            self._timer = self.loop.call_later(_POLL_SECONDS, self._poll)

    def _ended(self, process: Process, pidfd: int) -> None:
        self.loop.remove_reader(pidfd)
        os.close(pidfd)
        self._finish(process)

    def _poll(self) -> None:
        for process in [process for process in self._polled if _has_ended(process.popen)]:
            self._polled.discard(process)
            self._finish(process)
        self._timer = self.loop.call_later(_POLL_SECONDS, self._poll) if self._polled else None

    def _finish(self, process: Process) -> None:
        self._running.discard(process)
        process.finish()

    def _make_room(self) -> bool:
        """Ask for more file descriptors when many processes run; say whether there is one for more than the pipe."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 3 * len(self._running) + 256
        if soft == resource.RLIM_INFINITY or wanted <= soft:
            return True
        limit = 2 * wanted if hard == resource.RLIM_INFINITY else min(hard, 2 * wanted)
        if limit > soft:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                return wanted <= limit
        return False


def _popen(command: list[str], environment: dict[str, str], directory: str, stdout: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  (running what the task says is the purpose)
        command,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stdout if stdout != subprocess.DEVNULL else subprocess.DEVNULL,
        env=environment,
        cwd=directory,
        start_new_session=True,
    )


def _has_ended(popen: subprocess.Popen[bytes]) -> bool:
    """Look whether a process has ended, where possible without taking its number away."""
    if not hasattr(os, "waitid"):
        return popen.poll() is not None
    return os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _cause(program: str, error: OSError | ValueError) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOENT and "/" in program:
        return f'exec: "{program}": stat {program}: no such file or directory: unknown'
    if number == errno.ENOENT:
        return f'exec: "{program}": executable file not found in $PATH: unknown'
    if number in (errno.EACCES, errno.EPERM, errno.EISDIR):
        return f'exec: "{program}": permission denied: unknown'
    text = os.strerror(number).lower() if number else str(error)
    return f'exec: "{program}": {text}: unknown'
