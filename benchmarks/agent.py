"""The same with ours: `Agent`, with its journal on disk."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from benchmarks.measure import Usage
from benchmarks.queue_floor import asked
from ecs_block import ECSTask
from ecs_block.agent import Agent


class Counter:
    """Stops the agent when all jobs have ended, and notes the most tasks at once."""

    def __init__(self, count: int) -> None:
        self.left, self.running, self.most, self.succeeded = count, 0, 0, 0
        self.agent: Agent | None = None

    def __call__(self, event: Any) -> None:
        state = getattr(event, "state", None)
        if state == "running":
            self.running += 1
            self.most = max(self.most, self.running)
        elif state in ("done", "failed"):
            self.running -= 1
            self.left -= 1
            self.succeeded += state == "done"
            if not self.left and self.agent is not None:
                self.agent.stop()


def main() -> None:
    """Run the jobs of a queue, and print what it took."""
    options, url = asked(__doc__)
    with tempfile.TemporaryDirectory() as home, Usage() as usage:
        os.environ["ECS_BLOCK_HOME"] = home
        counted = Counter(options.count)
        block = ECSTask(image="python:3.11", task_watch_poll_interval=1.0)
        counted.agent = Agent(url, block=block, limit=options.limit, on_event=counted, poll_seconds=1)
        counted.agent.start()
    usage.print(count=options.count, succeeded=counted.succeeded, most=counted.most)


if __name__ == "__main__":
    main()
