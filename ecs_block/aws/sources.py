"""Where credentials came from, and how that source is renewed: in words."""

from __future__ import annotations

import os
from collections.abc import Callable

from ecs_block.aws.credentials import AwsCredentials
from ecs_block.plan.secret import SecretReference, plain

_AGAIN = "they are read again by themselves"


def told_of(credentials: AwsCredentials, method: str | None, profile: str) -> str:
    """Say where credentials came from, by boto3's name for their provider, and how to renew them."""
    if credentials.assume_role_arn:
        return (
            f"They are those of the role {credentials.assume_role_arn}, assumed with others: renew these, and check that the "
            "role may be assumed with them."
        )
    if credentials.aws_access_key_id is not None:
        return _told_of_fields(credentials)
    tell = _TOLD.get(method or "")
    return tell(profile) if tell else f"They came from boto3's provider {method or 'unknown'!r}: renew them there."


def _told_of_fields(credentials: AwsCredentials) -> str:
    fields = (credentials.aws_access_key_id, credentials.aws_secret_access_key, credentials.aws_session_token)
    references = [plain(field) for field in fields if isinstance(field, SecretReference)]
    if not references:
        return "They are the keys given in aws_credentials: give new ones."
    return f"They came from {', '.join(references)} (aws_credentials): put new ones there; {_AGAIN}."


def _login(command: str) -> Callable[[str], str]:
    def tell(profile: str) -> str:
        named = "" if profile == "default" else f" --profile {profile}"
        return f"They came from a login (profile {profile}): run `{command}{named}`; it is noticed by itself."

    return tell


def _file(variable: str, usual: str) -> Callable[[str], str]:
    def tell(profile: str) -> str:
        return f"They came from {os.environ.get(variable, usual)} (profile {profile}): write new ones there; {_AGAIN}."

    return tell


_TOLD: dict[str, Callable[[str], str]] = {
    "env": lambda _: (
        "They came from the environment (AWS_ACCESS_KEY_ID and its like), which cannot be changed from outside: set new ones "
        "and start again; a profile is read again while tasks run."
    ),
    "shared-credentials-file": _file("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    "config-file": _file("AWS_CONFIG_FILE", "~/.aws/config"),
    "sso": _login("aws sso login"),
    "login": _login("aws login"),
    "custom-process": lambda profile: (
        f"They came from the credential_process of the profile {profile}: make it give valid ones; it is run again by itself."
    ),
    "assume-role": lambda profile: (
        f"They are those of the role of the profile {profile}: renew the credentials that it is assumed with (source_profile "
        f"or credential_source); {_AGAIN}."
    ),
    "assume-role-with-web-identity": lambda _: (
        "They are those of the role in AWS_ROLE_ARN, assumed with a token: check that the file in AWS_WEB_IDENTITY_TOKEN_FILE "
        f"is renewed; {_AGAIN}."
    ),
    "container-role": lambda _: (
        "They are those of this container's role, which AWS renews: check this machine's clock."
    ),
    "iam-role": lambda _: "They are those of this instance's role, which AWS renews: check this machine's clock.",
}
