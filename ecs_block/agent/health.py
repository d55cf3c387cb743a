"""Whether the agent works, and what it does, over HTTP: `/api/health`, `/api/status`, and a page at `/`.

It only reads, and shows no command, environment or parameters. It listens on loopback unless told otherwise; then it answers
only to that machine's own names, so that a page of another site cannot read it by way of a browser.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from ecs_block.agent.page import page
from ecs_block.agent.view import View
from ecs_block.errors import InvalidTask

logger = logging.getLogger("ecs_block.agent")

DEFAULT_PORT = 8080
TIMEOUT = 10.0  # seconds for which a client may be silent
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
}


class StatusServer:
    """The server of one agent. `address` is `http://HOST:PORT`, or `HOST:PORT`; port 0 takes a free one."""

    def __init__(self, address: str, view: View) -> None:
        host, port = address_of(address)
        self._is_local = _is_loopback(host)
        if not self._is_local:
            logger.warning(
                "The status page listens on %s: whoever can reach this machine can read the names and outcomes of jobs.",
                host,
            )
        handler = type("Handler", (_Handler,), {"view": view, "is_local": self._is_local})
        try:
            self._server = _server_for(host)((host, port), handler)
        except OSError as error:
            raise InvalidTask(
                f"agent_address {address!r} cannot be listened on: {error.strerror or error}. Use another port, or "
                "port 0 for any."
            ) from None
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="ecs_block status", daemon=True
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        name = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{name}:{port}"

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


class _ServerOf6(_Server):
    address_family = socket.AF_INET6


def _server_for(host: str) -> type[_Server]:
    return _ServerOf6 if ":" in host else _Server


class _Handler(BaseHTTPRequestHandler):
    view: View
    is_local: bool
    timeout = TIMEOUT
    server_version = "ecs-block"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer."""
        if self.is_local and not _is_local_name(self.headers.get("Host", "")):
            self._answer(403, "application/json", b'{"error": "this page is only for the machine that it is on"}\n')
            return
        answer = _PATHS.get(urlsplit(self.path).path)
        if answer is None:
            self._answer(404, "application/json", b'{"error": "there are /, /api/health and /api/status"}\n')
        else:
            self._answer(*answer(self.view))

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing: health is asked for every few seconds."""


Answer = tuple[int, str, bytes]


def _health(view: View) -> Answer:
    healthy, reason = view.health()
    return 200 if healthy else 503, "application/json", _json({"healthy": healthy, "reason": reason})


def _status(view: View) -> Answer:
    return 200, "application/json", _json(view.snapshot())


def _page(view: View) -> Answer:
    return 200, "text/html; charset=utf-8", page(view.snapshot()).encode()


_PATHS: dict[str, Callable[[View], Answer]] = {"/": _page, "/api/health": _health, "/api/status": _status}


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


def address_of(text: str) -> tuple[str, int]:
    """Read `http://HOST:PORT` or `HOST:PORT`. Raises InvalidTask."""
    parts = urlsplit(text if "://" in text else f"http://{text}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme != "http" or not parts.hostname or port == -1 or parts.path.strip("/") or parts.query:
        raise InvalidTask(f"agent_address {text!r} is no address; write it as http://127.0.0.1:8080.")
    return parts.hostname, DEFAULT_PORT if port is None else port


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_local_name(header: str) -> bool:
    """Tell whether a Host header names this machine; without it, somebody else's name may lead here (DNS rebinding)."""
    try:
        host = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    return _is_loopback(host)
