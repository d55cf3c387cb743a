"""The agent's status as one page of HTML: no script, no other file; the browser asks for it again every few seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from ecs_block.plan.markup import Html, el, joined
from ecs_block.plan.style import STYLE

REFRESH = 5  # seconds
MOST_ROWS = 200  # of one table
MOST_BAD = 20  # rows of those that failed, which stand first

Snapshot = Mapping[str, Any]
Line = Mapping[str, Any]

_STYLE = """
header{display:flex;flex-wrap:wrap;gap:.4rem 1rem;align-items:center;margin-bottom:.3rem}header h1{margin:0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(7.2rem,1fr));gap:.6rem;list-style:none;
margin:1.5rem 0 0;padding:0}
.tiles li{padding:.6rem .9rem;background:var(--card);border:1px solid var(--line);border-radius:6px;color:var(--soft);
font-size:.85rem}
.tiles strong{display:block;color:var(--ink);font-size:1.5rem;line-height:1.3;font-weight:600;font-variant-numeric:tabular-nums}
.tiles .bad strong{color:var(--bad)}
.jobs{table-layout:fixed;min-width:38rem}
.jobs th:nth-child(1){width:34%}.jobs th:nth-child(2){width:8.5rem}.jobs th:nth-child(3){width:6rem}
.jobs td:not(:last-child){white-space:normal}.jobs tbody th{font-weight:400;overflow-wrap:anywhere}
.jobs tbody th strong{display:block;font-weight:600}.jobs .id{color:var(--soft);font-size:.8rem}
.jobs td{overflow-wrap:anywhere}
@media (max-width:40rem){.tiles{grid-template-columns:repeat(3,1fr);gap:.4rem}.tiles li{padding:.45rem .6rem}
.jobs{min-width:0}.jobs,.jobs tbody{display:block}
.jobs thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.jobs tr{display:grid;grid-template-columns:1fr auto;gap:0 .6rem;padding:.45rem .7rem;border-bottom:1px solid var(--line)}
.jobs tbody tr:last-child{border-bottom:0}.jobs th,.jobs td{border:0;padding:.05rem 0}
.jobs th:nth-child(n),.jobs td:nth-child(n){width:auto}
.jobs td:nth-child(3){display:none}.jobs td:nth-child(4){grid-column:1/-1}}
""".strip()

# What the table of a state is called, and the sign and tone of its rows.
_UNDER_WAY = ("launching", "running")
_SIGNS = {
    "launching": ("…", "plain"), "running": ("▸", "plain"), "done": ("✓", "good"), "failed": ("✗", "bad"),
    "rejected": ("✗", "bad"), "duplicate": ("=", "plain"), "passed on": ("→", "plain"), "handed back": ("↩", "warn"),
}  # fmt: skip


def page(snapshot: Snapshot) -> str:
    """Give the page of a snapshot."""
    agent, jobs = snapshot["agent"], snapshot["jobs"]
    title = f"{agent['name']} · {snapshot['counts']['running']} running"
    head = (
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width,initial-scale=1"),
        el("meta", http_equiv="refresh", content=str(REFRESH)),
        el("title", title),
        el("style", Html(STYLE + _STYLE)),
    )
    under_way = [job for job in jobs if job["state"] in _UNDER_WAY]
    failed = [job for job in jobs if job["state"] in ("failed", "rejected")]
    rest = [job for job in jobs if job["state"] not in (*_UNDER_WAY, "failed", "rejected")]
    body = el(
        "main",
        _top(snapshot),
        _tiles(snapshot),
        _table("Failed and rejected", failed[:MOST_BAD], None, len(failed)),
        _table("Running", under_way, "No job is running."),
        _table("Done", rest, "No job has ended yet." if not failed else None),
    )
    foot = el(
        "footer", f"This page asks again every {REFRESH} seconds. ", el("a", "The same as JSON", href="/api/status")
    )
    return f"<!doctype html>\n{el('html', el('head', *head), el('body', body, foot), lang='en')}\n"


def _top(snapshot: Snapshot) -> Html:
    agent, health = snapshot["agent"], snapshot["health"]
    badge = el("span", agent["state"], class_=f"badge {'good' if health['healthy'] else 'bad'}")
    told = [f"queue {agent['queue']}"]
    told += [f"labels {', '.join(agent['labels'])}"] if agent["labels"] else []
    told += [f"at most {agent['limit']:,} at once"] if agent["limit"] else []
    told += [f"since {_clock(agent['started_at'])} UTC"]
    told += [f"last poll {_clock(health['polled_at'])}"] if health["polled_at"] else []
    return joined(
        el("p", "Agent", class_="kind"),
        el("header", el("h1", agent["name"]), badge),
        el("p", " · ".join(told), class_="soft"),
        None if health["healthy"] else el("div", el("p", _sentence(health["reason"])), class_="why bad", role="status"),
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _tiles(snapshot: Snapshot) -> Html:
    counts, queue = snapshot["counts"], snapshot["queue"]
    shown: list[tuple[str, Any, bool]] = [
        ("waiting", f"~{queue['waiting']:,}" if "waiting" in queue else "?", False),
        ("launching", f"{counts['launching']:,}", False),
        ("running", f"{counts['running']:,}", False),
        ("done", f"{counts['done']:,}", False),
        ("failed", f"{counts['failed']:,}", counts["failed"] > 0),
        ("rejected", f"{counts['rejected']:,}", counts["rejected"] > 0),
    ]
    tiles = (el("li", el("strong", number), name, class_="bad" if bad else None) for name, number, bad in shown)
    return el("ul", *tiles, class_="tiles", aria_label="Counts")


def _table(title: str, jobs: Sequence[Line], none: str | None, of: int | None = None) -> Html | None:
    if not jobs:
        return el("section", el("h2", title), el("p", none, class_="soft")) if none else None
    head = el("tr", *(el("th", name, scope="col") for name in ("Job", "State", "At", "Task, or why")))
    body = el("tbody", *(el("tr", *_cells(job)) for job in jobs[:MOST_ROWS]))
    left = (of or len(jobs)) - min(len(jobs), MOST_ROWS)
    more = el("p", f"and {left:,} more", class_="soft") if left else None
    table = el("table", el("thead", head), body, class_="jobs")
    scrolled = el("div", table, class_="scrolled", role="region", aria_label=title, tabindex="0")
    return el("section", el("h2", title), scrolled, more)


def _cells(job: Line) -> Iterator[Html]:
    sign, tone = _SIGNS.get(job["state"], ("?", "plain"))
    named = [el("strong", job["name"]), el("span", job["id"], class_="id")] if job["name"] else [el("code", job["id"])]
    yield el("th", *named, scope="row")
    yield el("td", el("span", f"{sign} {_state(job)}", class_=f"word {tone}"))
    yield el("td", _clock(job["ended_at"] or job["launched_at"] or job["received_at"]))
    task = el("code", job["task"].rpartition("/")[2]) if job["task"] else None
    reason = el("span", job["reason"], class_="reason") if job["reason"] and not _says_all(job) else None
    yield el("td", task, reason)


def _says_all(job: Line) -> bool:
    """Tell whether the state says already how a job ended."""
    return job["state"] == "done" or _state(job).startswith("exit ")


def _state(job: Line) -> str:
    if job["state"] == "failed" and job["status_code"] not in (None, -1, 0):
        return f"exit {job['status_code']}"
    return str((job["outcome"] or job["state"]) if job["state"] == "failed" else job["state"]).replace("_", " ")


def _clock(at: str) -> str:
    """Give the time of day (UTC)."""
    return datetime.fromisoformat(at).strftime("%H:%M:%S")
