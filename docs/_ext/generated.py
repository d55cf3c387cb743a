"""Lists that are made from the code, so that no page can drift.

.. autopydantic-fields:: module.Model   the fields of a model with their own documentation
.. agent-variables::                    the variables of the environment that an agent or a worker reads
.. known-causes::                       why a launch or a start fails, and what to do
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx


class _Definitions(Directive):
    """A list of terms, each with what it means."""

    def items(self) -> Iterator[tuple[str, str]]:
        """Give each term and its text, as reStructuredText."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Make a definition list."""
        lines: list[str] = []
        for term, text in self.items():
            lines += [term, *(f"   {line}" for line in text.splitlines()), ""]
        node = nodes.container()
        self.state.nested_parse(StringList(lines, source=self.name), 0, node)
        return node.children


class Fields(_Definitions):
    """Every field of a model: its name, default and meaning."""

    required_arguments = 1

    def items(self) -> Iterator[tuple[str, str]]:
        """Read the model's JSON schema."""
        module, _, name = self.arguments[0].rpartition(".")
        schema = getattr(importlib.import_module(module), name).model_json_schema()
        schema = schema.get("$defs", {}).get(name, schema)  # a model that holds itself is a definition
        for field, described in schema["properties"].items():
            yield f"``{field}``{_default(described)}", described.get("description", "")


def _default(described: dict[str, Any]) -> str:
    return f" (default ``{described['default']!r}``)" if described.get("default") not in (None, {}, []) else ""


class AgentVariables(_Definitions):
    """Each variable with what it says."""

    def items(self) -> Iterator[tuple[str, str]]:
        """Read the model of the settings."""
        from ecs_block.agent.settings import variables

        for variable, told in variables().items():
            yield f"``{variable}``", told


class KnownCauses(_Definitions):
    """Each cause with its cure."""

    def items(self) -> Iterator[tuple[str, str]]:
        """Read the advice that errors give."""
        from ecs_block.plan.advice import sentences

        for sentence in sentences():
            cause, _, cure = sentence.partition(": ")
            yield cause, f"{cure[:1].upper()}{cure[1:]}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directives."""
    app.add_directive("autopydantic-fields", Fields)
    app.add_directive("agent-variables", AgentVariables)
    app.add_directive("known-causes", KnownCauses)
    return {"parallel_read_safe": True}
