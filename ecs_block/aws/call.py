"""The one `call` through which every request to AWS goes."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any

from ecs_block.aws.answers import check_whole, classify, refused_parameters, unanswered
from ecs_block.aws.clients import THREADS, client, forget
from ecs_block.aws.credentials import AwsCredentials
from ecs_block.aws.hidden import muted

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["THREADS", "Aws"]

_SECRET_ANSWERS = frozenset({"GetParameter", "GetSecretValue"})


class Aws:
    """AWS as one set of credentials sees it. All that the engine knows of boto3 is `call`; tests hand in a script instead."""

    def __init__(self, credentials: AwsCredentials) -> None:
        self.credentials = credentials
        self.key: tuple[Any, ...] = (os.getpid(), *credentials.identity())
        self._clients: dict[tuple[str, str | None], Any] = {}

    @cached_property
    def region(self) -> str:
        """The region of the ECS client."""
        return str(self._client("ecs", None).meta.region_name)

    @property
    def task_events_queue_url(self) -> str | None:
        """The queue of ECS's own events, if there is one."""
        return self.credentials.task_events_queue_url

    def _client(self, service: str, region: str | None) -> Any:
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
            answer = await (_in_asyncio(work) if _runs_asyncio() else _in_trio(work))
        return answer  # noqa: RET504  (to a type checker a scope may swallow what is raised in it)

    def _invoke(self, service: str, operation: str, region: str | None, params: dict[str, Any]) -> dict[str, Any]:
        import botocore.exceptions
        from botocore import xform_name

        name = f"{service}:{operation}"
        shared = self._client(service, region)
        try:
            with muted() if operation in _SECRET_ANSWERS else nullcontext():
                answer: dict[str, Any] = getattr(shared, xform_name(operation))(**params)
        except botocore.exceptions.ClientError as error:
            raise classify(name, error.response, params) from None
        except botocore.exceptions.ParamValidationError as error:
            raise refused_parameters(name, error) from None
        except Exception as error:
            raise unanswered(name, error) from None
        check_whole(name, answer)
        return answer


def _runs_asyncio() -> bool:
    import asyncio  # deferred, as in all of this file: importing ecs_block stays quick

    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


async def _in_trio(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    import anyio.to_thread

    variable = _limiter_variable()
    try:
        limiter = variable.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(THREADS)
        variable.set(limiter)
    return await anyio.to_thread.run_sync(work, limiter=limiter)


async def _in_asyncio(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Await work in a thread; its answer is not lost when asyncio itself cancels the task.

    A shield holds off cancel scopes, but not `asyncio.Task.cancel()` (`asyncio.timeout`, Ctrl-C under `asyncio.run`). Then
    the answer is waited for first, and the cancellation comes at the caller's next await.
    """
    import asyncio

    answer = asyncio.get_running_loop().run_in_executor(_threads(os.getpid()), work)
    cancelled = 0
    while not answer.done():
        try:
            await asyncio.shield(answer)
        except asyncio.CancelledError:
            cancelled += 1
        except Exception:  # the call's own, raised below
            break
    task = asyncio.current_task()
    for _ in range(cancelled if task is not None else 0):
        task.uncancel()  # type: ignore[union-attr]
        task.cancel()  # type: ignore[union-attr]
    return answer.result()


@cache
def _threads(process: int) -> ThreadPoolExecutor:
    """The worker threads of this process, for all its asyncio loops (after a fork, new ones)."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(THREADS, thread_name_prefix="ecs_block")


@cache
def _limiter_variable() -> Any:
    from anyio.lowlevel import RunVar

    return RunVar("ecs_block_calls")
