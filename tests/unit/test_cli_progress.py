"""What the command line says of a run and paints of its progress, without a process and without a clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_block import ECSTaskResult, events
from ecs_block.cli import exits
from ecs_block.cli.console import Console
from ecs_block.cli.live import Line, Region
from ecs_block.cli.paint import Painter
from ecs_block.cli.progress import OneTask
from ecs_block.cli.progress_many import ManyTasks
from ecs_block.cli.terminal import Terminal, terminal_of
from ecs_block.cli.words import brief_of, clock, failure_of, name_of, success_of, to_get_at, took, verdict_of

TASK = "c::arn:aws:ecs:us-east-1:1:task/c/" + "a" * 32
OTHER = TASK[:-32] + "b" * 32
DEFINITION = "arn:aws:ecs:us-east-1:1:task-definition/nightly:3"
START = datetime(2026, 11, 20, 3, tzinfo=UTC)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


# --- words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "running", "over"),
    [(0.04, "0 s", "0.0 s"), (9.94, "9 s", "9.9 s"), (9.96, "9 s", "10 s"), (59.6, "59 s", "1:00"), (65, "1:05", "1:05"),
     (3725, "1:02:05", "1:02:05"), (-3, "0 s", "0.0 s")],
)  # fmt: skip
def test_times(seconds: float, running: str, over: str) -> None:
    """A time that runs has whole seconds; one that is over is rounded, and exact where it is short."""
    assert (clock(seconds), took(seconds)) == (running, over)


def result(outcome: str, code: int = -1, seconds: float | None = 42, **more: object) -> ECSTaskResult:
    times = {} if seconds is None else {"started_at": START, "execution_stopped_at": START + timedelta(seconds=seconds)}
    return ECSTaskResult(identifier=TASK, outcome=outcome, status_code=code, **times, **more)  # type: ignore[arg-type]


def test_outcomes() -> None:
    """An outcome is one line: the code, the time, the reason where it says more than the code, the advice."""
    assert success_of(result("succeeded", 0)) == "succeeded in 42 s (exit code 0)"
    assert verdict_of(result("failed", 7, reason="Essential container in task exited.")) == (
        "failed",
        "with exit code 7 after 42 s",
    )
    killed = verdict_of(result("failed", 137, reason="OutOfMemoryError.", advice="Raise the memory."))
    assert killed == ("failed", "with exit code 137 after 42 s. OutOfMemoryError. Raise the memory.")
    unstarted = ECSTaskResult(outcome="start_failed", reason="No capacity.")
    assert brief_of(unstarted) == "not started: No capacity."
    both = result("failed", 7).model_copy(update={"tasks": (result("failed", 7), result("succeeded", 0))})
    assert failure_of(both).startswith("1 of 2 tasks did not succeed. Task ")
    assert verdict_of(both).more == "1 of 2 tasks did not succeed, the worst with exit code 7 after 42 s"
    fine = result("succeeded", 0).model_copy(update={"tasks": (result("succeeded", 0, 1), result("succeeded", 0, 3))})
    assert success_of(fine) == "2 tasks succeeded in 3.0 s"


def test_recommended_commands() -> None:
    """The commands for what goes on are complete: with a run id the journal knows the rest, without one options are needed."""
    name = name_of("a run", TASK, {"profile": "p"})
    assert name is not None
    assert [hint.command for hint in to_get_at(name, has_lines=True)] == [
        "ecs-block logs -f 'a run'", "ecs-block wait 'a run'", "ecs-block stop 'a run'",
    ]  # fmt: skip
    alone = name_of(None, "arn:x", {"profile": "my own", "endpoint_url": None})
    assert alone is not None
    assert alone.command("stop") == "ecs-block stop arn:x --profile 'my own'"
    assert name_of(None, None, {}) is None


# --- the terminal ------------------------------------------------------------------------------------------------------


class File:
    def __init__(self, terminal: bool) -> None:
        self.isatty = lambda: terminal


@pytest.mark.parametrize(
    ("terminal", "environment", "expected"),
    [
        (True, {"TERM": "xterm"}, Terminal(True, True, True)),
        (True, {"NO_COLOR": "1"}, Terminal(True, False, True)),
        (True, {"TERM": "dumb", "FORCE_COLOR": "1"}, Terminal(True, False, False)),
        (False, {}, Terminal(False, False, False)),
        (False, {"FORCE_COLOR": "1"}, Terminal(False, True, False)),
        (False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, Terminal(False, False, False)),
        (False, {"FORCE_COLOR": "", "NO_COLOR": ""}, Terminal(False, False, False)),
    ],
)
def test_what_a_terminal_takes(terminal: bool, environment: dict[str, str], expected: Terminal) -> None:
    """NO_COLOR takes colours, FORCE_COLOR gives them, TERM=dumb takes both and the live region; NO_COLOR wins."""
    assert terminal_of(File(terminal), environment) == expected  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(5, 60), st.text("xyz", max_size=150)), max_size=25))
def test_region_leaves_nothing_behind(writes: list[tuple[int, int, str]]) -> None:
    """However many lines the region has and however wide it is cut, what is written above it stays, and nothing else."""
    shown: list[int] = [1, 5]
    screen = pyte.HistoryScreen(60, 12, history=1000)
    screen.set_mode(pyte.modes.LNM)
    stream = pyte.Stream(screen)

    def lines(width: int) -> Sequence[Line]:
        count, cells = shown[0], min(shown[1], width)
        return [Line("#" * cells, cells)] * count

    region = Region(lines, lambda: (60, 12))
    for count, cells, text in writes:
        shown[:] = [count, cells]
        stream.feed(region.taken_back() + f"{text}.\n" + region.painted())
        stream.feed(region.painted())
    stream.feed(region.taken_back())
    past = ["".join(line[column].data for column in range(60)) for line in screen.history.top]
    everything = "".join(line.rstrip() for line in (*past, *screen.display))
    assert everything == "".join(f"{text}." for _, _, text in writes)


def test_region_on_a_terminal_made_narrower() -> None:
    """A terminal that was made narrower has wrapped the lines; all of their rows are taken back."""
    size = [80, 24]
    region = Region(lambda width: [Line("x" * 70, 70), Line("y", 1)], lambda: (size[0], size[1]))
    region.painted()
    size[0] = 30
    assert region.taken_back() == "\r\x1b[3A\x1b[J"


# --- one run -----------------------------------------------------------------------------------------------------------


def moving(progress: OneTask | ManyTasks, width: int = 79) -> str:
    (line,) = progress.lines(width)
    assert line.cells <= width
    return line.text[2:] if isinstance(progress, OneTask) else line.text


def test_states_of_a_task() -> None:
    """The line that moves tells the states with their times; a step stays once the task runs."""
    now = Clock()
    progress = OneTask(Painter(coloured=False), "nightly", now)
    assert moving(progress) == "preparing   0 s"
    (step,) = progress.event(events.DefinitionReady(DEFINITION, registered=False))
    assert (step.label, step.text) == ("definition", "nightly:3 reused")
    steps = progress.event(events.TaskLaunched(TASK, DEFINITION))
    assert [(step.label, step.text) for step in steps] == [("task", "a" * 32), ("run id", "nightly")]
    assert progress.event(events.StatusChanged(TASK, "PROVISIONING")) == []
    now.now += 12
    progress.event(events.StatusChanged(TASK, "PENDING", "PROVISIONING"))
    now.now += 3
    assert moving(progress) == "starting    PROVISIONING 12 s → PENDING 3 s"
    assert moving(progress, 30) == "starting    PROVISIONING 12…"
    (step,) = progress.event(events.StatusChanged(TASK, "RUNNING", "PENDING"))
    assert (step.label, step.text) == ("started", "after 15 s: PROVISIONING 12 s, PENDING 3 s")
    now.now += 65
    assert moving(progress) == "running     1:05"
    progress.stopping()
    now.now += 2
    assert moving(progress) == "stopping    2 s"


def test_task_taken_up() -> None:
    """Of a task that was not seen to start, only what is seen is told."""
    now = Clock()
    progress = OneTask(Painter(coloured=False), "nightly", now)
    progress.event(events.TaskLaunched(TASK, DEFINITION, taken_up=True))
    assert progress.event(events.StatusChanged(TASK, "RUNNING")) == []
    now.now += 5
    assert moving(progress) == "running     watched for 5 s"


def test_several_tasks_of_one_run() -> None:
    """Several tasks of one request are counted by their states."""
    progress = OneTask(Painter(coloured=False), None, Clock())
    for identifier in (TASK, OTHER):
        progress.event(events.TaskLaunched(identifier, DEFINITION))
    progress.event(events.StatusChanged(TASK, "RUNNING"))
    assert moving(progress) == "2 tasks     0 s  1 RUNNING, 1 PROVISIONING"


def test_delayed_launch_cannot_steer_the_terminal() -> None:
    """AWS's reason for a delay is shown, without control sequences, and cut."""
    progress = OneTask(Painter(coloured=False), None, Clock())
    progress.event(events.LaunchDelayed("RESOURCE:CPU\x1b[2J", 4))
    assert moving(progress) == "waiting     0 s  no task yet: RESOURCE:CPU; asking again in 4 s"
    assert len(moving(progress, 25)) == 23


