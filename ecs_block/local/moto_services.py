"""Everything that is not ECS or CloudWatch Logs: moto, in this process, in an account of its own."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from dataclasses import replace
from typing import Any
from urllib.parse import unquote_to_bytes, urlencode
from xml.etree import ElementTree

from ecs_block.local.auth import Scope
from ecs_block.local.server import Reply, Request

# moto's own control pages act on the whole process, and so on other clouds in it.
_PRIVATE_PATHS = ("/moto-api", "/latest/")


class MotoServices:
    """Answer requests with moto; each service is imported when it is first asked for."""

    def __init__(self, account_id: str) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        self._account_id = account_id
        self._dispatch = DomainDispatcherApplication(create_backend_app)
        self._closing = threading.Event()

    def answer(self, request: Request, scope: Scope) -> Reply:
        """Answer a request that has been authenticated."""
        if request.path.startswith(_PRIVATE_PATHS):
            return Reply(404, b"not found")
        if request.headers.get("x-amz-target") == "AmazonSQS.ReceiveMessage":
            return self._receive(request)
        return self._forward(request)

    def _receive(self, request: Request) -> Reply:
        """Poll a queue for a second at a time, so that a long poll does not outlive the cloud."""
        try:
            params = json.loads(request.body)
            seconds = int(params.get("WaitTimeSeconds") or 0)
        except (ValueError, AttributeError, TypeError):
            return self._forward(request)
        if not 1 < seconds <= 20:
            return self._forward(request)
        short = replace(request, body=json.dumps({**params, "WaitTimeSeconds": 1}).encode())
        deadline = time.monotonic() + seconds
        while True:
            reply = self._forward(short)
            found = reply.status != 200 or b'"Messages"' in reply.body
            if found or self._closing.is_set() or time.monotonic() + 0.5 > deadline:
                return reply

    def close(self) -> None:
        """End long polls, and have moto forget this account: its memory, and the names of its buckets."""
        from moto.backends import get_backend

        self._closing.set()
        for service in list(self._dispatch.app_instances):
            backends: Any = get_backend(service)  # type: ignore[call-overload]
            if not isinstance(backends, dict):
                continue
            # moto keeps the account's dict in a cache of its own; what it holds can go.
            backends.pop(self._account_id, {}).clear()
            buckets: dict[str, tuple[str, str]] = getattr(backends, "bucket_accounts", {})
            for name in [name for name, owner in buckets.items() if owner[1] == self._account_id]:
                del buckets[name]

    def _forward(self, request: Request) -> Reply:
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], error: object = None) -> None:
            started[:] = status, headers

        chunks = self._dispatch(self._environ(request), start_response)
        body = b"".join(chunks)
        chunks.close()
        return Reply(int(started[0].split()[0]), body, list(started[1]))

    def ask(
        self, service: str, region: str, body: bytes = b"", content_type: str = "", target: str = "", path: str = "/"
    ) -> Reply:
        """Ask moto something on behalf of ECS itself: the same wire protocol, without a network in between."""
        scope = f"20200101/{region}/{service}/aws4_request"
        headers = {
            "host": "127.0.0.1:80",
            "content-type": content_type,
            # moto reads region and service from here
            "authorization": f"AWS4-HMAC-SHA256 Credential=ECS/{scope}, SignedHeaders=host",
            **({"x-amz-target": target} if target else {}),
        }
        request = Request("POST" if body else "GET", path, "", headers, body)
        return self.answer(request, Scope(region, service))

    def ask_json(self, service: str, region: str, target: str, params: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Ask a JSON service; return the status and the answer."""
        reply = self.ask(service, region, json.dumps(params).encode(), "application/x-amz-json-1.1", target)
        return reply.status, json.loads(reply.body or b"{}")

    def ask_query(self, service: str, region: str, params: dict[str, str]) -> tuple[int, ElementTree.Element]:
        """Ask a query service, EC2 say; names in the answer are without their namespace."""
        reply = self.ask(service, region, urlencode(params).encode(), "application/x-www-form-urlencoded")
        text = re.sub(rb' xmlns="[^"]*"', b"", reply.body)
        return reply.status, ElementTree.fromstring(text)  # noqa: S314  (moto made it, in this process)

    def _environ(self, request: Request) -> dict[str, Any]:
        host, _, port = request.headers.get("host", "127.0.0.1").partition(":")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            # WSGI wants the decoded bytes of the path, written as latin-1.
            "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
            "RAW_URI": request.path + (f"?{request.query}" if request.query else ""),
            "REQUEST_URI": request.path + (f"?{request.query}" if request.query else ""),
            "QUERY_STRING": request.query,
            "SERVER_NAME": host,
            "SERVER_PORT": port or "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(request.body),
            "wsgi.input_terminated": True,
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in request.headers.items():
            key = name.upper().replace("-", "_")
            if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                environ[key] = value
            elif key not in ("TRANSFER_ENCODING", "X_MOTO_ACCOUNT_ID"):
                environ[f"HTTP_{key}"] = value
        environ["CONTENT_LENGTH"] = str(len(request.body))
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = self._account_id
        return environ
