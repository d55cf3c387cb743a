"""One launch for a run id, whatever became of the process that asked first. Simulated time, a real journal."""

from __future__ import annotations

import itertools
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from scripted import EPOCH, After, FakeAws, SimulatedClock, life_of, lost, make_run, refused, simulate

from ecs_block.engine import run as engine
from ecs_block.engine.journal import Journal
from ecs_block.errors import InvalidTask, JournalError, Kind, OutcomeUnknown, TaskLaunchFailed, TaskStartTimeout
from ecs_block.home import home

pytestmark = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class PowerCut(BaseException):
    """The process is gone: nothing is cleaned up."""


class World:
    """A cloud and a journal that outlive processes."""

    def __init__(self, clock: SimulatedClock, folder: Path) -> None:
        self.clock = clock
        self.aws = FakeAws(clock)
        self.path = folder / "journal.sqlite3"

    def journal(self) -> Journal:
        """Open the journal, as a new process does."""
        return Journal(self.path, now=lambda: self.clock.wall().timestamp())

    async def run(self, run_id: str = "nightly", **fields: Any):
        """Run as a process of its own would."""
        with closing(self.journal()) as books:
            return await engine.run(make_run(self.aws, self.clock, run_id=run_id, journal=books, **fields))

    async def crash_at(self, moment: str, *, time: int = 1, **fields: Any) -> None:
        """Run, and lose power when the launch comes to a moment for the first or a later time."""
        passed = itertools.count(1)

        def reached(name: str) -> None:
            if name == moment and next(passed) == time:
                raise PowerCut

        with pytest.MonkeyPatch.context() as patch, suppress(PowerCut):
            for module in ("launch", "once_only", "record"):
                patch.setattr(f"ecs_block.engine.{module}.reached", reached)
            await self.run(**fields)
            raise AssertionError(f"the run did not come to {moment}")

    def entries(self):
        """Read what the journal holds."""
        with closing(self.journal()) as books:
            return books.latest()


def told_in(kind: type[World]) -> Any:
    """Make a fixture: a function that tells a story of a world in simulated time."""

    @pytest.fixture
    def tell(backend, tmp_path):
        return lambda story: simulate(lambda clock: story(kind(clock, tmp_path)), backend)

    return tell


world = told_in(World)


def test_the_first_run_is_recorded_from_intent_to_outcome(world):
    """Who asked for what, when it was sent, the task, and what became of it."""

    async def story(world):
        result = await world.run()
        return world, result

    told, result = world(story)
    [entry] = told.entries()
    [sent] = told.aws.sent("RunTask")
    assert entry.state == "ended"
    assert (entry.run_id, entry.attempt, entry.started_by) == ("nightly", 1, "nightly")
    assert entry.token == sent["clientToken"]
    assert entry.sent_at == EPOCH.timestamp()
    assert entry.tasks == (result.identifier,)
    assert entry.place.account == "1"
    assert entry.outcome["outcome"] == "succeeded"


def test_a_finished_run_gives_its_recorded_result_without_a_call(world):
    """Even when AWS has forgotten the task, and cannot be asked."""

    async def story(world):
        first = await world.run()
        world.aws.calls.clear()
        world.aws.tasks.clear()
        return first, await world.run(), dict(world.aws.calls)

    first, second, calls = world(story)
    assert second == first
    assert calls == {}


@pytest.mark.parametrize("moment", ["intended", "sending", "answered", "launched", "ended"])
def test_a_process_that_dies_leaves_one_task_and_its_outcome(world, moment):
    """At each moment of the launch; the same command again."""

    async def story(world):
        world.aws.lives += [life_of(30, code=3), life_of(30, code=4)]
        await world.crash_at(moment)
        await world.clock.sleep(5)
        return world, await world.run()

    told, result = world(story)
    assert len(told.aws.tasks) == 1
    assert result.status_code == 3
    assert told.entries()[0].state == "ended"


