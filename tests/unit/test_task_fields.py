"""`ECSTask` as configuration: its fields, what they refuse, and what they show."""

from __future__ import annotations

import copy
import json
import pickle
import re
import subprocess
import sys
from typing import Any

import pytest
from given import ROLE, block_fields
from hypothesis import given
from pydantic import SecretStr, TypeAdapter

import ecs_block
from ecs_block import AwsCredentials, ECSTask, InvalidTask, JsonPatch, PatchError

LONG = "x" * 70_000
CONTAINERS = [{"name": f"c{n}", "image": "i"} for n in range(10)]

# What is given → how the message begins, and a word of what would be right.
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown field": ({"comand": "x"}, "comand is not a field of ECSTask", "Did you mean 'command'?"),
    "unknown field of the credentials": (
        {"aws_credentials": {"region": "x"}},
        "aws_credentials.region is not a field of AwsCredentials",
        "Did you mean 'region_name'?",
    ),
    "another type": ({"type": "docker"}, "type must be", "'ecs-task'"),
    "a command that cannot be split": ({"command": "echo 'x"}, "command cannot be split", "give a list of words"),
    "a word that is no text": ({"command": ["a", 1]}, "command[1]", "must be a string"),
    "a NUL in a word": ({"command": ["a\0b"]}, "command[0] holds a NUL", "no program can receive"),
    "bytes in a word": ({"command": ["\udcff"]}, "command[0] holds bytes", "UTF-8"),
    "env is a list": ({"env": ["A=1"]}, "env must be", "a map of names to values"),
    "env true": ({"env": {"A": True}}, "env.A must be text", 'write "true" in quotes'),
    "env a list": ({"env": {"A": ["x"]}}, "env.A", "must be a string"),
    "env a map": ({"env": {"A": {"b": "c"}}}, "env.A is not a secret", '{"$secret": "env:NAME"}'),
    "env a mask": ({"env": {"A": "**********"}}, "env.A is a masked value", '{"$secret": "env:NAME"}'),
    "env a reference of no kind": (
        {"env": {"A": {"$secret": "x:y"}}},
        "env.A has a secret reference",
        "secretsmanager",
    ),
    "env with a NUL": ({"env": {"A": "b\0"}}, "env.A holds a NUL", "no process can receive"),
    "env without a name": ({"env": {"": "x"}}, "env has the name ''", "may not be empty"),
    "env with = in a name": ({"env": {"A=B": "x"}}, "env has the name 'A=B'", "neither '=' nor NUL"),
    "label a list": ({"labels": {"a": ["b"]}}, "labels.a", "must be a string"),
    "labels that collapse": ({"labels": {"a?": "1", "a!": "2"}}, "labels 'a?' and 'a!' both become", "Rename one"),
    "a label AWS keeps": ({"labels": {"aws:x": "1"}}, "labels: 'aws:x' uses the prefix", "AWS keeps"),
    "a label of nothing": ({"labels": {"??": "1"}}, "labels has a key that is empty", "use letters"),
    "a long label": ({"labels": {"k" * 129: "v"}}, "labels: the key", "at most 128"),
    "a long label value": ({"labels": {"k": "v" * 257}}, "labels: the value of 'k'", "at most 256"),
    "a tag of the definition": (
        {"task_definition": {"tags": [{"key": "aws:x", "value": ""}]}},
        "task_definition.tags: 'aws:x' uses the prefix",
        "AWS keeps",
    ),
    "51 labels": ({"labels": {f"k{n}": "v" for n in range(51)}}, "labels gives 51 tags", "at most 50"),
    "both definitions": (
        {"task_definition": {}, "task_definition_arn": "f"},
        "task_definition and task_definition_arn exclude each other",
        "give one",
    ),
    "an ARN of something else": (
        {"task_definition_arn": "arn:aws:ecs:us-east-1:1:cluster/x"},
        "task_definition_arn 'arn:aws:ecs:us-east-1:1:cluster/x' is neither",
        "family:revision",
    ),
    "a definition of unknown members": (
        {"task_definition": {"containerDefinition": []}},
        "task_definition.containerDefinition is not known to AWS",
        "Did you mean 'containerDefinitions'?",
    ),
    "a definition of wrong types": (
        {"task_definition": {"cpu": 256}},
        "task_definition.cpu must be a string",
        "quotes",
    ),
    "a definition of a null": (
        {"task_definition": {"containerDefinitions": None}},
        "task_definition.containerDefinitions must be a list",
        "not null",
    ),
    "two containers of one name": (
        {"task_definition": {"containerDefinitions": [{"name": "a"}, {"name": "a"}]}},
        "task_definition names the container a more than once",
        "must be unique",
    ),
    "eleven containers, with main": (
        {"task_definition": {"containerDefinitions": CONTAINERS}},
        "task_definition has 11 containers",
        "at most 10",
    ),
    "no essential container": (
        {"task_definition": {"containerDefinitions": [{"name": "main", "essential": False}]}},
        "task_definition has no essential container",
        "at least one",
    ),
    "a definition over 64 KiB": (
        {"task_definition": {"containerDefinitions": [{"name": "main", "command": [LONG]}]}},
        "task_definition is 70,",
        "at most 65,536",
    ),
    "a request of unknown members": (
        {"task_run_request": {"grp": "x"}},
        "task_run_request.grp is not known to AWS",
        "Did you mean 'group'?",
    ),
    "a request with a definition": (
        {"task_run_request": {"taskDefinition": "f"}},
        "task_run_request.taskDefinition is set by the block",
        "use task_definition_arn",
    ),
    "a request with a token": (
        {"task_run_request": {"clientToken": "x"}},
        "task_run_request.clientToken is set by the block",
        "run(run_id=...)",
    ),
    "a request of 11 tasks": ({"task_run_request": {"count": 11}}, "task_run_request.count is 11", "1 to 10"),
    "a request of two capacities": (
        {"task_run_request": {"launchType": "EC2", "capacityProviderStrategy": [{"capacityProvider": "x"}]}},
        "task_run_request has both launchType and capacityProviderStrategy",
        "one of them",
    ),
    "a family of nothing": ({"family": "!!!"}, "family '!!!' has no letter", "use [a-zA-Z0-9_-]"),
    "a container name": ({"container_name": "a b"}, "container_name 'a b' is not one", "use 1 to 255"),
    "no image": ({"image": ""}, "image has 0 characters", "1 to 255"),
    "a long image": ({"image": "i" * 256}, "image has 256 characters", "1 to 255"),
    "an image that is no text": ({"image": 5}, "image", "must be a string"),
    "cpu in words": ({"cpu": "lots"}, "cpu 'lots' is not a CPU size", '"1 vCPU"'),
    "memory in words": ({"memory": "lots"}, "memory 'lots' is not a memory size", '"2 GB"'),
    "cpu 0": ({"cpu": 0}, "cpu", "greater than 0"),
    "half a cpu unit": ({"cpu": 256.5}, "cpu must be", "a whole number"),
    "no size of Fargate": (
        {"cpu": 256, "memory": 8192},
        "cpu 256 and memory 8192 are not a size that Fargate offers",
        "cpu=1024, memory=8192",
    ),
    "no size of Fargate, by the definition": (
        {"task_definition": {"cpu": "4 vCPU", "memory": "1 GB"}},
        "cpu 4096 and memory 1024 are not a size",
        "cpu=4096, memory=8192",
    ),
    "no size of Fargate for a linked one": (
        {"task_definition_arn": "f", "cpu": 256, "memory": 8192},
        "cpu 256 and memory 8192",
        "cpu=1024, memory=8192",
    ),
    "logs without a role": (
        {"stream_output": True},
        "execution_role_arn is needed",
        "AmazonECSTaskExecutionRolePolicy",
    ),
    "configured logs without a role": (
        {"configure_cloudwatch_logs": True},
        "execution_role_arn is needed",
        "executionRoleArn in task_definition",
    ),
    "log options without logs": (
        {"cloudwatch_logs_options": {"mode": "blocking"}},
        "cloudwatch_logs_options needs logging",
        "stream_output=True",
    ),
    "log options with logs off": (
        {"cloudwatch_logs_options": {"a": "b"}, "stream_output": True, "configure_cloudwatch_logs": False},
        "cloudwatch_logs_options needs logging",
        "configure_cloudwatch_logs=True",
    ),
    "an unknown launch type": ({"launch_type": "fargate"}, "launch_type must be one of", "'FARGATE_SPOT'"),
    "managed instances without a strategy": (
        {"launch_type": "MANAGED_INSTANCES"},
        "launch_type MANAGED_INSTANCES needs a capacityProviderStrategy",
        "task_run_request",
    ),
    "start timeout 0": ({"task_start_timeout_seconds": 0}, "task_start_timeout_seconds", "greater than 0"),
    "run timeout 0": ({"task_run_timeout_seconds": 0}, "task_run_timeout_seconds", "greater than 0"),
    "interval 0": ({"task_watch_poll_interval": 0}, "task_watch_poll_interval", "greater than 0"),
    "interval nan": ({"task_watch_poll_interval": float("nan")}, "task_watch_poll_interval", "finite"),
    "a negative number of retries": ({"retries_on_interruption": -1}, "retries_on_interruption", "or equal to 0"),
    "half of the keys": (
        {"aws_credentials": {"aws_access_key_id": "AKIA"}},
        "aws_credentials",
        "aws_access_key_id and aws_secret_access_key go together",
    ),
    "keys that need keys": (
        {"aws_credentials": {"aws_access_key_id": "A", "aws_secret_access_key": {"$secret": "ssm:/x"}}},
        "aws_credentials",
        "use env: or file:",
    ),
    "overrides of too much": (
        {"env": {"A": "v" * 9000}},
        "command and env make overrides of",
        "The largest: env.A (9,001)",
    ),
}


