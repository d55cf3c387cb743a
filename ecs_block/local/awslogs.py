"""The awslogs driver: a container's output becomes events of a log stream, as Docker's driver makes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

from ecs_block.local.faults import ServiceError
from ecs_block.local.log_store import LogStore
from ecs_block.local.log_stream import LogStream, now_ms

# One event's largest text: CloudWatch's 256 KiB less the bytes that it adds.
_MAX_LINE = 256 * 1024 - 26
# bytes that are not UTF-8 come out of the decoder as these
_UNDECODABLE = re.compile("[\udc80-\udcff]")


class Output(Protocol):
    """Where a container's output goes."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""

    def close(self) -> None:
        """Take note that no more will come."""


class LogDriverError(Exception):
    """The stream cannot be made, so the task cannot start."""


def open_stream(
    logging: dict[str, Any], container: str, task_id: str, runtime_id: str, stores: Callable[[str], LogStore]
) -> Lines:
    """Make the stream that the options name, and the group if they ask for it."""
    options = logging.get("options", {})
    store = stores(options["awslogs-region"])
    group, prefix = options["awslogs-group"], options.get("awslogs-stream-prefix")
    name = f"{prefix}/{container}/{task_id}" if prefix else options.get("awslogs-stream") or runtime_id
    with store.lock:
        if options.get("awslogs-create-group", "").lower() == "true" and group not in store.groups:
            store.create_group(group)
        try:
            return Lines(store, store.create_stream(group, name))
        except ServiceError as fault:
            if fault.code == "ResourceAlreadyExistsException":
                return Lines(store, store.stream(group, name))
            raise LogDriverError(
                "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
                f"failed to create Cloudwatch log stream: {fault.code}: {fault.message} : exit status 1"
            ) from None


class Lines:
    """Cut output into lines and put them into a stream. Empty lines are dropped, as the driver drops them."""

    def __init__(self, store: LogStore, stream: LogStream) -> None:
        self._store = store
        self._stream = stream
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Put the lines that are complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) > _MAX_LINE:
            end = _fitting(self._rest)
            lines.append(self._rest[:end])
            self._rest = self._rest[end:]
        self._put(lines)

    def close(self) -> None:
        """Put the last line, if it did not end."""
        lines, self._rest = [self._rest], b""
        self._put(lines)

    def _put(self, lines: list[bytes]) -> None:
        now = now_ms()
        events = [(now, text) for line in lines for text in _pieces(line)]
        if events:
            self._store.put(self._stream, events)


class Nowhere:
    """Output that nobody reads."""

    def feed(self, data: bytes) -> None:
        """Drop the bytes."""

    def close(self) -> None:
        """Do nothing."""


def _fitting(line: bytes) -> int:
    """Return how much of a line fits into one event, without cutting a character."""
    end = _MAX_LINE
    while end > _MAX_LINE - 4 and line[end : end + 1] and line[end] & 0xC0 == 0x80:
        end -= 1
    return end


def _pieces(line: bytes) -> list[str]:
    """Split an over-long line; an empty one has no pieces."""
    pieces = []
    while line:
        end = _fitting(line)
        pieces.append(_text(line[:end]))
        line = line[end:]
    return pieces


def _text(line: bytes) -> str:
    """Decode, with U+FFFD for each byte that is not UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return _UNDECODABLE.sub("\ufffd", line.decode(errors="surrogateescape"))
