"""The output of a task on a simulated clock: every line once, in order, however it arrives."""

from __future__ import annotations

import io

import anyio
import pytest
from scripted import FakeAws, SimulatedClock, life_of, make_run, refused, simulate, throttled

from ecs_block import AccessDenied
from ecs_block.engine import run as engine
from ecs_block.errors import Kind
from ecs_block.events import LogLine

ROLE = "arn:aws:iam::123456789012:role/execution"


def streamed(prepare, *, seconds=30.0, code=0, seen=None, output=None, **fields):
    """Run a streaming block; gives what was printed, the result and the fake."""
    output = output or io.StringIO()

    async def work(clock: SimulatedClock):
        aws = FakeAws(clock)
        aws.lives.append(life_of(seconds, code=code))
        prepare(aws)
        run = make_run(aws, clock, seen, stream_output=True, execution_role_arn=ROLE, **fields)
        run.teller._output = output
        return aws, await engine.run(run)

    aws, result = simulate(work)
    return output.getvalue().splitlines() if not output.closed else [], result, aws


def lines(*events):
    """Give events as (seconds at which it can be read, its timestamp in ms, text)."""

    def prepare(aws):
        aws.log_events = list(events)

    return prepare


def test_lines_of_one_millisecond_are_all_shown_in_their_order():
    """The API gives them one timestamp; identical ones are lines of their own."""
    printed, result, _ = streamed(lines(*[(3.0, 1000, text) for text in "abcab"], (6.0, 1000, "c")))
    assert printed == list("abcabc")
    assert result.log_complete == "yes"


def test_late_lines_are_shown_in_their_place():
    """A line that can be read two seconds after a younger one still comes before it."""
    printed, _, _ = streamed(lines((3.0, 1000, "1"), (3.0, 3000, "3"), (4.0, 2000, "2"), (20.0, 4000, "4")))
    assert printed == ["1", "2", "3", "4"]


def test_very_late_lines_are_shown_all_the_same():
    """Behind the token, a minute late: a sweep finds it, once."""
    printed, result, _ = streamed(lines((3.0, 1000, "1"), (4.0, 90_000, "3"), (60.0, 30_000, "2")), seconds=120)
    assert sorted(printed) == ["1", "2", "3"]
    assert result.log_complete == "yes"


def test_lines_that_come_after_the_stop_are_shown():
    """The stream is drained until it has been quiet."""
    printed, result, _ = streamed(lines((3.0, 1, "a"), (35.0, 2, "b"), (39.0, 3, "c"), (44.0, 4, "d")))
    assert printed == ["a", "b", "c", "d"]
    assert result.log_complete == "yes"


def test_a_stream_that_never_falls_silent_is_given_up_and_said_so():
    """log_complete tells it."""
    printed, result, _ = streamed(lines(*[(32.0 + n, n, str(n)) for n in range(200)]))
    assert result.log_complete == "no"
    assert printed == [str(n) for n in range(len(printed))]


def test_an_empty_page_is_not_the_end():
    """Only a token that repeats is."""

    def prepare(aws):
        aws.log_events = [(3.0, n, str(n)) for n in range(10)]
        real = aws.GetLogEvents

        def with_empty_pages(**params):
            token = params.get("nextToken", "-1/-1")
            if not token.endswith("/empty"):
                return {"events": [], "nextForwardToken": f"{token}/empty"}
            answer = real(**{**params, "nextToken": token.removesuffix("/empty")})
            return answer if answer["events"] else {"events": [], "nextForwardToken": token}

        aws.GetLogEvents = with_empty_pages

    printed, result, _ = streamed(prepare)
    assert printed == [str(n) for n in range(10)]
    assert result.log_complete == "yes"


def test_reading_errors_end_nothing_and_lose_nothing():
    """Throttled for a while, then everything is there."""

    def prepare(aws):
        aws.log_events = [(3.0, n, str(n)) for n in range(10)]
        aws.answer_next("GetLogEvents", *[throttled()] * 5)

    printed, result, _ = streamed(prepare)
    assert printed == [str(n) for n in range(10)]
    assert result.log_complete == "yes"


def test_a_reader_without_permission_lets_the_run_go_on(caplog):
    """It is said once, and the result says that lines are missing."""
    denied = AccessDenied("logs:GetLogEvents failed: not authorized", kind=Kind.DENIED)
    printed, result, aws = streamed(lambda aws: aws.answer_next("GetLogEvents", *[denied] * 50))
    assert (printed, result.outcome, result.log_complete) == ([], "succeeded", "no")
    assert aws.calls["GetLogEvents"] == 1
    assert sum("may be missing" in record.message for record in caplog.records) == 1


def test_a_stream_that_does_not_exist_yet_is_waited_for_silently(caplog):
    """The driver makes it with its first lines."""

    def prepare(aws):
        aws.log_events = [(10.0, 1, "late start")]
        gone = refused("ResourceNotFoundException", "The specified log stream does not exist.", Kind.NOT_FOUND)
        aws.answer_next("GetLogEvents", *[gone] * 3)

    printed, _, _ = streamed(prepare)
    assert printed == ["late start"]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_stream_that_stays_away_gets_one_hint(caplog):
    """After a minute: check region, prefix and role."""
    gone = refused("ResourceNotFoundException", "The specified log stream does not exist.", Kind.NOT_FOUND)
    streamed(lambda aws: aws.answer_next("GetLogEvents", *[gone] * 500), seconds=300)
    assert sum("is not there after" in record.message for record in caplog.records) == 1


