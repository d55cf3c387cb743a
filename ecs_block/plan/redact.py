"""What may be shown. One place decides it for previews, logs, exceptions and reprs.

Three things are hidden: text that is known to be secret, wherever it stands; a value whose name says that it is secret
(`DB_PASSWORD`, `--token=…`); and the password in a URL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ecs_block.plan.secret import MASK

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase|code)|secret|credential|token(?!i[sz])|api[-_.]?key|(access|private|encryption|signing|account)"
    r"[-_.]?key|(^|[-_.])(pwd|pat|dsn|auth|cookie)$|authorization|connection[-_.]?string",
    re.IGNORECASE,
)
# These members of AWS's own shapes sound secret and are not: they name or point to something.
_HARMLESS = frozenset({"clientToken", "nextToken", "secrets", "secretOptions", "credentialsParameter", "credentialSpecs"})
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s/@]+(@)", re.IGNORECASE)
_SHORTEST = 4  # masking shorter secrets wherever they stand would only garble the text


def looks_secret(name: str) -> bool:
    """Tell whether a name says that its value is secret."""
    return name not in _HARMLESS and bool(_SECRET_NAME.search(name))


def _spellings(secret: str) -> set[str]:
    """Give the ways in which a log or an error may spell one secret: itself, and as JSON, repr and bytes escape it."""
    as_bytes = repr(secret.encode())[2:-1]
    spellings = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    return spellings | {as_bytes, *(repr(spelling)[1:-1] for spelling in tuple(spellings))}


class Redactor:
    """Hides a set of known secrets, and everything that calls itself secret."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {spelling for secret in secrets if len(secret) >= _SHORTEST for spelling in _spellings(secret)}
        # Longest first: a secret that holds another one must not leave its own rest behind.
        ordered = sorted(known, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """Mask every known secret, and every password in a URL, in a piece of text."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        return _URL_PASSWORD.sub(rf"\1{MASK}\2", text) if "://" in text else text

    def payload(self, value: Any) -> Any:
        """Copy a request or a definition with everything secret masked."""
        if isinstance(value, Mapping):
            return {key: self._member(str(key), item, value) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return self._arguments(list(value))
        return self.text(value) if isinstance(value, str) else value

    def _member(self, key: str, item: Any, parent: Mapping[Any, Any]) -> Any:
        # AWS writes variables, tags and driver options as {"name"/"key": N, "value": V}: there N names V.
        name = str(parent.get("name", parent.get("key", ""))) if key == "value" else key
        if isinstance(item, str) and item and looks_secret(name) and not item.startswith("<"):
            return MASK
        return self.payload(item)

    def _arguments(self, items: list[Any]) -> list[Any]:
        """Mask `--password=x` and `--password x` in what may be a command line."""
        shown: list[Any] = []
        hide_next = False
        for item in items:
            if not isinstance(item, str):
                hide_next = False
                shown.append(self.payload(item))
                continue
            option, equals, _ = item.partition("=")
            named = option.startswith("-") and looks_secret(option)
            if hide_next and not option.startswith("-"):
                shown.append(MASK)
            elif named and equals:
                shown.append(f"{option}={MASK}")
            else:
                shown.append(self.text(item))
            hide_next = named and not equals
        return shown
