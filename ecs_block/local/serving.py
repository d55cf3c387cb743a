"""The moving parts of a LocalCloud while it serves, and how they are put together."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from ecs_block.local.task import Container, Task
from ecs_block.local.task_secrets import TaskSecrets
from ecs_block.local.tasks import TaskRules
from ecs_block.local.trouble import Throttles, Trouble

if TYPE_CHECKING:
    from ecs_block.local.moto_services import MotoServices

logger = logging.getLogger("ecs_block.local")

_STATE_SECONDS = 0.02


@dataclass(frozen=True)
class Knobs:
    """What a cloud was made with."""

    account_id: str
    key: Key
    state_seconds: float | Mapping[str, float]
    execute: bool
    directory: str
    log_delay: Delay
    pager: Pager
    shuffle: bool
    rules: TaskRules
    throttles: Throttles | None
    trouble: Trouble

    def seconds(self, state: str) -> float:
        """Return how long a task stays in a state."""
        if isinstance(self.state_seconds, Mapping):
            return self.state_seconds.get(state, _STATE_SECONDS)
        return self.state_seconds


class Serving:
    """The moving parts of a cloud that serves."""

    def __init__(self, knobs: Knobs, calls: Counter[str]) -> None:
        self._knobs = knobs
        self._warned = False
        self._moto = _moto_services(knobs.account_id)
        self._host = HostEnvironment()
        self.loop = LoopThread("local-cloud-tasks")
        self._launcher: Launcher = (Processes if knobs.execute else Pretences)(self.loop.loop)
        self.logs = Logs(knobs.account_id, knobs.log_delay, knobs.pager)
        self.ecs = Ecs(self._region)
        self._metadata = Metadata()
        self.gateway = Gateway(
            Gate(knobs.key),
            {"ecs": self.ecs, "logs": self.logs},
            self._moto.answer,
            self._check_call,
            calls,
            {PREFIX: self._metadata.answer},
        )
        self.server = Server(self.gateway.answer)
        self.endpoint_url = f"http://127.0.0.1:{self.server.port}"

    def environment(self, region: str) -> dict[str, str]:
        """Return the variables that lead an AWS client here."""
        return {
            "AWS_ACCESS_KEY_ID": self._knobs.key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self._knobs.key.secret_access_key,
            "AWS_DEFAULT_REGION": region,
            "AWS_REGION": region,
            "AWS_ENDPOINT_URL": self.endpoint_url,
        }

    def _check_call(self, name: str) -> None:
        """Raise if a call is to be throttled, by plan or by AWS's limits."""
        self._knobs.trouble.check(name)
        if self._knobs.throttles:
            self._knobs.throttles.check(name)

    def _region(self, name: str) -> Region:
        knobs = self._knobs
        return Region(
            knobs.account_id,
            name,
            self._moto,
            knobs.rules,
            knobs.trouble,
            knobs.shuffle,
            knobs.throttles.check if knobs.throttles else lambda name, amount: None,
            self._surroundings,
        )

    def _surroundings(self, region: str, lock: threading.RLock, gone: Callable[[Task], None]) -> Surroundings:
        knobs = self._knobs
        return Surroundings(
            lock=lock,
            loop=self.loop,
            launcher=self._launcher,
            stores=self.logs.store,
            secrets=TaskSecrets(self._moto, region),
            trouble=knobs.trouble,
            variables=lambda task, container: self._variables(task, container, region),
            directory=knobs.directory,
            seconds=knobs.seconds,
            before_first_run=self._warn_once,
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

    def _warn_once(self, task: Task) -> None:
        if not self._warned and self._knobs.execute:
            self._warned = True
            images = ", ".join(dict.fromkeys(container.definition["image"] for container in task.containers))
            logger.warning(
                "LocalCloud does not pull images: %s is not used, the command runs as a process of this machine.",
                images,
            )

    def close(self) -> None:
        """End everything, from the door inwards."""
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
