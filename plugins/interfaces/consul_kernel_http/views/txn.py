"""Answers to transactions: for each operation that has something to tell, one of four kinds of record.

Unlike elsewhere, lists that were not given are `null`: Consul shows these records as they are.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from consul_kernel.structs.record import go_name
from consul_kernel.structs.txn import TxnError, TxnReadResponse, TxnResponse, TxnResult

from .check import CheckView, check_view
from .kv import DirEntryView, dir_entry_view
from .node import NodeView, node_view
from .service import NodeServiceView, node_service_view


class TxnResultView(msgspec.Struct, rename=go_name, gc=False):
    """What one operation tells: one of these."""

    kv: DirEntryView | UnsetType = UNSET
    node: NodeView | UnsetType = UNSET
    service: NodeServiceView | UnsetType = UNSET
    check: CheckView | UnsetType = UNSET


class TxnView(msgspec.Struct, rename=go_name, gc=False):
    """The answer to a transaction with writes."""

    results: list[TxnResultView] | None
    errors: list[TxnError] | None


class TxnReadView(msgspec.Struct, rename=go_name, gc=False):
    """The answer to a transaction without writes, with what a reply says of itself."""

    results: list[TxnResultView] | None
    errors: list[TxnError] | None
    index: int
    last_contact: int
    known_leader: bool
    consistency_level: str
    not_modified: bool
    backend: int


def txn_view(reply: TxnResponse) -> TxnView:
    """One answer."""
    return TxnView(_results(reply.results), reply.errors)


def txn_read_view(reply: TxnReadResponse) -> TxnReadView:
    """One answer."""
    return TxnReadView(
        _results(reply.results),
        reply.errors,
        reply.index,
        reply.last_contact,
        reply.known_leader,
        reply.consistency_level,
        reply.not_modified,
        reply.backend,
    )


def _results(results: list[TxnResult] | None) -> list[TxnResultView] | None:
    return None if results is None else [_result(result) for result in results]


def _result(result: TxnResult) -> TxnResultView:
    if result.kv is not None:
        return TxnResultView(kv=dir_entry_view(result.kv))
    if result.node is not None:
        return TxnResultView(node=node_view(result.node))
    if result.service is not None:
        service = node_service_view(result.service)
        service.tags = result.service.tags
        return TxnResultView(service=service)
    if result.check is not None:
        check = check_view(result.check)
        check.service_tags = result.check.service_tags
        return TxnResultView(check=check)
    return TxnResultView()
