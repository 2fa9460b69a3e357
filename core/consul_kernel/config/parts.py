"""Which parts an agent is made of: the defaults, and what plugin blocks say instead."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, replace

from consul_kernel.contracts.plugin import PluginKind

from .blocks import PluginBlock
from .merged import Merged
from .problems import ProblemLog

_DEFAULTS = {
    PluginKind.TRANSPORT: "tcp",
    PluginKind.MEMBERSHIP: "swim",
    PluginKind.CONSENSUS: "raft",
}
DEFAULT_CIPHER = "nacl"
DEFAULT_INTERFACES = ("http", "dns")
KEY_LENGTHS = (16, 24, 32)


@dataclass(frozen=True, slots=True)
class ChosenParts:
    """Blocks by what they are for. The order of `dns_answers` is that of the agent file, and counts."""

    single: Mapping[PluginKind, PluginBlock]
    interfaces: tuple[PluginBlock, ...]
    dns_answers: tuple[PluginBlock, ...]


def choose_parts(
    merged: Merged, problems: ProblemLog, *, has_data_dir: bool, has_keyring: bool, sockets: Mapping[str, str]
) -> ChosenParts:
    """The parts; the interfaces of `sockets` are told theirs as `address`.

    `has_keyring`: gossip keys were kept at an earlier start, and gossip stays sealed though no file says so any more.
    """
    parts = {kind: PluginBlock(kind, name) for kind, name in _DEFAULTS.items()}
    parts[PluginKind.STORE] = PluginBlock(PluginKind.STORE, "disk" if has_data_dir else "memory")
    if merged.text("encrypt") or has_keyring:
        parts[PluginKind.CIPHER] = PluginBlock(PluginKind.CIPHER, DEFAULT_CIPHER)
    interfaces = {name: PluginBlock(PluginKind.INTERFACE, name) for name in DEFAULT_INTERFACES}
    dns_answers = []
    for (kind, name), block in merged.blocks.items():
        enabled, stripped = _enabled(block, problems)
        if kind is PluginKind.INTERFACE:
            if enabled:
                interfaces[name] = stripped
            else:
                interfaces.pop(name, None)
        elif kind is PluginKind.DNS_ANSWER:
            dns_answers += [stripped] if enabled else []
        elif enabled:
            parts[kind] = stripped
        elif kind is PluginKind.CIPHER:
            parts.pop(kind, None)
        else:
            problems.error(
                "an agent needs this part; name another plugin instead of disabling it",
                block.positions.get("enabled", block.source),
                key=f"{block.path}.enabled",
            )
    with_sockets = (_with_socket(block, sockets.get(name, "")) for name, block in interfaces.items())
    return ChosenParts(parts, tuple(with_sockets), tuple(dns_answers))


def _with_socket(block: PluginBlock, socket: str) -> PluginBlock:
    if not socket or "address" in block.options:
        return block
    return replace(block, options={**block.options, "address": socket})


def _enabled(block: PluginBlock, problems: ProblemLog) -> tuple[bool, PluginBlock]:
    """Whether the block says `enabled = false`, and the block without that word."""
    if "enabled" not in block.options:
        return True, block
    options = {key: value for key, value in block.options.items() if key != "enabled"}
    enabled = block.options["enabled"]
    if not isinstance(enabled, bool):
        problems.error(
            "expected true or false", block.positions.get("enabled", block.source), key=f"{block.path}.enabled"
        )
        enabled = True
    return enabled, replace(block, options=options)


def read_encrypt(merged: Merged, problems: ProblemLog) -> bytes | None:
    """The gossip key, or None. Its text never appears in a message."""
    text = merged.text("encrypt")
    if not text:
        return None
    position = merged.position("encrypt")
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        problems.error("has invalid key: not base64; make one with consul-kernel keygen", position, key="encrypt")
        return None
    if len(key) not in KEY_LENGTHS:
        problems.error(
            f"has invalid key: {len(key)} bytes, where 16, 24 or 32 are expected; make one with consul-kernel keygen",
            position,
            key="encrypt",
        )
        return None
    return key
