"""A report on a run, or on the tasks of a `map`, as one page of HTML that needs nothing else: no script, no other file."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from ecs_block.arn import cluster_of, short_name
from ecs_block.plan.chart import Row, chart, legend, row_of_each, took
from ecs_block.plan.markup import Html, el, joined
from ecs_block.plan.result import ContainerResult, ECSTaskResult
from ecs_block.plan.style import STYLE
from ecs_block.plan.timeline import chosen, clock, left_out, phases_of
from ecs_block.plan.verdict import NO_EXIT_CODE

MOST_TASKS = 500  # tasks that one page shows
MOST_LINES = 200  # lines of output of one task
_MOST_LINKS = 40

# The sign and the tone of each outcome, and of a run that has none.
_SIGNS = {
    "succeeded": ("✓", "good"),
    "failed": ("✗", "bad"),
    "start_failed": ("✗", "bad"),
    "stopped": ("■", "warn"),
    "interrupted": ("!", "warn"),
    "unknown": ("?", "plain"),
    "launched": ("…", "plain"),
    "intended": ("…", "plain"),
    "refused": ("✗", "bad"),
}
_WORDS = {
    "launched": "no outcome yet",
    "intended": "launch not finished",
    "refused": "refused",
}
_NOT_ENDED = {
    "launched": "The task was launched. Nothing that ran here has seen its end, so it may run still.",
    "intended": "The launch was begun and not finished: no task is known.",
    "refused": "AWS refused the launch: no task was started.",
}


@dataclass(frozen=True)
class RunReport:
    """What is known of one run."""

    name: str
    """Its run id, else the task's short id."""
    state: str
    """Its outcome; `launched`, `intended` or `refused` where it has none."""
    result: ECSTaskResult | None = None
    command: Sequence[str] | None = None
    facts: Sequence[tuple[str, str]] = ()
    """What is known besides the result, each with its name."""
    reason: str = ""
    """Why there is no result."""

    @property
    def good(self) -> bool:
        """True when it succeeded."""
        return self.state == "succeeded"

    @property
    def is_open(self) -> bool:
        """True while it may still come to an outcome."""
        return self.state in ("launched", "intended")

    @property
    def word(self) -> str:
        """The state, in words."""
        return _WORDS.get(self.state, self.state.replace("_", " "))

    @property
    def tone(self) -> str:
        """How the state is coloured."""
        return _SIGNS.get(self.state, ("?", "plain"))[1]

    @property
    def sign(self) -> str:
        """The state as a sign."""
        return _SIGNS.get(self.state, ("?", "plain"))[0]

    def __bool__(self) -> bool:
        return self.good


def of_result(name: str, result: ECSTaskResult, **more: object) -> RunReport:
    """Make the report of a result."""
    return RunReport(name, result.outcome, result, **more)  # type: ignore[arg-type]


def page_of_run(run: RunReport, *, made_at: datetime, by: str) -> Html:
    """Make the page on one run."""
    tasks = [of_result(_task_id(task), task) for task in run.result.tasks] if run.result is not None else []
    inside = joined(
        _head("Run", run.name, _badge(run), _summary(run)),
        *_about(run, 2),
        *(_many(tasks, "Tasks") if tasks else ()),
    )
    return _page(f"{run.name}: {run.word}", inside, made_at, by)


def page_of_map(name: str, runs: Sequence[RunReport], *, made_at: datetime, by: str) -> Html:
    """Make the page on the tasks of a map."""
    told, tone = _sum(runs)
    badge = el("span", told, class_=f"badge {tone}")
    parts = (_head(f"{len(runs):,} tasks", name, badge, None), _counts(runs), _bad_ones(runs), *_many(runs, "Tasks"))
    return _page(f"{name}: {told}", joined(*parts), made_at, by)


def _sum(runs: Sequence[RunReport]) -> tuple[str, str]:
    """Say in a line what became of all, with its tone."""
    open_ = sum(1 for run in runs if run.is_open)
    bad = sum(1 for run in runs if not run) - open_
    if bad:
        rest = f", {open_:,} without an outcome yet" if open_ else ""
        return f"✗ {bad:,} of {len(runs):,} did not succeed{rest}", "bad"
    return (f"… {open_:,} of {len(runs):,} without an outcome yet", "plain") if open_ else ("✓ all succeeded", "good")


