"""Options of `agent` and `worker`, and the settings that they make with the environment and a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ecs_block.cli.fields import aws_options
from ecs_block.cli.kinds import Choice
from ecs_block.cli.offers import block_names, file_names, pool_names
from ecs_block.errors import InvalidTask

if TYPE_CHECKING:
    from ecs_block.agent.settings import Settings

Command = Callable[..., Any]

_LAUNCH_TYPES = ("FARGATE", "FARGATE_SPOT", "EC2", "EXTERNAL", "MANAGED_INSTANCES")

_COUNT = click.IntRange(min=1)

queue_option = click.option("--queue", metavar="URL", help="URL of the SQS queue.")
env_option = click.option(
    "-e", "--env", "env", multiple=True, metavar="K[=V]",
    help="Set a variable of every task; without =V, to what it is here. Repeatable.",
)  # fmt: skip
_KEYS = (
    click.option("--aws-access-key-id", metavar="ID", help="Access key id. Default: boto3's own chain."),
    click.option("--aws-secret-access-key", metavar="KEY", help="Secret access key; better as a variable."),
    click.option("--aws-session-token", metavar="TOKEN", help="Session token of temporary keys."),
    aws_options,
    click.option("--botocore-config", metavar="JSON", help="Arguments of botocore's Config."),
)
_LOOP = (
    click.option("--dead-letter-queue", metavar="URL", help="Where rejected messages go. Default: the queue's own."),
    click.option("--name", metavar="NAME", help="Name of this process in its lines."),
    click.option(
        "--label", "labels", multiple=True, metavar="LABEL",
        help="Take jobs that ask for this label, too; others are left to other agents. Repeatable.",
    ),
    env_option,
    click.option("--limit", type=_COUNT, metavar="N", help="Have at most N tasks at a time."),
    click.option("--max-polls", type=_COUNT, metavar="N", help="End after asking the queue N times."),
    click.option(
        "--agent-address", metavar="URL", help="Serve health and status here: http://127.0.0.1:8080.",
    ),
    click.option(
        "--allow", multiple=True, metavar="FIELD", help="Let jobs set this field, too: image, cpu, … Repeatable."
    ),
    click.option("--no-logs", is_flag=True, help="Keep the jobs' output out of CloudWatch Logs."),
    click.option("--log-format", type=Choice(["text", "json"]), metavar="FORMAT", help="Lines as text or as json."),
)  # fmt: skip
_TASKS = (
    click.option("--block", metavar="NAME", shell_complete=block_names, help="Saved block that every job starts from."),
    click.option(
        "--launch-type", type=Choice(_LAUNCH_TYPES, case_sensitive=False), metavar="TYPE",
        help=f"{', '.join(_LAUNCH_TYPES[:-1])} or {_LAUNCH_TYPES[-1]}.",
    ),
    click.option(
        "--enable-task-revisions", is_flag=True,
        help="Name families after the jobs, and tag revisions with JobId and JobVersion; those that are there are used.",
    ),
    click.option("--use-external-kwargs", is_flag=True, help="Read more arguments for single jobs from S3."),
    click.option("--external-kwargs-s3-bucket", metavar="BUCKET", help="Bucket of these arguments."),
    click.option("--external-kwargs-s3-key", metavar="PREFIX", help="Prefix: PREFIX/name-of-job/first-8-of-id.json."),
)  # fmt: skip
_CONFIG = click.option(
    "--config", metavar="FILE|s3://…", shell_complete=file_names,
    help="Read options and arguments from a file, JSON or YAML. What is given here wins.",
)  # fmt: skip
words_argument = click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[KEY=VALUE]...")

pool_option = click.option("--pool", metavar="NAME", shell_complete=pool_names, help="Saved work pool.")


def agent_options(command: Command) -> Command:
    """Add the options of an agent, and its arguments."""
    return _with((queue_option, *_LOOP, *_TASKS, _CONFIG, *_KEYS, words_argument), command)


def worker_options(command: Command) -> Command:
    """Add the options of a worker."""
    return _with((pool_option, *_LOOP, _CONFIG, *_KEYS), command)


def key_options(command: Command) -> Command:
    """Add the options that say who talks to AWS."""
    return _with(_KEYS, command)


def _with(options: Iterable[Callable[[Command], Command]], command: Command) -> Command:
    for option in reversed(list(options)):
        command = option(command)
    return command


def settings_of(given: Mapping[str, Any], words: Sequence[str] | None = None) -> Settings:
    """Bring the options together with the environment and the file. Raises InvalidTask, BlockInvalid or AwsError.

    `words` are arguments of boto3; without them, none is read from anywhere.
    """
    from ecs_block.agent import settings

    refuse_unknown_options(words or ())
    return settings.settings_of(told_by(given), words, os.environ, given.get("config"))


def told_by(given: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings that the options say."""
    told = {name: value for name, value in given.items() if value not in (None, (), False) and name != "config"}
    if "env" in told:
        told["env"] = variables_of(told["env"])
    if "botocore_config" in told:
        told["botocore_config"] = _object("--botocore-config", told["botocore_config"])
    return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}


def variables_of(items: Iterable[str]) -> dict[str, str]:
    """Read `K=V` and `K`. Raises InvalidTask."""
    from ecs_block.cli.fields import _variable

    return {name: value for item in items for name, value in _variable(item, "--env").items()}


def _object(option: str, text: str) -> dict[str, Any]:
    from ecs_block.agent.arguments import literal

    found = literal(text)
    if not isinstance(found, dict):
        raise InvalidTask(f"{option} must be an object, as JSON or as a Python literal.")
    return found


def refuse_unknown_options(words: Sequence[str]) -> None:
    """Raise NoSuchOption for a word that looks like an option and is neither one nor an argument of AWS's."""
    from ecs_block.agent.arguments import known
    from ecs_block.plan.shape import did_you_mean

    ctx = click.get_current_context(silent=True)
    options = [name for param in (ctx.command.params if ctx else ()) for name in param.opts if name.startswith("--")]
    for word in words:
        key, equals, _ = word.partition("=")
        if not key.startswith("-") or key.removeprefix("--") in known():
            if key.startswith("--") and not equals:
                raise click.UsageError(f"The argument {key} needs a value: {key}=VALUE.", ctx)
            continue
        nearest = did_you_mean(key, [*options, "--help", *(f"--{name}" for name in known())])
        raise click.UsageError(f"No such option {key!r}.{nearest}", ctx)
