"""Named moments of the launch at which a test can kill the process, as a power cut would.

`ECS_BLOCK_FAILPOINT=sending` kills it with SIGKILL when it comes there: nothing is flushed, no `finally` runs. The names, in
their order: `intended`, `sending`, `answered`, `launched`, `ended`.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "ECS_BLOCK_FAILPOINT"


def reached(name: str) -> None:
    """Die here if that is asked for."""
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
