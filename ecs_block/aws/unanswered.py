"""What it means that no answer came: told apart by botocore's exceptions."""

from __future__ import annotations

import re
from typing import Any

from ecs_block.aws.bodies import heard, unusable
from ecs_block.aws.hidden import redactor
from ecs_block.errors import AwsError, Kind, NoCredentials

NO_CREDENTIALS = (
    "No AWS credentials were found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile (AWS_PROFILE, profile_name), "
    "or fill aws_credentials."
)
_MOST_SAID = 500  # characters; a credential_process may say pages

# Some of these are newer than the oldest botocore that will do.
_ABSENT = ("NoCredentialsError", "NoAuthTokenError")
_NOT_RENEWED = (
    "CredentialRetrievalError",
    "TokenRetrievalError",
    "SSOError",
    "LoginError",
    "MetadataRetrievalError",
    "RefreshWithMFAUnsupportedError",
    "InvalidConfigError",
    "ConfigNotFound",
    "ConfigParseError",
    "ProfileNotFound",
    "UnknownCredentialError",
)
_NOT_SENT = (
    "EndpointProviderError",
    "BaseEndpointResolverError",
    "InvalidEndpointConfigurationError",
    "InvalidProxiesConfigError",
    "InvalidRegionError",
    "MissingDependencyException",
    "UnknownSignatureVersionError",
    "UnsupportedSignatureVersionError",
)
_SYSTEMS_WORDS = re.compile(r"\[Errno -?\d+\] ([\w ,/-]+)")


def refused_parameters(operation: str, error: Exception) -> AwsError:
    """Make the error of parameters that botocore itself refuses, without the values that it quotes."""
    fields = sorted({line.split(",")[0] for line in str(error).splitlines()[1:]})
    said = redactor().text("; ".join(fields))
    return AwsError(f"{operation} was not sent: botocore refuses its parameters. {said}", operation=operation)


def unanswered(operation: str, error: Exception) -> AwsError:
    """Make the error of a call to which no usable answer came."""
    not_signed = unsigned(error, f"{operation} was not sent", operation)
    if not_signed is not None:
        return not_signed
    said = _said(error)
    if _is_any_of(error, _NOT_SENT):
        return AwsError(f"{operation} was not sent: {said}", operation=operation, aws_message=said)
    if _is_any_of(error, ("BotoCoreError",)) or isinstance(error, OSError):
        told = f"{operation} got no answer: {said}{'' if said.endswith('.') else '.'}{_hint(error)}"
        return AwsError(told, operation=operation, kind=Kind.TRANSIENT, aws_message=said)
    raw = heard()
    if raw is not None:  # botocore's parser fails in many ways on what is not AWS's
        return unusable(operation, raw)
    return AwsError(f"{operation} failed: {type(error).__name__}: {said}", operation=operation, kind=Kind.TRANSIENT)


def unsigned(error: Exception, told: str, operation: str | None = None) -> NoCredentials | None:
    """Make the error of credentials that could not be had, if that is what botocore says; `told` is what became of it."""
    if _is_any_of(error, ("PartialCredentialsError",)):
        return NoCredentials(
            f"{told}: {_said(error)}. Give the missing one too.", operation=operation, kind=Kind.DENIED
        )
    if _is_any_of(error, _ABSENT):
        return NoCredentials(f"{told}. {NO_CREDENTIALS}", operation=operation, kind=Kind.DENIED)
    if _is_any_of(error, _NOT_RENEWED) or "refreshed credentials are still expired" in str(error):
        said = _said(error)
        return NoCredentials(
            f"{told}: the credentials could not be renewed. {said}{'' if said.endswith('.') else '.'}",
            operation=operation,
            kind=Kind.CREDENTIALS,
            aws_message=said,
        )
    return None


def _is_any_of(error: Exception, names: tuple[str, ...]) -> bool:
    import botocore.exceptions

    classes = [getattr(botocore.exceptions, name, None) for name in names]
    return isinstance(error, tuple(kind for kind in classes if kind is not None))


def _said(error: Exception) -> str:
    said = redactor().text(" ".join(str(error).split())) or type(error).__name__
    return said if len(said) <= _MOST_SAID else f"{said[:_MOST_SAID]}…"


def _hint(error: Exception) -> str:
    kwargs: dict[str, Any] = getattr(error, "kwargs", {})
    cause = str(kwargs.get("error", ""))
    if _is_any_of(error, ("SSLError",)):
        return " If a proxy signs connections anew, name its certificate in AWS_CA_BUNDLE."
    if _is_any_of(error, ("ProxyConnectionError",)):
        return " Check HTTPS_PROXY and HTTP_PROXY."
    if not _is_any_of(error, ("EndpointConnectionError",)):
        return ""
    if "Failed to resolve" in cause or "Name or service not known" in cause:
        return " Its name is not known (DNS): check the network, the region and endpoint_url."
    system = _SYSTEMS_WORDS.search(cause)
    return f" {system[1].strip()}: check the network and endpoint_url." if system else ""
