"""From what a user writes as an address to where it is."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence

from consul_kernel.contracts.errors import MembershipError
from consul_kernel.contracts.transport import Address

MAX_ADDRESSES_PER_NAME = 64


def split_host_port(text: str, default_port: int) -> tuple[str, int]:
    """`host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address. Raises ValueError for a bad port."""
    text = text.strip()
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, int(rest.removeprefix(":")) if rest else default_port
    if text.count(":") == 1:
        host, port = text.split(":")
        return host, int(port) if port else default_port
    return text, default_port


async def resolve(text: str, default_port: int) -> Sequence[Address]:
    """Every address behind an address or a name. Raises MembershipError with Consul's text where there is none."""
    try:
        host, port = split_host_port(text, default_port)
    except ValueError as error:
        raise MembershipError(f"Failed to resolve {text}: {error}") from None
    if not 0 < port < 65536:
        raise MembershipError(f"Failed to resolve {text}: invalid port")
    try:
        return [Address(str(ipaddress.ip_address(host)), port)]
    except ValueError:
        pass
    if not host:
        raise MembershipError(f"Failed to resolve {text}: lookup {host}: no such host")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise MembershipError(f"Failed to resolve {text}: lookup {host}: no such host") from None
    unique = dict.fromkeys(Address(str(sockaddr[0]), port) for *_, sockaddr in found)
    return list(unique)[:MAX_ADDRESSES_PER_NAME]