@pytest.mark.parametrize(("fields", "begin", "right"), REFUSED.values(), ids=REFUSED)
def test_refused(fields: dict[str, Any], begin: str, right: str) -> None:
    """What cannot be right is one InvalidTask that begins with the field and says what would be right."""
    with pytest.raises(InvalidTask) as error:
        ECSTask(**fields)
    assert str(error.value).startswith(begin)
    assert right in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "right"),
    [
        ({"awslogs-stream-prefix": "a:b*c"}, "Use 'a-b-c'"),
        ({"awslogs-stream-prefix": ""}, "Use 'ecs-block'"),
        ({"awslogs-stream-prefix": "x" * 500}, "at most 512"),
        ({"awslogs-group": "my group"}, "letters, digits"),
        ({"awslogs-group": "g" * 513}, "1 to 512"),
    ],
)
def test_a_name_that_cloudwatch_logs_refuses(options: dict[str, str], right: str) -> None:
    """The task would not start: it is refused here, with what would do."""
    with pytest.raises(InvalidTask, match=right):
        ECSTask(cloudwatch_logs_options=options, stream_output=True, execution_role_arn=ROLE)


def test_names_that_cloudwatch_logs_takes() -> None:
    """Spaces and any script are fine in a stream's name."""
    options = {"awslogs-stream-prefix": "nächtlich (1)/x", "awslogs-group": "/ecs/a.b_c-d#1"}
    assert ECSTask(cloudwatch_logs_options=options, stream_output=True, execution_role_arn=ROLE)


