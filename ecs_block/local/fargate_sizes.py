"""The sizes of Fargate tasks, and how AWS reads ``cpu`` and ``memory`` of a task."""

from __future__ import annotations

import re

from ecs_block.local.faults import client_error

# cpu units: the memory sizes (MiB) that AWS offers with them.
_SIZES: dict[int, frozenset[int]] = {
    256: frozenset({512, 1024, 2048}),
    512: frozenset(range(1024, 4097, 1024)),
    1024: frozenset(range(2048, 8193, 1024)),
    2048: frozenset(range(4096, 16385, 1024)),
    4096: frozenset(range(8192, 30721, 1024)),
    8192: frozenset(range(16384, 61441, 4096)),
    16384: frozenset(range(32768, 122881, 8192)),
    32768: frozenset({61440, 122880, 249856}),
}
_AMOUNT = re.compile(r"\s*(\d*\.?\d+)\s*([a-z]*)\s*\Z", re.IGNORECASE)


def normal_size(text: str, member: str) -> str:
    """Read ``1 vCPU`` as ``1024`` and ``2 GB`` as ``2048``; plain numbers are units and MiB."""
    match = _AMOUNT.match(text)
    unit = match.group(2).lower() if match else "?"
    if match and not unit and match.group(1).isdigit():
        return str(int(match.group(1)))
    if match and unit == ("vcpu" if member == "cpu" else "gb"):
        return str(int(float(match.group(1)) * 1024))
    raise client_error(f"Invalid '{member}' setting for task.")


def check_fargate_size(cpu: str | None, memory: str | None) -> None:
    """Refuse a pair that AWS does not offer."""
    for member, value in (("cpu", cpu), ("memory", memory)):
        if not value:
            raise client_error(f"Fargate requires that '{member}' be defined at the task level.")
    if not fits_fargate(cpu, memory):
        raise client_error(
            f"No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. "
            "See the Amazon ECS documentation for the valid values."
        )


def fits_fargate(cpu: str | None, memory: str | None) -> bool:
    """Say whether AWS offers a pair."""
    return bool(cpu and memory) and int(memory or 0) in _SIZES.get(int(cpu or 0), ())
