"""What was asked of ECS and what came of it, on disk: the intent, then the ARN, then the outcome.

The rules of this file:

- A write is on the disk when its method returns, and every process of the machine sees it.
- A change looks and writes in one transaction, and may be made twice: the second time it changes nothing.
- A writer that comes late takes nothing back: tasks add up, the first outcome stays, a token is not exchanged for an older one.
- Nothing but JournalError gets out.
"""

from __future__ import annotations

import atexit
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from ecs_block.engine.journal_entry import SELECT, TABLES, Entry, Place, entry_of
from ecs_block.engine.journal_file import FORMAT, JournalFile, Values, errors_told
from ecs_block.errors import JournalError
from ecs_block.home import home

__all__ = ["JOURNAL_KEPT", "Entry", "Journal", "Place", "journal"]

JOURNAL_KEPT = 90 * 24 * 3600.0  # seconds after its end that an entry is kept

_STOP = """UPDATE entry SET stop_reason = ? WHERE stop_reason IS NULL AND attempt >= ?
    AND (run_id, account, region, cluster, endpoint) =
    (SELECT run_id, account, region, cluster, endpoint FROM entry WHERE number = ?)"""
_STOPPED_BEFORE = """UPDATE entry SET stop_reason = (SELECT max(stop_reason) FROM entry AS earlier
    WHERE earlier.attempt < entry.attempt
    AND (earlier.run_id, earlier.account, earlier.region, earlier.cluster, earlier.endpoint) =
    (entry.run_id, entry.account, entry.region, entry.cluster, entry.endpoint)) WHERE number = ?"""
_INSERT = """INSERT INTO entry (number, run_id, attempt, account, region, cluster, endpoint, caller, token, started_by,
        plan, request, digest, whole, profile, created_at, tries)
    VALUES (:number, :run_id, :attempt, :account, :region, :cluster, :endpoint, :caller, :token, :started_by,
        :plan, :request, :digest, :whole, :profile, :created_at, :tries)"""


