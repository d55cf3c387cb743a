"""Names: ARNs and identifiers, the public names of the library, and the tree of its errors."""

from __future__ import annotations

import importlib
import inspect
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ecs_block
from ecs_block import InvalidTask, errors, get_container, parse_task_identifier
from ecs_block.arn import TaskIdentifier, cluster_of, same_cluster, short_name

CLUSTER = "arn:aws:ecs:us-east-1:123456789012:cluster/batch"
TASK = "arn:aws:ecs:us-east-1:123456789012:task/batch/0123456789abcdef"
OLD_TASK = "arn:aws:ecs:us-east-1:123456789012:task/0123456789abcdef"

# --- identifiers ---


@pytest.mark.parametrize(
    ("identifier", "cluster", "arn"),
    [
        (f"batch::{TASK}", "batch", TASK),
        (f"{CLUSTER}::{TASK}", CLUSTER, TASK),
        (TASK, "batch", TASK),
        (OLD_TASK, "default", OLD_TASK),
        ("batch::0123", "batch", "0123"),
        (TASK.replace("arn:aws:", "arn:aws-cn:"), "batch", TASK.replace("arn:aws:", "arn:aws-cn:")),
    ],
)
def test_identifiers(identifier: str, cluster: str, arn: str) -> None:
    """An identifier is cluster and task; of a bare ARN the cluster is the one in it, else the default one."""
    assert parse_task_identifier(identifier) == (cluster, arn)


@pytest.mark.parametrize("identifier", ["", "::", "batch::", f"::{TASK}", "batch", f"a::b::{TASK}", CLUSTER])
def test_what_is_no_identifier(identifier: str) -> None:
    """Anything else is an InvalidTask that says what was expected."""
    with pytest.raises(InvalidTask, match=r"is not a task identifier\. Expected 'cluster::task_arn'"):
        parse_task_identifier(identifier)


@given(st.from_regex(r"[a-zA-Z0-9_-]{1,255}", fullmatch=True))
def test_an_identifier_comes_back(cluster: str) -> None:
    """What is written as an identifier is read as the same."""
    assert parse_task_identifier(str(TaskIdentifier(cluster, TASK))) == (cluster, TASK)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("batch", "batch", True),
        ("batch", CLUSTER, True),
        (CLUSTER, CLUSTER, True),
        ("other", CLUSTER, False),
        (CLUSTER, CLUSTER.replace("us-east-1", "eu-west-1"), False),
    ],
)
def test_clusters_are_compared_in_any_spelling(one: str, other: str, same: bool) -> None:
    """A name and an ARN of one cluster are the same; ARNs of two regions are not."""
    assert same_cluster(one, other) is same
    assert same_cluster(other, one) is same


def test_short_names() -> None:
    """The last part of an ARN is its name."""
    assert (short_name(CLUSTER), short_name(TASK), short_name("batch")) == ("batch", "0123456789abcdef", "batch")
    assert (cluster_of(TASK), cluster_of(OLD_TASK), cluster_of("x")) == ("batch", None, None)


def test_containers_are_found_by_name() -> None:
    """A container is found wherever it stands, or not at all."""
    containers = [{"name": "aws-guardduty-agent-1"}, {"name": "main"}, {}]
    assert get_container(containers, "main") is containers[1]
    assert get_container(containers, "other") is None


# --- public names ---

NAMED_IN_THE_SPECIFICATION = {
    "ECSTask",
    "ECSTaskResult",
    "ECSTaskResults",
    "AwsCredentials",
    "Block",
    "JsonPatch",
    "parse_task_identifier",
    "get_container",
}


def test_public_names() -> None:
    """The public names are those of the documentation and every error, each of them says that it lives in ecs_block."""
    assert set(ecs_block.__all__) == NAMED_IN_THE_SPECIFICATION | set(errors.__all__)
    assert sorted(ecs_block.__all__) == ecs_block.__all__
    for name in ecs_block.__all__:
        assert getattr(ecs_block, name).__module__ == "ecs_block"
    assert repr(ecs_block.ECSTask) == "<class 'ecs_block.ECSTask'>"


def test_public_names_can_be_imported_with_a_star() -> None:
    """`from ecs_block import *` gives the public names and nothing else."""
    space: dict[str, object] = {}
    exec("from ecs_block import *", space)
    assert set(space) - {"__builtins__"} == set(ecs_block.__all__)


# --- errors ---

PARENTS = {
    "InvalidTask": "EcsBlockError",
    "PatchError": "InvalidTask",
    "AwsError": "EcsBlockError",
    "AccessDenied": "AwsError",
    "NoCredentials": "AwsError",
    "ClusterNotFound": "AwsError",
    "TaskDefinitionNotFound": "AwsError",
    "InfrastructureNotFound": "EcsBlockError",
    "InfrastructureNotAvailable": "EcsBlockError",
    "TaskLaunchFailed": "EcsBlockError",
    "TaskStartFailed": "EcsBlockError",
    "TaskStartTimeout": "EcsBlockError",
    "TaskRunTimeout": "EcsBlockError",
    "TaskFailed": "EcsBlockError",
    "OutcomeUnknown": "EcsBlockError",
    "JournalError": "EcsBlockError",
    "BlockError": "EcsBlockError",
    "BlockNotFound": "BlockError",
    "BlockExists": "BlockError",
    "BlockInvalid": "BlockError",
}


def test_the_error_tree() -> None:
    """Every error has its place in the tree, is public, is told of in the picture, and has a docstring."""
    assert {*PARENTS, "EcsBlockError"} == set(errors.__all__)
    for name, parent in PARENTS.items():
        error = getattr(errors, name)
        public = [base for base in error.__mro__[1:] if base.__name__ in errors.__all__]
        assert public[0].__name__ == parent
        assert name in (errors.__doc__ or "")
        assert inspect.getdoc(error)


def test_every_error_of_the_module_is_in_the_list() -> None:
    """No public error class is left out of `__all__`."""
    module = importlib.import_module("ecs_block.errors")
    found = {
        name for name, item in vars(module).items() if inspect.isclass(item) and issubclass(item, errors.EcsBlockError)
    }
    assert {name for name in found if not name.startswith("_")} == set(errors.__all__)


@pytest.mark.parametrize("name", [*PARENTS, "EcsBlockError"])
def test_errors_can_be_pickled(name: str) -> None:
    """An error crosses a process with its message (a pool of workers re-raises it)."""
    again = pickle.loads(pickle.dumps(getattr(ecs_block, name)("what happened")))
    assert (type(again).__name__, str(again)) == (name, "what happened")
