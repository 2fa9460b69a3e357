"""`Internal.KeyringOperation`: both pools here, one server of every other datacenter, and errors as in Consul."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from consul_kernel.contracts.errors import MembershipError, RpcError
from consul_kernel.contracts.membership_capabilities import KeyOperation
from consul_kernel.server.keyring import CANNOT_CHANGE_KEYS, KeyringOperations
from consul_kernel.structs.keyring import KeyringRequest, KeyringResponse, KeyringResponses
from consul_kernel.structs.methods import INTERNAL_KEYRING_OPERATION, Route
from core.endpoints.harness import Endpoints
from core.endpoints.keyed_pool import KEY

TEXT = base64.b64encode(KEY).decode()
OTHER = bytes(range(16, 32))
OTHER_TEXT = base64.b64encode(OTHER).decode()


async def operate(endpoints: Endpoints, operation: str, key: str = "", **options: Any) -> list[KeyringResponse]:
    reply = await endpoints.call(INTERNAL_KEYRING_OPERATION, KeyringRequest(operation=operation, key=key, **options))
    assert reply.responses is not None
    return reply.responses


async def test_a_list_shows_both_pools_and_asks_the_other_datacenter(endpoints: Endpoints) -> None:
    endpoints.elsewhere_reply = KeyringResponses(responses=[KeyringResponse(datacenter="dc2", num_nodes=3)])
    wan, lan, elsewhere = await operate(endpoints, "list", token="t", relay_factor=3)
    assert wan == KeyringResponse(wan=True, datacenter="dc1", keys={TEXT: 1}, primary_keys={TEXT: 1}, num_nodes=1)
    assert lan == KeyringResponse(datacenter="dc1", keys={TEXT: 2}, primary_keys={TEXT: 2}, num_nodes=2)
    assert (elsewhere.datacenter, elsewhere.num_nodes) == ("dc2", 3)
    assert endpoints.lan.asked == endpoints.wan.asked == [(KeyOperation.LIST, b"", 3)]
    ((method, request),) = endpoints.elsewhere
    assert method is INTERNAL_KEYRING_OPERATION
    assert request == KeyringRequest(datacenter="dc2", operation="list", token="t", relay_factor=3, forwarded=True)


async def test_a_key_goes_through_its_life_in_both_pools(endpoints: Endpoints) -> None:
    for operation, key in (("install", OTHER_TEXT), ("use", OTHER_TEXT), ("remove", TEXT)):
        assert [response.error for response in await operate(endpoints, operation, key)] == ["", ""]
    for pool in (endpoints.lan, endpoints.wan):
        assert [list(ring.keys()) for ring in pool.rings.values() if ring] == [[OTHER]] * len(pool.rings)
    assert [request.operation for _, request in endpoints.elsewhere] == ["install", "use", "remove"]


@pytest.mark.parametrize("options", [{"local_only": True}, {"forwarded": True}])
async def test_local_and_forwarded_requests_keep_to_the_lan_pool(
    endpoints: Endpoints, options: dict[str, bool]
) -> None:
    (lan,) = await operate(endpoints, "list", "", **options)
    assert (lan.wan, lan.num_nodes) == (False, 2)
    assert not endpoints.wan.asked
    assert not endpoints.elsewhere


async def test_a_server_without_a_wan_pool_keeps_to_its_lan_pool(endpoints: Endpoints) -> None:
    async def call(*_: Any) -> Any:
        raise AssertionError("nobody else is to be asked")

    operations = KeyringOperations(
        datacenter="dc1", lan=endpoints.lan, wan=None, datacenters=lambda: ["dc1", "dc2"], call=call
    )
    reply = await operations.operate(KeyringRequest(operation="list"))
    assert reply.responses is not None
    assert [response.wan for response in reply.responses] == [False]


async def test_only_lists_may_be_local(endpoints: Endpoints) -> None:
    with pytest.raises(RpcError, match=r"^argument error: LocalOnly can only be used for List operations$"):
        await operate(endpoints, "install", OTHER_TEXT, local_only=True)
    assert not endpoints.lan.asked


async def test_an_unknown_operation_is_refused(endpoints: Endpoints) -> None:
    with pytest.raises(RpcError, match='Invalid keyring operation "rotate"'):
        await operate(endpoints, "rotate", OTHER_TEXT)


async def test_what_members_refuse_is_told_by_pool_and_name(endpoints: Endpoints) -> None:
    wan, lan = await operate(endpoints, "remove", TEXT)
    assert wan.error == "1/1 nodes reported failure"
    assert wan.messages == {"a1.dc1": "Removing the primary key is not allowed"}
    assert lan.error == "2/2 nodes reported failure"
    assert lan.messages is not None
    assert sorted(lan.messages) == ["a1", "a2"]


async def test_members_that_do_not_answer_are_told(endpoints: Endpoints) -> None:
    endpoints.lan.silent = frozenset({"a2"})
    wan, lan = await operate(endpoints, "install", OTHER_TEXT)
    assert (wan.error, lan.error, lan.num_nodes) == ("", "1/2 nodes reported success", 2)


async def test_keys_that_are_no_base64_reach_nobody(endpoints: Endpoints) -> None:
    responses = await operate(endpoints, "install", "short")
    assert [response.error for response in responses] == ["illegal base64 data at input byte 4"] * 2
    assert [(response.num_nodes, response.keys, response.messages) for response in responses] == [(0, {}, {})] * 2
    assert not endpoints.lan.asked


async def test_a_pool_that_cannot_be_asked_is_an_error_of_that_pool(endpoints: Endpoints) -> None:
    endpoints.wan.error = MembershipError("query is too large")
    wan, lan = await operate(endpoints, "list")
    assert (wan.error, wan.num_nodes, lan.error) == ("query is too large", 0, "")


async def test_a_membership_without_the_ability_says_so() -> None:
    class Plain:
        """A membership that has no keyring operations."""

    async def call(*_: Any) -> Any:
        return KeyringResponses()

    pool: Any = Plain()
    operations = KeyringOperations(datacenter="dc1", lan=pool, wan=None, datacenters=list, call=call)
    reply = await operations.operate(KeyringRequest(operation="list"))
    assert reply.responses is not None
    assert [response.error for response in reply.responses] == [CANNOT_CHANGE_KEYS]


async def test_another_datacenter_that_cannot_be_asked_fails_the_call_after_this_one_is_done(
    endpoints: Endpoints,
) -> None:
    endpoints.elsewhere_reply = RpcError("Remote DC has no server currently reachable")
    with pytest.raises(RpcError, match="Remote DC has no server currently reachable"):
        await operate(endpoints, "install", OTHER_TEXT)
    assert [list(ring.keys()) for ring in endpoints.lan.rings.values() if ring] == [[KEY, OTHER]] * 2


@pytest.mark.parametrize(("asked", "used"), [(-1, 0), (0, 0), (5, 5), (2**64, 5)])
async def test_relaying_is_bounded(endpoints: Endpoints, asked: int, used: int) -> None:
    await operate(endpoints, "list", relay_factor=asked)
    assert endpoints.lan.asked == [(KeyOperation.LIST, b"", used)]


async def test_pools_without_encryption_are_told_as_in_consul(endpoints: Endpoints) -> None:
    endpoints.lan.rings = {"a1": None}
    _, lan = await operate(endpoints, "list")
    assert (lan.error, lan.messages) == (
        "1/1 nodes reported failure",
        {"a1": "Keyring is empty (encryption not enabled)"},
    )


def test_any_server_answers() -> None:
    assert INTERNAL_KEYRING_OPERATION.route is Route.ANY
