"""Arguments of boto3 in AWS's spelling, wherever they are given, and what they make of a task."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ecs_block import AwsCredentials, ECSTask, InvalidTask
from ecs_block.agent import arguments
from ecs_block.agent.recipe import recipe_of
from ecs_block.aws import input_shape
from ecs_block.preview import documents

REGISTER, RUN = input_shape("RegisterTaskDefinition"), input_shape("RunTask")
CREDENTIALS = AwsCredentials(region_name="eu-west-1")
ROLE = "arn:aws:iam::123456789012:role/x"

# Where any value of the right kind will not do.
SAMPLES: dict[str, Any] = {
    "cpu": "512",
    "memory": "4096",
    "networkMode": "awsvpc",
    "launchType": "EC2",
    "cluster": "elsewhere",
    "family": "mine",
    "executionRoleArn": ROLE,
    "taskRoleArn": ROLE,
    "requiresCompatibilities": ["FARGATE"],
    "placementConstraints": [{"type": "memberOf", "expression": "true"}],
    "taskDefinition": "linked:3",
    "containerDefinitions": [{"name": "web", "image": "nginx"}],
    "overrides": {"containerOverrides": [{"name": "sidecar", "cpu": 1}]},
    "containerDefinitions_name": "main",
    "containerDefinitions_logConfiguration": {"logDriver": "splunk", "options": {"a": "b"}},
}
ALL = sorted(set(arguments.known()) - {"clientToken"})


def sample_of(shape: Any, depth: int = 0) -> Any:
    """Make a value that a shape takes."""
    match shape.type_name:
        case "structure":
            return {name: sample_of(member, depth + 1) for name, member in shape.members.items()} if depth < 7 else {}
        case "list":
            return [sample_of(shape.member, depth + 1)]
        case "map":
            return {"a": sample_of(shape.value, depth + 1)}
        case "boolean":
            return True
        case "string":
            return "x"
    return 1


def value_of(name: str) -> Any:
    return SAMPLES[name] if name in SAMPLES else sample_of(arguments.known()[name])


def sent_with(given: dict[str, Any]) -> dict[str, Any]:
    """Give what would be sent with these arguments, as `definition` and `request`."""
    task = recipe_of(None, given, aws_credentials=CREDENTIALS).probe()
    return documents(task, task.aws_credentials)


def holds(sent: Any, given: Any) -> bool:
    """Tell whether what was given is in what is sent."""
    if isinstance(given, dict):
        return isinstance(sent, dict) and all(holds(sent.get(name), item) for name, item in given.items())
    if isinstance(given, list):
        return isinstance(sent, list) and all(any(holds(each, item) for each in sent) for item in given)
    return bool(sent == given)


def test_all_members_of_both_shapes_are_arguments() -> None:
    """What botocore knows of both operations, and of a container, is an argument."""
    members = {*REGISTER.members, *RUN.members}
    assert members < set(arguments.known())
    container = REGISTER.members["containerDefinitions"].member.members
    assert {f"containerDefinitions_{name}" for name in container} == set(arguments.known()) - members


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("spelling", ["exact", "upper"])
@pytest.mark.filterwarnings("ignore")  # some of the samples are odd together with Fargate
def test_every_argument_arrives(name: str, spelling: str) -> None:
    """Each argument, from a word and from a variable in both spellings, is in what is sent to AWS."""
    value = value_of(name)
    text = value if isinstance(value, str) else json.dumps(value)
    of_word = arguments.read(arguments.of_words([f"--{name}={text}"]))
    of_variable = arguments.of_environment({name if spelling == "exact" else arguments.variable_of(name): text})
    assert of_word == of_variable == {name: value}
    sent = sent_with(of_variable)
    if name.startswith(arguments.CONTAINER):
        definition = sent["task_definition"]["containerDefinitions"][0]
        assert holds(definition, _masked({name.removeprefix(arguments.CONTAINER): value}))
    elif name == "taskDefinition":
        assert sent["run_request"]["taskDefinition"] == value
    else:
        places = [("task_definition", REGISTER), ("run_request", RUN)]
        for place, shape in places:
            if name in shape.members:
                assert holds(sent[place], {name: value}), place


def _masked(value: dict[str, Any]) -> Any:
    from ecs_block.aws import redactor

    return redactor().payload(value)


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("networkConfiguration", "NETWORK_CONFIGURATION"),
        ("enableECSManagedTags", "ENABLE_ECS_MANAGED_TAGS"),
        ("cpu", "CPU"),
        ("containerDefinitions_mountPoints", "CONTAINER_DEFINITIONS_MOUNT_POINTS"),
    ],
)
def test_variables(name: str, variable: str) -> None:
    """A variable is the name in upper case with underscores; the exact name wins."""
    assert arguments.variable_of(name) == variable
    text = {"cpu": "512"}.get(name, "[]" if "mount" in name else "{}" if "net" in name else "true")
    assert arguments.of_environment({variable: "broken]", name: text}) == arguments.read({name: text})


@pytest.mark.parametrize(
    "text", ["{'awsvpcConfiguration': {'subnets': ['s']}}", '{"awsvpcConfiguration":{"subnets":["s"]}}']
)
def test_json_and_literals(text: str) -> None:
    """A value is JSON or a Python literal."""
    found = arguments.read({"networkConfiguration": text})
    assert found == {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["s"]}}}


def test_text_stays_text() -> None:
    """Where AWS takes text, a number is text, and quotes are the literal's."""
    read = arguments.read({"cpu": "256", "memory": 512, "family": "'mine'", "platformVersion": "1.4.0"})
    assert read == {"cpu": "256", "memory": "512", "family": "mine", "platformVersion": "1.4.0"}
    assert arguments.read({"enableExecuteCommand": "True", "count": "2"}) == {"enableExecuteCommand": True, "count": 2}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"networkConfig": "{}"}, "Did you mean 'networkConfiguration'?"),
        ({"containerDefinitions_enviroment": "[]"}, "Did you mean 'containerDefinitions_environment'?"),
        ({"networkConfiguration": "{'a'"}, "is neither JSON nor a Python literal"),
        ({"networkConfiguration": "{'awsvpcConfig': {}}"}, "networkConfiguration.awsvpcConfig is not known to AWS."),
        ({"count": "many"}, "count is neither JSON"),
        ({"count": "[1]"}, "count must be a whole number, not list."),
        ({"clientToken": "x"}, "clientToken cannot be given"),
        ({"containerDefinitions": "[{'image': b'x'}]"}, "containerDefinitions[0].image must be a string, not bytes."),
        ({"volumes": "[" * 100_000}, "volumes is neither JSON"),
    ],
)
def test_what_is_wrong(given: dict[str, str], told: str) -> None:
    """The argument is named, with the nearest one for a slip; values are not quoted."""
    with pytest.raises(InvalidTask) as caught:
        arguments.read(given)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("cpu", "cpu needs a value: cpu=VALUE"),
        ("--cpuu=1", "Did you mean 'cpu'?"),
        ("=1", "There is no argument '=1'."),
    ],
)
def test_words(word: str, told: str) -> None:
    """A word is key=value or --key=value."""
    with pytest.raises(InvalidTask) as caught:
        arguments.read(arguments.of_words([word]))
    assert told in str(caught.value)


