"""`ecs-block agent`: each of its options and arguments, on the command line, in the environment and in a file."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ecs_block.local import LocalCloud

JOB = "a718df81-3376-4039-a1e6-cf5b79baa7d4"


@pytest.fixture
def subnet(cloud: LocalCloud) -> str:
    """The last of the subnets."""
    return str(sorted(item["SubnetId"] for item in cloud.client("ec2").describe_subnets()["Subnets"])[-1])


def submit(command: Any, queue: str, *words: str, job_id: str | None = None) -> str:
    """Put a job into the queue, and give its id."""
    job_id = job_id or os.urandom(8).hex()
    done = command("agent", "submit", "--queue", queue, "--id", job_id, *(words or ("--", "true")))
    assert (done.returncode, done.stdout) == (0, f"{job_id}\n"), done.stderr
    return job_id


def started(command: Any, queue: str, *words: str, **variables: str) -> Any:
    """Let an agent ask the queue once, and run what it gets."""
    done = command("agent", "start", "--queue", queue, "--max-polls", "1", *words, **variables)
    assert done.returncode == 0, done.stderr
    return done


def tasks_of(cloud: LocalCloud, job_id: str) -> list[dict[str, Any]]:
    """Give the tasks of a job."""
    return [task for task in cloud.tasks if variables_of(task).get("ECS_BLOCK_JOB_ID") == job_id]


def newest(cloud: LocalCloud) -> dict[str, Any]:
    """Give the task that was made last, in whichever region."""
    return max(cloud.tasks, key=lambda task: task["createdAt"])


def variables_of(task: dict[str, Any]) -> dict[str, str]:
    overrides = task["overrides"].get("containerOverrides") or [{}]
    return {item["name"]: item["value"] for item in overrides[0].get("environment") or []}


def definition_of(cloud: LocalCloud, task: dict[str, Any]) -> dict[str, Any]:
    found = cloud.client("ecs").describe_task_definition(taskDefinition=task["taskDefinitionArn"], include=["TAGS"])
    return {**found["taskDefinition"], "tags": found.get("tags") or []}


def run_one(command: Any, cloud: LocalCloud, queue: str, *words: str, **variables: str) -> dict[str, Any]:
    """Run one job with these words, and give its task."""
    job_id = submit(command, queue)
    started(command, queue, *words, **variables)
    (task,) = tasks_of(cloud, job_id)
    return task


# --- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["word", "option", "variable", "VARIABLE"])
def test_network_configuration(on_aws: Any, cloud: LocalCloud, queue: str, subnet: str, given: str) -> None:
    """As key=value, as --key=value, and as a variable in both spellings, written as a Python literal."""
    value = f"{{'awsvpcConfiguration': {{'subnets': ['{subnet}'], 'assignPublicIp': 'DISABLED'}}}}"
    words, variables = (), {}
    match given:
        case "word":
            words = (f"networkConfiguration={value}",)
        case "option":
            words = (f"--networkConfiguration={value}",)
        case "variable":
            variables = {"networkConfiguration": value}
        case "VARIABLE":
            variables = {"NETWORK_CONFIGURATION": value}
    task = run_one(on_aws, cloud, queue, *words, **variables)
    details = {item["name"]: item["value"] for each in task["attachments"] for item in each["details"]}
    assert details["subnetId"] == subnet


def test_members_of_the_first_container(on_aws: Any, cloud: LocalCloud, queue: str) -> None:
    """`containerDefinitions_…` reach into it, as words and as variables."""
    role = f"arn:aws:iam::{cloud.account_id}:role/x"
    cloud.client("ssm").put_parameter(Name="/kept", Value="kept", Type="SecureString")
    task = run_one(
        on_aws, cloud, queue,
        "containerDefinitions_environment=[{'name': 'STAGE', 'value': 'test'}]",
        "--containerDefinitions_secrets=[{'name': 'KEPT', 'valueFrom': '/kept'}]",
        'containerDefinitions_mountPoints=[{"sourceVolume": "v", "containerPath": "/v"}]',
        f"executionRoleArn={role}", "volumes=[{'name': 'v'}]",
        containerDefinitions_logConfiguration="{'logDriver': 'splunk', 'options': {'splunk-url': 'u'}}",
        CONTAINER_DEFINITIONS_REPOSITORY_CREDENTIALS="{'credentialsParameter': 'arn:aws:secretsmanager:x'}",
    )  # fmt: skip
    (container,) = definition_of(cloud, task)["containerDefinitions"]
    assert container["environment"] == [{"name": "STAGE", "value": "test"}]
    assert container["secrets"] == [{"name": "KEPT", "valueFrom": "/kept"}]
    assert container["mountPoints"] == [{"sourceVolume": "v", "containerPath": "/v"}]
    logging = container["logConfiguration"]
    assert (logging["logDriver"], logging["options"]) == ("splunk", {"splunk-url": "u"})
    assert container["repositoryCredentials"] == {"credentialsParameter": "arn:aws:secretsmanager:x"}


def test_other_arguments(on_aws: Any, cloud: LocalCloud, queue: str) -> None:
    """Of both operations: sizes, family, tags, group, ECS Exec."""
    task = run_one(
        on_aws, cloud, queue, "cpu=512", "--memory=1024", "family=given", "tags=[{'key': 'team', 'value': 'data'}]",
        "group=batch", "enableExecuteCommand=true", "platformVersion=1.4.0",
    )  # fmt: skip
    definition = definition_of(cloud, task)
    assert (definition["family"], definition["cpu"], definition["memory"]) == ("given", "512", "1024")
    assert definition["tags"] == task["tags"] == [{"key": "team", "value": "data"}]
    assert (task["group"], task["enableExecuteCommand"], task["platformVersion"]) == ("batch", True, "1.4.0")


# --- options -----------------------------------------------------------------------------------------------------------


def test_revisions_and_arguments_in_s3(on_aws: Any, cloud: LocalCloud, queue: str) -> None:
    """`<prefix>/flow-1/a718df81.json` for the job "flow #1"; its definition is a tagged revision of `flow-1`."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="external-arguments")
    body = json.dumps(
        {"cpu": "512", "memory": 1024, "containerDefinitions_environment": "[{'name': 'X', 'value': '1'}]"}
    )
    s3.put_object(Bucket="external-arguments", Key="prefix/flow-1/a718df81.json", Body=body)
    submit(on_aws, queue, "--name", "flow #1", "--version", "3", job_id=JOB)
    started(
        on_aws, queue, "--enable-task-revisions", "--use-external-kwargs", "--external-kwargs-s3-bucket",
        "external-arguments", "--external-kwargs-s3-key", "prefix", "cpu=256", "memory=512",
    )  # fmt: skip
    (task,) = tasks_of(cloud, JOB)
    definition = definition_of(cloud, task)
    assert (definition["family"], definition["cpu"], definition["memory"]) == ("flow-1", "512", "1024")
    assert definition["containerDefinitions"][0]["environment"] == [{"name": "X", "value": "1"}]
    assert {tag["key"]: tag["value"] for tag in definition["tags"]} == {"JobId": JOB, "JobVersion": "3"}


