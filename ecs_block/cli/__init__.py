"""The command `ecs-block`.

Nothing here imports the library's heavy parts, nor click, so the overview is there at once; each verb loads what it needs.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

# Each verb: its file, its object there, and its line in the overview.
VERBS = {
    "run": ("run", "run", "Run a command as a task and wait for its end."),
    "preview": ("preview", "preview", "Show what a run would send to AWS."),
    "check": ("check", "check", "See whether a run would work."),
    "wait": ("tasks", "wait", "Wait for a task's end and exit with its code."),
    "stop": ("tasks", "stop", "Stop a task."),
    "ps": ("ps", "ps", "List the tasks that run."),
    "logs": ("logs", "logs", "Show the output of a task, also of one that has ended."),
    "report": ("report", "report", "Write a page about a run: its times, outcome and output."),
    "resume": ("resume", "resume", "Finish runs whose process was killed."),
    "block": ("block", "block", "Save, show and remove blocks: tasks under a name."),
    "agent": ("agent", "agent", "Run jobs from an SQS queue, each once."),
    "worker": ("worker", "worker", "Run the jobs of a work pool, and itself on ECS."),
    "pool": ("pool", "pool", "Make, show and remove work pools: a template and a queue."),
    "iam-policy": ("policy", "iam_policy", "Print the least permissions that a block needs."),
    "local": ("local", "local", "Run a cloud of your own on this machine."),
    "completion": ("completion", "completion", "Let bash, zsh or fish complete all this."),
}

COMPLETION = "_ECS_BLOCK_COMPLETE"  # set by a shell that asks how a line may go on


def overview() -> str:
    """Give the text of `ecs-block --help`."""
    verbs = "\n".join(f"  {name:<12}{line}" for name, (_, _, line) in VERBS.items())
    return f"""\
Usage: ecs-block VERB [OPTIONS] [ARGUMENTS]

Run a command as an Amazon ECS task, and be told truthfully what became of it.

Verbs:
{verbs}

Examples:
  Try it on this machine, without an AWS account:
    ecs-block run --local -- echo hello

  Run a command on Fargate, and see what is sent before it is sent:
    ecs-block preview --image python:3.12-slim -- python -V
    ecs-block run --image python:3.12-slim -- python -V

  More about a verb:
    ecs-block run --help

Options:
  --version   Show the version.
  -h, --help  Show this."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words and COMPLETION in os.environ:
        from ecs_block.cli.completion import answer

        sys.exit(answer(os.environ[COMPLETION]))
    if words in ([], ["-h"], ["--help"]):
        from ecs_block.cli.streams import Unwritable, print_out

        words = ["--help"]
        with suppress(Unwritable):  # which the frame of all verbs tells
            print_out(overview())
            sys.exit(0)
    from ecs_block.cli.verbs import code_of

    # Most of what a command loads (boto3, moto) stays to the end. Sweeping it for garbage, again and again while it is
    # loaded and once more at the end, takes a third of the time of a short local run.
    gc.set_threshold(100_000)
    code = code_of(words)
    gc.freeze()
    if code > 128:
        from ecs_block.cli.interrupts import leave_soon

        leave_soon(code)
    sys.exit(code)
