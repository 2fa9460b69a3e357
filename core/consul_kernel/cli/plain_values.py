"""Configuration trees as plain values."""

from __future__ import annotations

from typing import Any

from consul_kernel.config.tree import Listing, Node, Scalar


def to_plain(node: Node) -> Any:
    """Dicts, lists and scalars; the values of a key that comes more than once become a list."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Listing):
        return [to_plain(item) for item in node.items]
    plain: dict[str, Any] = {}
    seen: dict[str, int] = {}
    for entry in node.entries:
        value = to_plain(entry.value)
        seen[entry.key] = seen.get(entry.key, 0) + 1
        if seen[entry.key] == 1:
            plain[entry.key] = value
        elif seen[entry.key] == 2:
            plain[entry.key] = [plain[entry.key], value]
        else:
            plain[entry.key].append(value)
    return plain