def test_block_env_name_and_launch_type(on_aws: Any, cloud: LocalCloud, queue: str) -> None:
    """A saved block is what tasks start from; --env adds variables, --launch-type says where they run."""
    on_aws("block", "save", "nightly", "--image", "mine:1", "-e", "A=block", "-e", "B=block", "--", "false")
    submit(on_aws, queue, "-e", "B=job", "--parameters", '{"day": 1}', job_id="block-job")
    done = started(
        on_aws, queue, "--block", "nightly", "--env", "A=agent", "--env", "HERE", "--name", "me", "--launch-type",
        "fargate_spot", HERE="there",
    )  # fmt: skip
    (task,) = tasks_of(cloud, "block-job")
    told = variables_of(task)
    assert (told["A"], told["B"], told["HERE"], told["ECS_BLOCK_PARAMETERS"]) == ("agent", "job", "there", '{"day": 1}')
    assert definition_of(cloud, task)["containerDefinitions"][0]["image"] == "mine:1"
    assert task["capacityProviderName"] == "FARGATE_SPOT"
    assert "The agent me takes jobs from" in done.stderr


def test_labels(on_aws: Any, cloud: LocalCloud, queue: str) -> None:
    """An agent takes a job if it has all of the job's labels; others are left in the queue."""
    job_id = submit(on_aws, queue, "--label", "gpu", "--label", "large")
    started(on_aws, queue, "--label", "gpu")
    assert tasks_of(cloud, job_id) == []
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed"]
    left = cloud.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    assert sum(map(int, left.values())) == 1
    other = submit(on_aws, f"{queue}", "--label", "gpu")
    started(on_aws, queue, ECS_BLOCK_AGENT_LABELS="gpu,large")
    assert len(tasks_of(cloud, other)) == 1


