"""The RunTask request: overrides, tags, capacity, network, customizations and limits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from given import ROLE, names
from hypothesis import given
from hypothesis import strategies as st

from ecs_block import ECSTask, InvalidTask, PatchError
from ecs_block.plan import capacity as capacities
from ecs_block.plan import request as requests
from ecs_block.plan.patch import JsonPatch
from ecs_block.plan.secret import plain


def request_of(container: str = "main", subnets: list[str] | None = None, **fields: Any) -> dict[str, Any]:
    task = ECSTask(**fields)
    return requests.build_request(
        task,
        container=container,
        task_definition="family:1",
        capacity=capacities.choose(task),
        subnets=subnets,
        reveal=plain,
    )


def main_override(**fields: Any) -> dict[str, Any]:
    return request_of(**fields)["overrides"]["containerOverrides"][0]


def test_the_smallest_request() -> None:
    """A block of nothing asks for its definition on Fargate; what is empty is not sent."""
    assert request_of() == {
        "taskDefinition": "family:1",
        "launchType": "FARGATE",
        "overrides": {"containerOverrides": [{"name": "main"}]},
    }


# --- overrides ---


def test_command_environment_and_size_override_the_main_container() -> None:
    """Command, environment, cpu and memory go to the container's override; sizes and roles to the task's too."""
    request = request_of(
        command=["a", "b c"], env={"A": "1"}, cpu=256, memory=512, task_role_arn="t", execution_role_arn=ROLE
    )
    main = {
        "name": "main",
        "command": ["a", "b c"],
        "environment": [{"name": "A", "value": "1"}],
        "cpu": 256,
        "memory": 512,
    }
    assert request["overrides"] == {
        "containerOverrides": [main],
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": ROLE,
        "taskRoleArn": "t",
    }


@given(st.permutations(["main", "side", "other"]))
def test_the_main_container_is_always_at_index_0(order: list[str]) -> None:
    """Wherever the given overrides name the main container, its override comes first, merged with the fields."""
    given_ones = [{"name": name, "environmentFiles": [{"value": name, "type": "s3"}]} for name in order]
    containers = request_of(command=["x"], task_run_request={"overrides": {"containerOverrides": given_ones}})[
        "overrides"
    ]["containerOverrides"]
    assert containers[0] == {"name": "main", "environmentFiles": [{"value": "main", "type": "s3"}], "command": ["x"]}
    assert [item["name"] for item in containers[1:]] == [name for name in order if name != "main"]


def test_fields_win_over_given_overrides() -> None:
    """Of an override that is given and a field that is set, the field wins; what only one of them says stays."""
    theirs = {
        "cpu": "512",
        "taskRoleArn": "theirs",
        "ephemeralStorage": {"sizeInGiB": 30},
        "containerOverrides": [
            {
                "name": "main",
                "command": ["theirs"],
                "environment": [{"name": "A", "value": "a"}, {"name": "B", "value": "b"}],
            }
        ],
    }
    request = request_of(env={"A": "mine"}, task_role_arn="mine", task_run_request={"overrides": theirs})
    assert request["overrides"]["taskRoleArn"] == "mine"
    assert request["overrides"]["cpu"] == "512"
    assert request["overrides"]["ephemeralStorage"] == {"sizeInGiB": 30}
    main = request["overrides"]["containerOverrides"][0]
    assert main["command"] == ["theirs"]
    assert main["environment"] == [{"name": "A", "value": "mine"}, {"name": "B", "value": "b"}]


def test_none_sends_nothing() -> None:
    """A variable set to None is not sent, and is taken out of given overrides."""
    theirs = {"containerOverrides": [{"name": "main", "environment": [{"name": "A", "value": "a"}]}]}
    assert "environment" not in main_override(env={"A": None}, task_run_request={"overrides": theirs})


def test_an_empty_command_is_the_definitions_own() -> None:
    """Without a command none is sent, so the definition's runs."""
    assert "command" not in main_override(command=[])


