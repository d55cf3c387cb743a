"""The page of the Prefect worker, followed as its reader would, terminal by terminal."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from conftest import Prefect, end, wait_for

PAGE = Path(__file__).parents[2] / "docs" / "prefect-worker.md"
_BLOCK = re.compile(r"^```(console|py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def first_flow() -> tuple[list[str], str]:
    """Give what is typed into each terminal, and the flow."""
    section = PAGE.read_text().partition("## A first flow")[2].partition("\n## ")[0]
    found = [(match[1], match[2]) for match in _BLOCK.finditer(section)]
    typed = ["\n".join(line[2:] for line in text.splitlines()) for kind, text in found if kind == "console"]
    return typed, next(text for kind, text in found if kind == "py")


@contextlib.contextmanager
def terminal(typed: str, folder: Path, variables: dict[str, str]) -> Iterator[Path]:
    """Type into a terminal what ends with a command that goes on; gives the file with what it says."""
    *before, last = [line for line in typed.splitlines() if not line.startswith("pip ")]
    screen = folder / f"{last.split()[0]}-{last.split()[1]}.txt"
    with screen.open("wb") as output:
        script = "\n".join(["set -e", *before, f"exec {last}"])
        process = subprocess.Popen(["bash", "-c", script], cwd=folder, env=variables, stdout=output, stderr=output)
    try:
        yield screen
    finally:
        end(process)


def test_the_first_flow(prefect: Prefect, tmp_path: Path) -> None:
    """From the cloud to the flow that has completed, as it stands there; the server is that of the other tests."""
    (cloud, server, worker, deploy), flow = first_flow()
    assert server == "prefect server start"
    port = str(prefect.port)
    variables = {
        **prefect.variables,
        "ECS_BLOCK_HOME": os.environ["ECS_BLOCK_HOME"],
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    del variables["PREFECT_API_URL"]
    (tmp_path / "flows.py").write_text(flow)
    with terminal(cloud, tmp_path, variables):
        exports = tmp_path / "cloud.env"
        wait_for(lambda: exports.exists() and "AWS_ENDPOINT_URL" in exports.read_text(), lambda: "no cloud")
        with terminal(worker.replace("4200", port), tmp_path, variables) as screen:
            wait_for(lambda: "started!" in screen.read_text(), screen.read_text)
            script = "set -e\n" + deploy.replace("4200", port)
            done = subprocess.run(
                ["bash", "-c", script], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=180
            )
            assert done.returncode == 0, done.stdout + done.stderr + screen.read_text()
            assert "finished successfully in 'Completed'" in done.stdout
            (flow_run,) = prefect.api.post("/flow_runs/filter", deployments={"name": {"any_": ["first"]}})
            wait_for(lambda: "hello, world" in prefect.api.log(flow_run["id"]), lambda: screen.read_text())
            wait_for(lambda: "is STOPPED" in prefect.api.log(flow_run["id"]), lambda: screen.read_text())
