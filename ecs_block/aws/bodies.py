"""What came back, byte for byte: told apart where botocore says nothing or shows a traceback.

botocore makes an empty answer of a broken body without a word, and an error whose message is a whole page of a proxy's HTML.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecs_block.aws.hidden import redactor
from ecs_block.errors import AwsError, Kind

_LONGEST_TITLE = 80  # characters
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_PAGE = re.compile(rb"\s*(<!doctype html|<html|<head|<body)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer as it came over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    xml: bool = False
    """Whether the service speaks XML (EC2); the others speak JSON."""

    @property
    def request_id(self) -> str | None:
        """What AWS calls the request; a proxy calls it nothing."""
        found = self.headers.get("x-amzn-requestid")
        return str(found) if found else None

    @property
    def problem(self) -> str | None:
        """Say what is wrong with the body, as the end of a sentence that begins with "the answer"; None for a sound one."""
        if not self.body.strip():
            return "was cut short on its way (its body is empty)"
        if _PAGE.match(self.body) or (self.body.lstrip().startswith(b"<") and not self.xml):
            return f"{self._foreign}: {self._page()}"
        return self._problem_of_xml() if self.xml else self._problem_of_json()

    def _problem_of_xml(self) -> str | None:
        if not self.body.lstrip().startswith(b"<"):
            return f"{self._foreign}: it is no XML"
        return None if self.body.rstrip().endswith(b">") else "was cut short on its way"

    def _problem_of_json(self) -> str | None:
        begins_as_ours = self.body.lstrip().startswith(b"{")
        try:
            read = json.loads(self.body)
        except ValueError:
            return "was cut short on its way" if begins_as_ours else f"{self._foreign}: it is no JSON"
        return None if isinstance(read, dict) else f"{self._foreign}: its JSON is no object"

    @property
    def _foreign(self) -> str:
        # AWS has load balancers of its own, which say in HTML that there is nothing behind them.
        return (
            "is not AWS's (a proxy?)"
            if self.status < 500
            else "is not the service's own (a proxy's or a load balancer's)"
        )

    def _page(self) -> str:
        title = _TITLE.search(self.body)
        words = " ".join(title[1].decode(errors="replace").split())[:_LONGEST_TITLE] if title else ""
        shown = "".join(letter for letter in redactor().text(words) if letter.isprintable())
        return f"a web page{f' with the title {shown!r}' if shown else ''}"


class _Heard(threading.local):
    raw: Raw | None = None


_heard = _Heard()


def listen(client: Any) -> None:
    """Keep each answer that a client hears, for the thread that waits for it."""
    client.meta.events.register("before-parse", _keep)


def _keep(response_dict: Mapping[str, Any], operation_model: Any, **_: Any) -> None:
    body = response_dict.get("body")
    if isinstance(body, bytes):
        xml = operation_model.service_model.metadata.get("protocol") in ("ec2", "query", "rest-xml")
        _heard.raw = Raw(int(response_dict["status_code"]), response_dict["headers"], body, xml)


def heard() -> Raw | None:
    """Give the last answer that this thread has heard since `begin`."""
    return _heard.raw


def begin() -> None:
    """Let go of what was heard: before a call, so that nothing old is taken for its answer, and after it, for its memory."""
    _heard.raw = None


_LACKS = "lacks what AWS always says"
_NOBODY_KNOWS = "nobody knows whether the call took effect"

# An answer that lacks all of these is not whole.
_EXPECTED: dict[str, tuple[str, ...]] = {
    "RunTask": ("tasks", "failures"),
    "DescribeTasks": ("tasks", "failures"),
    "StopTask": ("task",),
    "ListTasks": ("taskArns",),
    "RegisterTaskDefinition": ("taskDefinition",),
    "DescribeTaskDefinition": ("taskDefinition",),
    "DeregisterTaskDefinition": ("taskDefinition",),
    "GetLogEvents": ("events",),
    "FilterLogEvents": ("events", "nextToken"),
    "DescribeVpcs": ("Vpcs",),
    "DescribeSubnets": ("Subnets",),
    "GetParameter": ("Parameter",),
    "GetSecretValue": ("SecretString", "SecretBinary"),
}


def check_whole(operation: str, answer: Mapping[str, Any]) -> None:
    """Raise AwsError when an answer lacks what it always holds: nobody knows then whether the call took effect."""
    expected = _EXPECTED.get(operation.split(":", 1)[1])
    if expected is not None and not any(member in answer for member in expected):
        raise unusable(operation, heard())
    # Other operations may well answer nothing; but not a web page.
    if expected is None and len(answer) <= 1 and (raw := heard()) is not None and raw.body and raw.problem:
        raise unusable(operation, raw)


def unusable(operation: str, raw: Raw | None) -> AwsError:
    """Make the error of an answer that tells nothing, not even whether the call took effect."""
    if raw is None:
        return AwsError(f"{operation}: the answer {_LACKS}; {_NOBODY_KNOWS}.", operation=operation, kind=Kind.TRANSIENT)
    problem = raw.problem or (_LACKS if raw.request_id else f"is not AWS's (a proxy?): it {_LACKS}")
    request = f" (request {raw.request_id})" if raw.request_id else ""
    told = f"{operation}: the answer {problem}{request}; {_NOBODY_KNOWS}."
    if raw.status >= 300:
        from http.client import responses  # deferred: importing ecs_block stays quick

        phrase = responses.get(raw.status, "no status of HTTP's")
        told = f"{operation} failed with {raw.status} ({phrase}); the answer {problem}{request}."
    return AwsError(
        told,
        operation=operation,
        code=str(raw.status) if raw.status >= 300 else None,
        kind=Kind.THROTTLED if raw.status == 429 else Kind.TRANSIENT,
        request_id=raw.request_id,
    )
