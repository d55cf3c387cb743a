"""What an agent and a worker have in common on the command line: they serve a queue, and prove that they could."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ecs_block.arn import short_name
from ecs_block.cli import exits
from ecs_block.cli.check import NOT_READY
from ecs_block.cli.output import Console
from ecs_block.errors import EcsBlockError, InvalidTask

if TYPE_CHECKING:
    from ecs_block.agent.recipe import Recipe
    from ecs_block.agent.settings import Settings

logger = logging.getLogger("ecs_block.agent")

_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def serve(console: Console, settings: Settings, queue: str, recipe: Recipe, *, allow: Sequence[str]) -> int:
    """Run jobs until the agent is stopped."""
    from ecs_block.agent import Agent, RunQueue
    from ecs_block.agent.trust import DEFAULT_ALLOW, checked_allow

    if settings.log_format == "json":
        _write_json_lines()
    _tell_of_arguments(settings)
    jobs = RunQueue(queue, recipe.aws_credentials, settings.dead_letter_queue)
    Agent(
        jobs,
        recipe,
        name=settings.name,
        labels=settings.labels,
        allow=checked_allow([*DEFAULT_ALLOW, *allow]),
        limit=settings.limit,
        max_polls=settings.max_polls,
        agent_address=settings.agent_address,
        aws_credentials=recipe.aws_credentials,
    ).start()
    return 0


def _tell_of_arguments(settings: Settings) -> None:
    """Name the arguments: one may come from a variable of the environment that was meant for something else."""
    if not settings.arguments:
        return
    from ecs_block.agent.arguments import of_environment

    around = [name for name in of_environment(os.environ) if name in settings.arguments]
    told = f"; in the environment: {', '.join(sorted(around))}" if around else ""
    logger.info("Arguments of boto3: %s%s.", ", ".join(sorted(settings.arguments)), told)


def prove(console: Console, recipe: Recipe, command: str) -> int:
    """Run a tiny task as the recipe says, and tell each step."""
    from ecs_block.agent.validation import validate
    from ecs_block.engine import bridge
    from ecs_block.engine.prepare import Control

    words = _words(command)
    told = _Steps(console)
    try:
        result = bridge.block_on(lambda: validate(recipe, command=words, on_event=told.event), Control())
    except EcsBlockError as error:
        console.print_line(f"✗ {told.next}: it failed.")
        console.error(str(error))
        return exits.USAGE if isinstance(error, InvalidTask) else NOT_READY
    console.print_line(f"✓ task: it ran, and ended with exit code {result.status_code}.")
    console.print_line(
        "✓ cleaned up: no task is left" + (", and the definition is deregistered." if told.registered else ".")
    )
    console.check_written()
    return 0


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InvalidTask(f"--command cannot be split as a shell would: {error}.") from None
    if not words:
        raise InvalidTask("--command is empty.")
    return words


class _Steps:
    """Tells the steps of a proof as they are done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.next = "task definition"
        self.registered = False

    def event(self, event: Any) -> None:
        """Take note of what happens."""
        from ecs_block import events

        match event:
            case events.DefinitionReady(task_definition_arn=arn, registered=registered):
                self.registered, self.next = registered, "task"
                said = "registers" if registered else "is there"
                self._console.print_line(f"✓ task definition: {short_name(arn)} {said}.")


# --- lines for machines --------------------------------------------------------------------------------------------------


class _JsonLines(logging.Handler):
    """Writes what is logged to stderr, one JSON object a line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; what each task goes through is told once, as its job's."""
        if record.module == "teller" and record.levelno < logging.WARNING:
            return
        print(json.dumps(line_of(record), ensure_ascii=False, default=str), file=sys.stderr, flush=True)  # noqa: T201


def line_of(record: logging.LogRecord) -> dict[str, Any]:
    """Give a record as an object: when, how grave, what, and what else is known of it."""
    from ecs_block.aws import redactor

    more = {name: value for name, value in vars(record).items() if name not in _USUAL}
    when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    told = {"time": when, "level": record.levelname.lower(), "message": record.getMessage(), **more}
    found: dict[str, Any] = redactor().payload(told)
    return found


def _write_json_lines() -> None:
    """Let the log speak in JSON, in place of the console."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(_JsonLines())
    logging.captureWarnings(True)
