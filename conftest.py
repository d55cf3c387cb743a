"""The Python in README and docs is run as it stands, against a LocalCloud that the environment leads to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

_undo: list[Any] = []


def _setup(namespace: dict[str, Any]) -> None:
    from ecs_block import ECSTask
    from ecs_block.local import LocalCloud

    folder = tempfile.TemporaryDirectory()
    package = Path(folder.name, "reports")
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "nightly.py").write_text("import os, sys; print(sys.argv[1:]); assert os.environ['DB_PASSWORD']\n")
    cloud = LocalCloud(directory=folder.name).start()
    cloud.client("ssm").put_parameter(Name="/reports/db-password", Value="a made up one", Type="SecureString")
    before, here = dict(os.environ), Path.cwd()
    _undo[:] = [folder, cloud, before, here]
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(cloud.environment, ECS_BLOCK_HOME=folder.name)
    os.chdir(folder.name)
    namespace["task"] = ECSTask(command=["true"])


def _teardown(namespace: dict[str, Any]) -> None:
    folder, cloud, before, here = _undo
    os.environ.clear()
    os.environ.update(before)
    os.chdir(here)
    cloud.stop()
    folder.cleanup()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/*.md"],
    setup=_setup,
    teardown=_teardown,
).pytest()
