"""prefect-aws's `ECSTask` block, run in the same way. It runs in an environment of its own and knows nothing of ours."""

from __future__ import annotations

import argparse
import asyncio
import logging

from benchmarks.measure import Usage

IMAGE = "python:3.11"


def block(seconds: float) -> object:
    """Make the block; its credentials and endpoint come from the environment."""
    from prefect_aws import ECSTask

    return ECSTask(
        image=IMAGE,
        command=["sleep", f"{seconds:g}"],
        cpu=1024,
        memory=2048,
        stream_output=False,
        configure_cloudwatch_logs=False,
        task_watch_poll_interval=1.0,
        execution_role_arn="arn:aws:iam::123456789012:role/execution",
    )


async def run(count: int, seconds: float) -> list[object]:
    """Run the block often at once, in one event loop."""
    task = block(seconds)
    return await asyncio.gather(*(task.run() for _ in range(count)), return_exceptions=True)  # type: ignore[attr-defined]


def main() -> None:
    """Run tasks that sleep, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with Usage() as usage:
        results = asyncio.run(run(options.count, options.seconds))
    errors = [repr(result)[:200] for result in results if isinstance(result, BaseException)]
    succeeded = sum(getattr(result, "status_code", None) == 0 for result in results)
    usage.print(count=options.count, succeeded=succeeded, first_error=errors[0] if errors else None)


if __name__ == "__main__":
    main()
