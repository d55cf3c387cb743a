"""`ecs-block ps`: the tasks of ours that run."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ecs_block import ECSTask
from ecs_block.local import LocalCloud

KEYS = {"identifier", "run_id", "attempt", "status", "created_at", "started_at", "stopped_at"}
KEYS |= {"task_definition_arn", "command", "in_journal"}
CLUSTER = "listed"


@pytest.fixture
def cluster(cloud: LocalCloud) -> Iterator[str]:
    """A cluster of this test's own; its tasks end with the test."""
    name = f"{CLUSTER}-{os.urandom(4).hex()}"
    cloud.client("ecs").create_cluster(clusterName=name, capacityProviders=["FARGATE", "FARGATE_SPOT"])
    yield name
    ecs = cloud.client("ecs")
    for task in cloud.tasks:
        if name in task["clusterArn"] and task["lastStatus"] != "STOPPED":
            ecs.stop_task(cluster=name, task=task["taskArn"])


def start_by_hand(cloud: LocalCloud, cluster: str, started_by: str, *counts: int) -> None:
    """Start tasks of a definition that is none of ours, so many with each call."""
    ecs = cloud.client("ecs")
    ecs.register_task_definition(
        family="foreign", containerDefinitions=[{"name": "main", "image": "x", "command": ["sleep", "60"]}],
        networkMode="awsvpc", cpu="256", memory="512", requiresCompatibilities=["FARGATE"],
    )  # fmt: skip
    network = {"awsvpcConfiguration": {"subnets": [cloud.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]]}}
    for count in counts:
        ecs.run_task(
            cluster=cluster, taskDefinition="foreign", startedBy=started_by, launchType="FARGATE", count=count,
            networkConfiguration=network,
        )  # fmt: skip


def test_nothing_runs(on_aws: Any, cloud: LocalCloud, cluster: str) -> None:
    """Said on stderr, and no failure; somebody else's tasks are none of ours."""
    start_by_hand(cloud, cluster, "somebody", 1)
    done = on_aws("ps", "--cluster", cluster)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.rstrip().endswith("ecs-block: no tasks")
    assert on_aws("ps", "--cluster", cluster, "--output", "json").stdout == "[]\n"


def test_table(on_aws: Any, cloud: LocalCloud, cluster: str) -> None:
    """A line for each task; a secret in the command is masked, a line break is spelled out."""
    command = ("sh", "-c", "sleep 60\n", "--password=hush-hush-1")
    on_aws("run", "-d", "--no-logs", "--cluster", cluster, "--run-id", "nightly", "--", *command)
    done = on_aws("ps", "--cluster", cluster)
    assert done.returncode == 0
    head, line = done.stdout.splitlines()
    assert head.split() == ["ID", "RUN", "ID", "STATUS", "AGE", "DEFINITION", "COMMAND"]
    columns = re.split(r"\s{2,}", line)
    assert re.fullmatch(r"[0-9a-f]{32}", columns[0])
    assert columns[1] == "nightly"
    assert re.fullmatch(r"\d+s", columns[3])
    assert re.fullmatch(r"ecs-block-\w+:\d+", columns[4])
    assert r"sleep 60\n" in columns[5]
    assert "hush-hush-1" not in done.stdout


def test_json(on_aws: Any, cloud: LocalCloud, cluster: str) -> None:
    """One object for each task, oldest first; --query takes of the list."""
    for run_id in ("first", "second"):
        on_aws("run", "-d", "--no-logs", "--cluster", cluster, "--run-id", run_id, "--", "sleep", "60")
    found = json.loads(on_aws("ps", "--cluster", cluster, "--output", "json").stdout)
    assert [task["run_id"] for task in found] == ["first", "second"]
    assert all(set(task) == KEYS for task in found)
    assert (found[0]["attempt"], found[0]["command"], found[0]["in_journal"]) == (1, ["sleep", "60"], True)
    assert on_aws("stop", found[0]["identifier"]).returncode == 0
    left = on_aws("ps", "--cluster", cluster, "--query", "[].run_id")
    assert json.loads(left.stdout) == ["second"]


def test_all(on_aws: Any, cluster: str) -> None:
    """What has stopped is shown where it is asked for."""
    on_aws("run", "--no-logs", "--cluster", cluster, "--run-id", "done", "true")
    assert on_aws("ps", "--cluster", cluster).stdout == ""
    shown = on_aws("ps", "--cluster", cluster, "--all", "--query", "[].[run_id, status]")
    assert json.loads(shown.stdout) == [["done", "STOPPED"]]


def test_orphans(on_aws: Any, cloud: LocalCloud, cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine's journal does not know: a run without run id, and another machine's."""
    monkeypatch.setenv("ECS_BLOCK_HOME", str(tmp_path / "another machine"))
    task = ECSTask(command=["sleep", "60"], cluster=cluster, aws_credentials=cloud.credentials)
    task.start()  # the library, without a run id
    task.start(run_id="elsewhere")
    on_aws("run", "-d", "--no-logs", "--cluster", cluster, "--run-id", "here", "--", "sleep", "60")
    start_by_hand(cloud, cluster, "somebody", 1)
    every = json.loads(on_aws("ps", "--cluster", cluster, "--query", "[].[run_id]").stdout)
    assert every == [[None], ["elsewhere"], ["here"]]
    orphans = json.loads(on_aws("ps", "--cluster", cluster, "--orphans", "--query", "[].[run_id, in_journal]").stdout)
    assert orphans == [[None, False], ["elsewhere", False]]


def test_a_launch_that_was_cut_off_is_no_orphan(on_aws: Any, cluster: str) -> None:
    """The journal knows its run, though not its task: that is for `resume`."""
    words = ("run", "--no-logs", "--cluster", cluster, "--run-id", "cut", "--", "sleep", "60")
    on_aws(*words, ECS_BLOCK_FAILPOINT="answered")
    assert json.loads(on_aws("ps", "--cluster", cluster, "--query", "[].run_id").stdout) == ["cut"]
    assert on_aws("ps", "--cluster", cluster, "--orphans").stdout == ""


def test_a_cluster_that_is_not_there(on_aws: Any) -> None:
    """125 and one line; no object that is no list."""
    done = on_aws("ps", "--cluster", "nowhere", "--output", "json")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (125, "", 1)
    assert "nowhere" in done.stderr


def test_more_than_one_page(on_aws: Any, cloud: LocalCloud, cluster: str) -> None:
    """ListTasks gives a hundred at a time, and DescribeTasks takes no more."""
    start_by_hand(cloud, cluster, "ecs-block/x", *[10] * 11)
    found = json.loads(on_aws("ps", "--cluster", cluster, "--query", "length(@)").stdout)
    assert found == 110


def test_lines_are_as_wide_as_the_terminal(on_aws: Any, cluster: str) -> None:
    """And whole where there is none."""
    on_aws("run", "-d", "--no-logs", "--cluster", cluster, "--", "sh", "-c", "sleep 60", "x" * 300)
    assert "x" * 300 in on_aws("ps", "--cluster", cluster).stdout
    leader, follower = pty.openpty()
    on_aws.variables["COLUMNS"] = "90"
    started = on_aws.start("ps", "--cluster", cluster, stdout=follower, stderr=subprocess.DEVNULL)
    assert started.process.wait(timeout=60) == 0
    os.close(follower)
    shown = os.read(leader, 65536).decode().splitlines()
    os.close(leader)
    assert len(shown[1]) == 90
    assert shown[1].endswith("…")
