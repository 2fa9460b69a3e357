"""What metadata of nodes and services may be (Consul: `structs.ValidateMetadata`)."""

from __future__ import annotations

import re
from collections.abc import Mapping

MAX_PAIRS = 64
MAX_KEY_LENGTH = 128
MAX_VALUE_LENGTH = 512
_RESERVED_PREFIX = "consul-"
_KEY = re.compile(r"[A-Za-z0-9_-]+")


def metadata_fault(meta: Mapping[str, str], *, allows_reserved: bool = False) -> str:
    """What is wrong with node or service metadata, in Consul's words, or an empty string."""
    if len(meta) > MAX_PAIRS:
        return f"Node metadata cannot contain more than {MAX_PAIRS} key/value pairs"
    for key, value in meta.items():
        fault = _pair_fault(key, value, allows_reserved)
        if fault:
            return f"Couldn't load metadata pair ('{key}', '{value}'): {fault}"
    return ""


def _pair_fault(key: str, value: str, allows_reserved: bool) -> str:
    if not key:
        return "Key cannot be blank"
    if not _KEY.fullmatch(key):
        return "Key contains invalid characters"
    if len(key) > MAX_KEY_LENGTH:
        return f"Key is too long (limit: {MAX_KEY_LENGTH} characters)"
    if key.startswith(_RESERVED_PREFIX) and not allows_reserved:
        return f"Key prefix '{_RESERVED_PREFIX}' is reserved for internal use"
    if len(value) > MAX_VALUE_LENGTH:
        return f"Value is too long (limit: {MAX_VALUE_LENGTH} characters)"
    return ""
