"""What of Consul's service mesh has a form of its own in archives: proxies of services, and configuration entries."""

from __future__ import annotations

from typing import Any

import msgspec

from consul_kernel.structs.config_entry import ConfigEntry
from consul_kernel.structs.service import NodeService

from .decoding import ValueProblem, decode_any, decode_several
from .encoding import encode_record, encode_value
from .records import RecordType

NO_PROXY: dict[str, Any] = {
    "Config": None,
    "DestinationServiceID": "",
    "DestinationServiceName": "",
    "Expose": {"Checks": False, "Paths": None},
    "LocalServiceAddress": "",
    "LocalServicePort": 0,
    "LocalServiceSocketPath": "",
    "MeshGateway": {"Mode": ""},
    "Mode": "",
    "TransparentProxy": {"DialedDirectly": False, "OutboundListenerPort": 0},
    "Upstreams": None,
}
"""What Consul writes for a service that is no proxy."""

_MARSHALLED_KINDS = frozenset({"proxy-defaults"})
"""Kinds whose entry is one run of octets with MessagePack in it (Go's BinaryMarshaler), rather than a map."""
_OWN_FIELDS = ("Kind", "Name", "CreateIndex", "ModifyIndex")


def without_empty_proxy(service: NodeService) -> NodeService:
    """The service as it is kept: None says the same as a proxy with nothing set."""
    if service.proxy is not None and _is_empty(service.proxy):
        return msgspec.structs.replace(service, proxy=None)
    return service


def _is_empty(value: Any) -> bool:
    return all(_is_empty(item) for item in value.values()) if isinstance(value, dict) else not value


def with_proxy(service: NodeService) -> NodeService:
    """The service as it is written."""
    return service if service.proxy else msgspec.structs.replace(service, proxy=NO_PROXY)


def decode_config_entry(record: bytes) -> ConfigEntry:
    """An entry from its record: octets that hold its kind and the request to write it. ValueProblem."""
    octets = decode_any(record)
    if not isinstance(octets, (bytes, str)):
        raise ValueProblem("is no run of octets")
    kind, request = decode_several(octets if isinstance(octets, bytes) else octets.encode(), 2)
    entry = request.get("Entry") if isinstance(request, dict) else None
    if isinstance(entry, str):
        entry = entry.encode()
    if isinstance(entry, bytes):
        entry = decode_any(entry)
    if not isinstance(kind, str) or not isinstance(entry, dict) or not all(isinstance(name, str) for name in entry):
        raise ValueProblem("has no entry")
    name, create, modify = entry.get("Name"), entry.get("CreateIndex"), entry.get("ModifyIndex")
    if not isinstance(name, str) or not isinstance(create, int) or not isinstance(modify, int):
        raise ValueProblem("has an entry without a name or index")
    settings = {key: value for key, value in entry.items() if key not in _OWN_FIELDS}
    return ConfigEntry(kind=kind, name=name, settings=settings, create_index=create, modify_index=modify)


def encode_config_entry(entry: ConfigEntry) -> bytes:
    """The record of an entry."""
    fields = {
        **entry.settings,
        "Kind": entry.kind,
        "Name": entry.name,
        "CreateIndex": entry.create_index,
        "ModifyIndex": entry.modify_index,
    }
    body: Any = dict(sorted(fields.items()))
    if entry.kind in _MARSHALLED_KINDS:
        body = encode_value(body)
    request = {"Datacenter": "", "Entry": body, "Op": "", "Token": ""}
    return encode_record(RecordType.CONFIG_ENTRY, encode_value(entry.kind) + encode_value(request))
