"""AWS as far as the wire goes: what botocore would receive is scripted, and its parser, its retries and our call are real."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ecs_block.aws import Aws, AwsCredentials

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
REQUEST = "7a1f0000-0000-4000-8000-00000000beef"
OURS = {"x-amzn-requestid": REQUEST, "Content-Type": "application/x-amz-json-1.1"}


def dated(seconds: float = 0.0) -> dict[str, str]:
    """The headers of an answer by a clock that is so many seconds ahead of this machine's."""
    return {"Date": format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)}


def refusal(code: str, message: str = "", **members: Any) -> dict[str, Any]:
    """An error as the JSON services word it."""
    return {"__type": f"com.amazonaws.ecs.v20141113#{code}", "message": message, **members}


def ec2_refusal(code: str, message: str) -> str:
    """An error as EC2 words it."""
    errors = f"<Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
    return f'<?xml version="1.0"?><Response>{errors}<RequestID>{REQUEST}</RequestID></Response>'


class _Body:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._body


class Wire:
    """An `Aws` whose requests are not sent: `answer` says what comes back."""

    def __init__(self) -> None:
        credentials = AwsCredentials(
            aws_access_key_id="AKIDWIRE",
            aws_secret_access_key="secret-of-the-wire",
            region_name="eu-central-1",
            botocore_config={"retries": {"total_max_attempts": 1}},
        )
        self.aws = Aws(credentials, wall=lambda: NOW)
        self._hooked: set[str] = set()
        self._next: Any = None

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        from botocore.awsrequest import AWSResponse

        text = json.dumps(body) if isinstance(body, dict) else body
        sent = text if isinstance(text, bytes) else text.encode()
        self._next = AWSResponse("https://aws.test/", status, {**dated(), **(headers or {})}, _Body(sent))

    def fail(self, error: Exception) -> None:
        self._next = error

    def call(self, operation: str, **params: Any) -> dict[str, Any]:
        service, name = operation.split(":")
        if service not in self._hooked:
            self._hooked.add(service)
            self.aws._client(service, None).client.meta.events.register("before-send", self._send)
        return self.aws._invoke(service, name, None, params)

    def _send(self, **_: Any) -> Any:
        if isinstance(self._next, Exception):
            raise self._next
        return self._next


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # with fewer, the kernel lets many at once wait a second


class Server:
    """An HTTP server of this machine that answers with what a function of the access key and the operation gives."""

    def __init__(self, answer: Callable[[str, str], tuple[int, Any]]) -> None:
        self.seen: list[tuple[str, str]] = []
        lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
                key = self.headers.get("Authorization", "=/").split("Credential=")[-1].split("/")[0]
                operation = self.headers.get("X-Amz-Target", asked).split(".")[-1]
                operation = "AssumeRole" if "Action=AssumeRole" in operation else operation
                with lock:
                    server.seen.append((key, operation))
                    status, body = answer(key, operation)
                said = (json.dumps(body) if isinstance(body, dict) else body).encode()
                self.send_response(status)
                self.send_header("x-amzn-requestid", REQUEST)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: Any) -> None:
                pass

        self._http = _Listener(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
