"""Talking to AWS: credentials, sessions and clients, and the one `call` through which every request goes.

boto3 is imported when the first client is made. Clients are thread-safe and shared: one for each service, region and set of
credentials. Sessions are not thread-safe, so they are made and used under a lock (boto3 guide, "Session", thread safety).
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Awaitable, Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, model_validator

from ecs_block.errors import (
    AccessDenied,
    AwsError,
    ClusterNotFound,
    InvalidTask,
    Kind,
    NoCredentials,
    TaskDefinitionNotFound,
)
from ecs_block.plan.redact import Redactor
from ecs_block.plan.secret import Secret, SecretReference, plain

if TYPE_CHECKING:
    import anyio
    import boto3

THREADS = 10
"""Calls to AWS that one event loop has in flight at once; the connection pool of a client is as large."""

_CONFIG: dict[str, Any] = {
    "retries": {"mode": "standard", "total_max_attempts": 3},
    "max_pool_connections": THREADS,
    "connect_timeout": 10,  # seconds
    "read_timeout": 30,
    "tcp_keepalive": True,
    "user_agent_extra": "ecs_block",
}


class AwsCredentials(BaseModel):
    """Who talks to AWS, and where. With nothing set, boto3's own chain decides, untouched.

    Keys may be given as text (hidden at once) or by reference: `{"$secret": "env:NAME"}` or `{"$secret": "file:PATH"}`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)

    aws_access_key_id: Secret | None = None
    """Access key id; needs the secret access key."""
    aws_secret_access_key: Secret | None = None
    """Secret access key; needs the access key id."""
    aws_session_token: Secret | None = None
    """Session token of temporary keys."""
    profile_name: str | None = None
    """Profile of the AWS configuration files."""
    region_name: str | None = None
    """Region, such as `eu-central-1`."""
    endpoint_url: str | None = None
    """Endpoint to use instead of AWS's own, for every service (a LocalCloud, a VPC endpoint)."""
    assume_role_arn: str | None = None
    """Role to assume with these credentials; the role's own are then used, and renewed before they expire."""
    external_id: str | None = None
    """External id that the role's trust policy asks for; needs `assume_role_arn`."""
    botocore_config: dict[str, Any] = {}
    """Arguments for botocore's `Config`, merged over ours (retries `standard`, timeouts 10 s and 30 s)."""

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            from ecs_block.plan.problems import invalid_task

            raise invalid_task(error, type(self), "aws_credentials.") from None

    @model_validator(mode="after")
    def _belongs_together(self) -> AwsCredentials:
        if (self.aws_access_key_id is None) != (self.aws_secret_access_key is None):
            raise ValueError("aws_access_key_id and aws_secret_access_key go together; give both or neither")
        if self.aws_session_token is not None and self.aws_access_key_id is None:
            raise ValueError("aws_session_token needs aws_access_key_id and aws_secret_access_key")
        if self.external_id is not None and self.assume_role_arn is None:
            raise ValueError("external_id needs assume_role_arn")
        for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token"):
            value = getattr(self, name)
            if isinstance(value, SecretReference) and value.kind not in ("env", "file"):
                raise ValueError(f"{name} cannot come from {value.kind}, which itself needs credentials; use env: or file:")
        if self.botocore_config:
            _botocore_config(self.botocore_config)
        return self

    def get_boto3_session(self) -> boto3.Session:
        """Make a boto3 session with these credentials. It is the caller's own: boto3 sessions must not be shared by threads.

        Raises NoCredentials when the profile does not exist or a referenced key is not there.
        """
        return _new_session(self)

    def region(self) -> str | None:
        """The region that calls go to: `region_name`, else what boto3's chain says; None when nothing says."""
        return self.region_name or _chain_region(self.profile_name)

    def _identity(self) -> tuple[Any, ...]:
        """What makes two credentials the same to AWS; used as a key, never shown."""
        key = self.aws_access_key_id
        secret, token = self.aws_secret_access_key, self.aws_session_token
        chain = () if key else tuple(os.environ.get(name) for name in _CHAIN_VARIABLES)
        return (
            *(_hidden(value) for value in (key, secret, token)),
            self.profile_name,
            self.region_name,
            self.endpoint_url,
            self.assume_role_arn,
            self.external_id,
            repr(sorted(self.botocore_config.items())),
            *chain,
        )


