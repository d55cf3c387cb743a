"""`ECSTask`: a command that runs as an Amazon ECS task, as configuration and as a thing that runs."""

from __future__ import annotations

import copy
import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TextIO

from pydantic import Field, model_validator

from ecs_block import legacy
from ecs_block.arn import parse_task_identifier
from ecs_block.aws import AwsCredentials, input_shape, redactor
from ecs_block.block import Block
from ecs_block.errors import InvalidTask
from ecs_block.oddity import warn_caller
from ecs_block.plan import checks, template
from ecs_block.plan.patch import JsonPatch
from ecs_block.plan.problems import location_of
from ecs_block.plan.result import ECSTaskResult, ECSTaskResults
from ecs_block.plan.secret import Text
from ecs_block.plan.written import Command, CpuUnits, Label, Mebibytes, Variables

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

    from ecs_block.engine.conversation import Conversation
    from ecs_block.engine.prepare import Run
    from ecs_block.engine.record import RunJournal
    from ecs_block.events import Hook, Progress
    from ecs_block.plan.checkup import Checkup, Finding

LaunchType = Literal["FARGATE", "EC2", "EXTERNAL", "FARGATE_SPOT", "MANAGED_INSTANCES"]
MOST_AT_ONCE = 100  # tasks that `map` runs at once unless told otherwise


