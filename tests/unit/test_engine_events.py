"""The watch that ECS's own events wake, on a simulated clock."""

from __future__ import annotations

import anyio
import pytest
from scripted import FakeAws, life_of, make_run, refused, simulate

from ecs_block.engine import run as engine
from ecs_block.engine.task_events import task_of_event


def watched_by_events(backend, seconds, prepare=lambda aws: None, count=1):
    """Run tasks of some seconds; gives the calls, the results and when all had ended."""

    async def work(clock):
        aws = FakeAws(clock)
        aws.task_events_queue_url = "queue"
        aws.lives += [life_of(seconds) for _ in range(count)]
        prepare(aws)
        results = []

        async def one():
            results.append(await engine.run(make_run(aws, clock)))

        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(one)
        return aws.calls, results, clock.now()

    return simulate(work, backend)


def test_an_event_wakes_the_watch(backend):
    """Ten minutes: a handful of looks, and the end is seen within seconds."""
    calls, [result], end = watched_by_events(backend, 600)
    assert result.outcome == "succeeded"
    assert end <= 602 + 4
    assert calls["DescribeTasks"] <= 12


def test_many_tasks_are_told_of_by_one_queue(backend):
    """Two hundred tasks of ten minutes."""
    calls, results, end = watched_by_events(backend, 600, count=200)
    assert all(results)
    assert end <= 602 + 5
    assert calls["DescribeTasks"] <= 30


def test_events_that_come_twice_and_in_another_order(backend):
    """#58: an event only says where to look, so the outcome is what AWS itself says, and it is told once."""

    def prepare(aws):
        receive, kept = aws.ReceiveMessage, []

        async def shuffled(**request):
            answer = await receive(**request)
            kept.extend(answer["Messages"])
            return {"Messages": [*reversed(answer["Messages"]), *kept[:3]][:10]}

        aws.ReceiveMessage = shuffled

    _, results, end = watched_by_events(backend, 600, prepare, count=5)
    assert [result.outcome for result in results] == ["succeeded"] * 5
    assert end <= 602 + 10


def test_where_no_event_comes_the_poll_is_the_safety_net(backend):
    """Events may be lost; the end is then seen some minutes later."""

    def prepare(aws):
        aws.heard = 1e9

    _, [result], end = watched_by_events(backend, 600, prepare)
    assert result.outcome == "succeeded"
    assert end <= 602 + 185


def test_a_queue_that_cannot_be_read_means_polling(backend, caplog):
    """It is told, and the tasks are polled as if there were no queue."""
    gone = refused("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
    calls, [result], end = watched_by_events(
        backend, 100, lambda aws: aws.answer_next("ReceiveMessage", *[gone] * 1000)
    )
    assert result.outcome == "succeeded"
    assert end <= 102 + 6
    assert calls["DescribeTasks"] >= 15
    assert "polled for now" in caplog.text


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "1", '{"detail-type": "x"}', '{"detail-type": "ECS Task State Change"}']
)
def test_anything_else_in_the_queue_is_ignored(body):
    """Somebody else's message, or a broken one."""
    assert task_of_event({"Body": body}) is None