# --- over a block ------------------------------------------------------------------------------------------------------


def over(block: ECSTask, **given: Any) -> dict[str, Any]:
    task = recipe_of(block, given, aws_credentials=CREDENTIALS).probe()
    return documents(task, task.aws_credentials)


def test_arguments_win_over_the_block() -> None:
    """What an argument says, no field of the block contradicts; the rest of the block stays."""
    block = ECSTask(cpu=1024, memory=2048, image="mine", cluster="one", family="fam", command=["a"], launch_type="EC2")
    sent = over(block, cpu="256", memory="512", cluster="two", family="other", launchType="FARGATE")
    definition, request = sent["task_definition"], sent["run_request"]
    assert (definition["cpu"], definition["memory"], definition["family"]) == ("256", "512", "other")
    assert (request["cluster"], request["launchType"]) == ("two", "FARGATE")
    assert definition["containerDefinitions"][0]["image"] == "mine"
    assert request["overrides"]["containerOverrides"] == [{"name": "main", "command": ["a"]}]


def test_containers_of_the_arguments_replace_the_blocks() -> None:
    """Their first one runs the command, and is `main` where it has no name."""
    block = ECSTask(image="mine", command=["a"])
    sent = over(block, containerDefinitions="[{'image': 'given'}, {'name': 'side', 'image': 's'}]")
    first, second = sent["task_definition"]["containerDefinitions"]
    assert (first["name"], first["image"], second["name"]) == ("main", "given", "side")
    named = over(block, containerDefinitions="[{'name': 'web', 'image': 'given'}]")
    assert named["run_request"]["overrides"]["containerOverrides"][0] == {"name": "web", "command": ["a"]}