# With no keys of their own, credentials mean what the environment says: another environment, other clients.
_CHAIN_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
)


def _hidden(value: SecretStr | SecretReference | None) -> str | None:
    return value.get_secret_value() if isinstance(value, SecretStr) else None if value is None else plain(value)


# --- secrets kept on this machine --------------------------------------------------------------------------------------


def read_reference(reference: SecretReference) -> str:
    """Read a secret from the environment or a file. Raises InvalidTask when it is not there."""
    if reference.kind == "env":
        value = os.environ.get(reference.name)
        if value is None:
            raise InvalidTask(f"The secret {reference.reference} is not there: set the environment variable {reference.name}.")
    else:
        try:
            value = Path(reference.name).expanduser().read_text().removesuffix("\n")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise InvalidTask(f"The secret {reference.reference} cannot be read: {reason}.") from None
    hide(value)
    return value


_hidden_values: set[str] = set()
_redactor = Redactor()


def hide(secret: str) -> None:
    """Keep this value out of everything that botocore, boto3 and urllib3 log in this process, and out of AWS's messages."""
    global _redactor
    if secret and secret not in _hidden_values:
        _hidden_values.add(secret)
        _redactor = Redactor(_hidden_values)


def redactor() -> Redactor:
    """The redactor that knows every secret that this process has used."""
    return _redactor


class _HideSecrets(logging.Filter):
    """botocore logs whole requests and answers at DEBUG; AWS's answers repeat the environment of a task."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not _hidden_values:
            return True
        message = record.getMessage()
        masked = _redactor.text(message)
        if masked != message:
            record.msg, record.args = masked, ()
        return True


_filter = _HideSecrets()


def _guard_foreign_logs() -> None:
    # A filter acts on the logger that it hangs on, not on that logger's children; so it hangs on each.
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if name.split(".")[0] in ("botocore", "boto3", "urllib3", "s3transfer") and isinstance(logger, logging.Logger):
            logger.addFilter(_filter)


# --- sessions and clients ----------------------------------------------------------------------------------------------

_lock = threading.Lock()
_clients: dict[tuple[Any, ...], Any] = {}


def client(credentials: AwsCredentials, service: str, region: str | None = None) -> Any:
    """Give the shared client of a service. Raises NoCredentials or InvalidTask when none can be made."""
    key = (service, region, os.getpid(), *credentials._identity())
    with _lock:
        if key not in _clients:
            _clients[key] = _new_client(credentials, service, region)
        return _clients[key]


def _new_client(credentials: AwsCredentials, service: str, region: str | None) -> Any:
    import botocore.exceptions

    session = _new_session(credentials)
    try:
        made = session.client(
            service,
            region_name=region or credentials.region_name,
            endpoint_url=credentials.endpoint_url,
            config=_botocore_config(credentials.botocore_config),
        )
    except botocore.exceptions.NoRegionError:
        raise InvalidTask(
            "No AWS region is known. Set aws_credentials.region_name, the variable AWS_REGION, or `region` in the profile."
        ) from None
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise InvalidTask(f"No client for {service} can be made: {_redactor.text(str(error))}") from None
    _guard_foreign_logs()
    return made


def _new_session(credentials: AwsCredentials) -> boto3.Session:
    import boto3
    import botocore.exceptions

    keys = {
        name: None if value is None else _revealed(value)
        for name, value in (
            ("aws_access_key_id", credentials.aws_access_key_id),
            ("aws_secret_access_key", credentials.aws_secret_access_key),
            ("aws_session_token", credentials.aws_session_token),
        )
    }
    try:
        session = boto3.Session(**keys, profile_name=credentials.profile_name, region_name=credentials.region_name)
    except botocore.exceptions.BotoCoreError as error:
        raise NoCredentials(f"{error} Check aws_credentials.profile_name and ~/.aws/config.", kind=Kind.CREDENTIALS) from None
    return _assume(session, credentials) if credentials.assume_role_arn else session


def _revealed(value: SecretStr | SecretReference) -> str:
    text = value.get_secret_value() if isinstance(value, SecretStr) else read_reference(value)
    hide(text)
    return text


def _assume(session: boto3.Session, credentials: AwsCredentials) -> boto3.Session:
    """Give a session whose credentials are the role's, renewed by botocore before they expire."""
    import boto3
    import botocore.credentials
    import botocore.session

    source = session._session  # boto3 offers no public way to its botocore session
    source_credentials = source.get_credentials()
    if source_credentials is None:
        raise NoCredentials(_NO_CREDENTIALS, kind=Kind.CREDENTIALS)
    fetcher = botocore.credentials.AssumeRoleCredentialFetcher(
        client_creator=partial(source.create_client, endpoint_url=credentials.endpoint_url),
        source_credentials=source_credentials,
        role_arn=credentials.assume_role_arn,
        extra_args={"RoleSessionName": "ecs_block"} | ({"ExternalId": credentials.external_id} if credentials.external_id else {}),
    )
    assumed = botocore.session.get_session()
    assumed._credentials = botocore.credentials.DeferredRefreshableCredentials(
        method="assume-role", refresh_using=fetcher.fetch_credentials
    )
    return boto3.Session(botocore_session=assumed, region_name=credentials.region_name or session.region_name)


