"""Arguments of `register_task_definition` and `run_task` in AWS's spelling, wherever they are given.

On a command line as `key=value` or `--key=value`, in the environment under the same name or in upper case with underscores, in
a configuration file, in a file in S3, in Python. Values are JSON or Python literals; where AWS takes text, text. With
`containerDefinitions_` before it, a name is a member of the first container. Which names there are, and what they take, says
botocore's model.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from ecs_block.aws import input_shape
from ecs_block.errors import InvalidTask
from ecs_block.plan import shape as shapes
from ecs_block.plan.definition import MAIN_CONTAINER
from ecs_block.plan.shape import did_you_mean
from ecs_block.plan.template import sort_arguments

Arguments = dict[str, Any]
Fields = dict[str, Any]

CONTAINER = "containerDefinitions_"
_OWN = {"clientToken": "it is made for each job, so that no job is launched twice"}
# With a linked definition these travel in the run's overrides.
_OVERRIDABLE = {
    "cpu": "cpu",
    "memory": "memory",
    "executionRoleArn": "execution_role_arn",
    "taskRoleArn": "task_role_arn",
}
_LONGEST = 256 * 1024  # characters of a value; a task definition has at most 64 KiB
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


# --- names -------------------------------------------------------------------------------------------------------------


@cache
def known() -> Mapping[str, Any]:
    """Give the shape of what each argument takes, by its name."""
    register, run = input_shape("RegisterTaskDefinition").members, input_shape("RunTask").members
    container = register["containerDefinitions"].member.members
    return {**run, **register, **{f"{CONTAINER}{name}": member for name, member in container.items()}}


def variable_of(name: str) -> str:
    """Give the name in upper case with underscores: `enableECSManagedTags` is `ENABLE_ECS_MANAGED_TAGS`."""
    return "_".join(_HUMP.sub("_", part) for part in name.split("_")).upper()


def refuse_unknown(names: Iterable[str], where: str = "") -> None:
    """Raise InvalidTask for names that are no argument, each with the nearest that is one."""
    told = [
        f"{where}{name!r} is an argument of neither register_task_definition nor run_task.{did_you_mean(name, known())}"
        for name in names
        if name not in known()
    ]
    if told:
        raise InvalidTask("\n".join(told))


# --- values ------------------------------------------------------------------------------------------------------------


def read(given: Mapping[str, Any], where: str = "") -> Arguments:
    """Read and check arguments that may be text. Raises InvalidTask with everything that is wrong; values are not quoted.

    `where` begins each message: it says where the arguments stand.
    """
    refuse_unknown(given, where)
    for name, why in _OWN.items():
        if name in given:
            raise InvalidTask(f"{where}{name} cannot be given: {why}.")
    found = {name: _value(name, value, where) for name, value in given.items()}
    told = [f"{where}{problem}" for name, value in found.items() for problem in _problems(name, value)]
    if told:
        raise InvalidTask("\n".join(told))
    return found


def _problems(name: str, value: Any) -> list[str]:
    wrong = shapes.problems(value, known()[name], name)
    # A container's name may be left out: the first one is then `main`.
    return [problem for problem in wrong if problem != f"{name}[0].name is missing; AWS requires it."]


def _value(name: str, value: Any, where: str) -> Any:
    kind = known()[name].type_name
    if kind == "string":
        return _text(value)
    if not isinstance(value, str):
        return value
    found = literal(value)
    if found is None:
        raise InvalidTask(f"{where}{name} is neither JSON nor a Python literal. Write {_written(name, kind)}.")
    return found


def _text(value: Any) -> Any:
    """Give text as it is, without the quotes that a literal has; `cpu=256` in Python is meant as text, too."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    quoted = isinstance(value, str) and value[:1] in ("'", '"')
    unquoted = literal(value) if quoted else None
    return unquoted if isinstance(unquoted, str) else value


