"""A small process that outlives this one by a moment, to end what this one started.

Whoever kills the process that hosts a LocalCloud, with SIGKILL even, closes the pipe that the reaper reads from. Then
it kills the process groups that were still running.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys

_SCRIPT = """
import os, signal, sys
alive = set()
for line in sys.stdin:
    (alive.add if line[0] == "+" else alive.discard)(int(line[1:]))
for group in alive:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""


class Reaper:
    """Knows the process groups that are alive; started with the first of them."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, group: int) -> None:
        if self._process is None:
            self._process = self._start()
        self._tell(b"+%d\n" % group)

    def forget(self, group: int) -> None:
        """To be called while the group's number cannot belong to anyone else yet."""
        self._tell(b"-%d\n" % group)

    def close(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        assert process.stdin
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()

    def _tell(self, line: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # somebody killed the reaper
                self._process.stdin.write(line)

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C at the terminal is not for the reaper.
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            env={},
            start_new_session=True,
        )
