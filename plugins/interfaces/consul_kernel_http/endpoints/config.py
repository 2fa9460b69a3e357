"""`/v1/config`: configuration entries."""

from __future__ import annotations

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.config_entry import ConfigEntry, ConfigEntryOp, ConfigEntryQuery, ConfigEntryRequest
from consul_kernel.structs.config_kinds import decode_entry, require_kind, show_entry
from consul_kernel.structs.config_kinds.kinds import MESH
from consul_kernel.structs.go_json import decode_json
from consul_kernel.structs.go_quote import quote
from consul_kernel.structs.methods import (
    CONFIG_ENTRY_APPLY,
    CONFIG_ENTRY_DELETE,
    CONFIG_ENTRY_GET,
    CONFIG_ENTRY_LIST,
)
from consul_kernel_http.answer import Answer
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError, HttpError
from consul_kernel_http.options import UintError, parse_uint, read_options
from consul_kernel_http.reads import meta_head, read


async def write(exchange: Exchange) -> Answer:
    """Set an entry, with `cas` only if it was last changed then; whether that was done.

    As in Consul `dc` has no effect on writes.
    """
    body = await exchange.json_body()
    try:
        entry = decode_entry(decode_json(body))
    except RequestError as error:
        raise BadRequestError(f"Bad request: Request decoding failed: {error}") from None
    op = ConfigEntryOp.UPSERT
    cas = exchange.query.get("cas")
    if cas:
        op = ConfigEntryOp.UPSERT_CAS
        try:
            entry.modify_index = parse_uint(cas)
        except UintError as error:
            raise HttpError(500, str(error)) from None
    return exchange.json(await exchange.agent.call(CONFIG_ENTRY_APPLY, _write_request(exchange, op, entry)))


async def delete(exchange: Exchange) -> Answer:
    """Remove an entry, whether there is one or not."""
    kind, slash, name = exchange.suffix.partition("/")
    if not slash:
        raise HttpError(404, "Must provide both a kind and name to delete")
    try:
        require_kind(kind)
    except RequestError as error:
        raise BadRequestError(str(error)) from None
    entry = ConfigEntry(kind=kind, name=MESH if kind == MESH else name)
    await exchange.agent.call(CONFIG_ENTRY_DELETE, _write_request(exchange, ConfigEntryOp.DELETE, entry))
    return exchange.json({})


async def get(exchange: Exchange) -> Answer:
    """One entry, or all of a kind."""
    kind, slash, name = exchange.suffix.partition("/")
    request = read_options(exchange, ConfigEntryQuery(kind=kind, name=name))
    if slash:
        found = await read(exchange, CONFIG_ENTRY_GET, request)
        head = meta_head(found)
        if found.entry is None:
            text = f"Config entry not found for {quote(kind)} / {quote(name)}"
            raise HttpError(404, text, headers=head)
        return exchange.json(show_entry(found.entry), head)
    listed = await read(exchange, CONFIG_ENTRY_LIST, request)
    return exchange.json([show_entry(entry) for entry in listed.entries or []], meta_head(listed))


def _write_request(exchange: Exchange, op: ConfigEntryOp, entry: ConfigEntry) -> ConfigEntryRequest:
    return ConfigEntryRequest(token=exchange.token(), op=op, entry=entry)
