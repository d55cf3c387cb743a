"""The agent on a simulated clock, with a queue and an ECS in memory."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from scripted import SimulatedClock, life_of, refused, simulate
from sqs import DEAD, URL, FakeSqs, Waiting, make_agent

from ecs_block.agent.agent import Agent
from ecs_block.agent.queue import RunQueue
from ecs_block.engine.journal import Journal
from ecs_block.errors import InvalidTask, JournalError, Kind, NoCredentials


class Stage:
    """A queue, a journal, and the agents that a test starts."""

    def __init__(self, clock: SimulatedClock, group: Any) -> None:
        self.clock, self._group = clock, group
        self.aws = FakeSqs(clock)
        self.journal = Journal()
        self.agents: list[Agent] = []

    def start(self, **options: Any) -> Agent:
        agent = make_agent(self.aws, options.pop("journal", self.journal), **options)
        self.agents.append(agent)
        self._group.start_soon(agent.astart)
        return agent

    async def until(self, condition: Callable[[], Any], seconds: float = 2000) -> None:
        deadline = self.clock.now() + seconds
        while not condition():
            assert self.clock.now() < deadline, "it did not happen"
            await self.clock.sleep(0.25)

    def slow_launches(self, seconds: float) -> None:
        """Let AWS take its time for each RunTask."""
        run_task = self.aws.RunTask

        async def slow(**request: Any) -> Any:
            await self.clock.sleep(seconds)
            return run_task(**request)

        self.aws.RunTask = slow  # type: ignore[method-assign, assignment]

    async def ended(self, agent: Agent) -> None:
        await self.until(lambda: agent.view.state == "stopped", 60)

    @property
    def launches(self) -> int:
        return len(self.aws.tasks)

    def outcomes(self) -> dict[str, Any]:
        """The outcome of each run that has one."""
        return {entry.run_id: entry.outcome["outcome"] for entry in self.journal.latest(1000) if entry.outcome}


@asynccontextmanager
async def stage_of(clock: SimulatedClock) -> Any:
    async with anyio.create_task_group() as group:
        stage = Stage(clock, group)
        yield stage
        for agent in stage.agents:
            agent.stop()
        await stage.until(lambda: all(agent.view.state in ("stopped", "starting") for agent in stage.agents), 60)
        group.cancel_scope.cancel()


def staged(work: Callable[[Stage], Awaitable[None]]) -> None:
    """Run a test on a stage."""

    async def main(clock: SimulatedClock) -> None:
        async with stage_of(clock) as stage:
            await work(stage)

    simulate(main)


def test_each_job_is_launched_once_however_often_it_comes() -> None:
    """#49: thirty jobs, each sent one to three times: one task and one outcome each, and the queue is empty."""

    async def work(stage: Stage) -> None:
        for index in range(30):
            for _ in range(index % 3 + 1):
                stage.aws.put({"id": f"j{index}", "command": ["true"]})
        agent = stage.start()
        await stage.until(lambda: not stage.aws.messages and agent.view.counts["done"] == 30)
        assert stage.launches == 30
        assert list(stage.outcomes().values()) == ["succeeded"] * 30
        assert not stage.aws.dead

    staged(work)


def test_a_message_is_deleted_only_when_its_task_is_recorded() -> None:
    """I2: at each deletion the journal has the task of the job whose message goes, or its outcome."""

    async def work(stage: Stage) -> None:
        queue = RunQueue(URL)
        delete, early = stage.aws.DeleteMessageBatch, []

        def checked(**request: Any) -> Any:
            receipts = {entry["ReceiptHandle"] for entry in request["Entries"]}
            for message in stage.aws.messages:
                run_id = queue.run_id_of(json.loads(message.body)["id"])
                known = stage.journal.of_runs([run_id])
                if message.receipt in receipts and not (known and known[0].state in ("launched", "ended")):
                    early.append(message.body)
            return delete(**request)

        stage.aws.DeleteMessageBatch = checked  # type: ignore[method-assign]
        for index in range(25):
            stage.aws.put({"id": f"j{index}"})
        agent = stage.start()
        await stage.until(lambda: agent.view.counts["done"] == 25 and not stage.aws.messages)
        assert not early

    staged(work)


