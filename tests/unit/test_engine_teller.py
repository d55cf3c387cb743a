"""Where a container's lines go, and as what."""

from __future__ import annotations

import io

import pytest
from scripted import FakeAws, SimulatedClock, life_of, make_run, simulate

from ecs_block.engine import run as engine
from ecs_block.engine.teller import write_lines
from ecs_block.events import LogLine
from ecs_block.plan.follow import LogEvent

HOSTILE = "\x1b]0;pwned\x07\x1b[2Jdone \x1b[32mok"
SAFE = "done \x1b[32mok\x1b[0m"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Barely:
    """As little of a stream as a caller may give."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Keep nothing back."""


@pytest.mark.parametrize(("output", "expected"), [(Terminal(), SAFE), (io.StringIO(), HOSTILE)])
def test_control_sequences_reach_files_but_no_terminal(output: io.StringIO, expected: str) -> None:
    """#46i: what the program gets to see of a line, as an event or in the result, is the line itself in both cases."""
    seen: list[object] = []

    async def work(clock: SimulatedClock) -> object:
        aws = FakeAws(clock)
        aws.lives.append(life_of(10.0, code=1))
        aws.log_events = [(3.0, 1000, HOSTILE)]
        run = make_run(aws, clock, seen, stream_output=True, execution_role_arn="arn:aws:iam::123456789012:role/r")
        run.teller._output = output
        return await engine.run(run)

    result = simulate(work)
    assert output.getvalue() == f"{expected}\n"
    assert [event.message for event in seen if isinstance(event, LogLine)] == [HOSTILE]
    assert result.log_tail == (HOSTILE,)


def test_an_output_that_is_no_more_than_writable() -> None:
    """It need not know whether it is a terminal."""
    output = Barely()
    write_lines(output, [LogEvent(0, HOSTILE)])  # type: ignore[arg-type]
    assert output.text == f"{HOSTILE}\n"


def test_times() -> None:
    """UTC, to the millisecond, after the prefix that names the task."""
    output = io.StringIO()
    lines = [LogEvent(1_763_735_696_007, "a"), LogEvent(1_763_735_697_000, "b")]
    write_lines(output, lines, prefix="[abc123] ", stamped=True)
    assert output.getvalue() == "[abc123] 2025-11-21T14:34:56.007Z a\n[abc123] 2025-11-21T14:34:57.000Z b\n"
