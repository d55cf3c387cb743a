"""The task definition: how it is prepared, and when two of them are the same."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from given import ROLE, as_registered, prepared, task_definitions
from hypothesis import assume, given
from hypothesis import strategies as st

from ecs_block import ECSTask, InvalidTask
from ecs_block.aws import input_shape, output_only
from ecs_block.plan import definition as definitions
from ecs_block.plan import sameness, shape

chances = st.randoms(use_true_random=False)

# --- the same or not ---


@given(task_definitions(), st.sampled_from(["FARGATE", "EC2", "EXTERNAL"]), chances)
def test_what_aws_gives_back_is_the_same(definition: dict[str, Any], launch_type: str, chance: random.Random) -> None:
    """A registered definition, with AWS's defaults and its own order, is the same as the block's own."""
    if launch_type == "FARGATE":
        definition["networkMode"] = "awsvpc"
    own = prepared(task_definition=definition, launch_type=launch_type)
    returned = as_registered(own, chance)
    assert sameness.differences(own, returned, output_only()) == []
    assert sameness.same(own, returned, output_only())
    assert sameness.fingerprint(own, output_only()) == sameness.fingerprint(returned, output_only())


@given(task_definitions(), st.data())
def test_any_changed_leaf_differs(definition: dict[str, Any], data: st.DataObject) -> None:
    """A definition of which one string, number or boolean was changed is another one."""
    changed = copy.deepcopy(definition)
    holder, key = data.draw(st.sampled_from(list(leaves(changed))))
    holder[key] = another(holder[key])
    assert not sameness.same(definition, as_registered(changed, random.Random(0)), output_only())
    assert sameness.fingerprint(definition) != sameness.fingerprint(changed)
    assert sameness.differences(definition, changed)


@given(task_definitions(), st.data())
def test_any_removed_item_differs(definition: dict[str, Any], data: st.DataObject) -> None:
    """A definition that lost one item of any list (a variable, a port, a word, a container) is another one."""
    changed = copy.deepcopy(definition)
    full = [value for value in values(changed) if isinstance(value, list) and value]
    chosen = data.draw(st.sampled_from(full))
    del chosen[data.draw(st.integers(0, len(chosen) - 1))]
    assert not sameness.same(definition, changed)


@given(task_definitions(), st.data())
def test_the_order_of_words_counts(definition: dict[str, Any], data: st.DataObject) -> None:
    """The words of a command stay in their order; another order is another program."""
    container = definition["containerDefinitions"][0]
    container["command"] = data.draw(st.lists(st.text("abc", max_size=3), min_size=2, max_size=5))
    changed = copy.deepcopy(definition)
    changed["containerDefinitions"][0]["command"] = data.draw(st.permutations(container["command"]))
    assume(changed != definition)
    assert not sameness.same(definition, changed)


@given(task_definitions())
def test_the_canonical_form_is_final(definition: dict[str, Any]) -> None:
    """The canonical form of a canonical form is that form, and the definition itself is not touched."""
    before = copy.deepcopy(definition)
    form = sameness.canonical(definition)
    assert sameness.canonical(form) == form
    assert definition == before


def leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, dict | list):
            yield from leaves(item)
        else:
            yield value, key


def values(value: Any) -> Iterator[Any]:
    yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from values(item)


def another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value + "x"


def of(**container: Any) -> dict[str, Any]:
    return {"containerDefinitions": [{"name": "main", "image": "i", **container}]}


DIFFERENT = {
    "essential False, absent": (of(essential=False), of()),
    "readonlyRootFilesystem False, True": (of(readonlyRootFilesystem=False), of(readonlyRootFilesystem=True)),
    "privileged False, absent": (of(privileged=False), of()),
    "stopTimeout 0, absent": (of(stopTimeout=0), of()),
    "startPeriod 0, absent": (
        of(healthCheck={"command": ["CMD", "x"], "startPeriod": 0}),
        of(healthCheck={"command": ["CMD", "x"]}),
    ),
    "an empty variable, none": (of(environment=[{"name": "A", "value": ""}]), of()),
    "an empty variable, a full one": (
        of(environment=[{"name": "A", "value": ""}]),
        of(environment=[{"name": "A", "value": "x"}]),
    ),
    "an empty docker label, none": (of(dockerLabels={"a": ""}), of(dockerLabels={})),
    "an empty log option, none": (
        of(logConfiguration={"logDriver": "awslogs", "options": {"a": ""}}),
        of(logConfiguration={"logDriver": "awslogs"}),
    ),
    "an empty word, none": (of(command=["a", ""]), of(command=["a"])),
    "host and bridge ports": (
        {**of(portMappings=[{"containerPort": 80, "hostPort": 80}]), "networkMode": "bridge"},
        {**of(portMappings=[{"containerPort": 80}]), "networkMode": "bridge"},
    ),
    "a variable, a secret": (
        of(environment=[{"name": "A", "value": "x"}]),
        of(secrets=[{"name": "A", "valueFrom": "x"}]),
    ),
}


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT)
def test_different(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """False, 0 and an empty text of the user's own count: they are not the same as nothing."""
    assert not sameness.same(*pair)


