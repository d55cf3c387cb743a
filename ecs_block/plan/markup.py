"""HTML, made so that nothing in it can become markup by accident: all escaping is in this file.

What is `Html` was made here. Any other text, inside an element or in an attribute, is made harmless first.
"""

from __future__ import annotations

import html
import re
from typing import Any

_VOID = frozenset({"meta", "rect", "line"})
# A terminal's control sequences whole, then what is left of controls. Tab and line break stay.
_CONTROLS = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    r"|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]"  # these turn the direction of what follows
)
_SURROGATES = re.compile("[\ud800-\udfff]")


class Html(str):
    """Markup."""

    __slots__ = ()


def readable(text: str) -> str:
    """Take out what would drive a terminal, turn the text around, or cannot be written as UTF-8."""
    return _SURROGATES.sub("\ufffd", _CONTROLS.sub("", text.replace("\r\n", "\n")))


def escaped(value: object) -> Html:
    """Give text as markup that shows exactly this text."""
    return value if isinstance(value, Html) else Html(html.escape(readable(str(value)), quote=True))


def el(name: str, /, *inside: Any, **attributes: Any) -> Html:
    """Make an element. `class_` is `class`, `text_anchor` is `text-anchor`; None and False leave out what they stand for."""
    told = "".join(
        _attribute(key, value) for key, value in attributes.items() if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{told}>" if name == "meta" else f"<{name}{told}/>")
    return Html(f"<{name}{told}>{joined(*inside)}</{name}>")


def joined(*parts: Any) -> Html:
    """Put parts after one another."""
    return Html("".join(escaped(part) for part in parts if part is not None and part is not False))


def _attribute(key: str, value: Any) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escaped(value)}"'
