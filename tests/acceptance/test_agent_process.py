"""An agent as a process: how it ends, what it says of its health, what it takes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents import Queues, jobs_cloud, lines_of, start_agent

from conftest import Command
from ecs_block.engine.journal import Journal
from ecs_block.local import LocalCloud

__all__ = ["jobs_cloud"]  # a fixture

MANY = int(os.environ.get("ECS_BLOCK_JOBS", "60"))  # ECS_BLOCK_JOBS=1000 is the long form, at most 200 at once
AT_ONCE = max(MANY // 5, 20)
MOST_MEMORY = 150_000_000  # bytes

Eventually = Callable[..., Any]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def asked(port: int, path: str = "/api/health") -> tuple[int, Any]:
    """Ask the agent; 0 while it does not listen."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
    except OSError:
        return 0, None


def alive(cloud: LocalCloud) -> int:
    return sum(task["lastStatus"] != "STOPPED" for task in cloud.tasks)


def outcomes_in(tmp_path: Path) -> list[str]:
    """The outcomes that the agents of a test have recorded."""
    entries = Journal(tmp_path / "home" / "journal.sqlite3").latest(10_000)
    return [entry.outcome["outcome"] for entry in entries if entry.outcome]


def test_sigterm_loses_no_job(
    ecs_block: Command, jobs_cloud: LocalCloud, eventually: Eventually, tmp_path: Path
) -> None:
    """#54: it ends within 30 s with 0, running tasks go on, the next agent takes them up and runs the rest: one task each."""
    queues = Queues(jobs_cloud)
    queues.queue.submit_all([{"id": f"j{index}", "command": ["sleep", "4"]} for index in range(12)])
    first = start_agent(ecs_block, jobs_cloud, queues.url, "--limit", "8")
    eventually(lambda: len(jobs_cloud.tasks) == 8, 30)
    began = time.monotonic()
    first.signal(signal.SIGTERM)
    done = first.end()
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 30
    assert alive(jobs_cloud) > 0
    assert jobs_cloud.calls["ecs:StopTask"] == 0
    second = start_agent(ecs_block, jobs_cloud, queues.url)
    eventually(lambda: len(outcomes_in(tmp_path)) == 12, 40)
    eventually(lambda: queues.left == 0, 20)
    second.process.kill()
    done = second.end()
    assert any("taken up" in line["message"] for line in lines_of(done.stderr))
    assert outcomes_in(tmp_path) == ["succeeded"] * 12
    assert len(jobs_cloud.tasks) == 12


# A handler of the log that must not be entered twice, as a buffered stream must not; and a signal while it writes.
WHILE_WRITING = """
import logging, os, signal, sys, threading, time
from ecs_block import ECSTask
from ecs_block.agent import Agent

class Handler(logging.Handler):
    inside = False
    def emit(self, record):
        assert not self.inside, "reentrant call"
        self.inside = True
        if "is launched" in record.getMessage():
            os.kill(os.getpid(), signal.SIGTERM)
        print(record.getMessage(), flush=True)
        self.inside = False

logging.getLogger("ecs_block.agent").setLevel("INFO")
logging.getLogger("ecs_block.agent").addHandler(Handler())
Agent(sys.argv[1], block=ECSTask(cpu=256, memory=512), limit=1).start()
time.sleep(0.2)
print(sum(isinstance(thread, threading.Timer) for thread in threading.enumerate()), "timers")
"""


def test_a_signal_that_comes_while_a_line_is_written(ecs_block: Command, jobs_cloud: LocalCloud) -> None:
    """#54: the handler of the signal writes nothing itself, so the agent ends as at any other time; and its program goes on."""
    queues = Queues(jobs_cloud)
    queues.queue.submit({"id": "a", "command": ["sleep", "60"]})
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", WHILE_WRITING, queues.url],
        env=ecs_block.variables | jobs_cloud.environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "has ended" in done.stdout
    assert "0 timers" in done.stdout
    assert "reentrant" not in done.stderr
    assert time.monotonic() - began < 20


def test_a_second_signal_ends_it_at_once(ecs_block: Command, jobs_cloud: LocalCloud, eventually: Eventually) -> None:
    """An idle agent waits for its last poll, unless it is told again."""
    queues = Queues(jobs_cloud)
    agent = start_agent(ecs_block, jobs_cloud, queues.url)
    eventually(lambda: jobs_cloud.calls["sqs:ReceiveMessage"] >= 2, 30)
    agent.signal(signal.SIGTERM)
    time.sleep(0.3)
    began = time.monotonic()
    agent.signal(signal.SIGINT)
    done = agent.end()
    assert done.returncode == 130
    assert time.monotonic() - began < 3
    assert "last poll" in done.stderr


