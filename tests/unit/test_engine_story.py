from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from story import (
    Detach,
    Die,
    Fault,
    Interrupt,
    Job,
    Life,
    Moment,
    Reclaim,
    SetClock,
    Sleep,
    Start,
    Stop,
    StopByHand,
    Story,
    Touch,
    play,
)

from ecs_block.plan.verdict import Verdict

CLOSE = [0.0, 0.07, 0.12, 0.3, 0.7, 1.0, 2.0, 3.0, 5.0, 8.0]
WIDE = [*CLOSE[::2], 15.0, 40.0, 70.0, 200.0, 600.0, 1200.0, 3000.0, 3290.0, 3310.0, 3500.0, 3650.0, 7300.0]
LIVES = st.builds(
    Life,
    st.sampled_from([0.0, 1.0, 5.0, 20.0, 70.0, 240.0, 900.0, 4000.0]),
    st.sampled_from(["0", "0", "0", "1", "137", "none", "spot", "spot", "unstarted"]),
    st.sampled_from([2.0, 2.0, 0.2, 45.0, 400.0]),
)
JOBS = st.builds(
    Job,
    st.lists(LIVES, min_size=1, max_size=4).map(tuple),
    count=st.sampled_from([1, 1, 1, 2]),
    retries=st.integers(0, 2),
    spot=st.booleans(),
    streams=st.sampled_from([False, False, True]),
    stops=st.sampled_from([True, True, True, False]),
    start_timeout=st.sampled_from([900, 900, 60, 3600]),
    run_timeout=st.sampled_from([None, None, None, 30, 600]),
    poll=st.sampled_from([5.0, 30.0]),
    grace=st.sampled_from([2.0, 2.0, 30.0, 400.0]),
    traps=st.booleans(),
    open=st.booleans(),
).map(
    lambda job: (
        job
        if not job.streams
        else replace(
            job,
            lives=tuple(
                replace(life, seconds=min(life.seconds, 240.0), start=min(life.start, 45.0)) for life in job.lives
            ),
        )
    )
)
DOOMS = (
    st.none()
    | st.builds(Touch, st.integers(1, 20), st.booleans())
    | st.builds(
        Moment, st.sampled_from(["intended", "sending", "answered", "launched", "ended"]), st.sampled_from([1, 1, 2, 3])
    )
)
WHICH = st.integers(0, 2)
SECONDS = st.sampled_from([0.3, 1.0, 4.0, 12.0, 40.0, 100.0, 400.0, 1000.0, 2500.0])
FAULTS = st.one_of(
    st.builds(
        Fault,
        st.sampled_from(["lost", "answer lost", "late", "throttled", "broken", "broken after", "denied", "expired"]),
        SECONDS,
        st.sampled_from(["all", "all", "launch", "launch", "read", "stop", "definition", "logs"]),
    ),
    st.builds(Fault, st.sampled_from(["full", "half", "liar", "impossible"]), SECONDS, st.just("launch")),
    st.builds(Fault, st.sampled_from(["old", "missing"]), SECONDS, st.just("read")),
    st.builds(Fault, st.just("full disk"), SECONDS),
)
STEPS = st.one_of(
    st.builds(Start, WHICH, st.sampled_from(["run", "run", "run", "start", "resume"]), DOOMS, st.booleans()),
    st.builds(Start, WHICH, st.sampled_from(["run", "run", "run", "start", "resume"]), DOOMS, st.booleans()),
    st.builds(Interrupt, WHICH),
    st.builds(Interrupt, WHICH),
    st.builds(Detach, WHICH),
    st.builds(Die, WHICH),
    st.builds(Stop, WHICH),
    st.builds(StopByHand, WHICH),
    st.builds(Reclaim, WHICH),
    st.builds(SetClock, st.sampled_from([-240.0, 240.0, 3400.0, 9000.0])),
    st.builds(Sleep, st.sampled_from([20.0, 600.0, 3500.0, 9000.0])),
    FAULTS,
    FAULTS,
    FAULTS,
)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    jobs = tuple(draw(st.lists(JOBS, min_size=1, max_size=2)))
    lag = draw(st.sampled_from([0.0, 0.0, 2.0, 5.0]))
    before = draw(st.lists(st.tuples(st.just(0.0), FAULTS), max_size=2))
    first = draw(st.builds(Start, st.just(0), st.sampled_from(["run", "run", "run", "start"]), DOOMS))
    gaps = draw(st.sampled_from([CLOSE, WIDE]))
    steps = draw(st.lists(st.tuples(st.sampled_from(gaps), STEPS), max_size=10))
    return Story((*before, (0.0, first), *steps), jobs, lag, draw(st.integers(0, 3)))


@given(stories())
def test_stories(story: Story) -> None:
    world = play(story)
    assert not world.rules.breaches, "\n".join(world.told)


