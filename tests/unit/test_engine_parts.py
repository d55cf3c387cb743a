"""Launches of several tasks that come in parts, and one launch by several machines. Simulated time, a real journal."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import pytest
from scripted import FakeAws, life_of, lost, make_run, refused, simulate
from test_engine_once_only import PowerCut, World, told_in

from ecs_block.engine import run as engine
from ecs_block.engine.journal import Journal
from ecs_block.errors import AccessDenied, InvalidTask, Kind, OutcomeUnknown, TaskLaunchFailed

pytestmark = pytest.mark.parametrize("backend", ["asyncio", "trio"])

THREE = {"task_run_request": {"count": 3}}


def in_parts(aws: FakeAws, first: int, reason: str = "RESOURCE:CPU") -> None:
    """Let the first RunTask start only so many tasks."""
    real = aws.RunTask
    cut: dict[str, None] = {}

    def run_task(**params: Any) -> dict[str, Any]:
        token, count = params["clientToken"], params.get("count", 1)
        if not cut or token in cut:
            cut[token] = None
            return {**real(**{**params, "count": first}), "failures": [{"reason": reason}] * (count - first)}
        return real(**params)

    aws.RunTask = run_task  # type: ignore[method-assign]


def power_cut(*args: Any, **named: Any) -> float:
    """End the process without a trace."""
    raise PowerCut


world = told_in(World)


@pytest.fixture
def machines(backend, tmp_path):
    """Give a function that tells a story of two machines, which have a cloud in common and a journal each."""

    async def both(clock, story) -> Any:
        one, other = World(clock, tmp_path / "one"), World(clock, tmp_path / "other")
        other.aws = copy.copy(one.aws)
        other.aws.key = FakeAws(clock).key  # what one process knows of definitions, the other does not
        return await story(one, other)

    return lambda story: simulate(lambda clock: both(clock, story), backend)


# --- in parts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("moment", "time"), [("launched", 1), ("sending", 2), ("answered", 2), ("launched", 2)])
def test_a_launch_in_parts_that_was_cut_off_is_completed(world, moment, time):
    """What is known of it is kept, the rest is launched: three tasks, whatever the moment."""

    async def story(world):
        in_parts(world.aws, 1)
        await world.crash_at(moment, time=time, **THREE)
        await world.clock.sleep(60)
        return world, await world.run(**THREE)

    told, result = world(story)
    assert len(told.aws.tasks) == 3
    assert len(result.tasks) == 3
    assert result.outcome == "succeeded"
    assert len(told.entries()[0].tasks) == 3


def test_of_a_part_that_is_known_and_a_rest_that_nobody_knows_both_are_told(world):
    """AWS's memory of the token is over: the known tasks have their results, the others are unknown, and none is started."""

    async def story(world):
        in_parts(world.aws, 1)
        await world.crash_at("sending", time=2, **THREE)
        await world.clock.sleep(2 * 3600)
        with pytest.raises(OutcomeUnknown, match="another task of the run 'nightly'"):
            await world.run(**THREE)
        return world

    told = world(story)
    assert len(told.aws.tasks) == 1
    outcomes = [task["outcome"] for task in told.entries()[0].outcome["tasks"]]
    assert outcomes == ["succeeded", "unknown", "unknown"]


def test_a_launch_that_ended_between_two_parts_long_ago_is_not_taken_up(world, monkeypatch):
    """AWS had answered, so it is sure that the rest was never started; and a launch of yesterday does not go on today."""

    async def story(world):
        in_parts(world.aws, 1)
        with monkeypatch.context() as patch:
            patch.setattr("ecs_block.engine.launch.backoff", power_cut)
            with pytest.raises(PowerCut):
                await world.run(**THREE)
        await world.clock.sleep(2 * 3600)
        with pytest.raises(TaskLaunchFailed, match="Only 1 of the 3 tasks of the run 'nightly' were started"):
            await world.run(**THREE)
        return world

    told = world(story)
    assert len(told.aws.tasks) == 1
    outcomes = [task["outcome"] for task in told.entries()[0].outcome["tasks"]]
    assert outcomes == ["succeeded", "start_failed", "start_failed"]


def test_a_part_is_stopped_when_the_rest_is_refused_and_that_is_the_end(world):
    """No ghost is left, the error is AWS's own; and the same run id tells of the part, and launches nothing."""

    async def story(world):
        world.aws.lives += [life_of(9000)]
        in_parts(world.aws, 1)
        real, calls = world.aws.RunTask, []

        def run_task(**params):
            calls.append(params)
            if len(calls) > 1:
                raise AccessDenied("ecs:RunTask was denied.", kind=Kind.DENIED)
            return real(**params)

        world.aws.RunTask = run_task
        with pytest.raises(AccessDenied):
            await world.run(**THREE)
        return world, calls, await world.run(**THREE)

    told, calls, result = world(story)
    assert len(told.aws.tasks) == 1
    assert len(calls) == 2
    assert [task.outcome for task in result.tasks] == ["stopped"] * 3
    assert "not all tasks" in result.tasks[0].reason
    assert "It was not started" in result.tasks[1].reason