def _botocore_config(given: Mapping[str, Any]) -> Any:
    from botocore.config import Config

    try:
        return Config(**{**_CONFIG, **given})
    except Exception as error:  # botocore raises TypeError, ValueError and its own errors here
        raise ValueError(f"botocore_config is not accepted by botocore: {error}") from None


def _chain_region(profile_name: str | None) -> str | None:
    import boto3
    import botocore.exceptions

    with _lock:
        try:
            region: str | None = boto3.Session(profile_name=profile_name).region_name
        except botocore.exceptions.BotoCoreError:
            return None
    return region


# --- the service model -------------------------------------------------------------------------------------------------


@cache
def ecs_model() -> Any:
    """Load botocore's model of ECS: what RunTask and RegisterTaskDefinition take and give."""
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model("ecs", "service-2"), "ecs")


def input_shape(operation: str) -> Any:
    """Give the shape of what an ECS operation takes."""
    return ecs_model().operation_model(operation).input_shape


@cache
def output_only() -> frozenset[str]:
    """The members of a task definition that only AWS writes: in its shape, but not among what can be registered."""
    return frozenset(ecs_model().shape_for("TaskDefinition").members) - frozenset(input_shape("RegisterTaskDefinition").members)


# --- the call ----------------------------------------------------------------------------------------------------------

_NO_CREDENTIALS = (
    "No AWS credentials were found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile (AWS_PROFILE, profile_name), "
    "or fill aws_credentials."
)

