"""Reads what people bring from Prefect, and says what does not carry over.

Two shapes are known: the `ECSTask` block as Prefect 2 wrote it (up to 2.20), and the base job template of an ECS work pool, as
it is or as `generate_work_pool_base_job_template` gives it here. Of a template the values of a job that says nothing are taken.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from ecs_block.errors import InvalidTask
from ecs_block.oddity import warn_caller
from ecs_block.plan import placeholders
from ecs_block.plan.secret import is_masked

SLUG = "block_type_slug"
CONTAINER_NAME = "prefect"
_OWN_KEYS = ("block_type_slug", "block_type_name", "block_schema_id", "block_document_id", "block_document_name")
_CREDENTIALS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
# A pool's own way to say what is a field here: of its definition, and of the overrides of its request.
_IN_DEFINITION = {
    "family": "family", "cpu": "cpu", "memory": "memory", "executionRoleArn": "execution_role_arn",
    "taskRoleArn": "task_role_arn",
}  # fmt: skip
_IN_REQUEST = {"taskDefinition": "task_definition_arn", "launchType": "launch_type", "cluster": "cluster"}
_IN_OVERRIDES = {
    "cpu": "cpu", "memory": "memory", "taskRoleArn": "task_role_arn", "executionRoleArn": "execution_role_arn",
}  # fmt: skip
_IN_CONTAINER = {"command": "command", "environment": "env", "cpu": "cpu", "memory": "memory"}
_UNUSED = ("stream_output", "task_start_timeout_seconds", "task_watch_poll_interval")  # newer pools say False and 0
_PREFECTS_OWN = ("prefect_api_key_secret_arn", "prefect_api_auth_string_secret_arn")


def is_legacy(data: Mapping[str, Any]) -> bool:
    """Tell whether a file is in the shape of Prefect's block, or of a work pool's base job template."""
    return SLUG in data or _is_template(data)


def _is_template(data: Mapping[str, Any]) -> bool:
    return isinstance(data.get("job_configuration"), Mapping) and isinstance(data.get("variables"), Mapping)


def translate(data: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields of our own block. Raises InvalidTask for what only Prefect's server could resolve."""
    return _of_block(data) if SLUG in data else _of_template(data)


class Unwrapped(NamedTuple):
    """A block or a template, where it stands in a document, and what the document calls it."""

    content: Mapping[str, Any]
    location: tuple[str, ...]
    name: str | None


def unwrap(document: Mapping[str, Any]) -> Unwrapped:
    """Take a block, or a pool's template, out of what Prefect's API says about it."""
    name = document.get("name")
    if isinstance(template := document.get("base_job_template"), Mapping):
        return Unwrapped(template, ("base_job_template",), name)
    if isinstance(data := document.get("data"), Mapping) and isinstance(kind := document.get("block_type"), Mapping):
        return Unwrapped({SLUG: kind.get("slug"), **data}, ("data",), name)
    return Unwrapped(document, (), document.get("_block_document_name") or document.get("block_document_name"))


# --- a block ------------------------------------------------------------------------------------------------------


def _of_block(data: Mapping[str, Any]) -> dict[str, Any]:
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


# --- a work pool's base job template ------------------------------------------------------------------------------