def test_an_operation_that_is_malformed_is_a_patch_error() -> None:
    """A malformed customization is the kind of InvalidTask that is a PatchError."""
    with pytest.raises(PatchError, match=r"task_customizations\[0\] \(add /a\) lacks 'value'"):
        ECSTask(task_customizations=[{"op": "add", "path": "/a"}])


def test_all_problems_are_told_at_once() -> None:
    """Several mistakes are one error with a line for each."""
    with pytest.raises(InvalidTask) as error:
        ECSTask(cpu="x", memory="y", nam="z")
    assert [line.split()[0] for line in str(error.value).splitlines()] == ["cpu", "memory", "nam"]


def test_an_invalid_task_is_a_value_error() -> None:
    """InvalidTask can be caught as ValueError and as EcsBlockError."""
    assert issubclass(InvalidTask, ValueError)
    assert issubclass(InvalidTask, ecs_block.EcsBlockError)
    assert issubclass(PatchError, InvalidTask)


@pytest.mark.parametrize(
    "make",
    [ECSTask.model_validate, lambda fields: ECSTask.model_validate_json(json.dumps(fields)), ECSTask().model_copy],
)
def test_every_way_in_raises_the_same(make: Any) -> None:
    """model_validate, model_validate_json and a changed copy refuse what the constructor refuses."""
    fields = {"launch_type": "MANAGED_INSTANCES"}
    with pytest.raises(InvalidTask, match="MANAGED_INSTANCES needs"):
        make(update=fields) if make.__name__ == "model_copy" else make(fields)


