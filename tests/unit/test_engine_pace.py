"""AWS's request limits, as this process keeps them."""

from __future__ import annotations

import anyio
import pytest
from scripted import FakeAws, life_of, make_run, simulate, throttled

from ecs_block.engine import run as engine
from ecs_block.engine.pace import Bucket, Limit, draws


def test_a_burst_goes_at_once_and_then_the_rate_rules():
    """The waiting times grow by what one request takes."""
    bucket = Bucket(Limit(3, 2, always=True), 0.0)
    assert [bucket.take(0.0) for _ in range(6)] == [0, 0, 0, 0.5, 1.0, 1.5]


def test_a_bucket_fills_up_to_its_burst_and_no_more():
    """However long nothing was asked."""
    bucket = Bucket(Limit(2, 1, always=True), 0.0)
    for _ in range(2):
        bucket.take(0.0)
    assert [bucket.take(1000.0) for _ in range(3)] == [0, 0, 1]


def test_a_limit_is_kept_only_once_aws_has_complained():
    """And for some minutes after; then it is tried without again."""
    bucket = Bucket(Limit(1, 1), 0.0)
    assert [bucket.take(0.0) for _ in range(5)] == [0] * 5
    bucket.found_empty(0.0)
    assert [bucket.take(0.0) for _ in range(2)] == [1, 2]
    assert bucket.take(1000.0) == 0


@pytest.mark.parametrize(
    ("operation", "request_", "region", "drawn"),
    [
        ("RunTask", {"launchType": "FARGATE"}, "us-east-1", {"modify": 1, "FARGATE": 1, "FARGATE tasks": 1}),
        (
            "RunTask",
            {"launchType": "FARGATE", "count": 10},
            "us-east-1",
            {"modify": 1, "FARGATE": 1, "FARGATE tasks": 10},
        ),
        ("RunTask", {"launchType": "EC2"}, "us-east-1", {"modify": 1}),
        (
            "RunTask",
            {"capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT"}]},
            "us-east-1",
            {"modify": 1, "FARGATE_SPOT": 1, "FARGATE_SPOT tasks": 1},
        ),
        ("StopTask", {}, "us-east-1", {"modify": 1}),
        ("GetLogEvents", {}, "us-east-1", {"GetLogEvents": 1}),
        ("GetLogEvents", {}, "eu-west-1", {"GetLogEvents, slow region": 1}),
        ("DescribeVpcs", {}, "us-east-1", {}),
    ],
)
def test_requests_draw_from_aws_own_groups(operation, request_, region, drawn):
    """As AWS's pages on throttling name them."""
    assert draws(operation, request_, region) == drawn


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_many_launches_go_at_the_limit_that_aws_keeps(backend):
    """Two hundred Fargate tasks: 20 at once, then 20 a second; hardly one is throttled, and none fails."""

    async def work(clock):
        aws = FakeAws(clock)
        aws.lives += [life_of(1) for _ in range(200)]
        left, at = 20.0, 0.0
        real = aws.RunTask

        def limited(**params):
            nonlocal left, at
            left, at = min(20.0, left + (clock.now() - at) * 20), clock.now()
            if left < 1:
                raise throttled()
            left -= 1
            return real(**params)

        aws.RunTask = limited
        async with anyio.create_task_group() as group:
            for _ in range(200):
                group.start_soon(engine.run, make_run(aws, clock))
        return aws, max(task["born"] for task in aws.tasks.values())

    aws, last = simulate(work, backend)
    assert len(aws.tasks) == 200
    assert last <= 180 / 20 * 1.6 + 2  # all 180 were on their way when the first one was throttled
