"""What a process used: time, CPU, memory, threads. The standard library only, for it runs beside peers too."""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

SAMPLE_SECONDS = 0.05


class Usage:
    """Measure the body of a `with`, and the process as a whole."""

    def __enter__(self) -> Usage:
        self.threads = 0
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()
        # What one client imports before its run, another imports in it: the wall time counts from the process's start.
        self._cpu_before, self._began = time.process_time(), time.perf_counter() - process_age()
        return self

    def __exit__(self, *error: object) -> None:
        self.wall = time.perf_counter() - self._began
        self.cpu_run = time.process_time() - self._cpu_before
        self._over.set()
        self._sampler.join()

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self.threads = max(self.threads, threading.active_count() - 1)  # the sampler is not the client's

    def print(self, **facts: object) -> None:
        """Print the one line of JSON that the parent reads. `cpu` counts imports too, `cpu_run` only the body."""
        used = {"wall": self.wall, "cpu": time.process_time(), "cpu_run": self.cpu_run}
        print(json.dumps({**used, "rss_mb": peak_rss() / 1e6, "threads": self.threads, **facts}), flush=True)


def process_age() -> float:
    """Give the seconds since this process began, or 0 where the system does not tell (it does on Linux)."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def peak_rss() -> int:
    """Give the most memory that this process has had (bytes)."""
    try:  # ru_maxrss begins with what the parent had at the fork
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Sink:
    """An output that counts the lines `line 0`, `line 1`, … instead of showing them."""

    def __init__(self, expected: int) -> None:
        self._seen = bytearray(expected)
        self.other = 0

    def write(self, text: str) -> int:
        """Take lines, each with its end."""
        for line in text.splitlines():
            self.take(line)
        return len(text)

    def take(self, line: str) -> None:
        """Take one line."""
        number = line[5:]
        if line.startswith("line ") and number.isdecimal() and int(number) < len(self._seen):
            self._seen[int(number)] = min(255, self._seen[int(number)] + 1)
        else:
            self.other += 1

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    @property
    def lost(self) -> int:
        """How many lines never came."""
        return self._seen.count(0)

    @property
    def twice(self) -> int:
        """How many lines came too often, or were never written."""
        return sum(times - 1 for times in self._seen if times > 1) + self.other


def completeness(sinks: Iterable[Sink]) -> dict[str, int]:
    """Add up what several sinks lost, and what came twice."""
    counted = list(sinks)
    return {"lost": sum(sink.lost for sink in counted), "twice": sum(sink.twice for sink in counted)}


def cpu_of(command: Callable[[], object]) -> float:
    """Give the CPU time of the processes that a function starts and waits for (seconds)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cpu_by_thread() -> dict[str, float]:
    """Give the CPU seconds of the threads that live now, by name (Linux only)."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    ticks = os.sysconf("SC_CLK_TCK")
    used: dict[str, float] = {}
    for folder in Path("/proc/self/task").iterdir():
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        name = names.get(int(folder.name), "other").rstrip("-0123456789_")
        used[name] = used.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / ticks
    return used
