"""Files that are no blocks: the configuration of an agent, the template of a pool. JSON, or YAML by its ending."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ecs_block.errors import BlockInvalid, InvalidTask
from ecs_block.parse import parse


def document_of(content: bytes, path: str, what: str) -> dict[str, Any]:
    """Read the content of a file as an object. Raises BlockInvalid, with the line."""
    try:
        return parse(content.decode("utf-8-sig"), Path(path))
    except UnicodeDecodeError:
        raise BlockInvalid(f"{path}: this is not UTF-8 text.") from None
    except BlockInvalid as error:
        told = str(error).removesuffix(" The file was left as it is.").replace(str(Path(path)), path, 1)
        raise BlockInvalid(told.replace("not a block", f"no {what}").replace("a block is", f"a {what} is")) from None


def content_of(path: str, what: str) -> bytes:
    """Read a file. Raises InvalidTask."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidTask(f"The {what} {path} cannot be read: {error.strerror}.") from None
