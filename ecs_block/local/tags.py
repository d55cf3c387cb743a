"""Tags: what AWS accepts, and how lists of tags are merged."""

from __future__ import annotations

import unicodedata
from typing import Any

from ecs_block.local.faults import ServiceError, invalid

Tags = list[dict[str, str]]

_PUNCTUATION = "_.:/=+-@"


def check_tags(tags: Tags, code: str = "InvalidParameterException") -> None:
    """Refuse tags that AWS refuses: too many, too long, reserved, repeated, or of forbidden characters."""
    if len(tags) > 50:
        raise ServiceError(code, "The maximum number of tags that can be applied to a resource is 50.")
    for tag in tags:
        _check_tag(tag.get("key", ""), tag.get("value", ""), code)
    keys = [tag["key"] for tag in tags]
    if len(set(keys)) < len(keys):
        raise ServiceError(code, "Duplicate tag keys found. Please note that Tag keys are case insensitive.")


def _check_tag(key: str, value: str, code: str) -> None:
    if not 1 <= len(key) <= 128 or len(value) > 256:
        raise ServiceError(
            code, f"Tag key length must be between 1 and 128, tag value length at most 256: '{key[:40]}'."
        )
    if key.lower().startswith("aws:") or value.lower().startswith("aws:"):
        raise ServiceError(code, "aws: prefixed tag key names are not allowed for external use.")
    if not all(map(_allowed, key + value)):
        raise ServiceError(code, f"Some characters in the tag '{key}' are invalid; see TagKey and TagValue.")


def _allowed(character: str) -> bool:
    return character in _PUNCTUATION or unicodedata.category(character)[0] in "LZN"


def merge_tags(old: Tags, new: Tags) -> Tags:
    """Return the old tags with the new ones in their place."""
    merged = {tag["key"]: tag.get("value", "") for tag in [*old, *new]}
    if len(merged) > 50:
        raise invalid("The maximum number of tags that can be applied to a resource is 50.")
    return [{"key": key, "value": value} for key, value in merged.items()]


def clean_tags(tags: Tags | None) -> Tags:
    """Return tags that all have a value."""
    return [{"key": tag["key"], "value": tag.get("value", "")} for tag in tags or []]


def drop_tags(tags: Tags, keys: list[Any]) -> Tags:
    """Return the tags without those keys."""
    return [tag for tag in tags if tag["key"] not in keys]