class FullDisk(Journal):
    """A journal that fails for a while: at `probe`, or when a task is to be recorded."""

    probes = tasks = 0

    def probe(self) -> None:
        if self.probes:
            self.probes -= 1
            raise JournalError("The disk is full.")
        super().probe()

    def launched(self, number: int, tasks: Any) -> None:
        if self.tasks:
            self.tasks -= 1
            raise JournalError("The disk is full.")
        super().launched(number, tasks)


def test_a_task_that_could_not_be_recorded_is_recorded_before_its_message_goes() -> None:
    """I2, #60: the disk is full just when the ARN is to be written: the message stays until it is."""

    async def work(stage: Stage) -> None:
        journal = FullDisk()
        journal.tasks = 3
        message = stage.aws.put({"id": "a"})
        agent = stage.start(journal=journal)
        await stage.until(lambda: agent.view.counts["launched"] == 1)
        await stage.clock.sleep(0.5)
        assert message in stage.aws.messages
        await stage.until(lambda: not stage.aws.messages)
        assert journal.of_runs([agent.queue.run_id_of("a")])[0].tasks
        assert stage.launches == 1

    staged(work)


def test_without_a_journal_no_job_is_received() -> None:
    """#60: while the journal cannot be written nothing is received, health says so; afterwards it goes on by itself."""

    async def work(stage: Stage) -> None:
        journal = FullDisk()
        journal.probes = 5
        stage.aws.put({"id": "a"})
        agent = stage.start(journal=journal)
        await stage.until(lambda: agent.view.health() == (False, "The disk is full."))
        assert not stage.aws.received_at
        await stage.until(lambda: agent.view.counts["done"] == 1)
        assert agent.view.health()[0]

    staged(work)


def test_poison_goes_to_the_dead_letters_and_the_loop_goes_on() -> None:
    """#50: no JSON, no object, unknown fields, wrong types, NaN, too deep, not allowed, not possible: each with its reason."""
    poison = {
        "nonsense": "is not valid JSON",
        "[1]": "is no JSON object",
        '{"comand": ["x"]}': "comand is not a field of Job. Did you mean 'command'?",
        '{"command": [1]}': "command[0] must be a string",
        '{"parameters": {"a": NaN}}': "NaN is no number of JSON",
        '{"parameters": {"a": ' + "[" * 40 + "]" * 40 + "}}": "nested too deeply",
        "[" * 100_000: "nested too deeply",
        "x" * 262_145: "262,145 bytes",
        '{"image": "evil"}': "The job sets image",
        '{"env": {"AWS_ENDPOINT_URL": "http://evil"}}': "AWS_ENDPOINT_URL",
        '{"env": {"A": {"$secret": "env:HOME"}}}': "env refers to a secret",
        '{"command": ["a\\u0000b"]}': "NUL",
        json.dumps({"command": ["x" * 9000]}): "8,192",
    }

    async def work(stage: Stage) -> None:
        for index, body in enumerate(poison):
            stage.aws.put(body)
            stage.aws.put({"id": f"good-{index}"})
        agent = stage.start()
        await stage.until(lambda: not stage.aws.messages and agent.view.counts["done"] == len(poison))
        reasons = stage.aws.reasons()
        assert set(reasons) == set(poison)
        for body, reason in poison.items():
            assert reason in reasons[body], reasons[body]
        assert agent.view.counts["rejected"] == len(poison)
        assert stage.launches == len(poison)

    staged(work)


