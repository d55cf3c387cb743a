"""Whether a subnet has a way out: without one, a Fargate task cannot even pull its image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

Way = Literal["public", "private", "none"]

_EVERYWHERE = frozenset({"0.0.0.0/0", "::/0"})
_TARGETS = (
    "NatGatewayId",
    "TransitGatewayId",
    "NetworkInterfaceId",
    "InstanceId",
    "VpcPeeringConnectionId",
    "CoreNetworkArn",
)


def way_out(subnet: str, tables: Iterable[Mapping[str, Any]]) -> Way:
    """Tell by a subnet's route table whether it reaches the internet: itself, through something in between, or not.

    A subnet without a table of its own has the VPC's main one (VPC user guide, "Subnet route tables").
    """
    own = main = None
    for table in tables:
        for association in table.get("Associations") or []:
            own = table if association.get("SubnetId") == subnet else own
            main = table if association.get("Main") else main
    ways = {_way(route) for route in ((own or main) or {}).get("Routes") or []}
    return "public" if "public" in ways else "private" if "private" in ways else "none"


def _way(route: Mapping[str, Any]) -> Way:
    to = route.get("DestinationCidrBlock") or route.get("DestinationIpv6CidrBlock")
    if to not in _EVERYWHERE or route.get("State") == "blackhole":
        return "none"
    if str(route.get("GatewayId", "")).startswith("igw-"):
        return "public"
    return "private" if any(route.get(target) for target in _TARGETS) or route.get("GatewayId") else "none"
