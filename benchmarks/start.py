"""What a start costs: the CPU time of whole processes, in alternation; and previews a second."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.clients import Facts
from benchmarks.endpoint import ROOT, clean_environment
from benchmarks.measure import cpu_of

ROUNDS = 9
MODEL = "import pydantic\nclass Model(pydantic.BaseModel):\n    name: str\n    count: int = 1\nModel(name='a')"


def commands() -> dict[str, list[str]]:
    """Name what is started."""
    script = Path(sys.executable).with_name("ecs-block")
    return {
        "pass": [sys.executable, "-c", "pass"],
        "pydantic": [sys.executable, "-c", MODEL],
        "import": [sys.executable, "-c", "from ecs_block import ECSTask"],
        "help": [str(script), "--help"] if script.exists() else [sys.executable, "-m", "ecs_block.cli", "--help"],
    }


def measure(rounds: int = ROUNDS) -> Facts:
    """Start each often, in alternation. Gives the median CPU time of each (seconds) and how they compare."""
    took: dict[str, list[float]] = {name: [] for name in commands()}
    for number in range(rounds + 1):
        for name, command in commands().items():
            seconds = cpu_of(lambda command=command: _start(command))  # type: ignore[misc]
            if number:  # the first one compiles
                took[name].append(seconds)
    middle = {name: median(values) for name, values in took.items()}
    return {
        **middle,
        "import / pydantic": middle["import"] / middle["pydantic"],
        "help / pass": middle["help"] / middle["pass"],
        "previews_per_second": previews_per_second(),
    }


def _start(command: list[str]) -> None:
    subprocess.run(command, cwd=ROOT, env=clean_environment(), check=True, stdout=subprocess.DEVNULL)


def previews_per_second(seconds: float = 1.0) -> float:
    """Preview one block again and again."""
    from ecs_block import ECSTask

    task = ECSTask(
        image="python:3.11", command=["true"], env={"NAME": "value"}, aws_credentials={"region_name": "us-east-1"}
    )
    task.preview()
    began = time.process_time()
    count = 0
    while time.process_time() - began < seconds:
        task.preview()
        count += 1
    return count / (time.process_time() - began)