def test_after_the_token_s_life_a_task_is_looked_for_and_none_is_started(world):
    """AWS may have forgotten the token: what bears the run id is taken up."""

    async def story(world):
        world.aws.lives += [life_of(3 * 3600, code=5)]
        await world.crash_at("answered")
        await world.clock.sleep(2 * 3600)
        world.aws.tokens.clear()
        return world, await world.run()

    told, result = world(story)
    assert len(told.aws.tasks) == 1
    assert result.status_code == 5


def test_what_nobody_can_know_is_told_so_and_nothing_is_started(world):
    """Sent, never answered, and AWS's memory is over. The next asking gives the same answer."""

    async def story(world):
        world.aws.answer_next("RunTask", *(lost() for _ in range(50)))
        await world.crash_at("sending")
        await world.clock.sleep(3600)
        said = []
        for _ in range(2):
            with pytest.raises(OutcomeUnknown, match="Nobody knows") as caught:
                await world.run()
            said.append(str(caught.value))
        return world, said

    told, said = world(story)
    assert not told.aws.tasks
    assert "startedBy nightly" in said[0]


def test_a_clock_that_was_set_back_makes_no_token_young(world):
    """An intent from the future proves nothing about AWS's memory."""

    async def story(world):
        await world.clock.sleep(7200)
        await world.crash_at("sending")
        world.clock._now = 0.0
        with pytest.raises(OutcomeUnknown):
            await world.run()
        return world

    assert not world(story).aws.tasks


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"command": ["false"]}, r"request.overrides.containerOverrides"),
        ({"env": {"A": "1"}}, r"request.overrides.containerOverrides"),
        ({"image": "other:1"}, r"definition.containerDefinitions"),
        ({"cpu": 512, "memory": 1024}, r"definition.cpu"),
        ({"labels": {"a": "b"}}, r"request.tags"),
    ],
)
def test_another_request_under_the_same_run_id_is_refused_and_says_what_differs(world, changed, said):
    """By path, without values; nothing is started."""

    async def story(world):
        await world.run()
        with pytest.raises(InvalidTask, match="was used for another request") as caught:
            await world.run(**changed)
        return world, str(caught.value)

    told, message = world(story)
    assert len(told.aws.tasks) == 1
    assert said.replace("\\", "") in message


def test_the_same_run_id_elsewhere_is_another_run(world):
    """A run id belongs to one account, region, cluster and endpoint."""

    async def story(world):
        await world.run()
        await world.run(cluster="other")
        return world

    assert len(world(story).aws.tasks) == 2


def test_what_aws_refused_may_be_tried_again_and_differently(world):
    """No task was started for certain, so the run id is free; a token that is used up is not used again."""

    async def story(world):
        world.aws.answer_next("RunTask", refused("AccessDeniedException", "no"))
        with pytest.raises(Exception, match="no"):
            await world.run()
        world.aws.answer_next("RunTask", {"tasks": [], "failures": [{"reason": "MISSING"}]})
        with pytest.raises(TaskLaunchFailed):
            await world.run()
        return world, await world.run(command=["other"])

    told, result = world(story)
    tokens = [params["clientToken"] for params in told.aws.sent("RunTask")]
    assert len(set(tokens)) == 3
    assert result
    assert len(told.aws.tasks) == 1


def test_an_error_is_told_again_as_it_was(world):
    """The second process raises what the first one raised."""

    async def story(world):
        world.aws.lives += [[(0.0, {"lastStatus": "PENDING"})]]
        said = []
        for _ in range(2):
            with pytest.raises(TaskStartTimeout) as caught:
                await world.run(task_start_timeout_seconds=60)
            said.append((str(caught.value), caught.value.identifier, caught.value.result.outcome))
        return world, said

    told, said = world(story)
    assert said[0] == said[1]
    assert len(told.aws.tasks) == 1


