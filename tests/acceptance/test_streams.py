"""Pipes that close early, and readers that rest."""

from __future__ import annotations

import os
from typing import Any

from ecs_block.local import LocalCloud


def test_head(on_aws: Any, role: str) -> None:
    """`| head` ends quietly: the run goes on to its end, and the exit code stays the container's."""
    script = (
        f"$ecs_block run -q --execution-role {role} -- sh -c 'seq 20000; exit 6' | head -1; exit ${{PIPESTATUS[0]}}"
    )
    done = on_aws.shell(script)
    assert (done.returncode, done.stdout) == (6, "1\n")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "failed with exit code 6" in done.stderr


def test_everything_into_head(on_aws: Any, role: str) -> None:
    """When both streams lead into a pipe that closes, nobody hears of it, and the exit code is the container's."""
    script = f"$ecs_block run --execution-role {role} -- sh -c 'seq 20000; exit 6' 2>&1 | true; exit ${{PIPESTATUS[0]}}"
    done = on_aws.shell(script)
    assert (done.returncode, done.stdout, done.stderr) == (6, "", "")


def test_closed_streams(on_aws: Any, role: str) -> None:
    """Streams that were closed before the start are no trouble."""
    done = on_aws.shell(f"$ecs_block run --execution-role {role} -- sh -c 'echo out; exit 6' >&- 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (6, "", "")
    assert on_aws.shell("$ecs_block preview -- true >&-").returncode == 0


def test_reader_that_rests(on_aws: Any, role: str, cloud: LocalCloud, eventually: Any) -> None:
    """A reader that rests (`| less`) does not hold up the run: its time limit still counts. All lines come in the end."""
    script = "seq 60000; sleep 60"
    started = on_aws.start("run", "--timeout", "2s", "--execution-role", role, "--", "sh", "-c", script)
    eventually(lambda: any("60000" in str(task) for task in cloud.tasks))
    task = next(task for task in cloud.tasks if "60000" in str(task))
    eventually(lambda: next(t for t in cloud.tasks if t["taskArn"] == task["taskArn"])["lastStatus"] == "STOPPED", 20)
    assert started.process.poll() is None
    done = started.end()
    assert done.returncode == 124
    assert done.stdout == "".join(f"{number}\n" for number in range(1, 60001))


def test_pipe_that_does_not_block(on_aws: Any, role: str) -> None:
    """A pipe that another process has made non-blocking loses no line."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    started = on_aws.start("run", "--execution-role", role, "--", "seq", "60000", stdout=theirs)
    os.close(theirs)
    with open(ours) as pipe:
        assert pipe.read() == "".join(f"{number}\n" for number in range(1, 60001))
    assert started.end().returncode == 0
