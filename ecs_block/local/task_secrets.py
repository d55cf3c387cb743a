"""Secrets and environment files: what ECS fetches for a container before it starts."""

from __future__ import annotations

import json
from typing import Any

from ecs_block.local.environment import parse_env_file
from ecs_block.local.moto_services import MotoServices

_PULL = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: "
_RETRIED = "service call has been retried 1 time(s): "
_FILES = "ResourceInitializationError: failed to download env files: "


class SecretError(Exception):
    """A secret cannot be fetched; the text is the task's ``stoppedReason``."""


class TaskSecrets:
    """Fetch from the cloud's own SSM, Secrets Manager and S3."""

    def __init__(self, moto: MotoServices, region: str) -> None:
        self._moto = moto
        self._region = region

    def fetch(self, container: dict[str, Any], override: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
        """Return the variables from the container's environment files, and those from its secrets."""
        files: dict[str, str] = {}
        for file in [*container.get("environmentFiles", []), *override.get("environmentFiles", [])]:
            files.update(self._file(file["value"]))
        return files, {secret["name"]: self._secret(secret["valueFrom"]) for secret in container.get("secrets", [])}

    def _secret(self, reference: str) -> str:
        parts = reference.split(":")
        if parts[:1] == ["arn"] and parts[2:3] == ["secretsmanager"]:
            return self._secrets_manager(parts)
        return self._parameter(reference, parts)

    def _parameter(self, reference: str, parts: list[str]) -> str:
        is_arn = parts[0] == "arn" and len(parts) >= 6
        region = parts[3] if is_arn else self._region
        name = parts[5].removeprefix("parameter") if is_arn else reference
        # In an ARN the name has no leading slash of its own unless it holds more of them.
        for candidate in dict.fromkeys((name, name.removeprefix("/"))):
            params = {"Name": candidate, "WithDecryption": True}
            status, answer = self._moto.ask_json("ssm", region, "AmazonSSM.GetParameter", params)
            if status == 200:
                return str(answer["Parameter"]["Value"])
        raise SecretError(f"{_PULL}unable to retrieve secrets from ssm: {_RETRIED}invalid parameters: {name}")

    def _secrets_manager(self, parts: list[str]) -> str:
        arn = ":".join(parts[:7])
        key, stage, version = (*parts[7:10], "", "", "")[:3]
        params = {"SecretId": arn}
        if stage:
            params["VersionStage"] = stage
        if version:
            params["VersionId"] = version
        status, answer = self._moto.ask_json("secretsmanager", parts[3], "secretsmanager.GetSecretValue", params)
        if status != 200:
            raise _asm_error(f"failed to fetch secret {arn} from secrets manager: {_short(answer)}")
        text = str(answer.get("SecretString", ""))
        return _member(text, key) if key else text

    def _file(self, arn: str) -> dict[str, str]:
        path = "/" + arn.partition(":::")[2]
        reply = self._moto.ask("s3", self._region, path=path)
        if reply.status != 200:
            raise SecretError(f"{_FILES}{arn}: file download command failed: status code: {reply.status}")
        return parse_env_file(reply.body.decode())


def _member(text: str, key: str) -> str:
    try:
        value = json.loads(text)[key]
    except (ValueError, KeyError, TypeError):
        raise _asm_error(f"retrieved secret from Secrets Manager did not contain json key {key}") from None
    return value if isinstance(value, str) else json.dumps(value)


def _asm_error(cause: str) -> SecretError:
    return SecretError(f"{_PULL}unable to retrieve secret from asm: {_RETRIED}{cause}")


def _short(answer: dict[str, Any]) -> str:
    code = str(answer.get("__type", "ResourceNotFoundException")).rpartition("#")[2]
    return f"{code}: {answer.get('message') or answer.get('Message', '')}"