# An answer that lacks all of these was cut short on its way: botocore makes an empty one of it without a word.
_EXPECTED: dict[str, tuple[str, ...]] = {
    "RunTask": ("tasks", "failures"),
    "DescribeTasks": ("tasks", "failures"),
    "StopTask": ("task",),
    "ListTasks": ("taskArns",),
    "RegisterTaskDefinition": ("taskDefinition",),
    "DescribeTaskDefinition": ("taskDefinition",),
    "GetLogEvents": ("events",),
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


class Aws:
    """AWS as one set of credentials sees it. All that the engine knows of boto3 is `call`; tests hand in a script instead."""

    def __init__(self, credentials: AwsCredentials) -> None:
        self.credentials = credentials
        self.key: tuple[Any, ...] = (os.getpid(), *credentials._identity())

    @property
    def region(self) -> str:
        """The region of the ECS client."""
        return str(client(self.credentials, "ecs").meta.region_name)

    async def call(self, service: str, operation: str, *, region: str | None = None, **params: Any) -> dict[str, Any]:
        """Send one request and give its answer. Raises AwsError, with what it means in `kind`.

        The call runs in a worker thread and is not abandoned when the caller is cancelled: its answer, which may say that a
        task was started, is never lost.
        """
        import anyio.to_thread

        work = partial(_invoke, self.credentials, service, operation, region, params)
        with anyio.CancelScope(shield=True):
            return await _uninterrupted(partial(anyio.to_thread.run_sync, work, limiter=_limiter()))


async def _uninterrupted(work: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Await work whose answer must not be lost, also when asyncio itself cancels the task.

    A shield holds off cancel scopes, but not `asyncio.Task.cancel()` (`asyncio.timeout`, Ctrl-C under `asyncio.run`). Then
    the answer is waited for first, and the cancellation comes at the caller's next await.
    """
    import asyncio

    try:
        task = asyncio.current_task()
    except RuntimeError:  # trio, where a shield holds everything off
        return await work()
    answer = asyncio.ensure_future(work())
    cancelled = 0
    while not answer.done():
        try:
            await asyncio.wait([answer])
        except asyncio.CancelledError:
            cancelled += 1
    for _ in range(cancelled if task is not None else 0):
        task.uncancel()  # type: ignore[union-attr]
        task.cancel()  # type: ignore[union-attr]
    return answer.result()


@cache
def _limiter_variable() -> Any:
    from anyio.lowlevel import RunVar

    return RunVar("ecs_block_calls")


def _limiter() -> anyio.CapacityLimiter:
    import anyio

    variable = _limiter_variable()
    try:
        found: anyio.CapacityLimiter = variable.get()
    except LookupError:
        found = anyio.CapacityLimiter(THREADS)
        variable.set(found)
    return found


def _invoke(
    credentials: AwsCredentials, service: str, operation: str, region: str | None, params: dict[str, Any]
) -> dict[str, Any]:
    import botocore.exceptions
    from botocore import xform_name

    name = f"{service}:{operation}"
    shared = client(credentials, service, region)
    try:
        answer: dict[str, Any] = getattr(shared, xform_name(operation))(**params)
    except botocore.exceptions.ClientError as error:
        raise classify(name, error.response) from None
    except botocore.exceptions.ParamValidationError as error:
        fields = sorted({line.split(",")[0] for line in str(error).splitlines()[1:]})  # without the values it quotes
        raise AwsError(
            f"{name} was not sent: botocore refuses its parameters. {_redactor.text('; '.join(fields))}", operation=name
        ) from None
    except Exception as error:
        raise _unanswered(name, error) from None
    expected = _EXPECTED.get(operation)
    if expected and not any(member in answer for member in expected):
        raise AwsError(
            f"{name}: the answer was cut short on its way, so nobody knows whether it took effect.",
            operation=name,
            kind=Kind.TRANSIENT,
            request_id=_request_id(answer),
        )
    return answer


def classify(operation: str, response: Mapping[str, Any]) -> AwsError:
    """Make the error of an answer in which AWS refuses a call. Told apart by code, and by text only where AWS has no code."""
    problem = response.get("Error", {})
    code = str(problem.get("Code", "Unknown"))
    said = _redactor.text(str(problem.get("Message", "")))
    http_status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    details: dict[str, Any] = {
        "operation": operation,
        "code": code,
        "request_id": _request_id(response),
        "aws_message": said,
        "resource_ids": tuple(response.get("resourceIds") or ()),
    }
    told = f"{operation} failed: {said or 'no reason was given'} ({code}"
    told += f", request {details['request_id']})." if details["request_id"] else ")."
    if code in _DENIED or "not authorized to perform" in said:
        return _denied(told, details)
    if code == "ClusterNotFoundException":
        return ClusterNotFound(f"{told} Check the cluster's name, the region and the account.", kind=Kind.NOT_FOUND, **details)
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
    words = said.split("not authorized to perform", 1)[-1].lstrip(": ").split() if "not authorized to perform" in said else []
    action = words[0].rstrip(".,") if words else details["operation"]
    error = AccessDenied(f"{told} Allow the action {action} in the caller's IAM policy.", kind=Kind.DENIED, **details)
    error.action = action
    return error


def _unanswered(operation: str, error: Exception) -> AwsError:
    """Make the error of a call to which no usable answer came."""
    import botocore.exceptions

    if isinstance(error, botocore.exceptions.NoCredentialsError | botocore.exceptions.PartialCredentialsError):
        return NoCredentials(f"{operation} was not sent. {_NO_CREDENTIALS}", operation=operation, kind=Kind.DENIED)
    said = _redactor.text(str(error)) or type(error).__name__
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
