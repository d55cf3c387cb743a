"""Log groups and their streams, one store a region."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from typing import Any

from ecs_block.local.faults import ServiceError, invalid
from ecs_block.local.log_stream import Delay, LogStream, now_ms

_GROUP = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}\Z")
_STREAM = re.compile(r"[^:*]{1,512}\Z")


class LogGroup:
    """A log group and its streams."""

    def __init__(self, name: str, arn: str) -> None:
        self.name = name
        self.arn = arn
        self.created = now_ms()
        self.retention: int | None = None
        self.tags: dict[str, str] = {}
        self.streams: dict[str, LogStream] = {}

    def described(self) -> dict[str, Any]:
        """Return the group as DescribeLogGroups shows it."""
        shown: dict[str, Any] = {
            "logGroupName": self.name,
            "creationTime": self.created,
            "metricFilterCount": 0,
            "arn": f"{self.arn}:*",
            "logGroupArn": self.arn,
            "logGroupClass": "STANDARD",
            "storedBytes": sum(stream.stored_bytes for stream in self.streams.values()),
        }
        if self.retention is not None:
            shown["retentionInDays"] = self.retention
        return shown


class LogStore:
    """The log groups of a region; ``lock`` guards all of them."""

    def __init__(self, account_id: str, region: str, delay: Delay) -> None:
        self.lock = threading.RLock()
        self.groups: dict[str, LogGroup] = {}
        self._prefix = f"arn:aws:logs:{region}:{account_id}:log-group:"
        self._delay = delay

    def group(self, name: str) -> LogGroup:
        """Find a group by name or ARN."""
        group = self.groups.get(name.removeprefix(self._prefix).removesuffix(":*"))
        if group is None:
            raise ServiceError("ResourceNotFoundException", "The specified log group does not exist.")
        return group

    def stream(self, group: str, name: str) -> LogStream:
        """Find a stream of a group."""
        stream = self.group(group).streams.get(name)
        if stream is None:
            raise ServiceError("ResourceNotFoundException", "The specified log stream does not exist.")
        return stream

    def create_group(self, name: str) -> LogGroup:
        """Make a group; an existing one is an error."""
        if not _GROUP.match(name):
            raise invalid(f"Value '{name}' at 'logGroupName' failed to satisfy constraint: [\\.\\-_/#A-Za-z0-9]+")
        with self.lock:
            if name in self.groups:
                raise ServiceError("ResourceAlreadyExistsException", "The specified log group already exists")
            self.groups[name] = LogGroup(name, self._prefix + name)
            return self.groups[name]

    def create_stream(self, group_name: str, name: str) -> LogStream:
        """Make a stream; an existing one is an error."""
        if not _STREAM.match(name):
            raise invalid(f"Value '{name}' at 'logStreamName' failed to satisfy constraint: [^:*]*")
        with self.lock:
            group = self.group(group_name)
            if name in group.streams:
                raise ServiceError("ResourceAlreadyExistsException", "The specified log stream already exists")
            group.streams[name] = LogStream(group.name, name, self._delay)
            return group.streams[name]

    def put(self, stream: LogStream, events: Iterable[tuple[int, str]]) -> None:
        """Put events (time in ms, text) into a stream."""
        with self.lock:
            stream.put(events)
