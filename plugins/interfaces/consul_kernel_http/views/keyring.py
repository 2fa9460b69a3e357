"""The keys of a gossip pool."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from consul_kernel.structs.keyring import KeyringResponse
from consul_kernel.structs.record import go_name


class KeyringResponseView(msgspec.Struct, rename=go_name, gc=False):
    """One pool. What members complained of, and the error, are shown only where there is some."""

    wan: bool
    datacenter: str
    segment: str
    messages: Mapping[str, str] | UnsetType
    keys: Mapping[str, int] | None
    primary_keys: Mapping[str, int] | None
    num_nodes: int
    error: str | UnsetType


def keyring_response_view(response: KeyringResponse) -> KeyringResponseView:
    """One pool."""
    return KeyringResponseView(
        response.wan,
        response.datacenter,
        response.segment,
        response.messages or UNSET,
        response.keys,
        response.primary_keys,
        response.num_nodes,
        response.error or UNSET,
    )