def test_typed_fields_win_over_the_given_request() -> None:
    """A cluster that is set wins; other arguments of run_task are passed on."""
    request = request_of(cluster="mine", task_run_request={"cluster": "theirs", "group": "g", "count": 3})
    assert (request["cluster"], request["group"], request["count"]) == ("mine", "g", 3)


# --- capacity ---

STRATEGY = [{"capacityProvider": "mine", "weight": 1}]
SPOT = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
CAPACITY = {
    "default": ({}, {"launchType": "FARGATE"}, "FARGATE"),
    "EC2": ({"launch_type": "EC2"}, {"launchType": "EC2"}, "EC2"),
    "EXTERNAL": ({"launch_type": "EXTERNAL"}, {"launchType": "EXTERNAL"}, "EXTERNAL"),
    "FARGATE_SPOT": ({"launch_type": "FARGATE_SPOT"}, {"capacityProviderStrategy": SPOT}, "FARGATE"),
    "None": ({"launch_type": None}, {}, None),
    "None, a Fargate definition": (
        {"launch_type": None, "task_definition": {"requiresCompatibilities": ["FARGATE"]}},
        {},
        "FARGATE",
    ),
    "None, a launchType given": (
        {"launch_type": None, "task_run_request": {"launchType": "EC2"}},
        {"launchType": "EC2"},
        "EC2",
    ),
    "default gives way to a launchType": ({"task_run_request": {"launchType": "EC2"}}, {"launchType": "EC2"}, "EC2"),
    "default gives way to a strategy": (
        {"task_run_request": {"capacityProviderStrategy": STRATEGY}},
        {"capacityProviderStrategy": STRATEGY},
        None,
    ),
    "a Fargate strategy is Fargate": (
        {"task_run_request": {"capacityProviderStrategy": SPOT}},
        {"capacityProviderStrategy": SPOT},
        "FARGATE",
    ),
    "MANAGED_INSTANCES": (
        {"launch_type": "MANAGED_INSTANCES", "task_run_request": {"capacityProviderStrategy": STRATEGY}},
        {"capacityProviderStrategy": STRATEGY},
        "MANAGED_INSTANCES",
    ),
}


@pytest.mark.parametrize(("fields", "sent", "kind"), CAPACITY.values(), ids=CAPACITY)
def test_capacity(fields: dict[str, Any], sent: dict[str, Any], kind: str | None) -> None:
    """What is sent is a launch type, a strategy or neither; the kind shapes the definition."""
    request = request_of(**fields)
    assert {key: request[key] for key in ("launchType", "capacityProviderStrategy") if key in request} == sent
    assert capacities.choose(ECSTask(**fields)).kind == kind


RIVALS = [({"launchType": "EXTERNAL"}, "launchType EXTERNAL"), ({"capacityProviderStrategy": STRATEGY}, "Strategy")]


@pytest.mark.parametrize(("rival", "told"), RIVALS)
def test_a_launch_type_that_was_set_wins(rival: dict[str, Any], told: str) -> None:
    """A typed launch type wins over the request's capacity, and a warning says so."""
    with pytest.warns(UserWarning, match=f"launch_type EC2 wins over .*{told}"):
        request = request_of(launch_type="EC2", task_run_request=rival)
    assert request["launchType"] == "EC2"
    assert "capacityProviderStrategy" not in request


def test_on_demand_replaces_spot_only() -> None:
    """The fallback turns Spot into FARGATE and leaves other capacity as it is."""
    spot = capacities.choose(ECSTask(launch_type="FARGATE_SPOT"), on_demand=True)
    assert spot.request() == {"launchType": "FARGATE"}
    assert not spot.is_spot
    assert capacities.choose(ECSTask(launch_type="EC2"), on_demand=True).request() == {"launchType": "EC2"}


# --- network ---


def test_subnets_that_were_looked_up() -> None:
    """Looked-up subnets come with a public IP and without security groups."""
    assert request_of(subnets=["s-1", "s-2"])["networkConfiguration"] == {
        "awsvpcConfiguration": {"subnets": ["s-1", "s-2"], "assignPublicIp": "ENABLED"}
    }


