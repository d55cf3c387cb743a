"""Options that say what a task is, and how they become an ECSTask.

What wins, from the least to the most: the file or the saved block, `--set`, the option of a field, the command's words.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click

from ecs_block.cli.kinds import Choice, Duration
from ecs_block.cli.offers import block_names, file_names, options_first
from ecs_block.cli.stdin import STDIN, text_of_stdin
from ecs_block.errors import InvalidTask

if TYPE_CHECKING:
    from ecs_block.task import ECSTask

Command = Callable[..., Any]

_LAUNCH_TYPES = ("FARGATE", "FARGATE_SPOT", "EC2", "EXTERNAL", "MANAGED_INSTANCES")
# Options that are a field under another name or none.
_FIELDS = {
    "name": "name",
    "image": "image",
    "cpu": "cpu",
    "memory": "memory",
    "cluster": "cluster",
    "launch_type": "launch_type",
    "vpc_id": "vpc_id",
    "execution_role": "execution_role_arn",
    "task_role": "task_role_arn",
    "timeout": "task_run_timeout_seconds",
}
_CREDENTIALS = {"profile": "profile_name", "region": "region_name", "endpoint_url": "endpoint_url"}
_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_TEXT_MAPS = ("env", "labels", "cloudwatch_logs_options")  # their values are text, and their keys may hold dots
_TEXT_TYPES = {str, type(None)}


_TASK_OPTIONS = (
    click.option(
        "-f", "--file", metavar="FILE|-", shell_complete=file_names,
        help="Start from a block file, JSON or YAML (-: JSON on stdin).",
    ),
    click.option("--block", metavar="NAME", shell_complete=block_names, help="Start from a saved block."),
    click.option(
        "--set", "settings", multiple=True, metavar="FIELD=VALUE",
        help="Set any field: JSON or text; task_run_request.count=2 reaches into it, null unsets. Repeatable.",
    ),
    click.option(
        "-e", "--env", multiple=True, metavar="K[=V]",
        help="Set a variable; without =V, to what it is here. Repeatable.",
    ),
    click.option(
        "--env-file", multiple=True, metavar="FILE", shell_complete=file_names,
        help="Set the variables in a file of K=V lines. Repeatable.",
    ),
    click.option("--name", metavar="NAME", help="Name of the task, shown in its log stream."),
    click.option("--image", metavar="IMAGE", help="Container image. Default: Python's, of this version."),
    click.option("--cpu", metavar="SIZE", help="CPU: 512, 1vcpu. Default: 1 vCPU."),
    click.option("--memory", metavar="SIZE", help="Memory: 512 (MiB), 2gb. Default: 2 GB."),
    click.option("--cluster", metavar="NAME", help="Cluster, by name or ARN. Default: the one named default."),
    click.option(
        "--launch-type", type=Choice(_LAUNCH_TYPES, case_sensitive=False), metavar="TYPE",
        help=f"{', '.join(_LAUNCH_TYPES[:-1])} or {_LAUNCH_TYPES[-1]}. Default: FARGATE.",
    ),
    click.option("--vpc-id", metavar="VPC", help="VPC whose subnets are used. Default: the default VPC."),
    click.option("--execution-role", metavar="ARN", help="Role with which ECS pulls the image and writes the output."),
    click.option("--task-role", metavar="ARN", help="Role of the program itself."),
    click.option("--timeout", type=Duration(), metavar="TIME", help="Stop it after this time: 90s, 30m, 1h30m."),
    click.option("--no-logs", is_flag=True, help="Do not send the output to CloudWatch Logs, nor show it."),
    click.option(
        "--patch", "patches", multiple=True, metavar="JSON|@FILE|-",
        help="JSON 6902 operations on the finished run request, after the block's own. Repeatable.",
    ),
)  # fmt: skip
_AWS_OPTIONS = (
    click.option("--profile", metavar="NAME", help="Profile of the AWS configuration."),
    click.option("--region", metavar="REGION", help="AWS region."),
    click.option("--endpoint-url", metavar="URL", help="Endpoint to use instead of AWS's own."),
)


def aws_options(command: Command) -> Command:
    """Add the options that say who talks to AWS, and where."""
    return _with(_AWS_OPTIONS, command)


def task_options(command: Command) -> Command:
    """Add the options that say what the task is, and the words of its command."""
    words = click.argument(
        "words", nargs=-1, type=click.UNPROCESSED, metavar="[--] [COMMAND...]", shell_complete=options_first
    )
    return _with((*_TASK_OPTIONS, *_AWS_OPTIONS, words), command)


def _with(options: Iterable[Callable[[Command], Command]], command: Command) -> Command:
    for option in reversed(list(options)):
        command = option(command)
    return command


# --- an ECSTask of what was given ---------------------------------------------------------------------------------


def task_of(given: Mapping[str, Any]) -> ECSTask:
    """Make the task that the options describe. Raises InvalidTask, BlockNotFound or BlockInvalid."""
    from ecs_block.task import ECSTask

    _refuse_two_from_stdin(given)
    fields = _base(given["file"], given["block"])
    for setting in given["settings"]:
        _set(fields, setting)
    fields |= {field: given[option] for option, field in _FIELDS.items() if given[option] is not None}
    _add_variables(fields, given)
    _add_credentials(fields, given)
    _add_patches(fields, given["patches"])
    if given["no_logs"]:
        fields |= {"stream_output": False, "configure_cloudwatch_logs": False}
        fields.pop("cloudwatch_logs_options", None)
    if given["words"]:
        fields["command"] = list(given["words"])
    return ECSTask(**fields)


def describes_a_task(given: Mapping[str, Any]) -> bool:
    """Tell whether anything says what to run. An empty task would start Python and end at once."""
    return any(given[name] for name in ("words", "file", "block", "settings", "image"))


def has_execution_role(task: ECSTask) -> bool:
    """Tell whether the task itself names the role with which its output can be written."""
    return bool(task.execution_role_arn or (task.task_definition or {}).get("executionRoleArn"))


def credentials_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields of the AwsCredentials that the options describe."""
    return {field: given[option] for option, field in _CREDENTIALS.items() if given[option] is not None}


