"""One run on a simulated clock: how it is launched, watched, stopped and judged."""

from __future__ import annotations

import gc
import tracemalloc

import anyio
import pytest
from scripted import After, FakeAws, SimulatedClock, life_of, lost, make_run, refused, simulate, throttled

from ecs_block import (
    AccessDenied,
    AwsError,
    InvalidTask,
    OutcomeUnknown,
    PatchError,
    TaskLaunchFailed,
    TaskRunTimeout,
    TaskStartFailed,
    TaskStartTimeout,
)
from ecs_block.engine import run as engine
from ecs_block.errors import Kind
from ecs_block.events import StatusChanged, TaskEnded, TaskLaunched

CAPACITY = "Capacity is unavailable at this time. Please try again later or in a different availability zone"


def nothing_started(reason: str) -> dict:
    return {"tasks": [], "failures": [{"reason": reason}]}


def run_once(backend="asyncio", *, prepare=lambda aws: None, seen=None, run_id=None, **fields):
    """Run a block against a fresh fake; gives the result (or raises) and the fake."""
    kept = {}

    async def work(clock: SimulatedClock):
        aws = kept["aws"] = FakeAws(clock)
        kept["clock"] = clock
        prepare(aws)
        kept["run"] = make_run(aws, clock, seen, run_id, **fields)
        return await engine.run(kept["run"])

    try:
        kept["result"] = simulate(work, backend)
    except Exception as error:
        kept["error"] = error
    return kept


def test_a_run_costs_one_call_of_each_kind(backend):
    """One run: one look for the family, one registration, one network look-up, one launch."""
    kept = run_once(backend)
    assert kept["result"].outcome == "succeeded"
    calls = kept["aws"].calls
    once = ["DescribeTaskDefinition", "RegisterTaskDefinition", "DescribeVpcs", "DescribeSubnets", "RunTask"]
    assert {name: calls[name] for name in once} == dict.fromkeys(once, 1)


def test_a_task_of_thirty_seconds_is_looked_at_twelve_times_at_most(backend):
    """First looks are quick, later ones come at the poll interval."""
    kept = run_once(backend, prepare=lambda aws: aws.lives.append(life_of(30)))
    assert kept["aws"].calls["DescribeTasks"] <= 12


def test_a_second_run_asks_nothing_that_the_first_one_learned(backend):
    """Definition and network are known to the process."""

    async def work(clock):
        aws = FakeAws(clock)
        await engine.run(make_run(aws, clock))
        aws.calls.clear()
        await engine.run(make_run(aws, clock))
        return aws.calls

    calls = simulate(work, backend)
    assert set(calls) == {"RunTask", "DescribeTasks"}


def test_what_happens_is_told_in_order():
    """Hooks receive the launch, each status and the end."""
    seen = []
    run_once(seen=seen)
    kinds = [type(event).__name__ for event in seen]
    assert kinds == ["NetworkReady", "DefinitionReady", "TaskLaunched", *["StatusChanged"] * 4, "TaskEnded"]
    assert [event.status for event in seen if isinstance(event, StatusChanged)] == [
        "PROVISIONING",
        "PENDING",
        "RUNNING",
        "STOPPED",
    ]
    assert isinstance(seen[2], TaskLaunched)
    assert isinstance(seen[-1], TaskEnded)
    assert seen[-1].result.identifier == seen[2].identifier


def test_a_hook_that_raises_harms_nothing(caplog):
    """It is reported once and not called again."""
    calls = []

    def hook(event):
        calls.append(event)
        raise RuntimeError("my own fault")

    async def work(clock):
        run = make_run(FakeAws(clock), clock)
        run.teller._hook = hook
        return await engine.run(run)

    assert simulate(work).outcome == "succeeded"
    assert len(calls) == 1
    assert sum("raised" in record.message for record in caplog.records) == 1


def test_a_task_that_ends_before_the_first_look_is_a_success(backend):
    """It is judged by its stop code and exit code, not by the statuses that were seen."""
    quick = [(0.0, {"lastStatus": "PROVISIONING"}), *life_of(0.0)[2:]]
    quick = [(min(at, 0.05), changes) for at, changes in quick]
    assert run_once(backend, prepare=lambda aws: aws.lives.append(quick))["result"].outcome == "succeeded"


def test_a_task_without_an_exit_code_is_no_success(backend):
    """No exit code is told as -1 and as a failure."""
    result = run_once(backend, prepare=lambda aws: aws.lives.append(life_of(1, code=None)))["result"]
    assert (result.outcome, result.status_code, bool(result)) == ("failed", -1, False)


