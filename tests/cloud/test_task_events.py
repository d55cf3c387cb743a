"""The watch woken by events, over a real queue."""

from __future__ import annotations

import json
import threading
import time

from ecs_block import ECSTask
from ecs_block.local import LocalCloud


def feed(cloud, url, stop):
    """Put an event into the queue for each change of a task, as EventBridge would."""
    queue = cloud.client("sqs")
    told = {}
    while not stop.wait(0.1):
        for task in cloud.tasks:
            if told.get(task["taskArn"]) != task["version"]:
                told[task["taskArn"]] = task["version"]
                event = {"detail-type": "ECS Task State Change", "detail": {"taskArn": task["taskArn"]}}
                queue.send_message(QueueUrl=url, MessageBody=json.dumps(event))


def test_events_of_a_queue_wake_the_watch():
    """A task of eight seconds: few looks, its end seen at once, and the queue empty afterwards."""
    with LocalCloud() as cloud:
        url = cloud.client("sqs").create_queue(QueueName="task-events")["QueueUrl"]
        stop = threading.Event()
        feeder = threading.Thread(target=feed, args=(cloud, url, stop))
        feeder.start()
        try:
            credentials = cloud.credentials.model_copy(update={"task_events_queue_url": url})
            task = ECSTask(command=["sleep", "8"], aws_credentials=credentials, task_watch_poll_interval=60)
            result = task.run()
            seen_after = time.time() - result.stopped_at.timestamp()
        finally:
            stop.set()
            feeder.join()
        assert result
        assert seen_after < 4
        assert cloud.calls["ecs:DescribeTasks"] <= 8
        assert cloud.calls["sqs:ReceiveMessage"] >= 2
