"""Reads a block file as Prefect's `ECSTask` block wrote it (2.x, up to 2.20), and says what does not carry over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecs_block.errors import InvalidTask
from ecs_block.oddity import warn_caller
from ecs_block.plan.secret import is_masked

SLUG = "block_type_slug"
CONTAINER_NAME = "prefect"
_OWN_KEYS = ("block_type_slug", "block_type_name", "block_schema_id", "block_document_id", "block_document_name")
_CREDENTIALS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


def is_legacy(data: Mapping[str, Any]) -> bool:
    """Tell whether a file is in the shape of Prefect's block."""
    return SLUG in data


def translate(data: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields of our own block. Raises InvalidTask for what only Prefect's server could resolve."""
    if data[SLUG] != "ecs-task":
        raise _refused(f"the field {SLUG!r} says {data[SLUG]!r}; only 'ecs-task' can be loaded as an ECSTask.", SLUG)
    fields = _own_fields(data)
    credentials = fields.pop("aws_credentials", None)
    if credentials is not None:
        fields["aws_credentials"] = _credentials(credentials)
    if not fields.get("container_name"):
        fields["container_name"] = CONTAINER_NAME
    return fields


def _refused(message: str, *location: str) -> InvalidTask:
    error = InvalidTask(message)
    error.location = location
    return error


def _own_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """Drop Prefect's bookkeeping and what is null: null was how an unset field was written."""
    return {
        key: value
        for key, value in data.items()
        if value is not None and key not in _OWN_KEYS and not key.startswith(("_block", "_is_anonymous"))
    }


def _credentials(data: Any) -> dict[str, Any]:
    if not isinstance(data, Mapping) or "$ref" in data:
        raise _refused(
            "the field aws_credentials refers to another block, which only Prefect's server knows. Write its values here, or "
            "remove it to use boto3's own chain.",
            "aws_credentials",
        )
    fields = _own_fields(data)
    for name in _CREDENTIALS:
        if isinstance(fields.get(name), str) and is_masked(fields[name]):
            raise _refused(
                f"the field aws_credentials.{name} is masked (**********): Prefect did not write the secret. Give it by "
                f'reference, {{"$secret": "env:{name.upper()}"}}, or remove the keys to use boto3\'s own chain.',
                "aws_credentials",
                name,
            )
    parameters = fields.pop("aws_client_parameters", None)
    return fields | (_client_parameters(parameters) if isinstance(parameters, Mapping) else {})


def _client_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if parameters.get("endpoint_url"):
        fields["endpoint_url"] = parameters["endpoint_url"]
    if parameters.get("config"):
        fields["botocore_config"] = parameters["config"]
    dropped = [name for name in ("api_version", "verify_cert_path") if parameters.get(name)]
    dropped += ["use_ssl"] if parameters.get("use_ssl") is False else []
    dropped += ["verify"] if parameters.get("verify") not in (None, True) else []
    if dropped:
        warn_caller(
            f"aws_client_parameters.{', '.join(dropped)} did not carry over: ecs_block always checks certificates. Use "
            "AWS_CA_BUNDLE for a certificate of your own."
        )
    return fields