def test_another_exit_code_is_a_result_and_no_exception(backend):
    """The program's failure is the caller's to judge."""
    result = run_once(backend, prepare=lambda aws: aws.lives.append(life_of(1, code=7)))["result"]
    assert (result.outcome, result.status_code) == ("failed", 7)


def test_a_failed_start_raises_with_the_cause_and_advice(backend):
    """AWS's words, then one sentence on what to do."""
    life = [
        (0.0, {"lastStatus": "PROVISIONING"}),
        (
            1.0,
            {
                "lastStatus": "STOPPED",
                "stopCode": "TaskFailedToStart",
                "stoppedReason": "CannotPullContainerError: pull access denied",
            },
        ),
    ]
    error = run_once(backend, prepare=lambda aws: aws.lives.append(life))["error"]
    assert isinstance(error, TaskStartFailed)
    assert "pull access denied" in str(error)
    assert "AmazonECSTaskExecutionRolePolicy" in error.advice
    assert error.result.outcome == "start_failed"


# --- launch ------------------------------------------------------------------------------------------------------------


def test_failures_without_a_task_are_told_with_every_reason():
    """RunTask answers 200 and starts nothing; a definite reason ends the launch at once."""
    answer = {"tasks": [], "failures": [{"reason": "LOCATION"}, {"reason": "ATTRIBUTE", "detail": "gpu"}]}
    kept = run_once(prepare=lambda aws: aws.answer_next("RunTask", answer))
    assert isinstance(kept["error"], TaskLaunchFailed)
    assert kept["error"].reasons == ("LOCATION", "ATTRIBUTE (gpu)")
    assert kept["aws"].calls["RunTask"] == 1


@pytest.mark.parametrize("reason", [CAPACITY, "RESOURCE:MEMORY", "AGENT"])
def test_passing_failures_are_tried_again_with_another_token(reason, backend):
    """A token that brought only failures is bound to them."""
    kept = run_once(backend, prepare=lambda aws: aws.answer_next("RunTask", *[nothing_started(reason)] * 3))
    assert kept["result"].outcome == "succeeded"
    tokens = [params["clientToken"] for params in kept["aws"].sent("RunTask")]
    assert len(set(tokens)) == 4
    assert all(len(token) <= 64 for token in tokens)


def test_capacity_is_waited_for_until_the_start_timeout():
    """Then TaskLaunchFailed says why."""
    kept = run_once(
        prepare=lambda aws: aws.answer_next("RunTask", *[nothing_started(CAPACITY)] * 1000),
        task_start_timeout_seconds=120,
    )
    assert isinstance(kept["error"], TaskLaunchFailed)
    assert 60 <= kept["clock"].now() <= 120


def test_a_task_that_was_started_in_spite_of_failures_is_found(backend):
    """AWS has been seen to report a failure for a task that then ran: it is adopted, not doubled."""

    def prepare(aws):
        real = aws.RunTask
        first = []

        def run_task(**params):
            answer = real(**params)
            if not first:
                first.append(answer)
                return nothing_started("AGENT")
            return answer

        aws.RunTask = run_task

    kept = run_once(backend, prepare=prepare)
    assert kept["result"].outcome == "succeeded"
    assert len(kept["aws"].tasks) == 1


def test_throttled_launches_are_sent_again_with_the_same_token():
    """A throttle is no answer; the request stays the same one."""
    kept = run_once(prepare=lambda aws: aws.answer_next("RunTask", *[throttled()] * 5))
    assert kept["result"].outcome == "succeeded"
    assert len({params["clientToken"] for params in kept["aws"].sent("RunTask")}) == 1


def test_an_answer_lost_four_times_starts_one_task(backend):
    """Each sending takes effect and its answer is lost: the same token gives the same task."""
    kept = run_once(backend, prepare=lambda aws: aws.answer_next("RunTask", *[After(lost()) for _ in range(4)]))
    assert kept["result"].outcome == "succeeded"
    assert len(kept["aws"].tasks) == 1


def test_a_launch_that_is_never_answered_is_looked_for():
    """All answers lost: the task is found by its startedBy."""
    kept = run_once(
        prepare=lambda aws: aws.answer_next("RunTask", After(lost()), *[lost()] * 500), task_start_timeout_seconds=60
    )
    assert len(kept["aws"].tasks) == 1
    assert kept["result"].outcome == "succeeded"