def test_an_output_that_breaks_does_not_end_the_run():
    """`| head` closes the pipe; the task is watched to its end."""

    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    _, result, _ = streamed(lines((3.0, 1, "a"), (9.0, 2, "b")), output=Broken())
    assert (result.outcome, result.log_complete) == ("succeeded", "no")


def test_hooks_receive_the_lines():
    """With their time, as events."""
    seen = []
    streamed(lines((3.0, 86_400_000, "hello")), seen=seen)
    [line] = [event for event in seen if isinstance(event, LogLine)]
    assert (line.message, line.timestamp.isoformat()) == ("hello", "1970-01-02T00:00:00+00:00")


def test_a_driver_that_may_drop_lines_makes_completeness_unknown():
    """`mode: non-blocking` drops silently when its buffer is full."""
    _, result, _ = streamed(lines((3.0, 1, "a")), cloudwatch_logs_options={"mode": "non-blocking"})
    assert result.log_complete == "unknown"


def test_the_last_lines_are_in_the_error_of_a_failed_task():
    """raise_for_status shows them."""
    _, result, _ = streamed(lines((3.0, 1, "it broke")), code=1)
    with pytest.raises(Exception, match="it broke"):
        result.raise_for_status()


def test_a_failed_task_that_was_not_streamed_tells_its_last_lines_too():
    """One call, where the driver is configured."""

    async def work(clock):
        aws = FakeAws(clock)
        aws.lives.append(life_of(3, code=1))
        aws.log_events = [(3.0, 1, "it broke")]
        run = make_run(aws, clock, configure_cloudwatch_logs=True, execution_role_arn=ROLE)
        return aws, await engine.run(run)

    aws, result = simulate(work)
    assert result.log_tail == ("it broke",)
    assert aws.calls["GetLogEvents"] == 1


def test_the_streams_of_many_tasks_are_read_together_and_whole():
    """A hundred and fifty tasks: every line of each once and in order, with a fraction of the calls, within the quota."""
    count = 150

    async def work(clock):
        aws = FakeAws(clock)
        aws.lives += [life_of(40) for _ in range(count)]
        aws.log_events = [(3.0, 1000, "a"), (3.0, 1000, "b"), (5.0, 1500, "d"), (6.5, 1200, "c"), (45.0, 9000, "late")]
        outputs = [io.StringIO() for _ in range(count)]
        async with anyio.create_task_group() as group:
            for output in outputs:
                run = make_run(aws, clock, stream_output=True, execution_role_arn=ROLE)
                run.teller._output = output
                group.start_soon(engine.run, run)
        return aws.calls, outputs, clock.now()

    calls, outputs, seconds = simulate(work)
    assert {output.getvalue() for output in outputs} == {"a\nb\nc\nd\nlate\n"}
    assert calls["FilterLogEvents"] <= 10 * seconds + 10
    assert calls["GetLogEvents"] <= count


def test_a_stream_that_is_missing_does_not_keep_the_others_from_being_read():
    """FilterLogEvents refuses them all; then each is asked for by itself."""
    gone = refused("ResourceNotFoundException", "The specified log stream does not exist.", Kind.NOT_FOUND)

    async def work(clock):
        aws = FakeAws(clock)
        aws.lives += [life_of(20) for _ in range(6)]
        aws.log_events = [(3.0, 1000, "a")]
        aws.answer_next("FilterLogEvents", *[gone] * 100)
        outputs = [io.StringIO() for _ in range(6)]
        async with anyio.create_task_group() as group:
            for output in outputs:
                run = make_run(aws, clock, stream_output=True, execution_role_arn=ROLE)
                run.teller._output = output
                group.start_soon(engine.run, run)
        return aws, [output.getvalue() for output in outputs]

    aws, printed = simulate(work)
    assert printed == ["a\n"] * 6
    assert aws.calls["FilterLogEvents"] == 1


def test_runs_that_follow_the_same_task_all_get_its_lines():
    """Five that wait for one task, beside others."""

    async def work(clock):
        aws = FakeAws(clock)
        aws.lives += [life_of(20) for _ in range(5)]
        aws.log_events = [(3.0, 1000, "a"), (4.0, 2000, "b")]
        outputs = []

        async def one(verb, *arguments):
            run = make_run(aws, clock, stream_output=True, execution_role_arn=ROLE)
            run.teller._output = io.StringIO()
            outputs.append(run.teller._output)
            await verb(run, *arguments)

        identifier = await engine.start(make_run(aws, clock, stream_output=True, execution_role_arn=ROLE))
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(one, engine.attach, identifier)
            for _ in range(4):
                group.start_soon(one, engine.run)
        return [output.getvalue() for output in outputs]

    assert simulate(work) == ["a\nb\n"] * 9
