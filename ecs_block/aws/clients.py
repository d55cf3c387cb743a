"""Sessions and clients.

Clients are thread-safe and shared: one for each service, region and set of credentials. Sessions are not thread-safe, so they
are made and used under a lock (boto3 guide, "Session", thread safety).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from ecs_block.aws.bodies import listen
from ecs_block.aws.credentials import AwsCredentials
from ecs_block.aws.hidden import guard_foreign_logs, hide, read_reference, redactor
from ecs_block.aws.sources import told_of
from ecs_block.aws.unanswered import NO_CREDENTIALS, unsigned
from ecs_block.errors import InvalidTask, Kind, NoCredentials
from ecs_block.plan.secret import SecretReference

if TYPE_CHECKING:
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


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """A client that the whole process shares, and what it signs with."""

    client: Any
    login: Login


class Login:
    """What boto3's provider chain gave when it was asked."""

    def __init__(self, credentials: AwsCredentials) -> None:
        """Ask the chain anew: files, environment and logins are read again. Raises NoCredentials."""
        import botocore.exceptions

        self.session: Any = new_session(credentials)
        self.profile = str(self.session.profile_name)
        try:
            self._found: Any = self.session.get_credentials()
        except (botocore.exceptions.BotoCoreError, RuntimeError) as error:
            method = getattr(error, "kwargs", {}).get("provider")
            raise _not_had(credentials, error, method, self.profile) from None
        if self._found is None:
            raise NoCredentials(NO_CREDENTIALS, kind=Kind.DENIED)
        self.method = str(self._found.method)

    def keys(self) -> tuple[str | None, ...]:
        """Give the keys of the moment; they may first have to be fetched, and then botocore raises what it likes."""
        frozen = self._found.get_frozen_credentials()
        return frozen.access_key, frozen.secret_key, frozen.token


def _not_had(credentials: AwsCredentials, error: Exception, method: str | None, profile: str) -> NoCredentials:
    told = unsigned(error, "Nothing was sent") or NoCredentials(
        f"Nothing was sent: {redactor().text(str(error))}", kind=Kind.CREDENTIALS
    )
    if method not in (None, "env") and told.kind is Kind.CREDENTIALS:
        return NoCredentials(f"{told} {told_of(credentials, method, profile)}", kind=told.kind)
    return told


MOST_CLIENTS = 32  # each takes some 10 MB; a process that speaks for many callers keeps those that it used last

_lock = threading.Lock()
_clients: dict[tuple[Any, ...], Shared] = {}  # the one that was used last is the last


def _key(credentials: AwsCredentials, service: str, region: str | None) -> tuple[Any, ...]:
    return (service, region, os.getpid(), *credentials.identity())


def client(credentials: AwsCredentials, service: str, region: str | None = None) -> Shared:
    """Give the shared client of a service. Raises NoCredentials or InvalidTask when none can be made."""
    key = _key(credentials, service, region)
    with _lock:
        found = _clients.pop(key, None) or _new_client(credentials, Login(credentials), service, region)
        _clients[key] = found
        while len(_clients) > MOST_CLIENTS:
            del _clients[next(iter(_clients))]
        return found


def known_client(credentials: AwsCredentials, service: str, region: str | None) -> Shared | None:
    """Give the shared client of a service if there is one."""
    with _lock:
        return _clients.get(_key(credentials, service, region))


def replace(credentials: AwsCredentials, login: Login, service: str, region: str | None) -> Shared:
    """Make the shared client of a service anew, with another login; those of other services are let go."""
    made = _new_client(credentials, login, service, region)
    key = _key(credentials, service, region)
    with _lock:
        for other in [other for other in _clients if other[2:] == key[2:]]:
            del _clients[other]
        _clients[key] = made
    return made


def forget(credentials: AwsCredentials, service: str, region: str | None = None) -> None:
    """Let go of a shared client. Who is using it may go on."""
    with _lock:
        _clients.pop(_key(credentials, service, region), None)


def _new_client(credentials: AwsCredentials, login: Login, service: str, region: str | None) -> Shared:
    import botocore.exceptions

    session = login.session
    try:
        made = session.client(
            service,
            region_name=region or credentials.region_name or session.region_name or _region_of_other_tools(),
            endpoint_url=credentials.endpoint_url,
            config=botocore_config(credentials.botocore_config),
        )
    except botocore.exceptions.NoRegionError:
        raise InvalidTask(
            "No AWS region is known. Set aws_credentials.region_name, the variable AWS_REGION, or `region` in the profile."
        ) from None
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise InvalidTask(f"No client for {service} can be made: {redactor().text(str(error))}") from None
    guard_foreign_logs()
    listen(made)
    return Shared(made, login)


def new_session(credentials: AwsCredentials) -> boto3.Session:
    """Make a session. Raises NoCredentials when the profile does not exist or a referenced key is not there."""
    import boto3
    import botocore.exceptions

    keys: dict[str, Any] = {
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
        raise NoCredentials(
            f"{error} Check aws_credentials.profile_name and ~/.aws/config.", kind=Kind.CREDENTIALS
        ) from None
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
        raise NoCredentials(NO_CREDENTIALS, kind=Kind.CREDENTIALS)
    fetcher = botocore.credentials.AssumeRoleCredentialFetcher(
        client_creator=partial(source.create_client, endpoint_url=credentials.endpoint_url),
        source_credentials=source_credentials,
        role_arn=str(credentials.assume_role_arn),
        extra_args={"RoleSessionName": "ecs_block"}
        | ({"ExternalId": credentials.external_id} if credentials.external_id else {}),
    )
    assumed: Any = botocore.session.get_session()
    assumed._credentials = botocore.credentials.DeferredRefreshableCredentials(
        method="assume-role", refresh_using=fetcher.fetch_credentials
    )
    return boto3.Session(botocore_session=assumed, region_name=credentials.region_name or session.region_name)


def botocore_config(given: Mapping[str, Any]) -> Any:
    """Make botocore's `Config` of ours and what was given. Raises ValueError when botocore does not accept it."""
    from botocore.config import Config

    try:
        return Config(**deepcopy({**_CONFIG, **given}))  # botocore writes into what it is given
    except Exception as error:  # botocore raises TypeError, ValueError and its own errors here
        raise ValueError(f"botocore_config is not accepted by botocore: {redactor().text(str(error))}") from None


def chain_region(profile_name: str | None) -> str | None:
    """Give the region that boto3's chain says: environment, then profile."""
    import boto3
    import botocore.exceptions

    with _lock:
        try:
            region: str | None = boto3.Session(profile_name=profile_name).region_name
        except botocore.exceptions.BotoCoreError:
            return None
    return region or _region_of_other_tools()


def _region_of_other_tools() -> str | None:
    """Read AWS_REGION, which AWS's other SDKs know and ECS and Lambda set; boto3 itself reads AWS_DEFAULT_REGION only."""
    return os.environ.get("AWS_REGION")
