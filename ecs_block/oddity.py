"""Warnings about settings that are odd but possible, told at the line of the program that made them."""

from __future__ import annotations

import sys
import warnings

_OURS = ("ecs_block", "pydantic")  # between the caller and a validator stand frames of both


def warn_caller(message: str) -> None:
    """Warn at the nearest line that belongs neither to this library nor to pydantic."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _OURS:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)
