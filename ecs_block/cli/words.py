"""What is said of a run, in plain words: what happens, how it ended, what can be done next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ecs_block.arn import short_name

if TYPE_CHECKING:
    from ecs_block.events import Event, NetworkReady
    from ecs_block.plan.result import ECSTaskResult

INTERRUPTED = "the run was interrupted"  # the engine's reason for a stop after Ctrl-C
_ORDINARY_END = "Essential container in task exited."


class Hint(NamedTuple):
    """A command that is useful next, and what for."""

    purpose: str
    command: str


def clock(seconds: float) -> str:
    """Write a time that runs: `12 s`, `1:05`, `1:02:03`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def took(seconds: float) -> str:
    """Write a time that is over, a short one more exactly."""
    return f"{max(0.0, seconds):.1f} s" if seconds < 9.95 else clock(seconds + 0.5)


def task_id(identifier: str) -> str:
    """Give the short id of a task."""
    return short_name(identifier.rpartition("::")[2])


def network_of(network: NetworkReady) -> str:
    """Say in which subnets a task may run."""
    subnets = network.subnets
    return f"{network.vpc_id or 'default VPC'}, {len(subnets)} subnet{'' if len(subnets) == 1 else 's'}"


def step_of(event: Event, run_id: str | None) -> str | None:
    """Say in a line what happens; None for what needs no line."""
    from ecs_block import events

    match event:
        case events.NetworkReady():
            return f"network {network_of(event)}"
        case events.DefinitionReady(task_definition_arn=arn, registered=registered):
            return f"task definition {short_name(arn)} {'registered' if registered else 'reused'}"
        case events.LaunchDelayed(reason=reason, delay=delay):
            return f"no task yet: {reason.rstrip('.')}; asking again in {delay:.0f} s"
        case events.TaskLaunched(identifier=identifier, attempt=attempt, taken_up=taken_up):
            named = [f"run {run_id}"] if run_id else []
            told = named + ([f"attempt {attempt}"] if attempt > 1 else [])
            done = "is taken up: the run was begun before" if taken_up else "launched"
            return f"task {task_id(identifier)} {done}" + (f" ({', '.join(told)})" if told else "")
        case events.StatusChanged(identifier=identifier, status=status, previous=previous) if previous:
            return f"task {task_id(identifier)} is {status}"
        case events.StopRequested(identifier=identifier, reason=reason) if reason != INTERRUPTED:
            return f"stopping task {task_id(identifier)}: {reason}"
    return None


# --- how it ended ------------------------------------------------------------------------------------------------------


def ran_for(result: ECSTaskResult) -> float | None:
    """Give for how long the program ran, in seconds; None when nobody knows."""
    end = result.execution_stopped_at or result.stopping_at or result.stopped_at
    if result.started_at is None or end is None:
        return None
    return max(0.0, (end - result.started_at).total_seconds())


def _after(result: ECSTaskResult, word: str) -> str:
    seconds = ran_for(result)
    return "" if seconds is None else f" {word} {took(seconds)}"


def success_of(result: ECSTaskResult) -> str:
    """Say that a run succeeded, from the word `succeeded` on."""
    if result.tasks:
        longest = max((seconds for seconds in map(ran_for, result.tasks) if seconds is not None), default=None)
        return f"{len(result.tasks)} tasks succeeded" + ("" if longest is None else f" in {took(longest)}")
    return f"succeeded{_after(result, 'in')} (exit code {result.status_code})"


def failure_of(result: ECSTaskResult) -> str:
    """Say what became of a run that did not succeed."""
    told = f"{result.headline()} {result.reason} {result.advice or ''}".strip()
    if not result.tasks:
        return told
    return f"{_bad_among(result.tasks)} {told}"


def _bad_among(tasks: Sequence[ECSTaskResult]) -> str:
    return f"{sum(1 for task in tasks if not task)} of {len(tasks)} tasks did not succeed."


_VERDICTS = {
    "succeeded": "succeeded",
    "failed": "failed",
    "start_failed": "not started",
    "stopped": "stopped",
    "interrupted": "interrupted",
    "unknown": "unknown",
}


class Verdict(NamedTuple):
    """An outcome in one word, and what else there is to say: for lines that have a column for each."""

    word: str
    more: str


def verdict_of(result: ECSTaskResult) -> Verdict:
    """Say how a task ended, without naming it."""
    word = _VERDICTS[result.outcome]
    if result:
        if result.tasks:
            return Verdict(word, success_of(result).replace(" succeeded", ""))
        return Verdict(word, f"{_after(result, 'in').strip()} (exit code {result.status_code})".strip())
    code = f"with exit code {result.status_code}" if result.status_code >= 0 else ""
    how = f"{code}{_after(result, 'after')}".strip()
    reason = result.reason.replace(_ORDINARY_END, "").strip() if code else result.reason
    if result.tasks:
        how = f"{_bad_among(result.tasks).removesuffix('.')}{', the worst ' if how else ''}{how}"
    said = [part for part in (f"{how}." if how else "", reason, result.advice) if part]
    return Verdict(word, how if said == [f"{how}."] else " ".join(said))


def brief_of(result: ECSTaskResult) -> str:
    """Say in a few words how one of many tasks ended."""
    word, more = verdict_of(result)
    if not result.identifier:
        return f"{word}: {result.reason or more}"
    return f"{word} {more.rstrip('.')}" if result or result.status_code >= 0 else f"{word}: {more}"


# --- what can be done next ---------------------------------------------------------------------------------------------


class Name(NamedTuple):
    """How the commands are told which run or task is meant: its run id or identifier, and where it is to be found."""

    name: str
    options: tuple[str, ...] = ()

    def command(self, *words: str) -> str:
        """Give a command line that is about it, ready for a shell."""
        return shlex.join(["ecs-block", *words, self.name, *self.options])


def name_of(run_id: str | None, identifier: str | None, given: Mapping[str, Any]) -> Name | None:
    """Name a run for a command: by its run id, with which the journal finds the rest, else by the task's identifier."""
    if run_id is not None:
        return Name(run_id)
    if identifier is None:
        return None
    where = (("--profile", given.get("profile")), ("--endpoint-url", given.get("endpoint_url")))
    return Name(identifier, tuple(word for option, value in where if value for word in (option, value)))


def to_get_at(name: Name, *, has_lines: bool) -> list[Hint]:
    """Give the commands for a task that goes on."""
    follow = [Hint("follow", name.command("logs", "-f"))] if has_lines else []
    return [*follow, Hint("wait", name.command("wait")), Hint("stop", name.command("stop"))]