def test_attempts_after_interruptions_are_recorded_each_and_taken_up_each(world):
    """A process that dies in the second attempt: the third command waits for that one."""
    spot = {"stopCode": "SpotInterruption", "stoppedReason": "Your Spot Task was interrupted."}

    async def story(world):
        world.aws.lives += [life_of(10, code=None, **spot), life_of(100), life_of(1)]
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:

                async def first():
                    books = world.journal()
                    run = make_run(
                        world.aws, world.clock, run_id="nightly", journal=books, retries_on_interruption=2,
                        stop_on_interrupt=False,
                    )  # fmt: skip
                    try:
                        await engine.run(run)
                    finally:
                        books.close()

                group.start_soon(first)
                await world.clock.sleep(60)
                scope.cancel()
        return world, await world.run(retries_on_interruption=2, stop_on_interrupt=False)

    told, result = world(story)
    assert result.attempt == 2
    assert len(told.aws.tasks) == 2
    assert [entry.attempt for entry in told.entries()] == [2, 1]


def test_after_a_stop_was_asked_for_nothing_is_started_for_the_run(world):
    """I7: also not by the same command again."""

    async def story(world):
        world.aws.lives += [life_of(1000)]
        async with anyio.create_task_group() as group:
            group.start_soon(world.run)
            await world.clock.sleep(30)
            group.cancel_scope.cancel()
        return world, await world.run()

    told, result = world(story)
    assert len(told.aws.tasks) == 1
    assert result.outcome == "stopped"


def test_a_stop_in_the_middle_of_a_lost_launch_stays_a_stop(world):
    """Its task is found and watched to its end; none is started."""

    async def story(world):
        world.aws.lives += [life_of(1000)]
        world.aws.answer_next("RunTask", After(lost()), *(lost() for _ in range(20)))
        async with anyio.create_task_group() as group:
            group.start_soon(world.run)
            await world.clock.sleep(0.5)
            group.cancel_scope.cancel()
        return world, await world.run()

    told, result = world(story)
    assert len(told.aws.tasks) == 1
    assert result.outcome == "stopped"


def test_two_at_once_are_one(world):
    """The second waits until the first has launched, and then watches the same task."""

    async def story(world):
        results = []

        async def one():
            results.append(await world.run())

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(one)
        return world, results

    told, results = world(story)
    assert len(told.aws.sent("RunTask")) == 1
    assert len({result.identifier for result in results}) == 1
    assert all(results)


def test_secrets_are_not_in_the_journal_and_are_sent_again_all_the_same(world, tmp_path, monkeypatch):
    """What is masked is filled in from the block."""
    monkeypatch.setenv("CANARY", "kanarie-7f3a9")
    fields = {"env": {"DB_PASSWORD": "hush-hush-1", "KEY": {"$secret": "env:CANARY"}}}

    async def story(world):
        await world.crash_at("sending", **fields)
        return world, await world.run(**fields)

    told, result = world(story)
    assert result
    first = told.aws.sent("RunTask")[0]["overrides"]["containerOverrides"][0]["environment"]
    assert {"name": "KEY", "value": "kanarie-7f3a9"} in first
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("journal*"))
    assert b"kanarie-7f3a9" not in kept
    assert b"hush-hush-1" not in kept


def test_a_secret_that_has_changed_is_not_sent_under_the_old_token(world, monkeypatch):
    """It would be another request: what can be seen of the first one decides."""
    fields = {"env": {"KEY": {"$secret": "env:CANARY"}}}

    async def story(world):
        monkeypatch.setenv("CANARY", "kanarie-one")
        await world.crash_at("sending", **fields)
        monkeypatch.setenv("CANARY", "kanarie-two")
        with pytest.raises(OutcomeUnknown):
            await world.run(**fields)
        return world

    assert not world(story).aws.tasks


def test_without_a_journal_nothing_is_launched(world, tmp_path):
    """A disk that is full, a folder that is none: told before RunTask."""

    async def story(world):
        (tmp_path / "file").write_text("")
        world.path = tmp_path / "file" / "journal.sqlite3"
        with pytest.raises(JournalError, match="journal"):
            await world.run()
        return world

    told = world(story)
    assert told.aws.calls["RunTask"] == 0


