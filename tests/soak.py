"""A soak: many runs, many at a time, over a wire on which some calls go wrong. Nothing may be lost, nothing may grow.

The runs are those of a process of its own, which sees only them and can be measured; the cloud and the bad wire are here.
`nox -s soak` runs a thousand, `tests/cloud/test_soak.py` a few.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
NAME = "soak"
LINES_EACH = 5
SETTLED = 0.3  # of the runs: from there on nothing may grow
MORE_MEMORY = 0.15  # that is borne, as a share
MORE_DESCRIPTORS = 5
PATIENCE = 900  # seconds
MEASURES = ("memory (MiB)", "descriptors", "threads")


@dataclass(frozen=True)
class Plan:
    """How much of what."""

    runs: int = 1000
    at_once: int = 100
    faults: float = 0.05
    seed: int = 0
    stream_each: int = 10
    """Each nth run has its output shown."""

    @property
    def run_ids(self) -> list[str]:
        """As `map` makes them of one id."""
        return [f"{NAME}/{index}" for index in range(self.runs)]

    @property
    def items(self) -> list[dict[str, Any]]:
        """Give the runs: each says its index in five lines, and ends with a code that follows from it."""
        return [
            {
                "command": ["sh", "-c", f"seq -f '{index} says %g' {LINES_EACH}; exit {code_of(index)}"],
                "stream_output": self.is_streamed(index),
            }
            for index in range(self.runs)
        ]

    def is_streamed(self, index: int) -> bool:
        """Tell whether the output of a run is shown."""
        return index % self.stream_each == 0

    @property
    def lines(self) -> Counter[str]:
        """What is to be shown."""
        streamed = filter(self.is_streamed, range(self.runs))
        return Counter(f"{index} says {line}" for index in streamed for line in range(1, LINES_EACH + 1))


def code_of(index: int) -> int:
    """Give the exit code of a run."""
    return index % 4


# --- the process that runs them ----------------------------------------------------------------------------------------


def measured() -> tuple[float, int, int]:
    """Measure this process: memory in MiB, descriptors, threads."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        len(os.listdir("/proc/self/fd")),
        len(os.listdir("/proc/self/task")),
    )


def run_all(plan: Plan) -> dict[str, Any]:
    """Run all of it with `map`, and measure whenever a run ends."""
    from ecs_block import AwsCredentials, ECSTask

    samples: list[tuple[float, int, int]] = []
    output = io.StringIO()
    task = ECSTask(
        execution_role_arn="arn:aws:iam::123456789012:role/execution",
        configure_cloudwatch_logs=True,
        aws_credentials=AwsCredentials(botocore_config={"connect_timeout": 1, "read_timeout": 2}),
    )
    began = time.monotonic()
    results = task.map(
        plan.items,
        run_id=NAME,
        max_concurrency=plan.at_once,
        output=output,
        on_progress=lambda done, of: samples.append(measured()),
    )
    return {
        "seconds": time.monotonic() - began,
        "samples": samples,
        "results": [(r.outcome, r.status_code, r.log_complete, r.reason) for r in results],
        "output": output.getvalue(),
    }


# --- the cloud, the wire, and what came of it --------------------------------------------------------------------------


def passing_faults() -> list[tuple[list[Any], list[str] | None]]:
    """Everything that can happen to a call and passes, and which operations it can happen to (None: all)."""
    from faults import Delay, Drop, Duplicate, Error, Hang, Html, OldCopy, Overtaken, Status, Truncate, throttled

    refused = b'{"tasks": [], "failures": [{"reason": "Capacity is unavailable at this time."}]}'
    missing = b'{"tasks": [], "failures": [{"reason": "MISSING"}]}'
    anywhere = [
        *(Delay(0.5), Duplicate(), Overtaken(0.5), throttled(), Hang(), Hang(after=True)),
        *(Drop(), Drop(after=True), Drop(reset=True), Drop(reset=True, after=True)),
        *(Html(), Html(after=True), Html(status=502), Status(500), Status(503, after=True)),
        *(Truncate(), Truncate(keep=0.9), Truncate(honest=False), Truncate(to=b""), Truncate(to=b"{}")),
        *(Error("ServerException", status=500), Error("InternalFailure", status=500, after=True)),
    ]
    return [
        (anywhere, None),
        ([Truncate(to=refused)], ["RunTask"]),  # AWS has been seen to start a task and to say that it did not
        ([Truncate(to=missing)], ["DescribeTasks"]),
        ([OldCopy()], ["RunTask", "DescribeTasks", "DescribeTaskDefinition"]),
    ]


