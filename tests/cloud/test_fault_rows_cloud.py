"""Rows of FAULTS.md that no other test holds, with real processes. docs/faults.md names the tests of all rows."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ecs_block import AwsError, ECSTask
from ecs_block.local import LocalCloud

ROLE = "arn:aws:iam::123456789012:role/execution"


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud(state_seconds=0.01) as cloud:
        yield cloud


def task_of(cloud: LocalCloud, *command: str, **fields: Any) -> ECSTask:
    return ECSTask(command=list(command), aws_credentials=cloud.credentials, task_watch_poll_interval=0.2, **fields)


def test_a_cluster_without_fargate_spot(cloud: LocalCloud) -> None:
    """#28: told in AWS's words at once, with the way to attach it; nothing is started."""
    cloud.client("ecs").create_cluster(clusterName="bare")
    before = len(cloud.tasks)
    with pytest.raises(AwsError, match="not associated with the cluster") as caught:
        task_of(cloud, "true", cluster="bare", launch_type="FARGATE_SPOT").run()
    assert "put-cluster-capacity-providers" in str(caught.value)
    assert len(cloud.tasks) == before


class Interrupting:
    """Interrupts the first task that runs."""

    def __init__(self, cloud: LocalCloud, kind: str) -> None:
        self._cloud, self._kind = cloud, kind
        self._done = False

    def __call__(self, event: Any) -> None:
        if getattr(event, "status", "") == "RUNNING" and not self._done:
            self._done = True
            self._cloud.interrupt(event.identifier.split("::")[1], self._kind)


@pytest.mark.parametrize("kind", ["spot", "host", "retirement"])
def test_what_aws_takes_away_is_no_failure_of_the_program(cloud: LocalCloud, kind: str) -> None:
    """#43, #44: Spot, a lost host and a retirement are told as interruptions, with AWS's reason."""
    result = task_of(cloud, "sleep", "30", launch_type="EC2").run(on_event=Interrupting(cloud, kind))
    assert result.outcome == "interrupted"
    assert result.reason
    assert not result


@pytest.mark.parametrize("kind", ["host", "retirement"])
def test_a_lost_host_is_run_again(cloud: LocalCloud, kind: str) -> None:
    """#44: if the block says so, as a new attempt that knows that it is one."""
    program = 'test "$ECS_BLOCK_ATTEMPT" = 2 || sleep 30'
    task = task_of(cloud, "sh", "-c", program, launch_type="EC2", retries_on_interruption=1)
    result = task.run(on_event=Interrupting(cloud, kind))
    assert (result.outcome, result.attempt) == ("succeeded", 2)


WRITTEN = {
    "colours and cursor": b"\x1b[31mred\x1b[0m \x1b[2J\x1b]0;title\x07 end",
    "a progress bar": b"10%\r20%\r30%",
    "another script": "日本語 é 🐟".encode(),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_a_program_writes_is_handed_on_as_it_is(cloud: LocalCloud, name: str) -> None:
    """#46i: control sequences and all, where the output goes to a file."""
    program = f"import sys; sys.stdout.buffer.write({WRITTEN[name]!r} + b'\\n')"
    output = io.StringIO()
    task = task_of(cloud, sys.executable, "-c", program, launch_type="EC2", stream_output=True, execution_role_arn=ROLE)
    assert task.run(output=output)
    assert output.getvalue() == WRITTEN[name].decode() + "\n"


def test_bytes_that_are_no_text_and_lines_of_a_megabyte(cloud: LocalCloud) -> None:
    """#46i: what is no UTF-8 is replaced, as CloudWatch does; of a long line nothing is missing, in several pieces."""
    program = "import sys; sys.stdout.buffer.write(b'a\\xff\\xfeb\\n' + b'x' * 1_000_000 + b'\\n')"
    output = io.StringIO()
    task = task_of(cloud, sys.executable, "-c", program, launch_type="EC2", stream_output=True, execution_role_arn=ROLE)
    result = task.run(output=output)
    first, *rest = output.getvalue().splitlines()
    assert first.startswith("a")
    assert first.endswith("b")
    assert "".join(rest) == "x" * 1_000_000
    assert result.log_complete == "yes"