# A launch whose answer was lost with its process; then another process takes it up, and a stop is asked for.
CUT_OFF = (0.0, Start(doom=Moment("answered")))


@pytest.mark.parametrize("opened", [True, False], ids=["whole request", "with secrets"])
@pytest.mark.parametrize("lag", [0.0, 5.0])
@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(((1.0, Stop()), (0.1, Start())), id="before it is taken up"),
        pytest.param(((1.0, Start()), (0.0, Stop())), id="while it is taken up"),
        pytest.param(((1.0, Start(verb="resume")), (0.0, Stop())), id="while it is resumed"),
    ],
)
def test_a_stop_of_a_launch_that_was_cut_off(steps: Any, lag: float, opened: bool) -> None:
    """The task that was started is found and stopped, though it cannot be listed for some seconds."""
    world = play(Story((CUT_OFF, *steps), (Job((Life(seconds=900.0),), open=opened),), lag))
    assert not world.rules.breaches, "\n".join(world.told)
    assert ends(world) == ["UserInitiated"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("lag", [0.0, 5.0])
@pytest.mark.parametrize("step", [Stop(), Interrupt()], ids=["by another process", "by Ctrl-C"])
@pytest.mark.parametrize("after", [0.38, 0.42, 0.5], ids=["sending", "started", "answered"])
def test_a_stop_during_a_launch(after: float, step: Any, lag: float, backend: str) -> None:
    """The task is stopped, though it cannot be found for some seconds."""
    world = play(Story(((0.0, Start()), (after, step)), (Job((Life(seconds=900.0),)),), lag), backend)
    assert not world.rules.breaches, "\n".join(world.told)
    assert ends(world) == ["UserInitiated"]


@pytest.mark.parametrize("kind", ["lost", "answer lost", "late", "throttled", "broken", "broken after"])
def test_a_stop_while_a_launch_is_to_be_sent_again(kind: str, backend: str) -> None:
    """Nothing is sent any more, so at most the task of the first sending is there, and it is stopped."""
    steps = ((0.0, Start()), (0.0, Fault(kind, 1.0, "launch")), (0.7, Stop()))
    world = play(Story(steps, (Job((Life(seconds=900.0),)),)), backend)
    assert not world.rules.breaches, "\n".join(world.told)
    assert ends(world) in ([], ["UserInitiated"])


def ends(world: Any) -> list[str]:
    """How each task has ended."""
    return [task["life"][-1][1]["stopCode"] for task in world.cloud.tasks.values()]


# --- the rules notice what is broken -----------------------------------------------------------------------------------

LONG = (Job((Life(seconds=900.0),), open=True),)


def _a_new_token(base: str, used: int) -> str:
    return uuid.uuid4().hex


async def _never(*args: Any) -> bool:
    return False


def _always_succeeded(*args: Any, **named: Any) -> Verdict:
    return Verdict("succeeded", 0, "")


@pytest.mark.parametrize(
    ("broken", "story"),
    [
        pytest.param(
            {"once_only.identity": lambda run_id, attempt, cluster: (uuid.uuid4().hex, run_id)},
            Story(((0.0, Start(doom=Moment("answered"))), (5.0, Start())), LONG),
            id="another token after a crash",
        ),
        pytest.param(
            {"launch.token_of": _a_new_token},
            Story(((0.0, Start(doom=Moment("answered"))), (5.0, Start())), LONG),
            id="another token for the same try",
        ),
        pytest.param(
            {"once_only.TOKEN_LIFE": 1e9, "launch.TOKEN_LIFE": 1e9},
            Story(((0.0, Start(doom=Moment("answered"))), (3 * 3600.0, Start())), (Job((Life(seconds=60.0),), open=True),)),
            id="an old token is trusted",
        ),
        pytest.param(
            {"record.Record.is_to_stop": _never, "journal._STOPPED_BEFORE": "SELECT ?"},
            Story(((0.0, Start()), (30.0, Reclaim()), (1.0, Stop())), (Job((Life(900.0),), retries=1, grace=30.0),)),
            id="a stop is forgotten",
        ),
        pytest.param(
            {"outcome.judge": _always_succeeded},
            Story(((0.0, Start()),), (Job((Life(end="1"),)),)),
            id="every end is a success",
        ),
    ],
)  # fmt: skip
def test_a_broken_engine_breaks_a_rule(monkeypatch: pytest.MonkeyPatch, broken: dict[str, Any], story: Story) -> None:
    """Each of these mistakes is noticed, and the same story keeps all rules without it."""
    assert not play(story).rules.breaches
    for name, instead in broken.items():
        monkeypatch.setattr(f"ecs_block.engine.{name}", instead)
    assert play(story).rules.breaches
