"""`.. known-causes::`: why a launch or a start fails, and what to do, from the advice that errors give."""

from __future__ import annotations

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

from ecs_block.plan.advice import sentences


class KnownCauses(Directive):
    """List each cause with its cure."""

    def run(self) -> list[nodes.Node]:
        """Make a definition list."""
        lines: list[str] = []
        for sentence in sentences():
            cause, _, cure = sentence.partition(": ")
            lines += [cause, f"   {cure[:1].upper()}{cure[1:]}", ""]
        node = nodes.container()
        self.state.nested_parse(StringList(lines, source="ecs_block/plan/advice.py"), 0, node)
        return node.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive("known-causes", KnownCauses)
    return {"parallel_read_safe": True}
