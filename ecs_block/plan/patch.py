"""JSON 6902 operations on the run request, bounded so that a patch can neither hide nor explode it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from ecs_block.errors import PatchError
from ecs_block.plan.secret import not_unicode

MOST_OPERATIONS = 200
LARGEST_RESULT = 256 * 1024  # bytes of JSON; eighteen `copy` operations can otherwise grow 4 MB out of nothing
_LONGEST_SHOWN = 200  # characters of a path
_INDEX = re.compile(r"[0-9]{1,9}")
_NEEDS = {
    "add": ("value",),
    "replace": ("value",),
    "test": ("value",),
    "remove": (),
    "move": ("from",),
    "copy": ("from",),
}


class JsonPatch:
    """A list of JSON 6902 operations (RFC 6902), as `task_customizations` takes them.

    Made from a list of operations, JSON text or another patch. Raises PatchError when an operation is malformed, naming its
    index.
    """

    def __init__(self, operations: Any = ()) -> None:
        self._operations = tuple(_located(index, item) for index, item in enumerate(_listed(operations)))
        if len(self._operations) > MOST_OPERATIONS:
            raise PatchError(
                f"task_customizations has {len(self._operations)} operations; at most {MOST_OPERATIONS} are accepted. "
                "Put what is always the same into task_run_request."
            )

    @property
    def operations(self) -> list[dict[str, Any]]:
        """A copy of the operations, in their order."""
        return copy.deepcopy(list(self._operations))

    def apply(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Apply all operations to a copy of the document. Raises PatchError for the first that does not apply."""
        if not self._operations:
            return dict(document)
        result: Any = copy.deepcopy(dict(document))
        for index, operation in enumerate(self._operations):
            result = _apply_one(index, operation, result)
        return dict(result)

    def touches(self, prefix: str) -> bool:
        """Tell whether an operation changes something at or below this path."""
        return any(
            path == prefix or path.startswith(f"{prefix}/")
            for operation in self._operations
            if operation["op"] != "test"
            for path in (operation["path"], operation.get("from", "") if operation["op"] == "move" else "")
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.operations)

    def __len__(self) -> int:
        return len(self._operations)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonPatch) and self._operations == other._operations

    def __hash__(self) -> int:
        return hash(json.dumps(self._operations, sort_keys=True, default=str))

    def __repr__(self) -> str:
        shown = ", ".join(f"{operation['op']} {operation['path']}" for operation in self._operations)
        return f"JsonPatch([{shown}])"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls(value),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda patch: patch.operations),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["op", "path"],
                "properties": {
                    "op": {"enum": sorted(_NEEDS)},
                    "path": {"type": "string"},
                    "from": {"type": "string"},
                    "value": {},
                },
            },
        }


def _listed(given: Any) -> list[Any]:
    if isinstance(given, str | bytes):
        try:
            given = json.loads(given)
        except ValueError as error:
            raise PatchError(f"task_customizations is not valid JSON: {error}.") from None
        except RecursionError:
            raise PatchError("task_customizations is not valid JSON: it is nested too deeply.") from None
    given = getattr(given, "patch", given)  # the `jsonpatch` library's own object, as Prefect's block took it
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise PatchError(
            "task_customizations must be a list of JSON 6902 operations, such as "
            '[{"op": "add", "path": "/group", "value": "batch"}].'
        )
    return list(given)


def _located(index: int, operation: Any) -> dict[str, Any]:
    try:
        return _checked(index, operation)
    except PatchError as error:
        error.location = (index,)
        raise


def _checked(index: int, operation: Any) -> dict[str, Any]:
    where = f"task_customizations[{index}]"
    if not isinstance(operation, Mapping):
        raise PatchError(f"{where} must be an object with 'op' and 'path', not {type(operation).__name__}.")
    name, path = operation.get("op"), operation.get("path")
    if not isinstance(name, str) or name not in _NEEDS:
        raise PatchError(f"{where} has the op {_shown(name)}; JSON 6902 knows {', '.join(_NEEDS)}.")
    if not isinstance(path, str) or not path.startswith("/"):
        raise PatchError(
            f"{where} ({name}) needs a 'path' that starts with '/', such as '/group'; it has {_shown(path)}."
        )
    for member in _NEEDS[name]:
        if member not in operation:
            raise PatchError(f"{where} ({name} {path}) lacks {member!r}.")
    source = operation.get("from")
    if name in ("move", "copy") and not (isinstance(source, str) and source.startswith("/")):
        raise PatchError(f"{where} ({name} {path}) needs a 'from' that starts with '/'; it has {_shown(source)}.")
    if not_unicode(operation) is not None:
        raise PatchError(f"{where} ({name}) holds bytes that are no UTF-8 text, and AWS takes only that.")
    try:
        return copy.deepcopy(dict(operation))
    except RecursionError:
        raise PatchError(f"{where} ({name} {path}) is nested too deeply.") from None


def _shown(value: Any) -> str:
    """Quote what stands where a word belongs; a structure there may hold anything, also a secret."""
    return repr(value) if value is None or isinstance(value, str) else f"a {type(value).__name__}"


def _apply_one(index: int, operation: dict[str, Any], document: Any) -> Any:
    import jsonpatch  # deferred: importing ecs_block stays quick
    from jsonpointer import JsonPointerException

    where = f"task_customizations[{index}] ({operation['op']} {_short(operation['path'])})"
    try:
        result = jsonpatch.JsonPatch([copy.deepcopy(operation)]).apply(document)
    except jsonpatch.JsonPatchTestFailed:
        raise PatchError(f"{where} failed: the value there is another one. The request was not sent.") from None
    except (jsonpatch.JsonPatchException, JsonPointerException, TypeError, LookupError, ValueError):
        # The library's own words are not quoted: they may quote the document, which may hold secrets.
        raise PatchError(
            f"{where} does not apply: {_missing(operation, document)} preview() shows the request that it is applied to."
        ) from None
    if len(json.dumps(result, default=str)) > LARGEST_RESULT:
        raise PatchError(f"{where} makes the request larger than {LARGEST_RESULT // 1024} KiB.")
    return result


def _missing(operation: dict[str, Any], document: Any) -> str:
    """Say how far the path of an operation leads into the document."""
    path = (
        operation["from"] if operation["op"] in ("move", "copy") and not _leads(operation["from"], document)[1] else ""
    )
    path = path or operation["path"]
    reached, _ = _leads(path, document)
    return f"the request has nothing at {_short(path)}; it leads as far as {_short(reached) or '/'}."


def _short(path: str) -> str:
    return path if len(path) <= _LONGEST_SHOWN else f"{path[:_LONGEST_SHOWN]}…"


def _leads(path: str, document: Any) -> tuple[str, bool]:
    reached = ""
    for token in path.split("/")[1:]:
        key: Any = token.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list) and _INDEX.fullmatch(key):
            key = int(key)
        try:
            document = document[key]
        except (LookupError, TypeError):
            return reached, False
        reached += f"/{token}"
    return reached, True
