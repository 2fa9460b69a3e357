"""`ConfigEntry.*`: settings of services and gateways that all agents share."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from consul_kernel.contracts.errors import RequestError, RpcError
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.server.config_entries import check_together, normalise, validate
from consul_kernel.state.commands import CommandType
from consul_kernel.state.config_entries import CONFIG_ENTRIES, config_entry_key
from consul_kernel.state.keys import fold
from consul_kernel.state.watches import CONFIG_ENTRY, CONFIG_KIND, TABLE, Topic
from consul_kernel.structs.config_entry import (
    ConfigEntry,
    ConfigEntryOp,
    ConfigEntryQuery,
    ConfigEntryRequest,
    ConfigEntryResponse,
    IndexedConfigEntries,
)
from consul_kernel.structs.config_kinds import require_kind
from consul_kernel.structs.methods import (
    CONFIG_ENTRY_APPLY,
    CONFIG_ENTRY_DELETE,
    CONFIG_ENTRY_GET,
    CONFIG_ENTRY_LIST,
)
from consul_kernel.structs.record import Empty

from .blocking import answer
from .context import EndpointContext


class ConfigEntryEndpoint:
    """Reads are answered from the state that this server has applied; writes go through the log, one after the other,

    since whether one fits depends on those before it.
    """

    def __init__(self, context: EndpointContext) -> None:
        self._context = context
        self._entries = context.state.config_entries
        self._turn = asyncio.Lock()

    def attach(self, table: EndpointTable) -> None:
        """Attach every method."""
        table.attach(CONFIG_ENTRY_APPLY, self.apply)
        table.attach(CONFIG_ENTRY_DELETE, self.delete)
        table.attach(CONFIG_ENTRY_GET, self.get)
        table.attach(CONFIG_ENTRY_LIST, self.list_entries)

    # --- writes ---

    async def apply(self, request: ConfigEntryRequest) -> bool:
        """Set an entry; whether that was done."""
        entry = _normal(request.entry)
        op = ConfigEntryOp.UPSERT_CAS if request.op == ConfigEntryOp.UPSERT_CAS else ConfigEntryOp.UPSERT
        async with self._turn:
            try:
                validate(entry)
                if op == ConfigEntryOp.UPSERT or self._is_current(entry):
                    check_together(self._entries, entry)
            except RequestError as error:
                raise RpcError(str(error)) from error
            return bool(await self._context.propose(CommandType.CONFIG_ENTRY, replace(request, op=op, entry=entry)))

    async def delete(self, request: ConfigEntryRequest) -> Empty:
        """Remove an entry, whether there is one or not."""
        entry = ConfigEntry(kind=request.entry.kind, name=_normal(request.entry).name)
        async with self._turn:
            try:
                if self._entries.get(entry.kind, entry.name)[1] is not None:
                    check_together(self._entries, entry, is_deleted=True)
            except RequestError as error:
                raise RpcError(str(error)) from error
            await self._context.propose(
                CommandType.CONFIG_ENTRY, replace(request, op=ConfigEntryOp.DELETE, entry=entry)
            )
        return Empty()

    def _is_current(self, entry: ConfigEntry) -> bool:
        """Whether a check-and-set finds what it expects; otherwise what it would write does not matter."""
        known = self._entries.get(entry.kind, entry.name)[1]
        return entry.modify_index == (known.modify_index if known is not None else 0)

    # --- reads ---

    async def get(self, request: ConfigEntryQuery) -> ConfigEntryResponse:
        """One entry."""
        _require_kind(request.kind)

        def read() -> ConfigEntryResponse:
            index, entry = self._entries.get(request.kind, request.name)
            return ConfigEntryResponse(index=index, entry=entry)

        def topics() -> tuple[Topic, ...]:
            return ((CONFIG_ENTRY, config_entry_key(request.kind, request.name)),)

        return await answer(self._context, request, read, topics)

    async def list_entries(self, request: ConfigEntryQuery) -> IndexedConfigEntries:
        """The entries of a kind, or all."""
        if request.kind:
            _require_kind(request.kind)
        topic: Topic = (CONFIG_KIND, fold(request.kind)) if request.kind else (TABLE, CONFIG_ENTRIES)

        def read() -> IndexedConfigEntries:
            index, entries = self._entries.of_kind(request.kind)
            return IndexedConfigEntries(index=index, kind=request.kind, entries=entries)

        return await answer(self._context, request, read, lambda: (topic,))


def _normal(entry: ConfigEntry) -> ConfigEntry:
    try:
        return normalise(entry)
    except RequestError as error:
        raise RpcError(str(error)) from error


def _require_kind(kind: str) -> None:
    try:
        require_kind(kind)
    except RequestError as error:
        raise RpcError(str(error)) from error
