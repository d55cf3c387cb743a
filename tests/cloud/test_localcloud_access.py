"""LocalCloud's door: who gets in, what a wrong request is told, and what stays apart."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from ecs_block.local import LocalCloud


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as cloud:
        yield cloud


def stranger(cloud: LocalCloud, service: str, **members: Any) -> Any:
    """Make a client that has not quite the cloud's key."""
    environment = cloud.environment
    keys = {
        "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
    }
    config = Config(retries={"total_max_attempts": 1})
    return boto3.session.Session().client(
        service, endpoint_url=cloud.endpoint_url, region_name="us-east-1", config=config, **{**keys, **members}
    )


def code_of(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def signed(cloud: LocalCloud, body: bytes, target: str = "ListTasks", service: str = "ecs") -> dict[str, str]:
    environment = cloud.environment
    headers = {
        "X-Amz-Target": f"AmazonEC2ContainerServiceV20141113.{target}",
        "Content-Type": "application/x-amz-json-1.1",
    }
    request = AWSRequest("POST", cloud.endpoint_url + "/", data=body, headers=headers)
    credentials = Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(credentials, service, "us-east-1").add_auth(request)
    return dict(request.headers.items())


def post(cloud: LocalCloud, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(cloud.endpoint_url.removeprefix("http://"))
    try:
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("service", "operation", "key", "secret"),
    [
        ("ecs", "list_tasks", "UnrecognizedClientException", "InvalidSignatureException"),
        ("logs", "describe_log_groups", "UnrecognizedClientException", "InvalidSignatureException"),
        ("s3", "list_buckets", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
        ("ec2", "describe_vpcs", "AuthFailure", "AuthFailure"),
        ("sts", "get_caller_identity", "InvalidClientTokenId", "SignatureDoesNotMatch"),
    ],
)
def test_only_the_right_key_opens(cloud: LocalCloud, service: str, operation: str, key: str, secret: str) -> None:
    """A foreign key and a wrong secret are refused in the service's own words."""
    assert code_of(getattr(stranger(cloud, service, aws_access_key_id="AKIAFOREIGN"), operation)) == key
    assert code_of(getattr(stranger(cloud, service, aws_secret_access_key="wrong"), operation)) == secret


def test_an_unsigned_request_is_refused(cloud: LocalCloud) -> None:
    """Whoever finds the port gets nothing."""
    with pytest.raises(HTTPError) as caught:
        urllib.request.urlopen(cloud.endpoint_url + "/moto-api/data.json")
    with caught.value as answer:
        assert answer.code == 403
    assert post(cloud, b"{}", {"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListTasks"})[0] == 400


def test_a_changed_body_is_refused(cloud: LocalCloud) -> None:
    """The signature covers the body."""
    headers = signed(cloud, b"{}")
    assert post(cloud, b"{}", headers)[0] == 200
    status, answer = post(cloud, b'{"cluster":"x"}', {**headers, "Content-Length": "15"})
    assert (status, answer["__type"]) == (400, "InvalidSignatureException")


def test_an_old_signature_is_refused(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request signed more than 15 minutes ago, or by a wrong clock, is told so."""
    headers = signed(cloud, b"{}")
    monkeypatch.setattr("ecs_block.local.auth._SKEW_SECONDS", -1)
    assert "Signature" in post(cloud, b"{}", headers)[1]["message"]


def test_foreign_host_names_are_refused(cloud: LocalCloud) -> None:
    """A web page that points its own name at 127.0.0.1 gets nothing."""
    assert post_text(cloud, {**signed(cloud, b"{}"), "Host": "evil.example"}) == 421


def post_text(cloud: LocalCloud, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(cloud.endpoint_url.removeprefix("http://"))
    try:
        connection.request("POST", "/", b"{}", headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"not json", "SerializationException"),
        (b"[]", "SerializationException"),
        (b'{"cluster": 1}', "SerializationException"),
        (b'{"clutser": "x"}', "InvalidParameterException"),
    ],
)
def test_a_wrong_body_is_refused(cloud: LocalCloud, body: bytes, code: str) -> None:
    """What is not JSON, of a wrong type or unknown to botocore's model is an error of the client."""
    status, answer = post(cloud, body, signed(cloud, body))
    assert (status, answer["__type"]) == (400, code)


def test_nulls_count_as_absent(cloud: LocalCloud) -> None:
    """A JSON null is no value, as AWS reads it."""
    body = b'{"cluster": null, "startedBy": null}'
    assert post(cloud, body, signed(cloud, body)) == (200, {"taskArns": []})


def test_a_bug_is_a_500(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """An exception of ours is logged and answered as ServerException."""
    monkeypatch.setattr("ecs_block.local.clusters.page", lambda *_: 1 / 0)
    assert code_of(cloud.client("ecs").list_clusters) == "ServerException"
    assert "ZeroDivisionError" in caplog.text


def test_presigned_addresses_work(cloud: LocalCloud) -> None:
    """Both kinds of presigned S3 address open their object, until somebody changes them."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="presigned")
    s3.put_object(Bucket="presigned", Key="a b/ü+c", Body=b"content")
    for version in ("s3", "s3v4"):
        client = stranger(cloud, "s3")
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=cloud.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=cloud.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=cloud.environment["AWS_SECRET_ACCESS_KEY"],
            config=Config(signature_version=version),
        )
        address = client.generate_presigned_url("get_object", Params={"Bucket": "presigned", "Key": "a b/ü+c"})
        with urllib.request.urlopen(address) as answer:
            assert answer.read() == b"content"
        with pytest.raises(HTTPError) as caught:
            urllib.request.urlopen(address.replace("presigned", "other"))
        caught.value.close()


def test_other_services_are_motos(cloud: LocalCloud) -> None:
    """SQS, SSM, Secrets Manager and STS work, in this cloud's own account."""
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    assert url.startswith(cloud.endpoint_url)
    sqs.send_message(QueueUrl=url, MessageBody="größe")
    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "größe"
    cloud.client("ssm").put_parameter(Name="/a", Value="1", Type="String")
    assert cloud.client("ssm").get_parameter(Name="/a")["Parameter"]["Value"] == "1"
    assert cloud.client("sts").get_caller_identity()["Account"] == cloud.account_id
    default = cloud.client("ec2").describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["true"]}])["Vpcs"]
    assert len(default) == 1


def test_two_clouds_do_not_see_each_other(cloud: LocalCloud) -> None:
    """Each has a key, an account, queues, networks and tasks of its own."""
    cloud.client("sqs").create_queue(QueueName="mine")
    vpcs = {vpc["VpcId"] for vpc in cloud.client("ec2").describe_vpcs()["Vpcs"]}
    with LocalCloud() as other:
        assert other.account_id != cloud.account_id
        assert other.client("sqs").list_queues().get("QueueUrls", []) == []
        assert not vpcs & {vpc["VpcId"] for vpc in other.client("ec2").describe_vpcs()["Vpcs"]}
        environment = other.environment
        foreign = stranger(
            cloud,
            "ecs",
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )
        assert code_of(foreign.list_tasks) == "UnrecognizedClientException"


def test_a_long_poll_ends_with_the_cloud() -> None:
    """A consumer that waits for messages gets them when they come, and does not hold stop() up."""
    before = set(threading.enumerate())
    with LocalCloud() as cloud:
        url = cloud.client("sqs").create_queue(QueueName="q")["QueueUrl"]
        found: list[Any] = []

        def receive(sqs: Any) -> None:
            with contextlib.suppress(Exception):
                found.append(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20))

        first = threading.Thread(target=receive, args=(cloud.client("sqs"),))
        first.start()
        time.sleep(0.1)
        cloud.client("sqs").send_message(QueueUrl=url, MessageBody="x")
        first.join(3)
        assert found[0]["Messages"][0]["Body"] == "x"
        second = threading.Thread(target=receive, args=(cloud.client("sqs"),))
        second.start()
        time.sleep(0.1)
    second.join(3)
    assert not second.is_alive()
    assert set(threading.enumerate()) <= before


