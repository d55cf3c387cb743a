"""From the fields of a block to a request that RunTask can take: what is read at AWS, then checked, then registered.

Everything that can be wrong is found before the first call that changes anything.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

from ecs_block.aws import input_shape, output_only, redactor
from ecs_block.engine import network, registry
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.secrets import revealer
from ecs_block.engine.teller import Teller
from ecs_block.errors import InvalidTask, PatchError
from ecs_block.plan import request as requests
from ecs_block.plan import sameness
from ecs_block.plan import sketch as plans
from ecs_block.plan.checks import WithoutPatches
from ecs_block.plan.fields import TaskFields
from ecs_block.plan.image import official_python_image
from ecs_block.plan.request import Request
from ecs_block.plan.secret import plain
from ecs_block.plan.sketch import Facts, Sketch

if TYPE_CHECKING:
    from ecs_block.engine.record import Record, RunJournal

logger = logging.getLogger("ecs_block")


class RunFields(TaskFields, Protocol):
    """The fields of a task that decide how it is run."""

    @property
    def auto_deregister_task_definition(self) -> bool: ...
    @property
    def task_start_timeout_seconds(self) -> int: ...
    @property
    def task_run_timeout_seconds(self) -> int | None: ...
    @property
    def task_watch_poll_interval(self) -> float: ...
    @property
    def stop_on_interrupt(self) -> bool: ...
    @property
    def spot_fallback(self) -> bool: ...
    @property
    def retries_on_interruption(self) -> int: ...


class Control:
    """What the caller of a run can still do to it: know its tasks, and give up waiting for their end."""

    def __init__(self, *, only_reads: bool = False) -> None:
        self.only_reads = only_reads
        """True where there is nothing to end properly: who is interrupted need not wait for AWS's answer."""
        self.identifiers: dict[str, None] = {}
        self._settling: set[Any] = set()
        self.detached = False

    def settling(self, scope: Any) -> None:
        """Register the scope in which a run waits for its task's end after it was cancelled."""
        self._settling.add(scope)
        if self.detached:
            scope.cancel()

    def detach(self) -> None:
        """Stop waiting; the tasks are left as they are. Must be called in the run's event loop."""
        self.detached = True
        for scope in self._settling:
            scope.cancel()


@dataclass
class Run:
    """One call of a verb: the block's fields, the conversation, and who is told."""

    fields: RunFields
    conversation: Conversation
    teller: Teller
    control: Control = field(default_factory=Control)
    run_id: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    stops_on_interrupt: bool = True
    journal: RunJournal | None = None
    """Where a run with a run id is written down."""
    record: Record | None = None
    """What is written down of its present attempt."""
    profile: str | None = None
    """The AWS profile, so that another process finds the credentials again."""
    start_by: float = math.inf
    """When the task must have reached RUNNING (on the conversation's clock)."""


@dataclass(frozen=True)
class Ready:
    """What is to be sent, and what has to be known to judge what comes of it."""

    plan: Sketch
    revision: registry.Revision
    request: Request
    fallback: Request | None


async def prepare(run: Run, *, on_demand: bool = False) -> Ready:
    """Read, plan, check, and only then register. Raises InvalidTask, PatchError or AwsError."""
    fields, conversation = run.fields, run.conversation
    reveal = await revealer(conversation, [*fields.env.values(), *fields.cloudwatch_logs_options.values()])
    facts = Facts(conversation.aws.region, official_python_image(), reveal, run.variables)
    linked = None
    if fields.task_definition_arn is not None:
        linked = await registry.describe_linked(conversation, fields.task_definition_arn)
    plan = plans.sketch(fields, linked, facts, on_demand=on_demand)
    copied = linked is not None and not sameness.same(linked, plan.definition, output_only())
    if linked is None or copied:
        registrable = sameness.registrable(plan.definition, output_only())
        _debug("Task definition", registrable)
    request = await _request(run, plan, facts)
    fallback = None
    if plan.capacity.is_spot and fields.spot_fallback:
        fallback = await _request(run, plans.sketch(fields, linked, facts, on_demand=True), facts)
    if linked is not None and not copied:
        revision = registry.Revision(str(linked["taskDefinitionArn"]), registered=False)
    else:
        if linked is not None:
            _warn_of_copy(run, linked, plan)
        revision = await registry.reuse_or_register(conversation, registrable)
    run.teller.definition(revision.arn, registered=revision.registered)
    request = _named(request, revision.arn)
    _debug("Run request", request)
    return Ready(plan, revision, request, _named(fallback, revision.arn) if fallback else None)