def _refuse_two_from_stdin(given: Mapping[str, Any]) -> None:
    if [given["file"], *given["patches"]].count(STDIN) > 1:
        raise InvalidTask("Only one of --file and --patch can be read from stdin (-).")


def _base(file: str | None, block: str | None) -> dict[str, Any]:
    """Give the fields that a file or a saved block sets."""
    from ecs_block.task import ECSTask

    if file is not None and block is not None:
        raise InvalidTask("--file and --block exclude each other; give one of them.")
    if file is None and block is None:
        return {}
    if block is not None:
        task = ECSTask.load(block)
    else:
        task = ECSTask._read(text_of_stdin(), Path("<stdin>")) if file == STDIN else ECSTask.load_from(str(file))
    return {name: getattr(task, name) for name in task.model_fields_set}


def _text_of(path: str, option: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidTask(f"{option}: {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InvalidTask(f"{option}: {path} is not UTF-8 text.") from None


# --- --set --------------------------------------------------------------------------------------------------------


def _set(fields: dict[str, Any], setting: str) -> None:
    path, equals, text = setting.partition("=")
    if not equals or not path:
        raise InvalidTask(f"--set needs FIELD=VALUE, such as --set image=python:3.12, but was given {path!r}.")
    name, *inner = path.split(".")
    if name in _TEXT_MAPS and inner:
        inner = [".".join(inner)]
    value = _value(name, inner, text)
    fields[name] = _put(fields.get(name), inner, value, name) if inner else value


def _put(target: Any, inner: list[str], value: Any, where: str) -> dict[str, Any]:
    """Give a copy of a mapping in which the inner path leads to the value."""
    key, *rest = inner
    copy = _members(target, where)
    copy[key] = _put(copy.get(key), rest, value, f"{where}.{key}") if rest else value
    return copy


def _members(value: Any, where: str) -> dict[str, Any]:
    """Copy what stands in a mapping or is set in an AwsCredentials. Raises InvalidTask for anything else."""
    given = getattr(value, "model_fields_set", None)
    if given is not None:
        return {name: getattr(value, name) for name in given}
    if value is not None and not isinstance(value, Mapping):
        raise InvalidTask(f"{where} must be a map of names to values, not {type(value).__name__}.")
    return dict(value or {})


def _value(name: str, inner: list[str], text: str) -> Any:
    """Read a value: JSON where the field takes more than text, and `null` everywhere."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if value is None or _takes(name, inner, value):
        return value
    return text


def _takes(name: str, inner: list[str], value: Any) -> bool:
    """Tell whether JSON is meant: `--set family=2024` and `--set env.DEBUG=true` give text."""
    if name == "command":
        return isinstance(value, list)
    if name in _TEXT_MAPS or (name == "aws_credentials" and inner[:1] != ["botocore_config"]):
        return isinstance(value, Mapping)  # the map itself, or a reference to a secret
    return bool(inner) or not _is_text(name)


def _is_text(name: str) -> bool:
    from ecs_block.task import ECSTask

    field = ECSTask.model_fields.get(name)
    return field is not None and set(_types(field.annotation)) <= _TEXT_TYPES


def _types(annotation: Any) -> Iterator[Any]:
    """List what an annotation such as `Literal["a", "b"] | None` is made of."""
    if get_origin(annotation) is Literal:
        yield from map(type, get_args(annotation))
    elif not get_args(annotation):
        yield annotation
    for part in get_args(annotation):
        if get_origin(annotation) is not Literal:
            yield from _types(part)


# --- variables, credentials, patches ------------------------------------------------------------------------------


def _add_variables(fields: dict[str, Any], given: Mapping[str, Any]) -> None:
    added: dict[str, str] = {}
    for path in given["env_file"]:
        for number, line in enumerate(_text_of(path, "--env-file").splitlines(), start=1):
            if line.strip() and not line.lstrip().startswith("#"):
                added |= _variable(line.lstrip(), f"{path}:{number}")
    for item in given["env"]:
        added |= _variable(item, "--env")
    if added:
        fields["env"] = _members(fields.get("env"), "env") | added


def _variable(text: str, where: str) -> dict[str, str]:
    """Read `K=V`, or `K` with the value that it has here. The value is quoted in no message."""
    name, equals, value = text.partition("=")
    if not name.strip():
        raise InvalidTask(f"{where}: the name of the variable is missing; write K=V, or K to take its value from here.")
    if not equals:
        name = name.strip()
        if name not in os.environ:
            raise InvalidTask(f"{where}: the variable {name} is not set here; set it, or give {name}=VALUE.")
        value = os.environ[name]
    return {name: value}


def _add_credentials(fields: dict[str, Any], given: Mapping[str, Any]) -> None:
    added = credentials_of(given)
    if not added:
        return
    known = _members(fields.get("aws_credentials"), "aws_credentials")
    if "profile_name" in added:  # whoever names a profile does not want the block's keys
        known = {name: value for name, value in known.items() if name not in _KEYS}
    fields["aws_credentials"] = known | added


def _add_patches(fields: dict[str, Any], patches: Iterable[str]) -> None:
    from ecs_block.plan.patch import JsonPatch

    operations = [operation for text in patches for operation in JsonPatch(_patch_text(text))]
    if operations:
        fields["task_customizations"] = JsonPatch([*JsonPatch(fields.get("task_customizations", ())), *operations])


def _patch_text(given: str) -> str:
    if given == STDIN:
        return text_of_stdin()
    return _text_of(given[1:], "--patch") if given.startswith("@") else given
