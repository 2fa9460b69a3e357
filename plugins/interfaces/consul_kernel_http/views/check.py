"""Health checks, as the catalog and an agent show them, and their definitions."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from consul_kernel.structs.check import HealthCheck, HealthCheckDefinition
from consul_kernel.structs.duration import format_duration_ns
from consul_kernel.structs.record import go_name

_NO_DEFINITION = HealthCheckDefinition()


class DefinitionView(msgspec.Struct, rename=go_name, omit_defaults=True, gc=False):
    """A check's definition. Everything that is zero is left out, so most are `{}`."""

    interval: str = ""
    output_max_size: int = 0
    timeout: str = ""
    deregister_critical_service_after: str = ""
    http: str = ""
    tls_server_name: str = ""
    tls_skip_verify: bool = False
    header: dict[str, list[str]] = {}
    method: str = ""
    body: str = ""
    disable_redirects: bool = False
    tcp: str = ""
    h2ping: str = ""
    script_args: list[str] = []
    docker_container_id: str = ""
    shell: str = ""
    grpc: str = ""
    grpc_use_tls: bool = False
    alias_node: str = ""
    alias_service: str = ""
    ttl: str = ""


_EMPTY_DEFINITION = DefinitionView()


class CheckView(msgspec.Struct, rename=go_name, gc=False):
    """A check. Tags are `null` only in answers to transactions."""

    node: str
    check_id: str
    name: str
    status: str
    notes: str
    output: str
    service_id: str
    service_name: str
    service_tags: list[str] | None
    type: str
    interval: str
    timeout: str
    exposed_port: int
    definition: DefinitionView
    create_index: int
    modify_index: int


class ApiDefinitionView(msgspec.Struct, rename=go_name, gc=False):
    """A definition in the shape of Consul's Go client, which the local health endpoints answer with."""

    interval: str = "0s"
    timeout: str = "0s"
    deregister_critical_service_after: str = "0s"
    http: str = ""
    header: dict[str, list[str]] | None = None
    method: str = ""
    body: str = ""
    tls_server_name: str = ""
    tls_skip_verify: bool = False
    tcp: str = ""
    grpc: str = ""
    grpc_use_tls: bool = msgspec.field(default=False, name="GRPCUseTLS")


class ApiCheckView(msgspec.Struct, rename=go_name, gc=False):
    """A check in the shape of Consul's Go client."""

    node: str
    check_id: str
    name: str
    status: str
    notes: str
    output: str
    service_id: str
    service_name: str
    service_tags: list[str] | None
    type: str
    exposed_port: int | UnsetType
    definition: ApiDefinitionView
    create_index: int
    modify_index: int


def check_view(check: HealthCheck) -> CheckView:
    """One check."""
    definition = check.definition
    return CheckView(
        check.node,
        check.check_id,
        check.name,
        check.status,
        check.notes,
        check.output,
        check.service_id,
        check.service_name,
        check.service_tags or [],
        check.type,
        check.interval,
        check.timeout,
        check.exposed_port,
        _EMPTY_DEFINITION if definition == _NO_DEFINITION else _definition_view(definition),
        check.create_index,
        check.modify_index,
    )


def _definition_view(definition: HealthCheckDefinition) -> DefinitionView:
    return DefinitionView(
        interval=_duration(definition.interval),
        output_max_size=definition.output_max_size,
        timeout=_duration(definition.timeout),
        deregister_critical_service_after=_duration(definition.deregister_critical_service_after),
        http=definition.http,
        tls_server_name=definition.tls_server_name,
        tls_skip_verify=definition.tls_skip_verify,
        header=definition.header or {},
        method=definition.method,
        body=definition.body,
        disable_redirects=definition.disable_redirects,
        tcp=definition.tcp,
        h2ping=definition.h2ping,
        script_args=definition.script_args or [],
        docker_container_id=definition.docker_container_id,
        shell=definition.shell,
        grpc=definition.grpc,
        grpc_use_tls=definition.grpc_use_tls,
        alias_node=definition.alias_node,
        alias_service=definition.alias_service,
        ttl=_duration(definition.ttl),
    )


def _duration(nanoseconds: int) -> str:
    return format_duration_ns(nanoseconds) if nanoseconds else ""


def api_check_view(check: HealthCheck) -> ApiCheckView:
    """One check for the local health endpoints. The definition is not kept by the agent there; it is zero."""
    return ApiCheckView(
        check.node,
        check.check_id,
        check.name,
        check.status,
        check.notes,
        check.output,
        check.service_id,
        check.service_name,
        check.service_tags or None,
        "",
        check.exposed_port or UNSET,
        ApiDefinitionView(),
        check.create_index,
        check.modify_index,
    )