class Journal:
    """The journal of runs. Any number of threads and processes may use it at once; `close` it at the end.

    Every method raises JournalError when the file cannot be read or written, or has no such entry. A file is made by the
    first write; reading where there is none finds nothing.
    """

    def __init__(self, path: Path | None = None, now: Callable[[], float] = time.time) -> None:
        self._file = JournalFile(path or home("state") / "journal.sqlite3", TABLES)
        self.path = self._file.path
        self._now = now
        self._swept = False

    # --- writing ---

    def intend(
        self,
        *,
        run_id: str,
        attempt: int,
        place: Place,
        caller: str,
        token: str,
        started_by: str,
        plan: Mapping[str, Any],
        request: Mapping[str, Any],
        digest: str,
        whole: bool,
        profile: str | None = None,
    ) -> Entry:
        """Record what is going to be sent, or give the entry that is already there, unchanged.

        There already: the same attempt of the same run in the same place; where either account is unknown, by the same
        caller. One that AWS refused, or that was never sent, gives way to the new intent: it keeps its number and `tries`,
        nothing else.
        """
        values: dict[str, Any] = {
            "run_id": run_id,
            "attempt": attempt,
            **asdict(place),
            "caller": caller,
            "token": token,
        }
        values |= {"started_by": started_by, "plan": self._json(plan), "request": self._json(request), "digest": digest}
        values |= {"whole": whole, "profile": profile}
        return self._file.write(lambda connection: self._intended(connection, values))

    def _intended(self, connection: sqlite3.Connection, values: Mapping[str, Any]) -> Entry:
        self._sweep(connection)
        known = _same_attempt(connection, values)
        if known is not None and not known.is_free:
            return known
        new = {**values, "number": None, "tries": 0, "created_at": self._now()}
        if known is not None:
            connection.execute("DELETE FROM entry WHERE number = ?", (known.number,))
            new |= {"number": known.number, "tries": known.tries, "account": values["account"] or known.place.account}
        number = connection.execute(_INSERT, new).lastrowid or 0
        connection.execute(_STOPPED_BEFORE, (number,))
        return self._entry(connection, number)

    def sending(
        self, number: int, token: str, tries: int, *, request: Mapping[str, Any], digest: str, whole: bool
    ) -> Entry:
        """Record, before it is sent, that this token goes out with this request; send the token of the entry that comes back.

        That is another one when another process is ahead: at more tries, or at as many with a token that it has sent. After a
        stop was asked for, nothing is sent and nothing changes.
        """
        text = self._json(request)

        def change(connection: sqlite3.Connection) -> Entry:
            known = self._entry(connection, number)
            if known.stop_reason is not None:
                return known
            new = token != known.token
            if tries < known.tries or (tries == known.tries and new and known.sent_at is not None):
                return known
            if not new and known.sent_at is not None and digest != known.digest:
                return known  # a token that went out means what it went out with
            sent_at = self._now() if new or known.sent_at is None else known.sent_at
            connection.execute(
                "UPDATE entry SET token = ?, tries = ?, sent_at = ?, request = ?, digest = ?, whole = ? WHERE number = ?",
                (token, tries, sent_at, text, digest, whole, number),
            )
            return self._entry(connection, number)

        return self._file.write(change)

    def launched(self, number: int, tasks: Sequence[str]) -> Entry:
        """Add tasks to those known. They disprove a refusal, and tell the account where it was unknown."""
        rows = [(number, _arn(task), task) for task in tasks]

        def change(connection: sqlite3.Connection) -> Entry:
            self._entry(connection, number)
            connection.executemany(
                "INSERT INTO task (number, arn, identifier) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", rows
            )
            connection.execute(
                "UPDATE entry SET refused = NULL, ended_at = NULL WHERE number = ? AND outcome IS NULL AND EXISTS ("
                "SELECT * FROM task WHERE task.number = entry.number)",
                (number,),
            )
            # Where the account has an entry of its own, that one stays the account's.
            connection.executemany(
                "UPDATE OR IGNORE entry SET account = ? WHERE number = ? AND account = ''",
                [(_account(arn), number) for _, arn, _ in rows[:1]],
            )
            return self._entry(connection, number)

        return self._file.write(change)

    def answered(self, number: int) -> None:
        """Record that all that came of the present token is known: nothing is on its way any more."""

        def change(connection: sqlite3.Connection) -> None:
            if self._entry(connection, number).state in ("intended", "launched"):
                connection.execute("UPDATE entry SET sent_at = NULL WHERE number = ?", (number,))

        self._file.write(change)

    def refused(self, number: int, reason: str) -> None:
        """Record that AWS refused for good. Where a task or an outcome is known, it did not."""

        def change(connection: sqlite3.Connection) -> None:
            if self._entry(connection, number).state == "intended":
                connection.execute(
                    "UPDATE entry SET refused = ?, ended_at = ? WHERE number = ?", (reason, self._now(), number)
                )

        self._file.write(change)

    def stop_requested(self, number: int, reason: str) -> None:
        """Record that a stop was asked for: for this attempt, and for all that follow. The first reason stays."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(_STOP, (reason, self._entry(connection, number).attempt, number))

        self._file.write(change)

    def ended(self, number: int, outcome: Mapping[str, Any]) -> None:
        """Record the outcome. The first one stays, unless it was `unknown`."""
        text = self._json(outcome)

        def change(connection: sqlite3.Connection) -> None:
            known = self._entry(connection, number).outcome
            if known is None or known.get("outcome") == "unknown":
                connection.execute(
                    "UPDATE entry SET outcome = ?, ended_at = ? WHERE number = ?", (text, self._now(), number)
                )

        self._file.write(change)

    def probe(self) -> None:
        """Write what is there already, to find out whether the file can be written."""
        self._file.write(lambda connection: connection.execute(f"PRAGMA user_version = {FORMAT}"))

    # --- reading ---

    def attempts(
        self,
        run_id: str,
        *,
        region: str,
        cluster: str,
        endpoint: str,
        caller: str | None = None,
        account: str | None = None,
    ) -> list[Entry]:
        """Give the attempts of a run, oldest first: those in this account or by this caller; of all, where neither is given."""
        return self._read(
            "WHERE run_id = :run_id AND region = :region AND cluster = :cluster AND endpoint = :endpoint"
            " AND (account = :account OR caller = :caller OR coalesce(:account, :caller) IS NULL)"
            " ORDER BY attempt, number",
            {
                "run_id": run_id,
                "region": region,
                "cluster": cluster,
                "endpoint": endpoint,
                "caller": caller,
                "account": account or None,  # unknown accounts are not one account
            },
        )

    def entry(self, number: int) -> Entry:
        """Give the entry of this number."""
        found = self._read("WHERE number = ?", (number,))
        if not found:
            raise self._no_entry(number)
        return found[0]

    def unfinished(self, place: Place | None = None) -> list[Entry]:
        """Give the entries that are intended or launched, oldest first: of all places, or of exactly this one."""
        found = self._read("WHERE outcome IS NULL AND refused IS NULL ORDER BY created_at, number")
        return [entry for entry in found if place is None or entry.place == place]

    def latest(self, limit: int = 50) -> list[Entry]:
        """Give the latest intents, newest first."""
        return self._read("ORDER BY created_at DESC, number DESC LIMIT ?", (limit,))

    def named(self, name: str) -> list[Entry]:
        """Give the attempts of the run with this id, wherever it ran; else those with a task of this id. Newest first."""
        for condition in (
            "WHERE run_id = :name",
            "WHERE number IN (SELECT number FROM task WHERE substr(arn, -length(:name) - 1) = '/' || :name)",
        ):
            found = self._read(f"{condition} ORDER BY created_at DESC, number DESC", {"name": name})
            if found:
                return found
        return []

    def of_map(self, run_id: str) -> list[Entry]:
        """Give the attempts of the runs `<run_id>/0`, `<run_id>/1`, …, wherever they ran, by index."""
        found = self._read(  # "0" is the character after "/"
            "WHERE run_id >= :run_id || '/' AND run_id < :run_id || '0' ORDER BY attempt, number", {"run_id": run_id}
        )
        parts = {entry.number: entry.run_id[len(run_id) + 1 :] for entry in found}
        ours = [entry for entry in found if parts[entry.number].isdecimal()]
        return sorted(ours, key=lambda entry: int(parts[entry.number]))

    def of_runs(self, run_ids: Iterable[str]) -> list[Entry]:
        """Give the attempts of these runs, wherever they ran, oldest first."""
        return self._read(
            "WHERE run_id IN (SELECT value FROM json_each(:run_ids)) ORDER BY attempt, number",
            {"run_ids": json.dumps(list(run_ids))},
        )

    def by_task(self, arn: str) -> Entry | None:
        """Give the entry that recorded this task (an ARN, or an identifier)."""
        found = self._read(
            "WHERE number IN (SELECT number FROM task WHERE arn = ?) ORDER BY number LIMIT 1", (_arn(arn),)
        )
        return found[0] if found else None

    def known(self, arns: Iterable[str]) -> set[str]:
        """Give those of these tasks (ARNs, or identifiers) that some entry recorded."""
        asked = {name: _arn(name) for name in arns}
        rows = self._file.rows(
            "SELECT DISTINCT arn FROM task WHERE arn IN (SELECT value FROM json_each(?))",
            (json.dumps(list(asked.values())),),
        )
        found = {row["arn"] for row in rows}
        return {name for name, arn in asked.items() if arn in found}

    def close(self) -> None:
        """Close the file. A later call opens it again."""
        self._file.close()

    # --- inside a transaction, and around it ---

    def _read(self, condition: str, values: Values = ()) -> list[Entry]:
        rows = self._file.rows(SELECT + condition, values)
        with errors_told(self.path):
            return [entry_of(row) for row in rows]

    def _entry(self, connection: sqlite3.Connection, number: int) -> Entry:
        row = connection.execute(SELECT + "WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise self._no_entry(number)
        return entry_of(row)

    def _no_entry(self, number: int) -> JournalError:
        return JournalError(
            f"The journal of runs {self.path} has no entry {number}: it is older than {JOURNAL_KEPT / 86400:.0f} days, or of "
            "another journal. Look at `ecs-block ps --orphans` for tasks that are in no journal."
        )

    def _json(self, value: Mapping[str, Any]) -> str:
        try:
            return json.dumps(dict(value), allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            raise JournalError(
                f"This cannot be recorded in the journal of runs {self.path}: {error}. Give what JSON can hold."
            ) from None

    def _sweep(self, connection: sqlite3.Connection) -> None:
        """Delete, once in the life of this journal, what ended long ago."""
        if not self._swept:
            connection.execute("DELETE FROM entry WHERE ended_at < ?", (self._now() - JOURNAL_KEPT,))
            self._swept = True


def _same_attempt(connection: sqlite3.Connection, values: Mapping[str, Any]) -> Entry | None:
    row = connection.execute(
        SELECT + "WHERE run_id = :run_id AND attempt = :attempt"
        " AND region = :region AND cluster = :cluster AND endpoint = :endpoint"
        " AND (account = :account OR (caller = :caller AND '' IN (account, :account)))"
        " ORDER BY account = :account AND account <> '' DESC, caller = :caller DESC, account = '' DESC, number LIMIT 1",
        values,
    ).fetchone()
    return None if row is None else entry_of(row)


def _arn(task: str) -> str:
    return task.rpartition("::")[2]


def _account(arn: str) -> str:
    return arn.split(":")[4] if arn.count(":") >= 5 else ""


@cache
def _journal(path: Path) -> Journal:
    made = Journal(path)
    atexit.register(made.close)
    return made


def journal() -> Journal:
    """Give this process's journal under the present `$ECS_BLOCK_HOME`."""
    return _journal(home("state") / "journal.sqlite3")
