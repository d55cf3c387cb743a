"""Many runs at once, and how those that are the same share a RunTask."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
import pytest
from scripted import FakeAws, SimulatedClock, life_of, lost, make_run, refused, simulate

from ecs_block.engine import many
from ecs_block.engine.prepare import Run
from ecs_block.errors import AwsError, TaskLaunchFailed

pytestmark = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def alike(aws: FakeAws, clock: SimulatedClock, count: int, **fields) -> list[Run]:
    """Make runs of one block, as `map` does of items that are the same."""
    runs = [make_run(aws, clock, **fields) for _ in range(count)]
    for run in runs:
        run.fields = runs[0].fields
    return runs


def in_order(backend: str, make: Callable[[FakeAws, SimulatedClock], Sequence[Run]], limit: int = 100):
    """Run them against a fake, and give it with the results."""

    async def work(clock):
        aws = FakeAws(clock)
        runs = make(aws, clock)
        return aws, await many.in_order(runs, limit)

    return simulate(work, backend)


def test_runs_that_are_the_same_share_a_launch(backend):
    """Twenty-five runs, three RunTask; a result for each, each with a task of its own."""
    aws, results = in_order(backend, lambda aws, clock: alike(aws, clock, 25))
    assert [params.get("count", 1) for params in aws.sent("RunTask")] == [10, 10, 5]
    assert all(results)
    assert len({result.identifier for result in results}) == 25
    assert not any(result.tasks for result in results)


def test_no_more_are_launched_together_than_may_run(backend):
    """The limit holds for tasks, not for launches."""

    def make(aws, clock):
        aws.lives += [life_of(5.0 + number) for number in range(12)]
        return alike(aws, clock, 12)

    aws, results = in_order(backend, make, limit=3)
    assert all(results)
    births = sorted((task["born"], task["born"] + task["life"][-1][0]) for task in aws.tasks.values())
    for born, _ in births:
        assert sum(start <= born < end for start, end in births) <= 3


@pytest.mark.parametrize(
    "fields",
    [
        {"retries_on_interruption": 1},
        {"launch_type": "FARGATE_SPOT", "spot_fallback": True},
        {"task_run_request": {"count": 2}},
    ],
)
def test_a_run_that_may_need_a_launch_of_its_own_has_one(backend, fields):
    """What one launch would mean for all of them."""
    aws, results = in_order(backend, lambda aws, clock: alike(aws, clock, 3, **fields))
    assert all(results)
    assert len(aws.sent("RunTask")) == 3


def test_different_runs_do_not_share(backend):
    """Each has its own overrides."""
    aws, results = in_order(backend, lambda aws, clock: [make_run(aws, clock, command=[c]) for c in "abc"])
    assert all(results)
    assert [params.get("count", 1) for params in aws.sent("RunTask")] == [1, 1, 1]


def test_those_that_a_launch_has_no_room_for_are_launched_after(backend):
    """Four of ten get a task at once; the others launch for themselves, and nobody waits for them."""

    def make(aws, clock):
        real = aws.RunTask

        def short_of_room(**params):
            if params.get("count", 1) < 10:
                return real(**params)
            made = real(**{**params, "count": 4})
            return {"tasks": made["tasks"], "failures": [{"reason": "RESOURCE:CPU"}]}

        aws.RunTask = short_of_room
        return alike(aws, clock, 10)

    aws, results = in_order(backend, make)
    assert all(results)
    assert len(aws.tasks) == 10
    assert len({result.identifier for result in results}) == 10


def test_a_task_that_was_started_though_it_was_told_as_failed_is_not_lost(backend):
    """AWS has been seen to do so: what bears the launch's own startedBy belongs to it."""

    def make(aws, clock):
        real = aws.RunTask

        def tells_half(**params):
            made = real(**params)
            half = len(made["tasks"]) // 2
            return {"tasks": made["tasks"][:half], "failures": [{"reason": "RESOURCE:CPU"}]} if half else made

        aws.RunTask = tells_half
        return alike(aws, clock, 4)

    aws, results = in_order(backend, make)
    assert all(results)
    assert len(aws.tasks) == 4


def test_a_shared_launch_whose_answer_is_lost_is_sent_again_as_it_was(backend):
    """The same token and the same count: the tasks that it started the first time."""

    def make(aws, clock):
        aws.answer_next("RunTask", *(lost() for _ in range(4)))
        return alike(aws, clock, 5)

    aws, results = in_order(backend, make)
    sent = aws.sent("RunTask")
    assert len({params["clientToken"] for params in sent}) == 1
    assert {params["count"] for params in sent} == {5}
    assert len(aws.tasks) == 5
    assert all(results)


def test_a_refused_launch_is_told_in_each_result(backend):
    """None was started, and each result says why."""

    def make(aws, clock):
        aws.RunTask = lambda **params: (_ for _ in ()).throw(refused("ClientException", "No."))
        return alike(aws, clock, 3)

    _, results = in_order(backend, make)
    assert [result.outcome for result in results] == ["start_failed"] * 3
    assert all(isinstance(result.error, AwsError) for result in results)


def test_a_launch_that_fails_for_good_is_told_in_each_result(backend):
    """Every reason is in the error."""

    def make(aws, clock):
        aws.RunTask = lambda **params: {"tasks": [], "failures": [{"reason": "MISSING"}]}
        return alike(aws, clock, 3)

    _, results = in_order(backend, make)
    assert all(isinstance(result.error, TaskLaunchFailed) for result in results)


def test_cancelling_stops_all_tasks_of_a_shared_launch(backend):
    """At whatever moment: before, while or after RunTask answers."""

    async def work(clock):
        left = []
        for after in (0.0, 0.001, 0.01, 0.5, 5.0):
            aws = FakeAws(clock)
            aws.lives += [life_of(1000) for _ in range(10)]
            runs = alike(aws, clock, 10)
            async with anyio.create_task_group() as group:
                group.start_soon(many.in_order, runs, 100)
                await clock.sleep(after)
                group.cancel_scope.cancel()
            left += [arn for arn in aws.tasks if aws._seen(arn)["lastStatus"] not in ("STOPPING", "STOPPED")]
        return left

    assert simulate(work, backend) == []
