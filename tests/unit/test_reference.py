"""The reference pages say what the code does: nothing is left out, and nothing is there that is gone."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

import ecs_block
from ecs_block import agent, errors, local
from ecs_block.cli import exits

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "reference"


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


# --- commands ----------------------------------------------------------------------------------------------------------


def test_the_help_of_every_verb_is_on_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page of the commands is what `nox -s reference` writes now."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    commands = importlib.import_module("commands")
    monkeypatch.delitem(sys.modules, "commands")
    assert page("commands") == commands.page(), "the help has changed: run `nox -s reference`"


# --- names -------------------------------------------------------------------------------------------------------------

_DOCUMENTED = re.compile(r"\.\. auto(?:class|function):: (?P<path>\S+)\n(?: +:members:(?P<members>[^\n]*))?")


def documented(text: str) -> dict[str, set[str]]:
    """Give each name with the members that are listed; an asterisk where `:members:` stands alone, for all of them."""
    found = {}
    for match in _DOCUMENTED.finditer(text):
        members = match["members"]
        found[match["path"].rpartition(".")[2]] = (
            set() if members is None else set(re.findall(r"\w+", members) or ["*"])
        )
    return found


def public_methods(kind: type) -> set[str]:
    """Name what a class or ours above it defines for callers: no field, no validator, nothing of pydantic's."""
    ours = [base for base in kind.__mro__ if base.__module__.startswith("ecs_block")]
    fields = {*kind.model_fields, *dir(BaseModel)} if issubclass(kind, BaseModel) else set()
    members = {name: item for base in ours for name, item in vars(base).items() if not name.startswith("_")}
    callables = (staticmethod, classmethod, property)
    return {name for name, item in members.items() if inspect.isfunction(item) or isinstance(item, callables)} - fields


# What other parts of the library use, and callers have no need of. A new method is put on the page or here.
OURS = {
    "AwsCredentials": {"identity"},
    "Block": {"type_slug"},
    "Job": {"title"},
    "RunQueue": {"ask_of", "conversation", "delete", "hide", "key", "prefix"}
    | {"receive", "send_on", "settings", "url_of"},
    "WorkPool": {"credentials", "reserved_in", "values_of", "variables"},
}
CLASSES = [
    item
    for package in (ecs_block, agent)
    for name in package.__all__
    if inspect.isclass(item := getattr(package, name)) and not issubclass(item, Exception)
]


def test_every_public_name_is_documented() -> None:
    """No public name of the three packages is missing, and each error is on the page of the errors."""
    names = documented(page("python"))
    for package in (ecs_block, agent):
        wanted = {name for name in package.__all__ if name not in errors.__all__}
        assert wanted <= set(names)
    cloud = (ROOT / "docs" / "local-cloud.md").read_text(encoding="utf-8")
    assert set(local.__all__) <= set(documented(cloud))
    assert "automodule:: ecs_block.errors" in page("errors")
    assert "automodule:: ecs_block.events" in page("python")


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_public_method_is_documented(kind: type) -> None:
    """Each method of a public class stands on the page, or on that of the class above it, and says what it does."""
    names = documented(page("python"))
    listed = {member for base in kind.__mro__ for member in names.get(base.__name__, ())}
    ours = {member for base in kind.__mro__ for member in OURS.get(base.__name__, ())}
    public = public_methods(kind)
    assert public - listed == ours if "*" not in listed else ours <= public
    assert [name for name in public if not inspect.getdoc(getattr(kind, name))] == []


@pytest.mark.parametrize("kind", [item for item in CLASSES if issubclass(item, BaseModel)], ids=lambda k: k.__name__)
def test_every_field_is_documented(kind: type[BaseModel]) -> None:
    """Each field has a docstring, which help, schema and pages share."""
    assert [name for name, field in kind.model_fields.items() if not field.description] == []


# --- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name not in ("EcsBlockError", "BlockError")])
def test_every_error_has_its_cause_and_its_cure(name: str) -> None:
    """The docstring says what happened, and then what to do."""
    cause, _, cure = (inspect.getdoc(getattr(errors, name)) or "").partition("\n\nWhat to do: ")
    assert cause.startswith(tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    assert len(cure.split()) > 4


# --- exit codes --------------------------------------------------------------------------------------------------------


def test_every_exit_code_is_told() -> None:
    """The table has each code of the command line, and no other but 1."""
    told = re.findall(r"^\| (\d+) \|", page("exit-codes"), re.MULTILINE)
    there = {value for name, value in vars(exits).items() if name.isupper() and type(value) is int}
    assert [int(code) for code in told] == sorted({1, *there})


# --- environment -------------------------------------------------------------------------------------------------------

_VARIABLE = re.compile(r"_?(ECS_BLOCK|AWS|ECS_CONTAINER|COMP)_[A-Z0-9_]*[A-Z0-9]|NO_COLOR|FORCE_COLOR|NO_PROXY|TERM")


def variables_of_the_code() -> set[str]:
    """Find every string in the code that is the name of a variable of ours, of AWS or of a terminal."""
    return {
        node.value
        for path in (ROOT / "ecs_block").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _VARIABLE.fullmatch(node.value)
    }


def test_every_variable_is_told() -> None:
    """Each variable that the code knows is on the page, and each of ours on the page is known to the code."""
    told = set(re.findall(r"`([A-Z_0-9]+)`", page("environment")))
    there = variables_of_the_code()
    assert there - told == set()
    assert {name for name in told if name.startswith("ECS_BLOCK_")} - there == set()
