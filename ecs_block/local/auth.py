"""Verify SigV4 signatures, with botocore's own signer, against the one key of this cloud."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import string
import time
from calendar import timegm
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from botocore.auth import HmacV1QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from ecs_block.local.faults import ServiceError
from ecs_block.local.server import Request

_SKEW_SECONDS = 15 * 60
_UPPER = string.ascii_uppercase + "234567"
_SECRET = string.ascii_letters + string.digits + "+/"


def _random(length: int, alphabet: str) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


@dataclass(frozen=True)
class Key:
    """The random key that a cloud makes for itself: whoever does not know it is refused."""

    access_key_id: str = field(default_factory=lambda: "AKIA" + _random(16, _UPPER))
    secret_access_key: str = field(default_factory=lambda: _random(40, _SECRET), repr=False)


@dataclass(frozen=True)
class Scope:
    """What a signature says about itself: for which region and service it was made."""

    region: str
    service: str


@dataclass(frozen=True)
class _Claim:
    access_key_id: str
    date: str
    scope: Scope
    signed_headers: list[str]
    signature: str
    timestamp: str
    expires: int | None = None  # presigned addresses only


class _Signer(SigV4Auth):
    """Sign just the headers that the client signed, no matter which ones botocore would choose."""

    def __init__(self, credentials: Credentials, scope: Scope, names: list[str]) -> None:
        super().__init__(credentials, scope.service, scope.region)
        self._names = names

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        chosen = HTTPHeaders()
        for name in self._names:
            chosen[name] = request.headers.get(name, "")
        return chosen


class _S3Signer(_Signer):
    def _normalize_url_path(self, path: str) -> str:
        return path  # an S3 key is what it is: a/../b is not b


def missing() -> ServiceError:
    """Make the error for a request without a signature."""
    return ServiceError("MissingAuthenticationTokenException", "Request is missing Authentication Token")


def unknown_key() -> ServiceError:
    """Make the error for a foreign access key."""
    return ServiceError("UnrecognizedClientException", "The security token included in the request is invalid.")


def wrong_signature(detail: str = "") -> ServiceError:
    """Make the error for a signature that does not fit the request."""
    message = (
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    )
    return ServiceError("InvalidSignatureException", detail or message)


class Gate:
    """Let a request pass if it was signed with this cloud's key."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._credentials = Credentials(key.access_key_id, key.secret_access_key)

    def check(self, request: Request) -> Scope:
        """Return the signature's scope, or raise what AWS answers to a missing, unknown or wrong signature."""
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        if "Signature" in query and "AWSAccessKeyId" in query:
            return self._check_v2_address(request, query)
        claim = _claim(request, query)
        if not hmac.compare_digest(claim.access_key_id.encode(), self._key.access_key_id.encode()):
            raise unknown_key()
        _check_time(claim)
        _check_body(request)
        if not hmac.compare_digest(self._signature(request, claim).encode(), claim.signature.encode()):
            raise wrong_signature()
        return claim.scope

    def _signature(self, request: Request, claim: _Claim) -> str:
        kind = _S3Signer if claim.scope.service in ("s3", "s3express", "s3-outposts") else _Signer
        signer = kind(self._credentials, claim.scope, claim.signed_headers)
        signed = AWSRequest(request.method, _address(request), data=request.body, headers=dict(request.headers))
        signed.context["timestamp"] = claim.timestamp
        if claim.expires is not None and claim.scope.service == "s3" and "x-amz-content-sha256" not in request.headers:
            signed.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
        text = signer.string_to_sign(signed, signer.canonical_request(signed))
        return str(signer.signature(text, signed))

    def _check_v2_address(self, request: Request, query: dict[str, str]) -> Scope:
        """Check an address presigned the old way, as boto3 still makes them for S3 unless told otherwise."""
        if query["AWSAccessKeyId"] != self._key.access_key_id:
            raise unknown_key()
        expires = query.get("Expires", "0")
        if not expires.isdigit() or int(expires) < time.time():
            raise ServiceError("AccessDenied", "Request has expired", 403)
        signer = _OldSigner(self._credentials, expires)
        headers: Any = HTTPHeaders()
        for name in ("content-md5", "content-type"):
            if name in request.headers:
                headers[name] = request.headers[name]
        for name, value in query.items():
            if name.startswith("x-amz-"):
                headers[name] = value
        expected = signer.get_signature(request.method, urlsplit(_address(request)), headers)
        if not hmac.compare_digest(str(expected).encode(), query["Signature"].encode()):
            raise wrong_signature()
        return Scope("us-east-1", "s3")


class _OldSigner(HmacV1QueryAuth):
    def __init__(self, credentials: Credentials, expires: str) -> None:
        super().__init__(credentials)
        self._date = expires

    def _get_date(self) -> str:
        return self._date


def _address(request: Request) -> str:
    """Return the address as it was signed: a presigned one without its signature."""
    pairs = [pair for pair in request.query.split("&") if pair and not pair.startswith("X-Amz-Signature=")]
    query = "?" + "&".join(pairs) if pairs else ""
    return f"http://{request.headers.get('host', '127.0.0.1')}{request.path}{query}"


def _claim(request: Request, query: dict[str, str]) -> _Claim:
    authorization = request.headers.get("authorization", "")
    try:
        if authorization.startswith("AWS4-HMAC-SHA256"):
            parts = dict(part.strip().split("=", 1) for part in authorization[len("AWS4-HMAC-SHA256") :].split(","))
            timestamp = request.headers.get("x-amz-date", "")
            return _read(parts["Credential"], parts["SignedHeaders"], parts["Signature"], timestamp, None)
        if "X-Amz-Signature" in query:
            return _read(
                query["X-Amz-Credential"],
                query["X-Amz-SignedHeaders"],
                query["X-Amz-Signature"],
                query["X-Amz-Date"],
                int(query["X-Amz-Expires"]),
            )
    except (KeyError, ValueError):
        raise ServiceError("IncompleteSignatureException", "The authorization of the request is malformed.") from None
    raise missing()


def _read(credential: str, names: str, signature: str, timestamp: str, expires: int | None) -> _Claim:
    access_key_id, date, region, service, _ = credential.split("/")
    if not timestamp.startswith(date):
        raise ValueError("the date of the scope is not the date of the request")
    return _Claim(access_key_id, date, Scope(region, service), names.split(";"), signature, timestamp, expires)


def _check_time(claim: _Claim) -> None:
    try:
        made = timegm(time.strptime(claim.timestamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise ServiceError("IncompleteSignatureException", "Date must be in ISO-8601 'basic format'.") from None
    now = time.time()
    if claim.expires is not None:
        if now > made + claim.expires:
            raise ServiceError("AccessDenied", "Request has expired", 403)
    elif abs(now - made) > _SKEW_SECONDS:
        relation = "expired" if now > made else "not yet current"
        raise wrong_signature(f"Signature {relation}: {claim.timestamp} is not within 15 min. of the server's time.")


def _check_body(request: Request) -> None:
    """Hold the body against its hash; streamed bodies (STREAMING-…) and unsigned ones carry none."""
    stated = request.headers.get("x-amz-content-sha256", "")
    if len(stated) == 64 and stated != hashlib.sha256(request.body).hexdigest():
        raise ServiceError("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match.")


def request_id() -> str:
    """Make an id for an answer."""
    return base64.b32encode(secrets.token_bytes(10)).decode()
