"""The base job template of a pool: the fields of `ECSTask`, and what belongs to Prefect alone."""

from __future__ import annotations

from typing import Any

from ecs_block.task import ECSTask

# A worker that ends leaves its tasks running, so this field has no meaning here.
_NOT_FOR_A_WORKER = ("stop_on_interrupt",)

# What a deployment says as one line of words, as everywhere in Prefect, or as ECS takes it.
_COMMAND = {
    "title": "Command",
    "description": "Command of the main container, as a list or as one line that is split as a shell would. Unset: "
    "Prefect's own, which runs the flow.",
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}],
    "default": None,
}

# The variable that is taken out of the request, and the variable of the template that says where ECS itself finds it.
SECRETS = {
    "PREFECT_API_KEY": "prefect_api_key_secret_arn",
    "PREFECT_API_AUTH_STRING": "prefect_api_auth_string_secret_arn",
}


def base_job_template() -> dict[str, Any]:
    """Make the template that a new pool of this type begins with."""
    template = ECSTask().generate_work_pool_base_job_template()
    properties = template["variables"]["properties"]
    for name in _NOT_FOR_A_WORKER:
        del properties[name], template["job_configuration"][name]
    properties["command"] = dict(_COMMAND)
    for variable, name in SECRETS.items():
        properties[name] = _secret(variable)
        template["job_configuration"][name] = f"{{{{ {name} }}}}"
    return template


def _secret(variable: str) -> dict[str, Any]:
    return {
        "title": f"{variable} from a secret",
        "description": f"ARN of the Secrets Manager secret or SSM parameter from which ECS gives the container {variable}; "
        "needs an execution role that may read it. Unset: the worker's own value is sent with the request, where "
        "everybody who may call DescribeTasks can read it.",
        "anyOf": [{"type": "string"}, {"type": "null"}],
        "default": None,
    }
