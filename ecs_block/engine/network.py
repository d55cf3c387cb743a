"""The subnets of a VPC: what `awsvpc` networking needs when nobody named any."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

import anyio
from anyio.lowlevel import RunVar

from ecs_block.engine.conversation import Conversation
from ecs_block.errors import InvalidTask
from ecs_block.plan.request import MOST_SUBNETS

KNOWN_FOR = 600.0  # seconds for which a process remembers a VPC's subnets

_known: dict[tuple[Any, ...], tuple[tuple[str, ...], float]] = {}
_locks: RunVar[dict[Any, anyio.Lock]] = RunVar("ecs_block_network_locks")


async def subnets_of(conversation: Conversation, vpc_id: str | None) -> tuple[str, ...]:
    """Give up to 16 subnets of a VPC (None: the default VPC), one of each zone first.

    Raises InvalidTask when there is no default VPC, or no subnet in the VPC.
    """
    key = (conversation.aws.key, vpc_id)
    try:
        locks = _locks.get()
    except LookupError:
        locks = {}
        _locks.set(locks)
    async with locks.setdefault(key, anyio.Lock()):
        found, until = _known.get(key, ((), 0.0))
        if not found or until < conversation.clock.now():
            found = await _look_up(conversation, vpc_id)
            conversation.aws.forget("ec2")
            _known[key] = (found, conversation.clock.now() + KNOWN_FOR)
        return found


def forget(conversation: Conversation, vpc_id: str | None) -> None:
    """Forget the subnets of a VPC, because AWS did not accept them."""
    _known.pop((conversation.aws.key, vpc_id), None)


async def _look_up(conversation: Conversation, vpc_id: str | None) -> tuple[str, ...]:
    vpc = vpc_id or await _default_vpc(conversation)
    subnets = await conversation.pages(
        "ec2", "DescribeSubnets", "Subnets", Filters=[{"Name": "vpc-id", "Values": [vpc]}]
    )
    if not subnets:
        raise InvalidTask(
            f"The VPC {vpc} has no subnets, or does not exist in region {conversation.aws.region}. Set vpc_id to another one, "
            "or give networkConfiguration in task_run_request."
        )
    return tuple(spread(subnets))


async def _default_vpc(conversation: Conversation) -> str:
    vpcs = await conversation.pages("ec2", "DescribeVpcs", "Vpcs", Filters=[{"Name": "isDefault", "Values": ["true"]}])
    if not vpcs:
        raise InvalidTask(
            f"There is no default VPC in region {conversation.aws.region}. Set vpc_id, or give networkConfiguration in "
            "task_run_request."
        )
    return str(vpcs[0]["VpcId"])


def spread(subnets: Sequence[Mapping[str, Any]]) -> list[str]:
    """Choose up to 16 subnets so that as many zones as possible are among them."""
    by_zone: dict[str, list[str]] = defaultdict(list)
    for subnet in sorted(subnets, key=lambda subnet: str(subnet["SubnetId"])):
        by_zone[str(subnet.get("AvailabilityZone", ""))].append(str(subnet["SubnetId"]))
    rounds = zip_longest(*(by_zone[zone] for zone in sorted(by_zone)))
    return [subnet for subnet in chain.from_iterable(rounds) if subnet is not None][:MOST_SUBNETS]
