"""Base64 as Go's `base64.StdEncoding` reads it, with its error texts, which Consul's answers show."""

from __future__ import annotations

import base64
import re

from consul_kernel.contracts.errors import RequestError

_WHOLE = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
_ALPHABET = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_LINE_BREAKS = b"\r\n"


def decode_base64(text: str) -> bytes:
    """The octets. Raises RequestError: `illegal base64 data at input byte 4`. Line breaks anywhere are passed over."""
    data = text.encode("utf-8", "surrogatepass")
    if len(data) % 4 or not _WHOLE.fullmatch(data):
        fault = _first_fault(data)
        if fault is not None:
            raise RequestError(f"illegal base64 data at input byte {fault}")
        data = data.translate(None, _LINE_BREAKS)
    return base64.b64decode(data)


def _first_fault(data: bytes) -> int | None:
    """The offset that Go names, or None when all is well. Looks at one group of four characters after the other."""
    at = 0
    while True:
        for place in range(4):
            at = _skip(data, at)
            if at == len(data):
                return at - place if place else None
            char = data[at]
            at += 1
            if char in _ALPHABET:
                continue
            if char != ord("=") or place < 2:
                return at - 1
            return _fault_behind_padding(data, at, place)


def _fault_behind_padding(data: bytes, at: int, place: int) -> int | None:
    """Behind the first `=`: another one where two characters came before it, and then nothing more."""
    at = _skip(data, at)
    if place == 2:
        if at == len(data):
            return at
        if data[at] != ord("="):
            return at - 1
        at = _skip(data, at + 1)
    return at if at < len(data) else None


def _skip(data: bytes, at: int) -> int:
    while at < len(data) and data[at] in _LINE_BREAKS:
        at += 1
    return at
