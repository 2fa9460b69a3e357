"""`<name>.query[.<datacenter>].<domain>`: prepared queries, for whoever asks, in the order in which they answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import dns.edns
import dns.rcode
import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.methods import PREPARED_QUERY_EXECUTE
from consul_kernel.structs.node import Node
from consul_kernel.structs.prepared_query import (
    PreparedQueryExecuteRequest,
    PreparedQueryExecuteResponse,
    QueryDns,
)
from consul_kernel.structs.query import QuerySource
from consul_kernel.structs.service import NodeService
from consul_kernel.structs.settings import DnsSettings
from consul_kernel_dns import DnsInterface
from plugins.interfaces.dns.fake_catalog import FakeCatalog, ask, lines, make_interface

CRITICAL = HealthCheck(node="n1", check_id="c", status="critical")


def instance(node: str, address: str, own_address: str = "") -> CheckServiceNode:
    return CheckServiceNode(
        node=Node(node=node, address=address, datacenter="dc2"),
        service=NodeService(id="web", service="web", port=80, address=own_address),
        checks=[CRITICAL],
    )


def found(*instances: CheckServiceNode, ttl: str = "9s") -> PreparedQueryExecuteResponse:
    return PreparedQueryExecuteResponse(
        service="web", nodes=list(instances), dns=QueryDns(ttl=ttl), datacenter="dc2", failovers=1
    )


@pytest.fixture
def catalog() -> FakeCatalog:
    return FakeCatalog()


@pytest.fixture
async def interface(catalog: FakeCatalog) -> AsyncIterator[DnsInterface]:
    interface = make_interface(catalog, DnsSettings(service_ttl_s={"*": 3}, only_passing=True))
    await interface.start()
    yield interface
    await interface.aclose()


@pytest.mark.parametrize("tcp", [False, True])
async def test_who_asks_for_what(catalog: FakeCatalog, interface: DnsInterface, tcp: bool) -> None:
    catalog.agent.answer(PREPARED_QUERY_EXECUTE, found(instance("n1", "10.0.0.1")))
    answer = await ask(interface, "Geo.Web.query.dc3.consul", tcp=tcp)
    assert lines(answer.answer) == ["Geo.Web.query.dc3.consul. 9 IN A 10.0.0.1"]
    assert catalog.agent.requests(PREPARED_QUERY_EXECUTE) == [
        PreparedQueryExecuteRequest(
            datacenter="dc3",
            query_id_or_name="geo.web",
            allow_stale=True,
            source=QuerySource(ip="127.0.0.1"),
            agent=QuerySource(datacenter="dc1", node="agent-one"),
        )
    ]


@pytest.mark.parametrize(
    ("subnet", "address"),
    [(dns.edns.ECSOption("10.1.2.3", 24), "10.1.2.0"), (dns.edns.ECSOption("2001:db8::1", 64), "2001:db8::")],
)
async def test_a_client_subnet_goes_before_the_askers_address(
    catalog: FakeCatalog, interface: DnsInterface, subnet: dns.edns.ECSOption, address: str
) -> None:
    catalog.agent.answer(PREPARED_QUERY_EXECUTE, found(instance("n1", "10.0.0.1")))
    await ask(interface, "q.query.consul", edns=1232, options=(subnet,))
    assert catalog.agent.requests(PREPARED_QUERY_EXECUTE)[-1].source.ip == address


@pytest.mark.parametrize("record_type", ["A", "SRV"])
async def test_the_order_is_the_querys(catalog: FakeCatalog, interface: DnsInterface, record_type: str) -> None:
    nodes = [instance(f"n{number}", f"10.0.0.{number}") for number in (3, 1, 2)]
    catalog.agent.answer(PREPARED_QUERY_EXECUTE, found(*nodes))
    for _ in range(8):
        answer = await ask(interface, "q.query.consul", record_type, edns=1232)
        texts = [line for rrset in answer.answer for line in rrset.to_text().split("\n")]
        order = [text.rpartition(".")[2] if record_type == "A" else text.split()[7][1] for text in texts]
        assert order == ["3", "1", "2"]


async def test_srv_targets_are_of_the_datacenter_that_answered(catalog: FakeCatalog, interface: DnsInterface) -> None:
    catalog.agent.answer(PREPARED_QUERY_EXECUTE, found(instance("n1", "10.0.0.1"), instance("n2", "", "::7")))
    answer = await ask(interface, "q.query.consul", "SRV", edns=1232)
    target = "00000000000000000000000000000007.addr.dc2.consul."
    assert lines(answer.answer) == [
        f"q.query.consul. 9 IN SRV 1 0 80 {target}",
        "q.query.consul. 9 IN SRV 1 0 80 n1.node.dc2.consul.",
    ]
    assert lines(answer.additional) == [f"{target} 9 IN AAAA ::7", "n1.node.dc2.consul. 9 IN A 10.0.0.1"]


@pytest.mark.parametrize(("ttl", "seconds"), [("", 3), ("1m30s", 90), ("500ms", 0), ("odd", 0), ("-1s", 0)])
async def test_how_long_it_holds(catalog: FakeCatalog, interface: DnsInterface, ttl: str, seconds: int) -> None:
    catalog.agent.answer(PREPARED_QUERY_EXECUTE, found(instance("n1", "10.0.0.1"), ttl=ttl))
    assert (await ask(interface, "q.query.consul")).answer[0].ttl == seconds


async def test_nothing_found_nothing_of_the_type_and_failures(catalog: FakeCatalog, interface: DnsInterface) -> None:
    replies: list[tuple[PreparedQueryExecuteResponse | RpcError, str, dns.rcode.Rcode]] = [
        (found(), "A", dns.rcode.NXDOMAIN),
        (found(instance("n1", "10.0.0.1")), "AAAA", dns.rcode.NOERROR),
        (RpcError("Query not found"), "A", dns.rcode.NXDOMAIN),
        (RpcError("No path to datacenter"), "A", dns.rcode.NXDOMAIN),
    ]
    for reply, record_type, rcode in replies:
        catalog.agent.answer(PREPARED_QUERY_EXECUTE, reply)
        answer = await ask(interface, "q.query.consul", record_type)
        assert (answer.rcode(), answer.answer) == (rcode, [])
        assert [rrset.name.to_text() for rrset in answer.authority] == ["consul."]
    catalog.agent.answer(PREPARED_QUERY_EXECUTE, RpcError("No cluster leader"))
    assert (await ask(interface, "q.query.consul")).rcode() == dns.rcode.SERVFAIL


async def test_names_in_place_of_addresses_are_followed(catalog: FakeCatalog, interface: DnsInterface) -> None:
    catalog.register(Node(node="n9", address="10.0.0.9"))
    catalog.agent.answer(PREPARED_QUERY_EXECUTE, found(instance("n1", "10.0.0.1", "n9.node.consul")))
    assert lines((await ask(interface, "q.query.consul", edns=1232)).answer) == [
        "n9.node.consul. 9 IN A 10.0.0.9",
        "q.query.consul. 9 IN CNAME n9.node.consul.",
    ]


async def test_an_old_answer_is_asked_for_anew_at_the_leader(catalog: FakeCatalog, interface: DnsInterface) -> None:
    def answer(request: PreparedQueryExecuteRequest) -> PreparedQueryExecuteResponse:
        reply = found(instance("n1", "10.0.0.1"))
        reply.last_contact = 10**18 if request.allow_stale else 0
        return reply

    catalog.agent.answer(PREPARED_QUERY_EXECUTE, answer)
    assert (await ask(interface, "q.query.consul")).rcode() == dns.rcode.NOERROR
    assert [request.allow_stale for request in catalog.agent.requests(PREPARED_QUERY_EXECUTE)] == [True, False]
