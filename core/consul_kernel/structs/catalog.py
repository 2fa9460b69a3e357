"""Writes to the catalog."""

from __future__ import annotations

from .check import HealthCheck
from .query import DatacenterRequest
from .service import NodeService


class RegisterRequest(DatacenterRequest, kw_only=True):
    """Register a node, and with it a service and checks. `skip_node_update` leaves a known node as it is."""

    id: str = ""
    node: str = ""
    address: str = ""
    tagged_addresses: dict[str, str] | None = None
    node_meta: dict[str, str] | None = None
    service: NodeService | None = None
    check: HealthCheck | None = None
    checks: list[HealthCheck] | None = None
    skip_node_update: bool = False
    create_index: int = 0
    modify_index: int = 0


class DeregisterRequest(DatacenterRequest, kw_only=True):
    """Deregister a service, else a check, else the node with all it has."""

    node: str = ""
    service_id: str = ""
    check_id: str = ""
