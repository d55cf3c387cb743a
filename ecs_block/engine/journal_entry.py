"""One attempt of one run, as the journal keeps it: what an entry says, and the tables that hold it."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["intended", "launched", "refused", "ended"]

TABLES = (
    # AUTOINCREMENT: the number of a deleted entry never comes to mean another.
    """CREATE TABLE entry (
        number INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, attempt INTEGER NOT NULL,
        account TEXT NOT NULL, region TEXT NOT NULL, cluster TEXT NOT NULL, endpoint TEXT NOT NULL,
        caller TEXT NOT NULL, token TEXT NOT NULL, started_by TEXT NOT NULL, plan TEXT NOT NULL, request TEXT NOT NULL,
        digest TEXT NOT NULL, whole INTEGER NOT NULL, profile TEXT, created_at REAL NOT NULL, sent_at REAL,
        tries INTEGER NOT NULL, stop_reason TEXT, refused TEXT, outcome TEXT, ended_at REAL,
        UNIQUE (run_id, attempt, account, region, cluster, endpoint))""",
    """CREATE TABLE task (
        number INTEGER NOT NULL REFERENCES entry ON DELETE CASCADE, arn TEXT NOT NULL, identifier TEXT NOT NULL,
        PRIMARY KEY (number, arn))""",
    "CREATE INDEX task_by_arn ON task (arn)",
    "CREATE INDEX entry_by_age ON entry (created_at)",
    "CREATE INDEX entry_by_end ON entry (ended_at) WHERE ended_at IS NOT NULL",
    "CREATE INDEX entry_unfinished ON entry (created_at) WHERE outcome IS NULL AND refused IS NULL",
)
SELECT = """SELECT *, (SELECT json_group_array(identifier) FROM (
    SELECT identifier FROM task WHERE task.number = entry.number ORDER BY task.rowid)) AS tasks FROM entry """


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run id means one run."""

    account: str
    """12 digits; empty while unknown."""
    region: str
    cluster: str
    """Its short name."""
    endpoint: str
    """Empty for AWS's own."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt of one run, as recorded. Times are seconds since the epoch."""

    number: int
    run_id: str
    attempt: int
    place: Place
    caller: str
    """An opaque hash of who asked: finds the entry while the account is unknown."""
    token: str
    """The client token to send."""
    started_by: str
    plan: dict[str, Any]
    """What was asked for, masked; to be compared. JSON: tuples come back as lists, keys as strings."""
    request: dict[str, Any]
    """RunTask's exact arguments, secrets masked."""
    digest: str
    """Of the exact request."""
    whole: bool
    """False: the request lacks its secrets, so it cannot be sent again from here alone."""
    profile: str | None
    """Name of the AWS profile, so that the credentials can be found again."""
    created_at: float
    sent_at: float | None
    """When the present token was first sent; None before that, and once all that came of it is known."""
    tries: int
    """How many tokens were used up."""
    tasks: tuple[str, ...]
    """Identifiers `cluster::task_arn`."""
    stop_reason: str | None
    """Set once a stop was asked for."""
    refused: str | None
    """Why AWS refused for good: nothing was started."""
    outcome: dict[str, Any] | None
    """ECSTaskResult as plain JSON."""
    ended_at: float | None
    """When it ended or was refused."""

    @property
    def state(self) -> State:
        """How far it has come. A task that exists counts for more than a refusal."""
        if self.outcome is not None:
            return "ended"
        if self.tasks:
            return "launched"
        return "intended" if self.refused is None else "refused"

    @property
    def count(self) -> int:
        """How many tasks were asked for."""
        return int((self.plan.get("request") or {}).get("count") or 1)

    @property
    def launch_is_open(self) -> bool:
        """True while it may be that not every task was started, or that not every one is known."""
        return self.state in ("intended", "launched") and len(self.tasks) < self.count

    @property
    def is_free(self) -> bool:
        """True when it is certain that nothing was started for it, and that nobody has forbidden to."""
        never_sent = self.state == "intended" and self.sent_at is None
        return self.stop_reason is None and (self.state == "refused" or never_sent)


def entry_of(row: sqlite3.Row) -> Entry:
    """Read a row that SELECT gave."""
    values = dict(row)
    place = Place(*(values.pop(name) for name in ("account", "region", "cluster", "endpoint")))
    for name in ("plan", "request", "outcome"):
        values[name] = values[name] and json.loads(values[name])
    values |= {"tasks": tuple(json.loads(values["tasks"])), "whole": bool(values["whole"])}
    return Entry(place=place, **values)
