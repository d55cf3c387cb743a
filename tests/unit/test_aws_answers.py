"""What each answer of AWS means, in the manner of botocore's own test vectors: what comes over the wire, what is raised."""

from __future__ import annotations

import socket
from typing import Any

import botocore.exceptions as boto
import pytest
from urllib3.exceptions import NameResolutionError, NewConnectionError
from wire import NOW, OURS, REQUEST, Wire, dated, ec2_refusal, refusal

from ecs_block.aws.bodies import Raw
from ecs_block.aws.skew import blamed, clock_ahead
from ecs_block.errors import AccessDenied, AwsError, ClusterNotFound, Kind, NoCredentials, TaskDefinitionNotFound

USER = "User: arn:aws:sts::123456789012:assumed-role/ci/job is not authorized to perform:"
ROLE = "arn:aws:iam::123456789012:role/ecsTaskExecutionRole"
TASK = "arn:aws:ecs:eu-central-1:123456789012:task/default/*"
DEFINITION = "arn:aws:ecs:eu-central-1:123456789012:task-definition/nightly"
LATE = "Signature expired: 20261120T115300Z is now earlier than 20261120T115500Z (20261120T120000Z - 5 min.)"
EARLY = "Signature not yet current: 20261120T121200Z is still later than 20261120T120500Z (20261120T120000Z + 5 min.)"
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and "
    "signing method. Consult the service documentation for details.\n\nThe Canonical String for this request should have "
    "been\n'POST\n/\n\nhost:ecs.eu-central-1.amazonaws.com\nx-amz-security-token:IQoJb3JpZ2luX2VjEXAMPLETOKEN'"
)
PAGE = "<!DOCTYPE html>\n<html><head><title>Sign in to the\n guest network</title></head><body>hello</body></html>"
GATEWAY = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>502</body>\r\n</html>"

RUN = "ecs:RunTask"
LOOK = "ecs:DescribeTasks"
REGISTER = "ecs:RegisterTaskDefinition"
PARAMS: dict[str, dict[str, Any]] = {
    RUN: {"taskDefinition": "nightly", "cluster": "batch"},
    LOOK: {"tasks": ["arn:aws:ecs:eu-central-1:123456789012:task/default/1"]},
    REGISTER: {"family": "nightly", "containerDefinitions": []},
    "ecs:DescribeTaskDefinition": {"taskDefinition": "nightly"},
    "ecs:StopTask": {"task": "1"},
    "ecs:ListTasks": {},
    "logs:GetLogEvents": {"logGroupName": "g", "logStreamName": "s"},
    "logs:FilterLogEvents": {"logGroupName": "g"},
    "ec2:DescribeSubnets": {},
    "ssm:GetParameter": {"Name": "token"},
    "secretsmanager:GetSecretValue": {"SecretId": "token"},
    "sqs:DeleteMessage": {"QueueUrl": "https://sqs/q", "ReceiptHandle": "h"},
}

# operation, status, body, headers | kind, class, what the message names
Row = tuple[str, int, Any, dict[str, str], Kind, type[AwsError], list[str]]


def row(
    operation: str,
    status: int,
    body: Any,
    kind: Kind,
    *told: str,
    kind_of: type[AwsError] = AwsError,
    headers: dict[str, str] | None = None,
) -> Row:
    return operation, status, body, OURS if headers is None else headers, kind, kind_of, list(told)


THROTTLES = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "LimitExceededException",
    "BandwidthLimitExceeded",
    "ProvisionedThroughputExceededException",
    "PriorRequestNotComplete",
    "SlowDown",
]
PASSING = ["InternalFailure", "InternalServerError", "ServiceUnavailableException", "ServerException", "RequestTimeout"]
KEYS = ["UnrecognizedClientException", "InvalidClientTokenId", "IncompleteSignature", "MissingAuthenticationToken"]

