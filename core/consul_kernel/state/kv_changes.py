"""What has changed under a prefix since an index: the entries that were written, and what was deleted.

Whoever has the entries of then, takes out what was deleted and puts in what was written has the entries of now. Where
the deletions since then are not all known any more, or the state was never at that index, the answer is the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from consul_kernel.structs.kv import DirEntry

from .kv import KVS, entries_since, entries_under
from .tables import Reader, table_index
from .tombstones import TOMBSTONES, deleted_keys, deleted_trees, horizon


@dataclass(slots=True)
class Changes:
    """Entries in the order of their keys, deleted keys and prefixes in that of their octets.

    The deleted go first: an entry under a deleted prefix was written after that. `index` is what to ask with next.
    """

    index: int
    is_whole: bool
    entries: list[DirEntry]
    deleted: list[bytes] = field(default_factory=list)
    deleted_prefixes: list[bytes] = field(default_factory=list)

    @property
    def has_news(self) -> bool:
        """Whether there is anything to tell."""
        return self.is_whole or bool(self.entries or self.deleted or self.deleted_prefixes)


def changes_under(reader: Reader, prefix: bytes, since: int) -> Changes:
    """What has changed under a prefix after an index."""
    known_from = horizon(reader)
    index = max(table_index(reader, KVS, TOMBSTONES), known_from)
    if not _is_remembered(since, known_from, index):
        return Changes(index, True, entries_under(reader, prefix))
    written = entries_since(reader, prefix, since)
    trees = _clipped_trees(reader, prefix, since)
    again = {entry.key for entry in written}
    deleted = [
        key
        for key in deleted_keys(reader, since)
        if key.startswith(prefix) and key not in again and not key.startswith(trees)
    ]
    return Changes(index, False, written, sorted(deleted), list(trees))


def _is_remembered(since: int, known_from: int, index: int) -> bool:
    """Whether all deletions after `since` are known. Nobody has read anything at 0, or at what is still to come."""
    return 0 < since <= index and since >= known_from


def _clipped_trees(reader: Reader, prefix: bytes, since: int) -> tuple[bytes, ...]:
    """The deleted trees as far as they lie under a prefix, without those inside of others."""
    found: list[bytes] = []
    for tree in sorted({max(tree, prefix, key=len) for tree in deleted_trees(reader, since) if _overlap(tree, prefix)}):
        if not found or not tree.startswith(found[-1]):
            found.append(tree)
    return tuple(found)


def _overlap(tree: bytes, prefix: bytes) -> bool:
    return tree.startswith(prefix) or prefix.startswith(tree)
