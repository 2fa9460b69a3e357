"""Connections that could not be made, in the words of Go's dialler, which operators know from Consul's checks."""

from __future__ import annotations

import os
import re
import socket

_ERRNO = re.compile(r"\[Errno (\d+)\]")


def dial_failure(host: str, port: object, error: OSError, *, network: str = "tcp") -> str:
    """`dial tcp 127.0.0.1:80: connect: connection refused`."""
    if isinstance(error, socket.gaierror):
        return f"dial {network}: lookup {host}: no such host"
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"dial {network} {target}: connect: {_reason(error)}"


def _reason(error: OSError) -> str:
    """The system's word for it; where several addresses were tried, that for the first."""
    number = error.errno
    if number is None:
        found = _ERRNO.search(str(error))
        number = int(found[1]) if found else None
    return (os.strerror(number) if number else str(error)).lower()
