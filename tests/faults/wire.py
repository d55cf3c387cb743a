"""The HTTP under the faults: requests in, requests on to the cloud, and answers out, whole or not.

Each connection has a thread, and a connection of its own to the cloud, so nothing here is shared between calls. Closing hangs
up on every client and joins every thread.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from urllib.parse import parse_qsl

# What belongs to one connection, and is not handed on. The host stays: it is signed.
_OF_A_CONNECTION = frozenset({"connection", "keep-alive", "expect", "transfer-encoding"})
_CLOUD_PATIENCE = 30.0  # seconds
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


@dataclass(frozen=True)
class Request:
    """One request, as it came."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @cached_property
    def lower_headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers}

    @property
    def is_query(self) -> bool:
        """True for the protocol of EC2 and STS: a form in, XML out."""
        return "urlencoded" in self.lower_headers.get("content-type", "")

    @cached_property
    def params(self) -> dict[str, Any]:
        if self.is_query:
            return dict(parse_qsl(self.body.decode()))
        return dict(json.loads(self.body or b"{}"))

    @cached_property
    def operation(self) -> str:
        """`RunTask`, by the target's header or the form's action; otherwise method and path."""
        target = self.lower_headers.get("x-amz-target")
        if target:
            return target.rpartition(".")[2]
        return str(self.params["Action"]) if self.is_query else f"{self.method} {self.path}"


@dataclass(frozen=True)
class Answer:
    """One answer. `length` is what Content-Length says, where that is not the truth."""

    status: int
    body: bytes
    content_type: str
    length: int | None = None
    request_id: str = ""
    date_off: float = 0.0
    """By how many seconds the Date is wrong, to whoever believes his own clock."""


class HangUp(Exception):
    """The connection ends here, without an answer: closed, or reset."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self.reset = reset


Forward = Callable[[Request], Answer]
Exchange = Callable[[Request, Forward, Callable[[Answer], None]], None]
"""Given a request, the way to the cloud, and the way back to the client."""


class Server(ThreadingMixIn, TCPServer):
    """Serves `exchange` on a free port of 127.0.0.1 until closed. `failures` holds what broke in itself."""

    daemon_threads = False
    block_on_close = True  # server_close() joins the threads
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, exchange: Exchange, cloud_port: int) -> None:
        self.exchange = exchange
        self.cloud_port = cloud_port
        self.failures: list[Exception] = []
        self.to_reset: set[socket.socket] = set()
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)
        self._accepting = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, name="faulty-endpoint"
        )
        self._accepting.start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:  # or close() could meet a file descriptor that is another's by now
            self._open.discard(request)
            if request in self.to_reset:  # without the FIN that an orderly end sends first
                self.to_reset.discard(request)
                self.close_request(request)
            else:
                super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep what a handler did not expect, for a test not to pass on it."""
        error = sys.exc_info()[1]
        if isinstance(error, Exception):
            self.failures.append(error)

    def close(self) -> None:
        self.shutdown()
        self._accepting.join()
        with self._guard:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one write for an answer
    server: Server

    def setup(self) -> None:
        super().setup()
        self._cloud = http.client.HTTPConnection("127.0.0.1", self.server.cloud_port, timeout=_CLOUD_PATIENCE)

    def finish(self) -> None:
        self._cloud.close()
        with contextlib.suppress(OSError):  # the client may be gone
            super().finish()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:  # the client went away: that is what many of these tests make it do
            self.close_connection = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path, tuple(self.headers.items()), body)
        try:
            self.server.exchange(request, self._forward, self._send)
        except HangUp as end:
            self._hang_up(reset=end.reset)

    do_GET = do_POST  # noqa: N815  (the name that http.server looks for)

    def _forward(self, request: Request) -> Answer:
        try:
            self._cloud.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers:
                if name.lower() not in _OF_A_CONNECTION:
                    self._cloud.putheader(name, value)
            self._cloud.endheaders(request.body)
            got = self._cloud.getresponse()
            return Answer(
                got.status,
                got.read(),
                got.headers.get("Content-Type", ""),
                request_id=got.headers.get("x-amzn-RequestId", ""),
            )
        except (OSError, http.client.HTTPException) as error:
            # No fault of this endpoint's making, so no test may take it for one.
            raise RuntimeError(f"the cloud did not answer {request.operation}") from error

    def _send(self, answer: Answer) -> None:
        lies = answer.length is not None and answer.length != len(answer.body)
        self.send_response_only(answer.status)
        self.send_header("Date", self.date_time_string(int(time.time() + answer.date_off)))
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
        if answer.request_id:
            self.send_header("x-amzn-RequestId", answer.request_id)
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()
        self.close_connection = self.close_connection or lies

    def _hang_up(self, *, reset: bool) -> None:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.server.to_reset.add(self.connection)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name that http.server gives it)
        """Say nothing: `FaultyEndpoint.log` tells more."""
