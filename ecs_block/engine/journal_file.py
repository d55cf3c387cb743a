"""One SQLite file that threads and processes share: transactions, forks, and sentences for what goes wrong.

The rules of this file:

- A write is on the disk when `write` returns. Writes that wait at the same time share one transaction, and so one fsync.
- What fails on its own fails alone.
- Nothing but JournalError gets out, and a file that cannot be read is left as it is.
- No connection lives through a fork. SQLite would take the parent's locks for the child's own, and lose what the child writes.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from ecs_block.errors import JournalError
from ecs_block.home import HOME_VARIABLE

T = TypeVar("T")
Values = Sequence[Any] | Mapping[str, Any]

PATIENCE = 30.0  # seconds to wait for another process's write
FORMAT = 1  # PRAGMA user_version


class JournalFile:
    """A file with these tables; the first write makes it. Every method raises JournalError."""

    def __init__(self, path: Path, tables: Sequence[str]) -> None:
        self.path = path.absolute()
        self._tables = tables
        self._connection: sqlite3.Connection | None = None
        self._process = 0  # that opened the connection
        self._file: tuple[int, int] | None = None  # that was opened first: device and inode
        self._waiting: list[_Change[Any]] = []
        self._leader: _Change[Any] | None = None  # of the thread that commits
        self._gate = threading.Condition()  # to those two
        with _turn:
            _files.add(self)

    def write(self, make: Callable[[sqlite3.Connection], T]) -> T:
        """Have a change committed: by this thread, or by one that commits for all who wait.

        A change that Ctrl-C meets on its way may be made twice.
        """
        change = _Change(make)
        try:
            with self._gate:
                self._waiting.append(change)
                self._gate.wait_for(lambda: change.settled or self._leader is None)
                if not change.settled:
                    self._leader = change
            if self._leader is change:
                self._commit_waiting()
        finally:
            self._leave(change)
        if change.error is not None:
            raise _told(change.error, self.path)
        return change.result

    def rows(self, query: str, values: Values = ()) -> list[sqlite3.Row]:
        """Give what a query finds: nothing, where there is no file yet."""
        with _turn, errors_told(self.path):
            if self._file is None and not self.path.exists():
                return []
            return self._connected().execute(query, values).fetchall()

    def close(self) -> None:
        """Close the file. A later call opens it again."""
        with _turn, errors_told(self.path):
            self._disconnect()

    def _commit_waiting(self) -> None:
        with _turn:
            with self._gate:
                batch = [change for change in self._waiting if not change.settled]
            try:
                self._transact(batch)
            except Exception as error:
                for change in batch:
                    change.error = error
        for change in batch:
            change.settled = True

    def _leave(self, change: _Change[Any]) -> None:
        with self._gate:
            if change in self._waiting:
                self._waiting.remove(change)
            if self._leader is change:  # after Ctrl-C, the next one leads those who still wait
                self._leader = None
                self._gate.notify_all()

    def _forget_threads(self) -> None:
        """Begin anew in a child: the threads that waited are the parent's."""
        self._waiting, self._leader, self._gate = [], None, threading.Condition()

    def _transact(self, batch: Sequence[_Change[Any]]) -> None:
        connection = self._connected()
        try:
            connection.execute("BEGIN IMMEDIATE")
            for change in batch:
                change.apply(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _connected(self) -> sqlite3.Connection:
        if self._process != os.getpid():
            self._disconnect()
        if self._connection is None:
            if self._file is None:
                _create(self.path)
            self._connection, self._process = _open(self.path, self._tables), os.getpid()
        self._file = self._file or _identity(self.path)
        if self._file != _identity(self.path):
            raise JournalError(
                f"The journal of runs {self.path} was moved away or replaced while it was in use, so nothing can be recorded. "
                "Start this program again, and look at `ecs-block ps --orphans` for tasks that are in no journal."
            )
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._process == os.getpid():
            connection.close()
        else:
            _inherited.append(connection)


class _Change(Generic[T]):
    """A change that waits for a transaction; once settled, its result or why there is none."""

    result: T

    def __init__(self, make: Callable[[sqlite3.Connection], T]) -> None:
        self.make = make
        self.error: Exception | None = None
        self.settled = False

    def apply(self, connection: sqlite3.Connection) -> None:
        """Make the change within a transaction, or leave everything as it was."""
        self.error = None
        connection.execute("SAVEPOINT change")
        try:
            self.result = self.make(connection)
        except Exception as error:
            if not connection.in_transaction:
                raise  # SQLite has given up the whole transaction, as it does on a full disk
            connection.execute("ROLLBACK TO change")
            self.error = error
        connection.execute("RELEASE change")


# --- the file ----------------------------------------------------------------------------------------------------------


def _create(path: Path) -> None:
    """Make an empty file that only its owner can read, unless there is one. SQLite gives its -wal and -shm the same mode."""
    for folder in _missing_folders(path.parent):
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(folder.parent)
    # Only a file that is new may be opened and closed here: closing one lets go of this process's locks on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    _sync_folder(path.parent)  # also for the process that made it this very moment


def _missing_folders(folder: Path) -> Iterator[Path]:
    if not folder.exists():
        yield from _missing_folders(folder.parent)
        yield folder


def _sync_folder(folder: Path) -> None:
    """Make a new name durable, where the platform can open a folder and the file system sync one."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _open(path: Path, tables: Sequence[str]) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw", uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False
    )
    try:
        connection.row_factory = sqlite3.Row
        # FULL, and for a file system without WAL also the folder of its rollback journal.
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone does not reach the disk
        connection.execute("PRAGMA foreign_keys = ON")
        if _format(connection, path) == 0:
            _lay_out(connection, path, tables)
        with suppress(sqlite3.OperationalError):  # another process is just doing it, or the file system cannot
            connection.execute("PRAGMA journal_mode = WAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _format(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, FORMAT):
        raise JournalError(
            f"The journal of runs {path} has format {version}; this ecs_block knows {FORMAT}. A newer ecs_block wrote it: "
            "update this one. The file was left as it is."
        )
    return version


def _lay_out(connection: sqlite3.Connection, path: Path, tables: Sequence[str]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    if _format(connection, path) == 0:  # no other process was quicker
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise JournalError(
                f"The file {path} is a database, but no journal of runs. Move it away, or set {HOME_VARIABLE} to another "
                "folder. The file was left as it is."
            )
        for statement in (*tables, f"PRAGMA user_version = {FORMAT}"):
            connection.execute(statement)
    connection.execute("COMMIT")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


# --- threads and forks -------------------------------------------------------------------------------------------------

# Who holds this uses SQLite: one thread of the process at a time, and none while it forks.
_turn = threading.RLock()
_files: weakref.WeakSet[JournalFile] = weakref.WeakSet()
_inherited: list[sqlite3.Connection] = []  # opened by a parent process; here they must not even be closed


def _before_fork() -> None:
    _turn.acquire()
    for file in _files:
        with suppress(sqlite3.Error):
            file._disconnect()


def _after_fork_in_parent() -> None:
    _turn.release()


def _after_fork_in_child() -> None:
    global _turn
    _turn = threading.RLock()
    for file in _files:
        file._forget_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


# --- what went wrong ---------------------------------------------------------------------------------------------------

_FULL = f"no space is left ({{}}). Free space there, or set {HOME_VARIABLE} to a folder that has some."
_BROKEN = (
    f"its disk failed ({{}}). Free space there or have the disk checked, or set {HOME_VARIABLE} to another folder."
)
_BARRED = f"it cannot be read and written ({{}}). Set {HOME_VARIABLE} to a folder that can be written."
_HELD = f"another process has held it for {PATIENCE:.0f} seconds ({{}}). Try again, or end that process."
_UNFIT = "this cannot be recorded ({}), so none of it was."
_DAMAGED = (
    "it is damaged ({}), and was left as it is. Move it away, and look at `ecs-block ps --orphans` for tasks that are in no "
    "journal."
)

_BY_NUMBER = {errno.ENOSPC: _FULL, errno.EDQUOT: _FULL, errno.EFBIG: _FULL, errno.EIO: _BROKEN}
_BY_CODE = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: _BROKEN,
    sqlite3.SQLITE_PERM: _BARRED,
    sqlite3.SQLITE_READONLY: _BARRED,
    sqlite3.SQLITE_CANTOPEN: _BARRED,
    sqlite3.SQLITE_BUSY: _HELD,
    sqlite3.SQLITE_LOCKED: _HELD,
    sqlite3.SQLITE_PROTOCOL: _HELD,
    sqlite3.SQLITE_CONSTRAINT: _UNFIT,
    sqlite3.SQLITE_TOOBIG: _UNFIT,
}


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        return _BY_NUMBER.get(error.errno or 0, _BARRED).format(error.strerror)
    told = _BY_CODE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    if told is None:
        unreadable = isinstance(error, sqlite3.DatabaseError | json.JSONDecodeError)
        told = _DAMAGED if unreadable and not isinstance(error, sqlite3.ProgrammingError) else _UNFIT
    return told.format(error)


def _told(error: Exception, path: Path) -> JournalError:
    """Make one of ours of any error; each thread raises its own."""
    if isinstance(error, JournalError):
        return JournalError(*error.args)
    return JournalError(f"The journal of runs {path} cannot be used: {_sentence(error)}")


@contextmanager
def errors_told(path: Path) -> Iterator[None]:
    """Turn whatever fails inside into JournalError."""
    try:
        yield
    except Exception as error:
        raise _told(error, path) from None
