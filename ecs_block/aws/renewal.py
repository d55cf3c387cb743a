"""Other credentials in the place of expired ones.

A task may well outlive the credentials that it was started with. Whoever renews them (a login, a tool that writes the file, a
person) does it outside of this process, so the provider chain is asked anew. A call that AWS refused for its credentials had no
effect: it is sent again at once when there are others, whatever the call.
"""

from __future__ import annotations

import os
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ecs_block.aws.answers import EXPIRED, UNKNOWN_KEYS, classify
from ecs_block.aws.clients import Login, Shared, client, known_client, replace
from ecs_block.aws.credentials import AwsCredentials
from ecs_block.aws.sources import told_of
from ecs_block.errors import AccessDenied, AwsError, Kind, NoCredentials

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

PAUSE = 5.0  # seconds between two questions to the chain, which may have to start a process or to ask a service


class _Asking:
    """When the chain was last asked for one set of credentials; whoever asks holds the lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.at: float | None = None


_lock = threading.Lock()
_askings: dict[tuple[Any, ...], _Asking] = {}


def may_help(refused: NoCredentials) -> bool:
    """Tell whether other credentials may be accepted where these were not. A wrong clock or a wrong secret is not cured so."""
    if refused.code is None:
        return refused.kind is Kind.CREDENTIALS  # they could not be had
    return refused.code in EXPIRED or refused.code in UNKNOWN_KEYS


def renewed(
    credentials: AwsCredentials, service: str, region: str | None, refused: Shared, *, sent_at: float, now: float
) -> Shared | None:
    """Give a client with other keys than the refused one; None when the chain has no others.

    Many threads may find the same keys expired: one asks the chain, the others take what it found.
    """
    asking = _asking(credentials)
    with asking.lock:
        try:
            shared = known_client(credentials, service, region)
            if shared is not refused:
                return shared or client(credentials, service, region)
            if asking.at is not None and (asking.at >= sent_at or now - asking.at < PAUSE):
                return None
            asking.at = now
            login = Login(credentials)
            others = login.keys() != _keys_of(refused.login)
            return replace(credentials, login, service, region) if others else None
        except Exception:  # botocore raises what it likes here; what the refusal said is told
            return None


def _asking(credentials: AwsCredentials) -> _Asking:
    with _lock:
        return _askings.setdefault((os.getpid(), *credentials.identity()), _Asking())


def _keys_of(login: Login) -> tuple[str | None, ...] | None:
    try:
        return login.keys()
    except Exception:  # these could not be had, so any are others
        return None


def not_assumed(operation: str, error: ClientError, now: datetime) -> AwsError:
    """Make the error of a call that was not sent because the keys to sign it with were refused: a role, or a login's."""
    asked = f"{'sso' if error.operation_name == 'GetRoleCredentials' else 'sts'}:{error.operation_name}"
    cause = classify(asked, error.response, now=now)
    made = AccessDenied if isinstance(cause, AccessDenied) else NoCredentials
    failure = made(
        f"{operation} was not sent: the credentials could not be had. {cause}",
        operation=operation,
        code=cause.code,
        request_id=cause.request_id,
        kind=cause.kind,
        aws_message=cause.aws_message,
    )
    if isinstance(failure, AccessDenied) and isinstance(cause, AccessDenied):
        failure.action = cause.action
    return failure


def explained(
    error: NoCredentials, credentials: AwsCredentials, login: Login, *, accepted_before: bool
) -> NoCredentials:
    """Add to a refusal where the credentials came from and how to renew them.

    Keys that AWS has accepted before, and no longer knows, were replaced or ended: they are waited for like expired ones.
    """
    kind = Kind.CREDENTIALS if accepted_before and error.code in UNKNOWN_KEYS else error.kind
    return NoCredentials(
        f"{error} {told_of(credentials, login.method, login.profile)}",
        operation=error.operation,
        code=error.code,
        request_id=error.request_id,
        kind=kind,
        aws_message=error.aws_message,
        resource_ids=error.resource_ids,
    )