ROWS: list[Row] = [
    *(row(LOOK, 400, refusal(code, "Rate exceeded"), Kind.THROTTLED, code, REQUEST) for code in THROTTLES),
    row(LOOK, 400, refusal("ClientException", "Rate exceeded"), Kind.THROTTLED, "Rate exceeded"),
    row(LOOK, 429, "", Kind.THROTTLED, "429 (Too Many Requests)"),
    row(LOOK, 429, GATEWAY, Kind.THROTTLED, "429"),
    row(LOOK, 429, {"message": "slower"}, Kind.THROTTLED, "slower"),
    row("logs:GetLogEvents", 400, refusal("ThrottlingException", "Rate exceeded"), Kind.THROTTLED, "log stream s"),
    row("ec2:DescribeSubnets", 503, ec2_refusal("RequestLimitExceeded", "Slower."), Kind.THROTTLED, "Slower", REQUEST),
    row(
        REGISTER,
        400,
        refusal("ClientException", "Too many concurrent attempts to create a new revision of the specified family."),
        Kind.THROTTLED,
        "family nightly",
    ),
    row(
        RUN,
        400,
        refusal("ClientException", "Tasks provisioning capacity limit exceeded."),
        Kind.THROTTLED,
        "500 tasks",
    ),
    row(
        RUN,
        400,
        refusal("ClientException", "You've reached the limit on the number of vCPUs you can run concurrently"),
        Kind.THROTTLED,
        "Service Quotas",
    ),
    row(
        RUN,
        400,
        refusal(
            "InvalidParameterException",
            "Error retrieving security group information for [sg-1]: Request limit exceeded. (ErrorCode: RequestLimitExceeded)",
        ),
        Kind.THROTTLED,
        "sg-1",
    ),
    *(row(LOOK, 500, refusal(code, "try again"), Kind.TRANSIENT, code, REQUEST) for code in PASSING),
    row(LOOK, 400, refusal("RequestTimeoutException"), Kind.TRANSIENT, "no reason was given"),
    row(LOOK, 503, refusal("SomethingNew", "?"), Kind.TRANSIENT, "SomethingNew"),
    row(
        "ec2:DescribeSubnets",
        503,
        ec2_refusal("Unavailable", "The server is overloaded."),
        Kind.TRANSIENT,
        "overloaded",
    ),
    row(
        RUN,
        400,
        refusal("InvalidParameterException", "Error retrieving subnet information: oops (ErrorCode: InternalError)"),
        Kind.TRANSIENT,
        "oops",
    ),
    # --- denied: the action, the resource, and what to add
    row(
        LOOK,
        400,
        refusal(
            "AccessDeniedException",
            f"{USER} ecs:DescribeTasks on resource: {TASK} because no identity-based policy "
            "allows the ecs:DescribeTasks action",
        ),
        Kind.DENIED,
        "Allow ecs:DescribeTasks in the caller's IAM policy",
        f'"Resource": "{TASK}"',
        kind_of=AccessDenied,
    ),
    row(
        RUN,
        400,
        refusal(
            "AccessDeniedException",
            f"{USER} iam:PassRole on resource: {ROLE} because no identity-based policy allows the iam:PassRole action",
        ),
        Kind.DENIED,
        "handed this role",
        f'{{"Effect": "Allow", "Action": "iam:PassRole", "Resource": "{ROLE}", "Condition": '
        '{"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}}',
        kind_of=AccessDenied,
    ),
    row(
        REGISTER,
        400,
        refusal("AccessDeniedException", f"{USER} iam:PassRole on resource: {ROLE}"),
        Kind.DENIED,
        '"Action": "iam:PassRole"',
        kind_of=AccessDenied,
    ),
    row(
        RUN,
        400,
        refusal(
            "AccessDeniedException",
            f"{USER} ecs:TagResource on resource: {TASK} because no identity-based policy "
            "allows the ecs:TagResource action",
        ),
        Kind.DENIED,
        "tagged",
        f'"Action": "ecs:TagResource", "Resource": "{TASK}", "Condition": '
        '{"StringEquals": {"ecs:CreateAction": "RunTask"}}',
        kind_of=AccessDenied,
    ),
    row(
        REGISTER,
        400,
        refusal("AccessDeniedException", f"{USER} ecs:TagResource on resource: {DEFINITION}:*"),
        Kind.DENIED,
        '{"ecs:CreateAction": "RegisterTaskDefinition"}',
        kind_of=AccessDenied,
    ),
    row(
        RUN,
        400,
        refusal(
            "AccessDeniedException",
            f"{USER} ecs:RunTask on resource: {DEFINITION}:7 because no session policy allows the ecs:RunTask action",
        ),
        Kind.DENIED,
        "in the session policy",
        f'"Resource": "{DEFINITION}:*"',
        kind_of=AccessDenied,
    ),
    row(
        RUN,
        400,
        refusal(
            "AccessDeniedException",
            f"{USER} ecs:RunTask on resource: {DEFINITION}:7 with an explicit deny in a service control policy",
        ),
        Kind.DENIED,
        "forbidden in a service control policy",
        kind_of=AccessDenied,
    ),
    row(
        "logs:FilterLogEvents",
        400,
        refusal(
            "AccessDeniedException",
            f"{USER} logs:FilterLogEvents on resource: arn:aws:logs:eu-central-1:1:log-group:g:log"
            "-stream: because no identity-based policy allows the logs:FilterLogEvents action",
        ),
        Kind.DENIED,
        '"Action": "logs:FilterLogEvents"',
        kind_of=AccessDenied,
    ),
    row(
        "ec2:DescribeSubnets",
        403,
        ec2_refusal(
            "UnauthorizedOperation",
            f"You are not authorized to perform this operation. {USER} ec2:DescribeSubnets "
            "because no identity-based policy allows the ec2:DescribeSubnets action",
        ),
        Kind.DENIED,
        '"Action": "ec2:DescribeSubnets", "Resource": "*"',
        kind_of=AccessDenied,
    ),
    row(
        "ec2:DescribeSubnets",
        403,
        ec2_refusal("UnauthorizedOperation", "You are not authorized to perform this operation."),
        Kind.DENIED,
        "Allow ec2:DescribeSubnets",
        kind_of=AccessDenied,
    ),
    row(
        "secretsmanager:GetSecretValue",
        400,
        refusal("AccessDeniedException", "Access to KMS is not allowed"),
        Kind.DENIED,
        "Allow kms:Decrypt",
        kind_of=AccessDenied,
    ),
    row(LOOK, 403, {"message": "Forbidden"}, Kind.DENIED, "Allow ecs:DescribeTasks", kind_of=AccessDenied),
    row(RUN, 400, refusal("BlockedException", "Your account is blocked."), Kind.DENIED, "account is blocked"),
    # --- credentials
    row(
        LOOK,
        400,
        refusal("ExpiredTokenException", "The security token included in the request is expired"),
        Kind.CREDENTIALS,
        "is expired",
        "aws_credentials",
        kind_of=NoCredentials,
    ),
    row(LOOK, 400, refusal("ExpiredToken", "expired"), Kind.CREDENTIALS, "ExpiredToken", kind_of=NoCredentials),
    row(
        "ec2:DescribeSubnets",
        400,
        ec2_refusal("RequestExpired", "Request has expired."),
        Kind.CREDENTIALS,
        "give new ones",
        kind_of=NoCredentials,
    ),
    *(
        row(LOOK, 403, refusal(code, "no"), Kind.DENIED, "does not know these keys", kind_of=NoCredentials)
        for code in KEYS
    ),
    row(
        "ec2:DescribeSubnets",
        401,
        ec2_refusal("AuthFailure", "AWS was not able to validate the provided access credentials"),
        Kind.DENIED,
        "does not know these keys",
        kind_of=NoCredentials,
    ),
    # --- the clock
    row(
        LOOK,
        400,
        refusal("InvalidSignatureException", LATE),
        Kind.CREDENTIALS,
        "This machine's clock is 412 s behind AWS's; set it (e.g. with NTP)",
        kind_of=NoCredentials,
        headers=OURS | dated(412),
    ),
    row(
        LOOK,
        400,
        refusal("InvalidSignatureException", EARLY),
        Kind.CREDENTIALS,
        "This machine's clock is 720 s ahead of AWS's",
        kind_of=NoCredentials,
        headers=OURS | dated(-720),
    ),
    row(
        LOOK,
        403,
        refusal("RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
        Kind.CREDENTIALS,
        "86400 s behind",
        kind_of=NoCredentials,
        headers=OURS | dated(86400),
    ),
    row(
        "ec2:DescribeSubnets",
        400,
        ec2_refusal("RequestExpired", "Request has expired."),
        Kind.CREDENTIALS,
        "1000 s behind",
        kind_of=NoCredentials,
        headers=dated(1000),
    ),
    row(
        LOOK,
        400,
        refusal("InvalidSignatureException", LATE),
        Kind.TRANSIENT,
        "did the machine sleep",
        headers=OURS | dated(3),
    ),
    row(
        LOOK,
        400,
        refusal("InvalidSignatureException", LATE),
        Kind.CREDENTIALS,
        "Check that this machine's clock",
        kind_of=NoCredentials,
        headers=OURS | {"Date": "yesterday"},
    ),
    row(
        LOOK,
        400,
        refusal("InvalidSignatureException", MISMATCH),
        Kind.DENIED,
        "Check the secret access key",
        kind_of=NoCredentials,
        headers=OURS | dated(20),
    ),
    row(LOOK, 403, refusal("SignatureDoesNotMatch", "no"), Kind.DENIED, "secret access key", kind_of=NoCredentials),
    # --- not found
    row(
        RUN,
        400,
        refusal("ClusterNotFoundException", "Cluster not found."),
        Kind.NOT_FOUND,
        "cluster batch",
        "the region and the account",
        kind_of=ClusterNotFound,
    ),
    row(
        RUN,
        400,
        refusal("ClusterNotFoundException", "The referenced cluster was inactive."),
        Kind.NOT_FOUND,
        "inactive",
        kind_of=ClusterNotFound,
    ),
    row(
        "ecs:DescribeTaskDefinition",
        400,
        refusal("ClientException", "Unable to describe task definition."),
        Kind.NOT_FOUND,
        "task definition nightly",
        kind_of=TaskDefinitionNotFound,
    ),
    row(
        RUN,
        400,
        refusal("ClientException", "TaskDefinition not found."),
        Kind.NOT_FOUND,
        "nightly",
        kind_of=TaskDefinitionNotFound,
    ),
    row(
        "ecs:StopTask",
        400,
        refusal("InvalidParameterException", "The referenced task was not found."),
        Kind.NOT_FOUND,
        "task 1",
    ),
    row(
        "logs:GetLogEvents",
        400,
        refusal("ResourceNotFoundException", "The specified log stream does not exist."),
        Kind.NOT_FOUND,
        "log stream s",
    ),
    row("ssm:GetParameter", 400, refusal("ParameterNotFound"), Kind.NOT_FOUND, "parameter token"),
    row(
        "ec2:DescribeSubnets",
        400,
        ec2_refusal("InvalidVpcID.NotFound", "The vpc ID 'vpc-1' does not exist"),
        Kind.NOT_FOUND,
        "vpc-1",
    ),
    # --- invalid, conflict
    row(RUN, 400, refusal("InvalidParameterException", "Invalid revision number."), Kind.INVALID, "Invalid revision"),
    row(RUN, 400, refusal("ClientException", "TaskDefinition is inactive"), Kind.INVALID, "register it again"),
    row(
        RUN,
        400,
        refusal(
            "InvalidParameterException",
            "Unable to assume the service linked role. Please verify that the ECS service linked role exists.",
        ),
        Kind.INVALID,
        "create-service-linked-role",
    ),
    row(RUN, 400, refusal("PlatformUnknownException", "no"), Kind.INVALID, "PlatformUnknownException"),
    row(
        RUN,
        400,
        refusal("ConflictException", "The client token was used before.", resourceIds=["arn:task/1"]),
        Kind.CONFLICT,
        "client token",
    ),
    # --- bodies that are not AWS's, or not whole
    row(
        RUN,
        200,
        PAGE,
        Kind.TRANSIENT,
        "is not AWS's (a proxy?)",
        "'Sign in to the guest network'",
        "nobody knows",
        headers={},
    ),
    row(RUN, 200, GATEWAY, Kind.TRANSIENT, "is not AWS's (a proxy?)", headers={}),
    row(RUN, 200, "", Kind.TRANSIENT, "was cut short", "empty", REQUEST, "nobody knows"),
    row(RUN, 200, '{"tasks":[{"taskArn":"arn:aws:ecs:eu-c', Kind.TRANSIENT, "was cut short", REQUEST),
    row(RUN, 200, '{"tasks":[{"taskArn":"arn:aws:ecs:eu-c', Kind.TRANSIENT, "was cut short", headers={}),
    row(RUN, 200, "{}", Kind.TRANSIENT, "lacks what AWS always says", REQUEST),
    row(RUN, 200, '{"status":"ok"}', Kind.TRANSIENT, "is not AWS's", headers={}),
    row(RUN, 200, "null", Kind.TRANSIENT, "is not AWS's", headers={}),
    row(RUN, 200, "[1]", Kind.TRANSIENT, "is not AWS's", headers={}),
    row(RUN, 200, "OK", Kind.TRANSIENT, "it is no JSON", headers={}),
    row(RUN, 200, b"\xff\xfe{}", Kind.TRANSIENT, "is not AWS's", headers={}),
    row(LOOK, 200, {"tasks": "none"}, Kind.TRANSIENT, "lacks what AWS always says"),
    row(
        RUN,
        502,
        GATEWAY,
        Kind.TRANSIENT,
        "failed with 502 (Bad Gateway)",
        "a load balancer's",
        "'502 Bad Gateway'",
        headers={},
    ),
    row(RUN, 503, PAGE, Kind.TRANSIENT, "503 (Service Unavailable)", "a load balancer's", headers={}),
    row(RUN, 500, "", Kind.TRANSIENT, "failed with 500", "cut short", headers={}),
    row(RUN, 400, "<h1>Blocked by policy</h1>", Kind.TRANSIENT, "failed with 400", "a proxy?", headers={}),
    row(RUN, 403, PAGE, Kind.TRANSIENT, "failed with 403 (Forbidden)", "a proxy?", headers={}),
    row(RUN, 407, GATEWAY, Kind.TRANSIENT, "407 (Proxy Authentication Required)", headers={}),
    row(RUN, 302, PAGE, Kind.TRANSIENT, "302 (Found)", headers={"Location": "https://login.example/"}),
    row(RUN, 400, '{"__type":"Thro', Kind.TRANSIENT, "failed with 400", "cut short"),
    row("ec2:DescribeSubnets", 200, PAGE, Kind.TRANSIENT, "is not AWS's (a proxy?)", headers={}),
    row("ec2:DescribeSubnets", 200, GATEWAY, Kind.TRANSIENT, "is not AWS's (a proxy?)", headers={}),
    row(
        "ec2:DescribeSubnets",
        200,
        "<DescribeSubnetsResponse><subnetSet><it",
        Kind.TRANSIENT,
        "was cut short",
        headers={},
    ),
    row("ec2:DescribeSubnets", 404, PAGE, Kind.TRANSIENT, "failed with 404 (Not Found)", "a proxy?", headers={}),
    row("ec2:DescribeSubnets", 503, "busy", Kind.TRANSIENT, "failed with 503", "it is no XML", headers={}),
    row("sqs:DeleteMessage", 200, PAGE, Kind.TRANSIENT, "is not AWS's (a proxy?)", headers={}),
]


@pytest.fixture(scope="module")
def wire() -> Wire:
    return Wire()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]} {row[-1][0][:30]}")
