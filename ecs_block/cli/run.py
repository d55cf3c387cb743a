"""`ecs-block run`: run a command as a task, as if it ran here."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ecs_block.cli.fields import describes_a_task, has_execution_role, task_of, task_options
from ecs_block.cli.items import Item, items_of, task_of_item
from ecs_block.cli.offers import file_names
from ecs_block.cli.output import Console, gives_result, raw_option, speaks
from ecs_block.cli.stdin import STDIN
from ecs_block.cli.words import name_of, to_get_at
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
    ecs-block run --image python:3.12-slim --cpu 1vcpu --memory 2gb \\
        --execution-role arn:aws:iam::123456789012:role/ecsTaskExecutionRole \\
        -e STAGE=test -- python -c 'print("hello")'
\b
  Run a saved block for at most half an hour, and take a part of its result:
    ecs-block run --block nightly --timeout 30m --query outcome
\b
  Launch once for each day, however often this is repeated:
    ecs-block run --block nightly --run-id nightly-$(date +%F)
\b
  See it before, then run one task for each line of a file, twenty at a time:
    ecs-block run --block resize --map images.txt --dry-run
    ecs-block run --block resize --map images.txt --max-concurrency 20

Exit codes: the container's own; 2 wrong usage, 124 timeout, 125 AWS or ecs-block failed, 126 and 127 the program
cannot be started, 129 terminal closed, 130 Ctrl-C, 143 SIGTERM. With --map: 0, or that of the worst task.
"""


@click.command(context_settings={"allow_interspersed_args": False}, epilog=_EXAMPLES)
@click.option("--local", is_flag=True, help="Run it on this machine: no AWS account is needed, and none is used.")
@click.option("-d", "--detach", is_flag=True, help="Print the task's identifier and do not wait for its end.")
@click.option(
    "--run-id", metavar="ID",
    help="Name this run. The same id again never starts a second task: one that runs is taken up, a finished one gives its "
    "recorded result. Default: a new id.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Check it and show what would be sent; nothing is sent.")
@click.option(
    "--map", "map_file", metavar="FILE|-", shell_complete=file_names,
    help="Run one task for each line: words that follow COMMAND, or JSON: a list of them, or an object of fields.",
)  # fmt: skip
@click.option(
    "--max-concurrency", type=click.IntRange(min=1), metavar="N", help="With --map: tasks at a time. Default: 100."
)
@raw_option
@task_options
@gives_result
@speaks
def run(
    console: Console,
    *,
    local: bool,
    detach: bool,
    run_id: str | None,
    dry_run: bool,
    map_file: str | None,
    max_concurrency: int | None,
    raw: bool,
    **given: Any,
) -> int:
    """Run COMMAND as a task and wait for its end.

    The container's output is shown as it comes, and the exit code is the container's. Ctrl-C stops the task; a second
    one leaves it to itself. If this process is killed, `ecs-block resume` finds the task.
    """
    console.raw, console.given, console.prints_lists = raw, given, map_file is not None
    console.anew = "; another --run-id launches it anew"
    _check(local, detach, map_file, max_concurrency, given)
    task = task_of(given)
    items = None if map_file is None else _items(map_file, task, given)
    if run_id is None and not local:
        run_id = _new_run_id(task)
    console.run_id, console.hint = run_id, lambda: _unfinished(run_id, many=items is not None)
    if not dry_run:
        console.show_run()
    with _place(console, task, local=local) as placed, heard(console):
        if dry_run:
            return _dry(console, placed, items, run_id)
        if detach:
            return _start(console, placed, run_id)
        if items is not None:
            return _many(console, placed, items, run_id, max_concurrency)
        return _one(console, placed, run_id)


def _one(console: Console, task: ECSTask, run_id: str | None) -> int:
    return console.finish(
        with_output(
            console, task, lambda task: task.run(run_id=run_id, on_event=console.event, output=console.container_output)
        )
    )


def _many(console: Console, task: ECSTask, items: Sequence[Item], run_id: str | None, limit: int | None) -> int:
    from ecs_block.cli.map import run_many

    return with_output(console, task, lambda task: run_many(console, task, items, run_id, limit))


