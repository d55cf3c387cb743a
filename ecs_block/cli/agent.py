"""`ecs-block agent`: jobs from a queue, each run once as a task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecs_block.cli.agent_options import (
    agent_options,
    env_option,
    key_options,
    pool_option,
    queue_option,
    settings_of,
    variables_of,
)
from ecs_block.cli.help import Subverbs
from ecs_block.cli.offers import file_names
from ecs_block.cli.output import Console, speaks
from ecs_block.cli.stdin import STDIN, text_of_stdin
from ecs_block.errors import EcsBlockError, InvalidTask

if TYPE_CHECKING:
    from ecs_block.agent.recipe import BlockRecipe
    from ecs_block.agent.settings import Settings
    from ecs_block.aws import AwsCredentials

_GROUP_EXAMPLES = """\
Examples:

\b
    ecs-block agent check --block nightly
    ecs-block agent start --queue URL --block nightly --limit 200
    ecs-block agent submit --queue URL -- python -m report
"""
_ARGUMENTS = """\
Arguments are those of boto3's register_task_definition and run_task in AWS's spelling, as key=value or --key=value, the
value as JSON or as a Python literal. containerDefinitions_environment, _secrets, _mountPoints, _logConfiguration, … reach
into the first container. They may stand in the environment, too: under their names, or in upper case with underscores
(networkConfiguration, NETWORK_CONFIGURATION).

Options may stand in the environment as ECS_BLOCK_AGENT_QUEUE, ECS_BLOCK_AGENT_MAX_POLLS and so on, lists with commas, and in
the file of --config. The command line wins, then the environment. AWS_REGION and its like are read as boto3 reads them.
"""
_START_EXAMPLES = f"""\
Examples:

\b
  Run the jobs of a queue as a saved block says, at most 200 at a time:
    ecs-block agent start --block nightly --limit 200 \\
        --queue https://sqs.eu-central-1.amazonaws.com/123456789012/jobs
\b
  Say with boto3's arguments how the tasks run:
    ecs-block agent start --queue URL cpu=512 memory=1024 \\
      networkConfiguration='{{"awsvpcConfiguration":{{"subnets":["sn-1"]}}}}' \\
      containerDefinitions_environment='[{{"name": "STAGE", "value": "test"}}]'
\b
  Take jobs with the label gpu, too, let jobs choose an image, serve health:
    ecs-block agent start --queue URL --label gpu --allow image \\
        --agent-address http://127.0.0.1:8080
\b
  Keep all of it in a file, and prove that it works:
    ecs-block agent check --config agent.yaml \\
        && ecs-block agent start --config agent.yaml

{_ARGUMENTS}"""
_CHECK_EXAMPLES = """\
Examples:

\b
  Prove it before the first job comes:
    ecs-block agent check --block nightly cpu=512 memory=1024
\b
  The image has no program `true`:
    ecs-block agent check --config agent.yaml --command "/app/main --version"

Exit codes: 0 the definition registers and a task runs; 1 it does not; 2 wrong usage.
"""
_SUBMIT_EXAMPLES = """\
Examples:

\b
  Submit a job; it runs once, however often this is repeated:
    ecs-block agent submit --queue URL --id report-1121 -- python -m report
\b
  Give it a name, a variable, parameters and a label that the agent must have:
    ecs-block agent submit --queue URL --name report -e STAGE=test \\
        --parameters '{"day": "2026-11-21"}' --label gpu -- python -m report
\b
  Submit a thousand, one JSON object a line:
    ecs-block agent submit --queue URL --file jobs.jsonl
\b
  Give values for the variables of a work pool:
    ecs-block agent submit --pool reports --value cpu=512 --value image=mine