def test_a_part_that_cannot_be_stopped_is_told_and_the_error_stays(world, caplog):
    """Why the launch failed counts for more; the task that goes on is named."""

    async def story(world):
        in_parts(world.aws, 1, reason="ATTRIBUTE")
        world.aws.answer_next("StopTask", refused("AccessDeniedException", "no", Kind.DENIED))
        with pytest.raises(TaskLaunchFailed, match="Only 1 of the tasks"):
            await world.run(**THREE)

    with caplog.at_level(logging.WARNING, logger="ecs_block"):
        world(story)
    assert "could not be stopped" in caplog.text


def test_a_task_that_was_started_though_runtask_refused_for_good_is_found(world):
    """One look before nothing is said to have been started."""

    async def story(world):
        real = world.aws.RunTask

        def run_task(**params):
            real(**params)
            return {"tasks": [], "failures": [{"reason": "ATTRIBUTE"}]}

        world.aws.RunTask = run_task
        return world, await world.run()

    told, result = world(story)
    assert result.outcome == "succeeded"
    assert told.entries()[0].tasks == (result.identifier,)


def test_answers_that_are_lost_for_the_rest_count_only_what_is_new(world):
    """The part that is known is no evidence of the rest."""

    async def story(world):
        in_parts(world.aws, 1)
        real, calls = world.aws.RunTask, []

        def run_task(**params):
            calls.append(params)
            if len(calls) > 1:
                raise lost()
            return real(**params)

        world.aws.RunTask = run_task
        with pytest.raises(OutcomeUnknown):
            await world.run(task_start_timeout_seconds=120, **THREE)
        return world

    told = world(story)
    assert len(told.aws.tasks) == 1
    assert len(told.aws.sent("StopTask")) == 1


# --- two machines ------------------------------------------------------------------------------------------------------


def test_a_machine_with_a_revision_of_its_own_takes_up_the_task_of_the_other(machines):
    """Both registered the same new definition at the same moment (#19, #55): one task, and its result for both."""

    async def story(one, other):
        one.aws.lives += [life_of(100, code=4)]
        await one.run(env={"A": "1", "B": "2"})
        [family] = one.aws.definitions
        one.aws.RegisterTaskDefinition(**{**one.aws.definitions[family][0], "revision": None})
        return one, await other.run(env={"B": "2", "A": "1"}), other

    one, result, other = machines(story)
    assert len(one.aws.tasks) == 1
    assert result.status_code == 4
    definitions = [request["taskDefinition"].rpartition(":")[2] for request in one.aws.sent("RunTask")]
    assert definitions == ["1", "2"]
    assert other.entries()[0].tasks == (result.identifier,)
    assert other.entries()[0].state == "ended"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"command": ["false"]}, r"containerOverrides"),
        ({"image": "other:1"}, r"containerDefinitions\[main\]\.image: changed"),
        ({"task_run_request": {"count": 2}}, r"count: 1 instead of 2"),
    ],
)
def test_a_machine_that_asks_for_something_else_is_told_what_differs(machines, changed, said):
    """And nothing is started; the run id is not used up on that machine."""

    async def story(one, other):
        await one.run()
        with pytest.raises(InvalidTask, match=rf"run_id 'nightly' was used with another request, for arn.*{said}"):
            await other.run(**changed)
        return one, other, await other.run()

    one, other, result = machines(story)
    assert len(one.aws.tasks) == 1
    assert result.outcome == "succeeded"
    assert other.entries()[0].state == "ended"


def test_a_conflict_over_a_task_that_is_forgotten_starts_nothing(machines):
    """AWS still knows the token, but shows nothing to compare."""

    async def story(one, other):
        one.aws.lives += [[*life_of(10), (4000.0, {"lastStatus": "GONE"})]]
        await one.run()
        await one.clock.sleep(5000)
        with pytest.raises(InvalidTask, match="does not show any more"):
            await other.run(command=["false"])
        return one

    assert len(machines(story).aws.tasks) == 1


def test_a_conflict_in_a_library_run_without_a_journal_is_told_too(backend, tmp_path):
    """`run_id` without a journal exists for nobody but us; the rule is the launch's own."""

    async def story(clock):
        aws, books = FakeAws(clock), Journal(Path(tmp_path) / "journal.sqlite3")
        try:
            await engine.run(make_run(aws, clock, run_id="nightly", journal=books))
            with pytest.raises(InvalidTask, match="was used with another request"):
                await engine.run(make_run(aws, clock, run_id="nightly", command=["false"]))
        finally:
            books.close()
        return aws

    assert len(simulate(story, backend).tasks) == 1
