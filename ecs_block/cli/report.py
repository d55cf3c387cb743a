"""`ecs-block report`: a run, or the tasks of a map, as a page to look at."""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecs_block.cli.known import LAST, entries_named, is_identifier
from ecs_block.cli.offers import file_names, run_names
from ecs_block.cli.output import Console, speaks
from ecs_block.cli.stdin import STDIN, text_of_stdin
from ecs_block.errors import InvalidTask

if TYPE_CHECKING:
    from ecs_block.engine.journal import Entry
    from ecs_block.plan.page import RunReport

STDOUT = "-"
_EXAMPLES = """\
Examples:

\b
  Look at the newest run; of a map, at all of its tasks:
    ecs-block report -o run.html
\b
  Send somebody the page of a run, or of one task of a map:
    ecs-block report nightly-2026-11-20 -o nightly.html
    ecs-block report parts/17 -o part-17.html
\b
  Make a page of a result, without the journal:
    ecs-block run --local --output json -- make test > result.json
    ecs-block report --from result.json -o result.html

Exit codes: 0 the page was written; 2 wrong usage, an unknown run, or a file that cannot be read or written;
125 ecs-block failed.
"""


@click.command(epilog=_EXAMPLES)
@click.argument("identifier", metavar="[ID]", required=False, shell_complete=run_names)
@click.option("-o", "--out", metavar="FILE|-", shell_complete=file_names, help="Write the page here (-: to stdout).")
@click.option(
    "--from", "source", metavar="FILE|-", shell_complete=file_names,
    help="Take the result, or a list of them, from JSON as `run --output json` prints it (-: on stdin).",
)  # fmt: skip
@click.option("--region", metavar="REGION", help="Of several runs with this id, the one in this region.")
@click.option("--endpoint-url", metavar="URL", help="Of several runs with this id, the one at this endpoint.")
@speaks
def report(console: Console, *, identifier: str | None, out: str | None, source: str | None, **given: Any) -> int:
    """Write a page about a run: its times, outcome, containers and last lines of output.

    ID is what this machine's journal of runs knows: a run id, a task's short id, its ARN, or `last` for the newest run,
    which is the default. The run id of a map gives all of its tasks. The page is one file of HTML that needs no script
    and no network. Secrets are masked in it. No AWS call is made.
    """
    if not out:
        raise InvalidTask("Nothing says where to write the page. Give -o report.html, or -o - for stdout.")
    if source is not None and identifier is not None:
        raise InvalidTask("ID and --from exclude each other: the page is of a run of the journal, or of a file.")
    page = _of_file(source) if source is not None else _of_journal(identifier or LAST, given)
    if out == STDOUT:
        console.print_text(page.rstrip("\n"))
    else:
        _write(Path(out), page)
        console.step(f"wrote {out}")
    return 0


# --- from the journal ---------------------------------------------------------------------------------------------


def _of_journal(name: str, given: Mapping[str, Any]) -> str:
    entries = _entries(name, given)
    by_run: dict[str, list[Entry]] = {}
    for entry in entries:
        by_run.setdefault(entry.run_id, []).append(entry)
    runs = [_run_of(sorted(attempts, key=lambda entry: entry.attempt)) for attempts in by_run.values()]
    if len(runs) == 1:
        return _page(runs[0].name, runs)
    return _page(entries[0].run_id.rpartition("/")[0], runs)


def _entries(name: str, given: Mapping[str, Any]) -> list[Entry]:
    """Give the attempts of one run, or of all the runs of a map, by index. Raises InvalidTask where there is no such run."""
    from ecs_block.engine.journal import journal

    if is_identifier(name):
        known = journal().by_task(name)
        if known is None:
            raise InvalidTask(f"This machine's journal of runs knows no task {name!r}.")
        return _beside(known, journal().named(known.run_id))
    if name == LAST:
        newest = entries_named(LAST, given)[0]
        base, _, index = newest.run_id.rpartition("/")
        of_a_map = bool(base) and index.isdecimal()
        return _beside(newest, journal().of_map(base) if of_a_map else journal().named(newest.run_id))
    found = [] if journal().named(name) else _where(journal().of_map(name), given)
    found = found or entries_named(name, given)
    if len(places := dict.fromkeys(entry.place for entry in found)) > 1:
        told = ", ".join(f"{place.region} {place.cluster} at {place.endpoint or 'AWS'}" for place in places)
        raise InvalidTask(
            f"There are several runs {name!r}: in {told}. Give --region, --endpoint-url, or a task's ARN."
        )
    return found


def _beside(one: Entry, entries: Sequence[Entry]) -> list[Entry]:
    """Give those that ran where this one did: a run id means one run in one place."""
    return [entry for entry in entries if entry.place == one.place]


