"""Values of fields as people write them: a command in one line, a size with its unit, a number for a text."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from ecs_block.plan.fargate import cpu_units, memory_mib
from ecs_block.plan.secret import Text

LONGEST_COMMAND_LINE = 65_536  # characters of a command in one string


def _words(value: Any) -> Any:
    """Split a command line as a shell would."""
    if not isinstance(value, str):
        return value
    if len(value) > LONGEST_COMMAND_LINE:  # a shell's rules take very long then
        raise ValueError(
            f"has {len(value):,} characters, far more than AWS accepts; put the program into a file or the image"
        )
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ValueError(f"cannot be split as a shell would: {error}; give a list of words") from None


def _size(read: Any) -> Any:
    return lambda value: read(value) if isinstance(value, str) else value


def _variables(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): item for name, item in value.items()}
    return value


def _label(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Command = Annotated[list[str], BeforeValidator(_words)]
Variables = Annotated[dict[str, Text | None], BeforeValidator(_variables)]
Label = Annotated[str, BeforeValidator(_label)]
CpuUnits = Annotated[int, BeforeValidator(_size(cpu_units)), Field(gt=0)]
Mebibytes = Annotated[int, BeforeValidator(_size(memory_mib)), Field(gt=0)]
