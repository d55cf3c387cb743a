"""What processes that were killed left behind: simulated time, a real journal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import anyio
import pytest
from scripted import After, life_of, lost, make_run, refused
from test_engine_once_only import World, told_in

from ecs_block.engine import run as engine
from ecs_block.engine import stop
from ecs_block.engine.machine_lock import alone_on_this_machine
from ecs_block.engine.once_only import lock_name
from ecs_block.engine.record import RunJournal
from ecs_block.engine.resume import Found, give_up, resume
from ecs_block.errors import AwsError, Kind, NoCredentials, OutcomeUnknown, TaskLaunchFailed, TaskStartFailed

pytestmark = pytest.mark.parametrize("backend", ["asyncio", "trio"])


async def at_once(work: Callable[[], Any]) -> Any:
    return work()


class Left(World):
    """A world in which processes were killed."""

    async def resume(self, *run_ids: str, wait: bool = True, only: Any = None) -> list[Found]:
        """Resume as a process of its own would: all that is unfinished, or these runs."""

        def run_of(entry):
            if only is not None:
                only(entry)
            return make_run(self.aws, self.clock, run_id=entry.run_id, journal=books, stop_on_interrupt=False)

        with closing(self.journal()) as books:
            entries = [entry for name in run_ids for entry in books.named(name)] or books.unfinished()
            return await resume(entries, run_of, lambda found: None, wait=wait)

    async def start(self, **fields: Any) -> str:
        """Start a run and leave it, as `run --detach` does."""
        with closing(self.journal()) as books:
            return await engine.start(make_run(self.aws, self.clock, run_id="nightly", journal=books, **fields))


left = told_in(Left)


@pytest.mark.parametrize("moment", ["sending", "answered", "launched"])
def test_a_launch_that_was_cut_off_is_finished_with_one_task(left, moment):
    """The same request with the same token: AWS gives the task that it has started, or starts it now."""

    async def story(world):
        world.aws.lives += [life_of(30, code=3), life_of(30, code=4)]
        await world.crash_at(moment)
        await world.clock.sleep(60)
        return world, await world.resume()

    told, [found] = left(story)
    assert len(told.aws.tasks) == 1
    assert (found.state, found.result.status_code) == ("failed", 3)
    assert told.entries()[0].state == "ended"
    sent = told.aws.sent("RunTask")
    assert all(request == sent[0] for request in sent)


def test_what_was_never_sent_is_recorded_so(left):
    """Nothing was started, and the run id is free again."""

    async def story(world):
        await world.crash_at("intended")
        found = await world.resume()
        again = await world.resume()
        return world, found, again, await world.run()

    told, [found], again, result = left(story)
    assert (found.state, type(found.error)) == ("not started", TaskLaunchFailed)
    assert "never sent" in found.reason
    assert again == []
    assert result
    assert len(told.aws.tasks) == 1


def test_after_the_token_s_life_a_task_is_found_by_what_started_it(left):
    """AWS has forgotten the token, and still knows the task."""

    async def story(world):
        world.aws.lives += [life_of(3 * 3600, code=5)]
        await world.crash_at("answered")
        await world.clock.sleep(2 * 3600)
        world.aws.tokens.clear()
        return world, await world.resume()

    told, [found] = left(story)
    assert len(told.aws.tasks) == 1
    assert found.result.status_code == 5


def test_what_nobody_can_know_is_told_so_and_stays_in_the_list(left):
    """Until it is given up; then it is told as unknown, also to the same run id again."""

    async def story(world):
        world.aws.answer_next("RunTask", *(lost() for _ in range(50)))
        await world.crash_at("sending")
        await world.clock.sleep(7200)
        said = [await world.resume(), await world.resume()]
        books = world.journal()
        [entry] = books.unfinished()
        gone = await give_up(RunJournal(books, entry.run_id, at_once), entry, world.clock)
        left = books.unfinished()
        books.close()
        named = await world.resume("nightly")
        with pytest.raises(OutcomeUnknown, match="given up"):
            await world.run()
        return world, said, gone, left, named

    told, said, gone, left_over, [named] = left(story)
    assert [one.state for [one] in said] == ["unknown", "unknown"]
    assert "resume --give-up nightly" in said[0][0].reason
    assert (gone.state, type(gone.result.error), left_over) == ("unknown", OutcomeUnknown, [])
    assert named.state == "unknown"
    assert not told.aws.tasks


def test_a_request_with_secrets_is_not_sent_without_them(left):
    """They are not recorded: the command itself has them."""

    async def story(world):
        await world.crash_at("sending", env={"PASSWORD": "hush-hush-1"})
        found = await world.resume()
        return world, found, await world.run(env={"PASSWORD": "hush-hush-1"})

    told, [found], result = left(story)
    assert (found.state, len(told.aws.tasks), bool(result)) == ("unknown", 1, True)
    assert "same run id" in found.reason


def test_a_launch_with_a_lost_answer_is_found_also_with_secrets(left):
    """Its task bears the run id."""

    async def story(world):
        await world.crash_at("answered", env={"PASSWORD": "hush-hush-1"})
        return await world.resume()

    [found] = left(story)
    assert found.state == "succeeded"


def test_without_waiting_the_status_is_told(left):
    """One look; the outcome is recorded once there is one."""

    async def story(world):
        await world.start()
        await world.clock.sleep(5)
        before = dict(world.aws.calls)
        running = await world.resume(wait=False)
        looks = world.aws.calls["DescribeTasks"] - before.get("DescribeTasks", 0)
        state = world.entries()[0].state
        await world.clock.sleep(60)
        return running, looks, state, await world.resume(wait=False), world.entries()

    [running], looks, state, [ended], entries = left(story)
    assert (running.state, running.goes_on, running.reason) == ("RUNNING", True, "")
    assert (looks, state) == (1, "launched")
    assert (ended.state, entries[0].outcome["outcome"]) == ("succeeded", "succeeded")


def test_a_run_that_another_process_is_launching_is_left_alone(left):
    """Its process holds the lock; nothing is sent, and nothing is recorded."""

    async def story(world):
        await world.crash_at("sending")
        [entry] = world.entries()
        sent = world.aws.calls["RunTask"]
        async with alone_on_this_machine(lock_name(entry.run_id, entry.place), world.clock, courtesy=False):
            found = await world.resume()
            books = world.journal()
            kept = await give_up(RunJournal(books, entry.run_id, at_once), entry, world.clock)
            books.close()
        return found, kept, world.aws.calls["RunTask"] - sent, world.entries() == [entry]

    [found], kept, sent, unchanged = left(story)
    assert (found.state, found.goes_on, kept.state, sent, unchanged) == ("launching", True, "launching", 0, True)


def test_what_was_launched_while_the_lock_was_awaited_is_not_launched_again(left):
    """The entry is read again once the lock is there."""

    async def story(world):
        await world.crash_at("answered")
        entries = world.entries()
        first = await world.run()
        books = world.journal()
        run = make_run(world.aws, world.clock, run_id="nightly", journal=books)
        sent = world.aws.calls["RunTask"]
        found = await resume(entries, lambda entry: run, lambda found: None)
        books.close()
        return first, found, world.aws.calls["RunTask"] - sent

    first, [found], sent = left(story)
    assert (found.result, sent) == (first, 0)


def test_a_stop_that_was_asked_for_is_asked_for_again(left):
    """The process was killed between its note and StopTask."""

    async def story(world):
        world.aws.lives += [life_of(10_000)]
        await world.start()
        books = world.journal()
        books.stop_requested(books.latest()[0].number, "the user said so")
        books.close()
        await world.clock.sleep(10)
        return world, await world.resume()

    told, [found] = left(story)
    assert found.state == "stopped"
    assert told.aws.sent("StopTask")[0]["reason"] == "ecs_block (run nightly): the user said so"


def test_a_stop_before_anything_was_sent_is_an_end(left):
    """I7: the run id does not become free again."""

    async def story(world):
        await world.crash_at("intended")
        books = world.journal()
        books.stop_requested(books.latest()[0].number, "the user said so")
        books.close()
        return world, await world.resume(), await world.run()

    told, [found], again = left(story)
    assert (found.state, again.outcome, len(told.aws.tasks)) == ("stopped", "stopped", 0)


def test_a_task_that_aws_has_forgotten_is_unknown_and_recorded_so(left):
    """An hour after its end. A later look that sees it would win."""

    async def story(world):
        await world.start()
        await world.clock.sleep(7200)
        kept = dict(world.aws.tasks)
        world.aws.tasks.clear()
        began = world.clock.now()
        found = await world.resume()
        seconds = world.clock.now() - began
        world.aws.tasks.update(kept)
        return found, seconds, await world.resume("nightly")

    [found], seconds, [again] = left(story)
    assert (found.state, type(found.result.error)) == ("unknown", OutcomeUnknown)
    assert seconds < 1
    assert again.state == "succeeded"


@pytest.mark.parametrize("moment", ["sending", "launched"])
def test_an_endpoint_that_is_gone_harms_no_other_run(left, moment):
    """It is told within seconds, and nothing is recorded of it."""

    async def story(world):
        await world.crash_at(moment)
        dead = AwsError("ecs got no answer", kind=Kind.TRANSIENT)
        world.aws.answer_next("ListTasks", *[dead] * 30)
        world.aws.answer_next("DescribeTasks", *[dead] * 30)
        before, began = world.entries(), world.clock.now()
        found = await world.resume()
        return found, world.clock.now() - began, before == world.entries()

    [found], seconds, unchanged = left(story)
    assert (found.state, found.reason, unchanged) == ("undetermined", "ecs got no answer", True)
    assert seconds <= 6


def test_credentials_that_are_not_there_are_told_for_each_run(left):
    """The others go on."""

    async def story(world):
        await world.run(run_id="one")
        await world.start()

        def absent(entry):
            raise NoCredentials("There is no profile of this name.", kind=Kind.DENIED)

        return await world.resume(only=absent), await world.resume()

    [absent], [found] = left(story)
    assert (absent.state, "profile" in absent.reason, found.state) == ("undetermined", True, "succeeded")


def test_a_refusal_to_describe_is_not_recorded_as_an_outcome(left):
    """With a permission more, the next look sees the end."""

    async def story(world):
        await world.start()
        await world.clock.sleep(1)
        denied = refused("AccessDeniedException", "no", Kind.DENIED)
        world.aws.answer_next("DescribeTasks", {"tasks": [{"lastStatus": "RUNNING"}]}, *[denied] * 100)
        first = await world.resume()
        world.aws.answers.clear()
        return first, await world.resume()

    [first], [second] = left(story)
    assert (first.state, second.state) == ("undetermined", "succeeded")


def test_several_tasks_of_a_run_are_waited_for(left):
    """The worst speaks for all."""

    async def story(world):
        world.aws.lives += [life_of(30), life_of(40, code=9), life_of(20)]
        await world.crash_at("launched", task_run_request={"count": 3})
        return await world.resume()

    [found] = left(story)
    assert (found.result.status_code, len(found.result.tasks)) == (9, 3)


def test_a_launch_that_aws_refuses_for_good_was_none(left):
    """Recorded as refused, once it is certain that nothing was started."""

    async def story(world):
        await world.crash_at("sending")
        full = {"tasks": [], "failures": [{"reason": "MISSING"}]}
        world.aws.answer_next("RunTask", full)
        return await world.resume(), world.entries()

    [found], [entry] = left(story)
    assert (found.state, entry.state) == ("not started", "refused")


def test_a_failed_start_keeps_its_error(left):
    """As `run` would have raised it."""
    failed = {"lastStatus": "STOPPED", "stopCode": "TaskFailedToStart", "stoppedReason": "CannotPullContainerError: x"}

    async def story(world):
        world.aws.lives += [[(0.0, {"lastStatus": "PENDING"}), (5.0, failed)]]
        await world.start()
        return await world.resume(), await world.resume("nightly")

    [found], [again] = left(story)
    assert (found.state, type(found.result.error)) == ("start_failed", TaskStartFailed)
    assert str(again.result.error) == str(found.result.error)


def test_an_interrupt_of_the_waiting_leaves_the_task_and_the_entry_alone(left):
    """It can be resumed again."""

    async def story(world):
        world.aws.lives += [life_of(100)]
        await world.start()
        async with anyio.create_task_group() as group:
            group.start_soon(world.resume)
            await world.clock.sleep(10)
            group.cancel_scope.cancel()
        stops = world.aws.calls["StopTask"]
        return stops, world.entries()[0].state, await world.resume()

    stops, state, [found] = left(story)
    assert (stops, state, found.state) == (0, "launched", "succeeded")


# --- what other verbs leave in the journal ---------------------------------------------------------------------------


def test_attach_records_the_outcome_of_a_task_that_the_journal_knows(left):
    """And of no other."""

    async def story(world):
        identifier = await world.start()
        books = world.journal()
        run = make_run(world.aws, world.clock)
        run.journal = RunJournal(books, aside=at_once)
        result = await engine.attach(run, identifier)
        books.close()
        return result, world.entries()

    result, [entry] = left(story)
    assert entry.outcome["identifier"] == result.identifier


def test_kill_notes_the_stop_first(left):
    """So that no attempt follows, even when AWS does not answer."""

    async def story(world):
        world.aws.lives += [life_of(1000)]
        identifier = await world.start()
        world.aws.answer_next("StopTask", refused("AccessDeniedException", "no", Kind.DENIED))
        books = world.journal()
        run = make_run(world.aws, world.clock)
        named = engine.parse_task_identifier(identifier)
        with pytest.raises(AwsError):
            await stop.kill(run.conversation, named, None, "ecs_block: killed", RunJournal(books, aside=at_once))
        books.close()
        return world.entries()

    [entry] = left(story)
    assert entry.stop_reason == "killed"


def test_a_run_is_found_by_its_id_and_by_its_task_s_id(left):
    """The journal's own look-up: newest first, whole ids only."""

    async def story(world):
        result = await world.run()
        await world.run(cluster="other")
        books = world.journal()
        short = result.identifier.rpartition("/")[2]
        names = ["nightly", short, short[1:], "night", ""]
        found = [[entry.place.cluster for entry in books.named(name)] for name in names]
        books.close()
        return found

    assert left(story) == [["other", "default"], ["default"], [], [], []]


def test_after_and_lost_answers_are_one_task(left):
    """The answer was lost, then the process: the re-sent request gives the same task."""

    async def story(world):
        world.aws.answer_next("RunTask", After(lost()))
        await world.crash_at("answered")
        return world, await world.resume()

    told, [found] = left(story)
    assert (len(told.aws.tasks), found.state) == (1, "succeeded")
