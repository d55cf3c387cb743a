"""The small tables and rules of the plan: Fargate's sizes, secrets, AWS's shapes, results."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, ValidationError

from ecs_block import ECSTaskResult, InvalidTask, TaskFailed
from ecs_block.aws import input_shape
from ecs_block.plan import fargate, result, shape
from ecs_block.plan.secret import MASK, Secret, SecretReference, Text, plain
from ecs_block.plan.verdict import judge

# --- Fargate's sizes ---


def test_the_pairs_of_fargate() -> None:
    """The table is AWS's: 8 CPU values, from 256 with 512 MiB to 32768 with 244 GB."""
    assert list(fargate.SIZES) == [256, 512, 1024, 2048, 4096, 8192, 16384, 32768]
    assert fargate.is_offered(256, 2048)
    assert not fargate.is_offered(256, 3072)
    assert fargate.is_offered(4096, 30720)
    assert not fargate.is_offered(8192, 17408)
    assert fargate.is_offered(8192, 20480)
    assert fargate.is_offered(16384, 122880)
    assert fargate.is_offered(32768, 249856)


@given(st.integers(1, 40_000), st.integers(1, 300_000))
def test_the_nearest_pair_is_offered_and_large_enough(cpu: int, memory: int) -> None:
    """The nearest pair is one that is offered, and has at least what was asked unless nothing is that large."""
    nearest = fargate.nearest(cpu, memory)
    assert fargate.is_offered(*nearest)
    if not fargate.is_beyond_table(cpu, memory):
        assert nearest[0] >= cpu
        assert nearest[1] >= memory
    if fargate.is_offered(cpu, memory):
        assert nearest == (cpu, memory)


CPU = [
    ("1024", 1024),
    ("1 vCPU", 1024),
    ("0.25vcpu", 256),
    (".5 vCPU", None),
    ("x", None),
    ("0.3 vCPU", None),
    ("0", None),
]
MEMORY = [("2048", 2048), ("2 GB", 2048), ("0.5GB", 512), ("512 MiB", 512), ("1 TB", None), ("-1", None), ("", None)]


@pytest.mark.parametrize(
    ("read", "text", "size"),
    [(fargate.cpu_units, *row) for row in CPU] + [(fargate.memory_mib, *row) for row in MEMORY],
)
def test_sizes_as_people_write_them(read: Any, text: str, size: int | None) -> None:
    """Sizes are read as AWS writes them, or refused with an example."""
    if size is not None:
        assert read(text) == size
    else:
        with pytest.raises(ValueError, match=r"is not a"):
            read(text)


# --- secrets ---


class Holder(BaseModel, hide_input_in_errors=True):
    text: Text = ""
    secret: Secret | None = None


@pytest.mark.parametrize("reference", ["env:NAME", "file:/run/x", "ssm:/a/b", "secretsmanager:arn:aws:x"])
def test_references(reference: str) -> None:
    """A reference is read in Python as in JSON, says where it points to, and shows no value."""
    holder = Holder(text={"$secret": reference}, secret={"$secret": reference})
    kind, _, name = reference.partition(":")
    for value in (holder.text, holder.secret):
        assert isinstance(value, SecretReference)
        assert (value.kind, value.name) == (kind, name)
        assert plain(value) == f"<secret from {reference}>"
    assert Holder.model_validate_json(holder.model_dump_json()) == holder


@pytest.mark.parametrize("text", ["xenv:A", "env:", "env:a\nb", "vault:x"])
def test_a_reference_made_by_itself_is_checked_too(text: str) -> None:
    """A SecretReference of no known kind, or of more than one line, cannot be made at all."""
    with pytest.raises(ValidationError):
        SecretReference.model_validate({"$secret": text})


REFUSED = [
    {"$secret": "vault:hunter2"},
    {"$secret": "env:"},
    {"$secret": "xenv:hunter2"},
    {"$secret": "file:hunter2\n"},
    {"$secret": 5},
    {"secret": "hunter2"},
    {"$secret": "env:X", "more": "hunter2"},
    MASK,
    "*" * 8,
    SecretStr(MASK),
    {"$secret": f"value:{MASK}"},
    "hunter2\0b",
    {"$secret": "value:hunter2\0b"},
    "hunter2\udcff",
]


@pytest.mark.parametrize("value", REFUSED)
@pytest.mark.parametrize("field", ["text", "secret"])
def test_what_is_no_secret(field: str, value: Any) -> None:
    """A mask, a reference of no kind and text that no process can receive are refused, and not quoted."""
    with pytest.raises(ValidationError) as error:
        Holder(**{field: value})
    assert "hunter" not in str(error.value)
    assert "input_value" not in str(error.value)


@pytest.mark.parametrize("value", ["*", "**", "* * * * *", "*" * 7, ""])
def test_a_few_asterisks_are_a_value(value: str) -> None:
    """`ALLOWED_HOSTS=*` is what it looks like: only a full mask is taken for one."""
    assert Holder(text=value).text == value