def test_answers(wire: Wire, row: Row) -> None:
    """An answer has one kind and class, and its message names what it is about."""
    operation, status, body, headers, kind, kind_of, told = row
    wire.answer(status, body, headers)
    with pytest.raises(AwsError) as caught:
        wire.call(operation, **PARAMS[operation])
    error = caught.value
    assert (error.kind, type(error)) == (kind, kind_of)
    assert error.operation == operation
    for words in told:
        assert words in str(error)
    for never in ("<html", "<title", "TOKEN", "secret-of-the-wire"):
        assert never not in str(error)
    assert error.request_id == (REQUEST if headers.get("x-amzn-requestid") or "RequestID" in str(body) else None)
    assert error.temporary == (kind in (Kind.THROTTLED, Kind.TRANSIENT, Kind.CREDENTIALS))


def test_a_denied_call_names_its_action(wire: Wire) -> None:
    """As an IAM policy spells it."""
    wire.answer(400, refusal("AccessDeniedException", f"{USER} iam:PassRole on resource: {ROLE}"), OURS)
    with pytest.raises(AccessDenied) as caught:
        wire.call(RUN, **PARAMS[RUN])
    assert caught.value.action == "iam:PassRole"


def test_a_conflict_names_what_has_the_token(wire: Wire) -> None:
    """The tasks that the client token has started already."""
    wire.answer(400, refusal("ConflictException", "used", resourceIds=["arn:task/1"]), OURS)
    with pytest.raises(AwsError) as caught:
        wire.call(RUN, **PARAMS[RUN])
    assert caught.value.resource_ids == ("arn:task/1",)


