"""The journal of runs: nothing that it took is lost or taken back, and what it cannot take is said in a sentence."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_block import EcsBlockError, JournalError
from ecs_block.engine import journal_file as file_module
from ecs_block.engine.journal import JOURNAL_KEPT, Entry, Journal, Place
from ecs_block.engine.journal_file import _Change

ACCOUNT, OTHER_ACCOUNT = "123456789012", "210987654321"
PLACE = Place(ACCOUNT, "us-east-1", "batch", "")
ARN = f"arn:aws:ecs:us-east-1:{ACCOUNT}:task/batch/{'0' * 32}"
SECOND_ARN = f"arn:aws:ecs:us-east-1:{ACCOUNT}:task/batch/{'1' * 32}"
TASK, SECOND_TASK = f"batch::{ARN}", f"batch::{SECOND_ARN}"
SUCCEEDED, FAILED, UNKNOWN = ({"outcome": outcome} for outcome in ("succeeded", "failed", "unknown"))


class Clock:
    """A second passes with each look."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        self.seconds += 1
        return self.seconds


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite3"


@pytest.fixture
def journal(path: Path):
    with closing(Journal(path, Clock())) as journal:
        yield journal


def intend(journal: Journal, run_id: str = "nightly", **changes: Any) -> Entry:
    fields: dict[str, Any] = {"attempt": 1, "place": PLACE, "caller": "me", "token": "t1", "started_by": "s"}
    fields |= {"plan": {}, "request": {}, "digest": "d", "whole": True}
    return journal.intend(run_id=run_id, **fields | changes)


def send(journal: Journal, number: int, token: str = "t1", tries: int = 0, **changes: Any) -> Entry:
    return journal.sending(number, token, tries, **{"request": {}, "digest": "d", "whole": True} | changes)


def intend_and_send(journal: Journal, run_id: str = "nightly", **changes: Any) -> Entry:
    return send(journal, intend(journal, run_id, **changes).number)


# --- there and back ---


def test_every_field_comes_back(path: Path) -> None:
    """Every field that was given, in every shape that JSON has, comes back from another connection."""
    plan = {"command": ["a", "ü", "\ud800"], "cpu": 256, "none": None, "deep": {"x": [1.5, True]}}
    fields = {
        "attempt": 3,
        "place": Place("", "eu-west-1", "c", "http://127.0.0.1:1"),
        "caller": "hash",
        "token": "abc",
    }
    fields |= {
        "started_by": "by",
        "plan": plan,
        "request": {"count": 1},
        "digest": "d1",
        "whole": False,
        "profile": "p",
    }
    with closing(Journal(path, Clock())) as one, closing(Journal(path)) as two:
        made = one.intend(run_id="id", **fields)
        assert made == two.entry(made.number) == two.latest()[0]
        assert {name: getattr(made, name) for name in fields} == fields
        assert (made.run_id, made.created_at, made.sent_at, made.tries, made.tasks) == ("id", 1002.0, None, 0, ())
        assert (made.stop_reason, made.refused, made.outcome, made.ended_at, made.state) == (*[None] * 4, "intended")
        send(one, made.number, "abc", whole=False, digest="d2", request={"count": 2})
        one.stop_requested(made.number, "enough")
        one.launched(made.number, [TASK])
        assert two.entry(made.number).state == "launched"
        one.ended(made.number, {"outcome": "stopped", "nested": {"é": [None]}})
        last = two.entry(made.number)
        assert (last.sent_at, last.stop_reason, last.tasks, last.ended_at) == (1003.0, "enough", (TASK,), 1004.0)
        assert (last.request, last.digest, last.whole) == ({"count": 2}, "d2", False)
        assert (last.outcome, last.state) == ({"outcome": "stopped", "nested": {"é": [None]}}, "ended")


def test_the_journal_lives_in_the_state_folder() -> None:
    """Without a path it is `journal.sqlite3` in the home."""
    assert Journal().path == Path(os.environ["ECS_BLOCK_HOME"], "journal.sqlite3")


def test_only_the_owner_can_read(journal: Journal, path: Path) -> None:
    """The folders are 0700, the file and what SQLite puts beside it 0600, whatever the umask."""
    before = os.umask(0)
    try:
        intend(journal)
    finally:
        os.umask(before)
    modes = {item.name: stat.S_IMODE(item.stat().st_mode) for item in (path.parent, *path.parent.iterdir())}
    assert modes.pop("state") == 0o700
    assert modes == {f"journal.sqlite3{suffix}": 0o600 for suffix in ("", "-wal", "-shm")}


