"""`ecs-block iam-policy`: the least permissions with which a block runs."""

from __future__ import annotations

import json
from typing import Any

import click

from ecs_block.cli.fields import task_of, task_options
from ecs_block.cli.output import Console, speaks
from ecs_block.cli.run import with_output
from ecs_block.cli.worker_policy import taken_from, worker_policy_options

_EXAMPLES = """\
Examples:

\b
  Let somebody run a saved block, and nothing else:
    ecs-block iam-policy --block nightly --account 123456789012 > nightly.json
    aws iam put-user-policy --user-name ci --policy-name run-nightly \\
        --policy-document file://nightly.json
\b
  Let them look first, with ecs-block check:
    ecs-block iam-policy --block nightly --check
\b
  See what the block's roles need as well:
    ecs-block iam-policy --block nightly --all
\b
  Let a worker run the jobs of a queue as the block says:
    ecs-block iam-policy --worker --block nightly --queue URL
"""


@click.command("iam-policy", context_settings={"allow_interspersed_args": False}, epilog=_EXAMPLES)
@click.option("--all", "everything", is_flag=True, help="Also the policies of the execution role and of the task role.")
@click.option("--check", is_flag=True, help="Allow also what `ecs-block check` looks at.")
@worker_policy_options
@click.option("--account", metavar="ID", default="*", help="Limit it to this account. Default: any.")
@task_options
@speaks
def iam_policy(console: Console, *, everything: bool, check: bool, account: str, **given: Any) -> int:
    """Print the least IAM policy with which `run` can run this block, as JSON.

    It serves `wait`, `stop`, `logs`, `resume`, `ps` and `preview --diff` of the same block as well. No AWS call is made.
    With --all: an object with `caller`, `execution_role` and `task_role`, the roles each with what
    may assume them (`trust`) and what they may do (`policy`). With --worker: what an agent or a worker needs.
    """
    from ecs_block.preview import policies

    worker = taken_from(given)
    if worker.wanted():
        console.print_text(json.dumps(worker.policies(given, account, everything=everything, check=check), indent=2))
        return 0
    found = with_output(
        console, task_of(given), lambda task: policies(task, task.aws_credentials, account=account, check=check)
    )
    console.print_text(json.dumps(found if everything else found["caller"], indent=2))
    return 0
