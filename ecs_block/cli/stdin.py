"""What is read where an option has `-` for a file."""

from __future__ import annotations

import sys

from ecs_block.errors import InvalidTask

STDIN = "-"


def text_of_stdin() -> str:
    """Read all of stdin. Raises InvalidTask where it is closed, is a folder, or is not UTF-8."""
    if sys.stdin is None:
        raise InvalidTask("Nothing can be read for -: stdin is closed.")
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except OSError as error:
        raise InvalidTask(f"stdin cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InvalidTask("What stands on stdin is not UTF-8 text.") from None
