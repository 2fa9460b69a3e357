"""Health checks: as the catalog keeps them, and as an agent is told of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import field

from .query import QueryMeta
from .record import RaftIndexed, Record

SERF_HEALTH_CHECK_ID = "serfHealth"
SERF_HEALTH_CHECK_NAME = "Serf Health Status"
SERF_HEALTH_ALIVE_OUTPUT = "Agent alive and reachable"
SERF_HEALTH_FAILED_OUTPUT = "Agent not live or unreachable"
NODE_MAINTENANCE_CHECK_ID = "_node_maintenance"
SERVICE_MAINTENANCE_PREFIX = "_service_maintenance:"
"""With the service's id behind it, the id of the check that takes the service out of service."""


class CheckStatus(StrEnum):
    """A check's state. `ANY` is only for asking."""

    PASSING = "passing"
    WARNING = "warning"
    CRITICAL = "critical"
    MAINTENANCE = "maintenance"
    ANY = "any"


class HealthCheckDefinition(Record, kw_only=True):
    """How a check is carried out, as far as the catalog keeps it. Durations are nanoseconds."""

    http: str = ""
    tls_server_name: str = ""
    tls_skip_verify: bool = False
    header: dict[str, list[str]] | None = None
    method: str = ""
    body: str = ""
    disable_redirects: bool = False
    tcp: str = ""
    h2ping: str = ""
    interval: int = 0
    output_max_size: int = 0
    timeout: int = 0
    deregister_critical_service_after: int = 0
    script_args: list[str] | None = None
    docker_container_id: str = ""
    shell: str = ""
    grpc: str = ""
    grpc_use_tls: bool = False
    alias_node: str = ""
    alias_service: str = ""
    ttl: int = 0


class HealthCheck(RaftIndexed, kw_only=True):
    """A check of a node (no `service_id`) or of one of its services."""

    node: str = ""
    check_id: str = ""
    name: str = ""
    status: str = ""
    notes: str = ""
    output: str = ""
    service_id: str = ""
    service_name: str = ""
    service_tags: list[str] | None = None
    type: str = ""
    interval: str = ""
    timeout: str = ""
    exposed_port: int = 0
    definition: HealthCheckDefinition = field(default_factory=HealthCheckDefinition)


class CheckDefinition(Record, kw_only=True):
    """A check as a user defines it. Durations are nanoseconds; HTTP and HCL also take `"10s"`.

    Exactly one of `ttl`, `script_args`, `http`, `tcp`, `grpc`, `h2ping`, `docker_container_id`,
    `alias_node`/`alias_service` says what kind it is; with none it is a TTL check without a time. Where the key of
    another plugin says it, `kind` is that key. `options` has the keys that are none of Consul's, in the plugin's
    spelling. Neither can be written: both are made of what is written.
    """

    id: str = ""
    check_id: str = ""
    name: str = ""
    notes: str = ""
    service_id: str = ""
    token: str = ""
    status: str = ""
    script_args: list[str] | None = None
    http: str = ""
    header: dict[str, list[str]] | None = None
    method: str = ""
    body: str = ""
    disable_redirects: bool = False
    tcp: str = ""
    interval: int = 0
    docker_container_id: str = ""
    shell: str = ""
    grpc: str = ""
    grpc_use_tls: bool = False
    h2ping: str = ""
    tls_server_name: str = ""
    tls_skip_verify: bool = False
    alias_node: str = ""
    alias_service: str = ""
    timeout: int = 0
    ttl: int = 0
    success_before_passing: int = 0
    failures_before_warning: int = 0
    failures_before_critical: int = 0
    deregister_critical_service_after: int = 0
    output_max_size: int = 0
    kind: str = ""
    options: dict[str, Any] | None = None


class IndexedHealthChecks(QueryMeta, kw_only=True):
    """Checks, ordered by node and check id."""

    health_checks: list[HealthCheck] | None = None
