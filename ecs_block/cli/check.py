"""`ecs-block check`: would a run work?"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ecs_block.cli.fields import task_of, task_options
from ecs_block.cli.output import Console, gives_result, speaks
from ecs_block.cli.run import with_output
from ecs_block.cli.streams import STDOUT
from ecs_block.cli.terminal import Terminal, size_of, terminal_of

if TYPE_CHECKING:
    from ecs_block.plan.checkup import Finding, State

NOT_READY = 1

_NAME = 15  # characters of the column of names
_STYLES: dict[State, dict[str, Any]] = {
    "ok": {"fg": "green"},
    "warning": {"fg": "yellow"},
    "failed": {"fg": "red"},
    "unseen": {"dim": True},
}

_EXAMPLES = """\
Examples:

\b
  Look at everything that a saved block needs:
    ecs-block check --block nightly
\b
  Look first, run then:
    ecs-block check --block nightly && ecs-block run --block nightly
\b
  Name what is wrong:
    ecs-block check --block nightly \\
        --query "findings[?state=='failed'].[name, advice]"

Exit codes: 0 a run would work, as far as can be seen; 1 it would not; 2 wrong usage, 125 AWS or ecs-block failed.
"""


@click.command(context_settings={"allow_interspersed_args": False}, epilog=_EXAMPLES)
@task_options
@gives_result
@speaks
def check(console: Console, **given: Any) -> int:
    """Look at everything that a run needs, without starting one.

    Credentials, cluster, capacity, definition, network and its way out, roles, log group, image, secrets. Nothing is
    changed at AWS. Each is marked: ✓ as it should be, ✗ a run would fail on it, ! it may, ? it cannot be seen.
    """
    shown = _shown_on(terminal_of(sys.stdout))
    on_finding = None if console.as_json else lambda finding: console.print_line(shown(finding))
    checkup = with_output(console, task_of(given), lambda task: task.check(on_finding=on_finding))
    if console.as_json:
        console.print_json(checkup.as_json())
    console.check_written()
    if checkup:
        console.step("a run would work, as far as can be seen")
        return 0
    bad = [finding.name for finding in checkup.findings if finding.state == "failed"]
    console.failure(f"a run would fail: {', '.join(bad)}")
    return NOT_READY


def _shown_on(terminal: Terminal) -> Callable[[Finding], str]:
    """Give how a finding is shown: in columns and broken between words where somebody looks at it."""
    if not terminal.interactive:
        return str
    from ecs_block.plan.checkup import MARKS
    from ecs_block.plan.terminal import safe_for_terminal

    width = max(size_of(STDOUT)[0] - 1, _NAME + 30)

    def shown(finding: Finding) -> str:
        text = safe_for_terminal(" ".join(filter(None, (finding.said, finding.advice)))).replace("\n", " ")
        first, *rest = textwrap.wrap(
            text, width - _NAME - 4, break_long_words=False, break_on_hyphens=False
        ) or [""]  # fmt: skip
        mark = MARKS[finding.state]
        name = f"{finding.name:<{_NAME}}"
        if terminal.coloured:
            mark, name = click.style(mark, **_STYLES[finding.state]), click.style(name, bold=finding.state == "failed")
        return "\n".join([f"{mark} {name}  {first}", *(" " * (_NAME + 4) + line for line in rest)])

    return shown
