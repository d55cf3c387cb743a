"""pydantic's validation errors in our words: the field, what is wrong and what would be right; never the value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ecs_block.errors import InvalidTask, PatchError
from ecs_block.plan.shape import did_you_mean

_WORDS = {
    "missing": "is missing",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be a map of names to values",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}


def invalid_task(error: ValidationError, model: type[BaseModel], prefix: str = "") -> InvalidTask:
    """Make one InvalidTask of all that pydantic found. A single wrong patch stays a PatchError."""
    details = error.errors(include_url=False, include_input=False)
    causes = [detail.get("ctx", {}).get("error") for detail in details]
    messages: dict[str, str] = {}
    for detail in details:  # one message a field: where it may be of several types, pydantic tells of each
        messages.setdefault(field_path(detail["loc"]), _message(detail, model, prefix))
    kind = PatchError if all(isinstance(cause, PatchError) for cause in causes) else InvalidTask
    made = kind("\n".join(messages.values()))
    made.location = (*details[0]["loc"], *getattr(causes[0], "location", ()))
    return made


def _message(detail: Mapping[str, Any], model: type[BaseModel], prefix: str) -> str:
    where = prefix + field_path(detail["loc"]) if detail["loc"] else prefix.replace(".", ":") or model.__name__
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, InvalidTask):
        return str(cause)
    if detail["type"] == "extra_forbidden":
        name = str(detail["loc"][-1])
        return (
            f"{where} is not a field of {_owner(detail['loc'], model).__name__}.{_nearest(name, detail['loc'], model)}"
        )
    if detail["type"] == "json_invalid":
        return f"{where} is not valid JSON: {cause}."
    if cause is not None:
        return f"{where} {cause}".strip().rstrip(".") + "."
    if detail["type"] == "literal_error":
        return f"{where} must be one of {detail['ctx']['expected']}."
    if detail["type"] == "frozen_instance":
        return f"{where} cannot be changed in place; make a changed copy with model_copy(update={{...}})."
    words = _WORDS.get(detail["type"])
    return f"{where} {words}." if words else f"{where}: {detail['msg']}."


_UNION_MEMBERS = re.compile(
    r"(function|lax-or-strict|json-or-python|is-instance|constrained|nullable|chain|definition-ref)\b.*\["
)
_UNION_NAMES = frozenset({"str", "SecretStr", "SecretReference"})


def field_path(location: Iterable[str | int]) -> str:
    """Write a pydantic location as a path, without the union members that pydantic names in it."""
    parts = [part for part in location if isinstance(part, int) or not _UNION_MEMBERS.match(part)]
    while len(parts) > 1 and parts[-1] in _UNION_NAMES:
        parts.pop()
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts if part != "[key]")
    return path.removeprefix(".")


_PATH = re.compile(r"\w+(?:\.\w+|\[\d+\])*")
_STEP = re.compile(r"\.?(\w+)|\[(\d+)\]")


def location_of(problem: str) -> tuple[str | int, ...]:
    """Take the path with which a problem begins (`env.A`, `task_definition.containerDefinitions[0].name`) apart."""
    path = _PATH.match(problem)
    return tuple(name or int(index) for name, index in _STEP.findall(path[0])) if path else ()


def _owner(location: tuple[str | int, ...], model: type[BaseModel]) -> type[BaseModel]:
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        if field is not None and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    return model


def _nearest(name: str, location: tuple[str | int, ...], model: type[BaseModel]) -> str:
    return did_you_mean(name, list(_owner(location, model).model_fields))
