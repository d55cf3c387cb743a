"""`ecs-block local up`, and the local cloud of `run --local`."""

from __future__ import annotations

import os
import re
import shlex
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ecs_block.arn import short_name
from ecs_block.cli import exits
from ecs_block.cli.fields import has_execution_role
from ecs_block.cli.help import Subverbs
from ecs_block.cli.kinds import Seconds
from ecs_block.cli.output import Console, speaks
from ecs_block.errors import EcsBlockError, InvalidTask

if TYPE_CHECKING:
    from ecs_block.local import LocalCloud
    from ecs_block.task import ECSTask

_GROUP_EXAMPLES = """\
Examples:

\b
    ecs-block local up > cloud.env &
    . ./cloud.env
    ecs-block run -- echo hello

For one command there is a shorter way: ecs-block run --local -- echo hello
"""
_EXAMPLES = """\
Examples:

\b
  Start a cloud, and use it from the same shell with any AWS client:
    ecs-block local up > cloud.env &
    . ./cloud.env
    aws ecs list-clusters
    ecs-block run -- echo hello
\b
  Let each state last two seconds, as if it were slow:
    ecs-block local up --state-seconds 2
"""


class LocalMissing(EcsBlockError):
    """The extra `local` is not installed."""


@click.group(cls=Subverbs, epilog=_GROUP_EXAMPLES)
def local() -> None:
    """Run a cloud of your own on this machine."""


@local.command(epilog=_EXAMPLES)
@click.option("--region", default="us-east-1", show_default=True, metavar="REGION", help="Region of the cloud.")
@click.option(
    "--state-seconds", type=Seconds(), default=0.02, show_default=True, metavar="SECONDS",
    help="How long a task stays in each state before and after RUNNING.",
)  # fmt: skip
@speaks
def up(console: Console, *, region: str, state_seconds: float) -> int:
    """Serve ECS and its neighbours on 127.0.0.1 until Ctrl-C.

    The lines on stdout lead any AWS client there; the key in them is made for this start. Commands of tasks really
    run, as processes of this machine and with your rights; images are not pulled.
    """
    from ecs_block.engine.bridge import wait_for

    signal.signal(signal.SIGTERM, _terminated)
    with _started(region=region, state_seconds=state_seconds) as cloud:
        console.print_text(
            "\n".join(f"export {name}={shlex.quote(value)}" for name, value in cloud.environment.items())
        )
        console.step(
            f"a local cloud serves at {cloud.endpoint_url} until Ctrl-C; the lines above lead AWS clients to it"
        )
        wait_for(threading.Event())
    return 0


def _terminated(signum: int, frame: Any) -> None:
    raise SystemExit(exits.TERMINATED)


@contextmanager
def on_this_machine(task: ECSTask) -> Iterator[ECSTask]:
    """Start a cloud and give the task as it runs there: with that cloud's credentials and role, in its own network."""
    region = task.aws_credentials.region_name or "us-east-1"
    _forget_aws_settings()
    with _started(region=region) as cloud:
        yield task.model_copy(update=_changes(task, cloud))


@contextmanager
def _started(**settings: Any) -> Iterator[LocalCloud]:
    from ecs_block.local import LocalCloud

    cloud = LocalCloud(**settings)
    try:
        cloud.start()
    except ImportError:
        raise LocalMissing("The local cloud needs more packages: pip install 'ecs-block[local]'") from None
    with cloud:
        yield cloud


def _forget_aws_settings() -> None:
    """Keep the user's AWS settings out of a local run: a missing profile would end it, a proxy swallow it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        os.environ[name] = os.devnull
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1")))


def _cluster(given: str) -> str:
    """Give a cluster's name. Raises InvalidTask for what AWS would refuse as one."""
    name = short_name(given)
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,255}", name):
        raise InvalidTask(f"cluster {given!r} is neither a name nor an ARN; AWS accepts 1 to 255 of [a-zA-Z0-9_-].")
    return name


def _changes(task: ECSTask, cloud: LocalCloud) -> dict[str, Any]:
    changes: dict[str, Any] = {"aws_credentials": cloud.credentials}
    if not has_execution_role(task):
        changes["execution_role_arn"] = f"arn:aws:iam::{cloud.account_id}:role/ecsTaskExecutionRole"
    if task.cluster is not None:
        changes["cluster"] = _cluster(task.cluster)
        cloud.client("ecs").create_cluster(
            clusterName=changes["cluster"], capacityProviders=["FARGATE", "FARGATE_SPOT"]
        )
    # The networks of the user's account are not there.
    if task.vpc_id is not None:
        changes["vpc_id"] = None
    if "networkConfiguration" in task.task_run_request:
        kept = {name: value for name, value in task.task_run_request.items() if name != "networkConfiguration"}
        changes["task_run_request"] = kept
    return changes
