"""`/v1/txn`: what is made of a body, what is a read, and how answers are shown."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.check import HealthCheck, HealthCheckDefinition
from consul_kernel.structs.kv import DirEntry
from consul_kernel.structs.methods import TXN_APPLY, TXN_READ
from consul_kernel.structs.node import Node
from consul_kernel.structs.service import NodeService, Weights
from consul_kernel.structs.settings import LimitSettings
from consul_kernel.structs.txn import (
    TxnCheckOp,
    TxnError,
    TxnKVOp,
    TxnNodeOp,
    TxnOp,
    TxnReadResponse,
    TxnResponse,
    TxnResult,
    TxnServiceOp,
)

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Serve, Site

SECOND = 1_000_000_000


async def asked(site: Site, *ops: Any) -> list[TxnOp]:
    """The operations that the agent is asked to carry out."""
    site.agent.answer(TXN_APPLY, TxnResponse(results=[]))
    got = await site.put("/v1/txn", json.dumps([*ops]))
    assert (got.status, got.text) == (200, '{"Results":[],"Errors":null}')
    return site.agent.requests(TXN_APPLY)[-1].ops or []


async def test_operations_on_keys(site: Site) -> None:
    op = {"verb": "cas", "Key": "é", "VALUE": "YQ==", "Flags": 7, "Index": 5, "Session": "s", "Namespace": ""}
    entry = DirEntry(key="é".encode(), value=b"a", flags=7, session="s", modify_index=5)
    assert await asked(site, {"kv": op}, {}, None) == [TxnOp(kv=TxnKVOp(verb="cas", dir_ent=entry))]


async def test_operations_on_the_catalog(site: Site) -> None:
    definition = {"HTTP": "http://x", "Interval": "10s", "TimeoutDuration": 5 * SECOND, "Odd": 1}
    ops = await asked(
        site,
        {"Node": {"Verb": "set", "Node": {"Node": "n", "Address": "1.2.3.4", "ModifyIndex": 3}}},
        {"Service": {"Verb": "cas", "Node": "n", "Service": {"ID": "w", "Service": "web", "Weights": {"Passing": 5}}}},
        {"Check": {"Verb": "delete", "Check": {"Node": "n", "CheckID": "c", "Type": "ttl", "Definition": definition}}},
    )
    assert ops == [
        TxnOp(node=TxnNodeOp(verb="set", node=Node(node="n", address="1.2.3.4", modify_index=3))),
        TxnOp(
            service=TxnServiceOp(
                verb="cas", node="n", service=NodeService(id="w", service="web", weights=Weights(passing=5, warning=0))
            )
        ),
        TxnOp(
            check=TxnCheckOp(
                verb="delete",
                check=HealthCheck(
                    node="n",
                    check_id="c",
                    definition=HealthCheckDefinition(http="http://x", interval=10 * SECOND, timeout=5 * SECOND),
                ),
            )
        ),
    ]


@pytest.mark.parametrize(
    "op",
    [
        {"KV": {"Verb": "get", "Key": "a"}},
        {"KV": {"Verb": "check-index", "Key": "a"}},
        {"KV": {"Verb": "odd", "Key": "a"}},
        {"KV": {}},
        {"Node": {"Verb": "get"}},
        {"Service": {"Verb": "get"}},
        {"Check": {"Verb": "get"}},
        {},
    ],
)
async def test_a_transaction_without_writes_is_a_read(site: Site, op: Any) -> None:
    site.agent.answer(TXN_READ, TxnReadResponse(results=[], index=1, known_leader=True, last_contact=2_000_000))
    got = await site.put("/v1/txn?stale&index=5&wait=1s&dc=dc2", json.dumps([op]))
    assert got.text == (
        '{"Results":[],"Errors":null,"Index":1,"LastContact":2000000,"KnownLeader":true,"ConsistencyLevel":"",'
        '"NotModified":false,"Backend":0}'
    )
    assert got.headers["X-Consul-Knownleader"] == "true"
    assert got.headers["X-Consul-Lastcontact"] == "2"
    assert "X-Consul-Index" not in got.headers
    request = site.agent.requests(TXN_READ)[0]
    assert (request.datacenter, request.allow_stale, request.min_query_index) == ("dc2", True, 0)


async def test_results_are_shown_as_they_are(site: Site) -> None:
    results = [
        TxnResult(kv=DirEntry(key=b"a", session="s", create_index=1, modify_index=2)),
        TxnResult(node=Node(node="n", address="1.2.3.4", datacenter="dc1")),
        TxnResult(service=NodeService(id="w", service="web")),
        TxnResult(check=HealthCheck(node="n", check_id="c", status="passing")),
    ]
    site.agent.answer(TXN_APPLY, TxnResponse(results=results))
    shown = (await site.put("/v1/txn", '[{"KV": {"Verb": "set", "Key": "a"}}]')).json["Results"]
    assert [list(result) for result in shown] == [["KV"], ["Node"], ["Service"], ["Check"]]
    assert shown[0]["KV"] == {
        "LockIndex": 0, "Key": "a", "Flags": 0, "Value": None, "Session": "s", "CreateIndex": 1, "ModifyIndex": 2
    }  # fmt: skip
    assert (shown[2]["Service"]["Tags"], shown[2]["Service"]["Weights"]) == (None, {"Passing": 1, "Warning": 1})
    assert (shown[3]["Check"]["ServiceTags"], shown[3]["Check"]["Definition"]) == (None, {})


async def test_a_refusal_is_a_conflict(site: Site) -> None:
    errors = [TxnError(op_index=0, what='key "a" exists')]
    site.agent.answer(TXN_APPLY, TxnResponse(errors=errors))
    site.agent.answer(TXN_READ, TxnReadResponse(errors=errors, index=1))
    for verb in ("set", "check-not-exists"):
        got = await site.put("/v1/txn", json.dumps([{"KV": {"Verb": verb, "Key": "a"}}]))
        assert got.status == 409
        assert got.json["Results"] is None
        assert got.json["Errors"] == [{"OpIndex": 0, "What": 'key "a" exists'}]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("", "EOF"),
        ("{}", "json: cannot unmarshal object into Go value of type api.TxnOps"),
        ("[5]", "json: cannot unmarshal number into Go value of type api.TxnOp"),
        ('[{"Unknown": {}}]', 'json: unknown field "Unknown"'),
        ('[{"Session": {"Verb": "delete"}}]', 'json: unknown field "Session"'),
        ('[{"KV": {"Bogus": 1}}]', 'json: unknown field "Bogus"'),
        ('[{"KV": {"Value": "*"}}]', "illegal base64 data at input byte 0"),
        (
            '[{"KV": {"Index": -1}}]',
            "json: cannot unmarshal number -1 into Go struct field KVTxnOp.Index of type uint64",
        ),
    ],
)
async def test_bodies_that_are_refused(site: Site, body: str, text: str) -> None:
    got = await site.put("/v1/txn", body)
    assert (got.status, got.text) == (400, f"Failed to parse body: {text}")


async def test_limits(serve: Serve) -> None:
    site = await serve(limits=LimitSettings(kv_max_value_size=100, txn_max_req_len=9000))
    site.agent.answer(TXN_APPLY, TxnResponse(results=[]))
    op = {"KV": {"Verb": "set", "Key": "a", "Value": base64.b64encode(b"x" * 100).decode()}}
    assert (await site.put("/v1/txn", json.dumps([op] * 40))).status == 200
    many = await site.put("/v1/txn", json.dumps([{}] * 65))
    assert (many.status, many.text) == (413, "Transaction contains too many operations (65 > 64)")
    op["KV"]["Value"] = base64.b64encode(b"x" * 101).decode()
    large = await site.put("/v1/txn", json.dumps([op]))
    assert (large.status, large.text) == (413, 'Value for key "a" is too large (101 > 100 bytes)')
    long = await site.put("/v1/txn", b" " * 9001)
    assert long.status == 413
    assert long.text == (
        "Request body(9001 bytes) too large, max size: 9000 bytes. "
        "See https://www.consul.io/docs/agent/options.html#txn_max_req_len."
    )


async def test_a_call_that_fails(site: Site) -> None:
    site.agent.answer(TXN_APPLY, RpcError("No path to datacenter"))
    got = await site.put("/v1/txn?dc=nowhere", '[{"KV": {"Verb": "set", "Key": "a"}}]')
    assert (got.status, got.text) == (500, "No path to datacenter")
    conflicting = await site.put("/v1/txn?stale&consistent", "[]")
    assert (conflicting.status, conflicting.text) == (
        400,
        "Cannot specify ?stale with ?consistent, conflicting semantics.",
    )
