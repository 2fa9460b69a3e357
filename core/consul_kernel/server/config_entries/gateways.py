"""What ingress and terminating gateways may say."""

from __future__ import annotations

from consul_kernel.structs.go_quote import quote

from .values import WILDCARD, Settings, mapping, number, records, text, texts

_PROTOCOLS = ("tcp", "http", "http2", "grpc")
_MAX_NAME, _MAX_LABEL = 255, 63
_MULTIPLE = "Multiple services per listener are only supported for protocol = 'http'"


def ingress_fault(_: str, settings: Settings) -> str:
    """What is wrong with an ingress gateway, or an empty string."""
    has_tls = bool(mapping(settings, "TLS").get("Enabled"))
    ports = set()
    for listener in records(settings, "Listeners"):
        port, protocol = int(number(listener, "Port")), text(listener, "Protocol")
        services = records(listener, "Services")
        if port in ports:
            return f"port {port} declared on two listeners"
        ports.add(port)
        if protocol not in _PROTOCOLS:
            return f"protocol must be 'tcp', 'http', 'http2', or 'grpc'. '{protocol}' is an unsupported protocol"
        if not services:
            return f"No service declared for listener with port {port}"
        on_port = f"(listener on port {port})"
        if protocol != "http" and len(services) > 1:
            return f"{_MULTIPLE} {on_port}"
        fault = _services_fault(services, protocol, on_port, has_tls)
        if fault:
            return fault
    return ""


def _services_fault(services: list[Settings], protocol: str, on_port: str, has_tls: bool) -> str:
    names: set[str] = set()
    hosts: set[str] = set()
    for service in services:
        name, own_hosts = text(service, "Name"), texts(service, "Hosts")
        fault = _service_fault(name, own_hosts, protocol)
        if not fault and name in names:
            fault = f"Service {name} cannot be added multiple times"
        if fault:
            return f"{fault} {on_port}"
        names.add(name)
        for host in own_hosts:
            if host in hosts:
                return f"Hosts must be unique within a specific listener {on_port}"
            hosts.add(host)
            fault = _host_fault(host, has_tls)
            if fault:
                return fault
    return ""


def _service_fault(name: str, hosts: list[str], protocol: str) -> str:
    if protocol == "tcp" and name == WILDCARD:
        return "Wildcard service name is only valid for protocol = 'http'"
    if protocol == "tcp" and hosts:
        return f"Associating hosts to a service is not supported for the {protocol} protocol"
    if not name:
        return "Service name cannot be blank"
    if name == WILDCARD and hosts:
        return "Associating hosts to a wildcard service is not supported"
    return ""


def _host_fault(host: str, has_tls: bool) -> str:
    if host == WILDCARD:
        if not has_tls:
            return ""
        return "Host '*' is not allowed when TLS is enabled, all hosts must be valid DNS records to add as a DNSSAN"
    labels = host.encode().removesuffix(b".").split(b".")
    if len(host) > _MAX_NAME or not all(0 < len(label) <= _MAX_LABEL for label in labels):
        return f"Host {quote(host)} must be a valid DNS hostname"
    if WILDCARD in host.removeprefix("*."):
        return f"Host {quote(host)} is not valid, a wildcard specifier is only allowed as the leftmost label"
    return ""


def terminating_fault(_: str, settings: Settings) -> str:
    """What is wrong with a terminating gateway, or an empty string."""
    names = set()
    for service in records(settings, "Services"):
        name = text(service, "Name")
        if not name:
            return "Service name cannot be blank."
        if name in names:
            return f"Service {quote(name)} was specified more than once within a namespace"
        names.add(name)
        files = [text(service, field) for field in ("CAFile", "CertFile", "KeyFile")]
        if any(files[1:]) and not all(files):
            return f"Service {quote(name)} must have a CertFile, CAFile, and KeyFile specified for TLS origination"
    return ""
