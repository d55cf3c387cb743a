"""What can happen to a call on its way. `after` says that the cloud has acted already when it happens."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from faults.wire import Answer, HangUp, Request

JSON = "application/x-amz-json-1.1"
PAGE = (
    b'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>Welcome</title></head><body>Log in.<br></body></html>'
)


@dataclass(frozen=True)
class Call:
    """A call that meets a fault: the request, what can be done with it, and what was answered to the same one before."""

    request: Request
    forward: Callable[[], Answer]
    earlier: Callable[[], list[Answer]]
    wait: Callable[[float | None], bool]
    """Wait some seconds (None: until released), but not beyond the endpoint's end; True when released or ended."""
    overtaken: Callable[[float], bool]
    """Wait until a later call of the operation was answered; False when the patience is over first."""


class Fault:
    """Something that happens to a call."""

    def meet(self, call: Call) -> Answer:
        """Give the answer that the client gets. Raises HangUp where it gets none."""
        raise NotImplementedError


@dataclass(frozen=True)
class Delay(Fault):
    """The request reaches the cloud late."""

    seconds: float

    def meet(self, call: Call) -> Answer:
        call.wait(self.seconds)
        return call.forward()


@dataclass(frozen=True)
class Meanwhile(Fault):
    """Something else is done first; the call itself goes through."""

    work: Callable[[], object]

    def meet(self, call: Call) -> Answer:
        self.work()
        return call.forward()


@dataclass(frozen=True)
class _Instead(Fault):
    """What the client gets instead of the cloud's answer; the cloud is not asked at all, unless `after`."""

    after: bool = field(default=False, kw_only=True)

    def meet(self, call: Call) -> Answer:
        if self.after:
            call.forward()
        return self.instead(call)

    def instead(self, call: Call) -> Answer:
        raise NotImplementedError


@dataclass(frozen=True)
class Drop(_Instead):
    """The connection is closed (or reset) without an answer."""

    reset: bool = field(default=False, kw_only=True)

    def instead(self, call: Call) -> Answer:
        raise HangUp(reset=self.reset)


@dataclass(frozen=True)
class Hang(_Instead):
    """No answer comes, and the connection stays open, until `release()` or the endpoint's end."""

    def instead(self, call: Call) -> Answer:
        call.wait(None)
        raise HangUp


@dataclass(frozen=True)
class Html(_Instead):
    """A proxy answers with a page of its own."""

    status: int = 200

    def instead(self, call: Call) -> Answer:
        return Answer(self.status, PAGE, "text/html")


@dataclass(frozen=True)
class Status(_Instead):
    """An answer with this status and hardly a body, as from a load balancer."""

    status: int = 500

    def instead(self, call: Call) -> Answer:
        return Answer(self.status, b"", "text/plain")


@dataclass(frozen=True)
class Error(_Instead):
    """AWS refuses, in the words of the protocol that was spoken to it."""

    code: str
    message: str = ""
    status: int = 400
    date_off: float = 0.0
    """How far AWS's clock is from ours (seconds)."""

    def instead(self, call: Call) -> Answer:
        if call.request.is_query:
            body = f"<Code>{self.code}</Code><Message>{self.message}</Message>"
            body = f"<Response><Errors><Error>{body}</Error></Errors><RequestID>made-up</RequestID></Response>"
            return Answer(self.status, body.encode(), "text/xml", date_off=self.date_off)
        body = json.dumps({"__type": self.code, "message": self.message})
        return Answer(self.status, body.encode(), JSON, request_id="made-up", date_off=self.date_off)


def throttled(*, after: bool = False) -> Error:
    """What AWS says to too many requests."""
    return Error("ThrottlingException", "Rate exceeded", after=after)


@dataclass(frozen=True)
class Truncate(Fault):
    """The cloud acts, and a part of its answer arrives: the first `keep` of the body, or `to`.

    Content-Length fits what arrives, as from a proxy that was cut off itself; unless `honest=False`: then it announces the
    whole, and the connection ends early.
    """

    keep: float = 0.5
    to: bytes | None = None
    honest: bool = True

    def meet(self, call: Call) -> Answer:
        whole = call.forward()
        body = whole.body[: int(len(whole.body) * self.keep)] if self.to is None else self.to
        return replace(whole, body=body, length=None if self.honest else len(whole.body))


@dataclass(frozen=True)
class Duplicate(Fault):
    """The cloud gets the request twice; the client gets the second answer."""

    def meet(self, call: Call) -> Answer:
        call.forward()
        return call.forward()


@dataclass(frozen=True)
class OldCopy(Fault):
    """The client gets what the same request was answered `back` calls earlier; if there is no such, the true answer."""

    back: int = 1

    def meet(self, call: Call) -> Answer:
        earlier = call.earlier()
        now = call.forward()
        return earlier[-self.back] if len(earlier) >= self.back else now


@dataclass(frozen=True)
class Overtaken(Fault):
    """The answer is held until one to a later call of the operation has gone out, or `patience` is over (seconds)."""

    patience: float = 1.0

    def meet(self, call: Call) -> Answer:
        answer = call.forward()
        call.overtaken(self.patience)
        return answer


class Bucket(Fault):
    """A token bucket: `burst` calls, then `rate` a second; the others are throttled. `refused` counts those."""

    def __init__(self, burst: float, rate: float, refusal: Fault | None = None) -> None:
        self.refused = 0
        self._burst, self._rate, self._left = burst, rate, burst
        self._refusal = refusal or throttled()
        self._at = time.monotonic()
        self._lock = threading.Lock()

    def meet(self, call: Call) -> Answer:
        return call.forward() if self._take() else self._refusal.meet(call)

    def _take(self) -> bool:
        with self._lock:
            now = time.monotonic()
            self._left = min(self._burst, self._left + (now - self._at) * self._rate)
            self._at = now
            if self._left < 1:
                self.refused += 1
                return False
            self._left -= 1
            return True


def name_of(fault: Fault | None) -> str | None:
    """`Drop`, or None."""
    return None if fault is None else type(fault).__name__