def _of_template(data: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields of a task whose job gives no values."""
    configuration = placeholders.filled(data["job_configuration"], _defaults(data))
    _refuse_what_is_left(data, configuration)
    if not isinstance(data["job_configuration"].get("task_run_request"), Mapping):
        return configuration  # one of ours: its keys are our fields
    fields = {key: value for key, value in configuration.items() if not _is_empty(value)}
    definition, request = (copy.deepcopy(fields.pop(key, {})) for key in ("task_definition", "task_run_request"))
    _drop(fields)
    _take_credentials(fields)
    _take_request(fields, request)
    if "task_definition_arn" in fields:
        return _with_rest(fields, {}, request)  # there a linked definition makes the template's own one moot
    fields.setdefault("container_name", CONTAINER_NAME)
    _take_definition(fields, definition)
    return _with_rest(fields, definition, request)


def _defaults(data: Mapping[str, Any]) -> dict[str, Any]:
    described = data["variables"].get("properties") or {}
    found = {name: item.get("default") for name, item in described.items() if isinstance(item, Mapping)}
    return {name: value for name, value in found.items() if not _is_empty(value)}


def _is_empty(value: Any) -> bool:
    """Tell whether a value is what an unset variable is written as. False is one that was set."""
    return value is None or value in ("", [], {})


def _refuse_what_is_left(data: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
    """Refuse a value that Prefect's server fills in: its blocks and its variables."""
    known = data["variables"].get("properties") or {}
    used = [*placeholders.names_in(data["job_configuration"]), *placeholders.names_in(configuration)]
    left = next((name for name in used if name not in known), None)
    if left is not None:
        raise _refused(
            f"the template uses {{{{ {left} }}}}, which only Prefect's server knows. Write the value in its place.",
            "job_configuration",
        )


def _drop(fields: dict[str, Any]) -> None:
    fields.pop("match_latest_revision_in_family", None)  # that is always so here
    for key in [key for key in _UNUSED if not fields.get(key)]:
        fields.pop(key, None)
    dropped = [key for key in _PREFECTS_OWN if fields.pop(key, None)]
    if dropped:
        warn_caller(f"{', '.join(dropped)} did not carry over: nothing here talks to Prefect.")


def _take_credentials(fields: dict[str, Any]) -> None:
    if "aws_credentials" in fields:
        fields["aws_credentials"] = _credentials(fields["aws_credentials"])


def _take(fields: dict[str, Any], part: dict[str, Any], names: Mapping[str, str]) -> None:
    """Move what is a field here out of a part of the template. What stands there already was said more plainly."""
    for key, field in names.items():
        value = part.pop(key, None)
        if not _is_empty(value):
            fields.setdefault(field, value)


def _take_request(fields: dict[str, Any], request: dict[str, Any]) -> None:
    _take(fields, request, _IN_REQUEST)
    if isinstance(request.get("tags"), Mapping):
        _take(fields, request, {"tags": "labels"})
    overrides = request.get("overrides") or {}
    _take(fields, overrides, _IN_OVERRIDES)
    containers = overrides.get("containerOverrides") or []
    if containers:
        _take(fields, containers[0], _IN_CONTAINER)
    overrides["containerOverrides"] = [item for item in containers if item.keys() - {"name"}]
    if request.get("capacityProviderStrategy"):
        fields.pop("launch_type", None)  # there a strategy wins
    _take_network(fields, request)
    prefix = fields.pop("cloudwatch_logs_prefix", None)
    if prefix and fields.get("configure_cloudwatch_logs"):
        options = fields.get("cloudwatch_logs_options") or {}
        fields["cloudwatch_logs_options"] = {"awslogs-stream-prefix": prefix, **options}


def _take_network(fields: dict[str, Any], request: dict[str, Any]) -> None:
    """Bring a network of the pool's own into AWS's shape. It names its subnets, so the VPC says nothing more."""
    network = fields.pop("network_configuration", None)
    if network:
        request["networkConfiguration"] = {"awsvpcConfiguration": network}
        fields.pop("vpc_id", None)


def _take_definition(fields: dict[str, Any], definition: dict[str, Any]) -> None:
    _take(fields, definition, _IN_DEFINITION)
    containers = definition.get("containerDefinitions") or []
    named = [item for item in containers if item.get("name") in (None, fields["container_name"])]
    if named:
        _take(fields, named[0], {"image": "image"})
        named[0]["name"] = fields["container_name"]
    if len(containers) == 1 and not containers[0].keys() - {"name"}:
        del definition["containerDefinitions"]


def _with_rest(fields: dict[str, Any], definition: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Add what is no field here, as it is."""
    overrides = {key: value for key, value in (request.pop("overrides", None) or {}).items() if not _is_empty(value)}
    request = {key: value for key, value in {**request, "overrides": overrides}.items() if not _is_empty(value)}
    rest = {"task_definition": definition, "task_run_request": request}
    return fields | {key: value for key, value in rest.items() if value}
