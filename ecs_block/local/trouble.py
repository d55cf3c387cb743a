"""Trouble that a test asks for: launches that fail, starts that fail, calls that are throttled."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass

from ecs_block.local.faults import ServiceError, throttled

CAPACITY = "Capacity is unavailable at this time. Please try again later or in a different availability zone"


@dataclass
class LaunchFailure:
    """A failure planned for the next launches."""

    left: int
    reason: str
    arn: str | None = None
    exception: str | None = None
    spot_only: bool = False

    def item(self) -> dict[str, str]:
        """Return the item of ``failures``."""
        return {"reason": self.reason, **({"arn": self.arn} if self.arn else {})}


class Trouble:
    """What will go wrong next, each thing once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._launches: list[LaunchFailure] = []
        self._starts: list[str] = []
        self._throttled: Counter[str] = Counter()

    def plan_launch(self, failure: LaunchFailure) -> None:
        """Let launches fail."""
        with self._lock:
            self._launches.append(failure)

    def plan_start(self, reason: str, times: int) -> None:
        """Let the next tasks fail to start."""
        with self._lock:
            self._starts.extend([reason] * times)

    def plan_throttle(self, name: str, times: int) -> None:
        """Let the next calls of a name be throttled."""
        with self._lock:
            self._throttled[name] += times

    def next_launch(self, *, spot: bool) -> LaunchFailure | None:
        """Return the failure of the next launch, used up by one; none: the launch goes well."""
        with self._lock:
            for failure in self._launches:
                if failure.left > 0 and (spot or not failure.spot_only):
                    failure.left -= 1
                    return failure
            return None

    def next_start(self) -> str | None:
        """Return the reason why the next task fails to start; none: it starts."""
        with self._lock:
            return self._starts.pop(0) if self._starts else None

    def check(self, name: str) -> None:
        """Raise if a call of this name (``ecs:RunTask``) is to be throttled."""
        with self._lock:
            if self._throttled[name] > 0:
                self._throttled[name] -= 1
                raise throttled()


@dataclass
class _Bucket:
    burst: float
    per_second: float
    tokens: float
    filled: float

    def take(self, now: float, amount: int) -> bool:
        self.tokens = min(self.burst, self.tokens + (now - self.filled) * self.per_second)
        self.filled = now
        if self.tokens < amount:
            return False
        self.tokens -= amount
        return True


# Documented buckets (burst, per second) and the operations that share them.
_BUCKETS: list[tuple[float, float, tuple[str, ...]]] = [
    (100, 40, ("ecs:RunTask", "ecs:StartTask", "ecs:StopTask")),
    (100, 20, ("ecs:DescribeTasks", "ecs:ListTasks")),
    (50, 20, ("ecs:DescribeClusters", "ecs:ListClusters")),
    (20, 1, ("ecs:CreateCluster", "ecs:DeleteCluster", "ecs:PutClusterCapacityProviders")),
    (20, 1, ("ecs:RegisterTaskDefinition", "ecs:DeregisterTaskDefinition")),
    (50, 20, ("ecs:DescribeTaskDefinition", "ecs:ListTaskDefinitions", "ecs:ListTaskDefinitionFamilies")),
    (5, 1, ("ecs:DeleteTaskDefinitions",)),
    (20, 10, ("ecs:TagResource", "ecs:UntagResource")),
    (25, 25, ("logs:GetLogEvents",)),
    (25, 25, ("logs:FilterLogEvents",)),
    (25, 25, ("logs:DescribeLogStreams",)),
    (10, 10, ("logs:DescribeLogGroups",)),
]
FARGATE_LAUNCHES = (20.0, 20.0)
FARGATE_TASKS = (100.0, 20.0)


class Throttles:
    """AWS's documented request limits, as token buckets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}
        for burst, per_second, names in _BUCKETS:
            bucket = _new_bucket(burst, per_second)
            self._buckets.update(dict.fromkeys(names, bucket))
        # Fargate counts RunTask once more, and the tasks that it is to start; on-demand and Spot apart.
        for kind in ("FARGATE", "FARGATE_SPOT"):
            self._buckets[kind] = _new_bucket(*FARGATE_LAUNCHES)
            self._buckets[f"{kind} tasks"] = _new_bucket(*FARGATE_TASKS)

    def check(self, name: str, amount: int = 1) -> None:
        """Raise ThrottlingException if the bucket of this name has too little left."""
        with self._lock:
            bucket = self._buckets.get(name)
            if bucket and not bucket.take(time.monotonic(), amount):
                raise throttled()


def _new_bucket(burst: float, per_second: float) -> _Bucket:
    return _Bucket(burst, per_second, burst, time.monotonic())


def launch_error(failure: LaunchFailure) -> ServiceError:
    """Make the error of a launch that is to fail with an exception."""
    code = failure.exception or "ServerException"
    return ServiceError(code, failure.reason, 500 if code == "ServerException" else 400)
