"""A command on a terminal of its own, and what that terminal shows."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyte

COMMAND = [sys.executable, "-m", "ecs_block.cli"]
# Takes the terminal of its stderr as its own, as a shell would give it, so that the key Ctrl-C is a signal.
OWN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(2, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
CTRL_C = b"\x03"


class Screen:
    """A command on a terminal of its own, and what that terminal shows."""

    def __init__(self, variables: dict[str, str], words: tuple[str, ...], columns: int, stdout: Any) -> None:
        self.terminal, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWN_TERMINAL, *COMMAND, *words],
            env={"TERM": "xterm-256color", **variables}, stdin=theirs, stdout=stdout or theirs, stderr=theirs,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.raw = b""
        self.screen = pyte.HistoryScreen(columns, 24, history=20_000)
        self._stream = pyte.ByteStream(self.screen)

    def read(self, seconds: float = 0.1) -> bool:
        """Take what is there; False when the command has left the terminal."""
        if not select.select([self.terminal], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.terminal, 65536)
        except OSError:
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    def until(self, condition: Callable[[], Any]) -> None:
        """Read until something is to be seen."""
        deadline = time.monotonic() + 30
        while not condition():
            assert self.read(), self.lines
            assert time.monotonic() < deadline, self.lines

    def shows(self, text: str) -> Callable[[], bool]:
        return lambda: any(text in line for line in self.lines)

    def press(self, key: bytes) -> None:
        os.write(self.terminal, key)

    def end(self) -> int:
        """Read to the end, and give the exit code."""
        deadline = time.monotonic() + 60
        while self.read() and time.monotonic() < deadline:
            pass
        return self.process.wait(timeout=20)

    @property
    def lines(self) -> list[str]:
        """All lines, from the first on, as they stand."""
        columns = self.screen.columns
        past = ["".join(line[column].data for column in range(columns)) for line in self.screen.history.top]
        return [line.rstrip() for line in (*past, *self.screen.display) if line.strip()]

    @property
    def text(self) -> str:
        return self.raw.decode()


Terminal = Callable[..., Any]


def terminal_for(variables: dict[str, str]) -> Terminal:
    """Give what starts the command on a terminal, with these variables and more."""

    @contextmanager
    def started(*words: str, columns: int = 80, stdout: Any = None, **more: str) -> Iterator[Screen]:
        screen = Screen(variables | more, words, columns, stdout)
        try:
            yield screen
        finally:
            if screen.process.poll() is None:
                screen.process.kill()
                screen.process.wait()
            with contextlib.suppress(OSError):
                os.close(screen.terminal)

    return started
