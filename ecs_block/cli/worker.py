"""`ecs-block worker`: the jobs of a work pool, and the worker itself on ECS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ecs_block.cli.agent_options import settings_of, worker_options
from ecs_block.cli.help import Subverbs
from ecs_block.cli.kinds import Choice
from ecs_block.cli.offers import pool_names
from ecs_block.cli.output import Console, speaks
from ecs_block.errors import InvalidTask

if TYPE_CHECKING:
    from ecs_block.agent.pool import PoolRecipe, WorkPool
    from ecs_block.agent.settings import Settings

WORKER_NAME = "ecs-block-worker"

_GROUP_EXAMPLES = """\
Examples:

\b
    ecs-block worker start --pool reports --limit 200
    ecs-block iam-policy --worker --queue URL --block nightly
    ecs-block worker service-definition --pool reports > worker.json
"""
_START_EXAMPLES = """\
Examples:

\b
  Run the jobs of a work pool:
    ecs-block worker start --pool reports --limit 200
\b
  Serve health, and write lines for machines:
    ecs-block worker start --pool reports --log-format json \\
        --agent-address http://127.0.0.1:8080

Options may stand in the environment as ECS_BLOCK_AGENT_POOL, ECS_BLOCK_AGENT_LIMIT and so on, and in the file of --config.
"""
_CHECK_EXAMPLES = """\
Examples:

\b
    ecs-block worker check --pool reports
"""
_SERVICE_EXAMPLES = """\
Examples:

\b
  Run a worker on Fargate, one at a time, started anew when it ends:
    ecs-block worker service-definition --pool reports \\
        --image 123456789012.dkr.ecr.eu-central-1.amazonaws.com/worker:1 \\
        --execution-role arn:aws:iam::123456789012:role/ecsTaskExecutionRole \\
        --task-role arn:aws:iam::123456789012:role/worker \\
        --subnet subnet-1 > worker.json
    jq .task_definition worker.json > definition.json
    jq .service worker.json > service.json
    aws ecs register-task-definition --cli-input-json file://definition.json
    aws ecs create-service --cli-input-json file://service.json
\b
  On instances of your own:
    ecs-block worker service-definition --pool reports --launch-type EC2 \\
        --image IMAGE --task-role ARN
"""


@click.group(cls=Subverbs, epilog=_GROUP_EXAMPLES)
def worker() -> None:
    """Run the jobs of a work pool, and the worker itself on ECS."""


@worker.command(epilog=_START_EXAMPLES)
@worker_options
@speaks
def start(console: Console, **given: Any) -> int:
    """Take a pool's jobs from its queue and run each as a task, until SIGTERM or Ctrl-C.

    A job gives values for the variables of the pool's template, which says what becomes of them.
    """
    from ecs_block.cli.serving import serve

    settings = settings_of(given)
    pool = _pool_of(settings)
    if "name" not in settings.model_fields_set:
        settings = settings.model_copy(update={"name": WORKER_NAME})
    return serve(console, settings, pool.queue, _recipe_of(pool, settings), allow=["values", *settings.allow])


@worker.command(epilog=_CHECK_EXAMPLES)
@click.option("--command", metavar="COMMAND", default="true", show_default=True, help="What the tiny task runs.")
@worker_options
@speaks
def check(console: Console, *, command: str, **given: Any) -> int:
    """Prove that the pool's template makes a definition that registers and a task that runs, then clean up."""
    from ecs_block.cli.serving import prove

    settings = settings_of(given)
    return prove(console, _recipe_of(_pool_of(settings), settings), command)


@worker.command("service-definition", epilog=_SERVICE_EXAMPLES)
@click.option("--pool", metavar="NAME", shell_complete=pool_names, help="Work pool; it has to be in the image.")
@click.option("--queue", metavar="URL", help="Queue of an agent, in place of a pool.")
@click.option("--image", metavar="IMAGE", required=True, help="Image with ecs-block in it.")
@click.option("--execution-role", metavar="ARN", help="Role with which ECS pulls the image and writes the lines.")
@click.option("--task-role", metavar="ARN", help="The worker's own role: ecs-block iam-policy --worker.")
@click.option(
    "--family", default="ecs-block-worker", show_default=True, metavar="NAME", help="Family and service name."
)
@click.option("--cluster", metavar="NAME", help="Cluster of the worker. Default: the one named default.")
@click.option("--launch-type", type=Choice(["FARGATE", "EC2"]), default="FARGATE", show_default=True, help="Where.")
@click.option("--subnet", "subnets", multiple=True, metavar="ID", help="Subnet of the worker. Repeatable.")
@click.option("--security-group", "groups", multiple=True, metavar="ID", help="Security group. Repeatable.")
@click.option("--public-ip", is_flag=True, help="Give it a public IP: a public subnet has no other way out.")
@click.option("--cpu", default=256, show_default=True, metavar="UNITS", help="CPU of the worker.")
@click.option("--memory", default=512, show_default=True, metavar="MIB", help="Memory of the worker.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Have at most N tasks at a time.")
@click.option("--efs", metavar="ID", help="EFS file system for the journal, so that a new worker takes tasks up.")
@click.option("--region", metavar="REGION", help="Region of the log group. Default: the configured one.")
@speaks
def service_definition(console: Console, **given: Any) -> int:
    """Print what `aws ecs register-task-definition` and `create-service` take to run a worker on ECS.

    An object with `task_definition`, `service`, and the `trust` policy of its roles. No AWS call is made.
    """
    from ecs_block.aws import AwsCredentials
    from ecs_block.plan.policy import TRUST
    from ecs_block.plan.service import worker_service

    if (given["pool"] is None) == (given["queue"] is None):
        raise InvalidTask("Give --pool NAME for a worker, or --queue URL for an agent: one of them.")
    region = given.pop("region") or AwsCredentials().region()
    if region is None:
        raise InvalidTask("No region is known; give --region, or set AWS_REGION.")
    console.print_text(json.dumps({**worker_service(region=region, **given), "trust": TRUST}, indent=2))
    return 0


def _pool_of(settings: Settings) -> WorkPool:
    from ecs_block.agent import WorkPool
    from ecs_block.cli.agent import needed

    for name in ("queue", "block"):
        if getattr(settings, name) is not None:
            raise InvalidTask(f"A worker takes no {name}: its pool has one. An agent does: ecs-block agent start.")
    return WorkPool.load(needed(settings.pool, "--pool"))


def _recipe_of(pool: WorkPool, settings: Settings) -> PoolRecipe:
    from ecs_block.agent.pool import PoolRecipe
    from ecs_block.agent.trust import RESERVED_ENV
    from ecs_block.cli.agent import at_the_queue

    known = pool.credentials()
    return PoolRecipe(
        pool,
        env_vars=settings.env,
        logs=not settings.no_logs,
        reserved_env=RESERVED_ENV in settings.allow,
        aws_credentials=at_the_queue(settings.credentials(known), pool.queue),
    )
