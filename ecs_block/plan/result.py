"""What became of a task, as a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, field_serializer

from ecs_block import errors
from ecs_block.arn import TaskIdentifier
from ecs_block.errors import TaskFailed
from ecs_block.plan import timeline, verdict
from ecs_block.plan.verdict import Outcome, Verdict

_ERROR_SCHEMA = {
    "anyOf": [
        {"type": "object", "properties": {"type": {"type": "string"}, "message": {"type": "string"}}},
        {"type": "null"},
    ]
}

LogComplete = Literal["yes", "no", "unknown"]


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
    )


class ContainerResult(_Frozen):
    """What one container of the task came to."""

    name: str
    """Its name in the task definition (AWS adds containers of its own, such as GuardDuty's)."""
    exit_code: int | None = None
    """Exit code of its program; None when it never gave one. 128 + n: ended by signal n."""
    reason: str | None = None
    """What AWS says about its end."""
    last_status: str | None = None
    """The last status that was seen."""
    image: str | None = None
    """The image as the definition names it."""
    runtime_id: str | None = None
    """The container runtime's id."""


class ECSTaskResult(_Frozen):
    """What became of a task. True when it succeeded."""

    identifier: str | None = None
    """`cluster::task_arn`; None when no task was started."""
    status_code: int = verdict.NO_EXIT_CODE
    """Exit code of the main container; -1 when it never gave one."""
    outcome: Outcome
    """`succeeded`, `failed`, `start_failed`, `stopped`, `interrupted` or `unknown`."""
    stop_code: str | None = None
    """AWS's stop code, such as `EssentialContainerExited`."""
    reason: str = ""
    """Why the task stopped, in AWS's words: the task's reason, then the containers'."""
    advice: str | None = None
    """What to do about it, where the cause is a known one."""
    task_definition_arn: str | None = None
    """The definition that ran."""
    log_complete: LogComplete = "unknown"
    """`yes`: every line that CloudWatch took in was shown. `no`: some could not be read. `unknown`: nobody looked, or the
    log driver may itself have dropped lines (`mode: non-blocking`)."""
    created_at: datetime | None = None
    """When AWS accepted the task."""
    pull_started_at: datetime | None = None
    """When the first image pull began."""
    pull_stopped_at: datetime | None = None
    """When the last image pull ended."""
    started_at: datetime | None = None
    """When the task reached RUNNING."""
    stopping_at: datetime | None = None
    """When it began to stop."""
    execution_stopped_at: datetime | None = None
    """When its containers had ended."""
    stopped_at: datetime | None = None
    """When the task reached STOPPED."""
    containers: tuple[ContainerResult, ...] = ()
    """Every container, the main one first."""
    log_tail: tuple[str, ...] = Field(default=(), repr=False)
    """The last lines of the main container's output that were seen."""
    attempt: int = 1
    """Which attempt this was; more than 1 after interruptions."""
    tasks: tuple[ECSTaskResult, ...] = ()
    """A result for each task, where `count` started several; empty for one."""
    error: Annotated[Exception | None, WithJsonSchema(_ERROR_SCHEMA)] = None
    """In `map`: the exception that `run()` would have raised."""

    @field_serializer("error")
    def _error_as_text(self, error: Exception | None) -> dict[str, str] | None:
        return None if error is None else {"type": type(error).__name__, "message": str(error)}

    def __bool__(self) -> bool:
        return self.outcome == "succeeded"

    def raise_for_status(self) -> ECSTaskResult:
        """Raise when the task did not succeed, else return the result.

        Raises the `error` where there is one, else TaskFailed with the last log lines.
        """
        if self:
            return self
        if self.error is not None:
            raise self.error
        raise TaskFailed(self.describe_failure(), identifier=self.identifier, result=self, advice=self.advice)

    def describe_failure(self) -> str:
        """Say in words what happened, with the reason, the advice and the last log lines."""
        lines = [f"{self.headline()} {self.reason}".strip()]
        lines += [self.advice] if self.advice else []
        lines += ["Its last lines of output:", *(f"    {line}" for line in self.log_tail)] if self.log_tail else []
        return "\n".join(lines)

    def headline(self) -> str:
        """Say in one short sentence what became of the task."""
        code = f" with exit code {self.status_code}" if self.status_code != verdict.NO_EXIT_CODE else ""
        words = {
            "succeeded": "succeeded",
            "failed": f"failed{code or ' without an exit code'}",
            "start_failed": "could not start",
            "stopped": f"was stopped{code}",
            "interrupted": f"was interrupted{code}",
            "unknown": "ended in a way that nobody can know",
        }
        return f"Task {self.identifier or '(none started)'} {words[self.outcome]}."

    def timeline(self, width: int = 80) -> str:
        """Draw the phases of the run as bars of text: a row for each phase, or for each task where there are several.

        Nothing is wider than `width` columns (at least 20). A phase whose times are unknown is left out.
        """
        return timeline.text(self, width)

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from ecs_block.plan import notebook

        return notebook.of_result(self)


class ECSTaskResults(list[ECSTaskResult]):
    """The results of a `map`, in order: a list that can be looked at."""

    def timeline(self, width: int = 80) -> str:
        """Draw a bar of text for each task, on one axis; of more than 200, those that did not succeed come first."""
        return timeline.text_of_many(self, width)

    def _repr_html_(self) -> str:
        """Show them in a notebook."""
        from ecs_block.plan import notebook

        return notebook.of_results(self)


_TIMES = {
    "created_at": "createdAt",
    "pull_started_at": "pullStartedAt",
    "pull_stopped_at": "pullStoppedAt",
    "started_at": "startedAt",
    "stopping_at": "stoppingAt",
    "execution_stopped_at": "executionStoppedAt",
    "stopped_at": "stoppedAt",
}


def result_of(
    task: Mapping[str, Any],
    judged: Verdict,
    *,
    cluster: str,
    main: str,
    log_complete: LogComplete = "unknown",
    log_tail: Sequence[str] = (),
    advice: str | None = None,
    attempt: int = 1,
) -> ECSTaskResult:
    """Make the result of a task as DescribeTasks gives it."""
    containers = sorted(task.get("containers") or [], key=lambda container: container.get("name") != main)
    return ECSTaskResult(
        identifier=str(TaskIdentifier(cluster, task["taskArn"])),
        status_code=judged.status_code,
        outcome=judged.outcome,
        stop_code=task.get("stopCode"),
        reason=judged.reason,
        advice=advice,
        task_definition_arn=task.get("taskDefinitionArn"),
        log_complete=log_complete,
        log_tail=tuple(log_tail),
        containers=tuple(map(_container, containers)),
        attempt=attempt,
        **{field: task.get(member) for field, member in _TIMES.items()},
    )


def _container(container: Mapping[str, Any]) -> ContainerResult:
    return ContainerResult(
        name=container.get("name", ""),
        exit_code=container.get("exitCode"),
        reason=container.get("reason"),
        last_status=container.get("lastStatus"),
        image=container.get("image"),
        runtime_id=container.get("runtimeId"),
    )


def as_recorded(result: ECSTaskResult) -> dict[str, Any]:
    """Give a result as the journal keeps it."""
    return result.model_dump(mode="json", exclude_defaults=True) | {"outcome": result.outcome}


def from_record(recorded: Mapping[str, Any]) -> ECSTaskResult:
    """Make a result of what the journal kept, with an error of the class and the words that it had."""
    told = dict(recorded)
    error = told.pop("error", None)
    result = ECSTaskResult.model_validate({**told, "tasks": [from_record(one) for one in told.get("tasks", ())]})
    if error is None:
        return result
    raised = errors.again(error["type"], error["message"], result)
    with_error = result.model_copy(update={"error": raised})
    if hasattr(raised, "result"):
        raised.result = with_error
    return with_error


def combined(results: Sequence[ECSTaskResult]) -> ECSTaskResult:
    """Give the result of a request that started several tasks: that of the worst, with all of them in `tasks`."""
    if len(results) == 1:
        return results[0]
    return results[verdict.worst([result.outcome for result in results])].model_copy(update={"tasks": tuple(results)})
