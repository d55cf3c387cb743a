"""A real Prefect server and workers, as processes, with everything that they keep in a temporary folder."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ecs_block.local import LocalCloud

PREFECT = [sys.executable, "-m", "prefect"]
FLOWS = Path(__file__).parent / "flows"
POOL = "pool"
SECONDS = 120  # after which something hangs


class Api:
    """Prefect's API, as much of it as the tests need."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=30)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def post(self, path: str, **body: Any) -> Any:
        """Ask something."""
        return self._asked("POST", path, body)

    def get(self, path: str) -> Any:
        """Read something."""
        return self._asked("GET", path, None)

    def _asked(self, method: str, path: str, body: Any) -> Any:
        """Ask again when the database is busy, as Prefect's own client does."""
        for _ in range(20):
            answer = self._client.request(method, path, json=body)
            if answer.status_code != 503:
                break
            time.sleep(0.5)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def start(self, deployment: str, **job_variables: Any) -> str:
        """Have a flow run, named `flow/deployment`; gives the flow run's id."""
        id_ = self.get(f"/deployments/name/{deployment}")["id"]
        flow_run = self.post(f"/deployments/{id_}/create_flow_run", job_variables=job_variables)
        return str(flow_run["id"])

    def read(self, flow_run: str) -> dict[str, Any]:
        """Read a flow run."""
        found: dict[str, Any] = self.get(f"/flow_runs/{flow_run}")
        return found

    def until(self, flow_run: str, *types: str) -> dict[str, Any]:
        """Wait for a state of one of these types; gives the state."""
        state: dict[str, Any] = {}

        def is_there() -> bool:
            state.update(self.read(flow_run)["state"])
            return state["type"] in types

        wait_for(is_there, lambda: f"{flow_run} is {state}\n{self.log(flow_run)}")
        return state

    def log(self, flow_run: str) -> str:
        """Give the lines of a flow run's log that have come so far."""
        found = self.post("/logs/filter", logs={"flow_run_id": {"any_": [flow_run]}}, sort="TIMESTAMP_ASC")
        return "\n".join(f"{line['name']}: {line['message']}" for line in found)

    def cancel(self, flow_run: str) -> None:
        """Do what the button does."""
        self.post(f"/flow_runs/{flow_run}/set_state", state={"type": "CANCELLING", "name": "Cancelling"})


def wait_for(is_so: Callable[[], Any], what: Callable[[], str], seconds: float = SECONDS) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)


class Prefect:
    """A server, and what is started beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.api = Api(f"http://127.0.0.1:{self.port}/api")
        self.variables = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder / "user"),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.api.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.2",
            "PREFECT_CLI_PROMPT": "false",
            # SQLite is busy when a hundred flow runs are submitted: let the server wait, for clients wait in powers of two.
            "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
            "PREFECT_CLIENT_MAX_RETRIES": "8",
            "FLOWS": str(FLOWS),
        }

    @contextlib.contextmanager
    def process(self, *words: str, log: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command of Prefect's, its output in a file, and end it at last."""
        with (self.folder / log).open("ab") as output:
            process = subprocess.Popen(
                [*PREFECT, *words], env={**self.variables, **variables}, cwd=self.folder, stdout=output, stderr=output
            )
        try:
            yield process
        finally:
            end(process)

    def called(self, *words: str, cwd: Path | None = None) -> None:
        """Run a command of Prefect's to its end."""
        ended = subprocess.run(
            [*PREFECT, *words], env=self.variables, cwd=cwd, capture_output=True, text=True, timeout=SECONDS
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr

    def is_well(self) -> bool:
        """Tell whether the server answers."""
        try:
            return bool(httpx.get(f"{self.api.url}/health", timeout=2).is_success)
        except httpx.HTTPError:
            return False

    def told(self, log: str) -> str:
        """Give what a process has written."""
        return (self.folder / log).read_text()


def end(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> None:
    """End a process that the test started."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    """A server with a pool of our type, as the worker would make it, and the flows deployed to it."""
    prefect = Prefect(tmp_path_factory.mktemp("server"))
    server = ("server", "start", "--host", "127.0.0.1", "--port", str(prefect.port))
    with contextlib.closing(prefect.api), prefect.process(*server, log="server.log"):
        wait_for(prefect.is_well, lambda: prefect.told("server.log"))
        prefect.called("work-pool", "create", POOL, "--type", "ecs-block")
        prefect.called("deploy", "--all", cwd=FLOWS)
        yield prefect


@pytest.fixture
def cloud() -> Iterator[LocalCloud]:
    """A cloud of each test's own."""
    with LocalCloud() as cloud:
        yield cloud


class Workers:
    """Workers of one test: they share a home, and so a journal."""

    def __init__(self, prefect: Prefect, cloud: LocalCloud, home: Path) -> None:
        self.prefect, self.cloud = prefect, cloud
        self.log = f"worker-{home.parent.name}.log"
        self.variables = {
            **cloud.environment,
            "AWS_EC2_METADATA_DISABLED": "true",
            "ECS_BLOCK_HOME": str(home),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_WORKER_CANCELLATION_POLL_SECONDS": "1",
        }
        self._exits = contextlib.ExitStack()

    def start(self) -> subprocess.Popen[bytes]:
        """Start one."""
        before = self.told.count("started!") if (self.prefect.folder / self.log).exists() else 0
        words = ("worker", "start", "--pool", POOL, "--type", "ecs-block", "--name", self.log)
        process = self._exits.enter_context(self.prefect.process(*words, log=self.log, **self.variables))
        wait_for(lambda: self.told.count("started!") > before, lambda: self.told)
        return process

    @property
    def told(self) -> str:
        """What they have written."""
        return self.prefect.told(self.log)

    def close(self) -> None:
        """End those that still run."""
        self._exits.close()


@pytest.fixture
def workers(prefect: Prefect, cloud: LocalCloud, tmp_path: Path) -> Iterator[Workers]:
    """Workers that may be started."""
    workers = Workers(prefect, cloud, tmp_path / "home")
    yield workers
    workers.close()


@pytest.fixture
def worker(workers: Workers) -> Workers:
    """One worker that runs."""
    workers.start()
    return workers
