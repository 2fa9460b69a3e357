"""`KVS.*`: keys and values."""

from __future__ import annotations

from consul_kernel.contracts.errors import RpcError
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.state.commands import CommandType
from consul_kernel.state.kv_changes import Changes, changes_under
from consul_kernel.state.watches import KEY, KEY_PREFIX
from consul_kernel.structs.kv import (
    IndexedDirEntries,
    IndexedKeyChanges,
    IndexedKeyList,
    KeyChangesRequest,
    KeyListRequest,
    KeyRequest,
    KVOp,
    KVSRequest,
)
from consul_kernel.structs.methods import KVS_APPLY, KVS_GET, KVS_LIST, KVS_LIST_CHANGES, KVS_LIST_KEYS
from consul_kernel.structs.query import QueryMeta

from .blocking import answer, describe, is_immediate
from .context import EndpointContext

OPERATIONS = frozenset(KVOp)
CONDITIONAL = (KVOp.CAS, KVOp.DELETE_CAS, KVOp.LOCK, KVOp.UNLOCK)
"""Only these answer whether they took effect."""


class KVS:
    """Reads are answered from the state that this server has applied; writes go through the log."""

    def __init__(self, context: EndpointContext) -> None:
        self._context = context
        self._kv = context.state.kv

    def attach(self, table: EndpointTable) -> None:
        """Attach every method."""
        table.attach(KVS_APPLY, self.apply)
        table.attach(KVS_GET, self.get, self.get_at_once)
        table.attach(KVS_LIST, self.list)
        table.attach(KVS_LIST_CHANGES, self.list_changes)
        table.attach(KVS_LIST_KEYS, self.list_keys)

    async def apply(self, request: KVSRequest) -> bool:
        """Carry out a write; the reply says whether a check-and-set took effect, and is false for the rest."""
        if request.op not in OPERATIONS:
            raise RpcError(f"Invalid KVS operation '{request.op}'")
        if not request.dir_ent.key and request.op != KVOp.DELETE_TREE:
            raise RpcError("Must provide key")
        if request.op == KVOp.LOCK and self._context.state.lock_delays.holds(request.dir_ent.key):
            return False
        took_effect = await self._context.propose(CommandType.KVS, request, refused="raft apply failed: ")
        return took_effect is True and request.op in CONDITIONAL

    async def get(self, request: KeyRequest) -> IndexedDirEntries:
        """One key. An absent one answers with the index of the last change to any key."""
        return self.get_at_once(request) or await answer(
            self._context,
            request,
            lambda: self._get(request.key),
            lambda: ((KEY, request.key),),
            is_absent=lambda reply: reply.entries is None,
        )

    def get_at_once(self, request: KeyRequest) -> IndexedDirEntries | None:
        """The same where nothing is to be waited for."""
        return describe(self._context, self._get(request.key)) if is_immediate(request) else None

    def _get(self, key: bytes) -> IndexedDirEntries:
        entry = self._kv.get(key)
        if entry is None:
            return IndexedDirEntries(index=self._kv.max_index())
        return IndexedDirEntries(entries=[entry], index=entry.modify_index)

    async def list(self, request: KeyRequest) -> IndexedDirEntries:
        """All entries under a prefix."""
        if is_immediate(request):
            return describe(self._context, self._list(request.key))
        return await answer(
            self._context, request, lambda: self._list(request.key), lambda: ((KEY_PREFIX, request.key),)
        )

    def _list(self, prefix: bytes) -> IndexedDirEntries:
        index, entries = self._kv.entries(prefix)
        return IndexedDirEntries(entries=entries or None, index=index)

    async def list_changes(self, request: KeyChangesRequest) -> IndexedKeyChanges:
        """What has changed under a prefix since an index."""
        if is_immediate(request):
            return describe(self._context, _indexed(self._changes(request)))
        seen = Changes(0, False, [])

        def progress() -> QueryMeta:
            """An index that ends the wait when there is something to tell."""
            nonlocal seen
            seen = self._changes(request)
            return QueryMeta(index=request.min_query_index + seen.has_news)

        meta = await answer(self._context, request, progress, lambda: ((KEY_PREFIX, request.key),))
        # After a wait in vain it is read as of this moment: so `since` never falls behind what is remembered.
        reply = _indexed(seen if seen.has_news else self._changes(request))
        reply.known_leader, reply.last_contact = meta.known_leader, meta.last_contact
        return reply

    def _changes(self, request: KeyChangesRequest) -> Changes:
        return changes_under(self._context.state.reader, request.key, request.since)

    async def list_keys(self, request: KeyListRequest) -> IndexedKeyList:
        """All key names under a prefix, cut behind the separator."""
        if is_immediate(request):
            return describe(self._context, self._list_keys(request))
        return await answer(
            self._context, request, lambda: self._list_keys(request), lambda: ((KEY_PREFIX, request.prefix),)
        )

    def _list_keys(self, request: KeyListRequest) -> IndexedKeyList:
        index, keys = self._kv.keys(request.prefix, request.seperator.encode("utf-8", "surrogatepass"))
        return IndexedKeyList(keys=keys or None, index=index)


def _indexed(changes: Changes) -> IndexedKeyChanges:
    return IndexedKeyChanges(
        index=max(changes.index, 1),
        is_whole=changes.is_whole,
        entries=changes.entries or None,
        deleted=changes.deleted or None,
        deleted_prefixes=changes.deleted_prefixes or None,
    )
