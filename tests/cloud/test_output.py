"""The output of real processes, through a log service that delivers late, in small pages and out of order."""

from __future__ import annotations

import io
import random
import sys
import threading

import pytest

from ecs_block import ECSTask, TaskFailed
from ecs_block.engine import stream
from ecs_block.local import LocalCloud

ROLE = "arn:aws:iam::123456789012:role/execution"


@pytest.fixture
def quick_drain(monkeypatch):
    """Wait two seconds for late lines instead of six; the clouds here are never later than that."""
    monkeypatch.setattr(stream, "QUIET", 2.0)


def output_of(cloud, script, **fields):
    """Run a Python script as a task; gives its lines as shown, and the result."""
    output = io.StringIO()
    task = ECSTask(
        command=[sys.executable, "-c", script],
        aws_credentials=cloud.credentials,
        stream_output=True,
        execution_role_arn=ROLE,
        task_watch_poll_interval=0.5,
        **fields,
    )
    return output, task.run(output=output)


def test_a_burst_of_24000_lines_is_shown_whole():
    """Many lines in one millisecond, all of them once and in their order."""
    with LocalCloud() as cloud:
        output, result = output_of(cloud, "for n in range(24000): print('line', n)")
    assert output.getvalue().splitlines() == [f"line {n}" for n in range(24000)]
    assert result.log_complete == "yes"


def test_late_and_out_of_order_lines_are_shown_whole(quick_drain):
    """Each line can be read up to 1.5 s late, some after the task has stopped; pages are small, and some are empty."""

    def delay(event):  # one for a millisecond: within it, CloudWatch's own order is that of arrival
        return random.Random(event["timestamp"]).choice([0.0, 0.0, 0.2, 0.7, 1.5])

    with LocalCloud(log_delay=delay, log_page_events=100, log_empty_pages=3) as cloud:
        script = "import time\nfor n in range(600):\n    print('line', n, flush=True); time.sleep(0.002)"
        output, result = output_of(cloud, script)
    assert output.getvalue().splitlines() == [f"line {n}" for n in range(600)]
    assert result.log_complete == "yes"


def test_identical_lines_are_lines_of_their_own():
    """A thousand times the same."""
    with LocalCloud() as cloud:
        output, _ = output_of(cloud, "print('same\\n' * 1000)")
    assert output.getvalue() == "same\n" * 1000


def test_stdout_and_stderr_come_together_and_text_of_any_script_survives():
    """As the awslogs driver takes them."""
    with LocalCloud() as cloud:
        output, _ = output_of(cloud, "import sys; print('日本', flush=True); print('é', file=sys.stderr)")
    assert output.getvalue() == "日本\né\n"


def test_the_last_lines_are_in_the_error(quick_drain):
    """raise_for_status says them."""
    with LocalCloud() as cloud:
        _, result = output_of(cloud, "print('before'); raise SystemExit('it broke')")
    with pytest.raises(TaskFailed, match="it broke"):
        result.raise_for_status()


def test_several_tasks_are_told_apart_in_the_output():
    """`count` 2: each line bears the end of its task's id."""
    with LocalCloud() as cloud:
        output, result = output_of(cloud, "print('hello')", task_run_request={"count": 2})
    ends = {item.identifier[-6:] for item in result.tasks}
    assert set(output.getvalue().splitlines()) == {f"[{end}] hello" for end in ends}


def test_a_log_group_that_may_not_be_made_fails_the_start():
    """In AWS's words, with advice."""
    from ecs_block import TaskStartFailed

    with LocalCloud() as cloud, pytest.raises(TaskStartFailed, match="log group does not exist") as caught:
        output_of(cloud, "print()", cloudwatch_logs_options={"awslogs-create-group": "false"})
    assert "create the log group" in caught.value.advice


def test_logs_of_another_region_are_read_there():
    """`awslogs-region` may be another one than the task's."""
    with LocalCloud() as cloud:
        output, _ = output_of(cloud, "print('far')", cloudwatch_logs_options={"awslogs-region": "eu-west-3"})
    assert output.getvalue() == "far\n"


def test_attach_shows_what_a_task_writes_from_then_on_and_what_it_has_written(tmp_path):
    """A task that runs already, and one that has stopped: every line, and not only at the end."""
    seen = threading.Event()

    class Watching(io.StringIO):
        def write(self, text):
            if "early" in text:
                seen.set()
            return super().write(text)

    script = f"echo early; while [ ! -e {tmp_path}/go ]; do sleep 0.1; done; echo late"
    with LocalCloud() as cloud:
        task = ECSTask(
            command=["sh", "-c", script], execution_role_arn=ROLE, stream_output=True, task_watch_poll_interval=0.2,
            aws_credentials=cloud.credentials,
        )  # fmt: skip
        identifier = task.start()
        output, again = Watching(), io.StringIO()
        waiting = threading.Thread(target=lambda: task.attach(identifier, output=output))
        waiting.start()
        in_time = seen.wait(30)
        (tmp_path / "go").touch()
        waiting.join(30)
        result = task.attach(identifier, output=again)
    assert in_time
    assert result.log_complete == "yes"
    assert output.getvalue().splitlines() == again.getvalue().splitlines() == ["early", "late"]
