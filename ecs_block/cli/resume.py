"""`ecs-block resume`: what processes that were killed left behind."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ecs_block.cli import exits
from ecs_block.cli.fields import aws_options
from ecs_block.cli.known import entries_named, run_of
from ecs_block.cli.offers import open_runs
from ecs_block.cli.output import Console, failure_of, gives_list, speaks
from ecs_block.errors import InvalidTask

if TYPE_CHECKING:
    from ecs_block.engine.journal import Entry
    from ecs_block.engine.resume import Found

_EXAMPLES = """\
Examples:

\b
  After a crash or a reboot: finish launches, wait, tell how each run ended:
    ecs-block resume
\b
  Take up one run, and take a part of its result:
    ecs-block resume nightly-2026-11-20 --query '[0].outcome'
\b
  See how all is going, without waiting:
    ecs-block resume --no-wait
\b
  Stop asking for a run of a local cloud that is gone:
    ecs-block resume --give-up cli-20261121-115735-3f9a61c204b7

Exit codes: 0 when every run succeeded, or nothing was left; else that of the worst, as of `wait`.
"""


@click.command(epilog=_EXAMPLES)
@click.argument("run_ids", nargs=-1, metavar="[RUN_ID]...", shell_complete=open_runs)
@click.option("-d", "--no-wait", is_flag=True, help="Look once, and do not wait for the end of tasks that run.")
@click.option("--give-up", is_flag=True, help="Record the outcome of RUN_ID as unknown; AWS is not asked.")
@aws_options
@gives_list
@speaks
def resume(console: Console, run_ids: tuple[str, ...], *, no_wait: bool, give_up: bool, **given: Any) -> int:
    """Finish runs whose process was killed, or report what became of them.

    Without RUN_ID, every run that this machine's journal knows and that has no outcome yet: also those started with
    --detach. A task that runs is watched to its end. A launch that was cut off is finished: the same request is sent again
    with the same token, so that there is one task, never two. What nobody can know is told so, and nothing is started.
    AWS is asked in the region, at the endpoint and with the profile that the run had; keys come from the environment.
    Ctrl-C ends the waiting, not the tasks.
    """
    console.prints_lists = True
    if give_up and not run_ids:
        raise InvalidTask("--give-up needs the RUN_ID of each run to give up.")
    entries = _entries(run_ids, given)
    if not entries:
        console.step("no run is unfinished")
    found = _given_up(entries) if give_up else _resumed(console, entries, given, wait=not no_wait)
    if give_up and not console.as_json:
        for one in found:
            _tell(console, one)
    if console.as_json:
        console.print_json([_as_json(one) for one in found])
    console.check_written()
    return 0 if give_up else _code(found, wait=not no_wait)


def _entries(run_ids: Sequence[str], given: Any) -> list[Entry]:
    """Give the unfinished attempts of these runs, or of all; of a run that has none, its last attempt."""
    from ecs_block.engine.journal import journal

    if not run_ids:
        return journal().unfinished()
    found: dict[int, Entry] = {}
    for run_id in run_ids:
        attempts = entries_named(run_id, given)
        unfinished = [entry for entry in attempts if entry.state in ("intended", "launched")]
        found |= {entry.number: entry for entry in reversed(unfinished or attempts[:1])}
    return list(found.values())


def _resumed(console: Console, entries: Sequence[Entry], given: Any, *, wait: bool) -> list[Found]:
    from ecs_block.engine import bridge
    from ecs_block.engine.prepare import Control
    from ecs_block.engine.resume import resume as resume_all

    def told(found: Found) -> None:
        if not console.as_json:
            _tell(console, found)

    return bridge.block_on(
        lambda: resume_all(entries, lambda entry: run_of(entry, given, console.event), told, wait=wait), Control()
    )


def _given_up(entries: Sequence[Entry]) -> list[Found]:
    from ecs_block.engine import bridge
    from ecs_block.engine.clock import SYSTEM_CLOCK
    from ecs_block.engine.journal import journal
    from ecs_block.engine.prepare import Control
    from ecs_block.engine.record import RunJournal
    from ecs_block.engine.resume import give_up

    async def each() -> list[Found]:
        return [await give_up(RunJournal(journal(), entry.run_id), entry, SYSTEM_CLOCK) for entry in entries]

    return bridge.block_on(each, Control())


def _tell(console: Console, found: Found) -> None:
    from ecs_block.engine.resume import LAUNCHING, short_ids

    name = found.entry.run_id
    attempt = f" (attempt {found.entry.attempt})" if found.entry.attempt > 1 else ""
    console.print_line(f"{name}{attempt}  {','.join(short_ids(found.entry)) or '-'}  {found.state}")
    if found.state == LAUNCHING:
        console.step(f"run {name}: another process is launching it, and is left alone")
    elif found.error is not None:
        console.failure(f"run {name}: {found.error}")
    elif found.result is not None and not found.result:
        console.failure(f"run {name}: {failure_of(found.result)}")


def _as_json(found: Found) -> dict[str, Any]:
    entry, result = found.entry, found.result
    return {
        "run_id": entry.run_id,
        "attempt": entry.attempt,
        "tasks": list(entry.tasks),
        "state": found.state,
        "outcome": result.outcome if result is not None else None,
        "reason": found.reason,
        "result": json.loads(result.model_dump_json()) if result is not None else None,
    }


def code_of(found: Found, *, wait: bool) -> int:
    """Give the exit code for one run."""
    if found.result is not None:
        return exits.of_error(found.result.error) if found.result.error else exits.of_result(found.result)
    return 0 if found.goes_on and not wait else exits.FAILED


def _code(found: Sequence[Found], *, wait: bool) -> int:
    from ecs_block.plan.verdict import worst

    bad = [one for one in found if code_of(one, wait=wait)]
    if not bad:
        return 0
    return code_of(bad[worst([one.result.outcome if one.result else "unknown" for one in bad])], wait=wait)
