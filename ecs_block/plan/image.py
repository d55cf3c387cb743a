"""The image that is used when none is named."""

from __future__ import annotations

import re
import sys


def official_python_image() -> str:
    """Give the official Python image that matches the running interpreter."""
    return f"python:{sys.version_info.major}.{sys.version_info.minor}"


# A reference as registries take it (distribution project, "reference" grammar), without its limits on length.
_NAME = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:(?:[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)*)(?::\d+)?/)?{_NAME}(?:/{_NAME})*(?::[\w][\w.-]{{0,127}})?(?:@[a-z0-9]+:[0-9a-f]{{32,}})?"
)
_ECR = re.compile(r"\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.")


def is_reference(image: str) -> bool:
    """Tell whether a text can name an image."""
    return bool(_REFERENCE.fullmatch(image))


def foreign_registry(image: str, region: str) -> str | None:
    """Give the region of an image in an ECR registry of another region, else None."""
    registry = _ECR.match(image)
    return registry[1] if registry and registry[1] != region else None
