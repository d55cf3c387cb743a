"""Task definitions: families, revisions, ACTIVE and INACTIVE."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Any

from ecs_block.local.definition_rules import check_definition
from ecs_block.local.faults import client_error, invalid
from ecs_block.local.paging import page
from ecs_block.local.registration import normal_sizes, with_defaults
from ecs_block.local.tags import Tags, clean_tags

Definition = dict[str, Any]

_ORDERLESS = ("environment", "secrets", "mountPoints", "portMappings", "ulimits", "systemControls")
_STILL_ACTIVE = "The specified task definition is still in ACTIVE status."


class Definitions:
    """The task definitions of one region. Stored definitions are never changed, only replaced."""

    def __init__(self, account_id: str, region: str, lock: threading.RLock, shuffle: bool) -> None:
        self._prefix = f"arn:aws:ecs:{region}:{account_id}:task-definition/"
        self._registered_by = f"arn:aws:iam::{account_id}:root"
        self._lock = lock
        self._dice = random.Random(0) if shuffle else None
        self._families: dict[str, dict[int, Definition]] = {}
        self._counters: dict[str, int] = {}
        self.tags: dict[str, Tags] = {}

    def register(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer RegisterTaskDefinition."""
        params = normal_sizes(params)
        check_definition(params)
        definition = with_defaults(params)
        family = definition["family"]
        with self._lock:
            # The counter outlives the family's revisions: numbers are never used twice.
            revision = self._counters[family] = self._counters.get(family, 0) + 1
            arn = f"{self._prefix}{family}:{revision}"
            definition.update(
                taskDefinitionArn=arn,
                revision=revision,
                status="ACTIVE",
                registeredAt=time.time(),
                registeredBy=self._registered_by,
            )
            self._families.setdefault(family, {})[revision] = definition
            self.tags[arn] = clean_tags(params.get("tags"))
            return {"taskDefinition": self._shown(definition), "tags": self.tags[arn]}

    def describe(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DescribeTaskDefinition."""
        with self._lock:
            definition = self.find(params["taskDefinition"])
            if definition is None:
                raise client_error("Unable to describe task definition.")
            tags = {"tags": self.tags[definition["taskDefinitionArn"]]} if "TAGS" in params.get("include", []) else {}
            return {"taskDefinition": self._shown(definition), **tags}

    def deregister(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DeregisterTaskDefinition: the revision becomes INACTIVE."""
        with self._lock:
            if ":" not in params["taskDefinition"]:
                raise client_error("Revision is required: use family:revision or the full ARN.")
            definition = self.find(params["taskDefinition"])
            if definition is None:
                raise client_error("The specified task definition does not exist.")
            if definition["status"] == "ACTIVE":
                definition = {**definition, "status": "INACTIVE", "deregisteredAt": time.time()}
                self._families[definition["family"]][definition["revision"]] = definition
            return {"taskDefinition": self._shown(definition)}

    def delete(self, params: dict[str, Any], in_use: set[str]) -> dict[str, Any]:
        """Answer DeleteTaskDefinitions; revisions ``in_use`` by tasks stay DELETE_IN_PROGRESS."""
        names = params["taskDefinitions"]
        if not 1 <= len(names) <= 10:
            raise invalid("The number of task definitions must be between 1 and 10.")
        deleted: list[Definition] = []
        failures: list[dict[str, str]] = []
        with self._lock:
            for name in names:
                definition = self.find(name) if ":" in name else None
                if definition is None or definition["status"] == "ACTIVE":
                    reason = "MISSING" if definition is None else _STILL_ACTIVE
                    failures.append({"arn": name, "reason": reason})
                else:
                    deleted.append(self._delete(definition, in_use))
        return {"taskDefinitions": deleted, "failures": failures}

    def _delete(self, definition: Definition, in_use: set[str]) -> Definition:
        gone = {**definition, "status": "DELETE_IN_PROGRESS", "deleteRequestedAt": time.time()}
        revisions = self._families[gone["family"]]
        revisions[gone["revision"]] = gone
        if gone["taskDefinitionArn"] not in in_use:
            del revisions[gone["revision"]]
            self.tags.pop(gone["taskDefinitionArn"], None)
        return gone

    def find(self, name: str) -> Definition | None:
        """Look up an ARN or ``family:revision``, whatever its status, or the latest ACTIVE revision of a family."""
        if name.startswith("arn:") and not name.startswith(self._prefix):
            return None
        family, _, number = name.removeprefix(self._prefix).partition(":")
        revisions = self._families.get(family, {})
        if number:
            return revisions.get(int(number)) if number.isdecimal() else None
        active = [revision for revision, definition in revisions.items() if definition["status"] == "ACTIVE"]
        return revisions[max(active)] if active else None

    def list_arns(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer ListTaskDefinitions."""
        prefix, status = params.get("familyPrefix"), params.get("status", "ACTIVE")
        with self._lock:
            found = [d for d in self._all() if d["status"] == status and prefix in (None, d["family"])]
        found.sort(key=lambda d: (d["family"], d["revision"]), reverse=params.get("sort") == "DESC")
        arns, more = page([definition["taskDefinitionArn"] for definition in found], params)
        return {"taskDefinitionArns": arns, **more}

    def list_families(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer ListTaskDefinitionFamilies."""
        prefix, status = params.get("familyPrefix", ""), params.get("status", "ALL")
        with self._lock:
            found = {f for f in self._families if f.startswith(prefix) and status in ("ALL", self._family_status(f))}
        families, more = page(sorted(found), params)
        return {"families": families, **more}

    def _family_status(self, family: str) -> str:
        statuses = {definition["status"] for definition in self._families[family].values()}
        return "ACTIVE" if "ACTIVE" in statuses else "INACTIVE"

    def _all(self) -> Iterator[Definition]:
        for revisions in self._families.values():
            yield from revisions.values()

    def _shown(self, definition: Definition) -> Definition:
        """Return the definition, in another order each time if the cloud shuffles."""
        if self._dice is None:
            return definition
        containers = [_shuffled(container, self._dice) for container in definition["containerDefinitions"]]
        self._dice.shuffle(containers)
        return {**definition, "containerDefinitions": containers}


def _shuffled(container: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    lists = {name: dice.sample(container[name], len(container[name])) for name in _ORDERLESS if name in container}
    return {**container, **lists}
