"""Secrets by reference, looked up when a run starts: the environment, a file, SSM or Secrets Manager."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import SecretStr

from ecs_block.aws import hide, read_reference
from ecs_block.engine.conversation import Conversation
from ecs_block.errors import AwsError, InvalidTask, Kind
from ecs_block.plan.fields import Reveal
from ecs_block.plan.secret import SecretReference

Given = str | SecretStr | SecretReference


async def revealer(conversation: Conversation, values: Iterable[Given | None]) -> Reveal:
    """Look all references up and return what turns a value into its text. Raises InvalidTask for one that is not there."""
    found: dict[SecretReference, str] = {}
    for value in values:
        if isinstance(value, SecretStr):
            hide(value.get_secret_value())
        elif isinstance(value, SecretReference) and value not in found:
            found[value] = await _look_up(conversation, value)
    return lambda value: found[value] if isinstance(value, SecretReference) else _text(value)


def check_here(values: Iterable[Given | None]) -> None:
    """Look up those references that this machine has to know. Raises InvalidTask for one that is not there."""
    for value in values:
        if isinstance(value, SecretReference) and value.kind in ("env", "file"):
            read_reference(value)


def _text(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


async def _look_up(conversation: Conversation, reference: SecretReference) -> str:
    if reference.kind in ("env", "file"):
        return read_reference(reference)
    try:
        if reference.kind == "ssm":
            answer = await conversation.ask("ssm", "GetParameter", Name=reference.name, WithDecryption=True)
            value = answer["Parameter"]["Value"]
        else:
            answer = await conversation.ask("secretsmanager", "GetSecretValue", SecretId=reference.name)
            value = answer.get("SecretString")
    except AwsError as error:
        if error.kind is not Kind.NOT_FOUND:
            raise
        raise InvalidTask(f"The secret {reference.reference} does not exist. {error}") from None
    if not isinstance(value, str):
        raise InvalidTask(f"The secret {reference.reference} is binary; only text can be an environment variable.")
    hide(value)
    return value
