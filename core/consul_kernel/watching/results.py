"""What handlers of watches are given: JSON in the shapes of Consul's Go client, which are not quite the HTTP API's.

The client reads an answer into its own records and writes those; so do we. (Consul: documentation of watches; package
api: KVPair, ServiceEntry, HealthCheck, UserEvent.)
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from consul_kernel.structs.record import go_name


class ClientRecord(msgspec.Struct, frozen=True, rename=go_name):
    """Base of the client's records: fields that it does not know are dropped."""


class KeyValue(ClientRecord, frozen=True):
    """A key. The value is base64, `null` for an empty one."""

    key: str = ""
    create_index: int = 0
    modify_index: int = 0
    lock_index: int = 0
    flags: int = 0
    value: str | None = None
    session: str = ""


class WatchedNode(ClientRecord, frozen=True):
    """A node."""

    id: str = ""
    node: str = ""
    address: str = ""
    datacenter: str = ""
    tagged_addresses: dict[str, str] | None = None
    meta: dict[str, str] | None = None
    create_index: int = 0
    modify_index: int = 0


class ServiceWeights(ClientRecord, frozen=True):
    """Weights in DNS, by health."""

    passing: int = 0
    warning: int = 0


class ServiceProxy(ClientRecord, frozen=True, kw_only=True, omit_defaults=True):
    """Mesh settings of a proxy. What is empty is left out, but for the two that Go always writes."""

    destination_service_name: str = ""
    destination_service_id: str = ""
    local_service_address: str = ""
    local_service_port: int = 0
    local_service_socket_path: str = ""
    mode: str = ""
    transparent_proxy: Any = None
    config: dict[str, Any] | None = None
    upstreams: list[Any] | None = None
    mesh_gateway: dict[str, Any]
    expose: dict[str, Any]


class WatchedService(ClientRecord, frozen=True):
    """A service instance."""

    kind: str | UnsetType = UNSET
    id: str = ""
    service: str = ""
    tags: list[str] | None = None
    meta: dict[str, str] | None = None
    port: int = 0
    address: str = ""
    socket_path: str | UnsetType = UNSET
    tagged_addresses: dict[str, Any] | UnsetType = UNSET
    weights: ServiceWeights = ServiceWeights()
    enable_tag_override: bool = False
    create_index: int = 0
    modify_index: int = 0
    proxy: ServiceProxy | UnsetType = UNSET
    connect: dict[str, Any] | UnsetType = UNSET


class CheckDefinitionOf(ClientRecord, frozen=True):
    """How a check is carried out. Durations are texts."""

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


class WatchedCheck(ClientRecord, frozen=True):
    """A check."""

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
    definition: CheckDefinitionOf = CheckDefinitionOf()
    create_index: int = 0
    modify_index: int = 0


class ServiceEntry(ClientRecord, frozen=True):
    """An instance of a service with its node and the checks of both."""

    node: WatchedNode
    service: WatchedService
    checks: list[WatchedCheck]


class WatchedEvent(ClientRecord, frozen=True):
    """A user event. The payload is base64, `null` for an empty one."""

    id: str = ""
    name: str = ""
    payload: str | None = None
    node_filter: str = ""
    service_filter: str = ""
    tag_filter: str = ""
    version: int = 0
    ltime: int = msgspec.field(default=0, name="LTime")


_ENCODER = msgspec.json.Encoder(order="deterministic")
_ESCAPES = ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"))


def encode_result(result: Any, *, indent: int = 0) -> bytes:
    """The JSON of a result, with Go's escapes, and a newline behind it; with `indent`, that many spaces a level."""
    document = _ENCODER.encode(result)
    if indent:
        document = msgspec.json.format(document, indent=indent)
    for plain, escaped in _ESCAPES:
        document = document.replace(plain, escaped)
    return document + b"\n"