def test_a_journal_that_fails_later_does_not_harm_the_run(world, monkeypatch, caplog):
    """The task runs: its outcome is told, and that it could not be written."""

    def full(*args, **named):
        raise JournalError("The journal cannot be written: no space left.")

    async def story(world):
        monkeypatch.setattr(Journal, "launched", full)
        monkeypatch.setattr(Journal, "ended", full)
        return await world.run()

    assert world(story)
    assert "no space left" in caplog.text


def test_several_tasks_of_a_run_are_taken_up_together(world):
    """`count`: the worst speaks for all, also after a crash."""

    async def story(world):
        world.aws.lives += [life_of(30), life_of(40, code=9), life_of(20)]
        await world.crash_at("launched", task_run_request={"count": 3})
        return world, await world.run(task_run_request={"count": 3})

    told, result = world(story)
    assert len(told.aws.tasks) == 3
    assert result.status_code == 9
    assert len(result.tasks) == 3


def test_start_gives_the_identifier_of_the_run_that_is_known(world):
    """Without waiting, and again after its end."""

    async def story(world):
        books = world.journal()
        try:
            first = await engine.start(make_run(world.aws, world.clock, run_id="nightly", journal=books))
            again = await engine.start(make_run(world.aws, world.clock, run_id="nightly", journal=books))
        finally:
            books.close()
        result = await world.run()
        return world, first, again, result

    told, first, again, result = world(story)
    assert first == again == result.identifier
    assert len(told.aws.tasks) == 1


def test_an_unknown_outcome_is_looked_at_again(world):
    """A task that could not be watched may be watched now."""

    async def story(world):
        world.aws.lives += [life_of(300, code=6)]
        denied = refused("AccessDeniedException", "no", Kind.DENIED)
        world.aws.answer_next("DescribeTasks", *(denied for _ in range(60)))
        with pytest.raises(Exception, match="no"):
            await world.run(stop_on_interrupt=False)
        world.aws.answers.clear()
        return world, await world.run(stop_on_interrupt=False)

    told, result = world(story)
    assert len(told.aws.tasks) == 1
    assert result.status_code == 6


def test_locks_of_runs_do_not_pile_up(world):
    """The file of a run's lock is gone with its launch."""

    async def story(world):
        for number in range(5):
            await world.run(run_id=f"run-{world.clock.random()}-{number}".replace(".", "-"))

    def count():
        return len(list(home("state").glob("locks/*")))

    world(story)
    first = count()
    world(story)
    assert count() == first


def test_a_stop_noted_while_a_launch_waits_for_capacity_starts_nothing_more(world):
    """Somebody else's `stop` is read before each RunTask; the run id then stays stopped."""

    async def story(world):
        world.aws.answer_next("RunTask", *({"tasks": [], "failures": [{"reason": "RESOURCE:CPU"}]} for _ in range(50)))
        raised = []

        async def first():
            try:
                await world.run()
            except TaskLaunchFailed as error:
                raised.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(first)
            await world.clock.sleep(20)
            books = world.journal()
            books.stop_requested(books.latest()[0].number, "it is not needed")
            books.close()
        sent = world.aws.calls["RunTask"]
        world.aws.answers.clear()
        return world, raised, sent, await world.run()

    told, raised, sent, result = world(story)
    assert "stopped before" in str(raised[0])
    assert result.outcome == "stopped"
    assert told.aws.calls["RunTask"] == sent
    assert not told.aws.tasks


def test_a_recorded_stop_is_asked_for_again(world):
    """Whoever recorded it may have died before AWS was asked."""

    async def story(world):
        world.aws.lives += [life_of(1000)]
        await world.crash_at("launched")
        books = world.journal()
        books.stop_requested(books.latest()[0].number, "enough")
        books.close()
        return await world.run()

    result = world(story)
    assert result.outcome == "stopped"
    assert "enough" in result.reason
