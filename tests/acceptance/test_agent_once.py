"""Two agents in two processes on one queue: each job once, though messages come twice and agents are killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from typing import Any

from agents import Queues, jobs_cloud, start_agent

from conftest import Command, Started
from ecs_block.engine.journal import Journal
from ecs_block.local import LocalCloud

__all__ = ["jobs_cloud"]  # a fixture

JOBS = int(os.environ.get("ECS_BLOCK_JOBS", "120"))  # ECS_BLOCK_JOBS=500 is the long form
KILLS = 3

POISON = (
    "nonsense",
    "[]",
    '{"comand": ["true"]}',
    '{"id": "p", "command": [1]}',
    '{"image": "somebody/else"}',
    '{"parameters": {"a": NaN}}',
    '{"env": {"AWS_ROLE_ARN": "x"}}',
    "[" * 50_000,
    '{"command": ["' + "x" * 9000 + '"]}',
)


def test_each_job_once_while_agents_are_killed(ecs_block: Command, jobs_cloud: LocalCloud, tmp_path: Any) -> None:
    """#47, #48, #49, #50, #55: each good job has one task and one outcome, each bad one is a dead letter with its reason."""
    dice = random.Random(6)
    queues = Queues(jobs_cloud)
    codes = {f"job-{index}": 3 if index % 10 == 0 else 0 for index in range(JOBS)}
    bodies = [
        json.dumps({"id": name, "name": f"n {code}", "command": ["sh", "-c", f"exit {code}"]})
        for name, code in codes.items()
        for _ in range(dice.randint(1, 3))
    ]
    poison = [f"{POISON[index % len(POISON)]}{' ' * index}" for index in range(max(JOBS // 20, len(POISON)))]
    bodies += poison
    dice.shuffle(bodies)
    for body in bodies:
        queues.sqs.send_message(QueueUrl=queues.url, MessageBody=body)

    def start() -> Started:
        log = (tmp_path / f"agent-{len(list(tmp_path.glob('agent-*')))}.jsonl").open("w")  # a full pipe would stop it
        with log:
            return start_agent(ecs_block, jobs_cloud, queues.url, "--limit", "20", stderr=log)

    victim, other = start(), start()
    journal = Journal(tmp_path / "home" / "journal.sqlite3")
    deadline = time.monotonic() + 40 + JOBS / 3
    try:
        for kill in range(KILLS):
            aim = JOBS * (kill + 1) // (KILLS + 2)
            while len(jobs_cloud.tasks) < aim:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            victim.process.kill()
            victim.end()
            victim = start()
        while queues.left or len([one for one in journal.latest(JOBS * 2) if one.outcome]) < JOBS:
            assert time.monotonic() < deadline, (queues.left, len(jobs_cloud.tasks))
            time.sleep(0.2)
    finally:
        for agent in (victim, other):
            agent.process.kill()
            agent.end()

    assert queues.left == 0
    entries = journal.latest(JOBS * 2)
    by_run = {queues.queue.run_id_of(name): code for name, code in codes.items()}
    assert sorted(entry.run_id for entry in entries) == sorted(by_run)
    assert Counter(task["startedBy"] for task in jobs_cloud.tasks) == dict.fromkeys(by_run, 1)
    assert {entry.run_id: (entry.outcome or {})["status_code"] for entry in entries} == by_run
    assert all(len(entry.tasks) == 1 for entry in entries)
    dead = list(queues.dead_letters())
    assert {body for body, _ in dead} == set(poison)
    assert all(reason for _, reason in dead)


FAILPOINTS = ("intended", "sending", "answered", "launched", "ended")


def test_an_agent_that_dies_at_any_point_of_a_launch(
    ecs_block: Command, jobs_cloud: LocalCloud, tmp_path: Any, eventually: Any
) -> None:
    """#47, #48: killed before, within and after RunTask: the next agent launches the job, or takes its task up."""
    queues = {point: Queues(jobs_cloud, point) for point in FAILPOINTS}
    for point, one in queues.items():
        one.queue.submit({"id": point, "command": ["sleep", "1"]})
        ecs_block.variables["ECS_BLOCK_FAILPOINT"] = point
        agent = start_agent(ecs_block, jobs_cloud, one.url, stderr=subprocess.DEVNULL)
        assert agent.end().returncode == -signal.SIGKILL
    del ecs_block.variables["ECS_BLOCK_FAILPOINT"]
    agents = [start_agent(ecs_block, jobs_cloud, one.url, stderr=subprocess.DEVNULL) for one in queues.values()]
    journal = Journal(tmp_path / "home" / "journal.sqlite3")

    def all_over() -> bool:
        ended = [entry for entry in journal.latest(100) if entry.outcome]
        return len(ended) == len(FAILPOINTS) and not any(one.left for one in queues.values())

    try:
        eventually(all_over, 40)
    finally:
        for agent in agents:
            agent.process.kill()
            agent.end()
    assert Counter(task["startedBy"] for task in jobs_cloud.tasks) == {
        one.queue.run_id_of(point): 1 for point, one in queues.items()
    }
    assert {(entry.outcome or {})["outcome"] for entry in journal.latest(100)} == {"succeeded"}
