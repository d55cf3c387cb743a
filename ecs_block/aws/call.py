"""The one `call` through which every request to AWS goes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from ecs_block.aws import bodies, renewal
from ecs_block.aws.answers import classify
from ecs_block.aws.clients import THREADS, Shared, client, forget
from ecs_block.aws.credentials import AwsCredentials
from ecs_block.aws.hidden import muted
from ecs_block.aws.threads import in_a_thread
from ecs_block.aws.unanswered import refused_parameters, unanswered
from ecs_block.errors import AwsError, NoCredentials

if TYPE_CHECKING:
    pass

__all__ = ["THREADS", "Aws", "in_a_thread"]

T = TypeVar("T")

_SECRET_ANSWERS = frozenset({"GetParameter", "GetSecretValue"})


def _wall() -> datetime:
    return datetime.now(UTC)


class Aws:
    """AWS as one set of credentials sees it. All that the engine knows of boto3 is `call`; tests hand in a script instead."""

    def __init__(
        self,
        credentials: AwsCredentials,
        *,
        wall: Callable[[], datetime] = _wall,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.credentials = credentials
        self.key: tuple[Any, ...] = (os.getpid(), *credentials.identity())
        self._wall = wall
        self._now = now
        self._clients: dict[tuple[str, str | None], Shared] = {}
        self._accepted = False

    @cached_property
    def region(self) -> str:
        """The region of the ECS client."""
        return str(self._client("ecs", None).client.meta.region_name)

    @cached_property
    def endpoint(self) -> str:
        """The address of ECS."""
        return str(self._client("ecs", None).client.meta.endpoint_url)

    @property
    def task_events_queue_url(self) -> str | None:
        """The queue of ECS's own events, if there is one."""
        return self.credentials.task_events_queue_url

    def _client(self, service: str, region: str | None) -> Shared:
        """Give the shared client; kept here too, for the look-up costs more than the rest of a call."""
        key = service, region
        if key not in self._clients:
            self._clients[key] = client(self.credentials, service, region)
        return self._clients[key]

    def forget(self, service: str) -> None:
        """Let go of the clients of a service that is not needed again soon: EC2's model alone takes 20 MB."""
        for key in [key for key in self._clients if key[0] == service]:
            del self._clients[key]
            forget(self.credentials, *key)

    async def call(self, service: str, operation: str, *, region: str | None = None, **params: Any) -> dict[str, Any]:
        """Send one request and give its answer. Raises AwsError, with what it means in `kind`.

        The call runs in a worker thread and is not abandoned when the caller is cancelled: its answer, which may say that a
        task was started, is never lost.
        """
        import anyio

        work = partial(self._invoke, service, operation, region, params)
        answer: dict[str, Any] = {}
        with anyio.CancelScope(shield=True):
            answer = await in_a_thread(work)
        return answer  # noqa: RET504  (to a type checker a scope may swallow what is raised in it)

    def _invoke(self, service: str, operation: str, region: str | None, params: dict[str, Any]) -> dict[str, Any]:
        shared = self._client(service, region)
        sent_at = self._now()
        try:
            answer = self._sent(shared, service, operation, params)
        except NoCredentials as error:
            refused = error
        else:
            self._accepted = True
            return answer
        if not renewal.may_help(refused):
            raise refused
        renewed = renewal.renewed(self.credentials, service, region, shared, sent_at=sent_at, now=self._now())
        if renewed is None:
            raise self._explained(refused, shared)
        self._clients[service, region] = renewed
        try:
            return self._sent(renewed, service, operation, params)
        except NoCredentials as error:
            raise self._explained(error, renewed) from None

    def _explained(self, refused: NoCredentials, shared: Shared) -> NoCredentials:
        return renewal.explained(refused, self.credentials, shared.login, accepted_before=self._accepted)

    def _sent(self, shared: Shared, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """Send one request with one client. Raises AwsError."""
        from botocore import xform_name

        name = f"{service}:{operation}"
        bodies.begin()
        try:
            with muted() if operation in _SECRET_ANSWERS else nullcontext():
                answer: dict[str, Any] = getattr(shared.client, xform_name(operation))(**params)
            bodies.check_whole(name, answer)
        except AwsError:
            raise
        except Exception as error:
            raise self._failure(name, error, params) from None
        finally:
            bodies.begin()
        return answer

    def _failure(self, name: str, error: Exception, params: dict[str, Any]) -> AwsError:
        import botocore.exceptions

        if isinstance(error, botocore.exceptions.ParamValidationError):
            return refused_parameters(name, error)
        if not isinstance(error, botocore.exceptions.ClientError):
            return unanswered(name, error)
        if error.operation_name == name.split(":", 1)[1]:
            return classify(name, error.response, params, now=self._wall())
        return renewal.not_assumed(name, error, self._wall())
