"""Which process of this machine has a job in hand.

Agents of one machine share a journal, so each sees the jobs of the others. A claim says that a job is looked after: it is a
lock of one byte in a file that all agents of a queue share, at a place made of the job's run id. The kernel gives it back
when its process ends, however it ends, and then another agent, or the same one started again, may take the job up.

One open file holds any number of claims. Where the platform has no such locks (Windows), each process believes itself alone;
then two may watch one task, which is harmless: launches are guarded by the engine, and the first outcome stays.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ecs_block.errors import JournalError
from ecs_block.home import home

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_BITS = 62  # of a file's offset
_of_this_process: dict[tuple[int, Path], Claims] = {}


def claims_of(queue_key: str) -> Claims:
    """Give this process's claims on the jobs of a queue: one object, for closing a file gives all of its locks back."""
    path = home("state") / "locks" / f"agent-{queue_key}.lock"
    return _of_this_process.setdefault((os.getpid(), path), Claims(path))


class Claims:
    """The claims of this process on the jobs of one queue."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: set[str] = set()
        self._file: int | None = None  # open as long as the process lives

    def take(self, run_id: str) -> bool:
        """Claim a job; False when another process has it, or this one has it already. Raises JournalError."""
        if run_id in self._held:
            return False
        if fcntl is not None:
            try:
                fcntl.lockf(self._opened(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(run_id))
            except (BlockingIOError, PermissionError):
                return False
        self._held.add(run_id)
        return True

    def release(self, run_id: str) -> None:
        """Give a claim back."""
        if run_id in self._held:
            self._held.discard(run_id)
            if fcntl is not None and self._file is not None:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _place(run_id))

    def _opened(self) -> int:
        if self._file is None:
            self._file = _open(self.path)
        return self._file


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise JournalError(
            f"No lock can be made at {path} ({error.strerror}), so no job is launched: two agents might both do it. Make its "
            "folder writable, or set ECS_BLOCK_HOME to one that is."
        ) from None


def _place(run_id: str) -> int:
    return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:8]) >> (64 - _BITS)