def _dry(console: Console, task: ECSTask, items: Sequence[Item] | None, run_id: str | None) -> int:
    from ecs_block.cli.dry_run import show

    console.prints_lists = True  # what is not run has no result
    return with_output(console, task, lambda task: show(console, task, items, run_id))


def _items(path: str, task: ECSTask, given: Mapping[str, Any]) -> list[Item]:
    """Read the file of `--map`, and see that each of its lines makes a task."""
    if path == STDIN and STDIN in (given["file"], *given["patches"]):
        raise InvalidTask("Only one of --map, --file and --patch can be read from stdin (-).")
    items = items_of(path, given["words"])
    for item in items:
        task_of_item(task, item)
    return items


def _start(console: Console, task: ECSTask, run_id: str | None) -> int:
    identifier = with_output(console, task, lambda task: task.start(run_id=run_id, on_event=console.event))
    if console.as_json:
        console.print_json({"identifier": identifier, "run_id": run_id})
    else:
        console.print_text(identifier)
    name = name_of(run_id, identifier, console.given)
    console.hints(to_get_at(name, has_lines=console.has_lines) if name is not None else ())
    return 0


@contextmanager
def heard(console: Console) -> Iterator[None]:
    """Let the console tell of Ctrl-C as soon as it comes."""
    from ecs_block.cli.interrupts import heard_by

    with heard_by(console):
        yield


def _new_run_id(task: ECSTask) -> str | None:
    """Make a run id, so that the run can be resumed; none for a task whose patches say what it is started by."""
    from ecs_block.plan.request import touches_identity

    if touches_identity(task.task_customizations):
        return None
    return f"cli-{datetime.now().astimezone():%Y%m%d-%H%M%S}-{secrets.token_hex(6)}"


def _unfinished(run_id: str | None, *, many: bool) -> str | None:
    """Say what to do about runs that this process leaves without an outcome."""
    if run_id is None:
        return None
    from ecs_block.engine.journal import journal
    from ecs_block.errors import JournalError

    try:
        found = [entry.run_id for entry in journal().unfinished()]
    except JournalError:
        return None
    if many:
        count = sum(1 for name in found if name.startswith(f"{run_id}/"))
        return f"{count} of the runs have no outcome yet; take them up with: ecs-block resume" if count else None
    return f"the run has no outcome yet; take it up with: ecs-block resume {run_id}" if run_id in found else None


def _check(
    local: bool, detach: bool, map_file: str | None, max_concurrency: int | None, given: Mapping[str, Any]
) -> None:
    if detach and map_file is not None:
        raise InvalidTask(
            "--map and --detach exclude each other: the tasks beyond --max-concurrency are launched as others end."
        )
    if max_concurrency is not None and map_file is None:
        raise InvalidTask("--max-concurrency is for --map FILE, which runs many tasks.")
    if local and detach:
        raise InvalidTask(
            "--local and --detach exclude each other: the local cloud, and every task in it, ends with this command."
        )
    for option in ("profile", "endpoint_url"):
        if local and given[option] is not None:
            raise InvalidTask(
                f"--local and --{option.replace('_', '-')} exclude each other: a local run uses no AWS settings."
            )
    if map_file is None and not describes_a_task(given):
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
        console.has_lines = bool(task.stream_output or task.configure_cloudwatch_logs)
        return act(task)
    if not (has_execution_role(task) or task.task_definition_arn):
        _warn_of_silence(console)
        return act(task)
    try:
        console.has_lines = True
        return act(task.model_copy(update={"stream_output": True}))
    except InvalidTask as error:
        # Whether a linked definition has the role is known only now. Nothing has been changed yet.
        if has_execution_role(task) or "execution_role_arn is needed" not in str(error):
            raise
    console.has_lines = False
    _warn_of_silence(console)
    return act(task)


def _warn_of_silence(console: Console) -> None:
    console.warning(
        "a run's output is not shown: CloudWatch Logs needs a role to write it with; give one with --execution-role ARN"
    )
