"""Containers that only take time, for benchmarks: no process is started.

The command is read as steps: ``sleep 10``, ``lines 1000``, ``echo a b``, ``exit 7``; several may follow each other, as
in ``["lines", "100", "sleep", "5", "exit", "3"]``. Anything else ends at once with code 0.
"""

from __future__ import annotations

import asyncio
from collections import deque

from ecs_block.local.awslogs import Output
from ecs_block.local.processes import StartError

_Step = tuple[str, str]


class Pretence:
    """One container that only takes time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, steps: deque[_Step], output: Output) -> None:
        self.exited: asyncio.Future[int] = loop.create_future()
        self._loop = loop
        self._steps = steps
        self._output = output
        self._timer: asyncio.Handle = loop.call_soon(self._go)

    def signal(self, number: int) -> None:
        """End as by a signal."""
        self._finish(128 + number)

    def _go(self) -> None:
        while self._steps:
            verb, argument = self._steps.popleft()
            if verb == "sleep":
                self._timer = self._loop.call_later(float(argument), self._go)
                return
            if verb == "exit":
                self._finish(int(argument))
                return
            self._output.feed(_text(verb, argument))
        self._finish(0)

    def _finish(self, code: int) -> None:
        if not self.exited.done():
            self._timer.cancel()
            self._output.close()
            self.exited.set_result(code)


class Pretences:
    """Starts containers that only take time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def start(self, command: list[str], environment: dict[str, str], directory: str, output: Output) -> Pretence:
        """Start a container's steps; raises StartError if they make no sense."""
        steps = _steps(command)
        for verb, argument in steps:
            if verb != "echo" and not argument.replace(".", "", verb == "sleep").isdecimal():
                raise StartError(f"CannotStartContainerError: {verb} takes a number, not {argument!r}")
        return Pretence(self._loop, steps, output)

    async def close(self) -> None:
        """Nothing is left behind."""


def _steps(command: list[str]) -> deque[_Step]:
    steps: deque[_Step] = deque()
    words = deque(command)
    while words:
        verb = words.popleft()
        if verb == "echo":
            steps.append((verb, " ".join(words)))
            break
        if verb == "false":
            steps.append(("exit", "1"))
        if verb not in ("sleep", "lines", "exit") or not words:
            break
        steps.append((verb, words.popleft()))
    return steps


def _text(verb: str, argument: str) -> bytes:
    if verb == "lines":
        return b"".join(b"line %d\n" % number for number in range(int(argument)))
    return argument.encode() + b"\n"
