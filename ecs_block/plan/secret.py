"""Secret values: hidden strings, and references to where a secret is kept.

A reference is written `{"$secret": "env:NAME"}`, in Python as in a file. Its kinds:

    env:NAME                the environment variable NAME of the process that runs the block
    file:PATH               the content of a file, without its last newline
    ssm:NAME                an SSM parameter (name or ARN), decrypted
    secretsmanager:NAME     a Secrets Manager secret (name or ARN)

`{"$secret": "value:…"}` is how a block that was saved with `include_secrets=True` writes a hidden string, so that it is
hidden again when loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_serializer

MASK = "**********"
KINDS = ("env", "file", "ssm", "secretsmanager")
_REFERENCE = re.compile(rf"^({'|'.join(KINDS)}):[^\x00-\x1f]+$")  # read by pydantic's engine too, which searches
_HINT = f'give a reference such as {{"$secret": "env:NAME"}} (kinds: {", ".join(KINDS)}) or the value itself'


class SecretReference(BaseModel):
    """Where a secret is kept: `{"$secret": "<kind>:<name>"}`. It is looked up when a run starts, never before."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    reference: str = Field(alias="$secret", pattern=_REFERENCE.pattern)

    @property
    def kind(self) -> str:
        """`env`, `file`, `ssm` or `secretsmanager`."""
        return self.reference.split(":", 1)[0]

    @property
    def name(self) -> str:
        """What to look up: a variable, a path, a parameter or a secret."""
        return self.reference.split(":", 1)[1]

    @model_serializer
    def _as_written(self) -> dict[str, str]:
        return {"$secret": self.reference}

    def __str__(self) -> str:
        return f"<secret from {self.reference}>"


def is_masked(text: str) -> bool:
    """Tell whether text is what a mask leaves of a secret; a few asterisks are a value (`ALLOWED_HOSTS=*`)."""
    return len(text) >= 8 and set(text) == {"*"}


def _refuse_mask(text: str) -> None:
    if is_masked(text):
        raise ValueError(f"is a masked value ({MASK}), not the secret; {_HINT}")


def _refuse_unsendable(text: str) -> None:
    if "\0" in text:
        raise ValueError("holds a NUL character, which no process can receive")
    if not is_unicode(text):
        raise ValueError("holds bytes that are no UTF-8 text, and AWS takes only that")


def _refuse_bytes(value: Any) -> None:
    if isinstance(value, bytes | bytearray):
        raise ValueError("must be text, not bytes")


def is_unicode(text: str) -> bool:
    """Tell whether text can be written as UTF-8; Python keeps a foreign byte of an argument as half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def not_unicode(value: Any) -> tuple[str | int, ...] | None:
    """Give the path to the first text in a value, or name of one, that cannot be written as UTF-8; None where all can."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting:
        path, item = waiting.pop()
        if isinstance(item, str) and not item.isascii() and not is_unicode(item):
            return path
        if isinstance(item, Mapping):
            bad = next(
                (key for key in item if isinstance(key, str) and not key.isascii() and not is_unicode(key)), None
            )
            if bad is not None:
                return (*path, ascii(bad)[1:-1])
            waiting += [((*path, str(key)), member) for key, member in item.items()]
        elif isinstance(item, list | tuple):
            waiting += [((*path, index), member) for index, member in enumerate(item)]
    return None


def _read_written(value: Mapping[str, Any]) -> SecretStr | SecretReference:
    text = value.get("$secret")
    if set(value) != {"$secret"} or not isinstance(text, str):
        raise ValueError(f"is not a secret; {_HINT}")
    if text.startswith("value:"):
        text = text.removeprefix("value:")
        _refuse_mask(text)
        _refuse_unsendable(text)
        return SecretStr(text)
    if not _REFERENCE.fullmatch(text):
        raise ValueError(f"has a secret reference of no known kind; {_HINT}")
    return SecretReference.model_validate({"$secret": text})


def _read_secret(value: Any) -> Any:
    """Read a value that is secret by its place: a plain string is hidden."""
    _refuse_bytes(value)
    if isinstance(value, Mapping):
        return _read_written(value)
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if isinstance(text, str):
        _refuse_mask(text)
        _refuse_unsendable(text)
        return SecretStr(text)
    return value


def _read_text(value: Any) -> Any:
    """Read a value that may be secret: a plain string stays plain, a number becomes its text."""
    _refuse_bytes(value)
    if isinstance(value, Mapping):
        return _read_written(value)
    if isinstance(value, bool):
        raise ValueError(f'must be text, not a boolean; write "{str(value).lower()}" in quotes if that is meant')
    if isinstance(value, int | float):
        value = str(value)
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if isinstance(text, str):
        _refuse_mask(text)
        _refuse_unsendable(text)
    return value


Secret = Annotated[SecretStr | SecretReference, BeforeValidator(_read_secret)]
"""A value that is always secret."""

Text = Annotated[str | SecretStr | SecretReference, BeforeValidator(_read_text)]
"""A value that is secret if it is given as one."""


def plain(value: str | SecretStr | SecretReference) -> str:
    """Give the text that may be shown: the value itself, a mask, or where the secret is kept."""
    if isinstance(value, SecretStr):
        return MASK
    return str(value)
