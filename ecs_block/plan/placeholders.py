"""`{{ variable }}` in a template. Alone it keeps the type of the value; within text it is written out as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_PLACEHOLDER = re.compile(r"\{\{\s*([\w.-]+)\s*\}\}")

_UNSET: Any = object()


def names_in(template: Any) -> Iterator[str]:
    """Give the name of every variable that a template uses."""
    if isinstance(template, str):
        yield from _PLACEHOLDER.findall(template)
    elif isinstance(template, Mapping):
        for item in template.values():
            yield from names_in(item)
    elif isinstance(template, list | tuple):
        for item in template:
            yield from names_in(item)


def alone_in(text: Any) -> str | None:
    """Give the name of the variable of which a text consists; None for any other value."""
    found = _PLACEHOLDER.fullmatch(text.strip()) if isinstance(text, str) else None
    return found[1] if found else None


def filled(template: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Fill a template in. What uses a variable that has no value is dropped: a key of an object, an item of a list.

    Values are put in as they are: a placeholder in one of them is text.
    """
    return {name: item for name, part in template.items() if (item := _fill(part, values)) is not _UNSET}


def _fill(part: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(part, str):
        return _fill_text(part, values)
    if isinstance(part, Mapping):
        return filled(part, values)
    if isinstance(part, list | tuple):
        return [item for each in part if (item := _fill(each, values)) is not _UNSET]
    return part


def _fill_text(text: str, values: Mapping[str, Any]) -> Any:
    alone = alone_in(text)
    if alone is not None:
        return values.get(alone, _UNSET)
    if any(name not in values for name in names_in(text)):
        return _UNSET
    return _PLACEHOLDER.sub(lambda found: _written(values[found[1]]), text)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