def test_a_given_network_stays() -> None:
    """A network configuration that is given is sent as it is."""
    theirs = {"awsvpcConfiguration": {"subnets": ["theirs"], "assignPublicIp": "DISABLED"}}
    request = request_of(subnets=["s-1"], task_run_request={"networkConfiguration": theirs})
    assert request["networkConfiguration"] == theirs


# --- customizations ---


def test_customizations_come_last() -> None:
    """Patches see the finished request: the main container at index 0, lists to append to, typed fields applied."""
    request = request_of(
        cluster="mine",
        subnets=["s-1"],
        task_customizations=[
            {"op": "test", "path": "/cluster", "value": "mine"},
            {"op": "replace", "path": "/cluster", "value": "patched"},
            {
                "op": "add",
                "path": "/overrides/containerOverrides/0/environment/-",
                "value": {"name": "A", "value": "1"},
            },
            {"op": "add", "path": "/tags/-", "value": {"key": "k", "value": "v"}},
            {"op": "add", "path": "/networkConfiguration/awsvpcConfiguration/securityGroups", "value": ["sg"]},
        ],
    )
    assert request["cluster"] == "patched"
    assert request["overrides"]["containerOverrides"][0]["environment"] == [{"name": "A", "value": "1"}]
    assert request["tags"] == [{"key": "k", "value": "v"}]
    assert request["networkConfiguration"]["awsvpcConfiguration"]["securityGroups"] == ["sg"]


def test_a_customization_that_does_not_apply() -> None:
    """A patch that does not apply is a PatchError with its index, operation and path."""
    with pytest.raises(PatchError, match=r"task_customizations\[0\] \(remove /no/where\) does not apply"):
        request_of(task_customizations=[{"op": "remove", "path": "/no/where"}])


IDENTITY = [
    ({"op": "add", "path": "/clientToken", "value": "x"}, "/clientToken"),
    ({"op": "remove", "path": "/startedBy"}, "/startedBy"),
    ({"op": "move", "from": "/startedBy", "path": "/group"}, "/startedBy"),
    ({"op": "test", "path": "/startedBy", "value": "x"}, None),
    ({"op": "copy", "from": "/startedBy", "path": "/group"}, None),
    ({"op": "add", "path": "/startedByMe", "value": "x"}, None),
]


@pytest.mark.parametrize(("operation", "path"), IDENTITY)
def test_touches_identity(operation: dict[str, Any], path: str | None) -> None:
    """What ties a request to its run id is found in any patch that would change it."""
    assert requests.touches_identity(JsonPatch([operation])) == path


# --- tags ---

TAGS = {
    "team": "team",
    "日本語": "日本語",
    "équipe №": "équipe -",
    "a b/c:d=e+f-g@h_i.j": "a b/c:d=e+f-g@h_i.j",
    "what? (now)": "what- -now-",
    "tab\there": "tab-here",
}


@pytest.mark.parametrize(("label", "key"), TAGS.items())
def test_labels_become_tags(label: str, key: str) -> None:
    """Letters of any script stay; what AWS refuses is replaced, in keys and in values."""
    assert request_of(labels={label: label})["tags"] == [{"key": key, "value": key}]


def test_labels_join_given_tags() -> None:
    """Tags of the given request stay, and a label of the same key wins."""
    theirs = [{"key": "a", "value": "theirs"}, {"key": "b", "value": "theirs"}]
    tags = request_of(labels={"a": "mine"}, task_run_request={"tags": theirs})["tags"]
    assert tags == [{"key": "a", "value": "mine"}, {"key": "b", "value": "theirs"}]


@given(st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=4))
def test_labels_become_valid_tags_or_are_refused(labels: dict[str, str]) -> None:
    """Labels of any text become tags that AWS takes, all of them, or an InvalidTask that names labels."""
    try:
        tags = request_of(labels=labels).get("tags", [])
    except InvalidTask as error:
        told = str(error)
    else:
        told = "labels"
        assert len({tag["key"] for tag in tags}) == len(labels)
        assert all(accepted(tag["key"]) and accepted(tag["value"]) and tag["key"] for tag in tags)
    assert told.startswith("labels")


