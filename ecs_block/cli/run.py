"""`ecs-block run`: run a command as a task, as if it ran here."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ecs_block.cli.fields import describes_a_task, has_execution_role, task_of, task_options
from ecs_block.cli.output import Console, gives_result, speaks
from ecs_block.errors import InvalidTask

if TYPE_CHECKING:
    from ecs_block.task import ECSTask

T = TypeVar("T")

_EXAMPLES = """\
Examples:

\b
  Try it on this machine, without an AWS account:
    ecs-block run --local -- echo hello
\b
  Run a command on Fargate and see its output:
    ecs-block run --execution-role arn:aws:iam::123456789012:role/ecsTaskExecutionRole \\
        --image python:3.12-slim --cpu 1vcpu --memory 2gb -e STAGE=test -- python -c 'print("hello")'
\b
  Run a saved block for at most half an hour, and take a part of its result:
    ecs-block run --block nightly --timeout 30m --query outcome
\b
  Launch once for each day, however often this is repeated:
    ecs-block run --block nightly --run-id nightly-$(date +%F)

Exit codes: the container's own; 2 wrong usage, 124 timeout, 125 AWS or ecs-block failed, 126 and 127 the program
cannot be started, 129 terminal closed, 130 Ctrl-C, 143 SIGTERM.
"""


@click.command(context_settings={"allow_interspersed_args": False}, epilog=_EXAMPLES)
@click.option("--local", is_flag=True, help="Run it on this machine: no AWS account is needed, and none is used.")
@click.option("-d", "--detach", is_flag=True, help="Print the task's identifier and do not wait for its end.")
@click.option(
    "--run-id", metavar="ID",
    help="Name this run. The same id again never starts a second task: one that runs is taken up, a finished one gives its "
    "recorded result. Default: a new id.",
)  # fmt: skip
@task_options
@gives_result
@speaks
def run(console: Console, *, local: bool, detach: bool, run_id: str | None, **given: Any) -> int:
    """Run COMMAND as a task and wait for its end.

    The container's output is shown as it comes, and the exit code is the container's. Ctrl-C stops the task; a second
    one leaves it to itself. If this process is killed, `ecs-block resume` finds the task.
    """
    _check(local, detach, given)
    task = task_of(given)
    if run_id is None and not local:
        run_id = _new_run_id(task)
    console.run_id, console.hint = run_id, lambda: _unfinished(run_id)
    with _place(console, task, local=local) as placed:
        if detach:
            return _start(console, placed, run_id)
        return console.finish(
            with_output(
                console,
                placed,
                lambda task: task.run(run_id=run_id, on_event=console.event, output=console.container_output),
            )
        )


def _start(console: Console, task: ECSTask, run_id: str | None) -> int:
    identifier = with_output(console, task, lambda task: task.start(run_id=run_id, on_event=console.event))
    if console.as_json:
        console.print_json({"identifier": identifier, "run_id": run_id})
    else:
        console.print_text(identifier)
    return 0


def _new_run_id(task: ECSTask) -> str | None:
    """Make a run id, so that the run can be resumed; none for a task whose patches say what it is started by."""
    from ecs_block.plan.request import touches_identity

    if touches_identity(task.task_customizations):
        return None
    return f"cli-{datetime.now().astimezone():%Y%m%d-%H%M%S}-{secrets.token_hex(6)}"


def _unfinished(run_id: str | None) -> str | None:
    """Say what to do about a run that this process leaves without an outcome."""
    if run_id is None:
        return None
    from ecs_block.engine.journal import journal
    from ecs_block.errors import JournalError

    try:
        found = journal().named(run_id)
    except JournalError:
        return None
    if any(entry.run_id == run_id and entry.state in ("intended", "launched") for entry in found):
        return f"the run has no outcome yet; take it up with: ecs-block resume {run_id}"
    return None


def _check(local: bool, detach: bool, given: Mapping[str, Any]) -> None:
    if local and detach:
        raise InvalidTask(
            "--local and --detach exclude each other: the local cloud, and every task in it, ends with this command."
        )
    for option in ("profile", "endpoint_url"):
        if local and given[option] is not None:
            raise InvalidTask(
                f"--local and --{option.replace('_', '-')} exclude each other: a local run uses no AWS settings."
            )
    if not describes_a_task(given):
        raise InvalidTask(
            "Nothing says what to run. Give a COMMAND (ecs-block run -- echo hello), --block, --file or --image."
        )


@contextmanager
def _place(console: Console, task: ECSTask, *, local: bool) -> Iterator[ECSTask]:
    """Give the task as it can run where it is to run: at AWS, or in a local cloud that lasts for this command."""
    if not local:
        yield task
        return
    from ecs_block.cli.local import on_this_machine

    console.local = True
    with on_this_machine(task) as placed:
        yield placed


def with_output(console: Console, task: ECSTask, act: Callable[[ECSTask], T]) -> T:
    """Act on the task with its output shown, if nothing says otherwise; say so if there is no role to write it with."""
    if "stream_output" in task.model_fields_set or task.configure_cloudwatch_logs is False:
        return act(task)
    if not (has_execution_role(task) or task.task_definition_arn):
        _warn_of_silence(console)
        return act(task)
    try:
        return act(task.model_copy(update={"stream_output": True}))
    except InvalidTask as error:
        # Whether a linked definition has the role is known only now. Nothing has been changed yet.
        if has_execution_role(task) or "execution_role_arn is needed" not in str(error):
            raise
    _warn_of_silence(console)
    return act(task)


def _warn_of_silence(console: Console) -> None:
    console.warning(
        "the output is not shown: CloudWatch Logs needs a role to write it with; give one with --execution-role ARN"
    )
