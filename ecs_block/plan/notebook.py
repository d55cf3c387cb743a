"""What a notebook shows of a task, of its result, and of the results of a `map`: a small table and a timeline."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ecs_block.arn import short_name
from ecs_block.plan.chart import Row, chart, legend, row_of_each, took
from ecs_block.plan.markup import Html, el, joined
from ecs_block.plan.timeline import MOST_ROWS, chosen, left_out, phases_of
from ecs_block.plan.verdict import NO_EXIT_CODE

if TYPE_CHECKING:
    from ecs_block.plan.result import ECSTaskResult

_LEFT = "text-align:left;vertical-align:top;padding:0.15em 0.7em"
_WIDTH = "max-width:56em"


def of_task(fields: Iterable[tuple[str | None, Any]]) -> Html:
    """Show the fields of a block that were set. Their values come masked."""
    rows = [(name or "", _value(value)) for name, value in fields]
    if not rows:
        return el("div", el("strong", "ECSTask"), " with its defaults")
    return el("div", el("strong", "ECSTask"), _names_and_values(rows), style=_WIDTH)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(item, str) for item in value):
        return shlex.join(value)
    return repr(value)


def of_result(result: ECSTaskResult) -> Html:
    """Show what became of a task, and when."""
    rows = [(name, value) for name, value in _told(result) if value]
    phases = phases_of(result)
    drawn = chart(row_of_each(phases, result.outcome), f"Timeline of {_id(result)}") if not result.tasks else None
    parts = (el("strong", "ECSTaskResult"), _names_and_values(rows), drawn)
    return el("div", *parts, _tasks(result.tasks) if result.tasks else None, style=_WIDTH)


def _told(result: ECSTaskResult) -> Iterator[tuple[str, str]]:
    yield "outcome", result.outcome.replace("_", " ")
    yield "exit code", _code(result)
    yield "reason", result.reason
    yield "what to do", result.advice or ""
    yield "task", result.identifier or "none was started"
    yield "task definition", short_name(result.task_definition_arn or "")
    yield "attempt", "" if result.attempt == 1 else str(result.attempt)
    yield "error", "" if result.error is None else f"{type(result.error).__name__}: {result.error}"


def of_results(results: Sequence[ECSTaskResult]) -> Html:
    """Show the results of a `map`: how many ended in which way, a bar for each task, a row for each task."""
    counts = Counter(result.outcome.replace("_", " ") for result in results)
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()) or "no tasks"
    return el("div", el("strong", "ECSTaskResults"), f" {told}", _tasks(results) if results else None, style=_WIDTH)


def _tasks(results: Sequence[ECSTaskResult]) -> Html:
    shown = chosen(results, MOST_ROWS)
    rows = [_row(index, results[index]) for index in shown]
    bars = [
        Row(str(index), phases := phases_of(results[index]), results[index].outcome, took(phases)) for index in shown
    ]
    drawn = chart(bars, f"Timeline of {len(bars)} tasks", height=16)
    ran = [bar.outcome for bar in bars if any(phase.name == "running" for phase in bar.phases)]
    key = [(el("span", "■ ", style=f"color:{colour}"), name, "  ") for name, colour in legend(ran)]
    return joined(
        el("div", left) if (left := left_out(len(shown), len(results))) else None,
        drawn,
        el("div", *(part for entry in key for part in entry)) if drawn else None,
        _table(("", "outcome", "exit code", "took", "reason", "task"), rows),
    )


def _row(index: int, result: ECSTaskResult) -> tuple[str, ...]:
    phases = phases_of(result)
    return (str(index), result.outcome.replace("_", " "), _code(result), took(phases), result.reason, _id(result))


def _code(result: ECSTaskResult) -> str:
    return "" if result.status_code == NO_EXIT_CODE else str(result.status_code)


def _id(result: ECSTaskResult) -> str:
    return short_name((result.identifier or "-").rpartition("::")[2])


def _names_and_values(rows: Iterable[tuple[str, str]]) -> Html:
    told = (
        el("tr", el("th", name, scope="row", style=_LEFT), el("td", value, style=f"{_LEFT};overflow-wrap:anywhere"))
        for name, value in rows
    )
    return el("table", el("tbody", *told))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    head = el("tr", *(el("th", name, scope="col", style=_LEFT) for name in heads))
    body = (el("tr", *(el("td", cell, style=_LEFT) for cell in row)) for row in rows)
    return el("table", el("thead", head), el("tbody", *body))
