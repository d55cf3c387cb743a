"""Output while it is written: `ECSTask` with streaming against a plain GetLogEvents loop over what a task wrote."""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any

from benchmarks.measure import Sink, Usage, completeness

ROLE = "arn:aws:iam::123456789012:role/execution"


READS = ("GetLogEvents", "FilterLogEvents")


class Tap:
    """Notes when output was first asked for (from then on a client is reading), and how many reads were answered."""

    def __init__(self) -> None:
        import botocore.client

        self.began = 0.0
        self.answered = 0
        self._send = botocore.client.BaseClient._make_api_call
        botocore.client.BaseClient._make_api_call = lambda this, name, given: self._note(this, name, given)

    def _note(self, this: Any, name: str, given: Any) -> Any:
        if name in READS and not self.began:
            self.began = time.perf_counter()
        answer = self._send(this, name, given)
        self.answered += name in READS
        return answer

    def seconds(self) -> float:
        """Give the seconds since the first read."""
        return time.perf_counter() - self.began


async def ours(tasks: int, lines: int) -> list[Sink]:
    """Run tasks that write lines, each with an output of its own, in one event loop."""
    from ecs_block import ECSTask

    sinks = [Sink(lines) for _ in range(tasks)]
    task = ECSTask(
        image="python:3.11",
        command=["lines", str(lines)],
        stream_output=True,
        execution_role_arn=ROLE,
        task_watch_poll_interval=1.0,
    )
    await asyncio.gather(*(task.arun(output=sink) for sink in sinks))  # type: ignore[arg-type]
    return sinks


def floor(tasks: int, lines: int) -> list[Sink]:
    """Run the same tasks, wait for their end, and then read each one's stream along its token."""
    from benchmarks import floor as plain

    ecs, logs = plain.client("ecs"), plain.client("logs")
    options = {"awslogs-group": plain.GROUP, "awslogs-region": ecs.meta.region_name, "awslogs-stream-prefix": "floor"}
    logs.create_log_group(logGroupName=plain.GROUP)
    definition = plain.register(
        ecs, {"executionRoleArn": ROLE}, logConfiguration={"logDriver": "awslogs", "options": options}
    )
    arns = plain.launch(ecs, definition, [["lines", str(lines)]] * tasks)
    for task in plain.stopped(ecs, arns):
        assert plain.exit_code(task) == 0
    return [_read(logs, f"floor/main/{arn.rsplit('/', 1)[-1]}", Sink(lines)) for arn in arns]


def _read(logs: Any, stream: str, sink: Sink) -> Sink:
    from benchmarks.floor import GROUP

    given: dict[str, Any] = {"logGroupName": GROUP, "logStreamName": stream, "startFromHead": True}
    while True:
        answer = logs.get_log_events(**given)
        sink.write("".join(f"{event['message']}\n" for event in answer["events"]))
        if answer["nextForwardToken"] == given.get("nextToken"):
            return sink
        given["nextToken"] = answer["nextForwardToken"]


def main() -> None:
    """Run tasks that write lines, and print what became of the lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("who", choices=["ours", "floor"])
    parser.add_argument("--tasks", type=int, default=1)
    parser.add_argument("--lines", type=int, default=200_000)
    given = parser.parse_args()
    tap = Tap()
    with Usage() as usage:
        sinks = asyncio.run(ours(given.tasks, given.lines)) if given.who == "ours" else floor(given.tasks, given.lines)
        reading = tap.seconds()
    rate = given.tasks * given.lines / reading
    usage.print(
        tasks=given.tasks, lines=given.lines, reading=reading, rate=rate, answered=tap.answered, **completeness(sinks)
    )


if __name__ == "__main__":
    main()
