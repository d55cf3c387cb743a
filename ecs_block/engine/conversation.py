"""The two seams of the engine in one hand: AWS and the clock. With them, the one way to ask again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ecs_block.engine import pace
from ecs_block.engine.clock import Clock, backoff
from ecs_block.errors import AwsError, Kind

logger = logging.getLogger("ecs_block")

# Seconds for which a question that a run cannot go on without is asked again. A throttle passes; an endpoint that cannot
# be reached before anything was started may well be the wrong one, and is better told soon.
PATIENCE = {Kind.THROTTLED: 60.0, Kind.TRANSIENT: 10.0}


class Caller(Protocol):
    """What the engine asks of AWS; `ecs_block.aws.Aws` is one, a test's script another."""

    key: tuple[Any, ...]
    """Equal for two callers that see the same of AWS."""

    @property
    def region(self) -> str:
        """The region of ECS."""

    @property
    def endpoint(self) -> str:
        """The address of ECS."""

    @property
    def task_events_queue_url(self) -> str | None:
        """The queue of ECS's own events, if there is one."""

    async def call(self, service: str, operation: str, *, region: str | None = None, **params: Any) -> dict[str, Any]:
        """Send one request. Raises AwsError."""

    def forget(self, service: str) -> None:
        """Let go of what is only needed to call a service that is not needed again soon."""


@dataclass(frozen=True)
class Conversation:
    """A caller and a clock."""

    aws: Caller
    clock: Clock

    async def call(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        """Send one request, once, when AWS's limits allow it. Raises AwsError."""
        about = self.aws.key, params.get("region") or self.aws.region, operation, params, self.clock
        await pace.turn(*about)
        try:
            answer = await self.aws.call(service, operation, **params)
        except AwsError as error:
            if error.kind is Kind.THROTTLED:
                pace.throttled(*about)
            raise
        if answer.get("ResponseMetadata", {}).get("RetryAttempts"):
            pace.throttled(*about)  # botocore has most likely sat a throttle out
        return answer

    async def ask(
        self, service: str, operation: str, *, patience: float | None = None, **params: Any
    ) -> dict[str, Any]:
        """Send a request that may be sent again, and do so while AWS cannot answer: for `patience` seconds, if given."""
        asked_at = self.clock.now()
        attempt = 0
        while True:
            try:
                return await self.call(service, operation, **params)
            except AwsError as error:
                pause = backoff(attempt, self.clock, first=0.5, most=10.0)
                until = asked_at + (PATIENCE.get(error.kind, 0.0) if patience is None else patience)
                may_pass = error.kind in PATIENCE if patience is None else error.temporary
                if not may_pass or self.clock.now() + pause > until:
                    raise
                logger.debug("%s Asking again in %.1f s.", error, pause)
                await self.clock.sleep(pause)
                attempt += 1

    async def pages(self, service: str, operation: str, member: str, **params: Any) -> list[Mapping[str, Any]]:
        """Collect a list that AWS gives in pages (`nextToken` in ECS, `NextToken` in EC2)."""
        token_name = "NextToken" if service == "ec2" else "nextToken"
        found: list[Mapping[str, Any]] = []
        token = None
        while True:
            answer = await self.ask(service, operation, **params, **({token_name: token} if token else {}))
            found.extend(answer.get(member) or [])
            token = answer.get(token_name)
            if not token:
                return found