def test_it_can_be_ended_before_the_queue_has_answered(ecs_block: Command) -> None:
    """Signals count from the beginning, also where a connection is accepted and nothing comes: the second ends it at once."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        url = f"http://127.0.0.1:{hole.getsockname()[1]}"
        keys = {"AWS_ACCESS_KEY_ID": "made", "AWS_SECRET_ACCESS_KEY": "up", "AWS_REGION": "us-east-1"}
        ecs_block.variables |= {**keys, "AWS_ENDPOINT_URL": url}
        agent = ecs_block.start("agent", "start", "--queue", f"{url}/123456789012/jobs", "--no-logs")
        hole.settimeout(30)
        with hole.accept()[0]:
            for number in (signal.SIGTERM, signal.SIGINT):
                agent.signal(number)
                time.sleep(0.5)
            began = time.monotonic()
            done = agent.end()
    assert done.returncode == 130
    assert time.monotonic() - began < 5
    assert "last poll" in done.stderr


def test_health_follows_the_queue(ecs_block: Command, jobs_cloud: LocalCloud, eventually: Eventually) -> None:
    """#53: 200 while polling works, 503 once the queue is gone, 200 again when it is back; and its jobs are run."""
    queues, port = Queues(jobs_cloud), free_port()
    agent = start_agent(ecs_block, jobs_cloud, queues.url, "--agent-address", f"http://127.0.0.1:{port}")
    try:
        eventually(lambda: asked(port)[0] == 200, 30)
        queues.sqs.delete_queue(QueueUrl=queues.url)
        _, body = eventually(lambda: asked(port)[0] == 503 and asked(port), 40)
        assert "does not exist" in body["reason"]
        assert Queues(jobs_cloud).url == queues.url
        queues.queue.submit({"id": "a", "command": ["true"]})
        eventually(lambda: asked(port)[0] == 200, 30)
        eventually(lambda: asked(port, "/api/status")[1]["counts"]["done"] == 1, 30)
        agent.process.kill()
        said = [line for line in lines_of(agent.end().stderr) if "does not exist" in line["message"]]
        assert len(said) == 1
        assert said[0]["level"] == "error"
    finally:
        agent.process.kill()


def test_health_of_an_agent_that_is_denied(ecs_block: Command, jobs_cloud: LocalCloud, eventually: Eventually) -> None:
    """#53: with wrong keys it says so, stays up, and is unhealthy."""
    queues, port = Queues(jobs_cloud), free_port()
    words = (
        "--agent-address",
        f"127.0.0.1:{port}",
        "--aws-access-key-id",
        "AKIAWRONG",
        "--aws-secret-access-key",
        "no",
    )
    agent = start_agent(ecs_block, jobs_cloud, queues.url, *words)
    try:
        status, _ = eventually(lambda: (asked(port)[1] or {}).get("reason", "").count("sqs") and asked(port), 30)
        assert status == 503
        assert agent.process.poll() is None
    finally:
        agent.process.kill()
        assert "AKIAWRONG" not in agent.end().stderr


def test_health_follows_the_journal(
    ecs_block: Command, jobs_cloud: LocalCloud, eventually: Eventually, tmp_path: Path
) -> None:
    """#60: while the journal cannot be written, no job is received and health is 503; then it goes on by itself."""
    queues, port = Queues(jobs_cloud), free_port()
    queues.queue.submit({"id": "a", "command": ["true"]})
    home = tmp_path / "home"
    home.write_text("a file where a folder is needed")
    agent = start_agent(ecs_block, jobs_cloud, queues.url, "--agent-address", f"127.0.0.1:{port}")
    try:
        eventually(lambda: asked(port)[0] == 503 and "journal" in asked(port)[1]["reason"] and asked(port), 30)
        assert jobs_cloud.calls["sqs:ReceiveMessage"] == 0
        home.unlink()
        eventually(lambda: asked(port)[0] == 200, 60)
        eventually(lambda: asked(port, "/api/status")[1]["counts"]["done"] == 1, 30)
    finally:
        agent.process.kill()
        agent.end()


def memory_of(process: int) -> int:
    """The resident memory of a process (bytes)."""
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, text=True).stdout
    return int(told or 0) * 1024


def test_many_jobs_few_at_once(ecs_block: Command, jobs_cloud: LocalCloud, tmp_path: Path) -> None:
    """#57: never more tasks than the limit, a receive for ten jobs, and little memory."""
    queues, port = Queues(jobs_cloud), free_port()
    seconds = "1" if MANY < 500 else "10"
    queues.queue.submit_all([{"id": f"j{index}", "command": ["sleep", seconds]} for index in range(MANY)])
    words = ("--limit", str(AT_ONCE), "--agent-address", f"127.0.0.1:{port}")
    agent = start_agent(ecs_block, jobs_cloud, queues.url, *words, stderr=subprocess.DEVNULL)
    most, memory, deadline = 0, 0, time.monotonic() + 30 + MANY / 4
    while len(outcomes_in(tmp_path)) < MANY or queues.left:
        assert time.monotonic() < deadline
        most = max(most, alive(jobs_cloud))
        memory = max(memory, memory_of(agent.process.pid))
        time.sleep(0.05)
    _, told = asked(port, "/api/status")
    calls = jobs_cloud.calls["sqs:ReceiveMessage"]
    agent.process.kill()
    agent.end()
    assert len(jobs_cloud.tasks) == MANY
    assert 0.5 * AT_ONCE < most <= AT_ONCE
    assert calls <= MANY / 10 + told["counts"]["idle polls"] + 1  # and one that is on its way
    assert 0 < memory < MOST_MEMORY