def _page(title: str, inside: Html, made_at: datetime, by: str) -> Html:
    head = joined(
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", title),
        el("style", Html(STYLE)),
    )
    foot = el("footer", f"Made by {by} on {clock(made_at)}. Secrets are masked as they were recorded.")
    return joined(
        Html("<!doctype html>\n"),
        el("html", el("head", head), el("body", el("main", inside), foot), lang="en"),
        Html("\n"),
    )


# --- the parts ----------------------------------------------------------------------------------------------------


def _head(kind: str, name: str, badge: Html, summary: Html | None) -> Html:
    return el("header", el("p", kind, class_="kind"), el("h1", name), el("p", badge, summary, class_="state"))


def _badge(run: RunReport) -> Html:
    return el("span", f"{run.sign} {run.word}", class_=f"badge {run.tone}")


def _summary(run: RunReport) -> Html | None:
    if run.result is None:
        return None
    told = []
    if run.result.status_code != NO_EXIT_CODE:
        told.append(f"exit code {run.result.status_code}")
    phases = phases_of(run.result)
    if phases and took(phases) != "?":
        told.append(f"{took(phases)} in all")
    return el("span", " · ".join(told), class_="soft") if told else None


def _about(run: RunReport, level: int) -> Iterator[Html | None]:
    """Tell all of one run: what was run, why it ended so, when, where, and what it wrote."""
    if run.command is not None:
        yield _section("Command", el("pre", el("code", shlex.join(run.command)), tabindex="0"), level)
    yield _why(run)
    if run.result is not None and not run.result.tasks:
        yield _timeline(run, run.result, level)
    yield _section("Facts", _facts(run), level)
    if run.result is not None:
        yield _containers(run.result.containers, level)
        yield _output(run.result.log_tail, level)


def _section(title: str, inside: Html, level: int) -> Html:
    return el("section", el(f"h{level}", title), inside)


def _why(run: RunReport) -> Html | None:
    """Say why, and what to do."""
    advice = run.result.advice if run.result is not None else None
    parts = [el("p", told) for told in _reasons(run)]
    parts += [el("p", el("strong", "What to do: "), advice)] if advice else []
    return el("div", *parts, class_=f"why {run.tone}") if parts else None


def _reasons(run: RunReport) -> list[str]:
    """Say why a run did not succeed: AWS's words, and the error where it says more."""
    if run.result is None:
        return [run.reason or _NOT_ENDED.get(run.state, "")]
    if run.good:
        return []
    reason, error = run.result.reason, str(run.result.error or "")
    return [told for told in ("" if reason in error else reason, error) if told]


def _timeline(run: RunReport, result: ECSTaskResult, level: int) -> Html | None:
    phases = phases_of(result)
    drawn = chart(row_of_each(phases, result.outcome), f"Timeline of {run.name}")
    if drawn is None:
        return None
    told = el("figcaption", f"From {clock(phases[0].begin)}. Each bar is one phase.")
    return _section("Timeline", el("figure", drawn, told), level)


def _facts(run: RunReport) -> Html:
    rows = [*(_of_result(run.result) if run.result is not None else ()), *run.facts]
    return el("dl", *(joined(el("dt", name), el("dd", value)) for name, value in rows if value))


def _of_result(result: ECSTaskResult) -> Iterator[tuple[str, str]]:
    _, _, arn = (result.identifier or "").rpartition("::")
    yield "Task", arn or "none was started"
    yield "Cluster", cluster_of(arn) or ""
    yield "Task definition", short_name(result.task_definition_arn or "")
    yield "Exit code", "" if result.status_code == NO_EXIT_CODE else str(result.status_code)
    yield "Stop code", result.stop_code or ""
    yield "Reason", result.reason if result else ""
    yield "Attempt", str(result.attempt)
    for name, at in (("Created", result.created_at), ("Started", result.started_at), ("Stopped", result.stopped_at)):
        yield name, "" if at is None else clock(at)
    told = {"yes": "yes", "no": "no: some lines could not be read"}
    yield "Output complete", told.get(result.log_complete, "unknown")


def _containers(containers: Sequence[ContainerResult], level: int) -> Html | None:
    if not containers:
        return None
    rows = [
        (one.name, _code(one.exit_code), one.last_status or "-", one.image or "-", one.reason or "-")
        for one in containers
    ]
    some = 5 if any(one.reason for one in containers) else 4
    table = _table(("Name", "Exit code", "Status", "Image", "Reason")[:some], [row[:some] for row in rows])
    return _section("Containers", _scrolled(table, "Containers"), level)


def _code(code: int | None) -> str:
    return "-" if code is None or code == NO_EXIT_CODE else str(code)


