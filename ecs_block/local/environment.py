"""The environment of a container: little of this machine's, all of the definition's and the run's."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

_KEPT = ("HOME", "LANG", "TMPDIR", "USER", "LOGNAME", "TZ")


class HostEnvironment:
    """What a process of this machine cannot do without. AWS credentials and everything else stay outside."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.variables = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("LC_")}
        self.variables["PATH"] = self._path()

    def _path(self) -> str:
        """Put the running interpreter first, so that ``python`` is the one that the user knows."""
        here = os.path.dirname(sys.executable)
        path = os.pathsep.join(part for part in (here, os.environ.get("PATH", os.defpath)) if part)
        if shutil.which("python", path=path) is None and sys.executable:
            path = os.pathsep.join((self._python_folder(), path))
        return path

    def _python_folder(self) -> str:
        """Make ``python`` where there is only ``python3``, as images of Python have both."""
        self._folder = tempfile.TemporaryDirectory(prefix="ecs-block-")
        script = Path(self._folder.name, "python")
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        script.chmod(0o755)
        return self._folder.name

    def close(self) -> None:
        """Remove what was made for the path."""
        if self._folder is not None:
            self._folder.cleanup()


def pairs(items: list[dict[str, str]]) -> dict[str, str]:
    """Read ``[{"name": …, "value": …}]``; of two with one name, the last counts."""
    return {item["name"]: item.get("value", "") for item in items}


def parse_env_file(text: str) -> dict[str, str]:
    """Read an environment file as ECS does: ``NAME=value`` lines, nothing unquoted, ``#`` starts a comment line."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#") and "=" in line]
    return dict(line.split("=", 1) for line in lines)
