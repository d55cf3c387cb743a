"""The options of an agent or a worker, from the command line, the environment and a configuration file, in that order.

An option `max_polls` is `--max-polls` on the command line, `ECS_BLOCK_AGENT_MAX_POLLS` in the environment, and `max_polls` or
`max-polls` in a file, which holds arguments of boto3 beside the options. AWS's own variables (`AWS_REGION`, …) are boto3's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from ecs_block.agent import arguments
from ecs_block.agent.arguments import Arguments
from ecs_block.agent.documents import content_of, document_of
from ecs_block.aws import AwsCredentials
from ecs_block.errors import AwsError, InvalidTask, Kind
from ecs_block.plan.secret import Secret, Text
from ecs_block.plan.shape import did_you_mean
from ecs_block.plan.strict import Strict
from ecs_block.task import LaunchType

PREFIX = "ECS_BLOCK_AGENT_"
AGENT_NAME = "ecs-block-agent"
_S3 = re.compile(r"s3://([^/]+)/(.+)")
_WHAT = "configuration"
_LISTS = ("labels", "allow")
_OBJECTS = ("env", "botocore_config")
_CREDENTIALS = {
    "aws_access_key_id": "aws_access_key_id",
    "aws_secret_access_key": "aws_secret_access_key",
    "aws_session_token": "aws_session_token",
    "profile": "profile_name",
    "region": "region_name",
    "endpoint_url": "endpoint_url",
    "botocore_config": "botocore_config",
}
_SPELLINGS = {"label": "labels", "env_vars": "env", "region_name": "region", "profile_name": "profile"}


class Settings(Strict):
    """What an agent or a worker is told."""

    queue: str | None = None
    """URL of the SQS queue."""
    dead_letter_queue: str | None = None
    """URL of the queue for what is no job; unset: the one of the queue's redrive policy."""
    block: str | None = None
    """Saved block to start from."""
    pool: str | None = None
    """Saved work pool."""
    name: str = AGENT_NAME
    """Name of the agent, in its lines."""
    labels: list[str] = []
    """Labels of the agent: a job is taken if it has all of the job's."""
    env: dict[str, Text] = {}
    """Variables of every task."""
    max_polls: Annotated[int, Field(gt=0)] | None = None
    """How often the queue is asked before the agent ends."""
    limit: Annotated[int, Field(gt=0)] | None = None
    """How many tasks there may be at a time."""
    agent_address: str | None = None
    """Where health and status are served, such as http://127.0.0.1:8080."""
    launch_type: LaunchType | None = None
    """Where the tasks run."""
    enable_task_revisions: bool = False
    """Name families after jobs, and tag their revisions with the job's id and version."""
    use_external_kwargs: bool = False
    """Read arguments for single jobs from S3."""
    external_kwargs_s3_bucket: str | None = None
    """Bucket of these arguments."""
    external_kwargs_s3_key: str | None = None
    """Prefix of their keys."""
    no_logs: bool = False
    """Keep the output of jobs out of CloudWatch Logs."""
    allow: list[str] = []
    """Fields that jobs may set beyond the usual ones."""
    log_format: Literal["text", "json"] = "text"
    """How the agent's lines are written."""
    aws_access_key_id: Secret | None = None
    """Key of who talks to AWS; unset: boto3's own chain."""
    aws_secret_access_key: Secret | None = None
    """The secret that belongs to the key."""
    aws_session_token: Secret | None = None
    """The token of a temporary key."""
    profile: str | None = None
    """Profile of the AWS configuration files."""
    region: str | None = None
    """Region of the queue and the tasks."""
    endpoint_url: str | None = None
    """Where AWS's API is, for another cloud than AWS."""
    botocore_config: dict[str, Any] = {}
    """Settings of the HTTP client, as botocore's `Config` takes them."""
    arguments: Arguments = {}
    """Arguments of `register_task_definition` and `run_task`."""

    def credentials(self, given: AwsCredentials | None = None) -> AwsCredentials:
        """Give who talks to AWS: what is set here, over what a block says."""
        found = {field: getattr(self, name) for name, field in _CREDENTIALS.items() if name in self.model_fields_set}
        known = {name: getattr(given, name) for name in given.model_fields_set} if given is not None else {}
        if "profile_name" in found:  # whoever names a profile does not want the block's keys
            known = {name: value for name, value in known.items() if not name.startswith("aws_")}
        return AwsCredentials(**{**known, **found})


