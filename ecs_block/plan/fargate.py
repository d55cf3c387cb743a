"""The sizes that Fargate offers, and sizes as people write them.

Source: Amazon ECS developer guide, "Task definition parameters for Fargate", task size. AWS adds pairs from time to time,
so a CPU value beyond the table is only warned about.
"""

from __future__ import annotations

import re

SIZES: dict[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4096 + 1, 1024)),
    1024: tuple(range(2048, 8192 + 1, 1024)),
    2048: tuple(range(4096, 16384 + 1, 1024)),
    4096: tuple(range(8192, 30720 + 1, 1024)),
    8192: tuple(range(16384, 61440 + 1, 4096)),
    16384: tuple(range(32768, 122880 + 1, 8192)),
    32768: (61440, 122880, 249856),
}
"""CPU units → the MiB of memory that go with them."""

_CPU = re.compile(r"(\d{1,12}(?:\.\d+)?)\s*(vcpus?)?", re.IGNORECASE)
_MEMORY = re.compile(r"(\d{1,12}(?:\.\d+)?)\s*(m|mb|mib|g|gb|gib)?", re.IGNORECASE)


def cpu_units(size: str | int) -> int:
    """Read CPU units from `1024`, `"1024"` or `"1 vCPU"`. Raises ValueError."""
    match = _CPU.fullmatch(str(size).strip())
    if not match:
        raise ValueError(f'{size!r} is not a CPU size; write CPU units (1024) or "1 vCPU"')
    units = float(match[1]) * (1024 if match[2] else 1)
    return _whole(units, size, "CPU units")


def memory_mib(size: str | int) -> int:
    """Read MiB from `2048`, `"2048"`, `"512 MB"` or `"2 GB"` (AWS counts 1 GB as 1024 MiB). Raises ValueError."""
    match = _MEMORY.fullmatch(str(size).strip())
    if not match:
        raise ValueError(f'{size!r} is not a memory size; write MiB (2048) or "2 GB"')
    unit = (match[2] or "m").lower()
    return _whole(float(match[1]) * (1024 if unit.startswith("g") else 1), size, "MiB")


def _whole(number: float, size: str | int, unit: str) -> int:
    if number != int(number) or number <= 0:
        raise ValueError(f"{size!r} is not a whole, positive number of {unit}")
    return int(number)


def is_offered(cpu: int, memory: int) -> bool:
    """Tell whether Fargate offers this pair."""
    return memory in SIZES.get(cpu, ())


def is_beyond_table(cpu: int, memory: int) -> bool:
    """Tell whether the pair is larger than any known one: AWS may have added it since."""
    return cpu > max(SIZES) or memory > max(SIZES[max(SIZES)])


def nearest(cpu: int, memory: int) -> tuple[int, int]:
    """Give the smallest offered pair with at least this much of both, else the largest one."""
    for units, sizes in SIZES.items():
        enough = [size for size in sizes if size >= memory]
        if units >= cpu and enough:
            return units, enough[0]
    return max(SIZES), max(SIZES[max(SIZES)])
