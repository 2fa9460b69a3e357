"""Entries of `/v1/kv`."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from consul_kernel.structs.kv import DirEntry, IndexedKeyChanges
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


class KeyChangesView(msgspec.Struct, rename=go_name):
    """What has changed since an index: first the deleted, then the entries. A whole replaces all that was there."""

    index: int
    whole: bool
    entries: list[DirEntryView]
    deleted: list[str]
    deleted_prefixes: list[str]


def key_changes_view(reply: IndexedKeyChanges) -> KeyChangesView:
    """One answer."""
    return KeyChangesView(
        reply.index,
        reply.is_whole,
        [dir_entry_view(entry) for entry in reply.entries or ()],
        [key.decode() for key in reply.deleted or ()],
        [prefix.decode() for prefix in reply.deleted_prefixes or ()],
    )