def test_a_commit_reaches_the_disk(journal: Journal) -> None:
    """SQLite is told to wait for the disk at each commit."""
    intend(journal)
    values = [journal._file.rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert values == ["wal", 3, 1]


def test_reading_makes_no_file(journal: Journal, path: Path) -> None:
    """Where there is no journal, nothing is found and nothing is made."""
    assert (journal.latest(), journal.unfinished(), journal.by_task(ARN), journal.known([ARN])) == ([], [], None, set())
    assert journal.attempts("x", region="r", cluster="c", endpoint="") == []
    assert not path.parent.exists()


def test_a_closed_journal_opens_again(journal: Journal) -> None:
    """`close` can be called at any time and twice."""
    made = intend(journal)
    journal.close()
    journal.close()
    assert journal.entry(made.number) == made


# --- intents ---


def test_an_intent_is_recorded_once(journal: Journal) -> None:
    """The same attempt of the same run in the same place: an intent that was sent comes back, unchanged."""
    first = intend_and_send(journal)
    assert intend(journal, token="t2", digest="other", plan={"a": 1}, caller="you") == first
    assert intend(journal, attempt=2).number != first.number
    assert intend(journal, "weekly").number != first.number
    for place in (Place(ACCOUNT, "r", "batch", ""), Place(ACCOUNT, "us-east-1", "c", ""), Place(ACCOUNT, "", "", "e")):
        assert intend(journal, place=place).number != first.number


def test_a_caller_is_found_before_the_account_is_known(journal: Journal) -> None:
    """Where either account is unknown the caller tells; two known accounts are two places, whoever calls."""
    unknown = Place("", *("us-east-1", "batch", ""))
    first = intend_and_send(journal, place=unknown)
    assert intend(journal, place=PLACE) == intend(journal, place=unknown) == first
    other = intend_and_send(journal, place=PLACE, caller="you")
    assert other.number != first.number
    assert intend(journal, place=unknown, caller="you") == other
    assert intend(journal, place=PLACE, caller="me") == other  # a known account counts for more than the caller
    assert intend(journal, place=Place(OTHER_ACCOUNT, "us-east-1", "batch", ""), caller="you").number != other.number


def test_attempts_are_found_by_account_or_caller(journal: Journal) -> None:
    """Attempts come oldest first, those of the account or of the caller; of all, when neither is given."""
    where = {"region": "us-east-1", "cluster": "batch", "endpoint": ""}
    second, first = intend(journal, attempt=2), intend(journal)
    unknown = intend(journal, attempt=3, place=Place("", **where), caller="you")
    theirs = intend(journal, attempt=4, place=Place("", **where), caller="they")
    intend(journal, "weekly")
    assert journal.attempts("nightly", **where, account=ACCOUNT) == [first, second]
    assert journal.attempts("nightly", **where, account=ACCOUNT, caller="you") == [first, second, unknown]
    assert journal.attempts("nightly", **where, account="", caller="you") == [unknown]
    assert journal.attempts("nightly", **where, caller="nobody") == []
    assert journal.attempts("nightly", **where) == [first, second, unknown, theirs]
    assert journal.attempts("nightly", **where | {"cluster": "c"}, caller="me") == []


def test_a_refused_intent_gives_way(journal: Journal) -> None:
    """After a refusal the run may be asked for anew; the tokens that were used up stay used up."""
    first = intend(journal)
    send(journal, first.number, "t2", 1)
    journal.refused(first.number, "no such cluster")
    assert (journal.entry(first.number).refused, journal.entry(first.number).state) == ("no such cluster", "refused")
    again = intend(journal, token="t3", digest="other", place=Place("", *("us-east-1", "batch", "")))
    assert (again.number, again.token, again.digest, again.tries) == (first.number, "t3", "other", 1)
    assert (again.sent_at, again.stop_reason, again.refused, again.ended_at) == (None, None, None, None)
    assert (again.state, again.place) == ("intended", PLACE)


def test_a_refused_intent_that_was_to_stop_stays(journal: Journal) -> None:
    """After a stop was asked for, nothing is started for the run."""
    first = intend(journal)
    journal.stop_requested(first.number, "enough")
    journal.refused(first.number, "no such cluster")
    assert intend(journal, token="t3").stop_reason == "enough"


def test_an_intent_that_was_never_sent_gives_way(journal: Journal) -> None:
    """Nothing can have been started for it, so the run may be asked for anew; unless a stop was asked for."""
    first = intend(journal)
    again = intend(journal, token="t2", digest="other", caller="you")
    assert (again.number, again.token, again.digest, again.caller) == (first.number, "t2", "other", "you")
    journal.stop_requested(first.number, "enough")
    assert intend(journal).token == "t2"
    assert len(journal.latest()) == 1


def test_only_what_surely_started_nothing_is_free(journal: Journal) -> None:
    """Free are a refused entry and one that was never sent."""
    number = intend(journal).number
    assert journal.entry(number).is_free
    send(journal, number)
    assert not journal.entry(number).is_free
    journal.refused(number, "no")
    assert journal.entry(number).is_free
    journal.launched(number, [TASK])
    assert not journal.entry(number).is_free


def test_an_outcome_does_not_give_way(journal: Journal) -> None:
    """A refused attempt with an outcome is finished: its result is there to be returned."""
    first = intend(journal)
    journal.refused(first.number, "no")
    journal.ended(first.number, FAILED)
    ended = journal.entry(first.number)
    assert intend(journal, token="t2") == ended
    journal.launched(first.number, [TASK])
    after = journal.entry(first.number)
    assert (after.state, after.refused, after.ended_at) == ("ended", "no", ended.ended_at)


# --- what happens to an entry ---


def test_a_token_is_dated_when_it_is_first_sent(journal: Journal) -> None:
    """Sending the same token again leaves its date; a new token has a new one."""
    number = intend(journal).number
    first = send(journal, number, "t1", 0)
    assert (first.token, first.tries, first.sent_at) == ("t1", 0, 1003.0)
    assert send(journal, number, "t1", 0) == journal.entry(number) == first
    assert send(journal, number, "t1", 1).sent_at == 1003.0
    second = send(journal, number, "t2", 1 + 1)
    assert (second.token, second.tries, second.sent_at) == ("t2", 2, 1004.0)


def test_the_first_token_need_not_be_the_intended_one(journal: Journal) -> None:
    """A token that was never sent can be exchanged at the same number of tries."""
    assert send(journal, intend(journal).number, "t9").token == "t9"


@pytest.mark.parametrize(("token", "tries"), [("t1", 0), ("t3", 1), ("t3", 0)])
def test_who_is_behind_is_told_the_token_that_counts(journal: Journal, token: str, tries: int) -> None:
    """Of two processes that go on to a new token, one wins, and both send that one."""
    number = intend(journal).number
    send(journal, number, "t1", 0)
    ahead = send(journal, number, "t2", 1)
    assert send(journal, number, token, tries) == ahead == journal.entry(number)


def test_tasks_add_up(journal: Journal) -> None:
    """Tasks are known once each, in the order in which they came, however their cluster is spelled."""
    number = intend(journal).number
    for tasks in ([SECOND_TASK], [TASK, SECOND_TASK], [], [f"other::{ARN}"]):
        journal.launched(number, tasks)
    assert journal.entry(number).tasks == (SECOND_TASK, TASK)


def test_tasks_are_found_again(journal: Journal) -> None:
    """An ARN or an identifier leads to the entry that recorded it."""
    number = intend(journal).number
    journal.launched(number, [TASK])
    assert journal.by_task(ARN) == journal.by_task(TASK) == journal.entry(number)
    assert journal.by_task(SECOND_ARN) is None
    assert journal.known([ARN, TASK, SECOND_ARN]) == {ARN, TASK}
    assert journal.known([]) == set()
    assert journal.known([f"{ARN}{index}" for index in range(40_000)]) == set()


def test_a_task_tells_the_account(journal: Journal) -> None:
    """Once a task is known, so is the account; an entry that the account has already stays its own."""
    unknown = Place("", *("us-east-1", "batch", ""))
    first, second = intend(journal, place=unknown), intend(journal, "weekly", place=unknown, caller="you")
    theirs = intend(journal, "weekly")
    journal.launched(first.number, ["not an arn"])
    assert journal.entry(first.number).place == unknown
    journal.launched(first.number, [TASK])
    journal.launched(second.number, [TASK])
    assert [journal.entry(entry.number).place for entry in (first, second, theirs)] == [PLACE, unknown, PLACE]


def test_a_task_counts_for_more_than_a_refusal(journal: Journal) -> None:
    """Nothing is refused once a task is known, and a task that is found disproves a refusal."""
    number = intend(journal).number
    journal.refused(number, "no")
    journal.refused(number, "not at all")
    assert journal.entry(number).refused == "no"
    journal.launched(number, [])
    assert journal.entry(number).state == "refused"
    journal.launched(number, [TASK])
    journal.refused(number, "no")
    entry = journal.entry(number)
    assert (entry.state, entry.refused, entry.ended_at) == ("launched", None, None)


def test_the_first_reason_and_the_first_outcome_stay(journal: Journal) -> None:
    """A second stop or outcome changes nothing; `unknown` is no outcome to stay with."""
    number = intend(journal).number
    for reason in ("enough", "really"):
        journal.stop_requested(number, reason)
    for outcome in (UNKNOWN, UNKNOWN, SUCCEEDED, FAILED, UNKNOWN):
        journal.ended(number, outcome)
    journal.refused(number, "no")
    entry = journal.entry(number)
    assert (entry.stop_reason, entry.outcome, entry.refused) == ("enough", SUCCEEDED, None)


def test_the_unfinished_and_the_latest(journal: Journal) -> None:
    """Unfinished ones come oldest first, and of one place if asked; the latest come newest first."""
    entries = [intend(journal, name) for name in "abcd"]
    elsewhere = intend(journal, place=Place(ACCOUNT, "eu-west-1", "batch", ""))
    journal.refused(entries[0].number, "no")
    journal.ended(entries[1].number, SUCCEEDED)
    journal.launched(entries[2].number, [TASK])
    assert [entry.run_id for entry in journal.unfinished()] == ["c", "d", "nightly"]
    assert [entry.run_id for entry in journal.unfinished(PLACE)] == ["c", "d"]
    assert journal.unfinished(elsewhere.place) == [elsewhere]
    assert [entry.run_id for entry in journal.latest(3)] == ["nightly", "d", "c"]


def test_what_ended_long_ago_is_deleted(path: Path) -> None:
    """A new process deletes what ended more than 90 days ago; unfinished entries stay for ever, numbers are not used again."""
    clock = Clock()
    with closing(Journal(path, clock)) as journal:
        _intended, launched, ended, refused = (intend(journal, name) for name in "abcd")
        journal.launched(launched.number, [TASK])
        journal.launched(ended.number, [SECOND_TASK])
        journal.ended(ended.number, SUCCEEDED)
        journal.refused(refused.number, "no")
        clock.seconds += JOURNAL_KEPT
        intend(journal, "b")
        assert len(journal.latest()) == 4
    with closing(Journal(path, clock)) as journal:
        assert intend(journal, "c").number == 5
        assert [entry.run_id for entry in journal.latest()] == ["c", "b", "a"]
        assert journal.known([ARN, SECOND_ARN]) == {ARN}


# --- what cannot be recorded ---


def calls(journal: Journal, number: int) -> dict[str, Any]:
    return {
        "sending": lambda: send(journal, number),
        "launched": lambda: journal.launched(number, [TASK]),
        "refused": lambda: journal.refused(number, "no"),
        "stop_requested": lambda: journal.stop_requested(number, "enough"),
        "ended": lambda: journal.ended(number, SUCCEEDED),
        "entry": lambda: journal.entry(number),
    }


@pytest.mark.parametrize("name", ["sending", "launched", "refused", "stop_requested", "ended", "entry"])
def test_an_entry_that_is_not_there(journal: Journal, name: str) -> None:
    """An unknown number is an error that says where to look."""
    intend(journal)
    with pytest.raises(JournalError, match=r"has no entry 99.*ps --orphans"):
        calls(journal, 99)[name]()


LOOP: dict[str, Any] = {}
LOOP["loop"] = LOOP
UNFIT = [{"plan": {"x": object()}}, {"plan": {"x": float("nan")}}, {"request": LOOP}, {"digest": None}]
UNFIT += [{"run_id": "\ud800"}, {"attempt": 2**70}, {"token": object()}, {"profile": ["p"]}]


@pytest.mark.parametrize("changes", UNFIT, ids=[next(iter(changes)) for changes in UNFIT])
def test_what_cannot_be_recorded(journal: Journal, changes: dict[str, Any]) -> None:
    """A value that neither JSON nor SQLite can hold is our error, and nothing of the intent is recorded."""
    with pytest.raises(JournalError, match="cannot be recorded"):
        intend(journal, **{"run_id": "nightly"} | changes)
    assert journal.latest() == []


def test_one_failing_change_does_not_fail_the_others(journal: Journal) -> None:
    """Changes that wait are committed together; what fails, fails alone, and leaves nothing."""

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE entry SET profile = 'spoiled'")
        raise TypeError("half way")

    intend(journal)
    good, bad, late = (_Change[Any](make) for make in (lambda connection: 1, half, lambda connection: 3))
    journal._file._waiting.extend([good, bad, late])
    assert send(journal, 1).profile is None
    settled = [(change.settled, repr(change.error)) for change in (good, bad, late)]
    assert settled == [(True, "None"), (True, "TypeError('half way')"), (True, "None")]
    assert (good.result, late.result) == (1, 3)


def test_ctrl_c_takes_only_its_own_change_back(journal: Journal) -> None:
    """Ctrl-C while one thread commits for all: its change is not made, the others' are made by the next."""

    def interrupted(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM entry")
        raise KeyboardInterrupt

    first = intend(journal)
    waiting = _Change[Any](lambda connection: connection.execute("UPDATE entry SET profile = 'made'"))
    journal._file._waiting.append(waiting)
    with pytest.raises(KeyboardInterrupt):
        journal._file.write(interrupted)
    assert not waiting.settled
    assert journal.entry(first.number) == first
    assert send(journal, first.number, "t1", 0).profile == "made"
    assert waiting.settled
    assert journal._file._waiting == [waiting]  # until its thread takes it
    journal._file.write(lambda connection: connection.execute("UPDATE entry SET profile = 'later'"))
    assert send(journal, first.number, "t1", 0).profile == "later"


def test_threads_that_wait_share_a_transaction(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came while one thread commits is committed by the next of them, all at once."""
    batches: list[int] = []
    transact = journal._file._transact
    threads = [threading.Thread(target=intend, args=(journal, name)) for name in "abcde"]

    def slowly(batch: list[Any]) -> None:
        batches.append(len(batch))
        if not threads[0].ident:
            for thread in threads:
                thread.start()
            deadline = time.monotonic() + 20
            while len(journal._file._waiting) < 6 and time.monotonic() < deadline:
                pass
        transact(batch)

    monkeypatch.setattr(journal._file, "_transact", slowly)
    intend(journal)
    for thread in threads:
        thread.join()
    assert batches == [1, 5]
    assert len(journal.latest()) == 6
    assert journal._file._waiting == []


# --- threads and processes ---

CHILD = """
import os, signal, sys
from pathlib import Path
from ecs_block.engine.journal import Journal, Place
journal = Journal(Path(sys.argv[1]))
def intend(run_id, journal=journal):
    return journal.intend(run_id=run_id, attempt=1, place=Place("", "us-east-1", "batch", ""), caller="me", token=sys.argv[2],
        started_by="s", plan={}, request={}, digest="d", whole=True)
"""


def child(script: str, path: Path, name: str = "") -> subprocess.Popen[str]:
    arguments = [sys.executable, "-W", "error", "-c", CHILD + script, str(path), name]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def together(script: str, path: Path, count: int) -> list[str]:
    """Run the script in several processes that wait for one another; give what each says."""
    script = "print(flush=True); input()\n" + script + "\njournal.close()"
    children = [child(script, path, f"p{index}") for index in range(count)]
    for each in children:
        assert each.stdout is not None
        each.stdout.readline()
    for each in children:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    said = [each.communicate(timeout=60) for each in children]
    assert [errors for _, errors in said] == [""] * count
    return [output.strip() for output, _ in said]


def test_two_processes_intend_the_same_run(path: Path, journal: Journal) -> None:
    """Two processes with the same run id get the same entry and the same token to send, also when both make the file."""
    script = (
        "n = intend('nightly').number\nprint(journal.sending(n, sys.argv[2], 0, request={}, digest='d', whole=True))"
    )
    first, second = together(script, path, 2)
    assert first == second == str(journal.latest()[0])
    assert len(journal.latest()) == 1


def test_many_processes_lose_nothing(path: Path, journal: Journal) -> None:
    """4 processes of 50 intents each: 200 entries, each as its process was told."""
    told = together("print([intend(f'{sys.argv[2]}-{n}').number for n in range(50)])", path, 4)
    recorded = {entry.run_id: entry.number for entry in journal.latest(1000)}
    assert recorded == {f"p{index}-{n}": number for index in range(4) for n, number in enumerate(eval(told[index]))}
    assert len(recorded) == 200


def test_many_threads_lose_nothing(journal: Journal) -> None:
    """8 threads of 25 intents each: 200 entries, each thread is told its own."""
    told: dict[str, int] = {}

    def work(name: int) -> None:
        for n in range(25):
            told[f"{name}-{n}"] = intend(journal, f"{name}-{n}").number

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {entry.run_id: entry.number for entry in journal.latest(1000)} == told
    assert len(told) == 200


def test_a_killed_process_leaves_its_intent(path: Path, journal: Journal) -> None:
    """SIGKILL right after `intend` returned: the intent is there."""
    killed = child("intend('nightly'); os.kill(os.getpid(), signal.SIGKILL)", path, "token")
    assert killed.communicate() == ("", "")
    assert killed.returncode == -signal.SIGKILL
    assert [(entry.run_id, entry.token) for entry in journal.unfinished()] == [("nightly", "token")]


def test_a_process_killed_within_a_transaction_leaves_the_file_as_it_was(path: Path, journal: Journal) -> None:
    """SIGKILL half way through a transaction, large enough to have reached the disk: nothing of it, all of what was before."""
    script = """
intend('before')
def change(connection):
    connection.execute("PRAGMA cache_size = 1")
    for n in range(2000):
        connection.execute("INSERT INTO task (number, arn, identifier) VALUES (1, ?, ?)", (str(n), "x" * 500))
    assert os.stat(sys.argv[1] + "-wal").st_size > 500_000
    os.kill(os.getpid(), signal.SIGKILL)
journal._file.write(change)
"""
    killed = child(script, path)
    assert killed.communicate() == ("", "")
    assert killed.returncode == -signal.SIGKILL
    intend(journal, "after")
    assert {entry.run_id: entry.tasks for entry in journal.latest()} == {"before": (), "after": ()}
    assert journal._file.rows("PRAGMA integrity_check")[0][0] == "ok"


def test_a_fork_loses_nothing(path: Path, journal: Journal) -> None:
    """Parent and child go on with the same Journal: what either writes is there, also when the parent closes first."""
    script = """
import threading
other = Journal(Path(sys.argv[1]))
intend("before"), intend("before, too", other)
to_child, to_parent = os.pipe(), os.pipe()
if os.fork() == 0:
    intend("child")
    os.write(to_parent[1], b"x"); os.read(to_child[0], 1)
    intend("child, alone")
    thread = threading.Thread(target=intend, args=("child, other", other), daemon=True)
    thread.start()
    thread.join(20)
    os._exit(thread.is_alive())  # without closing
os.read(to_parent[0], 1)
intend("parent"), journal.close(), other.close()
os.write(to_child[1], b"x")
assert os.wait()[1] == 0
print(len(journal.latest()), flush=True)
journal.close()
"""
    assert child(script, path).communicate() == ("6\n", "")
    names = ["before", "before, too", "child", "parent", "child, alone", "child, other"]
    assert [entry.run_id for entry in journal.latest()][::-1] == names


def test_a_fork_waits_for_the_threads(path: Path, journal: Journal) -> None:
    """A fork while other threads write: the child is not stuck with their lock, and does not write for them."""
    script = """
import threading, warnings
from ecs_block.engine.journal_file import _Change
warnings.simplefilter("ignore")  # newer Pythons warn of any fork with threads
threads = [threading.Thread(target=lambda name=name: [intend(f"{name}-{n}") for n in range(20)]) for name in range(3)]
for thread in threads: thread.start()
for fork in range(5):
    if os.fork() == 0:
        intend(f"child-{fork}")
        os._exit(len(journal._file._waiting))
    assert os.wait()[1] == 0
for thread in threads: thread.join()
journal._file._waiting.append(_Change(lambda connection: print("made")))
journal._file._leader = journal._file._waiting[0]
if os.fork() == 0:
    intend("child, last")
    os._exit(0)
assert os.wait()[1] == 0
journal.close()
"""
    assert child(script, path).communicate() == ("", "")
    assert len(journal.latest(1000)) == 3 * 20 + 6


def test_a_fork_that_python_did_not_see(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another process the connection is opened anew, and the inherited one is not even closed."""
    made = intend(journal)
    inherited = journal._file._connected()
    with monkeypatch.context() as patch:
        patch.setattr(file_module, "_inherited", kept := [])
        patch.setattr(os, "getpid", lambda: -1)
        assert journal.entry(made.number) == made
        assert journal._file._connected() is not inherited
        journal.close()
    assert kept == [inherited]
    assert inherited.execute("SELECT count(*) FROM entry").fetchone()[0] == 1
    inherited.close()


# --- when the file cannot be used ---


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    """Below a file there is no folder: the error names the file and the way out."""
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "state" / "journal.sqlite3"
    with pytest.raises(
        JournalError, match=r"cannot be read and written \(Not a directory\).* ECS_BLOCK_HOME"
    ) as caught:
        intend(Journal(path))
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, EcsBlockError)
    with pytest.raises(JournalError, match="ECS_BLOCK_HOME"):
        intend(Journal(tmp_path))


def test_a_read_only_folder(tmp_path: Path) -> None:
    """In a folder that cannot be written, the error says so."""
    immutable = "chattr", "+i", str(tmp_path)  # root may write whatever the mode
    tmp_path.chmod(0o500)
    with suppress(OSError):
        subprocess.run(immutable, check=False, stderr=subprocess.DEVNULL)
    try:
        with suppress(OSError):
            (tmp_path / "probe").touch()
            pytest.skip("every folder can be written here")
        with pytest.raises(JournalError, match=r"cannot be read and written .* Set ECS_BLOCK_HOME"):
            intend(Journal(tmp_path / "journal.sqlite3"))
    finally:
        with suppress(OSError):
            subprocess.run(["chattr", "-i", str(tmp_path)], check=False, stderr=subprocess.DEVNULL)
        tmp_path.chmod(0o700)


def test_a_full_disk(path: Path) -> None:
    """When no more can be written nothing is recorded, what was recorded is read, and with space again it goes on."""
    script = """
import resource
from ecs_block import JournalError
intend("before")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))  # Python ignores SIGXFSZ
try:
    while True: intend(f"more-{len(journal.latest(1000))}")
except JournalError as error:
    print(error)
count = len(journal.latest(1000))
assert journal.attempts("before", region="us-east-1", cluster="batch", endpoint="")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
intend("after")
assert len(journal.latest(1000)) == count + 1 > 2
journal.close()
"""
    said, errors = child(script, path).communicate()
    assert errors == ""
    assert said.startswith(f"The journal of runs {path} cannot be used: ")
    assert "Free space there" in said


def test_a_file_that_cannot_grow(journal: Journal) -> None:
    """When SQLite finds no space, all that shared the transaction are told."""
    first = intend(journal)
    journal._file.rows("PRAGMA max_page_count = 1")
    waiting = _Change[Any](lambda connection: None)
    journal._file._waiting.append(waiting)
    with pytest.raises(JournalError, match=r"no space is left .*Free space there, or set ECS_BLOCK_HOME"):
        intend(journal, "large", plan={"x": "x" * 100_000})
    assert (waiting.settled, type(waiting.error)) == (True, sqlite3.OperationalError)
    assert journal.latest() == [first]


def damaged(how: str, path: Path) -> None:
    with closing(Journal(path)) as journal:
        for number in range(50):
            intend(journal, f"run-{number}", plan={"x": "x" * 500})
    content = path.read_bytes()
    changed = {
        "a word": b"garbage",
        "garbage": os.urandom(20_000),
        "half": content[: len(content) // 2],
        "no header": b"\0" * 100 + content[100:],
        "garbage within": content[:4096] + os.urandom(len(content) - 4096),
    }
    path.write_bytes(changed[how])


@pytest.mark.parametrize("how", ["a word", "garbage", "half", "no header", "garbage within"])
def test_a_damaged_file(path: Path, how: str) -> None:
    """A damaged file is named, left byte for byte, and out of the way once it was moved."""
    damaged(how, path)
    before = path.read_bytes()
    with closing(Journal(path)) as journal:
        with pytest.raises(
            JournalError, match=r"is damaged .*Move it away, and look at `ecs-block ps --orphans`"
        ) as caught:
            journal.latest()
        with pytest.raises(JournalError, match="is damaged"):
            intend(journal)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == [path.name]
    path.rename(path.with_suffix(".away"))
    with closing(Journal(path)) as journal:
        assert intend(journal).number == 1


def test_a_damaged_row(journal: Journal) -> None:
    """What is no JSON where JSON should be is damage, not a crash."""
    intend(journal)
    journal._file.write(lambda connection: connection.execute("UPDATE entry SET plan = '{'"))
    for call in (lambda: journal.latest(), lambda: intend(journal)):
        with pytest.raises(JournalError, match="is damaged"):
            call()


def test_a_newer_format(path: Path) -> None:
    """A journal of a newer format is refused by reader and writer, and left byte for byte."""
    with closing(Journal(path)) as journal:
        intend(journal)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    before = path.read_bytes()
    with closing(Journal(path)) as journal:
        for call in (lambda: journal.latest(), lambda: intend(journal)):
            with pytest.raises(JournalError, match=r"has format 2; .* knows 1\. .* update this one"):
                call()
    assert path.read_bytes() == before


def test_another_database(path: Path) -> None:
    """A database of another program gets none of our tables."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with closing(Journal(path)) as journal, pytest.raises(JournalError, match="is a database, but no journal"):
        intend(journal)
    assert path.read_bytes() == before


def test_a_file_that_another_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cannot get the file to write is told so; reading goes on."""
    monkeypatch.setattr(file_module, "PATIENCE", 0)
    with closing(Journal(path)) as journal:
        first = intend(journal)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalError, match=r"another process has held it .*Try again"):
                intend(journal, "second")
            assert journal.latest() == [first]


def test_a_file_that_was_moved_away(journal: Journal, path: Path) -> None:
    """A file that was moved or replaced while in use takes no more, for its entries' numbers would mean others."""
    intend(journal)
    path.rename(path.with_suffix(".away"))
    with pytest.raises(JournalError, match=r"moved away or replaced .*Start this program again"):
        journal.launched(1, [TASK])
    with closing(Journal(path)) as replaced:
        intend(replaced, "another")
        with pytest.raises(JournalError, match="moved away or replaced"):
            journal.entry(1)
        journal.close()
        assert replaced.entry(1).run_id == "another"


# --- any sequence ---

TASKS = [TASK, SECOND_TASK, f"batch::{ARN.replace(ACCOUNT, OTHER_ACCOUNT)}"]


class Model:
    """The journal as a dict: the rules of its methods, without SQL."""

    def __init__(self, now: Clock) -> None:
        self.entries: dict[int, dict[str, Any]] = {}
        self.now = now

    @staticmethod
    def state(entry: dict[str, Any]) -> str:
        if entry["outcome"]:
            return "ended"
        return "launched" if entry["tasks"] else "refused" if entry["refused"] else "intended"

    @classmethod
    def is_free(cls, entry: dict[str, Any]) -> bool:
        never_sent = cls.state(entry) == "intended" and not entry["sent_at"]
        return not entry["stop_reason"] and (never_sent or cls.state(entry) == "refused")

    def same(self, new: dict[str, Any]) -> int | None:
        def is_it(entry: dict[str, Any]) -> bool:
            unknown = "" in (entry["account"], new["account"])
            return entry["account"] == new["account"] or (unknown and entry["caller"] == new["caller"])

        def rank(number: int) -> tuple[bool, bool, bool, int]:
            entry, account = self.entries[number], new["account"]
            known = account != "" and entry["account"] == account
            return not known, entry["caller"] != new["caller"], entry["account"] != "", number

        alike = [n for n, entry in self.entries.items() if entry["run_id"] == new["run_id"] and is_it(entry)]
        return min(alike, key=rank, default=None)

    def intend(self, **new: Any) -> int:
        number = self.same(new)
        if number is not None and not self.is_free(self.entries[number]):
            return number
        old = self.entries.get(number or 0, {"tries": 0, "account": ""})
        empty = dict.fromkeys(("sent_at", "stop_reason", "refused", "outcome", "ended_at"))
        kept = {"tasks": (), "tries": old["tries"], "account": new["account"] or old["account"]}
        number = number or len(self.entries) + 1
        self.entries[number] = {**new, **empty, **kept, "created_at": self.now()}
        return number

    def sending(self, number: int, token: str, tries: int) -> None:
        entry = self.entries[number]
        if entry["stop_reason"]:
            return
        new = token != entry["token"]
        if tries < entry["tries"] or (tries == entry["tries"] and new and entry["sent_at"]):
            return
        if new or entry["sent_at"] is None:
            entry["sent_at"] = self.now()
        entry |= {"token": token, "tries": tries}

    def launched(self, number: int, tasks: list[str]) -> None:
        entry = self.entries[number]
        entry["tasks"] = tuple(dict.fromkeys([*entry["tasks"], *tasks]))
        if entry["tasks"] and not entry["outcome"]:
            entry |= {"refused": None, "ended_at": None}
        if tasks and not entry["account"]:
            account = tasks[0].split(":")[6]
            taken = [other for other in self.entries.values() if other["run_id"] == entry["run_id"]]
            if account not in [other["account"] for other in taken]:
                entry["account"] = account

    def answered(self, number: int) -> None:
        if self.state(self.entries[number]) in ("intended", "launched"):
            self.entries[number]["sent_at"] = None

    def refused(self, number: int, reason: str) -> None:
        if self.state(self.entries[number]) == "intended":
            self.entries[number] |= {"refused": reason, "ended_at": self.now()}

    def stop_requested(self, number: int, reason: str) -> None:
        entry = self.entries[number]
        entry["stop_reason"] = entry["stop_reason"] or reason

    def ended(self, number: int, outcome: dict[str, Any]) -> None:
        if self.entries[number]["outcome"] in (None, UNKNOWN):
            self.entries[number] |= {"outcome": outcome, "ended_at": self.now()}


WORDS = st.sampled_from(["one", "two", "three"])
NEW = st.fixed_dictionaries(
    {"run_id": WORDS, "account": st.sampled_from(["", ACCOUNT, OTHER_ACCOUNT]), "caller": WORDS, "token": WORDS}
)
WHICH = st.integers(0, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("intend"), NEW),
        st.tuples(st.just("intend"), NEW),
        st.tuples(st.just("sending"), WHICH, WORDS, st.integers(0, 2)),
        st.tuples(st.just("launched"), WHICH, st.lists(st.sampled_from(TASKS), max_size=2)),
        st.tuples(st.sampled_from(["refused", "stop_requested"]), WHICH, WORDS),
        st.tuples(st.just("answered"), WHICH),
        st.tuples(st.just("ended"), WHICH, st.sampled_from([SUCCEEDED, FAILED, UNKNOWN])),
        st.tuples(st.just("close")),
    ),
    min_size=3,
    max_size=25,
)