def _output(lines: Sequence[str], level: int) -> Html | None:
    if not lines:
        return None
    shown = "\n".join(lines[-MOST_LINES:])
    return _section("Last lines of output", el("pre", el("code", shown), tabindex="0"), level)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str | Html]], kind: str | None = None) -> Html:
    head = el("tr", *(el("th", name, scope="col") for name in heads))
    body = (el("tr", el("th", row[0], scope="row"), *(el("td", cell) for cell in row[1:])) for row in rows)
    return el("table", el("thead", head), el("tbody", *body), class_=kind)


def _scrolled(table: Html, name: str) -> Html:
    """Let a table that is wider than the page move by itself, also by keys."""
    return el("div", table, class_="scrolled", role="region", aria_label=name, tabindex="0")


# --- many tasks ---------------------------------------------------------------------------------------------------


def _counts(runs: Sequence[RunReport]) -> Html:
    by_state = Counter(run.state for run in runs)
    first = {run.state: run for run in reversed(runs)}
    cells = [el("li", el("strong", f"{count:,}"), " ", _badge(first[state])) for state, count in by_state.most_common()]
    return el("ul", *cells, class_="counts", aria_label="Outcomes")


def _bad_ones(runs: Sequence[RunReport]) -> Html | None:
    """Point to those that did not succeed."""
    bad = [index for index in chosen(runs, MOST_TASKS) if not runs[index] and not runs[index].is_open]
    if not bad:
        return None
    links = [part for index in bad[:_MOST_LINKS] for part in (" ", el("a", str(index), href=f"#task-{index}"))]
    more = f" and {len(bad) - _MOST_LINKS:,} more" if len(bad) > _MOST_LINKS else None
    return el("p", "Did not succeed:", *links, more, class_="links")


def _many(runs: Sequence[RunReport], title: str) -> Iterator[Html | None]:
    shown = chosen(runs, MOST_TASKS)
    if left := left_out(len(shown), len(runs)):
        yield el("p", left, class_="soft")
    yield _bars(runs, shown)
    heads = ("Task", "Outcome", "Exit", "Took", "Command" if any(run.command for run in runs) else "Reason")
    table = _table(heads, (_task_row(index, runs[index]) for index in shown), "tasks")
    yield _section(title, _scrolled(table, title), 2)
    yield _section("Each task", joined(*(_details(index, runs[index]) for index in shown)), 2)


def _bars(runs: Sequence[RunReport], shown: Sequence[int]) -> Html | None:
    rows: list[Row] = []
    for index in shown:
        run = runs[index]
        phases = phases_of(run.result) if run.result is not None else []
        rows.append(Row(f"{run.sign} {index}", phases, run.state, took(phases), f"#task-{index}"))
    drawn = chart(rows, f"Timeline of {len(rows)} tasks", height=20)
    if drawn is None:
        return None
    ran = [row.outcome for row in rows if any(phase.name == "running" for phase in row.phases)]
    key = [el("li", _swatch(colour), name) for name, colour in legend(ran)]
    return _section("Timeline", el("figure", drawn, el("figcaption", el("ul", *key, class_="legend"))), 2)


def _swatch(colour: str) -> Html:
    box = el("rect", width="12", height="12", rx="2", fill=colour)
    return el("svg", box, xmlns="http://www.w3.org/2000/svg", width="12", height="12", aria_hidden="true")


def _task_row(index: int, run: RunReport) -> list[str | Html]:
    result = run.result
    return [
        el("a", str(index), href=f"#task-{index}", aria_label=f"Task {index}"),
        el("span", f"{run.sign} {run.word}", class_=f"word {run.tone}"),
        _code(None if result is None else result.status_code),
        "-" if result is None else took(phases_of(result)),
        _what(run),
    ]


def _what(run: RunReport) -> Html:
    """Tell a task from the others: by its command; and why it did not succeed."""
    command = el("code", shlex.join(run.command), class_="cut") if run.command else None
    return joined(command, *(el("span", told, class_="reason") for told in _reasons(run)))


def _details(index: int, run: RunReport) -> Html:
    told = joined(el("span", f"{run.sign} {run.word}", class_=f"word {run.tone}"), " ", el("code", run.name))
    # The id is inside: a link to it then opens what was closed.
    inside = el("div", *_about(run, 3), class_="inside", id=f"task-{index}")
    return el("details", el("summary", f"{index} ", told), inside)


def _task_id(task: ECSTaskResult) -> str:
    return short_name((task.identifier or "-").rpartition("::")[2])
