"""The floor of the agent: what a hand-written loop does between SQS and ECS, without a journal.

It receives ten messages at a time while there is room, launches each in a thread pool with a client token, deletes the
messages, and describes 100 tasks a call, once a second.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.floor import BATCH, POLL_SECONDS, THREADS, client, exit_code, network, register
from benchmarks.measure import Usage

RECEIVE = 10


def filled(sqs: Any, count: int, seconds: float) -> str:
    """Make a queue with so many jobs that sleep."""
    url = str(sqs.create_queue(QueueName="jobs", Attributes={"VisibilityTimeout": "60"})["QueueUrl"])
    bodies = [json.dumps({"id": f"j{number}", "command": ["sleep", f"{seconds:g}"]}) for number in range(count)]
    for start in range(0, count, RECEIVE):
        batch = bodies[start : start + RECEIVE]
        sqs.send_message_batch(
            QueueUrl=url, Entries=[{"Id": str(number), "MessageBody": body} for number, body in enumerate(batch)]
        )
    return url


def asked(description: str | None) -> tuple[argparse.Namespace, str]:
    """Read the options of a benchmark of queues, and make its queue."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--limit", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    return options, filled(client("sqs"), options.count, options.seconds)


def served(url: str, count: int, limit: int) -> tuple[int, int]:
    """Run all jobs of a queue; gives how many succeeded, and the most tasks at once."""
    ecs, sqs = client("ecs"), client("sqs")
    definition, where = register(ecs), network()
    running: dict[str, None] = {}
    done = succeeded = most = 0

    def launch(message: dict[str, Any]) -> str:
        job = json.loads(message["Body"])
        answer = ecs.run_task(
            taskDefinition=definition,
            launchType="FARGATE",
            networkConfiguration=where,
            clientToken=message["MessageId"],
            overrides={"containerOverrides": [{"name": "main", "command": job["command"]}]},
        )
        return str(answer["tasks"][0]["taskArn"])

    looked_at = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        while done < count:
            if limit - len(running) >= RECEIVE and done + len(running) < count:
                answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=RECEIVE, WaitTimeSeconds=1)
                messages = answer.get("Messages", [])
                running.update(dict.fromkeys(pool.map(launch, messages)))
                most = max(most, len(running))
                entries = [
                    {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                    for number, message in enumerate(messages)
                ]
                sqs.delete_message_batch(QueueUrl=url, Entries=entries)
            else:
                time.sleep(max(looked_at + POLL_SECONDS - time.monotonic(), 0.0))
            if time.monotonic() - looked_at < POLL_SECONDS:
                continue
            looked_at = time.monotonic()
            waiting = list(running)
            for start in range(0, len(waiting), BATCH):
                for task in ecs.describe_tasks(tasks=waiting[start : start + BATCH])["tasks"]:
                    if task["lastStatus"] == "STOPPED":
                        del running[task["taskArn"]]
                        done += 1
                        succeeded += exit_code(task) == 0
    return succeeded, most


def main() -> None:
    """Run the jobs of a queue, and print what it took."""
    options, url = asked(__doc__)
    with Usage() as usage:
        succeeded, most = served(url, options.count, options.limit)
    usage.print(count=options.count, succeeded=succeeded, most=most)


if __name__ == "__main__":
    main()