def test_allow(on_aws: Any, cloud: LocalCloud, queue: str) -> None:
    """A job sets what --allow names; without it, it is rejected with the reason."""
    refused = submit(on_aws, queue, "--set", "image=evil")
    done = started(on_aws, queue)
    assert "--allow image" in done.stderr
    assert tasks_of(cloud, refused) == []
    allowed = submit(on_aws, queue, "--set", "image=jobs", "--set", "cpu=512")
    started(on_aws, queue, "--allow", "image", "--allow", "cpu")
    (task,) = tasks_of(cloud, allowed)
    assert definition_of(cloud, task)["containerDefinitions"][0]["image"] == "jobs"


def test_logs(on_aws: Any, cloud: LocalCloud, queue: str, role: str) -> None:
    """With an execution role the output goes to CloudWatch Logs; --no-logs keeps it out."""
    task = run_one(on_aws, cloud, queue, f"executionRoleArn={role}")
    assert definition_of(cloud, task)["containerDefinitions"][0]["logConfiguration"]["logDriver"] == "awslogs"
    quiet = run_one(on_aws, cloud, queue, f"executionRoleArn={role}", "--no-logs")
    assert "logConfiguration" not in definition_of(cloud, quiet)["containerDefinitions"][0]


def test_lines_for_machines(on_aws: Any, queue: str) -> None:
    """--log-format json writes one object a line."""
    job_id = submit(on_aws, queue, "--name", "machine")
    lines = [json.loads(line) for line in started(on_aws, queue, "--log-format", "json").stderr.splitlines()]
    assert all({"time", "level", "message"} <= set(line) for line in lines)
    assert any(line.get("job") == job_id for line in lines)


def test_limit(on_aws: Any, cloud: LocalCloud, queue: str) -> None:
    """With --limit 1, jobs run one after the other."""
    jobs = [submit(on_aws, queue, "--", "sleep", "0.2") for _ in range(3)]
    done = on_aws("agent", "start", "--queue", queue, "--limit", "1", "--max-polls", "3")
    assert done.returncode == 0, done.stderr
    times = sorted((task["startedAt"], task["stoppedAt"]) for job in jobs for task in tasks_of(cloud, job))
    assert len(times) == 3
    assert all(first[1] <= second[0] for first, second in pairwise(times))


def test_agent_address(on_aws: Any, cloud: LocalCloud, queue: str, eventually: Any) -> None:
    """--agent-address serves health and status while the agent runs; SIGTERM ends it with 0.

    What comes while it waits for its last poll is handed back.
    """
    agent = on_aws.start("agent", "start", "--queue", queue, "--agent-address", "http://127.0.0.1:0")
    lines: list[str] = []
    for line in agent.process.stderr:
        lines.append(line)
        if "Status: " in line:
            break
    url = lines[-1].rpartition("Status: ")[2].strip()

    def healthy() -> bool:
        try:
            return bool(urllib.request.urlopen(f"{url.rstrip('/')}/api/health").status == 200)
        except OSError:
            return False

    eventually(healthy, 20)
    agent.signal(signal.SIGTERM)
    for line in agent.process.stderr:
        if "waits for its last poll" in line:
            break
    job_id = submit(on_aws, queue)
    assert agent.end().returncode == 0
    assert tasks_of(cloud, job_id) == []
    started(on_aws, queue)
    assert len(tasks_of(cloud, job_id)) == 1


