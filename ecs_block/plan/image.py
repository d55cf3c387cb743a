"""The image that is used when none is named."""

from __future__ import annotations

import sys


def official_python_image() -> str:
    """Give the official Python image that matches the running interpreter."""
    return f"python:{sys.version_info.major}.{sys.version_info.minor}"
