"""`python -m benchmarks`: ours and the floor in alternation, and a table of ratios."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import clients, start, table
from benchmarks.clients import Facts
from benchmarks.logs import READS

COUNTS = (1, 10, 100, 500, 2000)
QUICK_COUNTS = (1, 10, 100)
SECONDS = 10
THROTTLED_COUNT = 500
LAUNCH_BURST, LAUNCHES_PER_SECOND = 100, 20  # tasks; AWS Fargate, "Throttling quotas"
JOBS, AT_ONCE = 1000, 200
PEER = ("prefect-aws==0.4.19", "prefect>=2,<3")
PEER_COUNT = 100


def runs(options: argparse.Namespace) -> list[Facts]:
    """Run N tasks that sleep, with the floor and ours in alternation."""
    measured: list[Facts] = []
    for count in options.counts or (QUICK_COUNTS if options.quick else COUNTS):
        rounds: dict[str, list[Facts]] = {"floor": [], "ours": [], "ours --distinct": []}
        for number in range(options.rounds):
            for who, taken in rounds.items():
                say(f"{who}, N = {count}, round {number + 1}")
                module, *flags = who.split()
                taken.append(clients.run(module, "--count", count, "--seconds", SECONDS, *flags))
        measured += [{**clients.middle(taken), "who": who} for who, taken in rounds.items()]
    print(table.runs(measured), end="\n\n", flush=True)
    return measured


def throttled(options: argparse.Namespace) -> Facts:
    """Run N tasks under AWS's documented limits, and compare with the time that the limits impose."""
    count = QUICK_COUNTS[-1] if options.quick else THROTTLED_COUNT
    taken = []
    for number in range(options.rounds):
        say(f"throttled, N = {count}, round {number + 1}")
        taken.append(clients.run("ours", "--count", count, "--seconds", SECONDS, endpoint=["--throttles"]))
    imposed = max(0, count - LAUNCH_BURST) / LAUNCHES_PER_SECOND + SECONDS
    middle = clients.middle(taken)
    measured = {**middle, "imposed": imposed, "wall / imposed": middle["wall"] / imposed}
    print(table.facts(f"Under AWS's limits, N = {count}", measured), end="\n\n", flush=True)
    return measured


def logs(options: argparse.Namespace) -> dict[str, Facts]:
    """Stream one long output, and many short ones under AWS's limits."""
    scale = 10 if options.quick else 1
    long, many = ("--lines", 200_000 // scale), ("--tasks", 200 // scale, "--lines", 1000)
    rounds: dict[str, list[Facts]] = {"floor, one": [], "ours, one": [], "ours, many, throttled": []}
    for number in range(options.rounds):
        say(f"logs, round {number + 1}")
        rounds["floor, one"].append(clients.run("logs", "floor", *long))
        rounds["ours, one"].append(clients.run("logs", "ours", *long))
        rounds["ours, many, throttled"].append(clients.run("logs", "ours", *many, endpoint=["--throttles"]))
    measured = {name: clients.middle(taken) for name, taken in rounds.items()}
    for name, taken in rounds.items():  # one lost line in one round is a lost line
        measured[name].update({fault: max(one[fault] for one in taken) for fault in ("lost", "twice")})
    measured["ours, one"]["rate / floor"] = measured["ours, one"]["rate"] / measured["floor, one"]["rate"]
    held = measured["ours, many, throttled"]
    asked = sum(held["calls"].get(f"logs:{name}", 0) for name in READS)
    held.update({"reads per second": asked / held["reading"], "throttled reads": asked - held["answered"]})
    for name, one in measured.items():
        print(table.facts(f"Logs: {name}", one), end="\n\n", flush=True)
    return measured


def jobs(options: argparse.Namespace) -> dict[str, Facts]:
    """Run the jobs of a queue, at most so many at once, with the floor and the agent in alternation."""
    count, limit = (100, 20) if options.quick else (JOBS, AT_ONCE)
    rounds: dict[str, list[Facts]] = {"queue_floor": [], "agent": []}
    for number in range(options.rounds):
        for who, taken in rounds.items():
            say(f"{who}, {count} jobs, {limit} at once, round {number + 1}")
            given = ("--count", count, "--limit", limit, "--seconds", SECONDS)
            taken.append(clients.run(who, *given))
    measured = {who: clients.middle(taken) for who, taken in rounds.items()}
    floor, ours = measured["queue_floor"], measured["agent"]
    ours.update({f"{name} / floor": ours[name] / floor[name] for name in ("wall", "cpu", "cpu_run", "rss_mb")})
    for who, one in measured.items():
        print(table.facts(f"Jobs from a queue: {who}", one), end="\n\n", flush=True)
    return measured


def starts(options: argparse.Namespace) -> Facts:
    """Measure what a start costs."""
    say("start")
    measured = start.measure(3 if options.quick else start.ROUNDS)
    print(table.facts("CPU seconds of a start", measured), end="\n\n", flush=True)
    return measured


def peers(options: argparse.Namespace) -> Facts:
    """Run prefect-aws's block in the same way, in an environment of its own."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(options.peer_environment or Path(home, "environment"))
        say(f"installing {' '.join(PEER)}")
        try:
            python = clients.environment_for(folder, *PEER)
        except subprocess.CalledProcessError as error:
            print(f"{PEER[0]} cannot be installed here, so it was not measured: {(error.stderr or '')[-500:]}\n")
            return {"not installed": (error.stderr or "")[-500:]}
        ours, theirs = [], []
        for number in range(options.rounds):
            say(f"peer, N = {PEER_COUNT}, round {number + 1}")
            given = ("--count", PEER_COUNT, "--seconds", SECONDS)
            theirs.append(clients.run("peer", *given, python=python, home=home))
            ours.append(clients.run("ours", *given))
    measured = [{**clients.middle(ours), "who": "ours"}, {**clients.middle(theirs), "who": PEER[0]}]
    print(table.runs(measured), end="\n\n", flush=True)
    return {one["who"]: one for one in measured}


PARTS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "runs": runs,
    "throttled": throttled,
    "logs": logs,
    "jobs": jobs,
    "start": starts,
}


def say(what: str) -> None:
    """Tell what is being done, on stderr."""
    print(f"… {what}", file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="N = 1, 10, 100, and one round")
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    parser.add_argument("--counts", type=int, nargs="+", metavar="N", help="how many tasks at once")
    parser.add_argument("--rounds", type=int, help="rounds, of which the median counts (3, or 1 with --quick)")
    parser.add_argument("--peers", action="store_true", help=f"also {PEER[0]} from PyPI, N = {PEER_COUNT}")
    parser.add_argument("--peer-environment", metavar="FOLDER", help="keep the peer's environment here")
    parser.add_argument("--json", metavar="FILE", help="write all numbers to a file")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    return options


def main() -> None:
    """Run what was asked for."""
    options = arguments()
    measured: dict[str, Any] = {"about": table.about()}
    print(", ".join(f"{name} {value}" for name, value in measured["about"].items()), end="\n\n", flush=True)
    parts = {name: part for name, part in PARTS.items() if options.only in (None, name)}
    if options.peers:
        parts["peers"] = peers
    for name, part in parts.items():
        measured[name] = part(options)
        if options.json:
            Path(options.json).write_text(json.dumps(measured, indent=2) + "\n")


if __name__ == "__main__":
    main()
