"""Whatever is asked, the answer is a reply or an RpcError, and the state machine goes on."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.autopilot import AutopilotConfig, AutopilotSetConfigRequest
from consul_kernel.structs.catalog import DeregisterRequest, RegisterRequest
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.config_entry import ConfigEntry, ConfigEntryOp, ConfigEntryQuery, ConfigEntryRequest
from consul_kernel.structs.config_kinds import KINDS
from consul_kernel.structs.coordinate import Coordinate, CoordinateUpdateRequest
from consul_kernel.structs.event import EventFireRequest
from consul_kernel.structs.founding import FoundingRequest
from consul_kernel.structs.keyring import KeyringRequest
from consul_kernel.structs.kv import DirEntry, KeyChangesRequest, KeyListRequest, KeyRequest, KVOp, KVSRequest
from consul_kernel.structs.methods import METHODS
from consul_kernel.structs.node import Node
from consul_kernel.structs.operator import RaftRemovePeerRequest, TransferLeaderRequest
from consul_kernel.structs.prepared_query import (
    NAME_PREFIX_MATCH,
    PreparedQuery,
    PreparedQueryExecuteRemoteRequest,
    PreparedQueryExecuteRequest,
    PreparedQueryOp,
    PreparedQueryRequest,
    PreparedQuerySpecificRequest,
    QueryDns,
    QueryFailover,
    QueryTemplate,
    ServiceQuery,
)
from consul_kernel.structs.query import (
    ChecksInStateRequest,
    DatacenterRequest,
    DCSpecificRequest,
    NodeSpecificRequest,
    QueryOptions,
    ServiceSpecificRequest,
)
from consul_kernel.structs.record import Empty
from consul_kernel.structs.service import NodeService, Weights
from consul_kernel.structs.session import ServiceCheck, Session, SessionOp, SessionRequest, SessionSpecificRequest
from consul_kernel.structs.txn import (
    TxnCheckOp,
    TxnKVOp,
    TxnKVVerb,
    TxnNodeOp,
    TxnOp,
    TxnReadRequest,
    TxnRequest,
    TxnServiceOp,
    TxnSessionOp,
    TxnVerb,
)
from core.endpoints.harness import Endpoints

text = (
    st.sampled_from(
        ["", "n", "N", "web", "aaaaaaaa-0004-0000-0000-000000000001", "aa", "\x00", "\ud800", "é", "x" * 1530]
    )
    | st.text(max_size=5)
    | st.sampled_from(["y" * 600, "z" * 800])
)
octets = st.sampled_from([b"", b"a", b"a/b", b"\x00", b"\xff", b"k" * 1528, b"k" * 1529]) | st.binary(max_size=4)
number = st.sampled_from([0, 1, 2, -1, 2**63, 2**64 - 1, 2**64])
filters = st.sampled_from(["", "Nope == 1", "Node != x", "Status == passing", "(", "Service.Tags is empty"])
maps = st.none() | st.dictionaries(text, text, max_size=2)
tags = st.none() | st.lists(text, max_size=2)

options: dict[str, st.SearchStrategy[Any]] = {
    "filter": filters,
    "require_consistent": st.booleans(),
    "allow_stale": st.booleans(),
    "allow_not_modified_response": st.booleans(),
}
checks = st.builds(
    HealthCheck, node=st.just("") | text, check_id=text, name=text, status=text, service_id=text, service_tags=tags
)
services = st.builds(
    NodeService,
    id=text,
    service=text,
    port=number,
    tags=tags,
    meta=maps,
    address=text,
    weights=st.none() | st.builds(Weights, passing=number, warning=number),
)
requests: dict[type[Any], st.SearchStrategy[Any]] = {
    Empty: st.just(Empty()),
    DatacenterRequest: st.just(DatacenterRequest()),
    QueryOptions: st.builds(QueryOptions, **options),
    AutopilotSetConfigRequest: st.builds(
        AutopilotSetConfigRequest,
        config=st.builds(AutopilotConfig, max_trailing_logs=number, modify_index=number, redundancy_zone_tag=text),
        cas=st.booleans(),
    ),
    FoundingRequest: st.builds(FoundingRequest, founder=text, servers=tags),
    RaftRemovePeerRequest: st.builds(RaftRemovePeerRequest, address=text, id=text),
    TransferLeaderRequest: st.builds(TransferLeaderRequest, id=text),
    DCSpecificRequest: st.builds(DCSpecificRequest, node_meta_filters=maps, **options),
    NodeSpecificRequest: st.builds(NodeSpecificRequest, node=text, **options),
    ChecksInStateRequest: st.builds(ChecksInStateRequest, state=text, node_meta_filters=maps, **options),
    ServiceSpecificRequest: st.builds(
        ServiceSpecificRequest,
        service_name=text,
        service_tag=text,
        service_tags=tags,
        service_address=text,
        tag_filter=st.booleans(),
        connect=st.booleans(),
        ingress=st.booleans(),
        node_meta_filters=maps,
        **options,
    ),
    KeyRequest: st.builds(KeyRequest, key=octets, **options),
    KeyChangesRequest: st.builds(KeyChangesRequest, key=octets, since=st.integers(0, 40), **options),
    KeyListRequest: st.builds(KeyListRequest, prefix=octets, seperator=text, **options),
    KVSRequest: st.builds(
        KVSRequest,
        op=st.sampled_from(list(KVOp)) | text,
        dir_ent=st.builds(
            DirEntry, key=octets, value=st.none() | octets, flags=number, modify_index=number, session=text
        ),
    ),
    RegisterRequest: st.builds(
        RegisterRequest,
        id=text,
        node=text,
        address=text,
        node_meta=maps,
        service=st.none() | services,
        check=st.none() | checks,
        checks=st.none() | st.lists(checks, max_size=2),
        skip_node_update=st.booleans(),
    ),
    DeregisterRequest: st.builds(DeregisterRequest, node=text, service_id=text, check_id=text),
    CoordinateUpdateRequest: st.builds(
        CoordinateUpdateRequest,
        node=text,
        segment=text,
        coord=st.none() | st.builds(Coordinate, vec=st.lists(st.floats(), max_size=9), error=st.floats()),
    ),
    SessionRequest: st.builds(
        SessionRequest,
        op=st.sampled_from(list(SessionOp)) | text,
        session=st.builds(
            Session,
            id=text,
            node=text,
            behavior=st.sampled_from(["", "release", "delete", "odd"]),
            ttl=st.sampled_from(["", "15s", "1s", "odd"]),
            lock_delay=number,
            node_checks=tags,
            service_checks=st.none() | st.lists(st.builds(ServiceCheck, id=text), max_size=2),
            checks=tags,
        ),
    ),
    SessionSpecificRequest: st.builds(SessionSpecificRequest, session_id=text, session=text, **options),
    EventFireRequest: st.builds(EventFireRequest, name=text, payload=octets),
    KeyringRequest: st.builds(
        KeyringRequest,
        operation=st.sampled_from(["list", "install", "use", "remove", ""]) | text,
        key=st.sampled_from(["", "pUqJrVyVRj5jsiYEkM/tFQ==", "AAAA", "A"]) | text,
        forwarded=st.booleans(),
        local_only=st.booleans(),
        relay_factor=number,
    ),
}
ops = st.builds(
    TxnOp,
    kv=st.none()
    | st.builds(
        TxnKVOp,
        verb=st.sampled_from(list(TxnKVVerb)) | text,
        dir_ent=st.builds(DirEntry, key=octets, value=st.none() | octets, modify_index=number, session=text),
    ),
    node=st.none()
    | st.builds(
        TxnNodeOp,
        verb=st.sampled_from(list(TxnVerb)) | text,
        node=st.builds(Node, id=text, node=text, address=text, modify_index=number),
    ),
    service=st.none()
    | st.builds(TxnServiceOp, verb=st.sampled_from(list(TxnVerb)) | text, node=text, service=services),
    check=st.none() | st.builds(TxnCheckOp, verb=st.sampled_from(list(TxnVerb)) | text, check=checks),
    session=st.none() | st.builds(TxnSessionOp, verb=text, session=st.builds(Session, id=text)),
)
queries = st.builds(
    PreparedQuery,
    id=text,
    name=text,
    session=text,
    template=st.builds(QueryTemplate, type=st.sampled_from(["", NAME_PREFIX_MATCH, "odd"]), regexp=text),
    service=st.builds(
        ServiceQuery,
        service=text | st.sampled_from(["${match(1)}", "${name.full}", "${", "$${"]),
        tags=tags,
        near=text,
        node_meta=maps,
        failover=st.builds(QueryFailover, nearest_n=number, datacenters=tags),
    ),
    dns=st.builds(QueryDns, ttl=st.sampled_from(["", "10s", "-1s", "odd"])),
)
requests[PreparedQueryRequest] = st.builds(
    PreparedQueryRequest, op=st.sampled_from(list(PreparedQueryOp)) | text, query=queries
)
requests[PreparedQuerySpecificRequest] = st.builds(PreparedQuerySpecificRequest, query_id=text, **options)
requests[PreparedQueryExecuteRequest] = st.builds(
    PreparedQueryExecuteRequest, query_id_or_name=text, limit=number, connect=st.booleans(), **options
)
requests[PreparedQueryExecuteRemoteRequest] = st.builds(
    PreparedQueryExecuteRemoteRequest, query=queries, limit=number, connect=st.booleans(), **options
)
entries = st.builds(
    ConfigEntry,
    kind=st.sampled_from(["", "odd", *KINDS]),
    name=text,
    modify_index=number,
    settings=st.dictionaries(
        st.sampled_from(["Protocol", "Routes", "Splits", "Redirect", "Failover", "Listeners", "Sources", "Odd"]),
        text | number | st.lists(st.dictionaries(st.sampled_from(["Service", "Weight", "Name"]), text | number)),
        max_size=2,
    ),
)
requests[ConfigEntryRequest] = st.builds(
    ConfigEntryRequest, op=st.sampled_from(list(ConfigEntryOp)) | text, entry=entries
)
requests[ConfigEntryQuery] = st.builds(
    ConfigEntryQuery, kind=st.sampled_from(["", "odd", *KINDS]), name=text, **options
)
requests[TxnRequest] = st.builds(TxnRequest, ops=st.none() | st.lists(ops, max_size=3))
requests[TxnReadRequest] = st.builds(TxnReadRequest, ops=st.none() | st.lists(ops, max_size=3), **options)
calls = st.sampled_from(sorted(METHODS)).flatmap(
    lambda name: st.tuples(st.just(METHODS[name]), requests[METHODS[name].request])
)


@settings(max_examples=150)
@given(st.lists(calls, min_size=5, max_size=25))
def test_whatever_is_asked_is_answered(asked: list[tuple[Any, Any]]) -> None:
    async def scene() -> None:
        endpoints = Endpoints()
        for method, request in asked:
            try:
                await endpoints.call(method, request)
            except RpcError:
                continue
        index = await endpoints.put(b"still works")
        entry = endpoints.state.kv.get(b"still works")
        assert entry is not None
        assert entry.modify_index == index

    asyncio.run(scene())
