"""The floor: what a hand-written client does that launches in a thread pool and describes in batches."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import boto3
from botocore.config import Config

from benchmarks.measure import Usage

THREADS = 20
BATCH = 100
POLL_SECONDS = 1.0
GROUP = "/benchmarks"
_DEFINITION = {
    "family": "benchmark-floor",
    "requiresCompatibilities": ["FARGATE"],
    "networkMode": "awsvpc",
    "cpu": "1024",
    "memory": "2048",
}


def client(service: str) -> Any:
    """Make a client with a connection for each thread."""
    return boto3.client(service, config=Config(max_pool_connections=THREADS, retries={"mode": "standard"}))


def register(ecs: Any, roles: Mapping[str, str] = MappingProxyType({}), **container: Any) -> str:
    """Register the one definition."""
    containers = [{"name": "main", "image": "python:3.11", "essential": True, **container}]
    answer = ecs.register_task_definition(**_DEFINITION, **roles, containerDefinitions=containers)
    return str(answer["taskDefinition"]["taskDefinitionArn"])


def network() -> dict[str, Any]:
    """Look the default network up."""
    ec2 = client("ec2")
    vpc = ec2.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    return {"awsvpcConfiguration": {"subnets": [subnet["SubnetId"] for subnet in subnets], "assignPublicIp": "ENABLED"}}


def launch(ecs: Any, definition: str, commands: Sequence[list[str]]) -> list[str]:
    """Start a task for each command and give their ARNs."""
    where = network()

    def one(command: list[str]) -> str:
        answer = ecs.run_task(
            taskDefinition=definition,
            launchType="FARGATE",
            networkConfiguration=where,
            overrides={"containerOverrides": [{"name": "main", "command": command}]},
        )
        if answer["failures"]:
            raise RuntimeError(str(answer["failures"]))
        return str(answer["tasks"][0]["taskArn"])

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, commands))


def stopped(ecs: Any, arns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Describe all unfinished tasks in batches until all are stopped; give each one when it is."""
    unfinished = dict.fromkeys(arns)
    while unfinished:
        time.sleep(POLL_SECONDS)
        waiting = list(unfinished)
        for start in range(0, len(waiting), BATCH):
            for task in ecs.describe_tasks(tasks=waiting[start : start + BATCH])["tasks"]:
                if task["lastStatus"] == "STOPPED":
                    del unfinished[task["taskArn"]]
                    yield task


def exit_code(task: dict[str, Any]) -> int | None:
    """Give the exit code of the main container."""
    return next((item.get("exitCode") for item in task["containers"] if item["name"] == "main"), None)


def main() -> None:
    """Run tasks that sleep, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    with Usage() as usage:
        ecs = client("ecs")
        arns = launch(ecs, register(ecs), [["sleep", f"{options.seconds:g}"]] * options.count)
        succeeded = sum(exit_code(task) == 0 for task in stopped(ecs, arns))
    usage.print(count=options.count, succeeded=succeeded)


if __name__ == "__main__":
    main()
