"""Keys and values."""

from __future__ import annotations

from enum import StrEnum

from msgspec import field

from .query import DatacenterRequest, QueryMeta, QueryOptions
from .record import RaftIndexed


class KVOp(StrEnum):
    """What `KVS.Apply` can do to a key."""

    SET = "set"
    DELETE = "delete"
    DELETE_CAS = "delete-cas"
    DELETE_TREE = "delete-tree"
    CAS = "cas"
    LOCK = "lock"
    UNLOCK = "unlock"


class DirEntry(RaftIndexed, kw_only=True, gc=False):
    """One key. Keys are octets: Consul's clients usually send UTF-8, but need not."""

    lock_index: int = 0
    key: bytes = b""
    flags: int = 0
    value: bytes | None = None
    session: str = ""


class KVSRequest(DatacenterRequest, kw_only=True):
    """A write. For `cas` and `delete-cas`, `dir_ent.modify_index` is the index expected; 0 means absent."""

    op: str = KVOp.SET
    dir_ent: DirEntry = field(default_factory=DirEntry)


class KeyRequest(QueryOptions, kw_only=True):
    """A read of one key, or of all under it as a prefix."""

    key: bytes = b""


class KeyChangesRequest(QueryOptions, kw_only=True):
    """A read of what has changed under a prefix after the index `since`. A blocking one waits until there is something.

    How it waits is not for `min_query_index` to say beyond that it does: what counts is `since`.
    """

    key: bytes = b""
    since: int = 0


class KeyListRequest(QueryOptions, kw_only=True):
    """A read of key names up to a separator. The field's name is spelt as Consul spells it."""

    prefix: bytes = b""
    seperator: str = ""


class IndexedDirEntries(QueryMeta, kw_only=True):
    """Entries in the order of their keys; None where a single key is absent."""

    entries: list[DirEntry] | None = None


class IndexedKeyChanges(QueryMeta, kw_only=True):
    """Entries that were written, keys and prefixes that were deleted before that; or, when `is_whole`, all entries.

    `index` is the next `since`.
    """

    is_whole: bool = False
    entries: list[DirEntry] | None = None
    deleted: list[bytes] | None = None
    deleted_prefixes: list[bytes] | None = None


class IndexedKeyList(QueryMeta, kw_only=True):
    """Key names in order."""

    keys: list[bytes] | None = None