@pytest.mark.parametrize(
    ("text", "told"), [("{", "is not valid JSON"), ("[]", "must be an object"), ("5", "must be an object")]
)
def test_json_that_is_no_block(text: str, told: str) -> None:
    """JSON text that is no object is an InvalidTask that says of what."""
    with pytest.raises(InvalidTask, match=f"ECSTask {told}"):
        ECSTask.model_validate_json(text)


def test_validation_loads_no_aws() -> None:
    """Importing the library and refusing a block import neither boto3 nor yaml nor moto, nor botocore itself."""
    code = (
        "import sys, ecs_block\n"
        "try: ecs_block.ECSTask(stream_output=True, cpu=1, nonsense=2)\n"
        "except ecs_block.InvalidTask: pass\n"
        "ecs_block.ECSTask(command='a b', env={'A': '1'}, labels={'a': 'b'})\n"
        "print([m for m in ('boto3', 'botocore', 'yaml', 'moto', 'jsonpatch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_loads_nothing_that_only_a_run_needs() -> None:
    """Neither what talks to AWS, nor the engine, nor what only an error needs: the time of an import is mostly pydantic's."""
    late = {"ssl", "http.client", "difflib", "ecs_block.aws.call", "ecs_block.engine", "ecs_block.preview"}
    code = "import sys; from ecs_block import ECSTask; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert late.isdisjoint(done.stdout.split())


# --- what is accepted ---


def test_what_is_read_kindly() -> None:
    """Commands in one string, sizes in words, numbers as variables and labels are read as people mean them."""
    task = ECSTask(
        command="echo 'hello world' \"x\"",
        cpu="1 vCPU",
        memory="2 GB",
        env={"N": 5, "F": 1.5, 7: "x", "STAR": "*"},
        labels={"n": 3},
        task_customizations='[{"op": "add", "path": "/group", "value": "g"}]',
    )
    assert task.command == ["echo", "hello world", "x"]
    assert (task.cpu, task.memory) == (1024, 2048)
    assert task.env == {"N": "5", "F": "1.5", "7": "x", "STAR": "*"}
    assert task.labels == {"n": "3"}
    assert task.task_customizations == JsonPatch([{"op": "add", "path": "/group", "value": "g"}])


def test_defaults() -> None:
    """A block of nothing is valid, and its defaults are the documented ones."""
    task = ECSTask()
    assert task.model_fields_set == {"type"}
    assert (task.launch_type, task.task_start_timeout_seconds, task.task_watch_poll_interval) == ("FARGATE", 900, 5.0)
    assert task.stop_on_interrupt
    assert not task.auto_deregister_task_definition
    assert (task.cpu, task.memory, task.image, task.cluster) == (None, None, None, None)


def test_the_input_stays_the_users() -> None:
    """What was given is kept as it was given, and not written to."""
    definition = {"containerDefinitions": [{"name": "main", "environment": [{"name": "A", "value": "1"}]}]}
    before = copy.deepcopy(definition)
    task = ECSTask(
        task_definition=definition, family="My Fam", labels={"a?": "b"}, launch_type="FARGATE_SPOT", env={"A": None}
    )
    task.preview()
    assert definition == before
    assert (task.task_definition, task.family, task.labels) == (before, "My Fam", {"a?": "b"})


# --- warnings ---

ODD = {
    "another network mode": ({"task_definition": {"networkMode": "bridge"}}, "networkMode is 'bridge'"),
    "streaming without the driver": (
        {"stream_output": True, "configure_cloudwatch_logs": False},
        "stream_output is on, but configure_cloudwatch_logs is off",
    ),
    "a VPC beside a network": (
        {
            "vpc_id": "vpc-1",
            "task_run_request": {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["s"]}}},
        },
        "vpc_id is not used",
    ),
    "a VPC without awsvpc": (
        {"vpc_id": "vpc-1", "launch_type": "EC2", "task_definition": {"networkMode": "bridge"}},
        "vpc_id is not used",
    ),
    "a rival launch type": (
        {"launch_type": "EC2", "task_run_request": {"launchType": "EXTERNAL"}},
        "launch_type EC2 wins over launchType EXTERNAL",
    ),
    "a variable of ECS": (
        {"env": {"ECS_CONTAINER_METADATA_URI_V4": "x"}},
        "env.ECS_CONTAINER_METADATA_URI_V4 is set by ECS",
    ),
    "the role of the task": (
        {"env": {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "x"}},
        "cuts the task off from its role",
    ),
    "nearly too much": ({"env": {"A": "v" * 7500}}, "command and env fill 93%"),
    "larger than Fargate is known": ({"cpu": 65536, "memory": 499712}, "larger than any size of Fargate"),
}


