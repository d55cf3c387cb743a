"""Lists in pages, with tokens that mean nothing to a client."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, TypeVar

from ecs_block.local.faults import invalid

T = TypeVar("T")


def page(items: Sequence[T], params: dict[str, Any], largest: int = 100) -> tuple[list[T], dict[str, str]]:
    """Return the page that ``maxResults`` and ``nextToken`` ask for, and ``{"nextToken": …}`` if more follow."""
    size = params.get("maxResults", largest)
    if not 1 <= size <= largest:
        raise invalid(f"maxResults must be between 1 and {largest}.")
    start = _read(params["nextToken"]) if params.get("nextToken") else 0
    end = start + size
    more = {"nextToken": _write(end)} if end < len(items) else {}
    return list(items[start:end]), more


def _write(position: int) -> str:
    return base64.urlsafe_b64encode(b"p%d" % position).decode()


def _read(token: str) -> int:
    try:
        text = base64.urlsafe_b64decode(token.encode())
        return int(text.removeprefix(b"p"))
    except (ValueError, binascii.Error):
        raise invalid("Invalid token.") from None
