"""The text of a block file, read as a mapping, and the line on which a field stands in it.

JSON, or YAML by the file's ending. Both are read strictly: what could be meant otherwise than it is read is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecs_block.errors import BlockInvalid

if TYPE_CHECKING:
    import yaml

_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_DEEPEST = 100  # levels; a task definition has about ten
_LARGEST_YAML = 256 * 1024  # characters; YAML is read slowly
_LARGEST_WITH_LINES = 100_000  # characters in which a line is looked for
_QUOTED = re.compile(r" '(?!<)[^']{2,}'")  # what YAML's errors quote of a file, where a secret may stand
_TEXT_TAG = "tag:yaml.org,2002:str"
_NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def parse(text: str, path: Path) -> dict[str, Any]:
    """Read the text of a file. Raises BlockInvalid, with the line."""
    if text.startswith("\ufeff"):
        raise _invalid(path, ":1:1", "it starts with a byte order mark; save it as UTF-8 without one")
    data = _yaml(text, path) if path.suffix in (".yaml", ".yml") else _json(text, path)
    if not isinstance(data, dict):
        raise _invalid(path, ":1", f"a block is an object, not {type(data).__name__}")
    return data


def _invalid(path: Path, where: str, reason: str) -> BlockInvalid:
    return BlockInvalid(f"{path}{where}: {reason}. The file was left as it is.")


# --- JSON ------------------------------------------------------------------------------------------------------------


class _RefusedError(ValueError):
    """JSON that Python would read, and we do not; `line` finds it in the text."""

    def __init__(self, reason: str, line: Callable[[str], int]) -> None:
        super().__init__(reason)
        self.line = line


def _json(text: str, path: Path) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise _invalid(path, f":{error.lineno}:{error.colno}", f"this is not valid JSON: {error.msg}") from None
    except _RefusedError as error:
        raise _invalid(path, f":{error.line(text)}", f"this is not a block: {error}") from None
    except RecursionError:
        raise _invalid(path, ":1", "this is not a block: it is nested too deeply") from None
    except ValueError as error:  # a number of more digits than Python reads
        raise _invalid(path, ":1", f"this is not a block: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise _RefusedError(f"the key {double!r} stands twice in one object", _line_of_double)
    return found


def _no_constant(name: str) -> None:
    raise _RefusedError(f"{name} is no JSON number", partial(_line_of_constant, name))


def _line_of_constant(name: str, text: str) -> int:
    blanked = _STRING.sub(lambda match: " " * len(match[0]), text)
    return text.count("\n", 0, max(0, blanked.find(name))) + 1


def _line_of_double(text: str) -> int:
    node = _nodes(text)
    return next((key.start_mark.line + 1 for key in _doubles(node)), 1) if node is not None else 1


# --- YAML ------------------------------------------------------------------------------------------------------------


def _yaml(text: str, path: Path) -> Any:
    import yaml

    if len(text) > _LARGEST_YAML:
        raise _invalid(path, ":1", f"YAML is read up to {_LARGEST_YAML // 1024} KiB; write JSON instead")
    try:
        _check_events(text, path)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _check_nodes(node, path)
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        said = _QUOTED.sub("", getattr(error, "problem", None) or "it cannot be read")
        raise _invalid(path, _at(error, "problem_mark"), f"this is not valid YAML: {said}") from None
    except RecursionError:
        raise _invalid(path, ":1", "this is not a block: it is nested too deeply") from None
    except ValueError as error:
        said = _QUOTED.sub("", str(error)).rstrip(": ")
        raise _invalid(path, ":1", f"this is not a block: {said}") from None
    except (KeyError, AttributeError, IndexError, OverflowError):  # YAML's constructors fail so, too
        reason = "a value in it is not what its tag or its form says; put it in quotes"
        raise _invalid(path, ":1", f"this is not a block: {reason}") from None


def _check_events(text: str, path: Path) -> None:
    """Refuse what would make a small file costly: aliases, which unfold into gigabytes, and depth, which takes hours."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _invalid(path, _at(event), "YAML aliases (*name) are not accepted; write the value out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise _invalid(path, _at(event), "this is not a block: it is nested too deeply")


def _check_nodes(node: yaml.Node, path: Path) -> None:
    """Refuse what YAML reads otherwise than people write it: `on` and `1` as keys, `1:30` and `1.10` as numbers."""
    import yaml

    for key in _doubles(node):
        raise _invalid(path, _at(key), f"the key {key.value!r} stands twice in one object")
    for key, _ in _members(node):
        if key.tag != _TEXT_TAG:
            raise _invalid(path, _at(key), f"the key {key.value!r} is not read as text; write it in quotes")
    for scalar in _scalars(node):
        if scalar.tag in _NUMBER_TAGS and str(yaml.safe_load(scalar.value)) != scalar.value:
            reason = (
                "this is read as another number than is written (1:30 as 90, 010 as 8, 1.10 as 1.1); put it in quotes"
            )
            raise _invalid(path, _at(scalar), reason)


def _at(place: Any, attribute: str = "start_mark") -> str:
    mark = getattr(place, attribute, None)
    return f":{mark.line + 1}:{mark.column + 1}" if mark else ""


# --- where a field stands --------------------------------------------------------------------------------------------


def line_of(text: str, location: tuple[str | int, ...]) -> int:
    """Find the line on which a field stands, or the nearest thing around it that is in the text."""
    import yaml

    node = _nodes(text)
    line = 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def _nodes(text: str) -> yaml.Node | None:
    """Read JSON as the YAML that it also is (but for its tabs): only that parser tells lines."""
    import yaml

    if len(text) > _LARGEST_WITH_LINES:
        return None
    try:
        node: yaml.Node | None = yaml.compose(text.replace("\t", " "), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return node


def _members(node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Give the key and the value of each member of each mapping."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        yield from node.value
    for child in _children(node):
        yield from _members(child)


def _children(node: yaml.Node) -> list[yaml.Node]:
    import yaml

    if isinstance(node, yaml.MappingNode):
        return [value for _, value in node.value]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    import yaml

    if isinstance(node, yaml.ScalarNode):
        yield node
    for child in _children(node):
        yield from _scalars(child)


def _doubles(node: yaml.Node) -> Iterator[yaml.Node]:
    """Give every key that stood in its mapping before."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                yield key
            seen.add(str(key.value))
    for child in _children(node):
        yield from _doubles(child)