def test_a_bucket_name_is_free_again_after_stop() -> None:
    """What one cloud held is forgotten by moto when the cloud stops."""
    for _ in range(2):
        with LocalCloud() as cloud:
            s3 = cloud.client("s3", "eu-west-1")
            s3.create_bucket(Bucket="again", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})


def test_calls_are_counted() -> None:
    """Every operation has its count, ours and moto's alike."""
    with LocalCloud() as cloud:
        cloud.client("ecs").list_clusters()
        cloud.client("ec2").describe_vpcs()
        assert dict(cloud.calls) == {"ecs:ListClusters": 1, "ec2:DescribeVpcs": 1}


def test_clients_keep_their_connections() -> None:
    """Many calls of one client need one connection, and so one thread."""
    with LocalCloud() as cloud:
        ecs = cloud.client("ecs")
        ecs.list_clusters()
        before = set(threading.enumerate())  # some of which may end: those of an earlier test
        for _ in range(50):
            ecs.list_clusters()
        assert set(threading.enumerate()) - before == set()


def test_start_and_stop_may_be_repeated() -> None:
    """A cloud can be started twice and stopped twice, and says when it does not run."""
    cloud = LocalCloud()
    with pytest.raises(RuntimeError, match="not running"):
        cloud.endpoint_url  # noqa: B018
    address = cloud.start().endpoint_url
    assert cloud.start().endpoint_url == address
    cloud.stop()
    cloud.stop()


@pytest.mark.parametrize("knobs", [{"state_seconds": {"RUNING": 1}}, {"log_empty_pages": 1}, {"directory": "/no/such"}])
def test_wrong_knobs_are_refused(knobs: dict[str, Any]) -> None:
    """A knob that cannot work says so at once."""
    with pytest.raises(ValueError, match=next(iter(knobs))):
        LocalCloud(**knobs)


def test_importing_is_light() -> None:
    """The package loads neither moto nor boto3 until LocalCloud is asked for, and no moto until it starts."""
    code = (
        "import sys, ecs_block.local; print([m for m in ('moto', 'flask', 'boto3') if m in sys.modules]);"
        "from ecs_block.local import LocalCloud; print([m for m in ('moto', 'flask') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]
