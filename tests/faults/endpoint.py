"""The endpoint itself: which call meets which fault, and what went over the wire."""

from __future__ import annotations

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import SecretStr

from ecs_block import AwsCredentials
from ecs_block.local import LocalCloud
from faults.kinds import Call, Fault, name_of
from faults.wire import Answer, Forward, Request, Server

SHORT = {"connect_timeout": 1, "read_timeout": 2}  # seconds


@dataclass
class Seen:
    """One call that came: what it asked, what happened to it, and how often the cloud got to see it."""

    operation: str
    number: int
    """Which call of its operation it was, from 1."""
    fault: str | None
    headers: dict[str, str] = field(repr=False)
    body: dict[str, Any] = field(repr=False)
    forwarded: int = 0
    status: int | None = None
    """What the client was answered; None: nothing (yet)."""
    answer: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class _Rule:
    operation: str
    calls: Container[int] | None
    when: Callable[[Seen], bool]
    fault: Fault

    def applies(self, seen: Seen) -> bool:
        counts = self.calls is None or seen.number in self.calls
        return seen.operation == self.operation and counts and self.when(seen)


class FaultyEndpoint:
    """Stands between boto3 and a running LocalCloud. Use it as a context manager; what it started ends with it."""

    def __init__(self, cloud: LocalCloud, seed: int = 0, **botocore: Any) -> None:
        self.log: list[Seen] = []
        self._cloud = cloud
        self._seed = seed
        self._botocore = {**SHORT, **botocore}
        self._rules: list[_Rule] = []
        self._chances: list[tuple[float, tuple[Fault, ...], frozenset[str] | None]] = []
        self._numbers: Counter[str] = Counter()
        self._answers: dict[tuple[str, bytes], list[Answer]] = defaultdict(list)
        self._changed = threading.Condition()
        self._sent: Counter[str] = Counter()  # the highest number of each operation that was answered
        self._released = threading.Event()
        self._ended = threading.Event()
        self._server: Server | None = None

    def __enter__(self) -> Self:
        cloud = urlsplit(self._cloud.endpoint_url)
        self._server = Server(self._exchange, int(cloud.port or 0))
        self.endpoint_url = f"http://127.0.0.1:{self._server.port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        server, self._server = self._server, None
        assert server is not None
        self._ended.set()
        self.release()
        with self._changed:
            self._changed.notify_all()
        server.close()
        if server.failures and error is None:  # or a test would pass on a fault that nobody ordered
            raise ExceptionGroup("the fault endpoint itself broke", server.failures)

    # --- what is to happen

    def on(
        self,
        operation: str,
        fault: Fault,
        call: int | Container[int] | None = 1,
        when: Callable[[Seen], bool] = lambda seen: True,
    ) -> None:
        """Let a fault happen to the n-th call of an operation, to several, or to each (None). The first rule that fits counts.

        Calls are those on the wire: what botocore sends again by itself is counted too.
        """
        self._rules.append(_Rule(operation, {call} if isinstance(call, int) else call, when, fault))

    def sometimes(self, probability: float, faults: Sequence[Fault], operations: Iterable[str] | None = None) -> None:
        """Let one of the faults happen with a probability. Which call it is follows from the seed, not from threads' haste."""
        self._chances.append((probability, tuple(faults), None if operations is None else frozenset(operations)))

    def release(self) -> None:
        """End every `Hang`, those to come too."""
        self._released.set()

    # --- how to reach it

    @property
    def credentials(self) -> AwsCredentials:
        """The cloud's credentials, with this endpoint and short timeouts."""
        return AwsCredentials(
            **{**dict(self._cloud.credentials), "endpoint_url": self.endpoint_url, "botocore_config": self._botocore}
        )

    def client(self, service: str, attempts: int = 1) -> Any:
        """Make a boto3 client of this endpoint. It is the caller's to close."""
        from botocore.config import Config

        given = self._cloud.credentials
        assert isinstance(given.aws_access_key_id, SecretStr)
        assert isinstance(given.aws_secret_access_key, SecretStr)
        return _session().client(
            service,
            region_name=given.region_name,
            endpoint_url=self.endpoint_url,
            aws_access_key_id=given.aws_access_key_id.get_secret_value(),
            aws_secret_access_key=given.aws_secret_access_key.get_secret_value(),
            config=Config(retries={"mode": "standard", "total_max_attempts": attempts}, proxies={}, **self._botocore),
        )

    # --- what happened

    def calls(self, operation: str) -> list[Seen]:
        """The calls of an operation, in the order in which they came."""
        return [seen for seen in list(self.log) if seen.operation == operation]

    def requests(self, operation: str) -> list[dict[str, Any]]:
        """What the calls of an operation asked."""
        return [seen.body for seen in self.calls(operation)]

    def happened(self) -> Counter[str]:
        """How often each fault happened."""
        return Counter(seen.fault for seen in list(self.log) if seen.fault is not None)

    def wait_for(self, operation: str, number: int = 1, patience: float = 10.0) -> None:
        """Wait until the n-th call of an operation has come. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._numbers[operation] >= number, patience):
                raise TimeoutError(f"no call {number} of {operation} within {patience} s")

    # --- inside

    def _exchange(self, request: Request, forward: Forward, send: Callable[[Answer], None]) -> None:
        seen, fault = self._enter(request)

        def on_to_the_cloud() -> Answer:
            answer = forward(request)
            with self._changed:
                seen.forwarded += 1
                self._answers[request.operation, request.body].append(answer)
            return answer

        def earlier() -> list[Answer]:
            with self._changed:
                return list(self._answers[request.operation, request.body])

        call = Call(request, on_to_the_cloud, earlier, self._wait, partial(self._overtaken, seen))
        answer = on_to_the_cloud() if fault is None else fault.meet(call)
        seen.status, seen.answer = answer.status, answer.body
        send(answer)
        with self._changed:
            self._sent[seen.operation] = max(self._sent[seen.operation], seen.number)
            self._changed.notify_all()

    def _enter(self, request: Request) -> tuple[Seen, Fault | None]:
        with self._changed:
            self._numbers[request.operation] += 1
            number = self._numbers[request.operation]
            seen = Seen(request.operation, number, None, request.lower_headers, request.params)
            fault = next((rule.fault for rule in self._rules if rule.applies(seen)), None) or self._by_chance(seen)
            seen.fault = name_of(fault)
            self.log.append(seen)
            self._changed.notify_all()
            return seen, fault

    def _by_chance(self, seen: Seen) -> Fault | None:
        for place, (probability, faults, operations) in enumerate(self._chances):
            if operations is None or seen.operation in operations:
                dice = random.Random(f"{self._seed}/{place}/{seen.operation}/{seen.number}")
                if dice.random() < probability:
                    return dice.choice(faults)
        return None

    def _wait(self, seconds: float | None) -> bool:
        return (self._released if seconds is None else self._ended).wait(seconds)

    def _overtaken(self, seen: Seen, patience: float) -> bool:
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended.is_set() or self._sent[seen.operation] > seen.number, timeout=patience
            )
            return self._sent[seen.operation] > seen.number


@cache
def _session() -> Any:
    """One for all tests: to read the models anew would take most of a test's time."""
    import boto3

    return boto3.session.Session()
