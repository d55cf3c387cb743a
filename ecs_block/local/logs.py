"""CloudWatch Logs: the operations."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ecs_block.local.faults import ServiceError, invalid, unsupported
from ecs_block.local.log_pages import Pager
from ecs_block.local.log_store import LogGroup, LogStore
from ecs_block.local.log_stream import OVERHEAD, Delay, LogStream, now_ms
from ecs_block.local.model import check_request
from ecs_block.local.paging import page

_MAX_BATCH = 10_000
_MAX_BATCH_BYTES = 1024 * 1024
_DAY = 24 * 3600 * 1000
_TWO_HOURS = 2 * 3600 * 1000


class Logs:
    """CloudWatch Logs of one cloud: a store for each region."""

    def __init__(self, account_id: str, delay: Delay, pager: Pager) -> None:
        self._account_id = account_id
        self._delay = delay
        self._pager = pager
        self._stores: dict[str, LogStore] = {}
        self._lock = threading.Lock()
        self._operations: dict[str, Callable[[LogStore, dict[str, Any]], dict[str, Any] | None]] = {
            "CreateLogGroup": _create_group,
            "DeleteLogGroup": _delete_group,
            "DescribeLogGroups": _describe_groups,
            "PutRetentionPolicy": _put_retention,
            "DeleteRetentionPolicy": _delete_retention,
            "CreateLogStream": _create_stream,
            "DeleteLogStream": _delete_stream,
            "DescribeLogStreams": _describe_streams,
            "PutLogEvents": _put_events,
            "GetLogEvents": self._get_events,
            "FilterLogEvents": self._filter_events,
            "TagResource": _tag,
            "UntagResource": _untag,
            "ListTagsForResource": _list_tags,
            "ListTagsLogGroup": _list_tags,
            "TagLogGroup": _tag,
            "UntagLogGroup": _untag,
        }

    def store(self, region: str) -> LogStore:
        """Return the store of a region."""
        with self._lock:
            if region not in self._stores:
                self._stores[region] = LogStore(self._account_id, region, self._delay)
            return self._stores[region]

    def call(self, operation: str, params: dict[str, Any], region: str) -> dict[str, Any]:
        """Answer an operation in a region."""
        action = self._operations.get(operation)
        if action is None:
            raise unsupported("logs", operation)
        params = check_request("logs", operation, params)
        store = self.store(region)
        with store.lock:
            return action(store, params) or {}

    def _get_events(self, store: LogStore, params: dict[str, Any]) -> dict[str, Any]:
        return self._pager.get(store.stream(_group_name(params), params["logStreamName"]), params)

    def _filter_events(self, store: LogStore, params: dict[str, Any]) -> dict[str, Any]:
        if params.get("filterPattern"):
            raise ServiceError("UnsupportedFeatureException", "LocalCloud does not implement filter patterns")
        return self._pager.filter(_chosen_streams(store, params), params)


def _group_name(params: dict[str, Any]) -> str:
    name = params.get("logGroupName") or params.get("logGroupIdentifier") or params.get("resourceArn")
    if not name:
        raise invalid("Exactly one of logGroupName and logGroupIdentifier must be given.")
    return str(name)


def _chosen_streams(store: LogStore, params: dict[str, Any]) -> list[LogStream]:
    group = store.group(_group_name(params))
    names, prefix = params.get("logStreamNames"), params.get("logStreamNamePrefix")
    if names and prefix:
        raise invalid("logStreamNames and logStreamNamePrefix cannot be used together.")
    if names and len(names) > 100:
        raise invalid("logStreamNames can have at most 100 items.")
    if names:
        return [store.stream(group.name, name) for name in names]
    return [stream for name, stream in group.streams.items() if name.startswith(prefix or "")]


def _create_group(store: LogStore, params: dict[str, Any]) -> None:
    store.create_group(params["logGroupName"]).tags.update(params.get("tags", {}))


def _delete_group(store: LogStore, params: dict[str, Any]) -> None:
    del store.groups[store.group(params["logGroupName"]).name]


def _describe_groups(store: LogStore, params: dict[str, Any]) -> dict[str, Any]:
    prefix, part = params.get("logGroupNamePrefix", ""), params.get("logGroupNamePattern", "")
    found = [g for name, g in sorted(store.groups.items()) if name.startswith(prefix) and part.lower() in name.lower()]
    chosen, more = page(found, {**params, "maxResults": params.get("limit", 50)}, largest=50)
    return {"logGroups": [group.described() for group in chosen], **more}


def _put_retention(store: LogStore, params: dict[str, Any]) -> None:
    store.group(params["logGroupName"]).retention = params["retentionInDays"]


def _delete_retention(store: LogStore, params: dict[str, Any]) -> None:
    store.group(params["logGroupName"]).retention = None


def _create_stream(store: LogStore, params: dict[str, Any]) -> None:
    store.create_stream(params["logGroupName"], params["logStreamName"])


def _delete_stream(store: LogStore, params: dict[str, Any]) -> None:
    stream = store.stream(params["logGroupName"], params["logStreamName"])
    del store.group(params["logGroupName"]).streams[stream.name]


def _describe_streams(store: LogStore, params: dict[str, Any]) -> dict[str, Any]:
    group = store.group(_group_name(params))
    by_time = params.get("orderBy") == "LastEventTime"
    if by_time and params.get("logStreamNamePrefix"):
        raise invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
    prefix = params.get("logStreamNamePrefix", "")
    shown = [group.streams[name].described(group.arn) for name in sorted(group.streams) if name.startswith(prefix)]
    if by_time:
        shown.sort(key=lambda stream: stream.get("lastEventTimestamp", 0))
    if params.get("descending"):
        shown.reverse()
    chosen, more = page(shown, {**params, "maxResults": params.get("limit", 50)}, largest=50)
    return {"logStreams": chosen, **more}


def _put_events(store: LogStore, params: dict[str, Any]) -> dict[str, Any]:
    stream = store.stream(params["logGroupName"], params["logStreamName"])
    events = [(event["timestamp"], event["message"]) for event in params["logEvents"]]
    _check_batch(events)
    now = now_ms()
    accepted = [event for event in events if now - 14 * _DAY <= event[0] <= now + _TWO_HOURS]
    stream.put(accepted)
    rejected: dict[str, int] = {}
    if old := sum(timestamp < now - 14 * _DAY for timestamp, _ in events):
        rejected["tooOldLogEventEndIndex"] = old
    if new := sum(timestamp > now + _TWO_HOURS for timestamp, _ in events):
        rejected["tooNewLogEventStartIndex"] = len(events) - new
    return {"nextSequenceToken": stream.token, **({"rejectedLogEventsInfo": rejected} if rejected else {})}


def _check_batch(events: list[tuple[int, str]]) -> None:
    if not 1 <= len(events) <= _MAX_BATCH:
        raise invalid(f"Log events must be between 1 and {_MAX_BATCH} in a batch.")
    if any(not message for _, message in events):
        raise invalid("Log event message must not be empty.")
    times = [timestamp for timestamp, _ in events]
    if times != sorted(times):
        raise invalid("Log events in a single PutLogEvents request must be in chronological order.")
    if times[-1] - times[0] > _DAY:
        raise invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
    if sum(len(message.encode()) + OVERHEAD for _, message in events) > _MAX_BATCH_BYTES:
        raise invalid(f"Upload too large: more than {_MAX_BATCH_BYTES} bytes")


def _tagged(store: LogStore, params: dict[str, Any]) -> LogGroup:
    return store.group(_group_name(params))


def _tag(store: LogStore, params: dict[str, Any]) -> None:
    _tagged(store, params).tags.update(params["tags"])


def _untag(store: LogStore, params: dict[str, Any]) -> None:
    tags = _tagged(store, params).tags
    for key in params.get("tagKeys") or params.get("tags") or []:
        tags.pop(key, None)


def _list_tags(store: LogStore, params: dict[str, Any]) -> dict[str, Any]:
    return {"tags": _tagged(store, params).tags}
