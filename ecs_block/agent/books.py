"""What the journal of this machine knows of the jobs of one queue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ecs_block.agent.claims import Claims, claims_of
from ecs_block.agent.queue import RunQueue
from ecs_block.engine.journal import Entry, journal
from ecs_block.engine.record import RunJournal
from ecs_block.plan.result import ECSTaskResult, from_record


@dataclass(frozen=True)
class Known:
    """What is known of a job: its last attempt, if there was one."""

    entry: Entry | None = None

    @property
    def was_launched(self) -> bool:
        """True when a task or an outcome is recorded: then its messages may be deleted."""
        return self.entry is not None and self.entry.state in ("launched", "ended")

    @property
    def has_ended(self) -> bool:
        """True when nobody has to look after it any more."""
        return self.entry is not None and self.entry.state == "ended"

    @property
    def is_cut_off(self) -> bool:
        """True when its launch was begun and not finished, and can be finished from the journal alone."""
        entry = self.entry
        return entry is not None and entry.state == "intended" and entry.sent_at is not None and entry.whole

    @property
    def result(self) -> ECSTaskResult | None:
        """Its outcome."""
        return from_record(self.entry.outcome) if self.entry is not None and self.entry.outcome is not None else None


class Books:
    """The journal, as far as the jobs of one queue are concerned. Every method raises JournalError."""

    def __init__(self, queue: RunQueue, books: RunJournal | None = None) -> None:
        self._queue = queue
        self._books = books or RunJournal(journal())
        self._journal = self._books.journal

    @property
    def claims(self) -> Claims:
        """Who has which job in hand."""
        return claims_of(self._queue.key)

    def of_run(self, run_id: str) -> RunJournal:
        """Give the journal for one run."""
        return replace(self._books, run_id=run_id)

    async def probe(self) -> None:
        """Find out whether the journal can be written."""
        await self._books.do(self._journal.probe)

    async def known(self, run_ids: Iterable[str]) -> dict[str, Known]:
        """Tell what is known of jobs; of one that is unknown, an empty Known."""
        asked = list(run_ids)
        found = dict.fromkeys(asked, Known())
        for entry in await self._books.do(self._journal.of_runs, asked) if asked else []:
            found[entry.run_id] = Known(entry)  # oldest attempts first: the last one stays
        return found

    async def unfinished(self) -> list[Entry]:
        """Give the attempts of this queue's jobs that have no outcome yet, oldest first."""
        found = await self._books.do(self._journal.unfinished)
        return [entry for entry in found if entry.run_id.startswith(self._queue.prefix)]

    async def record(self, tasks: Mapping[str, str]) -> set[str]:
        """Make sure that tasks which AWS has accepted are recorded: the engine goes on where they could not be.

        `tasks` are identifiers by run id; gives the run ids of those that are recorded now.
        """
        return await self._books.do(self._record, dict(tasks))

    def _record(self, tasks: Mapping[str, str]) -> set[str]:
        known = self._journal.known(tasks.values())
        missing = {run_id: task for run_id, task in tasks.items() if task not in known}
        entries = {entry.run_id: entry for entry in self._journal.of_runs(missing)} if missing else {}
        for run_id, entry in entries.items():
            self._journal.launched(entry.number, [missing[run_id]])
        return {run_id for run_id in tasks if run_id not in missing or run_id in entries}