@pytest.mark.parametrize(("fields", "told"), ODD.values(), ids=ODD)
@pytest.mark.parametrize("way", ["constructor", "model_validate", "model_validate_json", "model_copy"])
def test_oddities_warn_once_at_the_callers_line(fields: dict[str, Any], told: str, way: str) -> None:
    """An odd setting is possible: one UserWarning tells it, at the line of the program that made the block."""
    with pytest.warns(UserWarning, match=re.escape(told)) as caught:
        make(way, fields)
    (warning,) = caught
    assert warning.filename == __file__


def make(way: str, fields: dict[str, Any]) -> ECSTask:
    if way == "constructor":
        return ECSTask(**fields)
    if way == "model_copy":
        return ECSTask().model_copy(update=fields)
    return (
        ECSTask.model_validate(fields) if way == "model_validate" else ECSTask.model_validate_json(json.dumps(fields))
    )


# --- JSON ---


@given(block_fields)
@pytest.mark.filterwarnings("ignore:launch_type:UserWarning")
def test_json_round_trip(fields: dict[str, Any]) -> None:
    """JSON text of a block gives the same block, with the same fields set."""
    task = ECSTask(**fields)
    again = ECSTask.model_validate_json(task.model_dump_json())
    assert again == task
    assert again.model_fields_set == task.model_fields_set == {"type", *fields}


def test_json_masks_secrets_and_keeps_references() -> None:
    """JSON text holds a mask for a secret and a reference as it is."""
    task = ECSTask(env={"S": SecretStr("hunter2"), "R": {"$secret": "env:R"}}, aws_credentials=KEYS)
    text = task.model_dump_json()
    assert "hunter2" not in text
    assert json.loads(text)["env"] == {"S": "**********", "R": {"$secret": "env:R"}}
    with pytest.raises(InvalidTask, match=r"env\.S is a masked value"):
        ECSTask.model_validate_json(text)


def test_every_field_is_documented() -> None:
    """The schema describes every field of the block and of its credentials, and holds no default for a secret."""
    schema = ECSTask.model_json_schema()
    credentials = schema["$defs"]["AwsCredentials"]["properties"]
    undescribed = [
        name for name, field in {**schema["properties"], **credentials}.items() if not field.get("description")
    ]
    assert undescribed == []
    assert set(schema["properties"]) == set(ECSTask.model_fields)
    assert schema["additionalProperties"] is False
    assert not any(credentials[name].get("default") for name in ("aws_access_key_id", "aws_secret_access_key"))
    assert json.loads(json.dumps(ECSTask.model_json_schema(mode="serialization")))


# --- a value like any other ---

KEYS = AwsCredentials(aws_access_key_id="AKIAHUNTER2", aws_secret_access_key="hunter2")


@given(block_fields)
@pytest.mark.filterwarnings("ignore:launch_type:UserWarning")
def test_copies_are_equal(fields: dict[str, Any]) -> None:
    """Copies of every kind, and what pickle gives back, are equal blocks with the same fields set."""
    task = ECSTask(**fields)
    for again in (copy.copy(task), copy.deepcopy(task), pickle.loads(pickle.dumps(task)), task.model_copy(deep=True)):
        assert again == task
        assert again.model_fields_set == task.model_fields_set


def test_a_changed_copy_leaves_the_original() -> None:
    """A changed copy has the change, keeps what was set, and does not touch the original."""
    task = ECSTask(command=["a"], aws_credentials=KEYS, env={"S": SecretStr("hunter2")})
    other = task.model_copy(update={"command": "b c"})
    assert (task.command, other.command) == (["a"], ["b", "c"])
    assert (other.env, other.aws_credentials) == (task.env, task.aws_credentials)
    assert other.model_fields_set == task.model_fields_set
    assert other != task


