"""`/v1/operator/keyring`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.keyring import KeyringRequest, KeyringResponse, KeyringResponses
from consul_kernel.structs.methods import INTERNAL_KEYRING_OPERATION

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site

PATH = "/v1/operator/keyring"
KEY = "pUqJrVyVRj5jsiYEkM/tFQ=="


def response(*, wan: bool = False, **fields: Any) -> KeyringResponse:
    return KeyringResponse(wan=wan, datacenter="dc1", keys={KEY: 3}, primary_keys={KEY: 3}, num_nodes=3, **fields)


async def test_a_list_shows_every_pool_in_consuls_order_of_fields(site: Site) -> None:
    site.agent.answer(INTERNAL_KEYRING_OPERATION, KeyringResponses(responses=[response(wan=True), response()]))
    got = await site.get(PATH)
    assert got.status == 200
    assert got.json == [
        {
            "WAN": wan,
            "Datacenter": "dc1",
            "Segment": "",
            "Keys": {KEY: 3},
            "PrimaryKeys": {KEY: 3},
            "NumNodes": 3,
        }
        for wan in (True, False)
    ]
    assert list(got.json[0]) == ["WAN", "Datacenter", "Segment", "Keys", "PrimaryKeys", "NumNodes"]
    assert site.agent.requests(INTERNAL_KEYRING_OPERATION) == [KeyringRequest(datacenter="dc1", operation="list")]


async def test_options_of_a_list_reach_the_server(site: Site) -> None:
    site.agent.answer(INTERNAL_KEYRING_OPERATION, KeyringResponses(responses=[]))
    got = await site.get(f"{PATH}?relay-factor=%2B3&local-only=t&dc=dc2&token=secret")
    assert got.json == []
    assert site.agent.requests(INTERNAL_KEYRING_OPERATION) == [
        KeyringRequest(datacenter="dc2", token="secret", operation="list", relay_factor=3, local_only=True)
    ]


@pytest.mark.parametrize(("method", "operation"), [("POST", "install"), ("PUT", "use"), ("DELETE", "remove")])
async def test_changes_answer_with_nothing(site: Site, method: str, operation: str) -> None:
    site.agent.answer(INTERNAL_KEYRING_OPERATION, KeyringResponses(responses=[response(wan=True), response()]))
    got = await site.send(method, f"{PATH}?relay-factor=5&local-only=false", {"Key": KEY})
    assert (got.status, got.body) == (200, b"")
    assert "Content-Type" not in got.headers
    assert site.agent.requests(INTERNAL_KEYRING_OPERATION) == [
        KeyringRequest(datacenter="dc1", operation=operation, key=KEY, relay_factor=5)
    ]


async def test_complaints_are_listed_pool_by_pool(site: Site) -> None:
    refused = "Removing the primary key is not allowed"
    site.agent.answer(
        INTERNAL_KEYRING_OPERATION,
        KeyringResponses(
            responses=[
                response(wan=True, error="1/1 nodes reported failure", messages={"n.dc1": refused}),
                response(error="2/3 nodes reported failure", messages={"b": refused, "a": refused}),
                response(),
            ]
        ),
    )
    got = await site.send("DELETE", PATH, {"Key": KEY})
    assert (got.status, got.headers["Content-Type"]) == (500, "text/plain; charset=utf-8")
    assert got.text == (
        "5 errors occurred:\n\t* WAN error: 1/1 nodes reported failure\n"
        f"\t* n.dc1: {refused}\n"
        "\t* dc1 (LAN) error: 2/3 nodes reported failure\n"
        f"\t* a: {refused}\n\t* b: {refused}\n\n"
    )
    site.agent.answer(INTERNAL_KEYRING_OPERATION, KeyringResponses(responses=[response(error="1/3 nodes …")]))
    assert (await site.get(PATH)).text == "1 error occurred:\n\t* dc1 (LAN) error: 1/3 nodes …\n\n"


@pytest.mark.parametrize(
    ("method", "query", "body", "text"),
    [
        ("GET", "?relay-factor=9", None, "Invalid relay-factor: Relay factor must be in range: [0, 5]"),
        ("GET", "?relay-factor=-1", None, "Invalid relay-factor: Relay factor must be in range: [0, 5]"),
        ("GET", "?relay-factor=x", None, 'Error parsing relay factor: strconv.Atoi: parsing "x": invalid syntax'),
        ("GET", "?relay-factor=1_0", None, 'Error parsing relay factor: strconv.Atoi: parsing "1_0": invalid syntax'),
        (
            "GET",
            f"?relay-factor={'9' * 20}",
            None,
            f'Error parsing relay factor: strconv.Atoi: parsing "{"9" * 20}": value out of range',
        ),
        ("GET", "?local-only=x", None, 'Error parsing local-only: strconv.ParseBool: parsing "x": invalid syntax'),
        ("POST", "?local-only=1", "{}", "Invalid use of local-only: local-only can only be set for list requests"),
        ("POST", "", '{"RelayFactor": 6}', "Invalid relay-factor: Relay factor must be in range: [0, 5]"),
        ("PUT", "", "", "Request decode failed: EOF"),
        (
            "DELETE",
            "",
            "{bad",
            "Request decode failed: invalid character 'b' looking for beginning of object key string",
        ),
        ("POST", "", '{"Kye": ""}', 'Request decode failed: json: unknown field "Kye"'),
    ],
)
async def test_bad_requests_reach_nobody(site: Site, method: str, query: str, body: str | None, text: str) -> None:
    got = await site.send(method, PATH + query, body)
    assert (got.status, got.text) == (400, f"Bad request: {text}")
    assert not site.agent.calls


async def test_what_a_server_refuses_is_told(site: Site) -> None:
    site.agent.answer(INTERNAL_KEYRING_OPERATION, RpcError("No path to datacenter"))
    got = await site.get(f"{PATH}?dc=nope")
    assert (got.status, got.text) == (500, "No path to datacenter")


async def test_the_body_may_ask_for_what_only_lists_do_and_the_server_refuses(site: Site) -> None:
    site.agent.answer(INTERNAL_KEYRING_OPERATION, KeyringResponses(responses=[]))
    await site.send("POST", PATH, json.dumps({"key": KEY, "LocalOnly": True}))
    (request,) = site.agent.requests(INTERNAL_KEYRING_OPERATION)
    assert (request.key, request.local_only) == (KEY, True)


async def test_other_methods_are_not_allowed(site: Site) -> None:
    got = await site.send("PATCH", PATH)
    assert (got.status, got.headers["Allow"]) == (405, "OPTIONS,GET,POST,PUT,DELETE")


async def test_a_client_agent_refers_to_servers(site: Site) -> None:
    site.agent._is_server = False
    got = await site.get(PATH)
    assert (got.status, got.text) == (500, "keyring operations must run against a server node")
    assert not site.agent.calls
