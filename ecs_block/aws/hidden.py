"""Secrets that this process has used, and how they are kept out of what others log.

botocore logs whole requests and answers at DEBUG, and AWS's answers repeat the environment of a task. So every secret that
is revealed is remembered here, for as long as the process lives, and masked wherever it would appear.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ecs_block.errors import InvalidTask
from ecs_block.plan.redact import Redactor
from ecs_block.plan.secret import MASK, SecretReference


def read_reference(reference: SecretReference) -> str:
    """Read a secret from the environment or a file. Raises InvalidTask when it is not there."""
    if reference.kind == "env":
        value = os.environ.get(reference.name)
        if value is None:
            raise InvalidTask(
                f"The secret {reference.reference} is not there: set the environment variable {reference.name}."
            )
    else:
        try:
            value = Path(reference.name).expanduser().read_text().removesuffix("\n")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise InvalidTask(f"The secret {reference.reference} cannot be read: {reason}.") from None
    hide(value)
    return value


_hidden_values: set[str] = set()
_redactor = Redactor()


def hide(secret: str) -> None:
    """Keep this value out of everything that botocore, boto3 and urllib3 log in this process, and out of AWS's messages."""
    global _redactor
    if secret and secret not in _hidden_values:
        _hidden_values.add(secret)
        _redactor = Redactor(_hidden_values)


def redactor() -> Redactor:
    """The redactor that knows every secret that this process has used."""
    return _redactor


# Answers of STS hold keys that botocore uses by itself: nobody tells us of them.
_GUARDED = ("botocore", "boto3", "urllib3", "s3transfer")
_STS_ANSWER = re.compile(r"((?:SecretAccessKey|SessionToken)\W{1,8})[A-Za-z0-9/+=]{16,}")
_muted = threading.local()


@contextmanager
def muted() -> Iterator[None]:
    """Keep boto3's parts silent in this thread: the answer that they would log is a secret that we do not know yet."""
    _muted.on = True
    try:
        yield
    finally:
        _muted.on = False


class _HideSecrets(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(_muted, "on", False):
            return False
        message = record.getMessage()
        masked = _STS_ANSWER.sub(rf"\1{MASK}", _redactor.text(message))
        if masked != message:
            record.msg, record.args = masked, ()
        return True


_filter = _HideSecrets()
logging.getLogger("ecs_block").addFilter(_filter)


def guard_foreign_logs() -> None:
    """Mask what boto3 and its parts log. Call it after a client was made: only then are all their loggers there."""
    # A filter acts on the logger that it hangs on, not on that logger's children; so it hangs on each.
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if name.split(".")[0] in _GUARDED and isinstance(logger, logging.Logger):
            logger.addFilter(_filter)
