"""A fault endpoint: a real HTTP server between boto3 and a LocalCloud that does to chosen calls what networks and AWS do.

::

    with LocalCloud() as cloud, FaultyEndpoint(cloud) as wire:
        wire.on("RunTask", call=range(1, 4), fault=Drop(after=True))
        wire.sometimes(0.1, [Status(500), Html(), Drop()], operations=["DescribeTasks"])
        ECSTask(command=["true"], aws_credentials=wire.credentials).run()
        wire.requests("RunTask")  # what was sent, in order
"""

from faults.endpoint import FaultyEndpoint, Seen
from faults.kinds import (
    Bucket,
    Delay,
    Drop,
    Duplicate,
    Error,
    Fault,
    Hang,
    Html,
    Meanwhile,
    OldCopy,
    Overtaken,
    Status,
    Truncate,
    throttled,
)

__all__ = [
    "Bucket",
    "Delay",
    "Drop",
    "Duplicate",
    "Error",
    "Fault",
    "FaultyEndpoint",
    "Hang",
    "Html",
    "Meanwhile",
    "OldCopy",
    "Overtaken",
    "Seen",
    "Status",
    "Truncate",
    "throttled",
]