def _where(entries: list[Entry], given: Mapping[str, Any]) -> list[Entry]:
    for option, of in (("region", "region"), ("endpoint_url", "endpoint")):
        entries = [entry for entry in entries if given[option] in (None, getattr(entry.place, of))]
    return entries


def _run_of(attempts: Sequence[Entry]) -> RunReport:
    """Tell what the journal has of a run: the newest attempt, and how those before it ended."""
    from ecs_block.aws import redactor
    from ecs_block.plan.page import RunReport
    from ecs_block.plan.result import from_record

    entry = attempts[-1]
    outcome = redactor().payload(entry.outcome) if entry.outcome is not None else None
    return RunReport(
        entry.run_id,
        entry.state if outcome is None else outcome["outcome"],
        None if outcome is None else from_record(outcome),
        redactor().payload(_command(entry)),
        [(name, redactor().text(value)) for name, value in _facts(attempts)],
        redactor().text(entry.refused or ""),
    )


def _command(entry: Entry) -> list[str] | None:
    """Give the command that was sent for the main container, as it was recorded."""
    overrides = (entry.request.get("overrides") or {}).get("containerOverrides") or [{}]
    command = overrides[0].get("command")
    return None if command is None else [str(word) for word in command]


def _facts(attempts: Sequence[Entry]) -> list[tuple[str, str]]:
    entry = attempts[-1]
    facts: list[tuple[str, str]] = []
    if entry.outcome is None:
        facts += [("Asked for", _clock(entry.created_at)), ("Sent", _clock(entry.sent_at))]
        facts += [("Task", task.rpartition("::")[2]) for task in entry.tasks]
        facts += [("Cluster", entry.place.cluster), ("Attempt", str(entry.attempt))]
        facts += [("Stop asked for", entry.stop_reason or "")]
    facts += [("Region", entry.place.region), ("Endpoint", entry.place.endpoint)]
    facts += [(f"Attempt {one.attempt}", _ending(one)) for one in attempts[:-1]]
    return facts


def _ending(entry: Entry) -> str:
    outcome = entry.outcome or {}
    return f"{outcome.get('outcome', entry.state)}. {outcome.get('reason', '')}".strip().replace("_", " ")


def _clock(seconds: float | None) -> str:
    from ecs_block.plan.timeline import clock

    return "" if seconds is None else clock(datetime.fromtimestamp(seconds, UTC))


# --- from a file --------------------------------------------------------------------------------------------------


def _of_file(source: str) -> str:
    from ecs_block.aws import redactor
    from ecs_block.plan.page import of_result
    from ecs_block.plan.result import from_record

    told = "stdin" if source == STDIN else source
    found = redactor().payload(_read(source, told))
    items = found if isinstance(found, list) else [found]
    if not items:
        raise InvalidTask(f"{told} holds an empty list: there is no result to make a page of.")
    try:
        results = [from_record(item) for item in items]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidTask(
            f"{told} holds no result as `ecs-block run --output json` prints it: {_first_problem(error)}."
        ) from None
    if isinstance(found, list):
        return _page(
            "Results" if source == STDIN else told,
            [of_result(str(index), result) for index, result in enumerate(results)],
        )
    name = (results[0].identifier or told).rpartition("/")[2]
    return _page(name, [of_result(name, results[0])])


def _first_problem(error: Exception) -> str:
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        problem = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
    return "it is not an object with these members"


def _read(source: str, told: str) -> Any:
    text = text_of_stdin() if source == STDIN else _text_of(source)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidTask(f"{told} is not JSON: {error}.") from None


def _text_of(path: str) -> str:
    try:
        return Path(path).expanduser().read_text("utf-8")
    except (OSError, RuntimeError, ValueError) as error:  # a home that is not known, a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidTask(f"{path} cannot be read: {reason}.") from None


# --- to a file ----------------------------------------------------------------------------------------------------


def _page(name: str, runs: Sequence[RunReport]) -> str:
    from ecs_block import __version__
    from ecs_block.plan.page import page_of_map, page_of_run

    by, now = f"ecs-block {__version__}", datetime.now(UTC)
    if len(runs) == 1:
        return page_of_run(runs[0], made_at=now, by=by)
    return page_of_map(name, runs, made_at=now, by=by)


def _write(path: Path, text: str) -> None:
    """Write a file as a whole, or not at all. Raises InvalidTask."""
    try:
        target = path.expanduser().resolve()
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            target.write_text(text, "utf-8")  # a pipe or a device stays what it is
        else:
            _replace(target, text)
    except (OSError, RuntimeError, ValueError) as error:  # a home that is not known, a NUL in the name
        raise InvalidTask(
            f"The page cannot be written to {path}: {getattr(error, 'strerror', None) or error}."
        ) from None


def _replace(target: Path, text: str) -> None:
    unfinished = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "w", encoding="utf-8") as file:
            file.write(text)
        unfinished.replace(target)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