"""


@click.group(cls=Subverbs, epilog=_GROUP_EXAMPLES)
def agent() -> None:
    """Run jobs from an SQS queue as tasks, each once."""


_FREE = {"ignore_unknown_options": True}


@agent.command(context_settings=_FREE, epilog=_START_EXAMPLES)
@agent_options
@speaks
def start(console: Console, *, words: tuple[str, ...], **given: Any) -> int:
    """Take jobs from a queue and run each as a task, until SIGTERM or Ctrl-C.

    Running tasks are left alone at the end, and taken up at the next start.
    """
    from ecs_block.cli.serving import serve

    settings = settings_of(given, words)
    recipe = recipe_of(settings)
    return serve(console, settings, needed(settings.queue, "--queue"), recipe, allow=settings.allow)


@agent.command(context_settings=_FREE, epilog=_CHECK_EXAMPLES)
@click.option("--command", metavar="COMMAND", default="true", show_default=True, help="What the tiny task runs.")
@agent_options
@speaks
def check(console: Console, *, command: str, words: tuple[str, ...], **given: Any) -> int:
    """Prove that the definition registers and a task runs, then clean up.

    It takes the options and arguments of `agent start`. A task really runs, for a moment. Its definition is registered
    under a family of its own and deregistered again, and no task is left, also when something fails.
    """
    from ecs_block.cli.serving import prove

    settings = settings_of(given, words)
    return prove(console, recipe_of(settings), command)


@agent.command(epilog=_SUBMIT_EXAMPLES)
@queue_option
@pool_option
@click.option("--id", metavar="ID", help="A job of one id runs once. Default: a new one.")
@click.option("--name", metavar="NAME", help="Name of the job.")
@click.option("--version", metavar="VERSION", help="Version of the job, for task revisions.")
@click.option("--label", "labels", multiple=True, metavar="LABEL", help="An agent must have it. Repeatable.")
@env_option
@click.option("--parameters", metavar="JSON", help="An object for the program, in ECS_BLOCK_PARAMETERS.")
@click.option("--value", "values", multiple=True, metavar="NAME=VALUE", help="Value for a pool's variable. Repeatable.")
@click.option(
    "--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Set another field, as JSON or text. Repeatable."
)
@click.option(
    "-f", "--file", metavar="FILE|-", shell_complete=file_names, help="Submit the jobs of a file: JSON, one a line."
)
@key_options
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[--] [COMMAND...]")
@speaks
def submit(console: Console, *, file: str | None, words: tuple[str, ...], **given: Any) -> int:
    """Put a job into a queue, and print its id."""
    from ecs_block.agent import RunQueue

    job_options = {name: given.pop(name) for name in ("id", "name", "version", "labels", "env", "parameters")}
    job_options |= {"values": given.pop("values"), "settings": given.pop("settings"), "words": words}
    if file is not None and any(job_options.values()):
        raise InvalidTask("--file holds whole jobs, so it excludes what else describes one.")
    jobs = [_job_of(job_options)] if file is None else _jobs_of(file)
    settings = settings_of(given)
    queue, credentials = _queue_of(settings)
    ids = RunQueue(queue, credentials).submit_all(jobs)
    console.print_text("\n".join(ids))
    return 0


def recipe_of(settings: Settings) -> BlockRecipe:
    """Make the recipe that the settings of an agent describe. Raises InvalidTask or BlockNotFound."""
    from ecs_block.agent import recipe
    from ecs_block.task import ECSTask

    if settings.pool is not None:
        raise InvalidTask("An agent takes no pool; a worker does: ecs-block worker start --pool NAME.")
    block = ECSTask.load(settings.block) if settings.block is not None else ECSTask()
    return recipe.recipe_of(
        block,
        settings.arguments,
        env_vars=settings.env,
        launch_type=settings.launch_type,
        enable_task_revisions=settings.enable_task_revisions,
        use_external_kwargs=settings.use_external_kwargs,
        external_kwargs_s3_bucket=settings.external_kwargs_s3_bucket,
        external_kwargs_s3_key=settings.external_kwargs_s3_key,
        no_logs=settings.no_logs,
        aws_credentials=at_the_queue(settings.credentials(block.aws_credentials), settings.queue),
    )


def at_the_queue(credentials: AwsCredentials, queue: str | None) -> AwsCredentials:
    """Give the region of the queue to credentials for which nothing says one."""
    if queue is None or credentials.region() is not None:
        return credentials
    from ecs_block.plan.queue_url import region_of

    region = region_of(queue)
    return credentials.model_copy(update={"region_name": region}) if region else credentials


def needed(value: str | None, option: str) -> str:
    """Give the value of an option that cannot be left out. Raises InvalidTask."""
    if value is None:
        variable = f"ECS_BLOCK_AGENT_{option.strip('-').upper().replace('-', '_')}"
        raise InvalidTask(f"{option} is missing; give it, or set {variable}.")
    return value


def _queue_of(settings: Settings) -> tuple[str, AwsCredentials]:
    queue = settings.queue
    if settings.pool is not None:
        from ecs_block.agent import WorkPool

        if "queue" in settings.model_fields_set and queue is not None:
            raise InvalidTask("--queue and --pool exclude each other: a pool has a queue of its own.")
        queue = WorkPool.load(settings.pool).queue
    return needed(queue, "--queue"), settings.credentials()


# --- jobs of the command line ------------------------------------------------------------------------------------


def _job_of(given: Mapping[str, Any]) -> dict[str, Any]:
    job = {name: given[name] for name in ("id", "name", "version") if given[name] is not None}
    if given["labels"]:
        job["labels"] = list(given["labels"])
    if given["env"]:
        job["env"] = variables_of(given["env"])
    if given["words"]:
        job["command"] = list(given["words"])
    if given["parameters"] is not None:
        job["parameters"] = _json(given["parameters"], "--parameters")
    for option, target in (("settings", job), ("values", job.setdefault("values", {}))):
        for item in given[option]:
            name, value = _pair(item, "--set" if option == "settings" else "--value")
            target[name] = value
    if not job["values"]:
        del job["values"]
    if not job:
        raise InvalidTask("Nothing says what to run. Give a COMMAND, --value, --set or --file.")
    return job


def _pair(text: str, option: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidTask(f"{option} needs NAME=VALUE, but was given {name!r}.")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "it cannot be read"
        raise InvalidTask(f"{where} is not valid JSON: {reason}.") from None


def _jobs_of(path: str) -> list[dict[str, Any]]:
    """Read a file of jobs: one JSON object a line, or one over many lines."""
    try:
        text = text_of_stdin() if path == STDIN else Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidTask(f"--file: {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InvalidTask(f"--file: {path} is not UTF-8 text.") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    try:
        whole = json.loads(text)
        return [dict(item) for item in (whole if isinstance(whole, list) else [whole])]
    except (ValueError, TypeError, RecursionError):
        pass
    jobs = [_object_of(line, f"{path}:{number}") for number, line in lines]
    if not jobs:
        raise EcsBlockError(f"{path} holds no job.")
    return jobs


def _object_of(line: str, where: str) -> dict[str, Any]:
    found = _json(line, where)
    if not isinstance(found, dict):
        raise InvalidTask(f"{where} is no JSON object.")
    return found
