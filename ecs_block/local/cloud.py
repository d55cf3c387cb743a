"""LocalCloud: the AWS services that a task needs, on 127.0.0.1, for as long as the object lives."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ecs_block.local.auth import Gate, Key
from ecs_block.local.ecs import Ecs, Region
from ecs_block.local.environment import HostEnvironment
from ecs_block.local.events import LoopThread
from ecs_block.local.gateway import Gateway
from ecs_block.local.lifecycle import Surroundings
from ecs_block.local.log_pages import Pager
from ecs_block.local.log_stream import Delay
from ecs_block.local.logs import Logs
from ecs_block.local.metadata import PREFIX, Metadata
from ecs_block.local.pretend import Pretences
from ecs_block.local.processes import Launcher, Processes
from ecs_block.local.server import Server
from ecs_block.local.task import STATES, Container, Task
from ecs_block.local.task_secrets import TaskSecrets
from ecs_block.local.tasks import TaskRules
from ecs_block.local.trouble import CAPACITY, LaunchFailure, Throttles, Trouble

if TYPE_CHECKING:
    from ecs_block.aws import AwsCredentials
    from ecs_block.local.moto_services import MotoServices

logger = logging.getLogger("ecs_block.local")

_STATE_SECONDS = 0.02
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
        state_seconds: float | Mapping[str, float] = _STATE_SECONDS,
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
        self._key = Key()
        self._state_seconds = state_seconds
        self._execute = execute
        self._directory = directory or os.getcwd()
        self._log_delay = log_delay
        self._pager = Pager(min(log_page_events, 10_000), log_empty_pages)
        self._shuffle = shuffle
        self._rules = TaskRules(container_instances, stopped_task_retention, missing_seconds)
        self._throttles = Throttles() if throttles else None
        self._trouble = Trouble()
        self._lifecycle = threading.Lock()
        self._running: _Running | None = None
        self._warned = False
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
                self._running = _Running(self)
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
        return self._serving.endpoint_url

    @property
    def credentials(self) -> AwsCredentials:
        """The credentials with which ``ECSTask`` talks to this cloud."""
        from ecs_block.aws import AwsCredentials

        return AwsCredentials(
            aws_access_key_id=self._key.access_key_id,
            aws_secret_access_key=self._key.secret_access_key,
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
            aws_access_key_id=self._key.access_key_id,
            aws_secret_access_key=self._key.secret_access_key,
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
        return [{**task.snapshot(), "tags": task.tags} for task in found]

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
    def _serving(self) -> _Running:
        if self._running is None:
            raise RuntimeError("this LocalCloud is not running: use `with LocalCloud() as cloud:`, or call start()")
        return self._running

    def _check_call(self, name: str) -> None:
        self._trouble.check(name)
        if self._throttles:
            self._throttles.check(name)

    def _seconds(self, state: str) -> float:
        if isinstance(self._state_seconds, Mapping):
            return self._state_seconds.get(state, _STATE_SECONDS)
        return self._state_seconds

    def _warn_once(self, task: Task) -> None:
        if not self._warned and self._execute:
            self._warned = True
            images = ", ".join(dict.fromkeys(container.definition["image"] for container in task.containers))
            logger.warning(
                "LocalCloud does not pull images: %s is not used, the command runs as a process of this machine.",
                images,
            )


class _Running:
    """The moving parts of a cloud that serves."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._moto = _moto_services(cloud.account_id)
        self._host = HostEnvironment()
        self.loop = LoopThread("local-cloud-tasks")
        self._launcher: Launcher = (Processes if cloud._execute else Pretences)(self.loop.loop)
        self.logs = Logs(cloud.account_id, cloud._log_delay, cloud._pager)
        self.ecs = Ecs(self._region)
        self._metadata = Metadata()
        self.gateway = Gateway(
            Gate(cloud._key),
            {"ecs": self.ecs, "logs": self.logs},
            self._moto.answer,
            cloud._check_call,
            cloud._calls,
            {PREFIX: self._metadata.answer},
        )
        self.server = Server(self.gateway.answer)
        self.endpoint_url = f"http://127.0.0.1:{self.server.port}"

    def environment(self, region: str) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self._cloud._key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self._cloud._key.secret_access_key,
            "AWS_DEFAULT_REGION": region,
            "AWS_REGION": region,
            "AWS_ENDPOINT_URL": self.endpoint_url,
        }

    def _region(self, name: str) -> Region:
        cloud = self._cloud
        return Region(
            cloud.account_id,
            name,
            self._moto,
            cloud._rules,
            cloud._trouble,
            cloud._shuffle,
            cloud._throttles.check if cloud._throttles else lambda name: None,
            self._surroundings,
        )

    def _surroundings(self, region: str, lock: threading.RLock, gone: Callable[[Task], None]) -> Surroundings:
        cloud = self._cloud
        return Surroundings(
            lock=lock,
            loop=self.loop,
            launcher=self._launcher,
            stores=self.logs.store,
            secrets=TaskSecrets(self._moto, region),
            trouble=cloud._trouble,
            variables=lambda task, container: self._variables(task, container, region),
            directory=cloud._directory,
            seconds=cloud._seconds,
            before_first_run=cloud._warn_once,
            gone=[gone, self._metadata.forget],
        )

    def _variables(self, task: Task, container: Container, region: str) -> dict[str, str]:
        """Return what every container finds: a little of this machine, what ECS gives, and the way to this cloud."""
        kind = "FARGATE" if task.on_fargate else "EC2"
        own = {
            "AWS_EXECUTION_ENV": f"AWS_ECS_{kind}",
            "ECS_CONTAINER_METADATA_URI_V4": self.endpoint_url + self._metadata.add(task, container),
        }
        return {**self._host.variables, **own, **self.environment(region)}

    def close(self) -> None:
        self._moto.close()
        self.server.close()
        self.loop.wait_for(self._end())
        self.loop.close()
        self._host.close()

    async def _end(self) -> None:
        await self.loop.cancel_all()
        await self._launcher.close()


def _moto_services(account_id: str) -> MotoServices:
    try:
        from ecs_block.local.moto_services import MotoServices

        return MotoServices(account_id)
    except ImportError as error:
        hint = "install them with: pip install 'ecs_block[local]'"
        raise ImportError(f"LocalCloud needs moto and flask ({error}); {hint}") from error
