"""LocalCloud: the AWS services that a task needs, on 127.0.0.1, for as long as the object lives."""

from __future__ import annotations

import os
import secrets
import threading
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ecs_block.local.auth import Key
from ecs_block.local.log_pages import Pager
from ecs_block.local.log_stream import Delay
from ecs_block.local.serving import Knobs, Serving
from ecs_block.local.task import STATES
from ecs_block.local.tasks import TaskRules
from ecs_block.local.trouble import CAPACITY, LaunchFailure, Throttles, Trouble

if TYPE_CHECKING:
    from ecs_block.aws import AwsCredentials

_MAINTENANCE = "ECS is performing maintenance on the underlying infrastructure hosting the task."
_INTERRUPTIONS = {
    "spot": ("SpotInterruption", "Your Spot Task was interrupted."),
    "host": ("TerminationNotice", "Host EC2 (instance i-{}) terminated."),
    "retirement": ("TerminationNotice", _MAINTENANCE),
}


class LocalCloud:
    """ECS on this machine. Use it as a context manager, or call ``start`` and ``stop``.

    Tasks really run, as processes of this machine, with the rights of the user who started the cloud. Every request
    must be signed with the cloud's own random key; it listens on 127.0.0.1 only.

    Args:
        region: the region of ``credentials`` and ``environment``. Requests for other regions are served too.
        state_seconds: how long a task stays in each state before and after RUNNING; one for all, or for each.
        execute: False for containers that only take time, see ``ecs_block.local.pretend``.
        directory: working directory of tasks whose container has none; unset: that of this process at the start.
        log_delay: seconds until a log event becomes visible, or a callable that is given the event and returns them.
        log_page_events: largest number of events in a page of logs.
        log_empty_pages: each nth page of log events comes empty, with a token that goes on (2 or more; 0: none).
        shuffle: give lists of definitions back in another order, as AWS may.
        stopped_task_retention: seconds for which a stopped task can be described.
        missing_seconds: seconds for which a new task is MISSING to DescribeTasks and ListTasks.
        container_instances: False for a cluster without instances: tasks of launch type EC2 and EXTERNAL are refused.
        throttles: True to hold AWS's documented request limits.
    """

    def __init__(
        self,
        *,
        region: str = "us-east-1",
        state_seconds: float | Mapping[str, float] = 0.02,
        execute: bool = True,
        directory: str | None = None,
        log_delay: Delay = 0.0,
        log_page_events: int = 10_000,
        log_empty_pages: int = 0,
        shuffle: bool = False,
        stopped_task_retention: float = 3600.0,
        missing_seconds: float = 0.0,
        container_instances: bool = True,
        throttles: bool = False,
    ) -> None:
        self._check(state_seconds, log_empty_pages, directory)
        self.region = region
        self.account_id = str(secrets.randbelow(9 * 10**11) + 10**11)
        self._trouble = Trouble()
        self._knobs = Knobs(
            account_id=self.account_id,
            key=Key(),
            state_seconds=state_seconds,
            execute=execute,
            directory=directory or os.getcwd(),
            log_delay=log_delay,
            pager=Pager(min(log_page_events, 10_000), log_empty_pages),
            shuffle=shuffle,
            rules=TaskRules(container_instances, stopped_task_retention, missing_seconds, log_delay == 0.0),
            throttles=Throttles() if throttles else None,
            trouble=self._trouble,
        )
        self._lifecycle = threading.Lock()
        self._running: Serving | None = None
        self._calls: Counter[str] = Counter()

    @staticmethod
    def _check(state_seconds: float | Mapping[str, float], log_empty_pages: int, directory: str | None) -> None:
        unknown = set(state_seconds) - set(STATES) if isinstance(state_seconds, Mapping) else set()
        if unknown:
            names = ", ".join(sorted(unknown))
            raise ValueError(f"state_seconds: no such state: {names}; there are {', '.join(STATES)}")
        if log_empty_pages == 1 or log_empty_pages < 0:
            raise ValueError("log_empty_pages: 0 for none, or 2 and more; with 1 nothing could ever be read")
        if directory is not None and not os.path.isdir(directory):
            raise ValueError(f"directory: there is no directory {directory}")

    # --- start and stop

    def start(self) -> Self:
        """Start serving; does nothing if it serves already."""
        with self._lifecycle:
            if self._running is None:
                self._running = Serving(self._knobs, self._calls)
        return self

    def stop(self) -> None:
        """End all tasks and their processes, and stop serving; does nothing if it is stopped."""
        with self._lifecycle:
            running, self._running = self._running, None
            if running is not None:
                running.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # --- how to reach it

    @property
    def endpoint_url(self) -> str:
        """The address for ``endpoint_url`` of any AWS client."""
        return self._serving.endpoint_url

    @property
    def credentials(self) -> AwsCredentials:
        """The credentials with which ``ECSTask`` talks to this cloud."""
        from ecs_block.aws import AwsCredentials

        return AwsCredentials(
            aws_access_key_id=self._knobs.key.access_key_id,
            aws_secret_access_key=self._knobs.key.secret_access_key,
            region_name=self.region,
            endpoint_url=self.endpoint_url,
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead any AWS client to this cloud."""
        return self._serving.environment(self.region)

    def client(self, service: str, region: str | None = None) -> Any:
        """Make a boto3 client of this cloud, whatever the environment and the config files say."""
        import boto3
        from botocore.config import Config
        from botocore.session import Session

        # A profile or a config file of the user has no say here.
        variables = {"profile": (None, None, None, None), "config_file": (None, None, os.devnull, None)}
        return boto3.session.Session(botocore_session=Session(variables)).client(
            service,  # type: ignore[call-overload]
            region_name=region or self.region,
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self._knobs.key.access_key_id,
            aws_secret_access_key=self._knobs.key.secret_access_key,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": 1},
                proxies={},
                max_pool_connections=50,
            ),
        )

    # --- what happened

    @property
    def calls(self) -> Counter[str]:
        """How often each operation was called, as ``{"ecs:RunTask": 1}``; may be cleared."""
        return self._calls

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """All tasks as DescribeTasks shows them, oldest first."""
        found = [task for region in self._serving.ecs.regions() for task in region.tasks.all()]
        shown = [{**task.snapshot(), "tags": task.tags} for task in found]
        return sorted(shown, key=lambda task: float(task["createdAt"]))

    # --- trouble

    def fail_next_launches(
        self,
        times: int = 1,
        reason: str = CAPACITY,
        *,
        arn: str | None = None,
        exception: str | None = None,
        spot_only: bool = False,
    ) -> None:
        """Let the next launches fail: each with an item in ``failures``, or a call with the error ``exception``."""
        self._trouble.plan_launch(LaunchFailure(times, reason, arn, exception, spot_only))

    def fail_next_start(self, reason: str, times: int = 1) -> None:
        """Let the next tasks stop before they run, with ``TaskFailedToStart`` and this reason."""
        self._trouble.plan_start(reason, times)

    def throttle(self, operation: str, times: int = 1) -> None:
        """Answer the next calls of an operation (``"RunTask"``, ``"logs:GetLogEvents"``) with ThrottlingException."""
        self._trouble.plan_throttle(operation if ":" in operation else f"ecs:{operation}", times)

    def interrupt(self, task: str, kind: str = "spot") -> None:
        """Take the ground from under a task (ARN or id): ``spot``, ``host`` (no exit codes) or ``retirement``."""
        stop_code, reason = _INTERRUPTIONS[kind]
        for region in self._serving.ecs.regions():
            found = region.tasks.by_arn(task)
            if found is not None:
                region.finish(found, stop_code, reason.format(found.id[:17]), host_lost=kind == "host")
                return
        raise LookupError(f"no such task: {task}")

    # --- inside

    @property
    def _serving(self) -> Serving:
        if self._running is None:
            raise RuntimeError("this LocalCloud is not running: use `with LocalCloud() as cloud:`, or call start()")
        return self._running
