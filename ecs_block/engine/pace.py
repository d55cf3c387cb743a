"""AWS's request limits, kept by ourselves: it is quicker to wait for one's turn than to be throttled.

AWS counts the requests of a whole account in a region, by groups of operations, with token buckets (Amazon ECS API reference,
"Request throttling"; AWS Fargate, "Throttling quotas"; CloudWatch Logs quotas). All runs of the process draw from the same
buckets, whatever thread or event loop they are in.

A bucket only makes requests wait once AWS has said that it is empty (other accounts have other quotas, and an endpoint that is
not AWS may have none), and for some minutes after. Reading logs always keeps to the quota: there the excess of one reader is
taken from everybody in the account.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecs_block.engine.clock import Clock


@dataclass(frozen=True)
class Limit:
    """A bucket of AWS: `burst` requests at once, then `rate` a second; `always` kept, or only once AWS complains."""

    burst: float
    rate: float
    always: bool = False


KEPT_FOR = 300.0  # seconds for which a limit is kept after a throttle

_LIMITS = {
    "modify": Limit(100, 40),
    "read": Limit(100, 20),
    "register": Limit(20, 1),
    "describe definition": Limit(50, 20),
    # Fargate counts launches once more: on-demand and Spot, each for itself.
    "FARGATE": Limit(20, 20),
    "FARGATE_SPOT": Limit(20, 20),
    # And the tasks that they are to start, of which one launch may ask for ten.
    "FARGATE tasks": Limit(100, 20),
    "FARGATE_SPOT tasks": Limit(100, 20),
    "GetLogEvents": Limit(25, 25, always=True),
    "GetLogEvents, slow region": Limit(10, 10, always=True),
    "FilterLogEvents": Limit(10, 10, always=True),
    "FilterLogEvents, us-east-1": Limit(25, 25, always=True),
    "FilterLogEvents, slow region": Limit(5, 5, always=True),
}
_GROUPS = {
    "RunTask": "modify",
    "StopTask": "modify",
    "DescribeTasks": "read",
    "ListTasks": "read",
    "RegisterTaskDefinition": "register",
    "DeregisterTaskDefinition": "register",
    "DescribeTaskDefinition": "describe definition",
    "GetLogEvents": "GetLogEvents",
    "FilterLogEvents": "FilterLogEvents",
}
_SLOWEST = frozenset({"ap-northeast-3", "ap-southeast-3", "ca-west-1", "eu-central-1", "il-central-1"})
_REGIONAL = {
    "GetLogEvents": dict.fromkeys({"us-west-2", "eu-west-1"} | _SLOWEST, "GetLogEvents, slow region"),
    "FilterLogEvents": {
        "us-east-1": "FilterLogEvents, us-east-1",
        **dict.fromkeys(_SLOWEST, "FilterLogEvents, slow region"),
    },
}


class Bucket:
    """One limit's state. Requests are let through in the order in which they ask."""

    def __init__(self, limit: Limit, now: float) -> None:
        self._limit = limit
        self._left = limit.burst
        self._at = now
        self._kept_until = math.inf if limit.always else -math.inf

    def take(self, now: float, amount: int = 1) -> float:
        """Take one request (or what it draws); returns how long to wait before it may be sent (seconds)."""
        if now >= self._kept_until:
            return 0.0
        self._left = min(self._limit.burst, self._left + (now - self._at) * self._limit.rate) - amount
        self._at = now
        return max(0.0, -self._left / self._limit.rate)

    def found_empty(self, now: float) -> None:
        """Learn that AWS throttled a request: from now on the limit is kept."""
        if now >= self._kept_until:
            self._left, self._at = 0.0, now
        self._kept_until = max(self._kept_until, now + KEPT_FOR)


_lock = threading.Lock()
_buckets: dict[tuple[Any, ...], Bucket] = {}


def draws(operation: str, params: Mapping[str, Any], region: str) -> dict[str, int]:
    """Name the buckets that a request draws from, and how much."""
    group = _GROUPS.get(operation)
    if group is None:
        return {}
    group = _REGIONAL.get(operation, {}).get(region, group)
    return {group: 1, **(_fargate(params) if operation == "RunTask" else {})}


def _fargate(request: Mapping[str, Any]) -> dict[str, int]:
    providers = {item.get("capacityProvider") for item in request.get("capacityProviderStrategy") or []}
    if request.get("launchType") == "FARGATE":
        providers.add("FARGATE")
    drawn: dict[str, int] = {}
    for name in ("FARGATE", "FARGATE_SPOT"):
        if name in providers:
            drawn |= {name: 1, f"{name} tasks": int(request.get("count", 1))}
    return drawn


def rate_of(operation: str, region: str) -> float:
    """Give how often an operation may be sent in the long run (requests a second)."""
    return min(_LIMITS[group].rate for group in draws(operation, {}, region))


async def turn(account: tuple[Any, ...], region: str, operation: str, params: Mapping[str, Any], clock: Clock) -> None:
    """Wait until a request may be sent. `account` tells apart what AWS counts apart."""
    with _lock:
        now = clock.now()
        wait = max(
            (
                _bucket(account, region, group, now).take(now, n)
                for group, n in draws(operation, params, region).items()
            ),
            default=0,
        )
    if wait:
        await clock.sleep(wait)


def throttled(account: tuple[Any, ...], region: str, operation: str, params: Mapping[str, Any], clock: Clock) -> None:
    """Note that AWS throttled a request."""
    with _lock:
        now = clock.now()
        for group in draws(operation, params, region):
            _bucket(account, region, group, now).found_empty(now)


def _bucket(account: tuple[Any, ...], region: str, group: str, now: float) -> Bucket:
    return _buckets.setdefault((account, region, group), Bucket(_LIMITS[group], now))