def test_credentials(on_aws: Any, cloud: LocalCloud, queue: str, tmp_path: Path) -> None:
    """Keys, region, endpoint and botocore's settings as options; or a profile; nothing of them in the environment."""
    around = {name: on_aws.variables.pop(name) for name in list(on_aws.variables) if name.startswith("AWS_")}
    on_aws.variables["AWS_EC2_METADATA_DISABLED"] = "true"
    keys = (
        "--aws-access-key-id", around["AWS_ACCESS_KEY_ID"], "--aws-secret-access-key", around["AWS_SECRET_ACCESS_KEY"],
        "--region", around["AWS_REGION"], "--endpoint-url", cloud.endpoint_url,
    )  # fmt: skip
    job_id = os.urandom(8).hex()
    assert on_aws("agent", "submit", "--queue", queue, *keys, "--id", job_id, "--", "true").returncode == 0
    started(on_aws, queue, *keys, "--botocore-config", "{'max_pool_connections': 5}")
    (task,) = tasks_of(cloud, job_id)
    assert f":{around['AWS_REGION']}:" in task["taskArn"]
    elsewhere = on_aws("agent", "check", *keys, "--region", "eu-central-1")
    assert (elsewhere.returncode, ":eu-central-1:" in newest(cloud)["taskArn"]) == (0, True)
    refused = on_aws("agent", "start", "--queue", queue, *keys, "--botocore-config", "{'max_pool': 5}")
    assert (refused.returncode, "max_pool" in refused.stderr) == (2, True)
    wrong = on_aws("agent", "check", *keys, "--aws-secret-access-key", "hush-hush-wrong-key")
    assert (wrong.returncode, wrong.stdout) == (1, "✗ task definition: it failed.\n")
    assert "hush-hush" not in wrong.stderr
    alone = on_aws("agent", "check", "--aws-session-token", "token", "--region", "eu-central-1")
    assert (alone.returncode, "aws_session_token needs aws_access_key_id" in alone.stderr) == (2, True)
    (tmp_path / "config").write_text("[profile mine]\nregion = eu-west-3\n")
    (tmp_path / "keys").write_text(
        f"[mine]\naws_access_key_id = {around['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {around['AWS_SECRET_ACCESS_KEY']}\n"
    )
    files = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "keys")}
    mine = ("--profile", "mine", "--endpoint-url", cloud.endpoint_url)
    assert on_aws("agent", "check", *mine, **files).returncode == 0
    assert ":eu-west-3:" in newest(cloud)["taskArn"]


