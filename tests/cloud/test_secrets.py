"""A secret reaches the program, and nothing that a person may see."""

from __future__ import annotations

import io
import json
import logging
import secrets
import sys
import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr

from ecs_block import AwsCredentials, BlockInvalid, ECSTask, InvalidTask
from ecs_block.local import LocalCloud

ROLE = "arn:aws:iam::123456789012:role/execution"
SHOW_LENGTH = "import os; print(len(os.environ['CANARY']))"


def canary(kind: str) -> str:
    """A secret that can be found again however it is escaped: quotes, a backslash and another script are in it."""
    return f'{kind}-{secrets.token_hex(12)}"\\é{secrets.token_hex(4)}'


@pytest.fixture
def everything_logged(caplog):
    """All loggers at DEBUG, botocore's and urllib3's among them."""
    caplog.set_level(logging.DEBUG)
    return caplog


def forms(secret: str) -> set[str]:
    """The ways in which a secret may be spelled in what is printed."""
    return {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        secret[:30],
    }


def found(secret: str, *places: str) -> list[str]:
    return [place[max(0, place.find(form) - 80) :][:200] for place in places for form in forms(secret) if form in place]


def test_a_secret_is_found_nowhere(everything_logged, capfd, tmp_path: Path):
    """Run, previewed, logged at DEBUG, broken and saved: a search for its value finds nothing."""
    variable, option = canary("variable"), canary("option").replace('"', "").replace("\\", "")
    events = []
    with LocalCloud() as cloud:
        task = ECSTask(
            command=[sys.executable, "-c", SHOW_LENGTH],
            env={"CANARY": SecretStr(variable), "PLAIN": "shown"},
            aws_credentials=cloud.credentials,
            stream_output=True,
            execution_role_arn=ROLE,
            cloudwatch_logs_options={"awslogs-stream-prefix": SecretStr(option)},
        )
        output = io.StringIO()
        result = task.run(on_event=events.append, output=output)
        assert output.getvalue().strip() == str(len(variable))
        told = [repr(task), str(task), task.preview(), task.model_dump_json(), repr(result), repr(events)]
        told.append(json.dumps(task.generate_work_pool_base_job_template()))
        told += [_broken(lambda: ECSTask(**{**_fields(task), "comand": 1}))]
        told += [_broken(lambda: ECSTask(**{**_fields(task), "cpu": "many"}))]
        told += [
            _broken(lambda: task.model_copy(update={"task_customizations": [{"op": "remove", "path": "/x"}]}).run())
        ]
        told += [_broken(lambda: task.save("canary")), _broken(lambda: task.save_to(tmp_path / "canary.json"))]
        told += [_broken(lambda: task.model_copy(update={"cluster": "nowhere"}).run())]
        told += [_broken(lambda: task.model_copy(update={"command": ["/no/such/program"]}).run())]
        keys = cloud.environment
    told += [record.getMessage() for record in everything_logged.records]
    told += [everything_logged.text, *capfd.readouterr()]
    told += [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(everything_logged.records) > 50
    for secret in (variable, option.removeprefix("option-"), keys["AWS_SECRET_ACCESS_KEY"]):
        assert not found(secret, *told)


def _fields(task):
    return {name: getattr(task, name) for name in task.model_fields_set}


def _broken(work) -> str:
    """Do what cannot work, and give all that its traceback says."""
    try:
        work()
    except Exception:
        return traceback.format_exc()
    raise AssertionError("it was expected to fail")


def test_references_are_looked_up_when_the_task_runs(tmp_path: Path, monkeypatch):
    """The environment, a file, SSM and Secrets Manager; a preview shows where, never what."""
    monkeypatch.setenv("MY_SECRET", "1")
    (tmp_path / "secret").write_text("22\n")
    with LocalCloud() as cloud:
        cloud.client("ssm").put_parameter(Name="/my/secret", Value="333", Type="SecureString")
        cloud.client("secretsmanager").create_secret(Name="mine", SecretString="4444")
        env = {
            "A": {"$secret": "env:MY_SECRET"},
            "B": {"$secret": f"file:{tmp_path / 'secret'}"},
            "C": {"$secret": "ssm:/my/secret"},
            "D": {"$secret": "secretsmanager:mine"},
        }
        task = ECSTask(command=["sh", "-c", 'test "$A$B$C$D" = 1223334444'], env=env, aws_credentials=cloud.credentials)
        assert task.run()
        assert "<secret from ssm:/my/secret>" in task.preview()
        path = task.model_copy(update={"aws_credentials": AwsCredentials()}).save("with-references")
        assert json.loads(path.read_text())["env"] == env
        assert ECSTask.load("with-references").env == task.env


@pytest.mark.parametrize("kind", ["env", "file", "ssm", "secretsmanager"])
def test_a_referenced_secret_is_found_nowhere(kind, everything_logged, tmp_path: Path, monkeypatch):
    """Not even in the answer that brings it, which botocore would log."""
    secret = canary(kind)
    name = {"env": "CANARY_SOURCE", "file": str(tmp_path / "canary"), "ssm": "/canary", "secretsmanager": "canary"}[
        kind
    ]
    monkeypatch.setenv("CANARY_SOURCE", secret)
    (tmp_path / "canary").write_text(secret)
    with LocalCloud() as cloud:
        cloud.client("ssm").put_parameter(Name="/canary", Value=secret, Type="SecureString")
        cloud.client("secretsmanager").create_secret(Name="canary", SecretString=secret)
        everything_logged.clear()
        task = ECSTask(
            command=[sys.executable, "-c", SHOW_LENGTH],
            env={"CANARY": {"$secret": f"{kind}:{name}"}},
            aws_credentials=cloud.credentials,
        )
        assert task.run()
    assert not found(secret, everything_logged.text, *(record.getMessage() for record in everything_logged.records))


@pytest.mark.parametrize(
    "reference", ["env:NOT_THERE", "file:/not/there", "ssm:/not/there", "secretsmanager:not-there"]
)
def test_a_reference_to_nothing_is_told_before_anything_changes(reference):
    """It names the reference, and nothing is registered."""
    with LocalCloud() as cloud:
        task = ECSTask(command=["true"], env={"A": {"$secret": reference}}, aws_credentials=cloud.credentials)
        with pytest.raises(InvalidTask, match=reference):
            task.run()
        assert not {"ecs:RegisterTaskDefinition", "ecs:RunTask"} & set(cloud.calls)


def test_keys_may_be_given_by_reference(monkeypatch):
    """And nothing but the reference is saved."""
    with LocalCloud() as cloud:
        for name, value in cloud.environment.items():
            monkeypatch.setenv(f"MY_{name}", value)
        credentials = AwsCredentials(
            aws_access_key_id={"$secret": "env:MY_AWS_ACCESS_KEY_ID"},
            aws_secret_access_key={"$secret": "env:MY_AWS_SECRET_ACCESS_KEY"},
            region_name=cloud.region,
            endpoint_url=cloud.endpoint_url,
        )
        task = ECSTask(command=["true"], aws_credentials=credentials)
        assert task.run()
        task.save("referring")
        assert ECSTask.load("referring").run()
        with pytest.raises(BlockInvalid, match="aws_access_key_id"):
            ECSTask(command=["true"], aws_credentials=cloud.credentials).save("clear")


def test_an_assumed_role_has_keys_of_its_own(everything_logged):
    """STS is asked once, the session's keys are the role's, and no log tells them."""
    with LocalCloud() as cloud:
        given = cloud.credentials.model_copy(update={"assume_role_arn": "arn:aws:iam::123456789012:role/other"})
        session = given.get_boto3_session()
        keys = session.get_credentials().get_frozen_credentials()
        assert keys.access_key != cloud.environment["AWS_ACCESS_KEY_ID"]
        assert keys.token
        assert cloud.calls["sts:AssumeRole"] == 1
    assert not found(keys.secret_key, everything_logged.text)
    assert not found(keys.token, everything_logged.text)