TMPFS = {"containerPath": "/t", "size": 1}
IN_ORDER = {
    "command": lambda words: of(command=words),
    "entryPoint": lambda words: of(entryPoint=words),
    "healthCheck.command": lambda words: of(healthCheck={"command": words}),
    "environmentFiles": lambda words: of(environmentFiles=[{"value": word, "type": "s3"} for word in words]),
    "dnsServers": lambda words: of(dnsServers=words),
    "dnsSearchDomains": lambda words: of(dnsSearchDomains=words),
    "mountOptions": lambda words: of(linuxParameters={"tmpfs": [{**TMPFS, "mountOptions": words}]}),
}


@pytest.mark.parametrize("made_of", IN_ORDER.values(), ids=IN_ORDER)
def test_lists_with_an_order(made_of: Callable[[list[str]], dict[str, Any]]) -> None:
    """Where docker or the program goes by the order of a list, another order is another definition."""
    assert not sameness.same(made_of(["a", "b"]), made_of(["b", "a"]))
    assert sameness.same(made_of(["b", "a"]), made_of(["b", "a"]))


SAME = {
    "essential by default": (of(essential=True), of()),
    "cpu 0 by default": (of(cpu=0), of()),
    "the last of two variables": (
        of(environment=[{"name": "A", "value": "old"}, {"name": "A", "value": "new"}]),
        of(environment=[{"name": "A", "value": "new"}]),
    ),
    "tags": ({**of(), "tags": [{"key": "a", "value": "b"}]}, of()),
    "nulls": (of(user=None, environment=None), of()),
    "sizes in words": ({**of(), "cpu": "1 vCPU", "memory": "2 GB"}, {**of(), "cpu": "1024", "memory": "2048"}),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_same(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """What AWS fills in, tags, and another spelling of a size make no other definition."""
    assert sameness.same(*pair)


def test_differences_name_paths_and_no_values() -> None:
    """A difference is told by its path, containers and variables by name; the values may be secret."""
    one = of(environment=[{"name": "A", "value": "hunter2"}], image="old")
    other = of(environment=[{"name": "A", "value": "hunter3"}, {"name": "B", "value": "hunter4"}], image="new")
    assert sameness.differences(one, other) == [
        "containerDefinitions[main].environment[A].value: changed",
        "containerDefinitions[main].environment[B]: added",
        "containerDefinitions[main].image: changed",
    ]


@given(task_definitions(), chances)
def test_a_described_definition_can_be_registered_again(definition: dict[str, Any], chance: random.Random) -> None:
    """Without what only AWS writes, a described definition is one that RegisterTaskDefinition takes."""
    definition.setdefault("family", "f")
    copied = sameness.registrable(as_registered(definition, chance), output_only())
    assert shape.problems(copied, input_shape("RegisterTaskDefinition"), "d") == []


# --- which container runs the command ---


def containers_of(definition: dict[str, Any]) -> list[str]:
    return [container["name"] for container in definition["containerDefinitions"]]


LINKED = {
    "family": "linked",
    "networkMode": "awsvpc",
    "compatibilities": ["FARGATE", "EC2"],
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [{"name": "web", "image": "w"}, {"name": "job", "image": "j"}],
}


def test_without_a_definition_the_container_is_main() -> None:
    """A block of nothing has one container, `main`, with the image of the running Python."""
    (container,) = prepared()["containerDefinitions"]
    assert container["name"] == "main"
    assert container["image"].startswith("python:3.")


def test_a_container_named_main_is_taken() -> None:
    """The container named `main` runs the command, wherever it stands."""
    definition = {"containerDefinitions": [{"name": "side", "image": "s"}, {"name": "main", "image": "m"}]}
    made = prepared(task_definition=definition, image="mine")
    assert made["containerDefinitions"] == [{"name": "side", "image": "s"}, {"name": "main", "image": "mine"}]


def test_main_is_added_to_an_inline_definition_without_one() -> None:
    """Where no given container is `main`, one is added, and the others are left alone."""
    given_one = {"name": "side", "image": "s"}
    made = prepared(task_definition={"containerDefinitions": [given_one]})
    assert containers_of(made) == ["side", "main"]
    assert made["containerDefinitions"][0] == given_one


def test_of_a_linked_definition_the_first_container_runs_the_command() -> None:
    """A linked definition without a `main` gives its first container."""
    task = ECSTask(task_definition_arn="linked")
    assert definitions.main_container_name(task, LINKED) == "web"
    assert containers_of(prepared(LINKED, task_definition_arn="linked")) == ["web", "job"]


def test_of_a_linked_definition_main_wins_over_the_first() -> None:
    """A linked definition with a `main` gives that one, also when it is not the first."""
    linked = {**LINKED, "containerDefinitions": [{"name": "web"}, {"name": "main"}]}
    assert definitions.main_container_name(ECSTask(task_definition_arn="linked"), linked) == "main"


@pytest.mark.parametrize("linked", [True, False])
def test_container_name_names_it(linked: bool) -> None:
    """`container_name` says which container it is, and adds one that the definition lacks."""
    fields = {"task_definition_arn": "linked"} if linked else {"task_definition": {"containerDefinitions": []}}
    base = LINKED if linked else None
    assert "job" in containers_of(prepared(base, container_name="job", **fields))
    assert containers_of(prepared(base, container_name="new", **fields))[-1] == "new"


# --- image, roles, sizes ---


def test_image_rule() -> None:
    """The field wins over the definition's image, which wins over the official Python one."""
    inline = {"containerDefinitions": [{"name": "main", "image": "theirs"}]}
    assert prepared(image="mine", task_definition=inline)["containerDefinitions"][0]["image"] == "mine"
    assert prepared(task_definition=inline)["containerDefinitions"][0]["image"] == "theirs"
    linked = prepared(LINKED, task_definition_arn="linked")
    assert linked["containerDefinitions"][0]["image"] == "w"


def test_roles_override_the_definition() -> None:
    """Both roles of the block replace those of an inline definition."""
    made = prepared(task_definition={"taskRoleArn": "old"}, task_role_arn="new", execution_role_arn=ROLE)
    assert (made["taskRoleArn"], made["executionRoleArn"]) == ("new", ROLE)


def test_roles_and_sizes_of_a_linked_run_leave_the_definition_alone() -> None:
    """With a linked definition roles, cpu and memory travel in the request and need no copy."""
    made = prepared(
        LINKED, task_definition_arn="linked", task_role_arn="r", execution_role_arn=ROLE, cpu=512, memory=1024
    )
    assert sameness.same(made, LINKED, output_only())


SIZES = [
    ({}, ("1024", "2048")),
    ({"cpu": 256, "memory": 512}, ("256", "512")),
    ({"cpu": "0.5 vCPU", "memory": "1 GB"}, ("512", "1024")),
    ({"task_definition": {"cpu": "512", "memory": "1024"}}, ("512", "1024")),
    ({"task_definition": {"cpu": "512", "memory": "1024"}, "memory": 2048}, ("512", "2048")),
]


@pytest.mark.parametrize("launch_type", ["FARGATE", "FARGATE_SPOT"])
@pytest.mark.parametrize(("fields", "size"), SIZES)
def test_fargate_shapes_the_definition(fields: dict[str, Any], size: tuple[str, str], launch_type: str) -> None:
    """Fargate gets its size at task level, as strings, and awsvpc; nothing of it at the container."""
    made = prepared(launch_type=launch_type, **fields)
    assert (made["cpu"], made["memory"]) == size
    assert made["requiresCompatibilities"] == ["FARGATE"]
    assert made["networkMode"] == "awsvpc"
    assert not {"cpu", "memory"} & made["containerDefinitions"][0].keys()


def test_fargate_joins_other_compatibilities() -> None:
    """FARGATE is added to what the definition requires, once."""
    assert prepared(task_definition={"requiresCompatibilities": ["EC2"]})["requiresCompatibilities"] == [
        "EC2",
        "FARGATE",
    ]
    assert prepared(task_definition={"requiresCompatibilities": ["FARGATE"]})["requiresCompatibilities"] == ["FARGATE"]


@pytest.mark.parametrize("launch_type", ["EC2", "EXTERNAL", None])
def test_elsewhere_the_size_is_the_containers(launch_type: str | None) -> None:
    """Any other launch type has cpu and memory at the container, unless they are given there."""
    main = prepared(launch_type=launch_type)["containerDefinitions"][0]
    assert (main["cpu"], main["memory"]) == (1024, 2048)
    theirs = {"containerDefinitions": [{"name": "main", "cpu": 7, "memoryReservation": 70}]}
    main = prepared(launch_type=launch_type, task_definition=theirs)["containerDefinitions"][0]
    assert (main["cpu"], main.get("memory")) == (7, None)
    main = prepared(launch_type=launch_type, cpu=9, memory=90)["containerDefinitions"][0]
    assert (main["cpu"], main["memory"]) == (9, 90)


def test_managed_instances_shape_the_definition() -> None:
    """MANAGED_INSTANCES is required by the definition, with awsvpc."""
    strategy = [{"capacityProvider": "mine", "weight": 1}]
    made = prepared(launch_type="MANAGED_INSTANCES", task_run_request={"capacityProviderStrategy": strategy})
    assert (made["requiresCompatibilities"], made["networkMode"]) == (["MANAGED_INSTANCES"], "awsvpc")


# --- logging ---


def test_default_log_options() -> None:
    """The default `awslogs` options name our group, the client's region and a group made when missing."""
    made = prepared(stream_output=True, execution_role_arn=ROLE, cloudwatch_logs_options={"mode": "blocking"})
    assert made["containerDefinitions"][0]["logConfiguration"] == {
        "logDriver": "awslogs",
        "options": {
            "awslogs-group": "ecs-block",
            "awslogs-region": "eu-central-1",
            "awslogs-stream-prefix": "ecs-block",
            "awslogs-create-group": "true",
            "mode": "blocking",
        },
    }


@pytest.mark.parametrize(("name", "prefix"), [(None, "ecs-block"), ("job", "job"), ("a:b*c", "a-b-c"), (":", "-")])
def test_the_stream_prefix_is_the_name(name: str | None, prefix: str) -> None:
    """A stream's prefix is the task's name, without what CloudWatch refuses in a stream's."""
    assert definitions.stream_prefix(name) == prefix


def test_logs_follow_stream_output_unless_told() -> None:
    """Without `configure_cloudwatch_logs` the driver follows `stream_output`; other containers are left alone."""
    inline = {"containerDefinitions": [{"name": "side", "image": "s"}]}
    made = prepared(stream_output=True, execution_role_arn=ROLE, task_definition=inline)
    assert ["logConfiguration" in container for container in made["containerDefinitions"]] == [False, True]
    assert "logConfiguration" not in prepared(stream_output=False)["containerDefinitions"][0]
    with pytest.warns(UserWarning, match="stream_output is on"):
        made = prepared(stream_output=True, configure_cloudwatch_logs=False, execution_role_arn=ROLE)
    assert "logConfiguration" not in made["containerDefinitions"][0]


def test_an_awslogs_driver_stays_where_its_owner_wants_it() -> None:
    """A definition that logs to CloudWatch already keeps its group; only the options asked for change."""
    logging = {"logDriver": "awslogs", "options": {"awslogs-group": "theirs"}}
    inline = {"executionRoleArn": ROLE, "containerDefinitions": [{"name": "main", "logConfiguration": logging}]}
    made = prepared(stream_output=True, task_definition=inline, cloudwatch_logs_options={"mode": "blocking"})
    options = made["containerDefinitions"][0]["logConfiguration"]["options"]
    assert options == {"awslogs-group": "theirs", "mode": "blocking"}


def test_a_linked_definition_without_a_role_cannot_log() -> None:
    """Logging with a linked definition that has no execution role is an InvalidTask that says how to mend it."""
    with pytest.raises(InvalidTask, match=r"execution_role_arn is needed.*linked has none"):
        prepared(LINKED, task_definition_arn="linked", stream_output=True)
    made = prepared(LINKED, task_definition_arn="linked", stream_output=True, execution_role_arn=ROLE)
    assert made["containerDefinitions"][0]["logConfiguration"]["logDriver"] == "awslogs"


# --- environment and family ---


def test_a_variable_set_to_none_leaves_the_definition() -> None:
    """None removes a variable from the main container's environment and its secrets, and from nothing else."""
    main = {
        "name": "main",
        "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "secrets": [{"name": "S", "valueFrom": "arn"}],
    }
    side = {"name": "side", "image": "s", "environment": [{"name": "A", "value": "1"}]}
    made = prepared(task_definition={"containerDefinitions": [main, side]}, env={"A": None, "S": None, "NEW": "x"})
    assert made["containerDefinitions"][0]["environment"] == [{"name": "B", "value": "2"}]
    assert made["containerDefinitions"][0]["secrets"] == []
    assert made["containerDefinitions"][1] == side


@given(st.text())
def test_a_family_becomes_valid_or_is_refused(name: str) -> None:
    """Any name becomes one that AWS accepts, or is refused when nothing of it is left."""
    try:
        made = definitions.family_name(name)
    except InvalidTask:
        assert not any("a" <= letter <= "z" or letter in "0123456789_" for letter in name.lower())
    else:
        assert 0 < len(made) <= 255
        assert set(made) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


FAMILIES = {
    "My Fam": "My-Fam",
    "naïve job": "naive-job",
    "a" * 300: "a" * 255,
    "team--job_": "team--job_",
    "-x-": "-x-",
}


@pytest.mark.parametrize(("given_name", "made"), FAMILIES.items())
def test_families(given_name: str, made: str) -> None:
    """Case is kept, a valid name stays as it is, and a long one is cut to 255."""
    assert definitions.family_name(given_name) == made
    assert prepared(family=given_name)["family"] == made
    assert prepared(task_definition={"family": given_name})["family"] == made


def test_family_rule() -> None:
    """The field wins over the definition's family; without both it is made of the definition's content."""
    assert prepared(family="mine", task_definition={"family": "theirs"})["family"] == "mine"
    generated = prepared()["family"]
    assert generated.startswith("ecs-block-")
    assert generated == prepared(command=["other"], env={"A": "b"})["family"]
    assert generated != prepared(image="other")["family"]


def test_preparing_does_not_touch_what_was_given() -> None:
    """The given definition is copied: a block can be prepared again."""
    inline = {"containerDefinitions": [{"name": "main", "environment": [{"name": "A", "value": "1"}]}]}
    before = copy.deepcopy(inline)
    prepared(task_definition=inline, image="x", env={"A": None}, stream_output=True, execution_role_arn=ROLE)
    assert inline == before


# --- limits ---


def test_limits_on_a_definition() -> None:
    """Too many containers, doubles, no essential one and more than 64 KiB are told at once."""
    containers = [{"name": f"c{n % 10}", "essential": False} for n in range(11)]
    found = definitions.problems({"containerDefinitions": containers, "family": "x" * 65536})
    assert len(found) == 4
    assert "c0 more than once" in found[0]
    assert "11 containers; AWS accepts at most 10" in found[1]
    assert "no essential container" in found[2]
    assert "65,536" in found[3]


def test_the_size_is_measured_in_bytes_not_in_escapes() -> None:
    """Letters beyond ASCII count as the bytes that they are."""
    assert definitions.problems({"family": "é" * 32000}) == []
    assert definitions.problems({"family": "é" * 33000}) != []