def literal(text: str) -> Any:
    """Read JSON or a Python literal; None for what is neither."""
    if len(text) > _LONGEST:
        return None
    if text.strip() in ("true", "false"):
        return text.strip() == "true"
    for reader in (json.loads, ast.literal_eval):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a backslash in a Python literal
                return reader(text.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return None


def _written(name: str, kind: str) -> str:
    example = {"list": "[...]", "structure": "{...}", "map": "{...}", "boolean": "true"}.get(kind, "1")
    return f"{name}={example}" if example[0] not in "[{" else f"{name}='{example}'"


# --- where they are given ----------------------------------------------------------------------------------------------


def of_words(words: Iterable[str]) -> dict[str, str]:
    """Take `key=value` and `--key=value` apart. Raises InvalidTask for a word that is neither, or an unknown key."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.removeprefix("--").partition("=")
        if not equals or not key:
            raise InvalidTask(_no_argument(word, key))
        found[key] = value
    refuse_unknown(found)
    return found


def _no_argument(word: str, key: str) -> str:
    if key in known():
        return f"The argument {key} needs a value: {word}=VALUE."
    kind = "option" if word.startswith("-") else "argument"
    return f"There is no {kind} {word!r}.{did_you_mean(key.lstrip('-'), known())} Arguments are given as key=value."


def of_environment(environ: Mapping[str, str]) -> Arguments:
    """Read the arguments that stand in the environment; the exact name wins over the one in upper case."""
    found: Arguments = {}
    for name in known():
        for variable in (name, variable_of(name)):
            if environ.get(variable):
                found |= _of_variable(variable, name, environ[variable])
                break
    return found


def _of_variable(variable: str, name: str, text: str) -> Arguments:
    try:
        return read({name: text})
    except InvalidTask as error:
        where = "In the environment" if variable == name else f"The environment variable {variable}"
        raise InvalidTask(f"{where}: {error}") from None


# --- what they make of a task ------------------------------------------------------------------------------------------


def laid_over(fields: Mapping[str, Any], arguments: Mapping[str, Any]) -> Fields:
    """Lay arguments that were read over the fields of a task: what an argument says, no field contradicts.

    Raises InvalidTask for arguments that exclude each other.
    """
    if not arguments:
        return dict(fields)
    whole = {name: value for name, value in arguments.items() if not name.startswith(CONTAINER)}
    into = {name.removeprefix(CONTAINER): value for name, value in arguments.items() if name.startswith(CONTAINER)}
    if whole.get("launchType") and whole.get("capacityProviderStrategy"):
        raise InvalidTask("launchType and capacityProviderStrategy exclude each other; give one of them.")
    sorted_ = sort_arguments(_named(whole), input_shape("RegisterTaskDefinition"), input_shape("RunTask"))
    definition = _of_definition(sorted_.pop("task_definition", {}))
    result = _with_request(dict(fields), sorted_.pop("task_run_request", {}), launch="launch_type" in sorted_)
    if "task_definition_arn" in sorted_:
        result = unlinked(result)
    result |= sorted_
    if result.get("task_definition_arn") is not None:
        return _linked(result, definition, into)
    return _with_definition(result, definition, into)


def unlinked(fields: Mapping[str, Any]) -> Fields:
    """Take from the fields what describes a definition: another one is to be used, as it is."""
    described = ("task_definition_arn", "task_definition", "family", "image", "cpu", "memory", "container_name")
    logging = ("stream_output", "configure_cloudwatch_logs", "cloudwatch_logs_options")
    return {name: value for name, value in fields.items() if name not in (*described, *logging)}


def _named(arguments: Mapping[str, Any]) -> Arguments:
    """Give the first container a name, if it has none."""
    containers = arguments.get("containerDefinitions")
    if not containers or containers[0].get("name"):
        return dict(arguments)
    return {**arguments, "containerDefinitions": [{"name": MAIN_CONTAINER, **containers[0]}, *containers[1:]]}


def _of_definition(definition: Mapping[str, Any]) -> Arguments:
    """Leave out what only a run can be told: `placementConstraints` of both have one name."""
    found = dict(definition)
    if "placementConstraints" in found:
        found["placementConstraints"] = [
            item for item in found["placementConstraints"] if item.get("type") != "distinctInstance"
        ]
    return {name: value for name, value in found.items() if name != "placementConstraints" or value}


def _with_request(fields: Fields, request: Mapping[str, Any], *, launch: bool) -> Fields:
    given = dict(fields.get("task_run_request") or {})
    if launch:
        given = {name: value for name, value in given.items() if name not in ("launchType", "capacityProviderStrategy")}
    if "capacityProviderStrategy" in request:
        given.pop("launchType", None)
        fields.pop("launch_type", None)
    merged = {**given, **request}
    return {**fields, "task_run_request": merged} if merged else fields


def _linked(fields: Fields, definition: Mapping[str, Any], into: Mapping[str, Any]) -> Fields:
    found = {_OVERRIDABLE[name]: value for name, value in definition.items() if name in _OVERRIDABLE}
    rest = [name for name in definition if name not in (*_OVERRIDABLE, "tags", "placementConstraints")]
    rest += [f"{CONTAINER}{name}" for name in into]
    if rest:
        raise InvalidTask(
            f"taskDefinition {fields['task_definition_arn']} is used as it is registered, so it excludes {', '.join(rest)}."
        )
    return {**fields, **found}


def _with_definition(fields: Fields, definition: Mapping[str, Any], into: Mapping[str, Any]) -> Fields:
    if not definition and not into:
        return fields
    for name in definition:
        fields.pop({**_OVERRIDABLE, "family": "family"}.get(name, ""), None)
    merged = {**(fields.get("task_definition") or {}), **definition}
    if into:
        merged["containerDefinitions"] = _into_container(merged, fields.get("container_name") or MAIN_CONTAINER, into)
    if any("image" in container for container in (*definition.get("containerDefinitions", ())[:1], into)):
        fields.pop("image", None)
    return {**fields, "task_definition": merged}


def _into_container(definition: Mapping[str, Any], name: str, members: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give the containers with members set in the one of this name; variables and secrets are added by their names."""
    containers = [dict(item) for item in definition.get("containerDefinitions") or []]
    container = next((item for item in containers if item.get("name") == name), None)
    if container is None:
        container = {"name": name}
        containers.append(container)
    for member, value in members.items():
        if member in ("environment", "secrets"):
            value = list({item.get("name"): item for item in [*(container.get(member) or []), *value]}.values())
        container[member] = value
    return containers
