"""The descriptor by which a plugin of any kind introduces itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec

from .simulation import Simulation

API_VERSION = 1
"""The version of the contracts in this package. A descriptor says for which it was written."""

SUPPORTED_API_VERSIONS = range(1, API_VERSION + 1)


class PluginKind(StrEnum):
    """The kinds of plugin; each is an entry-point group, and all but `check` are also an HCL block.

    A check is chosen by the key of its definition, which is its plugin's name.
    """

    TRANSPORT = "transport"
    CIPHER = "cipher"
    MEMBERSHIP = "membership"
    CONSENSUS = "consensus"
    STORE = "store"
    INTERFACE = "interface"
    CHECK = "check"
    DNS_ANSWER = "dns_answer"

    @property
    def entry_point_group(self) -> str:
        """The entry-point group in which distributions offer plugins of this kind."""
        return _GROUPS[self]

    @property
    def register_hook(self) -> str:
        """The hook that a plugin of this kind implements to return its descriptor."""
        return f"consul_kernel_register_{self.value}"


SEVERAL = frozenset({PluginKind.INTERFACE, PluginKind.DNS_ANSWER})
"""The kinds of which an agent may have more than one part, or none."""

_GROUPS = {
    PluginKind.TRANSPORT: "consul_kernel.transports",
    PluginKind.CIPHER: "consul_kernel.ciphers",
    PluginKind.MEMBERSHIP: "consul_kernel.memberships",
    PluginKind.CONSENSUS: "consul_kernel.consensuses",
    PluginKind.STORE: "consul_kernel.stores",
    PluginKind.INTERFACE: "consul_kernel.interfaces",
    PluginKind.CHECK: "consul_kernel.checks",
    PluginKind.DNS_ANSWER: "consul_kernel.dns_answers",
}


class PluginConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the records that plugin blocks are decoded into: `store "disk" { … }`, and a check's own keys.

    Fields are the block's keys. Every field has a default, so that an empty block is valid; a key the
    struct lacks is a configuration error, found before anything starts.
    """


class KeyFaultError(ValueError):
    """What a record's `__post_init__` raises about one key: the error then names that key, and its line in the file.

    `key` is the name of the field, for an item of a list with its number: `keys[1]`.
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(f"{key} {text}")
        self.key = key
        self.text = text


ContextT = TypeVar("ContextT")
ConfigT = TypeVar("ConfigT", bound=PluginConfig)
PartT = TypeVar("PartT")


# No slots: `StorePlugin(...)` calls a generic alias, which Python 3.11 cannot do with a slotted dataclass.
@dataclass(frozen=True, kw_only=True)
class Plugin(Generic[ContextT, PartT]):
    """One plugin: what it is called, what it was written for, and how it is made.

    `create(context, config)` is called once per agent (for membership and cipher once per pool, so twice
    on a server with a WAN pool, and for a check once per definition), does no I/O, and returns the part;
    `config` is an instance of `config_type`.
    `capabilities` names the optional abilities that the part has, as its contract lists them. `api` is the
    version of the contracts that the plugin was written for: a number, never `API_VERSION`, which is the
    installed kernel's.
    """

    name: str
    api: int
    create: Callable[[ContextT, Any], PartT]
    config_type: type[PluginConfig] = PluginConfig
    capabilities: frozenset[str] = field(default_factory=frozenset)
    summary: str = ""
    simulation: Callable[[], Simulation] | None = None
