"""An endpoint in a process of its own: a LocalCloud whose containers only take time.

`python -m benchmarks.endpoint` prints the AWS_… variables that lead a client there as one line of JSON, then answers
each line on stdin with a line of JSON: `calls` (how often each operation was called), `clear`. It ends when stdin closes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parent.parent


class Endpoint:
    """The endpoint as its parent sees it: a context manager around the process."""

    def __init__(self, *options: str) -> None:
        self._command = [sys.executable, "-m", "benchmarks.endpoint", *options]

    def __enter__(self) -> Endpoint:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=clean_environment(), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.environment: dict[str, str] = self._read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def calls(self) -> dict[str, int]:
        """Give how often each operation was called."""
        return self._ask("calls")

    def clear(self) -> None:
        """Begin to count anew."""
        self._ask("clear")

    def _ask(self, question: str) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def clean_environment(**variables: str) -> dict[str, str]:
    """Give this process's environment without its AWS settings, and with these variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    own = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, "NO_PROXY": "127.0.0.1"}
    return {**kept, **own, **variables}


def warm(cloud: Any) -> None:
    """Make the first call of each service, so that no client pays for what the endpoint loads only then."""
    cloud.client("ec2").describe_subnets(Filters=[])
    cloud.client("ec2").describe_vpcs(Filters=[])
    cloud.client("ecs").list_tasks()
    cloud.client("logs").describe_log_groups()
    cloud.calls.clear()


def main() -> None:
    """Serve until stdin closes."""
    from ecs_block.local import LocalCloud

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state-seconds", type=float, default=0.0, help="how long a task stays in each state")
    parser.add_argument("--throttles", action="store_true", help="hold AWS's documented limits")
    options = parser.parse_args()
    with LocalCloud(execute=False, state_seconds=options.state_seconds, throttles=options.throttles) as cloud:
        warm(cloud)
        print(json.dumps(cloud.environment), flush=True)
        for line in sys.stdin:
            if line.strip() == "clear":
                cloud.calls.clear()
            print(json.dumps(dict(cloud.calls)), flush=True)


if __name__ == "__main__":
    main()
