"""`.. autopydantic-fields:: module.Model`: the fields of a model with their own documentation, so that no page can drift."""

from __future__ import annotations

import importlib
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx


class Fields(Directive):
    """List every field: its name, type, default and meaning."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make a definition list."""
        module, _, name = self.arguments[0].rpartition(".")
        model = getattr(importlib.import_module(module), name)
        schema = model.model_json_schema()
        schema = schema.get("$defs", {}).get(name, schema)["properties"]  # a model that holds itself is a definition
        lines: list[str] = []
        for field, described in schema.items():
            lines += [f"``{field}``{_default(described)}", *_indented(described.get("description", "")), ""]
        node = nodes.container()
        self.state.nested_parse(StringList(lines, source=self.arguments[0]), 0, node)
        return node.children


def _default(described: dict[str, Any]) -> str:
    return f" (default ``{described['default']!r}``)" if described.get("default") not in (None, {}, []) else ""


def _indented(text: str) -> list[str]:
    return [f"   {line}" for line in text.splitlines()]


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive("autopydantic-fields", Fields)
    return {"parallel_read_safe": True}
