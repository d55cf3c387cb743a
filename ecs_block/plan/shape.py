"""Check a value against a shape of botocore's service model, and report every problem at once.

botocore's own validator does the same, but quotes the offending values, which may be secret, and suggests no names. The
shapes are botocore's objects; they are handed in, so this file needs no botocore.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_SCALARS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
}
_NAMES = {
    "string": "a string",
    "integer": "a whole number",
    "long": "a whole number",
    "float": "a number",
    "double": "a number",
    "boolean": "true or false",
}
_BEGUN = 4  # characters of a name that are no accident


def did_you_mean(name: str, known: Iterable[str], *, alike: float = 0.6) -> str:
    """Give ` Did you mean 'x'?` for the nearest known name, or nothing.

    `alike` is how near it must be, from 0 to 1. Where none is, a name that goes on where this one ends is near, too.
    """
    import difflib  # deferred: importing ecs_block stays quick

    lowered = {option.lower(): option for option in known}
    near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=alike)
    if not near and len(name) >= _BEGUN:
        near = [option for option in lowered if option.startswith(name.lower())]
    return f" Did you mean {lowered[near[0]]!r}?" if near else ""


def problems(value: Any, shape: Any, path: str) -> list[str]:
    """List what is wrong with a value, each as one sentence that starts with its path. Values are never quoted."""
    return list(_walk(value, shape, path))


def _walk(value: Any, shape: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    if kind == "structure":
        yield from _structure(value, shape, path)
    elif kind == "list":
        if not isinstance(value, list | tuple):
            yield f"{path} must be a list, not {_kind(value)}."
            return
        for index, item in enumerate(value):
            yield from _walk(item, shape.member, f"{path}[{index}]")
    elif kind == "map":
        if not isinstance(value, Mapping):
            yield f"{path} must be a map of names to values, not {_kind(value)}."
            return
        for key, item in value.items():
            yield from _walk(key, shape.key, f"the key {key!r} of {path}")
            yield from _walk(item, shape.value, f"{path}.{key}")
    elif kind in _SCALARS:
        yield from _scalar(value, kind, path)


def _structure(value: Any, shape: Any, path: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{path} must be an object, not {_kind(value)}."
        return
    for name, item in value.items():
        where = f"{path}.{name}"
        if name not in shape.members:
            yield f"{where} is not known to AWS.{did_you_mean(str(name), list(shape.members))}"
        else:
            yield from _walk(item, shape.members[name], where)
    for name in shape.required_members:
        if name not in value:
            yield f"{path}.{name} is missing; AWS requires it."


def _scalar(value: Any, kind: str, path: str) -> Iterator[str]:
    expected = _SCALARS[kind]
    right = isinstance(value, expected) and (kind == "boolean" or not isinstance(value, bool))
    if not right:
        hint = " Write it in quotes." if kind == "string" and isinstance(value, int | float) else ""
        yield f"{path} must be {_NAMES[kind]}, not {_kind(value)}.{hint}"


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__
