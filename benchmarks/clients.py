"""Starting the clients, each in a process of its own, against an endpoint of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.endpoint import ROOT, Endpoint, clean_environment

TOO_LONG = 900  # seconds

Facts = dict[str, Any]


def run(
    module: str, *options: object, endpoint: Sequence[str] = (), python: str = sys.executable, home: str | None = None
) -> Facts:
    """Run a client against a new endpoint and give its facts, and what it called. `home` is where a peer keeps its files."""
    with Endpoint(*endpoint) as served:
        environment = {**served.environment, **({"PREFECT_HOME": home} if home else {})}
        facts = client(module, *options, environment=environment, python=python)
        return {**facts, "calls": served.calls()}


def client(module: str, *options: object, environment: Mapping[str, str], python: str = sys.executable) -> Facts:
    """Run a client in a process of its own and give the facts that it printed last."""
    done = subprocess.run(
        [python, "-m", f"benchmarks.{module}", *map(str, options)],
        cwd=ROOT, env=clean_environment(**environment), text=True, capture_output=True, timeout=TOO_LONG,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"benchmarks.{module} {options}: {done.stderr[-2000:]}")
    facts: Facts = json.loads(done.stdout.splitlines()[-1])
    return facts


def middle(rounds: Sequence[Facts]) -> Facts:
    """Give the median of each number over several rounds; `succeeded` is the worst of them."""
    found: Facts = {"rounds": len(rounds)}
    for name, value in rounds[0].items():
        if name == "calls":
            operations = sorted({operation for one in rounds for operation in one["calls"]})
            found[name] = {item: median(one["calls"].get(item, 0) for one in rounds) for item in operations}
        elif isinstance(value, int | float) and not isinstance(value, bool):
            numbers = [one[name] for one in rounds]
            found[name] = (
                numbers[0] if len(set(numbers)) == 1 else min(numbers) if name == "succeeded" else median(numbers)
            )
        else:
            found[name] = value
    return found


def environment_for(folder: Path, *requirements: str) -> str:
    """Make a virtual environment and install into it. Returns its interpreter; raises CalledProcessError."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    subprocess.run(
        [str(python), "-m", "pip", "install", "-q", *requirements], check=True, capture_output=True, text=True
    )
    return str(python)
