"""`/v1/kv/:key`."""

from __future__ import annotations

from consul_kernel.structs.kv import DirEntry, KeyListRequest, KeyRequest, KVOp, KVSRequest
from consul_kernel.structs.methods import KVS_APPLY, KVS_GET, KVS_LIST, KVS_LIST_KEYS
from consul_kernel_http.answer import Answer
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError, HttpError
from consul_kernel_http.gojson import text_of
from consul_kernel_http.options import UintError, parse_uint, read_options
from consul_kernel_http.reads import meta_head, read, read_at_once
from consul_kernel_http.target import EMPTY_QUERY
from consul_kernel_http.views.kv import dir_entry_view

from . import kv_changes

_SHARED_VALUE_OCTETS = 4096
"""Entries with longer values are decoded anew for each read, so none of them would be met again."""
_RAW_HEAD = b"Content-Type: text/plain\r\nX-Content-Type-Options: nosniff\r\nContent-Security-Policy: sandbox\r\n"


async def get(exchange: Exchange) -> Answer:
    """One entry, all under a prefix (`recurse`), names only (`keys`), or one value as it is (`raw`)."""
    query = exchange.query
    recurse = raw = False
    if query is not EMPTY_QUERY:
        if "keys" in query:
            return await _get_keys(exchange)
        recurse, raw = "recurse" in query, "raw" in query
        if recurse and "since" in query:
            return await kv_changes.changes(exchange)
    request = read_options(exchange, KeyRequest(key=exchange.suffix_octets))
    if not recurse and not request.key:
        raise BadRequestError("Missing key name")
    if recurse:
        reply = await read(exchange, KVS_LIST, request)
    else:
        reply = read_at_once(exchange, KVS_GET, request) or await read(exchange, KVS_GET, request)
    head = meta_head(reply)
    entries = reply.entries
    if not entries:
        return exchange.empty(head, status=404)
    if raw and not recurse:
        return exchange.octets(entries[0].value or b"", _RAW_HEAD + head)
    if recurse:
        return exchange.json([dir_entry_view(entry) for entry in entries], head)
    entry = entries[0]
    if len(entry.value or b"") > _SHARED_VALUE_OCTETS:
        return exchange.json([dir_entry_view(entry)], head)
    return exchange.shared_json(entry, "entry", lambda: [dir_entry_view(entry)], head)


async def _get_keys(exchange: Exchange) -> Answer:
    separator = exchange.query.get("separator") or exchange.query.get("seperator")
    request = KeyListRequest(prefix=exchange.suffix_octets, seperator=separator)
    reply = await read(exchange, KVS_LIST_KEYS, read_options(exchange, request))
    head = meta_head(reply)
    if not reply.keys:
        return exchange.empty(head, status=404)
    return exchange.json([text_of(key) for key in reply.keys], head)


async def put(exchange: Exchange) -> Answer:
    """Set a value, when `cas` allows it or a session (`acquire`, `release`) holds the key."""
    request = _write_request(exchange, KVOp.SET, ("cas", "acquire", "release"))
    entry = request.dir_ent
    if not entry.key:
        raise BadRequestError("Missing key name")
    query = exchange.query
    if query:
        if "flags" in query:
            entry.flags = _number(query.get("flags"))
        if "cas" in query:
            entry.modify_index = _number(query.get("cas"))
            request.op = KVOp.CAS
        if "acquire" in query:
            entry.session = query.get("acquire")
            request.op = KVOp.LOCK
        if "release" in query:
            entry.session = query.get("release")
            request.op = KVOp.UNLOCK
    body = await exchange.body(exchange.site.limits.kv_max_value_size, "kv_max_value_size")
    entry.value = body or None
    done = await exchange.agent.call(KVS_APPLY, request)
    return exchange.done() if request.op == KVOp.SET else exchange.json(done)


async def delete(exchange: Exchange) -> Answer:
    """Delete a key, when `cas` allows it, or everything under a prefix (`recurse`)."""
    request = _write_request(exchange, KVOp.DELETE, ("recurse", "cas"))
    query = exchange.query
    if not request.dir_ent.key and "recurse" not in query:
        raise BadRequestError("Missing key name")
    if "recurse" in query:
        request.op = KVOp.DELETE_TREE
    if "cas" in query:
        request.dir_ent.modify_index = _number(query.get("cas"))
        request.op = KVOp.DELETE_CAS
    done = await exchange.agent.call(KVS_APPLY, request)
    return exchange.json(done if request.op == KVOp.DELETE_CAS else True)


def _write_request(exchange: Exchange, op: KVOp, exclusive: tuple[str, ...]) -> KVSRequest:
    query = exchange.query
    if query:
        # Consul reads the options of a read here too, and refuses those that contradict each other.
        read_options(exchange, KeyRequest())
        if sum(name in query for name in exclusive) > 1:
            raise BadRequestError(f"Conflicting flags: {query.encoded()}")
    return KVSRequest(
        datacenter=exchange.datacenter(),
        token=exchange.token(),
        op=op,
        dir_ent=DirEntry(key=exchange.suffix_octets),
    )


def _number(text: str) -> int:
    try:
        return parse_uint(text)
    except UintError as error:
        raise HttpError(500, str(error)) from None
