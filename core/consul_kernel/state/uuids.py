"""Ids that are UUIDs, and what Consul says of those that cannot be one.

Whatever has the form of one may be looked up; so an unknown session is no error, and a misspelt one is.
"""

from __future__ import annotations

import re

from consul_kernel.contracts.errors import RequestError

UUID_CHARACTERS = 36
MAX_HYPHENS = 4

_NOT_HEX = re.compile(rb"[^0-9a-fA-F]")


def require_uuid(text: str, about: str) -> None:
    """RequestError with the text of Consul's in-memory database (go-memdb's UUID index), behind what it is about."""
    octets = text.encode("utf-8", "surrogatepass")
    problem = _problem(octets)
    if problem:
        raise RequestError(f"{about}: index error: {problem}")


def _problem(octets: bytes) -> str:
    if len(octets) != UUID_CHARACTERS:
        return f"UUID must be {UUID_CHARACTERS} characters"
    hyphens = octets.count(b"-")
    if hyphens > MAX_HYPHENS:
        return f'UUID should have maximum of {MAX_HYPHENS} "-"; got {hyphens}'
    digits = octets.replace(b"-", b"")
    if len(digits) % 2:
        return "Input (without hyphens) must be even length"
    wrong = _NOT_HEX.search(digits)
    if wrong is None:
        return ""
    character = chr(wrong[0][0])
    shown = f" '{character}'" if character.isprintable() else ""
    return f"Invalid UUID: encoding/hex: invalid byte: U+{ord(character):04X}{shown}"
