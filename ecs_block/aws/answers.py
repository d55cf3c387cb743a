"""What an answer in which AWS refuses a call means: told apart here, once, by its code.

Only where AWS has one code for many things (ClientException, InvalidParameterException) its text decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ecs_block.aws.bodies import heard, unusable
from ecs_block.aws.denials import denied
from ecs_block.aws.hidden import redactor
from ecs_block.aws.skew import blamed, clock_ahead
from ecs_block.errors import AwsError, ClusterNotFound, Kind, NoCredentials, TaskDefinitionNotFound
from ecs_block.plan.advice import advice_for

EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
UNKNOWN_KEYS = frozenset(
    {
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "InvalidToken",
        "AuthFailure",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
    }
)
_SIGNATURE = frozenset(
    {"InvalidSignatureException", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "RequestInTheFuture"}
)
_DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "NotAuthorized", "403"}
)

_CODES: dict[Kind, tuple[str, ...]] = {
    Kind.THROTTLED: (
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
        "TransactionInProgressException",
        "PriorRequestNotComplete",
        "EC2ThrottledException",
        "SlowDown",
        "429",
    ),
    Kind.TRANSIENT: (
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "InternalServerException",
        "InternalServiceError",
        "ServerException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "Unavailable",
        "RequestTimeout",
        "RequestTimeoutException",
    ),
    Kind.DENIED: ("BlockedException", "OptInRequired", "SubscriptionRequiredException"),
    Kind.CONFLICT: ("ConflictException",),
    Kind.NOT_FOUND: (
        "ResourceNotFoundException",
        "ParameterNotFound",
        "ParameterVersionNotFound",
        "QueueDoesNotExist",
        "AWS.SimpleQueueService.NonExistentQueue",
        "NoSuchBucket",
        "NoSuchKey",
    ),
}
_KINDS = {code: kind for kind, codes in _CODES.items() for code in codes}

# ECS words these as a ClientException or InvalidParameterException; all of them pass.
_PASSING = re.compile(
    r"Rate exceeded|Request limit exceeded|Too many concurrent attempts|provisioning capacity limit exceeded"
    r"|\bPROVISIONING\b|reached the limit on the number of",
    re.IGNORECASE,
)
# ECS hands on what EC2 told it.
_RELAYED = re.compile(r"\(ErrorCode: ([\w.]+)\)")
_NO_DEFINITION = re.compile(r"Unable to (describe|find) task definition|^TaskDefinition not found")
# AWS repeats the request that was signed, session token and all, and encodes why it denied one.
_TAILS = re.compile(r"\s*(The Canonical String for this request|Encoded authorization failure message:).*", re.DOTALL)

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
_ADVISED = ("ecs:RunTask", "ecs:RegisterTaskDefinition")


def classify(
    operation: str, response: Mapping[str, Any], params: Mapping[str, Any] | None = None, *, now: datetime | None = None
) -> AwsError:
    """Make the error of an answer in which AWS refuses a call. `now` is this machine's time of day, for a signature's sake."""
    problem = response.get("Error", {})
    code = str(problem.get("Code") or "Unknown")
    raw = heard()
    if (code.isdecimal() or code == "Unknown") and raw is not None and (raw.problem or not problem.get("Message")):
        return unusable(operation, raw)
    said = redactor().text(_TAILS.sub("", str(problem.get("Message") or "")))
    details: dict[str, Any] = {
        "operation": operation,
        "code": code,
        "request_id": _request_id(response),
        "aws_message": said,
        "resource_ids": tuple(response.get("resourceIds") or ()),
    }
    told = _told(details, params or {})
    if code in _DENIED or "not authorized to perform" in said:
        return denied(told, details)
    if code == "ClusterNotFoundException":
        return ClusterNotFound(
            f"{told} Check the cluster's name, the region and the account.", kind=Kind.NOT_FOUND, **details
        )
    if _NO_DEFINITION.search(said):
        told += " Check its name, the region and the account."
        return TaskDefinitionNotFound(told, kind=Kind.NOT_FOUND, **details)
    if code in EXPIRED or code in UNKNOWN_KEYS or code in _SIGNATURE:
        metadata = response.get("ResponseMetadata", {})
        ahead = clock_ahead(metadata.get("HTTPHeaders", {}), now or datetime.now(UTC))
        return _not_accepted(told, details, ahead)
    advice = advice_for(said) if operation in _ADVISED else None
    kind = _kind(code, said, response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return AwsError(f"{told} {advice}" if advice else told, kind=kind, **details)


def _told(details: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """Say which call AWS refused, what it was about, and AWS's own words."""
    about = ", ".join(f"{word} {params[key]}" for key, word in _SUBJECTS.items() if params.get(key))
    subject = f" ({redactor().text(about)})" if about else ""
    said = details["aws_message"].rstrip(".") or "no reason was given"
    request = f", request {details['request_id']}" if details["request_id"] else ""
    return f"{details['operation']} failed{subject}: {said} ({details['code']}{request})."


def _kind(code: str, said: str, http_status: int) -> Kind:
    relayed = _RELAYED.search(said)
    known = _KINDS.get(code) or _KINDS.get(relayed[1] if relayed else "")
    if known is not None:
        return known
    if http_status == 429 or _PASSING.search(said):
        return Kind.THROTTLED
    if http_status >= 500:
        return Kind.TRANSIENT
    return Kind.NOT_FOUND if code.endswith(".NotFound") or "not found" in said.lower() else Kind.INVALID


def _not_accepted(told: str, details: dict[str, Any], ahead: float | None) -> AwsError:
    """Make the error of a request whose keys, token or signature AWS did not accept."""
    code, said = details["code"], details["aws_message"]
    clock = blamed(ahead)
    if clock:  # once it is set, the same keys are as good as ever
        return NoCredentials(f"{told} {clock}", kind=Kind.CREDENTIALS, **details)
    if code in EXPIRED:
        return NoCredentials(told, kind=Kind.CREDENTIALS, **details)
    if code in UNKNOWN_KEYS:
        told += " AWS does not know these keys: check aws_credentials, the profile and the endpoint."
        return NoCredentials(told, kind=Kind.DENIED, **details)
    late = code in ("RequestTimeTooSkewed", "RequestInTheFuture") or "xpired" in said or "not yet current" in said
    if late and ahead is None:
        return NoCredentials(f"{told} Check that this machine's clock is right.", kind=Kind.CREDENTIALS, **details)
    if late:
        told += " This machine's clock is right, so the request was long under way (did the machine sleep?)."
        return AwsError(told, kind=Kind.TRANSIENT, **details)
    return NoCredentials(f"{told} Check the secret access key.", kind=Kind.DENIED, **details)


def _request_id(response: Mapping[str, Any]) -> str | None:
    found = response.get("ResponseMetadata", {}).get("RequestId")
    return str(found) if found else None