SOUND: list[tuple[str, Any]] = [
    (RUN, {"tasks": [], "failures": []}),
    (RUN, {"failures": []}),
    ("ecs:ListTasks", {"taskArns": []}),
    ("logs:FilterLogEvents", {"events": []}),
    ("ec2:DescribeSubnets", "<DescribeSubnetsResponse><requestId>1</requestId><subnetSet/></DescribeSubnetsResponse>"),
    ("sqs:DeleteMessage", ""),
    ("sqs:DeleteMessage", "{}"),
]


@pytest.mark.parametrize(("operation", "body"), SOUND)
def test_sound_answers(wire: Wire, operation: str, body: Any) -> None:
    """An answer that holds little is an answer."""
    wire.answer(200, body, OURS)
    assert wire.call(operation, **PARAMS[operation])["ResponseMetadata"]["HTTPStatusCode"] == 200


URL = "https://ecs.eu-central-1.amazonaws.com/"


def _unreachable(cause: Exception) -> Exception:
    return boto.EndpointConnectionError(endpoint_url=URL, error=cause)


NO_SUCH_NAME = NameResolutionError(
    "ecs.eu-cental-1.amazonaws.com", None, socket.gaierror(-2, "Name or service not known")
)  # type: ignore[arg-type]
REFUSED = NewConnectionError(None, "Failed to establish a new connection: [Errno 111] Connection refused")  # type: ignore[arg-type]