def settings_of(
    given: Mapping[str, Any], words: Sequence[str] | None, environ: Mapping[str, str], config: str | None = None
) -> Settings:
    """Bring all sources together. `given` are the options of the command line, `words` its arguments.

    Where `words` is None, arguments are of no use, and are neither looked for nor taken.
    Raises InvalidTask that says where it stands, BlockInvalid for a file that is no such thing, AwsError when S3 refuses it.
    """
    told = Settings(**given, arguments=arguments.read(arguments.of_words(words or ())))
    around = _of_environment(environ, with_arguments=words is not None)
    path = config if config is not None else environ.get(f"{PREFIX}CONFIG")
    file = Settings()
    if path:
        file = _of_file(path, _merged(around, told).credentials(), with_arguments=words is not None)
    return _merged(file, around, told)


def _merged(*sources: Settings) -> Settings:
    """Lay settings over one another, the last on top; arguments and variables each by itself."""
    fields = {name: getattr(source, name) for source in sources for name in source.model_fields_set}
    for name in ("arguments", "env"):
        if name in fields:
            fields[name] = {key: value for source in sources for key, value in getattr(source, name).items()}
    return Settings(**fields)


# --- the environment ---------------------------------------------------------------------------------------------------


def _of_environment(environ: Mapping[str, str], *, with_arguments: bool) -> Settings:
    found: dict[str, Any] = {"arguments": arguments.of_environment(environ) if with_arguments else {}}
    for name in _options():
        variable = f"{PREFIX}{name.upper()}"
        if environ.get(variable):
            found[name] = _checked(name, environ[variable], f"The environment variable {variable}")
    return Settings(**found)


def _options() -> Iterator[str]:
    return (name for name in Settings.model_fields if name != "arguments")


def variables() -> dict[str, str]:
    """Name each variable of the environment that is read, and say what it holds. The documentation lists them."""
    told = {f"{PREFIX}{name.upper()}": Settings.model_fields[name].description or "" for name in _options()}
    return {f"{PREFIX}CONFIG": "File or s3:// address of a JSON or YAML document with any of these.", **told}


def _checked(name: str, value: Any, where: str) -> Any:
    """Read one option. Raises InvalidTask that says where it stands."""
    try:
        value = _of_text(name, value) if isinstance(value, str) else value
        return getattr(Settings(**{name: value}), name)
    except InvalidTask as error:
        raise InvalidTask(f"{where}: {error}") from None


def _of_text(name: str, text: str) -> Any:
    if name in _LISTS:
        found = arguments.literal(text) if text.lstrip().startswith("[") else None
        return found if isinstance(found, list) else [part.strip() for part in text.split(",") if part.strip()]
    if name in _OBJECTS:
        found = arguments.literal(text)
        if not isinstance(found, dict):
            raise InvalidTask(f"{name} must be an object, as JSON or as a Python literal.")
        return found
    return text


# --- the file ----------------------------------------------------------------------------------------------------------


def _of_file(path: str, credentials: AwsCredentials, *, with_arguments: bool) -> Settings:
    where = f"{path}: "
    document = document_of(_content_of(path, credentials), path, _WHAT)
    found: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in document.items():
        option = _SPELLINGS.get(key.replace("-", "_"), key.replace("-", "_"))
        if option in _options():
            found[option] = _checked(option, value, path)
        else:
            rest[key] = value
    _refuse_unknown(rest, where, with_arguments=with_arguments)
    return Settings(**found, arguments=arguments.read(rest, where))


def _refuse_unknown(names: Mapping[str, Any], where: str, *, with_arguments: bool) -> None:
    taken = list(arguments.known()) if with_arguments else []
    what = "neither an option nor an argument" if with_arguments else "not an option"
    for name in names:
        if name not in taken:
            raise InvalidTask(f"{where}{name!r} is {what}.{did_you_mean(name, [*_options(), *taken])}")


def _content_of(path: str, credentials: AwsCredentials) -> bytes:
    if not path.startswith("s3://"):
        return content_of(path, _WHAT)
    found = _S3.fullmatch(path)
    if found is None:
        raise InvalidTask(f"{path} names no object; write s3://BUCKET/KEY.")
    try:
        return _of_s3(found[1], found[2], credentials)
    except AwsError as error:
        if error.kind is Kind.NOT_FOUND:
            raise InvalidTask(f"The {_WHAT} {path} is not there. {error}") from None
        raise


def _of_s3(bucket: str, key: str, credentials: AwsCredentials) -> bytes:
    from ecs_block.agent import external
    from ecs_block.engine import bridge
    from ecs_block.engine.prepare import Control

    return bridge.block_on(lambda: external.content_of(credentials, bucket, key), Control())