def test_text_given_as_secret_is_hidden() -> None:
    """A value that is secret by its place is hidden at once; text stays as it is given."""
    assert Holder(secret="hunter2").secret == SecretStr("hunter2")
    assert Holder(text="plain").text == "plain"
    assert Holder(text={"$secret": "value:hunter2"}).text == SecretStr("hunter2")
    assert Holder(text=5).text == "5"
    assert plain(SecretStr("hunter2")) == MASK


# --- shapes ---

PROBLEMS = [
    ({"containerDefinitions": "x", "family": "f"}, ["d.containerDefinitions must be a list, not str."]),
    ({"family": "f"}, ["d.containerDefinitions is missing; AWS requires it."]),
    (
        {"family": 5, "containerDefinitions": [{"nam": "x"}]},
        [
            "d.family must be a string, not int. Write it in quotes.",
            "d.containerDefinitions[0].nam is not known to AWS. Did you mean 'name'?",
        ],
    ),
    (
        {"family": "f", "containerDefinitions": [{"cpu": True, "essential": 1, "dockerLabels": {"a": None}}]},
        [
            "d.containerDefinitions[0].cpu must be a whole number, not bool.",
            "d.containerDefinitions[0].essential must be true or false, not int.",
            "d.containerDefinitions[0].dockerLabels.a must be a string, not null.",
        ],
    ),
    ([], ["d must be an object, not list."]),
]


@pytest.mark.parametrize(("value", "told"), PROBLEMS)
def test_shape_problems(value: Any, told: list[str]) -> None:
    """All that a value has wrong against botocore's model is told at once, by path, with the nearest name."""
    assert shape.problems(value, input_shape("RegisterTaskDefinition"), "d") == told


odd_values = st.recursive(
    st.sampled_from([None, "hunter2", 5, True]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["family", "tags", "volumes"]), inner),
)


@given(odd_values)
def test_shape_problems_quote_no_values(value: Any) -> None:
    """Any value at all gets an answer, and no value is quoted in it."""
    told = " ".join(shape.problems(value, input_shape("RegisterTaskDefinition"), "d"))
    assert "hunter2" not in told


# --- results ---

ARN = "arn:aws:ecs:us-east-1:1:task/default/abc"


def result_of(**task: Any) -> ECSTaskResult:
    task = {"taskArn": ARN, "stopCode": "EssentialContainerExited", **task}
    return result.result_of(task, judge(task, "main"), cluster="default", main="main")


def test_the_result_of_a_task() -> None:
    """A result holds what DescribeTasks says, the main container first."""
    now = datetime(2026, 11, 20, tzinfo=UTC)
    made = result_of(
        startedAt=now,
        containers=[{"name": "side", "exitCode": 9}, {"name": "main", "exitCode": 0, "image": "i", "runtimeId": "r"}],
    )
    assert (made.identifier, made.status_code, made.outcome) == (f"default::{ARN}", 0, "succeeded")
    assert (made.started_at, made.stopped_at) == (now, None)
    assert [container.name for container in made.containers] == ["main", "side"]
    assert bool(made)
    assert made.raise_for_status() is made


def test_a_failure_is_raised_with_its_last_lines() -> None:
    """raise_for_status raises TaskFailed with the reason, the result and the last lines of output."""
    made = result_of(containers=[{"name": "main", "exitCode": 3, "reason": "boom"}]).model_copy(
        update={"log_tail": ("one", "two")}
    )
    assert not made
    with pytest.raises(TaskFailed, match=r"failed with exit code 3\. boom") as error:
        made.raise_for_status()
    assert str(error.value).endswith("    one\n    two")
    assert (error.value.result, error.value.identifier) == (made, made.identifier)


def test_the_error_of_a_map_is_raised() -> None:
    """Where a result carries the exception that run() would have raised, that one is raised."""
    cause = InvalidTask("why")
    with pytest.raises(InvalidTask, match="why") as error:
        ECSTaskResult(outcome="unknown", error=cause).raise_for_status()
    assert error.value is cause


@pytest.mark.parametrize("outcome", ["failed", "start_failed", "stopped", "interrupted", "unknown"])
def test_only_success_is_true(outcome: Any) -> None:
    """A result is true when the task succeeded, and never else; without an exit code its status code is -1."""
    assert not ECSTaskResult(outcome=outcome)
    assert ECSTaskResult(outcome=outcome).status_code == -1
    assert "Task (none started)" in ECSTaskResult(outcome=outcome).headline()


def test_results_are_frozen_and_can_be_json() -> None:
    """A result cannot be changed, and its JSON tells an error by type and message."""
    made = ECSTaskResult(outcome="unknown", error=InvalidTask("why"))
    with pytest.raises((ValidationError, InvalidTask)):
        made.outcome = "succeeded"  # type: ignore[misc]
    assert json.loads(made.model_dump_json())["error"] == {"type": "InvalidTask", "message": "why"}


def test_several_results_are_the_worst_with_all() -> None:
    """Of several tasks the result is that of the worst, and holds each; of one it is that one."""
    good, bad = ECSTaskResult(outcome="succeeded", status_code=0), ECSTaskResult(outcome="failed", status_code=2)
    both = result.combined([good, bad])
    assert (both.outcome, both.status_code, both.tasks) == ("failed", 2, (good, bad))
    assert result.combined([good]) is good
