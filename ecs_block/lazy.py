"""Names that a package imports when they are first used, so that importing the package itself is quick (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Give a package's `__getattr__` and `__dir__`. `homes` names the module within it of each public name."""
    names = vars(sys.modules[package])

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        if hasattr(value, "__module__"):
            value.__module__ = package  # a repr shows the path that users import
        names[name] = value
        return value

    return get, lambda: sorted({*names, *homes})
