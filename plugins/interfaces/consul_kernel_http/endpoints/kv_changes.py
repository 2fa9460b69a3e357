"""`/v1/kv/:prefix?recurse&since=:index`: what has changed, in place of everything. Consul has nothing like it."""

from __future__ import annotations

from consul_kernel.structs.kv import IndexedKeyChanges, KeyChangesRequest
from consul_kernel.structs.methods import KVS_LIST_CHANGES
from consul_kernel_http.answer import Answer
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError
from consul_kernel_http.options import UintError, parse_uint, read_options
from consul_kernel_http.reads import meta_head, read
from consul_kernel_http.views.kv import key_changes_view


async def changes(exchange: Exchange) -> Answer:
    """What has changed under a prefix after the index `since`; with `wait` or `index`, once there is something."""
    request = KeyChangesRequest(key=exchange.suffix_octets, since=_since(exchange))
    read_options(exchange, request)
    # What is waited for is a change after `since`, whatever `index` is.
    waits = request.min_query_index > 0 or request.max_query_time > 0
    request.min_query_index = request.since if waits else 0
    reply = await read(exchange, KVS_LIST_CHANGES, request)
    if not _can_be_shown(reply):
        request.min_query_index = request.since = 0
        reply = await read(exchange, KVS_LIST_CHANGES, request)
    return exchange.json(key_changes_view(reply), meta_head(reply))


def _since(exchange: Exchange) -> int:
    try:
        return parse_uint(exchange.query.get("since"))
    except UintError:
        raise BadRequestError("Invalid since") from None


def _can_be_shown(reply: IndexedKeyChanges) -> bool:
    """Whether every deleted name is text. One that is not looks like others, which a client would delete as well."""
    try:
        for name in (*(reply.deleted or ()), *(reply.deleted_prefixes or ())):
            name.decode()
    except UnicodeDecodeError:
        return False
    return True
