"""`ecs-block iam-policy --worker`: the least permissions of an agent or a worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import click

from ecs_block.cli.fields import credentials_of, describes_a_task, task_of
from ecs_block.cli.offers import pool_names
from ecs_block.errors import InvalidTask

if TYPE_CHECKING:
    from ecs_block.aws import AwsCredentials
    from ecs_block.task import ECSTask

Command = Callable[..., Any]


@dataclass(frozen=True)
class WorkerPolicy:
    """What the options say of a worker."""

    worker: bool
    queue: str | None
    pool: str | None
    dead_letter_queue: str | None
    enable_task_revisions: bool
    external_kwargs_s3_bucket: str | None
    external_kwargs_s3_key: str | None

    def wanted(self) -> bool:
        """Tell whether a worker's policy is asked for. Raises InvalidTask for its options without it."""
        given = [field.name for field in fields(self) if getattr(self, field.name)]
        if given and not self.worker:
            raise InvalidTask(f"--{given[0].replace('_', '-')} is for a worker's policy; give --worker, too.")
        return self.worker

    def policies(self, given: dict[str, Any], account: str, *, everything: bool, check: bool) -> dict[str, Any]:
        """Give the worker's policy; with `everything` also those of its tasks' roles, and what may assume them."""
        from ecs_block.agent.queue import RunQueue
        from ecs_block.plan.policy import TRUST
        from ecs_block.plan.worker_policy import worker_policy
        from ecs_block.preview import policies

        queue, task = self._queue_and_task(given)
        RunQueue(queue)  # raises for what is no URL of a queue
        found = policies(task, _credentials(task, given, queue), account=account)
        policy = worker_policy(
            found["caller"],
            queue,
            dead_letters=self.dead_letter_queue,
            revisions=self.enable_task_revisions,
            bucket=self.external_kwargs_s3_bucket,
            prefix=self.external_kwargs_s3_key,
            check=check,
        )
        roles = {name: found[name] for name in ("execution_role", "task_role")}
        return {"worker": {"trust": TRUST, "policy": policy}, **roles} if everything else policy

    def _queue_and_task(self, given: dict[str, Any]) -> tuple[str, ECSTask]:
        from ecs_block.agent.recipe import recipe_of

        if self.pool is None:
            if self.queue is None:
                raise InvalidTask("--worker needs --queue URL, or --pool NAME, which has one.")
            return self.queue, recipe_of(task_of(given), no_logs=given["no_logs"]).probe()
        if self.queue is not None or describes_a_task(given):
            raise InvalidTask("--pool has a queue and a template; leave out --queue and what describes a task.")
        from ecs_block.agent import WorkPool

        pool = WorkPool.load(self.pool)
        return pool.queue, pool.task_of({})


def _credentials(task: ECSTask, given: dict[str, Any], queue: str) -> AwsCredentials:
    """Give who talks to AWS, and so in which region: as the options say, the block or pool, or the queue's URL."""
    from ecs_block.cli.agent import at_the_queue

    said = credentials_of(given)
    return at_the_queue(task.aws_credentials.model_copy(update=said) if said else task.aws_credentials, queue)


def worker_policy_options(command: Command) -> Command:
    """Add the options of a worker's policy."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option("--worker", is_flag=True, help="What an agent or a worker needs that runs such tasks from a queue."),
    click.option("--queue", metavar="URL", help="With --worker: the queue of the jobs."),
    click.option("--pool", metavar="NAME", shell_complete=pool_names, help="With --worker: a pool, and its queue."),
    click.option("--dead-letter-queue", metavar="URL", help="With --worker: where rejected messages go."),
    click.option("--enable-task-revisions", is_flag=True, help="With --worker: families are named after jobs."),
    click.option("--external-kwargs-s3-bucket", metavar="BUCKET", help="With --worker: where arguments of jobs are."),
    click.option("--external-kwargs-s3-key", metavar="PREFIX", help="With --worker: the prefix of their keys."),
)


def taken_from(given: dict[str, Any]) -> WorkerPolicy:
    """Take a worker's options out of those of the command."""
    return WorkerPolicy(**{field.name: given.pop(field.name) for field in fields(WorkerPolicy)})