# --- many --------------------------------------------------------------------------------------------------------------


def test_counts_of_many() -> None:
    """A bar, how many have ended, failed, run and wait, how quickly they end, and how long it will take."""
    now = Clock()
    progress = ManyTasks(Painter(coloured=False), 4, now)
    assert moving(progress).endswith("0/4  4 waiting  0 s")
    progress.event(events.TaskLaunched(TASK, DEFINITION))
    progress.event(events.TaskLaunched(OTHER, DEFINITION))
    now.now += 4
    (step,) = progress.ended(0, result("failed", 2))
    assert (step.tone, step.label, step.text) == ("failure", "[0]", "failed with exit code 2 after 42 s")
    assert moving(progress).endswith("1/4  1 failed  1 running  2 waiting  15.0/min  eta 12 s")
    assert moving(progress).startswith("━")
    assert moving(progress, 30) == "1/4  1 failed  1 running  2 w…"


def test_one_definition_for_many_is_told_once() -> None:
    """The definition that all tasks share is told once."""
    progress = ManyTasks(Painter(coloured=False), 2, Clock())
    told = [progress.event(events.DefinitionReady(DEFINITION, registered=number == 0)) for number in range(2)]
    assert [len(steps) for steps in told] == [1, 0]


# --- Ctrl-C ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        (None, "Interrupted by Ctrl-C. The task goes on."),
        (result("stopped", 143), "Interrupted by Ctrl-C. The task was stopped."),
        (result("succeeded", 0), "Interrupted by Ctrl-C. The task had ended before."),
    ],
)
def test_what_became_of_the_task(capfd: pytest.CaptureFixture[str], ended: ECSTaskResult | None, told: str) -> None:
    """After Ctrl-C: also where it came while a reader that rests held up the last lines of a task that had ended."""
    console = Console()
    console.notice(events.TaskLaunched(TASK, DEFINITION))
    if ended is not None:
        console.notice(events.TaskEnded(TASK, ended))
    assert console.fail(exits.Interrupted(exits.INTERRUPTED)) == 130
    console.close()
    assert told in capfd.readouterr().err
