"""Check a request's JSON against botocore's own model of the service."""

from __future__ import annotations

from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape

from ecs_block.local.faults import ServiceError

_JSON_KINDS = {
    bool: "TRUE_VALUE",
    int: "NUMBER_VALUE",
    float: "NUMBER_VALUE",
    str: "STRING_VALUE",
    list: "START_ARRAY",
    dict: "START_OBJECT",
}
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "character": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float, str),
}


@cache
def service_model(service: str) -> ServiceModel:
    """Return botocore's model of a service, read once."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


@cache
def _input_shape(service: str, operation: str) -> Shape | None:
    shape: Shape | None = service_model(service).operation_model(operation).input_shape
    return shape


def check_request(service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters without nulls, or raise what AWS answers to members of a wrong type, missing or unknown."""
    shape = _input_shape(service, operation)
    if shape is None:
        return {}
    problems: list[str] = []
    checked: dict[str, Any] = _check(params, shape, "", problems)
    if problems:
        # RegisterTaskDefinition calls these ClientException, everything else InvalidParameterException.
        code = "ClientException" if operation == "RegisterTaskDefinition" else "InvalidParameterException"
        raise ServiceError(code, " ".join(problems))
    return checked


def _check(value: Any, shape: Shape, where: str, problems: list[str]) -> Any:
    _check_type(value, shape)
    if shape.type_name == "structure":
        return _check_structure(value, shape, where, problems)
    if shape.type_name == "list":
        member = shape.member  # type: ignore[attr-defined]
        return [_check(item, member, f"{where}[{i}]", problems) for i, item in enumerate(value)]
    if shape.type_name == "map":
        member = shape.value  # type: ignore[attr-defined]
        return {key: _check(item, member, f"{where}.{key}", problems) for key, item in value.items()}
    choices = getattr(shape, "enum", None)
    if choices and value not in choices:
        problems.append(
            f"1 validation error detected: Value '{value}' at '{where}' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(choices)}]"
        )
    return value


def _check_structure(value: dict[str, Any], shape: Shape, where: str, problems: list[str]) -> dict[str, Any]:
    members: dict[str, Shape] = shape.members  # type: ignore[attr-defined]
    prefix = f"{where}." if where else ""
    checked = {}
    for name, item in value.items():
        if name not in members:
            problems.append(f"Unknown parameter '{prefix}{name}', must be one of: {', '.join(members)}.")
        elif item is not None:
            checked[name] = _check(item, members[name], f"{prefix}{name}", problems)
    missing = [name for name in shape.required_members if name not in checked]
    problems.extend(f"Missing required parameter '{prefix}{name}'." for name in missing)
    return checked


def _check_type(value: Any, shape: Shape) -> None:
    allowed = _PYTHON_TYPES.get(shape.type_name)
    if allowed is None or (isinstance(value, allowed) and (not isinstance(value, bool) or bool in allowed)):
        return
    kind = _JSON_KINDS.get(type(value), "NULL_VALUE")
    raise ServiceError("SerializationException", f"{kind} can not be converted to {shape.type_name.capitalize()}")
