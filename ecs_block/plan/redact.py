"""What may be shown. One place decides it for previews, logs, exceptions and reprs.

Three things are hidden: text that is known to be secret, wherever it stands; a value whose name says that it is secret
(`DB_PASSWORD`, `--token=…`, `{"password": …}`); and the password in a URL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any

from ecs_block.plan.secret import MASK

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase|code)|secret|credential|token(?!i[sz])|api[-_.]?key|(access|private|encryption|signing|account)"
    r"[-_.]?key|(^|[-_.])(pass|pwd|pat|dsn|auth|cookie)$|authorization|connection[-_.]?string",
    re.IGNORECASE,
)
# These members of AWS's own shapes sound secret and are not: they name or point to something.
_HARMLESS = frozenset(
    {"clientToken", "nextToken", "secrets", "secretOptions", "credentialsParameter", "credentialSpecs"}
)
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://[^\s:/@\"']*:)[^\s/\"']+(@)", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"""(?<![\w.-])([\w.-]+)=("[^"]*"|'[^']*'|[^\s&;|"']+)""")  # inside a shell's script
_JSON_MEMBER = re.compile(r"""("([\w.-]+)"\s*:\s*)("(?:[^"\\]|\\.)*"|[^\s",{}\[\]]+)""")  # inside a text that is JSON
_PLACEHOLDER = re.compile(r"<secret from (env|file|ssm|secretsmanager):.*>", re.DOTALL)
_SHORTEST = 4  # masking shorter secrets wherever they stand would only garble the text


def looks_secret(name: str) -> bool:
    """Tell whether a name says that its value is secret."""
    return name not in _HARMLESS and bool(_SECRET_NAME.search(name))


@lru_cache(maxsize=10_000)
def _spellings(secret: str) -> set[str]:
    """Give the ways in which a log or an error may spell one secret.

    Itself, and as JSON, repr and bytes escape it; and all of that once more, for a request's body in a line of a log.
    """
    once = {secret} | _escaped(secret)
    return once.union(*map(_escaped, once))


def _escaped(text: str) -> set[str]:
    quoted = {repr(f'"{text}')[2:-1], repr(f'"{text}'.encode(errors="backslashreplace"))[3:-1]}
    # Whether repr escapes an apostrophe depends on all the text around it.
    unquoted = {spelling.replace("\\'", "'") for spelling in quoted}
    return {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], *quoted, *unquoted}


class Redactor:
    """Hides a set of known secrets, and everything that calls itself secret."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = tuple(secrets)

    @cached_property  # made when it is needed: a thousand secrets may become known one after the other
    def _pattern(self) -> re.Pattern[str] | None:
        known = {spelling for secret in self._secrets if len(secret) >= _SHORTEST for spelling in _spellings(secret)}
        # Longest first: a secret that holds another one must not leave its own rest behind.
        ordered = sorted(known, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, ordered))) if ordered else None

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
        return self._words(value) if isinstance(value, str) else value

    def _words(self, text: str) -> str:
        """Mask what is secret in a text, which may be JSON with members that say that they are secret."""
        text = self.text(text)
        return _JSON_MEMBER.sub(_masked_member, text) if '"' in text else text

    def _member(self, key: str, item: Any, parent: Mapping[Any, Any]) -> Any:
        # AWS writes variables, tags and driver options as {"name"/"key": N, "value": V}: there N names V.
        name = str(parent.get("name", parent.get("key", ""))) if key == "value" else key
        if isinstance(item, str) and item and looks_secret(name) and not _PLACEHOLDER.fullmatch(item):
            return MASK
        return self.payload(item)

    def _arguments(self, items: list[Any]) -> list[Any]:
        """Mask `--password=x`, `--password x` and `PASSWORD=x` in what may be a command line, or a script in one."""
        shown: list[Any] = []
        hide_next = False
        for item in items:
            if not isinstance(item, str):
                hide_next = False
                shown.append(self.payload(item))
                continue
            option, equals, _ = item.partition("=")
            named = looks_secret(option) and not re.search(r"\s", option)
            if hide_next and not option.startswith("-"):
                shown.append(MASK)
            elif named and equals:
                shown.append(f"{option}={MASK}")
            else:
                shown.append(_ASSIGNMENT.sub(_masked_assignment, self._words(item)))
            hide_next = named and not equals and option.startswith("-")
        return shown


def _masked_assignment(match: re.Match[str]) -> str:
    return f"{match[1]}={MASK}" if looks_secret(match[1]) else match[0]


def _masked_member(match: re.Match[str]) -> str:
    return f'{match[1]}"{MASK}"' if looks_secret(match[2]) else match[0]
