"""What the URL of a queue says: whether it is one, its region, and which queue it is."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ecs_block.errors import InvalidTask

_REGIONAL = re.compile(r"(?:^|\.)(?:sqs|sqs-fips)\.([a-z]{2}(?:-[a-z]+)+-\d+)\.|^([a-z]{2}(?:-[a-z]+)+-\d+)\.queue\.")
_AWS_HOST = re.compile(r"\.(amazonaws\.com(\.cn)?|api\.aws|amazonaws\.eu)$")


def region_of(url: str) -> str | None:
    """Read the region from the URL of a queue; None where it does not say."""
    found = _REGIONAL.search(urlsplit(url).hostname or "")
    return (found[1] or found[2]) if found else None


def is_aws(url: str) -> bool:
    """Tell whether a queue is at AWS, and not at a stand-in."""
    return bool(_AWS_HOST.search(urlsplit(url).hostname or ""))


def place_of(url: str) -> str:
    """Name a queue: by region, account and name, as AWS has several addresses for one; else by its address."""
    parts = urlsplit(url)
    return f"{region_of(url) if is_aws(url) else parts.netloc}{parts.path.rstrip('/')}"


def checked(url: str) -> str:
    """Give the URL of a queue. Raises InvalidTask for what is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not parts.path.strip("/"):
        raise InvalidTask(
            f"{url!r} is no URL of a queue. It looks like https://sqs.eu-central-1.amazonaws.com/123456789012/jobs; "
            "`aws sqs get-queue-url --queue-name NAME` tells it."
        )
    if url.rstrip("/").endswith(".fifo"):
        raise InvalidTask(
            f"{url!r} is a FIFO queue, in which one job would hold up those behind it. Use a standard queue: jobs are run once "
            "each there, too."
        )
    return url