def accepted(text: str) -> bool:
    """Hold a text against AWS's pattern: letters, separators and numbers of Unicode, and `_.:/=+-@`."""
    return all(
        c in "_.:/=+-@" or c.isalpha() or c.isnumeric() or not c.strip(" \u2028\u2029\u3000") or c.isspace()
        for c in text
    )


# --- limits ---

TOO_MUCH = {
    "51 tags": ({"tags": [{"key": str(n), "value": ""} for n in range(51)]}, "51 tags; AWS accepts at most 50"),
    "long key": ({"tags": [{"key": "k" * 129, "value": ""}]}, "129 characters; at most 128"),
    "long value": ({"tags": [{"key": "k", "value": "v" * 257}]}, "value of 'k' has 257 characters; at most 256"),
    "empty key": ({"tags": [{"key": " ", "value": ""}]}, "key that is empty"),
    "aws: key": ({"tags": [{"key": "AWS:x", "value": ""}]}, "prefix 'aws:'"),
    "aws: value": ({"tags": [{"key": "x", "value": "aws:y"}]}, "prefix 'aws:'"),
    "count 0": ({"count": 0}, "count is 0; RunTask starts 1 to 10"),
    "count 11": ({"count": 11}, "count is 11; RunTask starts 1 to 10"),
    "17 subnets": ({"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["s"] * 17}}}, "17 subnets"),
    "two capacities": ({"launchType": "EC2", "capacityProviderStrategy": STRATEGY}, "both launchType and"),
}


@pytest.mark.parametrize(("request_", "told"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_limits(request_: dict[str, Any], told: str) -> None:
    """Each limit of RunTask that is broken is one sentence with the number and what is allowed."""
    (problem,) = requests.problems(request_)
    assert told in problem


def test_at_the_limits() -> None:
    """Fifty tags of full length, ten tasks and sixteen subnets are fine."""
    tags = [{"key": f"{n:0128}", "value": "v" * 256} for n in range(50)]
    network = {"awsvpcConfiguration": {"subnets": ["s"] * 16}}
    assert requests.problems({"tags": tags, "count": 10, "networkConfiguration": network}) == []


def overrides_with(value: str) -> dict[str, Any]:
    return {"containerOverrides": [{"name": "main", "environment": [{"name": "BIG", "value": value}]}]}


def test_overrides_of_8192_characters_are_the_most() -> None:
    """Overrides are measured as compact JSON: 8192 characters pass, one more does not."""
    room = 8192 - len(json.dumps(overrides_with(""), separators=(",", ":")))
    assert requests.problems({"overrides": overrides_with("x" * room)}) == []
    (problem,) = requests.problems({"overrides": overrides_with("x" * (room + 1))})
    assert "8,193 characters; AWS accepts at most 8,192" in problem


@given(st.dictionaries(names, st.integers(1500, 3000).map(lambda length: "x" * length), min_size=6, max_size=8))
def test_too_long_overrides_name_the_largest_and_no_value(env: dict[str, str]) -> None:
    """The message names the five largest items, and shows none of their values."""
    with pytest.raises(InvalidTask) as told:
        ECSTask(env=env)
    largest = sorted(env, key=lambda name: -len(name) - len(env[name]))[0]
    assert f"env.{largest} (" in str(told.value)
    assert str(told.value).count("env.") == 5
    assert not any(value[:20] in str(told.value) for value in env.values())


@pytest.mark.parametrize("letter", ['"', "é", "\n"])
def test_overrides_are_measured_as_they_are_sent(letter: str) -> None:
    """Text that grows when it is escaped or encoded counts with its real length, when the block is made."""
    with pytest.raises(InvalidTask, match="overrides of"):
        ECSTask(env={"BIG": letter * 5000})
