"""A small process that outlives this one by a moment, to end what this one started.

Whoever kills the process that hosts a LocalCloud, with SIGKILL even, closes the pipe that the reaper reads from. Then
it kills the process groups that were still running. A process that was being started at that moment has not been
reported yet: it is found by its environment, which holds a random mark that no other process has (on Linux).
"""

from __future__ import annotations

import contextlib
import subprocess
import sys

_SCRIPT = """
import os, signal, sys, time

alive, expected = set(), set()
for line in sys.stdin.buffer:
    verb, _, rest = line.strip().partition(b" ")
    if verb == b"expect":
        expected.add(rest)
    elif verb == b"unexpect":
        expected.discard(rest)
    elif verb == b"watch":
        alive.add(int(rest))
    elif verb == b"forget":
        alive.discard(int(rest))


def kill(call, number):
    try:
        call(number, signal.SIGKILL)
    except OSError:
        pass


def is_expected(pid):
    try:
        with open("/proc/%s/environ" % pid, "rb") as file:
            variables = file.read().split(b"\\0")
    except OSError:
        return False
    return any(variable.partition(b"=")[2] in expected for variable in variables)


for group in alive:
    kill(os.killpg, group)
# What was just being started may take a moment to get its environment.
for _ in range(20 if expected and os.path.isdir("/proc/self") else 0):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if is_expected(pid):
            kill(os.kill, int(pid))
    time.sleep(0.05)
"""


class Reaper:
    """Knows the process groups that are alive, and what is about to be started; runs from the first of them on."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def expect(self, mark: str) -> None:
        """Announce a process that will have ``mark`` as the value of a variable."""
        if self._process is None:
            self._process = self._start()
        self._tell(b"expect %s\n" % mark.encode())

    def unexpect(self, mark: str) -> None:
        """Take note that the announced process has been reported, or could not be started."""
        self._tell(b"unexpect %s\n" % mark.encode())

    def watch(self, group: int) -> None:
        """Remember a process group."""
        self._tell(b"watch %d\n" % group)

    def forget(self, group: int) -> None:
        """To be called while the group's number cannot belong to anyone else yet."""
        self._tell(b"forget %d\n" % group)

    def close(self) -> None:
        """Let the reaper go; what it still remembers is killed."""
        if self._process is None:
            return
        process, self._process = self._process, None
        if process.stdin is not None:
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
        return subprocess.Popen(  # noqa: S603  (the script above and nothing else)
            [sys.executable, "-I", "-S", "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            env={},
            start_new_session=True,
        )