def _debug(what: str, payload: Mapping[str, Any]) -> None:
    if logger.isEnabledFor(logging.DEBUG):  # masking takes longer than all else here
        logger.debug("%s: %s", what, redactor().payload(payload))


async def _request(run: Run, plan: Sketch, facts: Facts) -> Request:
    """Build and check the request; look the network up only if the finished request needs it."""
    fields = run.fields
    check_patches(fields, run.run_id)
    request = _unless_it_needs_subnets(fields, plan, facts)
    if request is None:
        subnets = await network.subnets_of(run.conversation, fields.vpc_id)
        run.teller.network(fields.vpc_id, subnets)
        request = plans.run_request(fields, plan, facts, subnets=subnets)
    plans.check_request(request, input_shape("RunTask"))
    return request


def check_patches(fields: TaskFields, run_id: str | None) -> None:
    """Refuse patches of what a run id decides. Raises PatchError."""
    if run_id is not None and (path := requests.touches_identity(fields.task_customizations)):
        raise PatchError(
            f"task_customizations changes {path}, which ties the request to the run id {run_id!r}; remove it."
        )


def _unless_it_needs_subnets(fields: TaskFields, plan: Sketch, facts: Facts) -> Request | None:
    """Give the request if it holds without the look-up: no awsvpc, a network of its own, or a patch that gives one."""
    if plan.needs_network and "networkConfiguration" not in fields.task_run_request:
        if not fields.task_customizations.touches("/networkConfiguration"):
            return None
        try:
            request = plans.run_request(fields, plan, facts)
        except PatchError:
            return None  # it may apply to the real subnets
        return None if plans.waits_for_subnets(fields, request) else request
    return plans.run_request(fields, plan, facts)


def _named(request: Request, arn: str) -> Request:
    return {**request, "taskDefinition": arn} if request.get("taskDefinition") == plans.AT_RUNTIME else request


def _warn_of_copy(run: Run, linked: Mapping[str, Any], plan: Sketch) -> None:
    changes = sameness.differences(linked, plan.definition, output_only())
    run.teller.trouble(
        f"Fields of the block contradict the task definition {linked['taskDefinitionArn']}; a changed copy of it is used "
        f"({len(changes)} differences)."
    )
    logger.debug("Differences to %s: %s", linked["taskDefinitionArn"], "; ".join(changes))


def planned(run: Run) -> dict[str, Any]:
    """Give what the block asks for, as far as it can be said without AWS, masked: the same block gives the same."""
    fields = run.fields
    facts = Facts(run.conversation.aws.region, official_python_image(), plain, {})
    plan = plans.sketch(fields, plans.stand_in(fields), facts)
    request = plans.run_request(WithoutPatches(fields), plan, facts)
    asked = {
        "definition": fields.task_definition_arn or plan.definition,
        "request": request,
        "task_customizations": list(fields.task_customizations),
    }
    return cast(dict[str, Any], json.loads(json.dumps(redactor().payload(asked))))


def check_count(fields: TaskFields) -> None:
    """Refuse a count above 1 where only one identifier can be given back. Raises InvalidTask."""
    count = fields.task_run_request.get("count", 1)
    if count != 1:
        raise InvalidTask(
            f"start() gives back one identifier, but task_run_request.count is {count}. Use run() for several tasks."
        )
