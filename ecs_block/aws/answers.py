"""What an answer of AWS means: each is told apart here, once, by its code (by its text only where AWS gives no code)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecs_block.aws.clients import NO_CREDENTIALS
from ecs_block.aws.hidden import redactor
from ecs_block.errors import AccessDenied, AwsError, ClusterNotFound, Kind, NoCredentials, TaskDefinitionNotFound

# An answer that lacks all of these was cut short on its way: botocore makes an empty one of it without a word.
_EXPECTED: dict[str, tuple[str, ...]] = {
    "RunTask": ("tasks", "failures"),
    "DescribeTasks": ("tasks", "failures"),
    "StopTask": ("task",),
    "ListTasks": ("taskArns",),
    "RegisterTaskDefinition": ("taskDefinition",),
    "DescribeTaskDefinition": ("taskDefinition",),
    "GetLogEvents": ("events",),
    "FilterLogEvents": ("events", "nextToken"),
    "DescribeVpcs": ("Vpcs",),
    "DescribeSubnets": ("Subnets",),
}

_THROTTLED = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "LimitExceededException",
        "SlowDown",
        "429",
    }
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403"})
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_REFUSED_KEYS = frozenset(
    {
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "AuthFailure",
        "IncompleteSignature",
        "MissingAuthenticationToken",
    }
)
_SIGNATURE = frozenset({"InvalidSignatureException", "SignatureDoesNotMatch", "RequestTimeTooSkewed"})
_TRANSIENT = frozenset(
    {"InternalError", "InternalFailure", "InternalServerError", "ServerException", "ServiceUnavailable"}
    | {"ServiceUnavailableException", "RequestTimeout", "RequestTimeoutException", "500", "502", "503", "504"}
)


def check_whole(operation: str, answer: Mapping[str, Any]) -> None:
    """Raise AwsError when an answer lacks what it always holds: nobody knows then whether the call took effect."""
    expected = _EXPECTED.get(operation.split(":", 1)[1])
    if expected and not any(member in answer for member in expected):
        raise AwsError(
            f"{operation}: the answer was cut short on its way, so nobody knows whether it took effect.",
            operation=operation,
            kind=Kind.TRANSIENT,
            request_id=_request_id(answer),
        )


def refused_parameters(operation: str, error: Exception) -> AwsError:
    """Make the error of parameters that botocore itself refuses, without the values that it quotes."""
    fields = sorted({line.split(",")[0] for line in str(error).splitlines()[1:]})
    said = redactor().text("; ".join(fields))
    return AwsError(f"{operation} was not sent: botocore refuses its parameters. {said}", operation=operation)


# What a request is about, in the order in which it is told.
_SUBJECTS = {
    "cluster": "cluster",
    "taskDefinition": "task definition",
    "family": "family",
    "task": "task",
    "logStreamName": "log stream",
    "Name": "parameter",
    "SecretId": "secret",
}


def classify(operation: str, response: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> AwsError:
    """Make the error of an answer in which AWS refuses a call. Told apart by code, and by text only where AWS has no code."""
    problem = response.get("Error", {})
    code = str(problem.get("Code", "Unknown"))
    said = redactor().text(str(problem.get("Message", "")))
    http_status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    details: dict[str, Any] = {
        "operation": operation,
        "code": code,
        "request_id": _request_id(response),
        "aws_message": said,
        "resource_ids": tuple(response.get("resourceIds") or ()),
    }
    subject = ", ".join(f"{word} {params[key]}" for key, word in _SUBJECTS.items() if params and params.get(key))
    told = f"{operation} failed{f' ({subject})' if subject else ''}: {said or 'no reason was given'} ({code}"
    told += f", request {details['request_id']})." if details["request_id"] else ")."
    if code in _DENIED or "not authorized to perform" in said:
        return _denied(told, details)
    if code == "ClusterNotFoundException":
        return ClusterNotFound(
            f"{told} Check the cluster's name, the region and the account.", kind=Kind.NOT_FOUND, **details
        )
    if "Unable to describe task definition" in said:
        told += " Check its name, the region and the account."
        return TaskDefinitionNotFound(told, kind=Kind.NOT_FOUND, **details)
    if code in _EXPIRED:
        return NoCredentials(f"{told} Renew the credentials.", kind=Kind.CREDENTIALS, **details)
    if code in _REFUSED_KEYS:
        told += " AWS does not know these keys: check aws_credentials, the profile and the endpoint."
        return NoCredentials(told, kind=Kind.DENIED, **details)
    if code in _SIGNATURE:
        told += " Check the secret access key, and that this machine's clock is right."
        return NoCredentials(told, kind=Kind.CREDENTIALS if "xpired" in said else Kind.DENIED, **details)
    return AwsError(told, kind=_kind(code, said, http_status), **details)


def _kind(code: str, said: str, http_status: int) -> Kind:
    if code in _THROTTLED or http_status == 429 or "Rate exceeded" in said or "Too many concurrent attempts" in said:
        return Kind.THROTTLED
    if code in _TRANSIENT or http_status >= 500:
        return Kind.TRANSIENT
    if code == "ConflictException":
        return Kind.CONFLICT
    if code in ("ResourceNotFoundException", "ParameterNotFound") or "not found" in said.lower():
        return Kind.NOT_FOUND
    return Kind.INVALID


def _denied(told: str, details: dict[str, Any]) -> AccessDenied:
    said = details["aws_message"]
    words = (
        said.split("not authorized to perform", 1)[-1].lstrip(": ").split()
        if "not authorized to perform" in said
        else []
    )
    action = words[0].rstrip(".,") if words else details["operation"]
    error = AccessDenied(f"{told} Allow the action {action} in the caller's IAM policy.", kind=Kind.DENIED, **details)
    error.action = action
    return error


def unanswered(operation: str, error: Exception) -> AwsError:
    """Make the error of a call to which no usable answer came."""
    import botocore.exceptions

    if isinstance(error, botocore.exceptions.NoCredentialsError | botocore.exceptions.PartialCredentialsError):
        return NoCredentials(f"{operation} was not sent. {NO_CREDENTIALS}", operation=operation, kind=Kind.DENIED)
    said = redactor().text(str(error)) or type(error).__name__
    if isinstance(error, botocore.exceptions.CredentialRetrievalError | botocore.exceptions.TokenRetrievalError):
        told = f"{operation} was not sent: the credentials could not be renewed. {said}"
        return NoCredentials(told, operation=operation, kind=Kind.CREDENTIALS)
    if isinstance(error, botocore.exceptions.BotoCoreError | OSError):
        told = f"{operation} got no answer: {said}"
        return AwsError(told, operation=operation, kind=Kind.TRANSIENT, aws_message=said)
    return AwsError(f"{operation} failed: {type(error).__name__}: {said}", operation=operation, kind=Kind.TRANSIENT)


def _request_id(response: Mapping[str, Any]) -> str | None:
    found = response.get("ResponseMetadata", {}).get("RequestId")
    return str(found) if found else None
