"""A job: what a message of the queue asks for.

A message is written by somebody else, so nothing in it is believed: whatever is no job is `Rejected` with a reason that names
the field and never quotes a value. What a job may ask for at all is decided in `trust`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from ecs_block.errors import EcsBlockError, InvalidTask
from ecs_block.plan.strict import Strict
from ecs_block.plan.written import Command

LARGEST = 262_144  # bytes of a message (Amazon SQS, "Message quotas"; newer queues take more)
LONGEST_NAME = 255  # characters of an id, a name, a label
DEEPEST = 32  # levels of lists and objects
ID_ATTRIBUTE = "ecs_block.job_id"
"""The message attribute that keeps the id of a job that was sent on to other agents."""


class Rejected(EcsBlockError):
    """The message is no job, or asks for what it may not have. It goes to the dead letters with this reason."""

    @property
    def reason(self) -> str:
        """Why, in a sentence."""
        return str(self)


def _text(value: Any) -> Any:
    """Write numbers out."""
    if isinstance(value, bool):
        raise ValueError(f'must be a string; write "{str(value).lower()}" in quotes if that is meant')
    return str(value) if isinstance(value, int | float) else value


def _number_or_text(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("must be a string or a whole number")
    return value


Value = Annotated[str, BeforeValidator(_text)]
NumberOrText = Annotated[int | str, BeforeValidator(_number_or_text)]


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("holds control characters or line breaks")
    return value


Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(_printable)]


def _object(value: Any) -> Any:
    if isinstance(value, Mapping) and not all(isinstance(key, str) for key in value):
        raise ValueError("must have strings as its names")
    return value


class Job(Strict):
    """What is to be run, as a message says it: a JSON object with these fields, all of them optional.

    Without a special `--allow`, an agent takes only `id`, `version`, `name`, `labels`, `command`, `env` and `parameters`.
    """

    id: Name | None = None
    """What makes it this job: however often a job of this id is sent or delivered, it runs once. Unset: the message's."""
    name: Name | None = None
    """What people call it: it names the task, and with task revisions the family of its definition."""
    version: NumberOrText | None = None
    """Version of the job, which task revisions are tagged with."""
    labels: list[Name] = []
    """Only an agent that has all of these labels takes it."""
    command: Command | None = None
    """Command of the main container. A string is split as a shell would. Unset: the agent's own."""
    env: Annotated[dict[str, Value | None], BeforeValidator(_object)] = {}
    """Environment of the main container, over the agent's own. None removes a variable."""
    parameters: Annotated[dict[str, Any], BeforeValidator(_object)] = {}
    """Whatever the program wants to know, given to it as JSON in the variable `ECS_BLOCK_PARAMETERS`."""

    image: str | None = None
    """Image of the main container."""
    cpu: NumberOrText | None = None
    """CPU units, or text such as `1 vCPU`."""
    memory: NumberOrText | None = None
    """MiB, or text such as `2 GB`."""
    task_role_arn: str | None = None
    """Role of the program."""
    execution_role_arn: str | None = None
    """Role with which ECS starts the task."""
    task_definition_arn: str | None = None
    """An existing definition to run."""
    task_definition: dict[str, Any] | None = None
    """A definition to start from, as `register_task_definition` takes it."""
    launch_type: str | None = None
    """Where it runs."""
    cluster: str | None = None
    """Name or ARN of the cluster."""
    vpc_id: str | None = None
    """VPC whose subnets are used."""
    task_run_request: dict[str, Any] | None = None
    """Other arguments of `run_task`."""
    task_customizations: list[dict[str, Any]] | None = None
    """JSON 6902 operations on the finished request."""
    family: str | None = None
    """Family to register the definition under."""
    values: Annotated[dict[str, Any], BeforeValidator(_object)] = {}
    """Values for the variables of a work pool's template."""

    @property
    def title(self) -> str:
        """What to call it in a line: its name, else its id."""
        return self.name or self.id or "a job"


def parse_job(body: str | bytes, attributes: Mapping[str, Any] | None = None, message_id: str | None = None) -> Job:
    """Read a message. Its job has an id: its own, else that in the attributes, else the message's. Raises Rejected."""
    document = _document(body)
    for field in document.keys() - {"parameters"}:
        if _refers_to_a_secret(document[field]):
            raise Rejected(f"{field} refers to a secret, and a job cannot: it would be one of the agent's own.")
    try:
        return Job.model_validate({"id": _kept_id(attributes) or message_id, **_without_nulls(document)})
    except InvalidTask as error:
        raise Rejected(str(error)) from None


def _kept_id(attributes: Mapping[str, Any] | None) -> str | None:
    kept = (attributes or {}).get(ID_ATTRIBUTE)
    found = kept.get("StringValue") if isinstance(kept, Mapping) else kept
    return found if isinstance(found, str) and 0 < len(found) <= LONGEST_NAME and found.isprintable() else None


def _without_nulls(document: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out an id that says nothing."""
    return {name: value for name, value in document.items() if name != "id" or value is not None}


def _document(body: str | bytes) -> dict[str, Any]:
    """Read a JSON object that is neither too large nor too deep, strictly. Raises Rejected."""
    size = len(body if isinstance(body, bytes) else body.encode(errors="surrogatepass"))
    if size > LARGEST:
        raise Rejected(f"The message has {size:,} bytes; a job has at most {LARGEST:,}. Put large data into S3.")
    try:
        text = body.decode() if isinstance(body, bytes) else body
    except UnicodeDecodeError:
        raise Rejected("The message is no UTF-8 text; a job is a JSON object.") from None
    try:
        document = json.loads(text, parse_constant=_no_number, parse_float=_number, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise Rejected(
            f"The message is not valid JSON: {error.msg}: line {error.lineno} column {error.colno}. A job is a JSON object."
        ) from None
    except RecursionError:
        raise Rejected(f"The message is nested too deeply; a job has at most {DEEPEST} levels.") from None
    except ValueError as error:
        raise Rejected(f"The message is not valid JSON: {error}.") from None
    if not isinstance(document, dict):
        raise Rejected('The message is no JSON object; a job is one, such as {"command": ["echo", "hello"]}.')
    if _is_deep(document):
        raise Rejected(f"The message is nested too deeply; a job has at most {DEEPEST} levels.")
    return document


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that names a member twice: readers disagree about which one counts."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("an object names a member twice")
    return made


def _refers_to_a_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return "$secret" in value or any(map(_refers_to_a_secret, value.values()))
    return isinstance(value, list) and any(map(_refers_to_a_secret, value))


def _is_deep(document: Any) -> bool:
    level = [document]
    for _ in range(DEEPEST):
        level = [
            member
            for item in level
            for member in (item.values() if isinstance(item, dict) else item)
            if isinstance(member, dict | list)
        ]
        if not level:
            return False
    return True
