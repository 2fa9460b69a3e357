"""Sockets and their addresses: numeric hosts only, so that nothing here ever asks a name server."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from functools import lru_cache
from typing import Any

from consul_kernel.contracts.errors import PluginStartError
from consul_kernel.contracts.transport import Address

RECEIVE_BUFFER_BYTES = 2 * 1024 * 1024
"""Asked of the kernel for packets, which arrive in bursts; it grants what its own limit allows."""

KEEPALIVE_S = 15
"""Idle time before the kernel asks whether the peer's machine is still there, and between its questions, as in Go."""

KEEPALIVE_PROBES = 9
"""Questions without an answer after which the kernel ends the connection."""

_MAPPED = "::ffff:"


@lru_cache(maxsize=4096)
def family_of(host: str) -> socket.AddressFamily | None:
    """AF_INET or AF_INET6 for a numeric address, None for anything else."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return socket.AF_INET if version == 4 else socket.AF_INET6


@lru_cache(maxsize=4096)
def socket_address(family: int, host: str, port: int) -> tuple[Any, ...] | None:
    """What a socket of `family` is given to reach `host`; None when it cannot be reached from it."""
    numeric = family_of(host)
    if numeric is None or not 0 < port < 65536:
        return None
    if family == socket.AF_INET6 and numeric == socket.AF_INET:
        return (_MAPPED + host, port, 0, 0)
    if family != numeric:
        return None
    if "%" not in host:
        return (host, port) if family == socket.AF_INET else (host, port, 0, 0)
    try:
        found = socket.getaddrinfo(host, port, numeric, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)
    except OSError:
        return None
    return found[0][4]


def to_address(name: Any) -> Address:
    """An `Address` from what the socket module returns; IPv4 seen through an IPv6 socket is shown as IPv4."""
    host: str = name[0]
    if host.startswith(_MAPPED) and "." in host:
        host = host[len(_MAPPED) :]
    return Address(host, name[1])


def bind_socket(kind: socket.SocketKind, bind: Address) -> socket.socket:
    """A bound, non-blocking socket. `::` also takes IPv4, as in Go; raises PluginStartError."""
    purpose = "TCP" if kind == socket.SOCK_STREAM else "UDP"
    family = family_of(bind.host)
    if family is None:
        raise PluginStartError(f"cannot bind {purpose} {bind}: {bind.host!r} is not an IP address")
    sock = None
    try:
        sock = socket.socket(family, kind)
        sock.setblocking(False)
        if kind == socket.SOCK_STREAM:
            # Without it a restarted agent waits a minute for connections in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(bind.host != "::"))
        sock.bind((bind.host, bind.port))
    except (OSError, OverflowError) as error:
        if sock is not None:
            sock.close()
        raise PluginStartError(f"cannot bind {purpose} {bind}: {cause_of(error)}") from error
    return sock


def keep_alive(sock: Any) -> None:
    """Have the kernel watch over a connection: a machine that lost its power or its network ends nothing itself."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "darwin":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPALIVE, KEEPALIVE_S)
    else:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)


def cause_of(error: Exception) -> str:
    """The operating system's words for an error, without what asyncio puts around them."""
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else str(error)
