"""Subnets and addresses, as far as a task shows them."""

from __future__ import annotations

import random
import threading
import uuid
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any
from xml.etree.ElementTree import Element

from ecs_block.local.faults import invalid
from ecs_block.local.moto_services import MotoServices


@dataclass(frozen=True)
class _Subnet:
    zone: str
    block: str


class Network:
    """Check that subnets exist in the cloud's EC2, and give tasks addresses in them."""

    def __init__(self, moto: MotoServices, region: str) -> None:
        self._moto = moto
        self._region = region
        self._known: dict[str, _Subnet] = {}
        self._groups: set[str] = set()
        self._lock = threading.Lock()

    def check(self, network: dict[str, Any]) -> None:
        """Refuse subnets and security groups that do not exist; what was seen once is not looked up again."""
        with self._lock:
            for subnet_id in network.get("subnets", []):
                if subnet_id not in self._known:
                    self._known[subnet_id] = self._find_subnet(subnet_id)
            for group_id in network.get("securityGroups", []):
                if group_id not in self._groups:
                    self._find_group(group_id)

    def _find_subnet(self, subnet_id: str) -> _Subnet:
        found = self._ask("DescribeSubnets", "SubnetId.1", subnet_id)
        if found is None:
            raise invalid(
                f"Error retrieving subnet information for [{subnet_id}]: The subnet ID '{subnet_id}' does not exist "
                "(ErrorCode: InvalidSubnetID.NotFound)"
            )
        return _Subnet(found.findtext(".//availabilityZone", ""), found.findtext(".//cidrBlock", ""))

    def _find_group(self, group_id: str) -> None:
        if self._ask("DescribeSecurityGroups", "GroupId.1", group_id) is None:
            raise invalid(
                f"Error retrieving security group information for [{group_id}]: "
                f"The security group '{group_id}' does not exist (ErrorCode: InvalidGroup.NotFound)"
            )
        self._groups.add(group_id)

    def _ask(self, action: str, member: str, value: str) -> Element | None:
        params = {"Action": action, "Version": "2016-11-15", member: value}
        status, found = self._moto.ask_query("ec2", self._region, params)
        return found if status == 200 and found.find(".//item") is not None else None

    def zone(self, subnet_id: str | None) -> str:
        """Return the zone of a subnet that has been checked; the region's first without one."""
        return self._known[subnet_id].zone if subnet_id else f"{self._region}a"

    def choose(self, network: dict[str, Any]) -> str | None:
        """Choose a subnet for a task, or none."""
        subnets = network.get("subnets")
        return random.choice(subnets) if subnets else None

    def attachment(self, subnet_id: str) -> dict[str, Any]:
        """Make the elastic network interface of a task."""
        hosts = ip_network(self._known[subnet_id].block)
        address = str(hosts[random.randrange(4, max(5, hosts.num_addresses - 1))])
        details = {
            "subnetId": subnet_id,
            "networkInterfaceId": f"eni-{uuid.uuid4().hex[:17]}",
            "macAddress": ":".join(["0a", *(f"{random.randrange(256):02x}" for _ in range(5))]),
            "privateDnsName": f"ip-{address.replace('.', '-')}.{self._region}.compute.internal",
            "privateIPv4Address": address,
        }
        return {
            "id": str(uuid.uuid4()),
            "type": "ElasticNetworkInterface",
            "status": "PRECREATED",
            "details": [{"name": name, "value": value} for name, value in details.items()],
        }