def test_without_a_dead_letter_queue_poison_is_kept_in_files(tmp_path: Any) -> None:
    """#50: body and reason, readable by the owner only."""

    async def work(stage: Stage) -> None:
        stage.aws.has_dead_letters = False
        stage.aws.put("nonsense")
        agent = stage.start()
        await stage.until(lambda: agent.view.counts["rejected"] == 1 and not stage.aws.messages)

    staged(work)
    (file,) = (tmp_path / "home" / "rejected").rglob("*.json")
    kept = json.loads(file.read_text())
    assert kept["body"] == "nonsense"
    assert "is not valid JSON" in kept["reason"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_dead_letter_queue_of_the_agents_own() -> None:
    """`dead_letter_url` is where they go when the queue names none."""

    async def work(stage: Stage) -> None:
        stage.aws.has_dead_letters = False
        stage.aws.put("nonsense")
        stage.start(dead_letter_url=DEAD)
        await stage.until(lambda: stage.aws.dead and not stage.aws.messages)

    staged(work)


def test_what_cannot_be_put_among_the_dead_letters_stays_in_the_queue() -> None:
    """Nothing is lost: it is tried again later."""

    async def work(stage: Stage) -> None:
        stage.aws.most_receives = 50
        stage.aws.answer_next("SendMessage", *[refused("AccessDenied", "no", Kind.DENIED, "sqs:SendMessage")] * 3)
        message = stage.aws.put("nonsense")
        agent = stage.start()
        await stage.until(lambda: stage.aws.calls["SendMessage"] >= 3)
        assert message in stage.aws.messages
        await stage.until(lambda: stage.aws.dead and not stage.aws.messages)
        assert agent.view.counts["rejected"] == 1

    staged(work)


def test_never_more_tasks_than_the_limit_and_few_receives() -> None:
    """#57: 100 jobs, 20 at once: the rest waits in the queue, and jobs are received ten at a time."""

    async def work(stage: Stage) -> None:
        most, run_task = 0, stage.aws.RunTask

        def counted(**request: Any) -> Any:
            nonlocal most
            answer = run_task(**request)
            alive = [arn for arn in stage.aws.tasks if stage.aws._seen(arn)["lastStatus"] != "STOPPED"]  # type: ignore[index]
            most = max(most, len(alive))
            return answer

        stage.aws.RunTask = counted  # type: ignore[method-assign]
        for index in range(100):
            stage.aws.put({"id": f"j{index}"})
        agent = stage.start(limit=20)
        await stage.until(lambda: agent.view.counts["done"] == 100, 5000)
        idle = 2
        assert most == 20
        assert len(stage.aws.received_at) <= 100 / 10 + idle

    staged(work)


def test_room_for_ten_is_waited_for_by_a_large_agent() -> None:
    """#57: with 100 at once, and a task that ends each 1.5 s, jobs are still received ten at a time."""

    async def work(stage: Stage) -> None:
        stage.aws.lives = [life_of(60.0 + 1.5 * index) for index in range(100)]
        for index in range(150):
            stage.aws.put({"id": f"j{index}"})
        agent = stage.start(limit=100)
        await stage.until(lambda: agent.view.counts["launched"] == 150, 5000)
        assert len(stage.aws.received_at) <= 150 / 10 + agent.view.counts["idle polls"] + 1

    staged(work)


def test_a_small_agent_waits_for_no_room() -> None:
    """#57: with two at once, of which one is slow, the other place is taken again within a second."""

    async def work(stage: Stage) -> None:
        stage.aws.lives = [life_of(900.0), *[life_of(10.0)] * 8]
        for index in range(9):
            stage.aws.put({"id": f"j{index}"})
        agent = stage.start(limit=2)
        await stage.until(lambda: agent.view.counts["launched"] == 2)
        began = stage.clock.now()
        await stage.until(lambda: agent.view.counts["done"] == 8)
        assert stage.clock.now() - began < 8 * (10 + 5 + 1)  # each runs, is seen to have ended, and is followed

    staged(work)


def test_to_end_is_not_to_wait_for_room() -> None:
    """#54: an agent that waits for room ends at once, and leaves the jobs in the queue."""

    async def work(stage: Stage) -> None:
        stage.aws.lives = [life_of(900.0)] * 95 + [life_of(10.0)] * 5
        for index in range(150):
            stage.aws.put({"id": f"j{index}"})
        agent = stage.start(limit=100)
        await stage.until(lambda: agent.view.counts["done"] == 5)
        polls, began = len(stage.aws.received_at), stage.clock.now()
        agent.stop()
        await stage.ended(agent)
        assert stage.clock.now() - began < 2
        assert len(stage.aws.received_at) == polls
        assert [message.receives for message in stage.aws.messages] == [0] * 50

    staged(work)


def test_a_full_agent_receives_nothing() -> None:
    """#57: with two tasks that run for a quarter of an hour and a limit of two there is no receive in that time."""

    async def work(stage: Stage) -> None:
        stage.aws.lives = [life_of(900.0), life_of(900.0)]
        for index in range(5):
            stage.aws.put({"id": f"j{index}"})
        agent = stage.start(limit=2)
        await stage.until(lambda: agent.view.counts["launched"] == 2)
        await stage.clock.sleep(60)
        before = len(stage.aws.received_at)
        await stage.clock.sleep(700)
        assert len(stage.aws.received_at) == before
        assert agent.view.health() == (True, "all slots are taken")
        await stage.until(lambda: agent.view.counts["done"] == 5)

    staged(work)


def test_a_slow_launch_keeps_its_message_hidden() -> None:
    """#51, #56: RunTask takes three times the visibility timeout: the message is not seen again, there is one task."""

    async def work(stage: Stage) -> None:
        stage.slow_launches(90)
        message = stage.aws.put({"id": "a"})
        agent = stage.start()
        await stage.until(lambda: agent.view.counts["done"] == 1)
        assert message.receives == 1
        assert stage.launches == 1
        assert not stage.aws.messages

    staged(work)


def test_the_first_message_of_a_queue_that_hides_for_a_moment_is_kept_hidden() -> None:
    """#51: what the queue says of its visibility timeout is known before the first message is received."""

    async def work(stage: Stage) -> None:
        stage.aws.visibility = 4
        stage.slow_launches(10)
        message = stage.aws.put({"id": "a"})
        agent = stage.start()
        await stage.until(lambda: agent.view.counts["done"] == 1)
        assert message.receives == 1

    staged(work)


def test_a_task_that_outlives_the_visibility_timeout_has_no_message_any_more() -> None:
    """#51: the message goes when the ARN is recorded, so a task of ten minutes needs no heartbeat."""

    async def work(stage: Stage) -> None:
        stage.aws.lives = [life_of(600.0)]
        stage.aws.put({"id": "a"})
        agent = stage.start()
        await stage.until(lambda: agent.view.counts["launched"] == 1)
        await stage.clock.sleep(5)
        assert not stage.aws.messages
        await stage.until(lambda: agent.view.counts["done"] == 1, 5000)
        assert stage.aws.calls["ChangeMessageVisibilityBatch"] == 0
        assert stage.launches == 1

    staged(work)


def test_a_deletion_that_does_nothing_does_no_harm() -> None:
    """#52: SQS says yes and deletes nothing: the message comes again, is known, and goes then."""

    async def work(stage: Stage) -> None:
        delete, refused_once = stage.aws.DeleteMessageBatch, []

        def forgetful(**request: Any) -> Any:
            if not refused_once:
                refused_once.append(request)
                return {"Successful": request["Entries"]}
            return delete(**request)

        stage.aws.DeleteMessageBatch = forgetful  # type: ignore[method-assign]
        stage.aws.put({"id": "a"})
        agent = stage.start()
        await stage.until(lambda: refused_once and not stage.aws.messages)
        assert agent.view.counts["duplicate"] == 1
        assert stage.launches == 1

    staged(work)


def test_deletions_that_fail_are_made_again() -> None:
    """#52: an outage of SQS at the wrong moment."""

    async def work(stage: Stage) -> None:
        stage.aws.answer_next(
            "DeleteMessageBatch", *[refused("AccessDenied", "no", Kind.DENIED, "sqs:DeleteMessage")] * 4
        )
        stage.aws.put({"id": "a"})
        stage.start()
        await stage.until(lambda: not stage.aws.messages)
        assert stage.launches == 1

    staged(work)


def test_the_queue_that_is_missing_is_said_once_and_shown(caplog: pytest.LogCaptureFixture) -> None:
    """#53: it backs off, says so once, is unhealthy, and goes on by itself when the queue is back."""

    async def work(stage: Stage) -> None:
        kept = stage.aws.queues.pop(URL)
        agent = stage.start()
        with caplog.at_level(logging.INFO, "ecs_block.agent"):
            await stage.clock.sleep(600)
            assert agent.view.health()[0] is False
            assert "no such queue" in agent.view.health()[1]
            assert 8 <= len(stage.aws.received_at) <= 80
            assert sum("no such queue" in record.getMessage() for record in caplog.records) == 1
            stage.aws.queues[URL] = kept
            stage.aws.put({"id": "a"})
            await stage.until(lambda: agent.view.counts["done"] == 1)
        assert agent.view.health()[0]
        assert "can be polled again" in caplog.text

    staged(work)


@pytest.mark.parametrize("error", [refused("AccessDenied", "no", Kind.DENIED, "sqs:ReceiveMessage"),
                                   NoCredentials("no credentials", kind=Kind.CREDENTIALS)])  # fmt: skip
def test_a_queue_that_may_not_be_read(error: Exception) -> None:
    """#53: as one that is missing."""

    async def work(stage: Stage) -> None:
        stage.aws.answer_next("ReceiveMessage", *[error] * 4)
        stage.aws.put({"id": "a"})
        agent = stage.start()
        await stage.until(lambda: not agent.view.health()[0] and stage.aws.calls["ReceiveMessage"] == 2)
        await stage.until(lambda: agent.view.counts["done"] == 1)
        assert agent.view.health()[0]

    staged(work)


def test_launches_that_fail_for_nobodys_fault_are_tried_again_later() -> None:
    """RunTask is throttled for a while: the job waits, its tries are spaced, and it gets one task."""

    async def work(stage: Stage) -> None:
        stage.aws.most_receives = 50
        stage.aws.answer_next("DescribeVpcs", *[refused("RequestLimitExceeded", "slow down", Kind.THROTTLED)] * 60)
        stage.aws.put({"id": "a"})
        agent = stage.start()
        await stage.until(lambda: agent.view.counts["handed back"] >= 2)
        assert stage.launches == 0
        await stage.until(lambda: agent.view.counts["done"] == 1)
        assert stage.launches == 1
        assert not stage.aws.dead

    staged(work)


def test_a_launch_that_nobody_allows_ends_among_the_dead_letters() -> None:
    """RunTask is denied to the agent: it is unhealthy, slows down, and at its last delivery the job goes with the reason."""

    async def work(stage: Stage) -> None:
        stage.aws.most_receives = 4
        stage.aws.answer_next(
            "RunTask", *[refused("AccessDeniedException", "not you", Kind.DENIED, "ecs:RunTask")] * 1000
        )
        stage.aws.put({"id": "a"})
        agent = stage.start()
        await stage.until(lambda: agent.view.failures >= 3)
        assert not agent.view.health()[0]
        await stage.until(lambda: stage.aws.dead)
        (reason,) = stage.aws.reasons().values()
        assert "at 4 tries" in reason
        assert "not you" in reason
        await stage.until(lambda: agent.view.health()[0], 300)  # nobody knows whether the next one would fail

    staged(work)


def test_an_agent_whose_own_settings_are_refused_keeps_its_jobs() -> None:
    """ECS refuses whatever job comes: after three in a row no more are dead letters; the agent is unhealthy, until it works."""

    async def work(stage: Stage) -> None:
        stage.aws.most_receives = 50
        refusal = refused("InvalidParameterException", "no such subnet", operation="ecs:RunTask")
        stage.aws.answer_next("RunTask", *[refusal] * 1000)
        for index in range(30):
            stage.aws.put({"id": f"j{index}"})
        agent = stage.start()
        await stage.until(lambda: "no such subnet" in agent.view.health()[1], 60)
        await stage.clock.sleep(600)
        assert len(stage.aws.dead) == 3
        assert all("no such subnet" in reason for reason in stage.aws.reasons().values())
        stage.aws.answers["RunTask"].clear()
        await stage.until(lambda: agent.view.counts["done"] == 27)
        assert agent.view.health()[0]
        assert len(stage.aws.dead) == 3

    staged(work)


def test_a_job_that_aws_starts_no_task_for_is_a_dead_letter() -> None:
    """TaskLaunchFailed: every reason of AWS is in the dead letter; a redrive launches the job."""

    async def work(stage: Stage) -> None:
        failure = {"tasks": [], "failures": [{"reason": "ATTRIBUTE"}]}
        stage.aws.answer_next("RunTask", failure)
        stage.aws.put({"id": "a"})
        agent = stage.start()
        await stage.until(lambda: stage.aws.dead)
        (reason,) = stage.aws.reasons().values()
        assert "ATTRIBUTE" in reason
        stage.aws.put(stage.aws.dead[0].body)
        await stage.until(lambda: agent.view.counts["done"] == 1)
        assert stage.launches == 1

    staged(work)


def test_a_job_is_left_to_agents_with_its_labels() -> None:
    """It is taken by the one that has all of them; an id, and no receives, are lost on the way."""

    async def work(stage: Stage) -> None:
        for _ in range(2):
            stage.aws.put({"labels": ["gpu", "big"], "command": ["true"]})
        first, second = stage.start(labels=["gpu"]), stage.start(labels=["big", "gpu", "more"])
        await stage.until(lambda: second.view.counts["done"] == 2)
        assert first.view.counts["launched"] == 0
        assert stage.launches == 2
        assert not stage.aws.dead
        assert not stage.aws.messages

    staged(work)


def test_a_job_that_nobody_wants_waits_longer_and_longer() -> None:
    """It is never a dead letter, keeps its id, and costs less and less."""

    async def work(stage: Stage) -> None:
        stage.aws.most_receives = 2
        first = stage.aws.put({"labels": ["nobody"]})
        agent = stage.start()
        await stage.clock.sleep(1200)
        assert 10 < agent.view.counts["passed on"] < 20
        (message,) = stage.aws.messages
        assert message.attributes["ecs_block.job_id"]["StringValue"] == first.id
        assert not stage.aws.dead

    staged(work)


def test_to_end_is_to_finish_launches_and_to_leave_tasks_alone() -> None:
    """#54: after `stop()` nothing is received, tasks go on, and the next agent takes them up: one task and one outcome each."""

    async def work(stage: Stage) -> None:
        for index in range(15):
            stage.aws.lives.append(life_of(300.0))
            stage.aws.put({"id": f"j{index}"})
        agent = stage.start(limit=10)
        await stage.until(lambda: agent.view.counts["launched"] == 10)
        began = stage.clock.now()
        agent.stop()
        await stage.ended(agent)
        assert stage.clock.now() - began < 30
        assert stage.aws.calls["StopTask"] == 0
        assert len(stage.aws.messages) == 5
        second = stage.start(limit=10)
        await stage.until(lambda: second.view.counts["done"] == 15)
        assert stage.launches == 15
        assert list(stage.outcomes().values()) == ["succeeded"] * 15

    staged(work)


def test_messages_of_the_last_poll_are_handed_back() -> None:
    """#54: a job that comes while the agent is told to end can be received by others at once."""

    async def work(stage: Stage) -> None:
        agent = stage.start()
        await stage.until(lambda: len(stage.aws.received_at) == 2)  # the long poll is on its way
        agent.stop()
        message = stage.aws.put({"id": "a"})
        await stage.ended(agent)
        assert message.receives == 1
        assert message.visible_at <= stage.clock.now()
        assert stage.launches == 0

    staged(work)


def test_jobs_that_no_launch_was_begun_for_are_handed_back() -> None:
    """#54: of many received jobs those whose launch has begun are finished, the others go back at once."""

    async def work(stage: Stage) -> None:
        stage.slow_launches(10)
        messages = [stage.aws.put({"id": f"j{index}"}) for index in range(40)]
        agent = stage.start()
        await stage.until(lambda: agent.view.counts["messages"] == 40)
        agent.stop()
        await stage.ended(agent)
        assert 0 < stage.launches < 40
        assert len(stage.aws.messages) == 40 - stage.launches
        assert all(message.visible_at <= stage.clock.now() for message in stage.aws.messages)
        assert all(message.receives == 1 for message in messages)

    staged(work)


def test_after_the_last_poll_its_tasks_are_waited_for() -> None:
    """`max_polls` ends the receiving, and then the agent, once its jobs have ended."""

    async def work(stage: Stage) -> None:
        for index in range(15):
            stage.aws.put({"id": f"j{index}"})
        agent = stage.start(max_polls=1)
        await stage.ended(agent)
        assert agent.view.counts["polls"] == 1
        assert agent.view.counts["done"] == 10
        assert len(stage.aws.messages) == 5

    staged(work)


def test_after_the_last_poll_poison_is_put_away_whole() -> None:
    """What is rejected or passed on is waited for too: a message that is a dead letter is not in the queue any more."""

    async def work(stage: Stage) -> None:
        stage.aws.put("nonsense")
        stage.aws.put({"labels": ["others"]})
        agent = stage.start(max_polls=1)
        await stage.ended(agent)
        assert len(stage.aws.dead) == 1
        (left,) = stage.aws.messages
        assert left.receives == 0
        assert "labels" in left.body

    staged(work)


def test_two_agents_with_one_journal() -> None:
    """#55: each message is received by both, again and again: one task a job."""

    async def work(stage: Stage) -> None:
        stage.aws.visibility = 1  # so that messages come again and again
        stage.aws.most_receives = 10_000
        for index in range(20):
            stage.aws.put({"id": f"j{index}"})
        stage.start()
        stage.start()
        await stage.until(lambda: not stage.aws.messages and len(stage.outcomes()) == 20)
        assert stage.launches == 20

    staged(work)


def test_two_agents_on_two_machines(tmp_path: Any) -> None:
    """#55: without a common journal the token of the job is the same, and so is the request: AWS gives the same task."""

    async def work(stage: Stage) -> None:
        other = Journal(tmp_path / "other" / "journal.sqlite3")
        for index in (*range(12), *range(12)):
            stage.aws.put({"id": f"j{index}", "name": "n", "env": {"A": "1"}, "parameters": {"b": [1]}})
        one, two = stage.start(name="one", max_polls=2), stage.start(name="two", journal=other, max_polls=2)
        await stage.ended(one)
        await stage.ended(two)
        assert stage.aws.calls["RunTask"] > 12
        assert stage.launches == 12

    staged(work)


def test_an_event_hook_hears_of_jobs_and_tasks() -> None:
    """A hook that raises does not harm the jobs."""
    seen: list[str] = []

    async def work(stage: Stage) -> None:
        def hook(event: Any) -> None:
            seen.append(type(event).__name__)
            if len(seen) == 5:
                raise RuntimeError("a bad hook")

        stage.aws.put({"id": "a"})
        agent = stage.start(on_event=hook)
        await stage.until(lambda: agent.view.counts["done"] == 1 and not stage.aws.messages)
        assert stage.launches == 1

    staged(work)
    assert len(seen) == 5
    assert {"JobChanged", "TaskLaunched"} <= set(seen)


def test_an_error_of_a_recipe_harms_only_its_job() -> None:
    """Whatever a recipe raises: the job waits, or is a dead letter in the end; the others run."""

    class Recipe:
        def __init__(self, inner: Any) -> None:
            self.inner, self.aws_credentials = inner, inner.aws_credentials

        async def task_for(self, job: Any) -> Any:
            if job.id == "bad":
                raise ZeroDivisionError("a bug")
            if job.id == "invalid":
                raise InvalidTask("it cannot be")
            return await self.inner.task_for(job)

    async def work(stage: Stage) -> None:
        from ecs_block.agent.recipe import recipe_of

        stage.aws.most_receives = 2
        for name in ("bad", "invalid", "good"):
            stage.aws.put({"id": name})
        agent = stage.start(recipe=Recipe(recipe_of()))
        await stage.until(lambda: len(stage.aws.dead) == 2 and agent.view.counts["done"] == 1)
        reasons = {json.loads(body)["id"]: reason for body, reason in stage.aws.reasons().items()}
        assert "a bug" in reasons["bad"]
        assert reasons["invalid"] == "it cannot be"
        assert stage.launches == 1

    staged(work)


def test_what_an_agent_cannot_be() -> None:
    """Wrong options are told before anything is done."""
    for options, told in (
        ({"limit": 0}, "limit is 0"),
        ({"max_polls": 0}, "max_polls is 0"),
        ({"allow": ["imege"]}, "Did you mean 'image'"),
    ):
        with pytest.raises(InvalidTask, match=told):
            Agent(URL, **options)  # type: ignore[arg-type]
    for url in ("jobs", "https://sqs.eu-west-1.amazonaws.com", "https://sqs.eu-west-1.amazonaws.com/1/jobs.fifo"):
        with pytest.raises(InvalidTask):
            RunQueue(url)


def test_a_message_knows_its_manners() -> None:
    """The fake queue hides, counts and redelivers as SQS does; or the tests above would prove little."""

    async def work(stage: Stage) -> None:
        message: Waiting = stage.aws.put("x")
        queue = stage.start().queue
        stage.agents[0].stop()
        await stage.clock.sleep(1)
        message.visible_at = 0.0
        (one,) = await queue.receive(10, 0)
        assert await queue.receive(10, 0) == []
        await stage.clock.sleep(31)
        (two,) = await queue.receive(10, 0)
        assert two.receives == one.receives + 1
        assert await queue.delete([one.receipt]) == []
        assert stage.aws.messages
        assert await queue.hide({one.receipt: 5}) == [one.receipt]
        await queue.delete([two.receipt])
        assert not stage.aws.messages

    staged(work)
