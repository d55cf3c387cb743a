"""Who talks to AWS, and where: a value, which only names what a session will be made of."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import SecretStr, model_validator

from ecs_block.plan.secret import Secret, SecretReference, plain
from ecs_block.plan.strict import Strict

if TYPE_CHECKING:
    import boto3


class AwsCredentials(Strict):
    """Who talks to AWS, and where. With nothing set, boto3's own chain decides, untouched.

    Keys may be given as text (hidden at once) or by reference: `{"$secret": "env:NAME"}` or `{"$secret": "file:PATH"}`.
    """

    error_prefix: ClassVar[str] = "aws_credentials."

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
    task_events_queue_url: str | None = None
    """SQS queue of this process's own, fed by an EventBridge rule with "ECS Task State Change" events: they wake the watch, and
    tasks are polled every few minutes only."""
    botocore_config: dict[str, Any] = {}
    """Arguments for botocore's `Config`, merged over ours (retries `standard`, timeouts 10 s and 30 s)."""

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
            if isinstance(value, SecretStr) and not value.get_secret_value():
                raise ValueError(f"{name} is empty; leave it out to use boto3's own chain")
            if isinstance(value, SecretReference) and value.kind not in ("env", "file"):
                raise ValueError(
                    f"{name} cannot come from {value.kind}, which itself needs credentials; use env: or file:"
                )
        if self.botocore_config:
            from ecs_block.aws.clients import botocore_config

            botocore_config(self.botocore_config)
        return self

    def get_boto3_session(self) -> boto3.Session:
        """Make a boto3 session with these credentials. It is the caller's own: boto3 sessions must not be shared by threads.

        Raises NoCredentials when the profile does not exist or a referenced key is not there.
        """
        from ecs_block.aws.clients import new_session

        return new_session(self)

    def region(self) -> str | None:
        """The region that calls go to: `region_name`, else what boto3's chain says; None when nothing says."""
        from ecs_block.aws.clients import chain_region

        return self.region_name or chain_region(self.profile_name)

    def identity(self) -> tuple[Any, ...]:
        """Give what makes two credentials the same to AWS; used as a key, never shown."""
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
            self.task_events_queue_url,
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