@dataclass
class Report:
    """What came of it."""

    plan: Plan
    told: dict[str, Any]
    """What the process that ran them says."""
    started: Counter[str]
    """How many tasks the cloud has started for each run id."""
    entries: Sequence[Any]
    """What the journal holds."""
    calls: int
    faults: Counter[str]
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        plan = self.plan
        ids = plan.run_ids
        self._expect("a task for each run id, and only one", [self.started[name] for name in ids], [1] * plan.runs)
        self._expect("no other tasks", sorted(set(self.started) - set(ids)), [])
        recorded = {entry.run_id: (entry.outcome or {}).get("status_code") for entry in self.entries}
        self._expect("an entry for each run id, and only one", len(self.entries), plan.runs)
        self._expect("each outcome in the journal", [recorded.get(name) for name in ids], self._codes)
        self._expect("each exit code", [code for _, code, _, _ in self.told["results"]], self._codes)
        bad = [
            f"[{index}] {reason}"
            for index, (outcome, _, _, reason) in enumerate(self.told["results"])
            if outcome not in ("succeeded", "failed")
        ]
        self._expect("no error", bad, [])
        self._expect("no line lost, none twice", self.lines, plan.lines)
        streamed = [complete for _, _, complete, _ in self.told["results"][:: plan.stream_each]]
        self._expect("all output known to be complete", streamed, ["yes"] * len(streamed))
        (memory, descriptors, threads), (more_memory, more_descriptors, more_threads) = self.measures
        self._hold("memory", more_memory, memory * (1 + MORE_MEMORY))
        self._hold("descriptors", more_descriptors, descriptors + MORE_DESCRIPTORS)
        self._hold("threads", more_threads, threads)

    @property
    def _codes(self) -> list[int]:
        return [code_of(index) for index in range(self.plan.runs)]

    @property
    def lines(self) -> Counter[str]:
        """What was shown."""
        return Counter(self.told["output"].splitlines())

    @cached_property
    def measures(self) -> tuple[list[float], list[float]]:
        """Give what was measured once a part of the runs had ended, and at the end: the middle of a tenth of all samples."""
        samples = self.told["samples"]
        tenth = max(1, len(samples) // 10)
        settled = int(len(samples) * SETTLED)
        early, late = samples[settled : settled + tenth], samples[-tenth:]
        return [median(column) for column in zip(*early, strict=True)], [
            median(column) for column in zip(*late, strict=True)
        ]

    def _expect(self, what: str, found: Any, wanted: Any) -> None:
        if found != wanted:
            self.problems.append(f"{what}: {_difference(found, wanted)}")

    def _hold(self, what: str, at_the_end: float, most: float) -> None:
        if at_the_end > most:
            self.problems.append(f"{what} grew to {at_the_end:.1f}; {most:.1f} is the most")

    def table(self) -> str:
        """Show it."""
        plan, seconds = self.plan, self.told["seconds"]
        outcomes = Counter(outcome for outcome, _, _, _ in self.told["results"])
        rows = [
            (
                "runs",
                f"{plan.runs}, {plan.at_once} at a time, in {seconds:.1f} s ({plan.runs / seconds:.1f} each second)",
            ),
            ("calls", f"{self.calls}, {sum(self.faults.values())} of them with a fault; seed {plan.seed}"),
            ("tasks started", f"{self.started.total()}, for {len(self.started)} run ids"),
            ("recorded outcomes", str(sum(entry.outcome is not None for entry in self.entries))),
            ("outcomes", ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())),
            ("lines shown", f"{self.lines.total()} of {plan.lines.total()}, {len(self.lines)} different ones"),
            *(
                (measure, f"{early:.0f} at {SETTLED:.0%}, {late:.0f} at the end")
                for measure, early, late in zip(MEASURES, *self.measures, strict=True)
            ),
            ("faults", ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))),
            *(("PROBLEM", problem) for problem in self.problems),
        ]
        return "\n".join(f"{name:<18} {text}" for name, text in rows)


def _difference(found: Any, wanted: Any) -> str:
    if isinstance(found, Counter) and isinstance(wanted, Counter):
        return f"missing {dict(wanted - found)}, too many {dict(found - wanted)}"
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        pairs = enumerate(zip(found, wanted, strict=True))
        return ", ".join(f"[{index}] {one!r}, not {other!r}" for index, (one, other) in pairs if one != other)
    return f"{found!r}, not {wanted!r}"


def soak(plan: Plan, folder: Path) -> Report:
    """Run the plan against a cloud behind a bad wire, and look at what the cloud and the journal say of it."""
    from faults import FaultyEndpoint

    from ecs_block.engine.journal import Journal
    from ecs_block.local import LocalCloud

    with LocalCloud(throttles=True) as cloud, FaultyEndpoint(cloud, plan.seed) as wire:
        for kinds, operations in passing_faults():
            wire.sometimes(plan.faults if operations is None else plan.faults / 5, kinds, operations)
        cloud.fail_next_launches(max(1, plan.runs // 100))
        variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder)}
        variables |= {**cloud.environment, "AWS_ENDPOINT_URL": wire.endpoint_url}
        variables |= {"ECS_BLOCK_HOME": str(folder / "home"), "AWS_EC2_METADATA_DISABLED": "true"}
        done = subprocess.run(
            [sys.executable, __file__, "--client", json.dumps(vars(plan))],
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        books = Journal(folder / "home" / "journal.sqlite3")
        try:
            entries = books.latest(limit=2 * plan.runs)
        finally:
            books.close()
        started = Counter(str(task.get("startedBy")) for task in cloud.tasks)
        return Report(plan, json.loads(done.stdout), started, entries, len(wire.log), wire.happened())


def main(words: Sequence[str] | None = None) -> int:
    """Run a soak and show what came of it."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=100)
    parser.add_argument("--faults", type=float, default=0.05, help="share of calls that go wrong")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10_000)
    parser.add_argument("--client", help=argparse.SUPPRESS)
    given = parser.parse_args(words)
    if given.client:
        json.dump(run_all(Plan(**json.loads(given.client))), sys.stdout)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        report = soak(Plan(given.runs, given.at_once, given.faults, given.seed), Path(folder))
    print(report.table())
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
