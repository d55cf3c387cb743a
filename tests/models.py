"""AWS's models, read once for all clients of a process: each cloud of a test has keys, and so clients, of its own.

botocore reads a model for each session anew, ten thousands of lines of JSON; a client takes a fifth of a second for it. What
it reads it does not change: within a session it hands the same object to every client, too.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from botocore.loaders import JSONFileLoader


def keep() -> None:
    """Keep what is read from now on."""
    read = JSONFileLoader.load_file
    kept: dict[str, OrderedDict[str, Any] | None] = {}

    def load_file(self: JSONFileLoader, file_path: str) -> OrderedDict[str, Any] | None:
        if file_path not in kept:
            kept[file_path] = read(self, file_path)
        return kept[file_path]

    JSONFileLoader.load_file = load_file  # type: ignore[method-assign]
