"""`.. agent-variables::`: the variables that an agent or a worker reads, from the model of its settings."""

from __future__ import annotations

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

from ecs_block.agent.settings import variables


class AgentVariables(Directive):
    """List each variable with what it says."""

    def run(self) -> list[nodes.Node]:
        """Make a definition list."""
        lines: list[str] = []
        for variable, told in variables().items():
            lines += [f"``{variable}``", f"   {told}", ""]
        node = nodes.container()
        self.state.nested_parse(StringList(lines, source="ecs_block/agent/settings.py"), 0, node)
        return node.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive("agent-variables", AgentVariables)
    return {"parallel_read_safe": True}