def test_members_of_the_first_container() -> None:
    """Variables and secrets are added by their names; other members are set."""
    sent = over(
        ECSTask(),
        containerDefinitions="[{'name': 'web', 'image': 'i', 'environment': [{'name': 'A', 'value': '1'}]}]",
        containerDefinitions_environment="[{'name': 'B', 'value': '2'}, {'name': 'A', 'value': '3'}]",
        containerDefinitions_mountPoints="[{'sourceVolume': 'v', 'containerPath': '/v'}]",
        containerDefinitions_repositoryCredentials="{'credentialsParameter': 'arn'}",
        containerDefinitions_secrets="[{'name': 'S', 'valueFrom': '/p'}]",
        volumes="[{'name': 'v'}]",
    )
    (container,) = sent["task_definition"]["containerDefinitions"]
    assert container["environment"] == [{"name": "A", "value": "3"}, {"name": "B", "value": "2"}]
    assert container["mountPoints"] == [{"sourceVolume": "v", "containerPath": "/v"}]
    assert container["repositoryCredentials"] == {"credentialsParameter": "arn"}
    assert container["secrets"] == [{"name": "S", "valueFrom": "/p"}]


def test_a_linked_definition_is_used_as_it_is() -> None:
    """Sizes and roles travel as overrides; what would change the definition is refused."""
    sent = over(ECSTask(image="mine"), taskDefinition="linked:3", cpu="256", taskRoleArn=ROLE)
    overrides = sent["run_request"]["overrides"]
    assert (sent["run_request"]["taskDefinition"], overrides["cpu"], overrides["taskRoleArn"]) == (
        "linked:3",
        "256",
        ROLE,
    )
    with pytest.raises(InvalidTask, match="excludes volumes, containerDefinitions_image"):
        over(ECSTask(), taskDefinition="linked:3", volumes="[]", containerDefinitions_image="i")


def test_capacity() -> None:
    """A strategy takes the place of the block's launch type, and excludes one that is given with it."""
    strategy = "[{'capacityProvider': 'mine'}]"
    sent = over(ECSTask(launch_type="EC2"), capacityProviderStrategy=strategy)
    assert "launchType" not in sent["run_request"]
    assert sent["run_request"]["capacityProviderStrategy"] == [{"capacityProvider": "mine"}]
    with pytest.raises(InvalidTask, match="exclude each other"):
        over(ECSTask(), capacityProviderStrategy=strategy, launchType="EC2")


def test_a_constraint_that_only_a_run_knows() -> None:
    """`distinctInstance` is no constraint of a definition, and both have one name."""
    sent = over(ECSTask(launch_type="EC2"), placementConstraints="[{'type': 'distinctInstance'}]")
    assert "placementConstraints" not in sent["task_definition"]
    assert sent["run_request"]["placementConstraints"] == [{"type": "distinctInstance"}]
