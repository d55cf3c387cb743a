"""What the terminal is, and how wide: it decides between dated lines, short lines and a live region.

NO_COLOR, FORCE_COLOR and TERM as https://no-color.org, https://force-color.org and terminfo have them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import NamedTuple, TextIO

WIDTH, HEIGHT = 80, 24  # of a terminal that does not say
_DUMB = ("dumb", "unknown")


class Terminal(NamedTuple):
    """What may be written to a stream."""

    interactive: bool
    """Somebody looks at it: short lines; else each line has its date."""
    coloured: bool
    live: bool
    """Lines may be taken back."""


def terminal_of(file: TextIO | None, environment: Mapping[str, str] = os.environ) -> Terminal:
    """Tell what may be written to a stream."""
    interactive = file is not None and file.isatty()
    dumb = environment.get("TERM") in _DUMB
    wanted = interactive or bool(environment.get("FORCE_COLOR"))
    # A Windows console obeys control sequences only if it was told to.
    live = interactive and not dumb and os.name == "posix"
    return Terminal(interactive, wanted and not dumb and not environment.get("NO_COLOR"), live)


def is_terminal(descriptor: int) -> bool:
    """Tell whether a descriptor is open and leads to a terminal."""
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def is_pipe(descriptor: int) -> bool:
    """Tell whether a descriptor leads to another program, which may show on the terminal what it is given."""
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def size_of(descriptor: int) -> tuple[int, int]:
    """Give the columns and lines of a terminal."""
    try:
        columns, lines = os.get_terminal_size(descriptor)
    except OSError:
        columns = lines = 0
    return columns or WIDTH, lines or HEIGHT


def in_foreground(descriptor: int) -> bool:
    """Tell whether we may paint: a job in the background would paint over what the shell shows."""
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:  # not the terminal that controls us
        return True
