"""Entries of `/v1/kv`."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from consul_kernel.structs.kv import DirEntry
from consul_kernel.structs.record import go_name
from consul_kernel_http.gojson import text_of


class DirEntryView(msgspec.Struct, rename=go_name, gc=False):
    """One key. An empty value is `null`; a session is shown only while it holds the key."""

    lock_index: int
    key: str
    flags: int
    value: bytes | None
    session: str | UnsetType
    create_index: int
    modify_index: int


def dir_entry_view(entry: DirEntry) -> DirEntryView:
    """One entry."""
    return DirEntryView(
        entry.lock_index,
        text_of(entry.key),
        entry.flags,
        entry.value or None,
        entry.session or UNSET,
        entry.create_index,
        entry.modify_index,
    )