class ECSTask(Block):
    """Run a command as an Amazon ECS task.

    Every field is optional. What was given is what is saved: nothing is rewritten. Raises InvalidTask, before any AWS call,
    for what cannot be right.
    """

    type: Literal["ecs-task"] = "ecs-task"
    """The slug of this type of block."""
    name: str | None = None
    """Name of the task: shown in log lines, and the default prefix of its log stream."""
    command: Command = []
    """Command of the main container, sent as an override; empty: the definition's own. A string is split as a shell would."""
    env: Variables = {}
    """Environment of the main container, sent as overrides and never written to the definition. A value may be a `SecretStr`
    or a reference such as `{"$secret": "env:NAME"}`. None removes the variable from the definition's container."""
    labels: dict[str, Label] = {}
    """Labels, which become the task's tags."""
    aws_credentials: AwsCredentials = Field(default_factory=AwsCredentials)
    """Who talks to AWS, and where. Unset: boto3's own chain."""
    task_definition_arn: str | None = None
    """An existing definition: ARN, `family:revision` or family. If other fields contradict it, a changed copy is registered
    and a warning says so. Excludes `task_definition`."""
    task_definition: dict[str, Any] | None = None
    """A definition to start from, as `register_task_definition` takes it."""
    task_run_request: dict[str, Any] = {}
    """Any other arguments of `run_task`. Fields that were set win over it, overrides are merged, and `task_customizations`
    are applied last."""
    family: str | None = None
    """Family to register the definition under; else the definition's own; else one that is made of its content."""
    container_name: str | None = None
    """Which container runs the command. Unset: the one named `main`; else, of a linked definition, the first; else a
    container `main` is added."""
    image: str | None = None
    """Image of the main container; else the definition's; else the official Python image that matches this interpreter."""
    auto_deregister_task_definition: bool = False
    """Deregister, after the run, a revision that this run registered and no other run of the process is using."""
    cpu: CpuUnits | None = None
    """CPU units (1024 are one vCPU; `"1 vCPU"` is accepted). Unset: the definition's, else 1024."""
    memory: Mebibytes | None = None
    """Memory in MiB (`"2 GB"` is accepted). Unset: the definition's, else 2048."""
    execution_role_arn: str | None = None
    """Role with which ECS itself pulls the image, reads secrets and writes logs; overrides the definition's."""
    task_role_arn: str | None = None
    """Role that the program in the container has; overrides the definition's."""
    configure_cloudwatch_logs: bool | None = None
    """Give the main container the `awslogs` driver; needs an execution role. Unset: follows `stream_output`."""
    cloudwatch_logs_options: dict[str, Text] = {}
    """Options of the `awslogs` driver, merged over the default ones; needs `configure_cloudwatch_logs` or `stream_output`."""
    stream_output: bool | None = None
    """Print the container's output while it runs: to stderr, or where the command line puts it."""
    launch_type: LaunchType | None = "FARGATE"
    """Where the task runs. `FARGATE_SPOT` is sent as a capacity provider strategy; `MANAGED_INSTANCES` needs one in
    `task_run_request`. None leaves the choice to `task_run_request` or the cluster."""
    vpc_id: str | None = None
    """VPC whose subnets are used with `awsvpc` networking; unset: the default VPC."""
    cluster: str | None = None
    """Name or ARN of the cluster; unset: the default cluster."""
    task_customizations: JsonPatch = JsonPatch()
    """JSON 6902 operations that are applied to the finished run request: a list, JSON text or a `JsonPatch`."""
    task_start_timeout_seconds: Annotated[int, Field(gt=0)] = 900
    """Seconds allowed to reach RUNNING; then the task is stopped and TaskStartTimeout raised."""
    task_run_timeout_seconds: Annotated[int, Field(gt=0)] | None = None
    """Seconds allowed after it started; then the task is stopped and TaskRunTimeout raised."""
    task_watch_poll_interval: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5.0
    """Longest pause between two looks at a task, in seconds; the first looks are quicker."""
    stop_on_interrupt: bool = True
    """Let Ctrl-C, SIGTERM or cancellation while waiting stop the task; False leaves it running."""
    spot_fallback: bool = False
    """Use on-demand FARGATE for the attempt after a Spot interruption, and when Spot has no capacity."""
    retries_on_interruption: Annotated[int, Field(ge=0)] = 0
    """How often the task is run again after AWS interrupted it (Spot, a lost host, a retirement)."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        needs_model = self.task_definition is not None or bool(self.task_run_request)
        found = checks.problems(
            self,
            register_shape=input_shape("RegisterTaskDefinition") if needs_model else None,
            run_shape=input_shape("RunTask") if needs_model else None,
        )
        if found:
            error = InvalidTask("\n".join(found))
            error.location = location_of(found[0])
            raise error
        for oddity in checks.oddities(self):
            warn_caller(oddity)
        return self

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        shown = redactor().payload(
            {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}
        )
        return [(name, value) for name, value in shown.items() if name != "type"]

    def _repr_html_(self) -> str:
        """Show in a notebook what the repr shows."""
        from ecs_block.plan import notebook

        return notebook.of_task(self.__repr_args__())

    @classmethod
    def _translate(cls, data: dict[str, Any]) -> dict[str, Any]:
        return legacy.translate(data) if legacy.is_legacy(data) else data

    # --- making one of something else -----------------------------------------------------------------------------------

    @classmethod
    def from_boto3_kwargs(cls, **kwargs: Any) -> Self:
        """Make a block of any mixture of `register_task_definition` and `run_task` arguments.

        They are sorted by botocore's model; the first container is the one that runs the command. Raises InvalidTask for an
        argument that neither takes.
        """
        return cls(**template.sort_arguments(kwargs, input_shape("RegisterTaskDefinition"), input_shape("RunTask")))

    def prepare_for_run(
        self,
        *,
        flow: Any = None,
        deployment: Any = None,
        flow_run: Any = None,
        name: str | None = None,
        command: str | Sequence[str] | None = None,
        env: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a copy for one run of a flow; each of the three is a name, or an object that has one.

        Its family is `ecs-block__<flow>__<deployment>` when no family is known otherwise; `name` (else the flow run's) names
        it where it has no name, `command` replaces the command, `env` and `labels` are added.
        """
        changes = template.for_run(self, flow, deployment, flow_run, name, command, env, labels)
        return self.model_copy(update=changes)

    def generate_work_pool_base_job_template(self) -> dict[str, Any]:
        """Give a base job template (`variables` as JSON schema, `job_configuration`) with this block's values as defaults.

        A secret value is left out; a reference to one is kept.
        """
        return template.base_job_template(self, type(self).model_json_schema())

    def preview(self) -> str:
        """Show as YAML what a run would send: the task definition and the run request, secrets masked. No AWS call is made."""
        from ecs_block.preview import preview

        return preview(self, self.aws_credentials)

    # --- running --------------------------------------------------------------------------------------------------------

    async def arun(
        self,
        *,
        run_id: str | None = None,
        on_event: Hook | None = None,
        output: TextIO | None = None,
        task_status: TaskStatus[str] | None = None,
    ) -> ECSTaskResult:
        """Run the command as a task and return its result.

        A program that ends badly is a result; raises TaskLaunchFailed, TaskStartFailed, TaskStartTimeout, TaskRunTimeout,
        OutcomeUnknown or AwsError when there is none. `on_event` receives what happens (`ecs_block.events`), `output` the
        container's lines (stderr by default), `task_status` the identifier as soon as the task runs.
        """
        from ecs_block.engine import run as engine
        from ecs_block.engine.signals import cancelled_by_signals

        async with cancelled_by_signals():
            return await engine.run(self._run(run_id, on_event, output), task_status)

    def run(
        self, *, run_id: str | None = None, on_event: Hook | None = None, output: TextIO | None = None
    ) -> ECSTaskResult:
        """Run the command as a task and wait for its result, as `arun` does."""
        from ecs_block.engine import bridge
        from ecs_block.engine import run as engine

        run = self._run(run_id, on_event, output)
        return bridge.block_on(lambda: engine.run(run), run.control)

    async def astart(self, *, run_id: str | None = None, on_event: Hook | None = None) -> str:
        """Launch the task and return its identifier as soon as AWS has accepted it, without waiting."""
        from ecs_block.engine import run as engine

        return await engine.start(self._run(run_id, on_event))

    def start(self, *, run_id: str | None = None, on_event: Hook | None = None) -> str:
        """Launch the task and return its identifier as soon as AWS has accepted it, without waiting."""
        from ecs_block.engine import bridge
        from ecs_block.engine import run as engine

        run = self._run(run_id, on_event)
        return bridge.block_on(lambda: engine.start(run), run.control)

    async def aattach(
        self, identifier: str, *, on_event: Hook | None = None, output: TextIO | None = None
    ) -> ECSTaskResult:
        """Wait for a task that somebody else started. Raises InfrastructureNotFound when AWS does not know it.

        Where the journal of this machine knows the task, its outcome is recorded there.
        """
        from ecs_block.engine import run as engine

        return await engine.attach(self._attachment(on_event, output), identifier)

    def attach(self, identifier: str, *, on_event: Hook | None = None, output: TextIO | None = None) -> ECSTaskResult:
        """Wait for a task that somebody else started. An interrupt leaves it running: it is not ours."""
        from ecs_block.engine import bridge
        from ecs_block.engine import run as engine
        from ecs_block.engine.prepare import Control

        run = self._attachment(on_event, output)
        return bridge.block_on(lambda: engine.attach(run, identifier), Control(only_reads=True))

    async def amap(
        self,
        commands: Iterable[str | Sequence[str] | Mapping[str, Any]],
        *,
        max_concurrency: int = MOST_AT_ONCE,
        run_id: str | Sequence[str] | None = None,
        on_event: Hook | None = None,
        on_progress: Progress | None = None,
        output: TextIO | None = None,
    ) -> AsyncIterator[ECSTaskResult]:
        """Run one task for each command (or mapping of fields to change) and yield the results as they end.

        One failure does not end the others; where `run` would raise, the result's `error` says it. Leaving the loop early
        stops what was started. `on_progress` is called with how many have ended, and how many there are. With a `run_id` each
        task is launched once, as with `run`, under an id of its own: `<run_id>/<index>`, or that of a sequence. Raises
        InvalidTask, naming the index, before anything is started.
        """
        from ecs_block.engine import many

        runs = self._runs(commands, max_concurrency, run_id, on_event, output)
        results = many.as_they_end(runs, max_concurrency, on_progress)
        try:
            async for _, result in results:
                yield result
        finally:
            await results.aclose()

    def map(
        self,
        commands: Iterable[str | Sequence[str] | Mapping[str, Any]],
        *,
        max_concurrency: int = MOST_AT_ONCE,
        run_id: str | Sequence[str] | None = None,
        on_event: Hook | None = None,
        on_progress: Progress | None = None,
        output: TextIO | None = None,
    ) -> ECSTaskResults:
        """Run one task for each command (or mapping of fields to change) and return the results in order, as `amap` does."""
        from ecs_block.engine import bridge, many

        runs = self._runs(commands, max_concurrency, run_id, on_event, output)
        if not runs:
            return ECSTaskResults()
        results = bridge.block_on(lambda: many.in_order(runs, max_concurrency, on_progress), runs[0].control)
        return ECSTaskResults(results)

    async def acheck(self, *, on_finding: Callable[[Finding], None] | None = None) -> Checkup:
        """Look at everything that a run needs, without starting one; the answer is true when a run would work.

        Credentials, cluster, capacity, definition, network, roles, log group, image and secrets. Nothing is changed at AWS.
        What may not be looked at is said, and does not count as a failure. `on_finding` is called with each finding.
        """
        from ecs_block.engine.check import check

        return await check(self._run(None, None), on_finding)

    def check(self, *, on_finding: Callable[[Finding], None] | None = None) -> Checkup:
        """Look at everything that a run needs, as `acheck` does."""
        from ecs_block.engine import bridge
        from ecs_block.engine.prepare import Control

        return bridge.block_on(lambda: self.acheck(on_finding=on_finding), Control(only_reads=True))

    async def akill(self, identifier: str, grace_seconds: int = 30) -> None:
        """Stop a task. One that has stopped already is fine. Nothing more is started for the run in the journal that has it.

        ECS takes the grace period from the container's `stopTimeout` (30 s by default), so another one warns. Raises
        InfrastructureNotAvailable for a task of another cluster than this block's, InfrastructureNotFound for one that AWS does
        not know.
        """
        from ecs_block.engine import stop

        if grace_seconds != 30:
            warnings.warn(
                f"grace_seconds={grace_seconds} has no effect: ECS takes the grace period from stopTimeout in the container's "
                "definition.",
                stacklevel=2,
            )
        conversation = self._conversation()
        named = parse_task_identifier(identifier)
        await stop.kill(conversation, named, self.cluster, "ecs_block: killed by the user", _journal())

    def kill(self, identifier: str, grace_seconds: int = 30) -> None:
        """Stop a task, as `akill` does."""
        from ecs_block.engine import bridge
        from ecs_block.engine.prepare import Control

        bridge.block_on(lambda: self.akill(identifier, grace_seconds), Control())

    # --- a definition that is set up once, and executed often ------------------------------------------------------------

    async def asetup(self, *, on_event: Hook | None = None) -> str:
        """Register the definition unless its family exists, and give the ARN of the family's latest revision.

        An existing family is left as it is, whatever it holds; a linked definition has to be there.
        """
        from ecs_block.engine import environment

        return await environment.set_up(self._run(None, on_event))

    def setup(self, *, on_event: Hook | None = None) -> str:
        """Register the definition unless its family exists, as `asetup` does."""
        from ecs_block.engine import bridge
        from ecs_block.engine.prepare import Control

        return bridge.block_on(lambda: self.asetup(on_event=on_event), Control())

    async def aexecute(
        self,
        *,
        env: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        on_event: Hook | None = None,
        output: TextIO | None = None,
    ) -> ECSTaskResult:
        """Run the family that `setup` registered, as it is, and return the result as `arun` does.

        The command is this block's, else that of its first container; `env` is added to this block's variables. Raises
        TaskDefinitionNotFound when the family is not there.
        """
        task = await self._to_execute(env)
        return await task.arun(run_id=run_id, on_event=on_event, output=output)

    def execute(
        self,
        *,
        env: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        on_event: Hook | None = None,
        output: TextIO | None = None,
    ) -> ECSTaskResult:
        """Run the family that `setup` registered, as `aexecute` does."""
        from ecs_block.engine import bridge
        from ecs_block.engine.prepare import Control

        task = bridge.block_on(lambda: self._to_execute(env), Control())
        return task.run(run_id=run_id, on_event=on_event, output=output)

    async def _to_execute(self, env: Mapping[str, Any] | None) -> Self:
        from ecs_block.engine import environment

        return type(self)(**await environment.to_execute(self._run(None, None), env or {}))

    # --- what the engine is given ---------------------------------------------------------------------------------------

    def _conversation(self) -> Conversation:
        from ecs_block.aws import Aws
        from ecs_block.engine.clock import SYSTEM_CLOCK
        from ecs_block.engine.conversation import Conversation

        return Conversation(Aws(self.aws_credentials), SYSTEM_CLOCK)

    def _run(
        self,
        run_id: str | None,
        hook: Hook | None,
        output: TextIO | None = None,
        *,
        stops: bool | None = None,
        conversation: Conversation | None = None,
    ) -> Run:
        from ecs_block.engine.order import check_run_id
        from ecs_block.engine.prepare import Run
        from ecs_block.engine.teller import Teller

        if run_id is not None:
            check_run_id(run_id)
        return Run(
            self,
            conversation or self._conversation(),
            Teller(self.name, hook, output),
            run_id=run_id,
            stops_on_interrupt=self.stop_on_interrupt if stops is None else stops,
            journal=None if run_id is None else _journal(run_id),
            profile=self.aws_credentials.profile_name,
        )

    def _attachment(self, hook: Hook | None, output: TextIO | None) -> Run:
        run = self._run(None, hook, output, stops=False)
        run.journal = _journal()
        return run

    def _runs(
        self,
        commands: Iterable[str | Sequence[str] | Mapping[str, Any]],
        max_concurrency: int,
        run_id: str | Sequence[str] | None,
        hook: Hook | None,
        output: TextIO | None,
    ) -> list[Run]:
        from ecs_block.engine.order import run_ids_of
        from ecs_block.engine.prepare import Control

        if max_concurrency < 1:
            raise InvalidTask(f"max_concurrency is {max_concurrency}; at least 1 task must run at a time.")
        control, conversation = Control(), self._conversation()
        commands = list(commands)
        run_ids = run_ids_of(run_id, len(commands))
        runs: list[Run] = []
        task, last = self, None
        for index, item in enumerate(commands):
            if item != last:
                changes = dict(item) if isinstance(item, Mapping) else {"command": item}
                if "run_id" in changes:
                    raise InvalidTask(
                        f"Item {index} of the commands holds a run_id; give map(..., run_id=[...]) instead."
                    )
                try:
                    task = self.model_copy(update=changes)
                except InvalidTask as error:
                    raise InvalidTask(f"Item {index} of the commands: {error} Nothing was started.") from None
                last = copy.deepcopy(item)  # what is the same is one block, and may be launched together
            shares = task.aws_credentials == self.aws_credentials
            run = task._run(run_ids[index], hook, output, conversation=conversation if shares else None)
            run.control = control
            runs.append(run)
        return runs


def _journal(run_id: str = "") -> RunJournal:
    from ecs_block.engine.journal import journal
    from ecs_block.engine.record import RunJournal

    return RunJournal(journal(), run_id)
