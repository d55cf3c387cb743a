"""Commands by the hundred: a process that has loaded everything forks one for each.

A command of `ecs-block` takes a second to load what it needs, and nothing that could be interrupted happens meanwhile. Here a
process loads it once and forks a child for each command. The child has its own session, streams, variables and
`ECS_BLOCK_HOME`, calls what the installed command calls (`ecs_block.cli.main`), and ends as that ends; SIGKILL meets a real
process with real files and sockets. The process that forks has one thread and has talked to nobody, so nothing is inherited.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PATIENCE = 120  # seconds after which a command hangs
NOBODY = "|"  # a stdout whose reader has gone away


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    """Its exit code; -9 after SIGKILL, as in `subprocess`."""
    seconds: float
    stdout: str
    stderr: str


class Started:
    """A command that was started."""

    def __init__(self, crew: Crew, number: int, folder: Path) -> None:
        self._crew = crew
        self._number = number
        self._folder = folder

    @property
    def stdout(self) -> str:
        """What it has written so far."""
        return (self._folder / f"{self._number}.out").read_text()

    @property
    def over(self) -> bool:
        """True when it has ended."""
        return self._crew._ends[self._number].done()

    def signal(self, number: int) -> None:
        """Send it a signal; one that has ended meanwhile gets none."""
        self._crew._send({"number": self._number, "signal": number})

    def end(self) -> Ended:
        """Wait for its end."""
        said = self._crew._ends[self._number].result(PATIENCE)
        stderr = (self._folder / f"{self._number}.err").read_text()
        return Ended(os.waitstatus_to_exitcode(said["status"]), said["seconds"], self.stdout, stderr)


class Crew:
    """The process that forks, and its commands. Use it as a context manager: all of them end with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ends: dict[int, Future[dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        # Nothing of what this process was told by its caller (AWS_…, ECS_BLOCK_…) is for the commands.
        variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1])}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=variables,
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, name="crew")
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._listener.join()
        self._process.stdout.close()
        self._process.wait(PATIENCE)

    def start(
        self,
        words: Iterable[str],
        variables: Mapping[str, str],
        kill_after: float | None = None,
        stdin: str | None = None,
        stdout: str | None = None,
        terminal: str | None = None,
    ) -> Started:
        """Start `ecs-block` with these words here; kill it (SIGKILL) after some seconds, if it has not ended by then.

        Its stdout may be another file, or `NOBODY`; all its streams may be a terminal, which becomes its own.
        """
        with self._lock:
            number = len(self._ends)
            self._ends[number] = Future()
        for kind in ("out", "err"):  # it may be killed before it can make them
            (self._folder / f"{number}.{kind}").touch()
        if stdin is not None:
            (self._folder / f"{number}.in").write_text(stdin)
        order = {"number": number, "words": list(words), "variables": dict(variables), "kill_after": kill_after}
        order |= {"folder": os.getcwd(), "stdin": os.devnull if stdin is None else str(self._folder / f"{number}.in")}
        order |= {"stdout": stdout, "terminal": terminal}
        self._send(order | {"streams": str(self._folder / str(number))})
        return Started(self, number, self._folder)

    def run(
        self,
        words: Iterable[str],
        variables: Mapping[str, str],
        kill_after: float | None = None,
        stdin: str | None = None,
    ) -> Ended:
        """Start `ecs-block` and wait for its end."""
        return self.start(words, variables, kill_after, stdin).end()

    def _send(self, order: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            self._ends[said["number"]].set_result(said)
        for end in list(self._ends.values()):
            if not end.done():
                end.set_exception(RuntimeError("the process that forks has ended"))


# --- in the process that forks -----------------------------------------------------------------------------------------


class _Forker:
    """Reads orders from stdin and tells of ends on stdout. It alone waits for the children, so a signal meets no stranger."""

    def __init__(self) -> None:
        self._alive: dict[int, tuple[int, float, float]] = {}  # by process: number, start, time to be killed
        self._rest = b""
        self._woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def child(self) -> dict[str, Any] | None:
        """Serve until there are no orders any more: None; in each child: its order."""
        while True:
            now = time.monotonic()
            next_kill = min((kill for _, _, kill in self._alive.values()), default=float("inf"))
            ready, _, _ = select.select([0, self._woken], [], [], max(0.0, min(next_kill - now, 3600.0)))
            self._kill_those_due()
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._tell_of_ends()
            if 0 in ready:
                data = os.read(0, 65536)
                if not data:
                    return self._end()
                *lines, self._rest = (self._rest + data).split(b"\n")
                for line in lines:
                    order = self._follow(json.loads(line))
                    if order is not None:
                        return order

    def _follow(self, order: dict[str, Any]) -> dict[str, Any] | None:
        if "signal" in order:
            for process in [process for process, (number, _, _) in self._alive.items() if number == order["number"]]:
                os.kill(process, order["signal"])
            return None
        started = time.monotonic()
        process = os.fork()
        if process == 0:
            return order
        after = float("inf") if order["kill_after"] is None else order["kill_after"]
        self._alive[process] = order["number"], started, started + after
        return None

    def _kill_those_due(self) -> None:
        now = time.monotonic()
        for process, (number, started, kill) in list(self._alive.items()):
            if kill <= now:
                os.kill(process, signal.SIGKILL)
                self._alive[process] = number, started, float("inf")

    def _tell_of_ends(self) -> None:
        while self._alive:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            number, started, _ = self._alive.pop(process)
            said = {"number": number, "status": status, "seconds": time.monotonic() - started}
            os.write(1, json.dumps(said).encode() + b"\n")

    def _end(self) -> None:
        for process in self._alive:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _become(order: Mapping[str, Any]) -> None:
    """Make of a fork a process as a shell would start it."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.chdir(order["folder"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    out, err = order["stdout"] or order["streams"] + ".out", order["streams"] + ".err"
    streams = [(0, order["stdin"], os.O_RDONLY), (1, out, flags), (2, err, flags)]
    if order["terminal"] is not None:
        streams = [(descriptor, order["terminal"], os.O_RDWR) for descriptor in range(3)]
    for descriptor, name, how in streams:
        opened = _to_nobody() if name == NOBODY else os.open(name, how, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(order["variables"])
    time.tzset()


def _to_nobody() -> int:
    """Open a pipe from which nobody reads any more, as after `| head`."""
    ours, theirs = os.pipe()
    os.close(ours)
    return theirs


def _load() -> None:
    """Load what a run loads: modules, and botocore's files, whose JSON would take half the time of a short run."""
    from importlib import import_module

    for name in ("filelock", "sqlite3", "jmespath", "anyio.from_thread", "anyio._backends._asyncio"):
        import_module(name)
    for name in ("cli.run", "cli.verbs", "cli.output", "task", "engine.run", "engine.bridge", "engine.journal"):
        import_module(f"ecs_block.{name}")
    import boto3
    import models

    models.keep()
    session = boto3.Session("none", "none", region_name="us-east-1")
    for service in ("ecs", "ec2", "logs"):
        session.client(service)
    gc.freeze()  # a collection in a child would copy all of it


def _main() -> None:
    _load()
    order = _Forker().child()
    if order is not None:
        from ecs_block.cli import main

        _become(order)
        main(order["words"])


if __name__ == "__main__":
    _main()
