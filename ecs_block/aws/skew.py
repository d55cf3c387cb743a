"""This machine's clock against AWS's, as the `Date` of an answer tells. botocore does not correct a clock that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

BLAMED_FROM = 60.0  # seconds; AWS itself bears about five minutes, and an answer is a while under way


def clock_ahead(headers: Mapping[str, str], now: datetime) -> float | None:
    """Give by how many seconds `now` is ahead of an answer's date (negative: behind); None when it bears no date."""
    try:
        date = parsedate_to_datetime(headers["date"])
    except (KeyError, TypeError, ValueError):
        return None
    return (now - (date if date.tzinfo else date.replace(tzinfo=UTC))).total_seconds()


def blamed(ahead: float | None) -> str | None:
    """Say how wrong the clock is and what to do; None when it is not to blame."""
    if ahead is None or abs(ahead) < BLAMED_FROM:
        return None
    way = "ahead of" if ahead > 0 else "behind"
    return f"This machine's clock is {abs(ahead):.0f} s {way} AWS's; set it (e.g. with NTP)."
