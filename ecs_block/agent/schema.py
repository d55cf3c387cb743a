"""Values against a JSON schema. What is wrong is told in our words: jsonschema's own quote values, which may be secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ecs_block.plan.shape import did_you_mean

Schema = Mapping[str, Any]

_KINDS = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_LIMITS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
    "multipleOf": "a multiple of",
}
_COUNTS = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} members",
    "maxProperties": "at most {} members",
}


def schema_problems(schema: Schema) -> str | None:
    """Say what is wrong with a schema itself; None for one that is right."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    kind = validator_for(schema, default=_default())
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        return f"{_path(error, '') or 'it'} is not what JSON schema takes there."
    return next((f"it refers to {ref!r}, which is not in it." for ref in _references(schema) if ref[:1] != "#"), None)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (str(item) for name, item in value.items() if name == "$ref" and isinstance(item, str))
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _references(item)


def problems_of(values: Mapping[str, Any], schema: Schema) -> list[str]:
    """List what is wrong with values, each as a sentence that begins with the variable. No value is quoted."""
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    kind = validator_for(schema, default=_default())
    try:
        checked = kind(schema, registry=Registry())  # which asks no network
        found = sorted(checked.iter_errors(dict(values)), key=lambda error: [str(part) for part in error.path])
        # Of the branches of an anyOf, the one that comes nearest says most.
        return list(dict.fromkeys(_told(error if _of_no_kind(error) else best_match([error])) for error in found))
    except Unresolvable as error:
        return [f"The pool's schema refers to {error.ref!r}, which is not in it."]


def _default() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator


def _of_no_kind(error: Any) -> bool:
    """Tell whether a value is of none of the kinds that may stand there; then no branch of an anyOf says more."""
    if error.validator not in ("anyOf", "oneOf"):
        return False
    is_type = _default().TYPE_CHECKER.is_type
    kinds = [item["type"] for item in error.validator_value if item.get("type") in _KINDS]
    return bool(kinds) and not any(is_type(error.instance, kind) for kind in kinds)


def _told(error: Any) -> str:
    rule, wanted, where = error.validator, error.validator_value, _path(error, "values")
    if rule == "required":
        missing = [name for name in wanted if name not in error.instance]
        return " ".join(f"{where}.{name} is missing; the pool requires it." for name in missing)
    if rule in ("additionalProperties", "unevaluatedProperties"):
        known = list(error.schema.get("properties") or {})
        extra = [name for name in error.instance if name not in known]
        return " ".join(f"{where}.{name} is not known.{did_you_mean(str(name), known)}" for name in extra)
    return f"{where} {_wanted(rule, wanted, error)}."


def _wanted(rule: str, wanted: Any, error: Any) -> str:
    if rule == "type":
        kinds = wanted if isinstance(wanted, list) else [wanted]
        return f"must be {' or '.join(_KINDS.get(kind, str(kind)) for kind in kinds)}"
    if rule in ("enum", "const"):
        choices = wanted if rule == "enum" else [wanted]
        return f"must be {' or '.join(map(repr, choices))}"
    if rule in _LIMITS:
        return f"must be {_LIMITS[rule]} {wanted}"
    if rule in _COUNTS:
        return f"must have {_COUNTS[rule].format(wanted)}"
    if rule == "pattern":
        return f"does not match the pattern {wanted}"
    if rule in ("anyOf", "oneOf"):
        kinds = [_KINDS[kind] for item in wanted if (kind := item.get("type")) in _KINDS]
        if kinds:
            return f"must be {' or '.join(dict.fromkeys(kinds))}"
    return f"is not what the pool's schema allows there ({rule})"


def _path(error: Any, root: str) -> str:
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    return f"{root}{parts}".removeprefix(".")
