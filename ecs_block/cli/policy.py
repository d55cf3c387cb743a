"""`ecs-block iam-policy`: the least permissions with which a block runs."""

from __future__ import annotations

import json
from typing import Any

import click

from ecs_block.cli.fields import task_of, task_options
from ecs_block.cli.output import Console, speaks
from ecs_block.cli.run import with_output

_EXAMPLES = """\
Examples:

\b
  Let somebody run a saved block, and nothing else:
    ecs-block iam-policy --block nightly --account 123456789012 > policy.json
    aws iam put-user-policy --user-name ci --policy-name run-nightly --policy-document file://policy.json
\b
  See what the block's roles need as well:
    ecs-block iam-policy --block nightly --all
"""


@click.command("iam-policy", context_settings={"allow_interspersed_args": False}, epilog=_EXAMPLES)
@click.option("--all", "everything", is_flag=True, help="Also the policies of the execution role and of the task role.")
@click.option("--account", metavar="ID", default="*", help="Limit it to this account. Default: any.")
@task_options
@speaks
def iam_policy(console: Console, *, everything: bool, account: str, **given: Any) -> int:
    """Print the least IAM policy with which `run` can run this block, as JSON.

    No AWS call is made. With --all: an object with `caller`, `execution_role` and `task_role`, the roles each with what
    may assume them (`trust`) and what they may do (`policy`).
    """
    from ecs_block.preview import policies

    found = with_output(console, task_of(given), lambda task: policies(task, task.aws_credentials, account=account))
    console.print_text(json.dumps(found if everything else found["caller"], indent=2))
    return 0