def step(journal: Journal, model: Model, name: str, *arguments: Any) -> None:
    if name == "close":
        journal.close()
    elif name == "intend":
        (new,) = arguments
        place = Place(new["account"], "us-east-1", "batch", "")
        rest = {key: new[key] for key in ("run_id", "caller", "token")}
        assert intend(journal, place=place, **rest).number == model.intend(**new)
    elif model.entries:
        number = arguments[0] % len(model.entries) + 1
        if name == "sending":
            send(journal, number, *arguments[1:])
        else:
            getattr(journal, name)(number, *arguments[1:])
        getattr(model, name)(number, *arguments[1:])


def as_modelled(entry: Entry) -> dict[str, Any]:
    names = ["run_id", "caller", "token", "created_at", "sent_at", "tries", "tasks"]
    names += ["stop_reason", "refused", "outcome", "ended_at"]
    return {name: getattr(entry, name) for name in names} | {"account": entry.place.account}


@given(STEPS)
def test_any_sequence_of_calls_does_as_the_rules_say(steps: list[tuple[Any, ...]]) -> None:
    """Whatever is called in whatever order, by two journals on one file: entries and look-ups are those of a dict."""
    with tempfile.TemporaryDirectory() as folder:
        path, clock, model = Path(folder, "journal.sqlite3"), Clock(), Model(Clock())
        with closing(Journal(path, clock)) as one, closing(Journal(path, clock)) as two:
            for journal in (one, two):
                journal._swept = True  # it looks at the clock
                journal._file.write(lambda connection: None)
                journal._file.rows("PRAGMA synchronous = OFF")
            for index, (name, *arguments) in enumerate(steps):
                step((one, two)[index % 2], model, name, *arguments)
                found = {entry.number: as_modelled(entry) for entry in one.latest(1000)}
                assert found == model.entries
            check_look_ups(two, model)


def check_look_ups(journal: Journal, model: Model) -> None:
    states = {number: model.state(entry) for number, entry in model.entries.items()}
    assert {entry.number: entry.state for entry in journal.latest(1000)} == states
    free = {number for number, entry in model.entries.items() if model.is_free(entry)}
    assert {entry.number for entry in journal.latest(1000) if entry.is_free} == free
    unfinished = {number for number, state in states.items() if state in ("intended", "launched")}
    assert {entry.number for entry in journal.unfinished()} == unfinished
    for task in TASKS:
        numbers = [number for number, entry in model.entries.items() if task in entry["tasks"]]
        found = journal.by_task(task)
        assert (found and found.number) == min(numbers, default=None)
        assert journal.known([task]) == ({task} if numbers else set())
    for run_id in ("one", "two", "three"):
        found = journal.attempts(
            run_id, region="us-east-1", cluster="batch", endpoint="", account=ACCOUNT, caller="one"
        )
        mine = [n for n, e in model.entries.items() if e["run_id"] == run_id]
        mine = [n for n in mine if model.entries[n]["account"] == ACCOUNT or model.entries[n]["caller"] == "one"]
        assert sorted(entry.number for entry in found) == sorted(mine)
