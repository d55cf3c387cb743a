"""Writes to stdout and stderr without ever blocking the run.

A reader that rests (`| less`, Ctrl-S) fills the pipe. The event loop must not wait for it: the task's time limits and
Ctrl-C would wait with it. So a thread of its own writes, both streams in one order, straight to the file descriptors: a
thread that holds the lock of `sys.stdout` at the end of the process is a fatal error of the interpreter.
"""

from __future__ import annotations

import contextlib
import io
import os
import queue
import select
import sys
import threading

STDOUT, STDERR = 1, 2
_PATIENCE = 5.0  # seconds for which an interrupted command waits for a reader that rests


class Streams:
    """The two streams of the process."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.failures: dict[int, OSError] = {}
        # A descriptor that was closed before us may meanwhile be a socket of ours.
        self._closed = {number for number, file in ((STDOUT, sys.stdout), (STDERR, sys.stderr)) if file is None}

    def write(self, descriptor: int, text: str) -> None:
        """Write soon. Nothing is written to a stream that was closed, or has failed."""
        if descriptor in self._closed or descriptor in self.failures:
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="ecs-block-output", daemon=True)
                self._thread.start()
        self._queue.put((descriptor, text.encode("utf-8", "replace")))

    def close(self, *, interrupted: bool = False) -> None:
        """Wait until all is written; after an interrupt, not for a reader that rests."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(_PATIENCE if interrupted else None)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            descriptor, data = item
            if descriptor not in self.failures:
                try:
                    _write_all(descriptor, data)
                except OSError as error:
                    self.failures[descriptor] = error


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:  # somebody who shares the pipe or terminal has made it so
            select.select((), (descriptor,), ())


class TextStream(io.TextIOBase):
    """One of the streams as `run(output=...)` takes it. Raises the error with which it failed."""

    def __init__(self, streams: Streams, descriptor: int) -> None:
        self._streams = streams
        self._descriptor = descriptor

    def write(self, text: str) -> int:
        """Write soon."""
        failure = self._streams.failures.get(self._descriptor)
        if failure is not None:
            raise failure
        self._streams.write(self._descriptor, text)
        return len(text)


def print_out(text: str) -> None:
    """Print a result on stdout. A reader that has gone away, as `| head` does, is no error."""
    if sys.stdout is None:
        return
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        _write_all(STDOUT, (text + "\n").encode("utf-8", "replace"))
