"""The same with ecs_block: `ECSTask.map`, or as many `arun` in one event loop."""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.measure import Usage, cpu_by_thread
from ecs_block import ECSTask, ECSTaskResult


def by_map(task: ECSTask, commands: Sequence[list[str]]) -> list[ECSTaskResult]:
    """Run all with `map`."""
    return task.map(commands, max_concurrency=len(commands))


async def by_arun(task: ECSTask, commands: Sequence[list[str]]) -> list[ECSTaskResult]:
    """Run each with its own `arun`."""
    return await asyncio.gather(*(task.model_copy(update={"command": command}).arun() for command in commands))


def profiled(file: str, work: Callable[[], Any]) -> Any:
    """Run in this thread, the event loop with it, and write what cProfile saw. Its clock is this thread's CPU."""
    profile = cProfile.Profile(time.thread_time)
    result = profile.runcall(work)
    profile.dump_stats(file)
    pstats.Stats(file).sort_stats("tottime").print_stats(15)
    for name, seconds in sorted(cpu_by_thread().items(), key=lambda item: -item[1]):
        print(f"{seconds:8.2f} s CPU in {name}")
    return result


def main() -> None:
    """Run tasks that sleep, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument(
        "--distinct", action="store_true", help="give each task a command of its own: no shared launches"
    )
    parser.add_argument("--by", choices=["map", "arun"], default="map")
    parser.add_argument("--profile", metavar="FILE", help="profile the event loop's thread; implies --by arun")
    options = parser.parse_args()
    step = 1e-6 if options.distinct else 0.0
    commands = [["sleep", f"{options.seconds + step * number:.6f}"] for number in range(options.count)]
    with Usage() as usage:
        task = ECSTask(image="python:3.11", task_watch_poll_interval=1.0)
        if options.profile:
            results = profiled(options.profile, lambda: asyncio.run(by_arun(task, commands)))
        elif options.by == "arun":
            results = asyncio.run(by_arun(task, commands))
        else:
            results = by_map(task, commands)
    usage.print(count=options.count, succeeded=sum(map(bool, results)))


if __name__ == "__main__":
    main()
