"""What contributors are told is there: the sessions, the map of the house, and the forms of the issue tracker."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import ecs_block

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def sessions() -> set[str]:
    """Name the sessions of nox, without loading it."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return {node.name for node in functions if "nox.session" in map(ast.unparse, node.decorator_list)}


def default_sessions() -> set[str]:
    """Name those that `nox` runs without being told."""
    source = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    found = re.search(r"^nox\.options\.sessions = (.*)$", source, re.MULTILINE)
    assert found
    return set(ast.literal_eval(found[1]))


def test_every_session_is_told_of() -> None:
    """The sessions that are not part of every change are those that CONTRIBUTING lists."""
    listed = CONTRIBUTING.partition("`nox -l` lists")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == sessions() - default_sessions()
    for name in re.findall(r"nox -s (\w+)", CONTRIBUTING):
        assert name in sessions()


def test_the_map_has_every_package() -> None:
    """Each package of the library stands in the map of the house."""
    packages = {path.parent.name for path in (ROOT / "ecs_block").glob("*/__init__.py")}
    assert packages == set(re.findall(r"^\| `ecs_block/(\w+)/`", CONTRIBUTING, re.MULTILINE))


def test_the_version_is_one() -> None:
    """The package and its metadata agree about the version."""
    assert f'\nversion = "{ecs_block.__version__}"\n' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_is_one(path: Path) -> None:
    """It has what the tracker asks of a form: name, description, and parts with ids of their own and a label each."""
    form: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= set(form)
    ids = [part["id"] for part in form["body"]]
    assert len(ids) == len(set(ids)) > 0
    for part in form["body"]:
        assert part["type"] in ("input", "textarea", "dropdown")
        assert part["attributes"]["label"]
        choices = part["attributes"].get("options", ["-"])
        assert all(isinstance(choice, str) for choice in choices)  # a bare Yes is a boolean
    assert any(part.get("validations", {}).get("required") for part in form["body"])
