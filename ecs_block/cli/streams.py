"""Writes to stdout and stderr without ever blocking the run.

A reader that rests (`| less`, Ctrl-S) fills the pipe. The event loop must not wait for it: the task's time limits and
Ctrl-C would wait with it. So a thread of its own writes, both streams in one order, straight to the file descriptors: a
thread that holds the lock of `sys.stdout` at the end of the process is a fatal error of the interpreter.

The same thread paints the live region of a terminal, so that nothing else is written between its parts.
"""

from __future__ import annotations

import io
import os
import queue
import select
import sys
import threading
import time
from collections.abc import Iterable, Sequence

from ecs_block.cli.live import Line, Lines, Region
from ecs_block.cli.terminal import in_foreground, is_terminal, size_of
from ecs_block.errors import EcsBlockError

STDOUT, STDERR = 1, 2
_PATIENCE = 5.0  # seconds for which an interrupted command waits for a reader that rests
_HEARD_WITHIN = 0.25  # seconds: how soon Ctrl-C is heard that the kernel gave to another thread (see `bridge.wait_for`)
_MOST_WAITING = 2  # writes; a page of log lines is one
_REPAINT = 0.125  # seconds between two paintings of the region when nothing else is written
_GATHER = 0.05  # seconds for which lines are gathered while the region has to make place for them

_Item = tuple[int, bytes] | Lines | None  # what to write; a region from now on; the end


class Unwritable(EcsBlockError):
    """Stdout does not take all of a result, as on a disk that is full. Whoever saves it must not believe it whole."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"The output cannot be written: {error.strerror or error}.")


class Streams:
    """The two streams of the process."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()  # a signal handler may write while its own thread is here
        self.failures: dict[int, OSError] = {}
        # A descriptor that was closed before us may meanwhile be a socket of ours.
        self._closed = {number for number, file in ((STDOUT, sys.stdout), (STDERR, sys.stderr)) if file is None}
        self._region: Region | None = None  # the thread's own, as the next one
        self._painted_at = 0.0

    def write(self, descriptor: int, text: str) -> None:
        """Write soon. Nothing is written to a stream that was closed, or has failed."""
        if descriptor not in self._closed and descriptor not in self.failures:
            self._put((descriptor, text.encode("utf-8", "replace")))

    @property
    def is_full(self) -> bool:
        """True while a reader that rests holds up so much that no more should be read ahead for it."""
        return self._queue.qsize() > _MOST_WAITING

    def show(self, lines: Lines) -> None:
        """Keep lines at the bottom of the terminal that stderr is, from now on until `close`."""
        self._put(lines)

    def check(self, descriptor: int) -> None:
        """Wait until all is written. Raises Unwritable where a stream has not taken it; a reader that has gone is none."""
        self.close()
        failure = self.failures.get(descriptor)
        if failure is not None and not isinstance(failure, BrokenPipeError):
            raise Unwritable(failure)

    def hide(self) -> None:
        """Remove the lines from the bottom."""
        if self._thread is not None:
            self._put(_nothing)

    def _put(self, item: _Item) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="ecs-block-output", daemon=True)
                self._thread.start()
        self._queue.put(item)

    def close(self, *, interrupted: bool = False) -> None:
        """Remove the region and wait until all is written; after an interrupt, not for a reader that rests."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(_PATIENCE if interrupted else _HEARD_WITHIN)
            while thread.is_alive() and not interrupted:
                thread.join(_HEARD_WITHIN)

    # --- the thread ------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=None if self._region is None else _REPAINT)
            except queue.Empty:
                self._paint()
                continue
            items = self._gathered(item)
            self._write_parts(items)
            if items[-1] is None:
                self._take_back()
                self._region = None
                return
            self._paint()

    def _gathered(self, item: _Item) -> list[_Item]:
        """Give what waits to be written, up to the end. Under heavy output the region is painted for many lines at once."""
        items = [item]
        if self._region is not None and item is not None:
            time.sleep(max(0.0, min(_GATHER, self._painted_at + _GATHER - time.monotonic())))
        while items[-1] is not None:
            try:
                items.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return items

    def _write_parts(self, items: Iterable[_Item]) -> None:
        waiting, to = bytearray(), STDERR
        for item in items:
            if isinstance(item, tuple):
                descriptor, data = item
                if descriptor != to:
                    self._write(to, waiting)
                    waiting, to = bytearray(), descriptor
                waiting += data
            elif item is not None:
                self._write(to, waiting)
                waiting = bytearray()
                self._take_back()
                self._region = Region(item, lambda: size_of(STDERR))
        self._write(to, waiting)

    def _write(self, descriptor: int, data: bytes | bytearray) -> None:
        if not data:
            return
        if self._region is not None and self._region.is_shown and is_terminal(descriptor):
            self._take_back()
        self._write_out(descriptor, data)

    def _paint(self) -> None:
        if self._region is not None and in_foreground(STDERR):
            self._write_out(STDERR, self._region.painted().encode("utf-8", "replace"))
            self._painted_at = time.monotonic()

    def _take_back(self) -> None:
        if self._region is not None:
            self._write_out(STDERR, self._region.taken_back().encode())

    def _write_out(self, descriptor: int, data: bytes | bytearray) -> None:
        if descriptor not in self.failures:
            try:
                _write_all(descriptor, data)
            except OSError as error:
                self.failures[descriptor] = error


def _nothing(width: int) -> Sequence[Line]:
    return ()


def _write_all(descriptor: int, data: bytes | bytearray) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:  # somebody who shares the pipe or terminal has made it so
            select.select((), (descriptor,), ())


class TextStream(io.TextIOBase):
    """One of the streams as `run(output=...)` takes it. Raises the error with which it failed."""

    def __init__(self, streams: Streams, descriptor: int, *, raw: bool = False) -> None:
        self._streams = streams
        self._descriptor = descriptor
        self._guarded = not raw and is_terminal(descriptor)

    def isatty(self) -> bool:
        """Tell whether control sequences in what is written would reach a terminal that wants none."""
        return self._guarded

    def write(self, text: str) -> int:
        """Write soon."""
        failure = self._streams.failures.get(self._descriptor)
        if failure is not None:
            raise failure
        self._streams.write(self._descriptor, text)
        return len(text)


def print_out(text: str) -> None:
    """Print a result on stdout. A reader that has gone away, as `| head` does, is no error. Raises Unwritable."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
        _write_all(STDOUT, (text + "\n").encode("utf-8", "replace"))
    except BrokenPipeError:
        pass
    except OSError as error:
        raise Unwritable(error) from None