def test_a_block_cannot_be_changed_in_place() -> None:
    """Setting a field is refused with the way to do it, and the value is not quoted."""
    with pytest.raises(InvalidTask, match=r"env cannot be changed in place.*model_copy") as error:
        ECSTask().env = {"A": "hunter2"}  # type: ignore[misc]
    assert "hunter2" not in str(error.value)


def test_blocks_in_other_models() -> None:
    """A block is a pydantic model among others: lists of blocks and fields of blocks validate."""
    (task,) = TypeAdapter(list[ECSTask]).validate_python([{"command": "a b"}])
    assert task.command == ["a", "b"]


# --- what is shown ---


def test_the_repr_shows_what_was_set_and_no_secret() -> None:
    """The repr shows set fields, masked: hidden values, values of secret names, values of options."""
    task = ECSTask(
        command=["run", "--password=hunter2", "--token", "hunter2"],
        env={"S": SecretStr("hunter2"), "DB_PASSWORD": "hunter2", "LEVEL": "debug", "R": {"$secret": "env:R"}},
        aws_credentials=KEYS,
        cloudwatch_logs_options={"splunk-token": "hunter2"},
        stream_output=True,
        execution_role_arn=ROLE,
        task_definition={
            "containerDefinitions": [{"name": "main", "environment": [{"name": "API_KEY", "value": "hunter2"}]}]
        },
        task_customizations=[{"op": "add", "path": "/group", "value": "hunter2"}],
    )
    for shown in (repr(task), str(task), f"{task}", repr([task]), repr(task.model_dump(include={"aws_credentials"}))):
        assert "hunter2" not in shown.lower()
    assert "'LEVEL': 'debug'" in repr(task)
    assert "cpu" not in repr(task)
    assert repr(ECSTask()) == "ECSTask()"


def test_the_repr_of_credentials_shows_no_password() -> None:
    """Credentials show what was set: keys hidden, and the password in the URL of an endpoint or a proxy masked."""
    credentials = AwsCredentials(
        aws_access_key_id="hunter2",
        aws_secret_access_key={"$secret": "env:KEY"},
        endpoint_url="http://ann:hunter2@host",
        botocore_config={"proxies": {"https": "http://ann:hunter2@proxy"}},
    )
    for shown in (repr(credentials), str(credentials), repr(ECSTask(aws_credentials=credentials))):
        assert "hunter2" not in shown
        assert "env:KEY" in shown
        assert "ann:**********@proxy" in shown
    assert repr(AwsCredentials(region_name="r")) == "AwsCredentials(region_name='r')"


SECRET_IN_A_MISTAKE = [
    {"env": {"A": ["hunter2"]}},
    {"env": {"A": {"x": "hunter2"}}},
    {"env": {"A": SecretStr("hunter2\0")}},
    {"env": {"A": SecretStr("hunter2" * 2000)}},
    {"env": "hunter2"},
    {"env": ["hunter2"]},
    {"env": {"A": {"$secret": "hunter2"}}},
    {"aws_credentials": {"aws_access_key_id": SecretStr("hunter2")}},
    {"aws_credentials": {"aws_secret_access_key": ["hunter2"]}},
    {"aws_credentials": {"aws_access_key_id": "hunter2", "aws_secret_access_key": "hunter2", "external_id": "hunter2"}},
    {"cloudwatch_logs_options": {"splunk-token": ["hunter2"]}},
    {"cloudwatch_logs_options": {"splunk-token": SecretStr("hunter2")}},
    {
        "task_definition": {
            "containerDefinitions": [{"name": "a", "environment": [{"name": "A", "value": ["hunter2"]}]}]
        }
    },
    {"task_definition": {"containerDefinitions": [{"name": "a", "environment": ["hunter2"]}]}},
    {"task_run_request": {"overrides": {"containerOverrides": [{"environment": "hunter2"}]}}},
    {"task_run_request": "hunter2"},
    {"unknown": "hunter2"},
]


@pytest.mark.parametrize("fields", SECRET_IN_A_MISTAKE)
def test_no_error_quotes_a_value(fields: dict[str, Any]) -> None:
    """Whatever is wrong with a value that may be secret, the error does not quote it."""
    for way in (lambda: ECSTask(**fields), lambda: ECSTask.model_validate(fields)):
        with pytest.raises(InvalidTask) as error:
            way()
        assert "hunter2" not in str(error.value)
        assert "hunter2" not in repr(error.value)
        assert error.value.__suppress_context__