def test_a_launch_of_which_nothing_is_known_is_unknown():
    """No answer and no evidence: said as such, and nothing is started in its place."""
    kept = run_once(prepare=lambda aws: aws.answer_next("RunTask", *[lost()] * 500), task_start_timeout_seconds=60)
    assert isinstance(kept["error"], OutcomeUnknown)
    assert "list-tasks --started-by" in str(kept["error"])
    assert not kept["aws"].tasks


def test_a_refused_launch_is_not_tried_again():
    """A denied permission does not pass."""
    denied = AccessDenied("ecs:RunTask failed: not authorized", kind=Kind.DENIED, code="AccessDeniedException")
    kept = run_once(prepare=lambda aws: aws.answer_next("RunTask", denied))
    assert kept["error"] is denied
    assert kept["aws"].calls["RunTask"] == 1


def test_the_quota_of_provisioning_tasks_is_waited_for():
    """It comes as a ClientException, and is a throttle all the same."""
    said = "The maximum number of tasks in the PROVISIONING state has been reached"
    full = refused("ClientException", said, Kind.THROTTLED)
    kept = run_once(prepare=lambda aws: aws.answer_next("RunTask", full, full))
    assert kept["result"].outcome == "succeeded"


def test_spot_without_capacity_falls_back(backend):
    """With spot_fallback the next request asks for on-demand FARGATE."""
    kept = run_once(
        backend,
        prepare=lambda aws: aws.answer_next("RunTask", nothing_started(CAPACITY)),
        launch_type="FARGATE_SPOT",
        spot_fallback=True,
    )
    spot, on_demand = kept["aws"].sent("RunTask")
    assert spot["capacityProviderStrategy"] == [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    assert on_demand["launchType"] == "FARGATE"
    assert "capacityProviderStrategy" not in on_demand


def test_a_definition_that_was_deregistered_meanwhile_is_registered_again():
    """Between the look and the launch somebody deregistered it; no task was made, so one more try is safe."""

    async def work(clock):
        aws = FakeAws(clock)
        await engine.run(make_run(aws, clock))
        aws.DeregisterTaskDefinition(next(iter(aws.definitions)))
        return await engine.run(make_run(aws, clock))

    result = simulate(work)
    assert result.outcome == "succeeded"
    assert result.task_definition_arn.endswith(":2")


def test_a_part_of_the_tasks_is_completed():
    """Of three tasks one is started and two fail for now: the rest is asked for, no more."""

    def prepare(aws):
        real = aws.RunTask
        calls = []

        def run_task(**params):
            calls.append(params)
            if len(calls) == 1:
                answer = real(**{**params, "count": 1})
                return {**answer, "failures": [{"reason": "RESOURCE:CPU"}] * 2}
            return real(**params)

        aws.RunTask = run_task

    kept = run_once(prepare=prepare, task_run_request={"count": 3})
    assert len(kept["aws"].tasks) == 3
    assert [params["count"] for params in kept["aws"].sent("RunTask")] == [3, 2]
    assert len(kept["result"].tasks) == 3


def test_a_part_that_cannot_be_completed_is_stopped():
    """No ghost is left of a launch that failed."""

    def prepare(aws):
        real = aws.RunTask
        aws.RunTask = lambda **params: {**real(**{**params, "count": 1}), "failures": [{"reason": "ATTRIBUTE"}]}

    kept = run_once(prepare=prepare, task_run_request={"count": 2})
    assert isinstance(kept["error"], TaskLaunchFailed)
    assert kept["aws"].calls["StopTask"] == 1


def test_the_worst_of_several_tasks_speaks_for_all():
    """`count` tasks: the result is the worst one's, and `tasks` holds each."""

    def prepare(aws):
        aws.lives += [life_of(1), life_of(2, code=3), life_of(3)]

    result = run_once(prepare=prepare, task_run_request={"count": 3})["result"]
    assert result.status_code == 3
    assert sorted(task.status_code for task in result.tasks) == [0, 0, 3]


def test_the_same_run_id_gives_the_same_task_and_its_outcome(backend):
    """Running or ended: AWS knows the token. Of an ended task RunTask tells only that it has ended."""

    async def work(clock):
        aws = FakeAws(clock)
        aws.lives.append(life_of(10, code=3))
        real = aws.RunTask

        def run_task(**params):
            answer = real(**params)
            short = {"taskArn", "lastStatus", "desiredStatus"}
            ended = answer["tasks"][0]["lastStatus"] == "STOPPED"
            tasks = [{key: task[key] for key in short & set(task)} if ended else task for task in answer["tasks"]]
            return {**answer, "tasks": tasks}

        aws.RunTask = run_task
        results = []

        async def one():
            results.append(await engine.run(make_run(aws, clock, run_id="nightly")))

        async with anyio.create_task_group() as group:
            group.start_soon(one)
            group.start_soon(one)
        await one()
        return aws, results

    aws, results = simulate(work, backend)
    assert len(aws.tasks) == 1
    assert [result.status_code for result in results] == [3, 3, 3]
    assert len({result.identifier for result in results}) == 1


# --- before the launch -------------------------------------------------------------------------------------------------


def changes_nothing(kept) -> bool:
    return not {"RegisterTaskDefinition", "RunTask", "StopTask"} & set(kept["aws"].calls)


def test_a_patch_that_does_not_apply_is_told_before_anything_is_registered():
    """The error names index, operation and path."""
    kept = run_once(task_customizations=[{"op": "remove", "path": "/nothing"}])
    assert isinstance(kept["error"], PatchError)
    assert "[0] (remove /nothing)" in str(kept["error"])
    assert changes_nothing(kept)


def test_a_patch_may_make_no_request_that_aws_cannot_read():
    """The result is checked against botocore's own model."""
    kept = run_once(task_customizations=[{"op": "add", "path": "/lanchType", "value": "EC2"}])
    assert isinstance(kept["error"], InvalidTask)
    assert "launchType" in str(kept["error"])
    assert changes_nothing(kept)


def test_a_patch_that_gives_subnets_spares_the_look_up():
    """No default VPC is needed then."""
    patch = [{"op": "add", "path": "/networkConfiguration/awsvpcConfiguration/subnets", "value": ["subnet-1"]}]
    kept = run_once(prepare=lambda aws: aws.vpcs.clear(), task_customizations=patch)
    assert kept["result"].outcome == "succeeded"
    assert kept["aws"].calls["DescribeSubnets"] == 0


def test_a_patch_of_a_found_subnet_applies_to_the_real_ones():
    """What cannot apply to a placeholder may apply to what was looked up."""
    patch = [{"op": "remove", "path": "/networkConfiguration/awsvpcConfiguration/subnets/2"}]
    kept = run_once(task_customizations=patch)
    [request] = kept["aws"].sent("RunTask")
    assert request["networkConfiguration"]["awsvpcConfiguration"]["subnets"] == ["subnet-a", "subnet-b"]


@pytest.mark.parametrize("path", ["/clientToken", "/startedBy"])
def test_with_a_run_id_no_patch_touches_its_identity(path):
    """They tie the request to the run id."""
    kept = run_once(run_id="nightly", task_customizations=[{"op": "add", "path": path, "value": "x"}])
    assert isinstance(kept["error"], PatchError)
    assert changes_nothing(kept)


def test_no_default_vpc_is_an_invalid_task():
    """Only AWS could tell; the class is the same."""
    kept = run_once(prepare=lambda aws: aws.vpcs.clear())
    assert isinstance(kept["error"], InvalidTask)
    assert "vpc_id" in str(kept["error"])
    assert changes_nothing(kept)


def test_a_vpc_without_subnets_is_an_invalid_task():
    """It names the VPC."""
    kept = run_once(prepare=lambda aws: aws.subnets.clear(), vpc_id="vpc-empty")
    assert isinstance(kept["error"], InvalidTask)
    assert "vpc-empty" in str(kept["error"])


def test_all_pages_of_subnets_are_read_and_zones_come_first():
    """At most 16 subnets, one of each zone before a second one of any."""

    def prepare(aws):
        aws.subnets = [
            {"SubnetId": f"subnet-{zone}{n:02}", "AvailabilityZone": zone} for zone in "ab" for n in range(12)
        ]

    kept = run_once(prepare=prepare)
    [request] = kept["aws"].sent("RunTask")
    subnets = request["networkConfiguration"]["awsvpcConfiguration"]["subnets"]
    assert len(subnets) == 16
    assert sum(name.startswith("subnet-a") for name in subnets) == 8


@pytest.mark.parametrize("error", [throttled(), lost()])
def test_a_look_that_fails_for_now_never_leads_to_a_registration(error):
    """Only "no such family" means absent."""
    kept = run_once(prepare=lambda aws: aws.answer_next("DescribeTaskDefinition", *[error] * 100))
    assert kept["error"] is error
    assert changes_nothing(kept)


def test_a_denied_look_never_leads_to_a_registration():
    """The missing permission is told instead of hidden."""
    denied = AccessDenied("denied", kind=Kind.DENIED)
    kept = run_once(prepare=lambda aws: aws.answer_next("DescribeTaskDefinition", denied))
    assert kept["error"] is denied
    assert changes_nothing(kept)


def test_concurrent_registration_by_another_process_is_looked_at_again():
    """ "Too many concurrent attempts": back off, look again, reuse what the other one registered."""

    def prepare(aws):
        other = refused("ClientException", "Too many concurrent attempts to create a new revision", Kind.THROTTLED)
        aws.answer_next("RegisterTaskDefinition", After(other))

    kept = run_once(prepare=prepare)
    assert kept["result"].outcome == "succeeded"
    assert kept["aws"].calls["RegisterTaskDefinition"] == 1
    assert kept["result"].task_definition_arn.endswith(":1")


def test_a_linked_definition_that_is_inactive_is_told_before_the_launch():
    """It names the revision and what to use instead."""

    def prepare(aws):
        aws.RegisterTaskDefinition(family="mine", containerDefinitions=[{"name": "app", "image": "x"}])
        aws.DeregisterTaskDefinition("mine")

    kept = run_once(prepare=prepare, task_definition_arn="mine:1")
    assert isinstance(kept["error"], InvalidTask)
    assert "INACTIVE" in str(kept["error"])


def linked(aws, **more):
    aws.RegisterTaskDefinition(
        family="mine",
        containerDefinitions=[{"name": "app", "image": "x", "essential": True}],
        compatibilities=["EC2", "FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        **more,
    )


def test_a_linked_definition_without_contradictions_is_used_as_it_is():
    """Roles, sizes, command and environment travel in the overrides."""
    kept = run_once(
        prepare=linked,
        task_definition_arn="mine",
        cpu=512,
        memory=1024,
        task_role_arn="arn:aws:iam::1:role/r",
        env={"A": "1"},
    )
    [request] = kept["aws"].sent("RunTask")
    assert request["taskDefinition"].endswith("mine:1")
    assert request["overrides"]["containerOverrides"][0]["name"] == "app"
    assert request["overrides"]["taskRoleArn"] == "arn:aws:iam::1:role/r"
    assert kept["aws"].calls["RegisterTaskDefinition"] == 0


def test_a_contradicted_linked_definition_is_copied_with_a_warning(caplog):
    """The copy is registered, the warning says so, and what only AWS writes is left out."""
    kept = run_once(prepare=linked, task_definition_arn="mine", image="other")
    [registered] = kept["aws"].sent("RegisterTaskDefinition")
    assert registered["containerDefinitions"][0]["image"] == "other"
    assert not {"status", "revision", "compatibilities", "taskDefinitionArn"} & set(registered)
    assert any("changed copy" in record.message for record in caplog.records)


def test_a_linked_definition_without_the_role_that_logging_needs_is_refused():
    """Told before anything is registered."""
    kept = run_once(prepare=linked, task_definition_arn="mine", stream_output=True)
    assert isinstance(kept["error"], InvalidTask)
    assert "execution_role_arn" in str(kept["error"])
    assert kept["aws"].calls["RegisterTaskDefinition"] == 0


def test_auto_deregister_takes_only_what_this_run_registered():
    """A second run that reused the revision leaves it."""

    async def work(clock):
        aws = FakeAws(clock)
        first = await engine.run(make_run(aws, clock, auto_deregister_task_definition=False))
        assert first
        await engine.run(make_run(aws, clock, auto_deregister_task_definition=True))
        reused = aws.calls["DeregisterTaskDefinition"]
        await engine.run(make_run(aws, clock, image="new", auto_deregister_task_definition=True))
        return reused, aws.calls["DeregisterTaskDefinition"]

    assert simulate(work) == (0, 1)


def test_concurrent_runs_keep_a_revision_until_the_last_one_ends():
    """No run deregisters what another one of the process is using."""

    async def work(clock):
        aws = FakeAws(clock)
        aws.lives += [life_of(1), life_of(50)]
        ends = []

        async def one():
            await engine.run(make_run(aws, clock, auto_deregister_task_definition=True))
            ends.append(aws.calls["DeregisterTaskDefinition"])

        async with anyio.create_task_group() as group:
            group.start_soon(one)
            group.start_soon(one)
        return ends

    assert simulate(work) == [0, 1]


def test_a_failed_deregistration_does_not_lose_the_result(caplog):
    """It is a warning."""
    denied = AccessDenied("denied", kind=Kind.DENIED)
    kept = run_once(
        prepare=lambda aws: aws.answer_next("DeregisterTaskDefinition", denied), auto_deregister_task_definition=True
    )
    assert kept["result"].outcome == "succeeded"
    assert any("was not deregistered" in record.message for record in caplog.records)


# --- watching ----------------------------------------------------------------------------------------------------------


def test_a_permission_that_is_denied_for_a_moment_fails_nothing():
    """As happens while somebody changes a policy."""
    denied = AccessDenied("not authorized to perform ecs:DescribeTasks", kind=Kind.DENIED)
    kept = run_once(prepare=lambda aws: aws.answer_next("DescribeTasks", *[denied] * 3))
    assert kept["result"].outcome == "succeeded"


@pytest.mark.parametrize("error", [throttled(), lost(), refused("ExpiredTokenException", "expired", Kind.CREDENTIALS)])
def test_reading_errors_never_fail_a_run(error, backend):
    """Ten minutes of them, and the result is right afterwards."""
    life = life_of(300)
    kept = run_once(
        backend,
        prepare=lambda aws: (aws.lives.append(life), aws.answer_next("DescribeTasks", *[error] * 60)),
    )
    assert kept["result"].outcome == "succeeded"
    assert kept["clock"].now() >= 300


@pytest.mark.parametrize("error", [throttled(), lost(), refused("ServerException", "500", Kind.TRANSIENT)])
def test_ten_minutes_without_aws_cost_no_result(error, backend):
    """Every call fails from the first minute to the eleventh, while tasks run and end: all results are right afterwards."""

    async def work(clock):
        aws = FakeAws(clock)
        aws.lives += [life_of(20.0 + 40 * number, code=number) for number in range(20)]
        real = aws.call

        async def call(service, operation, **params):
            if 60 <= clock.now() < 660:
                await clock.sleep(1.0)
                raise error
            return await real(service, operation, **params)

        aws.call = call
        results = {}

        async def one(number):
            results[number] = await engine.run(make_run(aws, clock))

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(one, number)
        return clock.now(), sorted(result.status_code for result in results.values()), aws.calls["RunTask"]

    ended, codes, launches = simulate(work, backend)
    assert codes == list(range(20))
    assert launches == 20
    assert 780 <= ended <= 840


def test_a_task_that_is_missing_at_first_is_waited_for():
    """AWS does not know a task for some seconds after it has accepted it."""
    life = [
        (0.0, {"lastStatus": "GONE"}),
        (20.0, {"lastStatus": "PROVISIONING"}),
        *[(at + 21, c) for at, c in life_of(5)[1:]],
    ]
    life = [(0.0, {"lastStatus": "PROVISIONING"}), (0.1, {"lastStatus": "GONE"}), *life[1:]]
    assert run_once(prepare=lambda aws: aws.lives.append(life))["result"].outcome == "succeeded"


def test_a_task_that_stays_missing_is_unknown():
    """After a minute nobody can know, and the run says so instead of spinning."""
    life = [*life_of(5)[:3], (4.0, {"lastStatus": "GONE"})]
    kept = run_once(prepare=lambda aws: aws.lives.append(life))
    assert isinstance(kept["error"], OutcomeUnknown)
    assert kept["error"].result.outcome == "unknown"
    assert 60 <= kept["clock"].now() <= 90
    assert kept["aws"].calls["RunTask"] == 1


def test_an_old_answer_does_not_turn_a_task_back():
    """A lower version is an old copy: RUNNING is not followed by PENDING."""
    seen = []

    def prepare(aws):
        real = aws.DescribeTasks
        first = []

        def describe(**params):
            answer = real(**params)
            [task] = answer["tasks"]
            if task["lastStatus"] == "RUNNING":
                first.append(task)
            if len(first) == 2:
                return {"tasks": [{**task, "lastStatus": "PENDING", "version": 2}], "failures": []}
            return answer

        aws.DescribeTasks = describe

    run_once(prepare=prepare, seen=seen)
    statuses = [event.status for event in seen if isinstance(event, StatusChanged)]
    assert statuses == ["PROVISIONING", "PENDING", "RUNNING", "STOPPED"]


def test_a_start_that_takes_too_long_stops_the_task():
    """TaskStartTimeout, and nothing is left running."""
    stuck = [(0.0, {"lastStatus": "PROVISIONING"}), (1.0, {"lastStatus": "PENDING"})]
    kept = run_once(prepare=lambda aws: aws.lives.append(stuck), task_start_timeout_seconds=60)
    assert isinstance(kept["error"], TaskStartTimeout)
    assert "PENDING" in str(kept["error"])
    assert kept["error"].result.outcome == "stopped"
    assert kept["aws"].calls["StopTask"] == 1


def test_a_run_that_takes_too_long_stops_the_task(backend):
    """TaskRunTimeout counts from the start of the task, not of the launch."""
    kept = run_once(backend, prepare=lambda aws: aws.lives.append(life_of(500)), task_run_timeout_seconds=100)
    assert isinstance(kept["error"], TaskRunTimeout)
    assert 102 <= kept["clock"].now() <= 112
    [stop] = kept["aws"].sent("StopTask")
    assert "task_run_timeout_seconds" in stop["reason"]


def test_a_task_that_ended_by_itself_before_the_stop_arrived_is_judged_by_its_end():
    """The truth is what AWS says in the end, not what we meant to do."""

    def prepare(aws):
        aws.lives.append(life_of(99.9))
        aws.StopTask = lambda **params: {"task": {}}

    kept = run_once(prepare=prepare, task_run_timeout_seconds=95)
    assert kept["result"].outcome == "succeeded"


def test_a_task_that_cannot_be_watched_is_stopped():
    """A DescribeTasks that stays denied is told after a minute, and leaves no ghost."""
    denied = AccessDenied("not authorized to perform ecs:DescribeTasks", kind=Kind.DENIED)
    kept = run_once(
        prepare=lambda aws: (aws.lives.append(life_of(500)), aws.answer_next("DescribeTasks", *[denied] * 500))
    )
    assert 60 <= kept["clock"].now() <= 120
    assert isinstance(kept["error"], AwsError)
    assert kept["aws"].calls["StopTask"] == 1


@pytest.mark.parametrize(("apart", "looks"), [(0.0, 11), (0.01, 13)], ids=["at once", "one by one"])
def test_three_hundred_runs_share_the_looks(backend, apart, looks):
    """One DescribeTasks for each hundred tasks and look: tasks launched one by one come into step."""

    async def work(clock):
        aws = FakeAws(clock)
        aws.lives += [life_of(30) for _ in range(300)]

        async def one(number):
            await clock.sleep(number * apart)
            await engine.run(make_run(aws, clock))

        async with anyio.create_task_group() as group:
            for number in range(300):
                group.start_soon(one, number)
        return aws

    aws = simulate(work, backend)
    assert aws.calls["DescribeTasks"] <= 3 * looks  # full calls only
    assert aws.calls["RegisterTaskDefinition"] == aws.calls["DescribeSubnets"] == 1
    assert aws.calls["RunTask"] == 300


def test_another_run_takes_over_the_watch_when_its_worker_goes(backend):
    """The run that does the looking for all is cancelled; the others still end."""

    async def work(clock):
        aws = FakeAws(clock)
        aws.lives += [life_of(20) for _ in range(5)]
        results = []

        async def one(scope):
            with scope:
                results.append(await engine.run(make_run(aws, clock)))

        async with anyio.create_task_group() as group:
            scopes = [anyio.CancelScope() for _ in range(5)]
            for scope in scopes:
                group.start_soon(one, scope)
            await clock.sleep(5)
            scopes[0].cancel()
        return aws, results

    aws, results = simulate(work, backend)
    assert [result.outcome for result in results] == ["succeeded"] * 4
    assert aws.calls["StopTask"] == 1


# --- interruption ------------------------------------------------------------------------------------------------------


def interrupted(aws):
    aws.lives.append(life_of(3, code=143, stopCode="SpotInterruption", stoppedReason="Your Spot Task was interrupted."))


def test_an_interruption_is_no_failure_of_the_program():
    """It is a result of its own."""
    result = run_once(prepare=interrupted)["result"]
    assert (result.outcome, result.status_code) == ("interrupted", 143)


def test_an_interrupted_task_is_run_again_as_a_new_attempt(backend):
    """With the attempt and the run in its environment, and on-demand capacity if allowed."""
    kept = run_once(
        backend,
        prepare=interrupted,
        retries_on_interruption=1,
        launch_type="FARGATE_SPOT",
        spot_fallback=True,
    )
    assert (kept["result"].outcome, kept["result"].attempt) == ("succeeded", 2)
    first, second = kept["aws"].sent("RunTask")
    attempts = []
    for request in (first, second):
        [main] = request["overrides"]["containerOverrides"]
        attempts.append({item["name"]: item["value"] for item in main["environment"]})
    assert [variables["ECS_BLOCK_ATTEMPT"] for variables in attempts] == ["1", "2"]
    assert attempts[0]["ECS_BLOCK_RUN_ID"] == attempts[1]["ECS_BLOCK_RUN_ID"]
    assert second["launchType"] == "FARGATE"


def test_interruptions_end_when_the_retries_are_used_up():
    """The last one is the result."""
    kept = run_once(prepare=lambda aws: (interrupted(aws), interrupted(aws)), retries_on_interruption=1)
    assert kept["result"].outcome == "interrupted"
    assert kept["aws"].calls["RunTask"] == 2


# --- cancellation ------------------------------------------------------------------------------------------------------


def cancelled_after(seconds, backend, prepare=lambda aws: None, **fields):
    async def work(clock):
        aws = FakeAws(clock)
        aws.lives.append(life_of(1000))
        prepare(aws)

        async def one(scope):
            with scope:
                await engine.run(make_run(aws, clock, **fields))

        async with anyio.create_task_group() as group:
            scope = anyio.CancelScope()
            group.start_soon(one, scope)
            await clock.sleep(seconds)
            scope.cancel()
        return aws

    return simulate(work, backend)


def test_cancellation_stops_the_task(backend):
    """And sees its end."""
    aws = cancelled_after(10, backend)
    [task] = aws.tasks
    assert aws._seen(task)["lastStatus"] == "STOPPED"


def test_a_block_may_want_its_task_left_running(backend):
    """stop_on_interrupt=False."""
    aws = cancelled_after(10, backend, stop_on_interrupt=False)
    assert aws.calls["StopTask"] == 0


def test_cancellation_between_lost_answers_stops_what_was_started(backend):
    """Nobody told us of the task; it is looked for, and stopped."""
    aws = cancelled_after(5, backend, prepare=lambda aws: aws.answer_next("RunTask", After(lost()), *[lost()] * 100))
    assert len(aws.tasks) == 1
    assert aws.calls["StopTask"] == 1


# --- the other verbs ---------------------------------------------------------------------------------------------------


def test_start_gives_the_identifier_without_waiting(backend):
    """`cluster::task_arn`, the cluster's ARN where none was named."""

    async def work(clock):
        aws = FakeAws(clock)
        identifier = await engine.start(make_run(aws, clock))
        named = await engine.start(make_run(aws, clock, cluster="batch"))
        return aws, identifier, named

    aws, identifier, named = simulate(work, backend)
    assert identifier.startswith("arn:aws:ecs:eu-test-1:1:cluster/default::arn:aws:ecs")
    assert named.startswith("batch::arn:aws:ecs")
    assert aws.calls["DescribeTasks"] == 0


def test_start_refuses_several_tasks():
    """One identifier cannot name them."""

    async def work(clock):
        await engine.start(make_run(FakeAws(clock), clock, task_run_request={"count": 2}))

    with pytest.raises(InvalidTask, match="count"):
        simulate(work)


def test_attach_waits_for_a_task_of_somebody_else(backend):
    """It finds the main container and gives the result; a cancellation leaves the task alone."""

    async def work(clock):
        aws = FakeAws(clock)
        aws.lives.append(life_of(5, code=4))
        identifier = await engine.start(make_run(aws, clock))
        run = make_run(aws, clock)
        run.stops_on_interrupt = False
        return await engine.attach(run, identifier)

    assert simulate(work, backend).status_code == 4


def test_the_started_signal_comes_when_the_task_runs(backend):
    """anyio's TaskStatus hears the identifier while the task is still running."""

    async def work(clock):
        aws = FakeAws(clock)
        aws.lives.append(life_of(100))
        async with anyio.create_task_group() as group:

            async def one(*, task_status):
                await engine.run(make_run(aws, clock), task_status)

            identifier = await group.start(one)
            at = clock.now()
        return identifier, at, clock.now()

    identifier, at, end = simulate(work, backend)
    assert "::arn:" in identifier
    assert 2 <= at <= 7
    assert end >= 100


def test_waiting_costs_no_memory():
    """Two hundred tasks of ten minutes: what is allocated after one minute is what is allocated after nine."""

    async def work(clock):
        aws = FakeAws(clock)
        aws.requests = Forgetful()
        aws.lives += [life_of(600) for _ in range(200)]
        sizes = []
        async with anyio.create_task_group() as group:
            for _ in range(200):
                group.start_soon(engine.run, make_run(aws, clock))
            tracemalloc.start()
            for _ in range(9):
                await clock.sleep(60)
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
            tracemalloc.stop()
        return sizes

    sizes = simulate(work)
    assert sizes[-1] - sizes[1] < 200 * 200  # bytes


class Forgetful(list):
    """A record of requests that keeps none."""

    def append(self, item):
        pass