SILENCES: list[tuple[Exception, Kind, type[AwsError], list[str]]] = [
    (boto.ReadTimeoutError(endpoint_url=URL, error="t"), Kind.TRANSIENT, AwsError, ["got no answer", "Read timeout"]),
    (boto.ConnectTimeoutError(endpoint_url=URL, error="t"), Kind.TRANSIENT, AwsError, ["Connect timeout"]),
    (boto.ConnectionClosedError(endpoint_url=URL, error="t"), Kind.TRANSIENT, AwsError, ["closed before"]),
    (_unreachable(REFUSED), Kind.TRANSIENT, AwsError, [URL, "Connection refused: check the network and endpoint_url"]),
    (_unreachable(NO_SUCH_NAME), Kind.TRANSIENT, AwsError, ["Its name is not known (DNS)", "the region"]),
    (
        boto.SSLError(endpoint_url=URL, error="[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate in chain"),
        Kind.TRANSIENT,
        AwsError,
        ["CERTIFICATE_VERIFY_FAILED", "AWS_CA_BUNDLE"],
    ),
    (
        boto.ProxyConnectionError(proxy_url="http://user:***@proxy:3128", error="refused"),
        Kind.TRANSIENT,
        AwsError,
        ["proxy:3128", "HTTPS_PROXY"],
    ),
    (boto.HTTPClientError(error="Connection broken: IncompleteRead(9)"), Kind.TRANSIENT, AwsError, ["IncompleteRead"]),
    (boto.ResponseStreamingError(error="broken"), Kind.TRANSIENT, AwsError, ["broken"]),
    (ConnectionResetError(104, "Connection reset by peer"), Kind.TRANSIENT, AwsError, ["reset by peer"]),
    (boto.IncompleteReadError(actual_bytes=3, expected_bytes=9), Kind.TRANSIENT, AwsError, ["3 read"]),
    (KeyError("surprise"), Kind.TRANSIENT, AwsError, ["KeyError"]),
    (boto.EndpointResolutionError(msg="no such region"), Kind.INVALID, AwsError, ["was not sent", "no such region"]),
    (boto.NoCredentialsError(), Kind.DENIED, NoCredentials, ["was not sent", "AWS_ACCESS_KEY_ID"]),
    (
        boto.CredentialRetrievalError(provider="custom-process", error_msg="vault is sealed"),
        Kind.CREDENTIALS,
        NoCredentials,
        ["could not be renewed", "vault is sealed"],
    ),
    (
        boto.TokenRetrievalError(provider="sso", error_msg="Token has expired and refresh failed"),
        Kind.CREDENTIALS,
        NoCredentials,
        ["Token has expired and refresh failed"],
    ),
    (boto.UnauthorizedSSOTokenError(), Kind.CREDENTIALS, NoCredentials, ["SSO session"]),
    (
        RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired."),
        Kind.CREDENTIALS,
        NoCredentials,
        ["still expired"],
    ),
]