def test_the_environment_alone(on_aws: Any, cloud: LocalCloud, queue: str) -> None:
    """Options and arguments may all stand in the environment."""
    job_id = submit(on_aws, queue, "--set", "image=jobs")
    done = on_aws(
        "agent", "start", ECS_BLOCK_AGENT_QUEUE=queue, ECS_BLOCK_AGENT_MAX_POLLS="1", ECS_BLOCK_AGENT_ALLOW="image",
        ECS_BLOCK_AGENT_ENV="{'A': '1'}", ECS_BLOCK_AGENT_LIMIT="5", ECS_BLOCK_AGENT_NAME="me", CPU="512",
        memory="1024", ECS_BLOCK_AGENT_LOG_FORMAT="json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (task,) = tasks_of(cloud, job_id)
    assert (task["cpu"], task["memory"], variables_of(task)["A"]) == ("512", "1024", "1")
    lines = [json.loads(line)["message"] for line in done.stderr.splitlines()]
    assert lines[0] == "Arguments of boto3: cpu, memory; in the environment: cpu, memory."
    assert lines[1].startswith("The agent me takes jobs")


@pytest.mark.parametrize("place", ["yaml", "s3"])
def test_a_file(on_aws: Any, cloud: LocalCloud, queue: str, tmp_path: Path, place: str) -> None:
    """--config holds options and arguments, as YAML or JSON, here or in S3; the command line wins."""
    options = {"queue": queue, "max-polls": 1, "env": {"A": "file", "B": "file"}, "cpu": "256", "memory": 512}
    options["containerDefinitions_environment"] = [{"name": "X", "value": "1"}]
    if place == "yaml":
        path = str(tmp_path / "agent.yaml")
        Path(path).write_text(json.dumps(options, indent=2))  # which is YAML, too
    else:
        cloud.client("s3").create_bucket(Bucket="agent-options")
        cloud.client("s3").put_object(Bucket="agent-options", Key="a/agent.json", Body=json.dumps(options))
        path = "s3://agent-options/a/agent.json"
    job_id = submit(on_aws, queue)
    done = on_aws("agent", "start", "--config", path, "-e", "A=here", "cpu=512", "memory=1024")
    assert done.returncode == 0, done.stderr
    (task,) = tasks_of(cloud, job_id)
    assert (task["cpu"], variables_of(task)["A"], variables_of(task)["B"]) == ("512", "here", "file")
    assert definition_of(cloud, task)["containerDefinitions"][0]["environment"] == [{"name": "X", "value": "1"}]


def test_parameters_from_a_file_of_jobs(on_aws: Any, cloud: LocalCloud, queue: str, tmp_path: Path) -> None:
    """A file of jobs, one JSON object a line, is submitted whole or not at all."""
    file = tmp_path / "jobs.jsonl"
    jobs = [os.urandom(8).hex() for _ in range(12)]
    file.write_text("\n".join(json.dumps({"id": job, "command": ["true"]}) for job in jobs))
    assert on_aws("agent", "submit", "--queue", queue, "--file", str(file)).stdout.split() == jobs
    started(on_aws, queue, "--max-polls", "2")
    file.write_text('{"command": ["true"]}\n{"comand": []}\n')
    done = on_aws("agent", "submit", "--queue", queue, "--file", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'command'?" in done.stderr


# --- check, and what is wrong ------------------------------------------------------------------------------------------


def test_check(on_aws: Any, cloud: LocalCloud) -> None:
    """It proves the configuration, tells the steps, and leaves nothing."""
    before = cloud.client("ecs").list_task_definitions()["taskDefinitionArns"]
    done = on_aws("agent", "check", "cpu=512", "memory=1024")
    assert done.returncode == 0, done.stderr
    steps = done.stdout.splitlines()
    assert [step.partition(":")[0] for step in steps] == ["✓ task definition", "✓ task", "✓ cleaned up"]
    assert (newest(cloud)["cpu"], newest(cloud)["lastStatus"]) == ("512", "STOPPED")
    failed = on_aws("agent", "check", "cpu=512", "memory=1024", "--command", "sh -c 'exit 3'")
    assert (failed.returncode, failed.stdout.splitlines()[-1]) == (1, "✗ task: it failed.")
    assert "exit code 3" in failed.stderr
    assert cloud.client("ecs").list_task_definitions()["taskDefinitionArns"] == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("cpuu=256",), "Did you mean 'cpu'?"),
        (("--limt=3",), "Did you mean '--limit'?"),
        (("--netConfiguration={}",), "Did you mean '--networkConfiguration'?"),
        (("--networkConfiguration",), "needs a value: --networkConfiguration=VALUE"),
        (("networkConfiguration={'a'",), "neither JSON nor a Python literal"),
        (("networkConfiguration={'awsvpcConfiguraton': {}}",), "Did you mean 'awsvpcConfiguration'?"),
        (("word",), "There is no argument 'word'."),
        (("--limit", "0"), "--limit"),
        (("--allow", "imag"), "Did you mean 'image'?"),
        (("--launch-type", "FARGAT"), "Did you mean 'FARGATE'?"),
        (("--block", "nightli"), "No ecs-task block 'nightli' is saved."),
        (("--config", "nowhere.yaml"), "The configuration nowhere.yaml cannot be read"),
        (("--config", "s3://bucket"), "write s3://BUCKET/KEY"),
        (("--pool", "p"), "No such option"),
        (("--use-external-kwargs",), "needs external_kwargs_s3_bucket"),
        (("cpu=256", "memory=100000"), "not a size that Fargate offers"),
        (("-e", "NOT_HERE"), "the variable NOT_HERE is not set here"),
        (("clientToken=x",), "clientToken cannot be given"),
        (("taskDefinition=a", "volumes=[]"), "excludes volumes"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_is_wrong(on_aws: Any, queue: str, words: tuple[str, ...], told: str) -> None:
    """Exit code 2, one or two lines, no traceback; the nearest name is told."""
    done = on_aws("agent", "start", "--queue", queue, "--max-polls", "1", *words)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert told in done.stderr or told == "No such option"
    assert len(done.stderr.splitlines()) <= 2
    assert "Traceback" not in done.stderr


def test_no_queue(on_aws: Any) -> None:
    """It says how to give one."""
    done = on_aws("agent", "start")
    assert (done.returncode, "--queue is missing; give it, or set ECS_BLOCK_AGENT_QUEUE." in done.stderr) == (2, True)
