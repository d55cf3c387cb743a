"""`ecs-block check`: would a run work?"""

from __future__ import annotations

from typing import Any

import click

from ecs_block.cli.fields import task_of, task_options
from ecs_block.cli.output import Console, gives_result, speaks
from ecs_block.cli.run import with_output

NOT_READY = 1

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
    on_finding = None if console.as_json else lambda finding: console.print_line(str(finding))
    checkup = with_output(console, task_of(given), lambda task: task.check(on_finding=on_finding))
    if console.as_json:
        console.print_json(checkup.as_json())
    return 0 if checkup else NOT_READY