@pytest.mark.parametrize("silence", SILENCES, ids=lambda silence: type(silence[0]).__name__)
def test_silences(wire: Wire, silence: tuple[Exception, Kind, type[AwsError], list[str]]) -> None:
    """No answer has one kind and class too; only what surely was not sent is final."""
    error, kind, kind_of, told = silence
    wire.fail(error)
    with pytest.raises(AwsError) as caught:
        wire.call(RUN, **PARAMS[RUN])
    assert (caught.value.kind, type(caught.value)) == (kind, kind_of)
    for words in told:
        assert words in str(caught.value)


def test_parameters_that_botocore_refuses_are_not_quoted(wire: Wire) -> None:
    """The field is named, not its value."""
    wire.answer(200, {"tasks": []}, OURS)
    with pytest.raises(AwsError, match="count") as caught:
        wire.call(RUN, taskDefinition="nightly", count="hunter2")
    assert "hunter2" not in str(caught.value)
    assert caught.value.kind is Kind.INVALID


@pytest.mark.parametrize(
    ("header", "ahead"),
    [
        ("Fri, 20 Nov 2026 12:00:00 GMT", 0),
        ("Fri, 20 Nov 2026 11:59:00 GMT", 60),
        ("Fri, 20 Nov 2026 13:00:00 GMT", -3600),
    ],
)
def test_the_clock_against_an_answers_date(header: str, ahead: float) -> None:
    """Ahead is positive."""
    assert clock_ahead({"date": header}, NOW) == ahead


@pytest.mark.parametrize("headers", [{}, {"date": ""}, {"date": "soon"}])
def test_an_answer_without_a_date_says_nothing_of_the_clock(headers: dict[str, str]) -> None:
    """A proxy may leave it out."""
    assert clock_ahead(headers, NOW) is None
    assert blamed(None) is None


@pytest.mark.parametrize(("ahead", "guilty"), [(59, False), (-59, False), (60, True), (-60, True)])
def test_a_small_difference_is_not_the_clocks_fault(ahead: float, guilty: bool) -> None:
    """AWS bears minutes, and an answer is a while under way."""
    assert (blamed(ahead) is not None) == guilty


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"a": 1}', None),
        (b"  ", "cut short"),
        (b"<h1>Blocked</h1>", "a proxy?"),
        (b"<HTML><title>\x1b[31mred\x1b[0m</title>", "'[31mred[0m'"),
        (b"<html>" + b"<title>" + b"x" * 500 + b"</title>", "x" * 80 + "'"),
    ],
)
def test_bodies(body: bytes, problem: str | None) -> None:
    """What is wrong with a body is told in a few printable words."""
    told = Raw(200, {}, body).problem
    assert told is None if problem is None else problem in (told or "")
    assert told is None or told.isprintable()
