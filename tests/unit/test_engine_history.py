"""The output of tasks that were launched before, read from a scripted CloudWatch and a simulated clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import EPOCH, FakeAws, SimulatedClock, life_of, make_run, refused, simulate

from ecs_block.engine.adopt import ATTACH_PATIENCE
from ecs_block.engine.history import Asked, Output, follow, output_of, show
from ecs_block.engine.journal import Entry, Place
from ecs_block.errors import AccessDenied, EcsBlockError, InfrastructureNotFound, Kind, TaskDefinitionNotFound
from ecs_block.plan.follow import LogEvent

LOGGING = {
    "logDriver": "awslogs",
    "options": {"awslogs-group": "group", "awslogs-region": "eu-logs-1", "awslogs-stream-prefix": "prefix"},
}
OLD = {"stoppedAt": EPOCH - timedelta(hours=1)}
ALL = Asked()
Line = tuple[float, int, str]  # when it can be read, its time in milliseconds, its text


class Logs(FakeAws):
    """Streams that are read in both directions, in pages of any size, some of them empty."""

    def __init__(self, clock: SimulatedClock, page: int = 3, empty_each: int = 0) -> None:
        super().__init__(clock)
        self.page, self.empty_each = page, empty_each
        self.streams: dict[str, list[Line]] = {}
        self.logging: dict[str, Any] | None = LOGGING

    def task(
        self, *, life: list[tuple[float, dict[str, Any]]] | None = None, streamed: Sequence[Line] | None = ()
    ) -> str:
        """Start a task and give its identifier; `streamed` is what it has written, None for no stream."""
        container = {"name": "main", **({"logConfiguration": self.logging} if self.logging else {})}
        self.definitions.setdefault("family", []) or self.RegisterTaskDefinition(
            family="family", containerDefinitions=[container]
        )
        self.lives.append(life or [(0.0, {"lastStatus": "STOPPED", "exitCode": 0, **OLD})])
        overrides = {"containerOverrides": [{"name": "main"}]}
        arn = self._made(self.definitions["family"][0], {"overrides": overrides})
        if streamed is not None:
            self.streams[f"prefix/main/{arn.rsplit('/', 1)[-1]}"] = list(streamed)
        return f"default::{arn}"

    def GetLogEvents(self, logGroupName: str, logStreamName: str, **asked: Any) -> dict[str, Any]:  # noqa: N802, N803
        """Answer as CloudWatch does; a token is a position between two lines, and comes back at the end."""
        if logStreamName not in self.streams:
            raise refused("ResourceNotFoundException", "The specified log stream does not exist.", Kind.NOT_FOUND)
        now = self.clock.now()
        lines = sorted((t, n, m) for n, (at, t, m) in enumerate(self.streams[logStreamName]) if at <= now)
        first = next((i for i, line in enumerate(lines) if line[0] >= asked.get("startTime", 0)), len(lines))
        forward = bool(asked.get("startFromHead"))
        token, size = asked.get("nextToken"), min(self.page, asked.get("limit", 10_000))
        place = int(token[1:].split("/")[0]) if token else first if forward else len(lines)
        assert token is None or token[0] == "fb"[not forward], "a token is for its own direction"
        low, high = (place, min(place + size, len(lines))) if forward else (max(place - size, first), place)
        if self.empty_each and self.calls["GetLogEvents"] % self.empty_each == 0 and low < high:
            low = high = place
            turn = f"/{self.calls['GetLogEvents']}"  # another token for the same place: it is not the end
        else:
            turn = "" if low < high or token is None else token[1:].removeprefix(str(place))
        events = [{"timestamp": t, "message": m, "ingestionTime": t} for t, _, m in lines[low:high]]
        return {"events": events, "nextForwardToken": f"f{high}{turn}", "nextBackwardToken": f"b{low}{turn}"}


def shown(
    prepare: Callable[[Logs], Sequence[str]],
    asked: Asked = ALL,
    *,
    following: bool = False,
    entry: Entry | None = None,
    **how: int,
) -> tuple[list[str], Logs, list[Output]]:
    """Read the output of the tasks that `prepare` starts; gives the lines, AWS, and the outputs."""
    lines: list[str] = []

    async def work(clock: SimulatedClock) -> tuple[list[str], Logs, list[Output]]:
        aws = Logs(clock, **how)
        identifiers = prepare(aws)
        run = make_run(aws, clock)
        run.stops_on_interrupt = False
        outputs = [await output_of(run, identifier, entry) for identifier in identifiers]

        def sink(output: Output, events: Sequence[LogEvent]) -> None:
            lines.extend(event.message for event in events)

        await show(outputs, asked, sink)
        if following:
            await follow(outputs, sink)
        return lines, aws, outputs

    found: tuple[list[str], Logs, list[Output]] = simulate(work)
    return found


def of_one(streamed: Sequence[Line], asked: Asked = ALL, **how: Any) -> tuple[list[str], Logs]:
    """Read what one task that ended long ago has written."""
    lines, aws, _ = shown(lambda aws: [aws.task(streamed=streamed)], asked, **how)
    return lines, aws


def numbered(count: int, step: int = 1000) -> list[Line]:
    return [(0.0, 1000 + n * step, str(n)) for n in range(count)]


# --- what is there -----------------------------------------------------------------------------------------------------


def test_all_lines_from_the_head() -> None:
    """In their order, page by page until the token repeats, in the region that the log driver has."""
    lines, aws = of_one(numbered(10))
    assert lines == [str(n) for n in range(10)]
    assert all(call["startFromHead"] for call in aws.sent("GetLogEvents"))
    assert aws.calls["GetLogEvents"] == 5


@pytest.mark.parametrize("tail", [None, 4, 100])
def test_an_empty_page_is_not_the_end(tail: int | None) -> None:
    """Neither on the way forward nor on the way back."""
    lines, _ = of_one(numbered(10), Asked(tail=tail), empty_each=2)
    assert lines == [str(n) for n in range(10)][-(tail or 10) :]


def test_lines_of_one_millisecond() -> None:
    """Identical ones and all, over several pages."""
    same = [(0.0, 1000, text) for text in "abcabcaaa"]
    assert of_one(same)[0] == list("abcabcaaa")
    assert of_one(same, Asked(tail=5))[0] == list("bcaaa")


def test_the_last_lines_cost_no_more_than_they_must() -> None:
    """Of 24,000 lines the last ten are one request; a limit is asked for that holds them and little more."""
    lines, aws = of_one(numbered(24_000), Asked(tail=10), page=10_000)
    assert lines == [str(n) for n in range(23_990, 24_000)]
    assert [call["limit"] for call in aws.sent("GetLogEvents")] == [11]


def test_more_last_lines_than_a_request_may_ask_for() -> None:
    """The limit of a request is 10,000 lines."""
    lines, aws = of_one(numbered(25_000), Asked(tail=12_000), page=10_000)
    assert lines == [str(n) for n in range(13_000, 25_000)]
    assert [call["limit"] for call in aws.sent("GetLogEvents")] == [10_000, 2001]


@pytest.mark.parametrize(("tail", "expected"), [(None, "5678"), (2, "78"), (100, "5678"), (0, "")])
def test_since(tail: int | None, expected: str) -> None:
    """That moment included, also among the last lines."""
    lines, aws = of_one(numbered(9), Asked(since=6000, tail=tail))
    assert "".join(lines) == expected
    assert all(call["startTime"] == 6000 for call in aws.sent("GetLogEvents"))


@given(
    st.lists(st.integers(0, 6), max_size=25).map(sorted),
    st.none() | st.integers(0, 30),
    st.integers(0, 7),
    st.integers(1, 5),
    st.sampled_from([0, 2, 3]),
)
def test_whatever_the_pages_are(times: list[int], tail: int | None, since: int, page: int, empty_each: int) -> None:
    """The lines asked for, each once, in order."""
    lines, _ = of_one(
        [(0.0, time, str(n)) for n, time in enumerate(times)],
        Asked(since=since, tail=tail),
        page=page,
        empty_each=empty_each,
    )
    expected = [str(n) for n, time in enumerate(times) if time >= since]
    assert lines == (expected if tail is None else expected[len(expected) - min(tail, len(expected)) :])


@given(st.lists(st.lists(st.integers(0, 20), max_size=12).map(sorted), min_size=1, max_size=4), st.integers(1, 4))
def test_the_lines_of_several_tasks_in_one_order(times: list[list[int]], page: int) -> None:
    """By their times; those of one task stay in theirs."""
    written = [[(0.0, at, f"{at:02} {task} {n}") for n, at in enumerate(some)] for task, some in enumerate(times)]
    lines, _, _ = shown(lambda aws: [aws.task(streamed=some) for some in written], page=page)
    assert [line[:2] for line in lines] == sorted(line[:2] for line in lines)
    for task, some in enumerate(written):
        assert [line for line in lines if line[3] == str(task)] == [text for _, _, text in some]


def test_a_task_that_writes_faster_than_it_is_read() -> None:
    """The end is the line that was the newest at the beginning; what came meanwhile may be there, too."""

    class Busy(Logs):
        def GetLogEvents(self, **asked: Any) -> dict[str, Any]:  # noqa: N802
            stream = self.streams[asked["logStreamName"]]
            stream += [(0.0, stream[-1][1] + 1, "new")] * 4
            return super().GetLogEvents(**asked)

    async def work(clock: SimulatedClock) -> list[str]:
        aws, lines = Busy(clock), []
        output = await output_of(
            make_run(aws, clock), aws.task(life=[(0.0, {"lastStatus": "RUNNING"})], streamed=numbered(9))
        )
        await show([output], Asked(), lambda _, events: lines.extend(event.message for event in events))
        return lines

    lines = simulate(work)
    assert lines[:9] == [str(n) for n in range(9)]
    assert len(lines) < 30


def test_a_task_without_a_stream() -> None:
    """No lines, and no error: the driver makes the stream with the first one."""
    lines, _, outputs = shown(lambda aws: [aws.task(streamed=None), aws.task(streamed=[])])
    assert lines == []
    assert [output.exists for output in outputs] == [False, True]


def test_an_error_of_the_reading_is_one_of_the_command() -> None:
    """Whoever may not read lines is told so."""

    def prepare(aws: Logs) -> list[str]:
        aws.answer_next("GetLogEvents", AccessDenied("no", kind=Kind.DENIED))
        return [aws.task()]

    with pytest.raises(AccessDenied):
        shown(prepare)


# --- where it lies -----------------------------------------------------------------------------------------------------


def remembered(arn: str, **changes: Any) -> Entry:
    """What the journal has of a run whose task is forgotten."""
    request = {"taskDefinition": "family:1", "overrides": {"containerOverrides": [{"name": "main"}]}}
    values: dict[str, Any] = {
        "number": 1, "run_id": "r", "attempt": 1, "place": Place("1", "eu-test-1", "default", ""), "caller": "", "token": "",
        "started_by": "", "plan": {}, "request": request, "digest": "", "whole": True, "profile": None,
        "created_at": EPOCH.timestamp() - 86_400, "sent_at": None, "tries": 0, "tasks": (f"default::{arn}",),
        "stop_reason": None, "refused": None, "outcome": None, "ended_at": None,
    }  # fmt: skip
    return Entry(**{**values, **changes})


def forgotten(streamed: Sequence[Line] = (), options: dict[str, str] | None = None) -> Callable[[Logs], list[str]]:
    def prepare(aws: Logs) -> list[str]:
        if options is not None:
            aws.logging = {"logDriver": "awslogs", "options": options}
        identifier = aws.task(streamed=streamed)
        aws.streams |= {"runtime-1": list(streamed), "prefix/worker/1": list(streamed)}
        aws.tasks.clear()
        return [identifier]

    return prepare


def test_what_aws_has_forgotten_the_journal_knows() -> None:
    """The definition and the container are in the request; AWS is asked once, and not waited for."""
    lines, aws, outputs = shown(forgotten(numbered(3)), entry=remembered("arn"), following=True)
    assert lines == ["0", "1", "2"]
    assert outputs[0].is_over
    assert aws.calls["DescribeTasks"] == 1
    assert aws.clock.now() == 0


def test_a_stream_without_a_prefix_is_named_after_the_container() -> None:
    """Its id is in the recorded outcome."""
    outcome = {"identifier": None, "containers": [{"name": "main", "runtime_id": "runtime-1"}]}
    prepare = forgotten(numbered(2), {"awslogs-group": "group"})
    assert shown(prepare, entry=remembered("arn", outcome=outcome))[0] == ["0", "1"]


def test_what_nobody_knows() -> None:
    """Neither AWS nor the journal: the error says where the output may still be."""
    with pytest.raises(InfrastructureNotFound, match=r"forgets a task .*look there for the stream that ends in /0"):
        shown(forgotten())


def test_a_task_that_was_only_just_started_is_waited_for() -> None:
    """AWS may not know it yet, though the journal does."""

    def prepare(aws: Logs) -> list[str]:
        aws.answer_next("DescribeTasks", {"tasks": []}, {"tasks": []})
        return [aws.task(streamed=numbered(1))]

    _, aws, outputs = shown(prepare, entry=remembered("arn", created_at=EPOCH.timestamp() - 1))
    assert 0 < aws.clock.now() < ATTACH_PATIENCE
    assert outputs[0].status == "STOPPED"


def test_a_definition_that_is_gone() -> None:
    """Then nobody knows where the output is."""

    def prepare(aws: Logs) -> list[str]:
        identifier = aws.task()
        aws.definitions.clear()
        return [identifier]

    with pytest.raises(TaskDefinitionNotFound):
        shown(prepare)


@pytest.mark.parametrize(
    ("logging", "told"),
    [
        (None, "'main' has no log driver. Run it with an execution role"),
        ({"logDriver": "awsfirelens"}, "'main' has the log driver 'awsfirelens'. Look"),
    ],
)
def test_output_that_is_not_in_cloudwatch(logging: dict[str, Any] | None, told: str) -> None:
    """It is said where it goes, or how to have it there."""

    def prepare(aws: Logs) -> list[str]:
        aws.logging = logging
        return [aws.task()]

    with pytest.raises(EcsBlockError, match=told):
        shown(prepare)


# --- what still comes --------------------------------------------------------------------------------------------------

LIVE: list[Line] = [
    *[(0.0, 1000 + n, str(n)) for n in range(6)],
    (3.0, 4000, "6"),
    (9.0, 10_000, "8"),
    (10.0, 9000, "7"),  # late, and in its place all the same
    (34.0, 33_000, "9"),  # after the stop
]


def live(aws: Logs) -> list[str]:
    return [aws.task(life=life_of(30.0), streamed=LIVE)]


@pytest.mark.parametrize("empty_each", [0, 2])
def test_following_shows_what_was_there_and_what_comes(empty_each: int) -> None:
    """Each line once, until the task has ended and its stream is drained."""
    lines, aws, _ = shown(live, following=True, empty_each=empty_each)
    assert lines == [str(n) for n in range(10)]
    assert aws.clock.now() > 36


@pytest.mark.parametrize(("tail", "first"), [(0, 6), (2, 4), (100, 0)])
def test_following_from_the_last_lines(tail: int, first: int) -> None:
    """None of the earlier ones is shown later."""
    lines, _, _ = shown(live, Asked(tail=tail), following=True)
    assert lines == [str(n) for n in range(first, 10)]


def test_following_from_a_moment_on() -> None:
    """None of the earlier ones is shown later."""
    assert shown(live, Asked(since=1004), following=True)[0] == [str(n) for n in range(4, 10)]


def test_a_line_of_the_same_millisecond_that_comes_later() -> None:
    """It is new, though the last one that was shown has its time and its text."""
    streamed = [*[(0.0, 1000, text) for text in "abcdeb"], (5.0, 1000, "b")]
    for asked in (ALL, Asked(tail=1)):
        lines, _, _ = shown(lambda aws: [aws.task(life=life_of(30.0), streamed=streamed)], asked, following=True)
        assert "".join(lines) == ("abcdebb" if asked.tail is None else "bb")


def test_following_a_task_that_has_no_stream_yet() -> None:
    """It is waited for."""

    def prepare(aws: Logs) -> list[str]:
        aws.answer_next("GetLogEvents", *[refused("ResourceNotFoundException", kind=Kind.NOT_FOUND)] * 3)
        return [aws.task(life=life_of(30.0), streamed=[(0.0, 1, "a"), (20.0, 2, "b")])]

    assert shown(prepare, following=True)[0] == ["a", "b"]


def test_following_several_tasks() -> None:
    """Until the last one has ended; one that ended long ago is not waited for."""
    lines, _, _ = shown(lambda aws: [*live(aws), *live(aws), aws.task(streamed=[(0.0, 1, "old")])], following=True)
    assert sorted(lines) == sorted([*[str(n) for n in range(10)] * 2, "old"])


def test_a_reader_that_goes_away_ends_the_following() -> None:
    """At the first line that cannot be written, not at the task's end; the task goes on."""
    lines: list[str] = []

    async def work(clock: SimulatedClock) -> float:
        aws = Logs(clock)
        run = make_run(aws, clock)
        run.stops_on_interrupt = False
        output = await output_of(run, live(aws)[0])

        def sink(output: Output, events: Sequence[LogEvent]) -> None:
            if len(lines) >= 7:
                raise BrokenPipeError
            lines.extend(event.message for event in events)

        await show([output], Asked(), sink)
        with pytest.raises(BrokenPipeError):
            await follow([output], sink)
        assert not aws.calls["StopTask"]
        return clock.now()

    assert simulate(work) < 20
    assert lines == [str(n) for n in range(7)]
