"""From a pool's template and the values of a flow run to the `ECSTask` that runs it."""

from __future__ import annotations

import copy
import shlex
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

import prefect
from prefect.workers.base import BaseJobConfiguration
from pydantic import ConfigDict, PrivateAttr, SecretStr, field_validator

from ecs_block import legacy
from ecs_block.arn import get_container
from ecs_block.errors import InvalidTask
from ecs_block.plan.definition import MAIN_CONTAINER
from ecs_block.prefect.template import SECRETS, base_job_template
from ecs_block.task import ECSTask

if TYPE_CHECKING:
    from prefect.client.schemas.objects import Flow, FlowRun, WorkPool
    from prefect.client.schemas.responses import DeploymentResponse

_OF_PREFECT = ("aws_client_parameters", "block_type_slug")


class EcsBlockJobConfiguration(BaseJobConfiguration):
    """What one flow run is run with. Fields that are not Prefect's are those of `ECSTask`, which checks them."""

    model_config = ConfigDict(extra="allow")

    env: dict[str, Any] = {}
    """Environment of the main container; a value may be a reference such as `{"$secret": "ssm:/name"}`."""
    prefect_api_key_secret_arn: str | None = None
    """Where ECS finds PREFECT_API_KEY; it is then not sent with the request."""
    prefect_api_auth_string_secret_arn: str | None = None
    """Where ECS finds PREFECT_API_AUTH_STRING; it is then not sent with the request."""

    _flow: str | None = PrivateAttr(None)
    _deployment: str | None = PrivateAttr(None)
    _is_named: bool = PrivateAttr(False)

    @field_validator("command", mode="before")
    @classmethod
    def _in_one_line(cls, value: Any) -> Any:
        return shlex.join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("env", mode="before")
    @classmethod
    def _coerce_env(cls, value: Any) -> Any:
        """Make text of numbers, and of nothing else: the name is Prefect's, whose own would make text of references, too."""
        return {name: str(item) if isinstance(item, int | float) else item for name, item in value.items()}

    @classmethod
    def json_template(cls) -> dict[str, Any]:
        """Give the part of the base job template that is filled in."""
        template: dict[str, Any] = base_job_template()["job_configuration"]
        return template

    def prepare_for_flow_run(
        self,
        flow_run: FlowRun,
        deployment: DeploymentResponse | None = None,
        flow: Flow | None = None,
        work_pool: WorkPool | None = None,
        worker_name: str | None = None,
        worker_id: UUID | None = None,
    ) -> None:
        """Add Prefect's environment, labels and command, and remember whose run it is."""
        self._is_named = self.name is not None
        self._flow = flow.name if flow is not None else None
        self._deployment = deployment.name if deployment is not None else None
        removed = dict.fromkeys(name for name, value in self.env.items() if value is None)
        super().prepare_for_flow_run(flow_run, deployment, flow, work_pool, worker_name, worker_id=worker_id)
        self.env = {
            **self.env,
            **removed,
        }  # to Prefect null means not to send it, here also to remove it from the definition

    def task(self) -> ECSTask:
        """Make the task. Raises InvalidTask, naming the field that is wrong."""
        fields = {name: value for name, value in (self.model_extra or {}).items() if not _is_usual(name, value)}
        fields["command"] = shlex.split(self.command or "")
        fields["labels"] = self.labels
        fields["env"] = self._environment()
        if self._is_named:
            fields["name"] = self.name
        if "aws_credentials" in fields:
            fields["aws_credentials"] = _credentials(fields["aws_credentials"])
        if secrets := self._secrets():
            fields["task_definition"] = _with_secrets(fields, secrets)
        if not _has_image(fields):
            fields["image"] = _prefects_image()
        return ECSTask(**fields).prepare_for_run(flow=self._flow, deployment=self._deployment)

    def _secrets(self) -> dict[str, str]:
        """Give where ECS finds variables that are not sent."""
        return {name: arn for name, field in SECRETS.items() if (arn := getattr(self, field)) is not None}

    def _environment(self) -> dict[str, Any]:
        left_out = self._secrets()
        sent = {name: value for name, value in self.env.items() if name not in left_out}
        return {name: _hidden(value) if name in SECRETS else value for name, value in sent.items()}


def _hidden(value: Any) -> Any:
    return SecretStr(value) if isinstance(value, str) else value


def _is_usual(name: str, value: Any) -> bool:
    """Tell whether a value is that of a field that nothing sets: a field that is set wins over what it would leave open."""
    field = ECSTask.model_fields.get(name)
    return field is not None and bool(value == field.get_default(call_default_factory=True) or value == [])


def _credentials(given: Any) -> Any:
    """Take our own credentials, or a block of Prefect's."""
    if not isinstance(given, Mapping) or not any(name in given for name in _OF_PREFECT):
        return given
    return legacy.translate({"block_type_slug": "ecs-task", "aws_credentials": given})["aws_credentials"]


def _prefects_image() -> str:
    """Name Prefect's own image of this version, of Prefect and of Python."""
    version = prefect.__version__.partition("+")[0]
    return f"prefecthq/prefect:{version}-python{sys.version_info.major}.{sys.version_info.minor}"


def _has_image(fields: Mapping[str, Any]) -> bool:
    if any(fields.get(name) is not None for name in ("image", "task_definition_arn")):
        return True
    containers = (fields.get("task_definition") or {}).get("containerDefinitions") or []
    main = get_container(containers, fields.get("container_name") or MAIN_CONTAINER) or {}
    return bool(main.get("image"))


def _with_secrets(fields: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    """Let ECS itself give the main container these variables. Raises InvalidTask with a linked definition."""
    if fields.get("task_definition_arn") is not None:
        named = ", ".join(SECRETS[name] for name in secrets)
        raise InvalidTask(
            f"{named} cannot be added to the task definition {fields['task_definition_arn']}. Put the secret into that "
            f"definition, and set {', '.join(secrets)} to null in env, so that the worker's own value is not sent."
        )
    definition: dict[str, Any] = copy.deepcopy(fields.get("task_definition") or {})
    containers = definition.setdefault("containerDefinitions", [])
    name = fields.get("container_name") or MAIN_CONTAINER
    main = next((container for container in containers if container.get("name") == name), None)
    if main is None:
        containers.append(main := {"name": name})
    kept = [secret for secret in main.get("secrets") or [] if secret.get("name") not in secrets]
    main["secrets"] = [*kept, *({"name": variable, "valueFrom": arn} for variable, arn in secrets.items())]
    return definition
