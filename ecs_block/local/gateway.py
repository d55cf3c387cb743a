"""The front door: every request is authenticated, counted, and handed to the service that it is for."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from ecs_block.local.auth import Gate, Scope, request_id
from ecs_block.local.faults import ServiceError
from ecs_block.local.server import Reply, Request

logger = logging.getLogger("ecs_block.local")

_LOOPBACK = re.compile(r"(127(\.\d{1,3}){3}|localhost|[\w.-]+\.localhost)(:\d+)?\Z", re.IGNORECASE)
_TARGETS = {"AmazonEC2ContainerServiceV20141113": "ecs", "Logs_20140328": "logs"}
# The codes of JSON services, as S3 and the query services call them, with their status.
_XML_CODES = {
    "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 403),
    "UnrecognizedClientException": ("InvalidClientTokenId", 403),
    "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
    "IncompleteSignatureException": ("IncompleteSignature", 400),
}
_S3_CODES = {
    "MissingAuthenticationTokenException": ("AccessDenied", 403),
    "UnrecognizedClientException": ("InvalidAccessKeyId", 403),
    "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
}


class JsonService(Protocol):
    """A service that is ours: takes an operation's parameters, gives its answer."""

    def call(self, operation: str, params: dict[str, Any], region: str) -> dict[str, Any]:
        """Answer an operation in a region."""


class Gateway:
    """Answer requests for one cloud."""

    def __init__(
        self,
        gate: Gate,
        services: Mapping[str, JsonService],
        others: Callable[[Request, Scope], Reply],
        before: Callable[[str], None],
        calls: Counter[str],
        open_pages: Mapping[str, Callable[[str], Reply]],
    ) -> None:
        self._gate = gate
        self._services = services
        self._others = others
        self._before = before
        self._counting = threading.Lock()
        self._calls = calls
        self._open_pages = open_pages

    def answer(self, request: Request) -> Reply:
        """Answer one request; never raises."""
        try:
            return self._route(request)
        except ServiceError as fault:
            return _fault_reply(request, fault)
        except Exception as error:
            logger.exception("LocalCloud failed at %s", request.headers.get("x-amz-target", request.path))
            return _fault_reply(request, ServiceError("ServerException", f"{type(error).__name__}: {error}", 500))

    def _route(self, request: Request) -> Reply:
        if not _LOOPBACK.match(request.headers.get("host", "127.0.0.1")):
            # A page in a browser that rebinds its name to 127.0.0.1 still sends its own name here.
            return Reply(421, b"this server answers to loopback names only")
        # Pages that a task reads without a signature; their paths are secret.
        for prefix, page in self._open_pages.items():
            if request.path.startswith(prefix):
                return page(request.path)
        scope = self._gate.check(request)
        prefix, _, operation = request.headers.get("x-amz-target", "").partition(".")
        service = _TARGETS.get(prefix)
        name = f"{service or scope.service}:{operation or _operation(request)}"
        with self._counting:
            self._calls[name] += 1
        self._before(name)
        if service is None:
            return self._others(request, scope)
        answer = self._services[service].call(operation, _json_body(request), scope.region)
        return _json_reply(200, answer)


def _json_body(request: Request) -> dict[str, Any]:
    try:
        params = json.loads(request.body or b"{}")
    except ValueError:
        raise ServiceError("SerializationException", "The body of the request is not JSON.") from None
    if not isinstance(params, dict):
        raise ServiceError("SerializationException", "Start of structure or map expected.")
    return params


def _operation(request: Request) -> str:
    text = request.body.decode("latin-1") if "urlencoded" in request.headers.get("content-type", "") else request.query
    action = parse_qs(text).get("Action")
    return action[0] if action else request.method


def _json_reply(status: int, answer: dict[str, Any]) -> Reply:
    headers = [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-RequestId", request_id())]
    return Reply(status, json.dumps(answer, separators=(",", ":")).encode(), headers)


def _fault_reply(request: Request, fault: ServiceError) -> Reply:
    if "x-amz-target" in request.headers or "json" in request.headers.get("content-type", ""):
        return _json_reply(fault.status, fault.body())
    signature = request.headers.get("authorization", "") + request.query.replace("%2F", "/")
    scope = re.search(r"/([\w-]+)/aws4_request", signature)
    service = scope.group(1) if scope else "s3"
    if service == "s3":
        code, status = _S3_CODES.get(fault.code, (fault.code, fault.status))
        body = f"<Error><Code>{code}</Code><Message>{escape(fault.message)}</Message></Error>"
    elif service == "ec2":
        status = 401 if fault.code in _XML_CODES else fault.status
        code = "AuthFailure" if status == 401 else fault.code
        body = f"<Error><Code>{code}</Code><Message>{escape(fault.message)}</Message></Error>"
        body = f"<Response><Errors>{body}</Errors><RequestID>{request_id()}</RequestID></Response>"
    else:
        code, status = _XML_CODES.get(fault.code, (fault.code, fault.status))
        body = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(fault.message)}</Message></Error>"
        body = f"<ErrorResponse>{body}<RequestId>{request_id()}</RequestId></ErrorResponse>"
    return Reply(status, f'<?xml version="1.0" encoding="UTF-8"?>{body}'.encode(), [("Content-Type", "text/xml")])
