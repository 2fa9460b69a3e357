"""Maintenance: a check of the node, or of a service, that is critical for as long as it is there."""

from __future__ import annotations

from consul_kernel.structs.check import (
    NODE_MAINTENANCE_CHECK_ID,
    SERVICE_MAINTENANCE_PREFIX,
    CheckDefinition,
    CheckStatus,
)

NO_REASON = "Maintenance mode is enabled for this {what}, but no reason was provided. This is a default message."


def node_maintenance(reason: str) -> CheckDefinition:
    """The check of a node that is out of service."""
    return CheckDefinition(
        id=NODE_MAINTENANCE_CHECK_ID,
        name="Node Maintenance Mode",
        notes=reason or NO_REASON.format(what="node"),
        status=CheckStatus.CRITICAL,
    )


def service_maintenance(service_id: str, reason: str) -> CheckDefinition:
    """The check of a service that is out of service."""
    return CheckDefinition(
        id=SERVICE_MAINTENANCE_PREFIX + service_id,
        name="Service Maintenance Mode",
        notes=reason or NO_REASON.format(what="service"),
        service_id=service_id,
        status=CheckStatus.CRITICAL,
    )


def is_maintenance(check_id: str) -> bool:
    """Whether a check of this id says that its node or service is out of service."""
    return check_id == NODE_MAINTENANCE_CHECK_ID or check_id.startswith(SERVICE_MAINTENANCE_PREFIX)


class MaintenanceRunner:
    """Nothing is carried out: the check stays as it is."""

    shown_type = "maintenance"
    runs_commands = False

    def start(self) -> None:
        """Nothing to begin."""

    def stop(self) -> None:
        """Nothing to end."""
