"""When two definitions are the same: AWS fills in defaults at registration and may give lists back in another order.

`canonical` is the form that is equal exactly then.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from ecs_block.plan.fargate import cpu_units, memory_mib

Definition = dict[str, Any]

_CONTAINER_DEFAULTS = {"cpu": 0, "essential": True, "versionConsistency": "enabled"}
_HEALTH_CHECK_DEFAULTS = {"interval": 30, "timeout": 5, "retries": 3}
_DEFINITION_DEFAULTS = {"networkMode": "bridge", "enableFaultInjection": False}
# Lists whose order has a meaning; any other list may come back from AWS in another order.
_ORDERED = frozenset({"command", "entryPoint", "environmentFiles", "dnsServers", "dnsSearchDomains", "mountOptions"})
# Maps of the user's own names: there an empty text is a value, elsewhere it is the same as nothing.
_MAPS = frozenset({"dockerLabels", "options", "driverOpts", "labels"})
_BY_NAME = frozenset({"environment", "secrets"})


def canonical(definition: Mapping[str, Any], output_only: Iterable[str] = ()) -> Definition:
    """Give the form in which two definitions are equal exactly when they are the same.

    `output_only` are the members that only AWS writes; they and the tags are left out. AWS's registration defaults are
    filled in; what is absent, None or empty is dropped, but never `False` or `0`.
    """
    left_out = {"tags", *output_only}
    form = copy.deepcopy({key: value for key, value in definition.items() if key not in left_out})
    for key, default in _DEFINITION_DEFAULTS.items():
        _fill(form, key, default)
    _normalise_sizes(form)
    for container in form.get("containerDefinitions") or []:
        _fill_container(container, form["networkMode"])
    for volume in form.get("volumes") or []:
        if volume.get("efsVolumeConfiguration"):
            _fill(volume["efsVolumeConfiguration"], "rootDirectory", "/")
    return dict(_settle(form, ""))


def fingerprint(definition: Mapping[str, Any], output_only: Iterable[str] = ()) -> str:
    """Give a hash of the canonical form (SHA-256, hex)."""
    return _fingerprint(json.dumps(definition, sort_keys=True, default=str), tuple(output_only))


@lru_cache(maxsize=256)  # a map of a thousand runs asks for the same few
def _fingerprint(definition: str, output_only: tuple[str, ...]) -> str:
    form = json.dumps(canonical(json.loads(definition), output_only), sort_keys=True)
    return hashlib.sha256(form.encode()).hexdigest()


def same(one: Mapping[str, Any], other: Mapping[str, Any], output_only: Iterable[str] = ()) -> bool:
    """Tell whether two definitions are the same to AWS."""
    left_out = tuple(output_only)
    return canonical(one, left_out) == canonical(other, left_out)


def _fill(target: dict[str, Any], key: str, default: Any) -> None:
    if target.get(key) in (None, ""):
        target[key] = default


def _normalise_sizes(form: Definition) -> None:
    for key, read in (("cpu", cpu_units), ("memory", memory_mib)):
        if form.get(key):
            try:
                form[key] = str(read(form[key]))
            except ValueError:
                continue  # AWS will judge it; here it only has to compare


def _fill_container(container: dict[str, Any], network_mode: str) -> None:
    for key, value in _CONTAINER_DEFAULTS.items():
        _fill(container, key, value)
    for mapping in container.get("portMappings") or []:
        _fill(mapping, "protocol", "tcp")
        if "containerPort" in mapping:
            _fill(mapping, "hostPort", 0 if network_mode == "bridge" else mapping["containerPort"])
    if container.get("healthCheck"):
        for key, default in _HEALTH_CHECK_DEFAULTS.items():
            _fill(container["healthCheck"], key, default)
    if container.get("restartPolicy"):
        _fill(container["restartPolicy"], "restartAttemptPeriod", 300)


def settled(value: Any) -> Any:
    """Give what was sent and what AWS gives back of it the same form."""
    return _settle(value, "")


def _settle(value: Any, key: str) -> Any:
    """Drop what is empty and bring lists without an order into one."""
    if isinstance(value, Mapping):
        items = {name: _settle(item, name) for name, item in value.items()}
        empty: tuple[Any, ...] = (None,) if key in _MAPS else (None, "", [], {})
        return {name: item for name, item in items.items() if not any(item is e or item == e for e in empty)}
    if not isinstance(value, list | tuple):
        return value
    if key in _BY_NAME:
        value = list({item.get("name"): item for item in value}.values())  # of duplicates the last one counts
    settled = [_settle(item, "") for item in value]
    return (
        settled if key in _ORDERED else sorted(settled, key=lambda item: json.dumps(item, sort_keys=True, default=str))
    )


def registrable(definition: Mapping[str, Any], output_only: Iterable[str]) -> Definition:
    """Give of a described definition what can be registered: all but what only AWS writes."""
    left_out = set(output_only)
    return {key: value for key, value in definition.items() if key not in left_out}


def differences(one: Mapping[str, Any], other: Mapping[str, Any], output_only: Iterable[str] = ()) -> list[str]:
    """List the paths at which two definitions differ, without values (which may be secret)."""
    left_out = tuple(output_only)
    return list(_differences(canonical(one, left_out), canonical(other, left_out), ""))


def differences_of(one: Any, other: Any) -> list[str]:
    """List the paths at which two values differ, without the values."""
    return list(_differences(one, other, ""))


def _differences(one: Any, other: Any, path: str) -> Iterator[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}, key=str):
            yield from _differences(one.get(key), other.get(key), f"{path}.{key}" if path else str(key))
    elif _named(one) and _named(other):
        names = {item["name"]: item for item in one}, {item["name"]: item for item in other}
        for name in sorted({*names[0], *names[1]}):
            yield from _differences(names[0].get(name), names[1].get(name), f"{path}[{name}]")
    elif one != other:
        yield f"{path}: {'added' if one is None else 'removed' if other is None else 'changed'}"


def _named(value: Any) -> bool:
    """Tell whether the items of a list can be told apart by name: AWS allows several ulimits of one."""
    if not isinstance(value, list) or not value or not all(isinstance(item, Mapping) for item in value):
        return False
    names = [item.get("name") for item in value]
    return None not in names and len(set(names)) == len(names)
