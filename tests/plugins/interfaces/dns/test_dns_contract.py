"""The `dns` interface fulfils the contract over UDP and TCP, on IPv4 and IPv6, under asyncio's loop and uvloop."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import dns.asyncquery
import dns.exception
import dns.message
import pytest
import uvloop

from consul_kernel.contracts.transport import Address
from consul_kernel.structs.health import CheckServiceNode, IndexedCheckServiceNodes
from consul_kernel.structs.methods import HEALTH_SERVICE_NODES
from consul_kernel.structs.node import Node
from consul_kernel.structs.service import NodeService
from consul_kernel.testing.fake_agent import FakeAgent
from consul_kernel.testing.interface_kit import CHECKS, InterfaceCase, InterfaceContractTests
from consul_kernel_dns import DnsInterface, DnsInterfaceConfig

_numbers = itertools.count()


def make_query() -> dns.message.Message:
    """Another name each time: queries for one name that arrive together share their call."""
    return dns.message.make_query(f"web{next(_numbers)}.service.consul", "A")


async def ask_udp(address: Address) -> bool:
    query = make_query()
    try:
        await dns.asyncquery.udp(query, address.host, port=address.port, timeout=2)
    except (OSError, dns.exception.DNSException):
        return False
    return True


async def ask_tcp(address: Address) -> bool:
    query = make_query()
    try:
        await dns.asyncquery.tcp(query, address.host, port=address.port, timeout=8)
    except (OSError, EOFError, dns.exception.DNSException):
        return False
    return True


def prepare(agent: FakeAgent) -> None:
    instance = CheckServiceNode(
        node=Node(node="n1", address="10.0.0.1", datacenter="dc1"), service=NodeService(service="web"), checks=[]
    )
    agent.answer(HEALTH_SERVICE_NODES, IndexedCheckServiceNodes(nodes=[instance]))


def make_case(host: str, ask: Callable[[Address], Awaitable[bool]]) -> InterfaceCase:
    config = DnsInterfaceConfig(tcp_idle_timeout_ms=1000)
    return InterfaceCase(
        make=lambda context: DnsInterface(context, config),
        ask=ask,
        prepare=prepare,
        host=host,
        has_packets=True,
        config=config,
    )


class TestDnsOverUdp(InterfaceContractTests):
    @pytest.fixture
    def case(self) -> InterfaceCase:
        return make_case("127.0.0.1", ask_udp)


class TestDnsOverTcp(InterfaceContractTests):
    @pytest.fixture
    def case(self) -> InterfaceCase:
        return make_case("::1", ask_tcp)


@pytest.mark.parametrize("ask", [ask_udp, ask_tcp])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract_under_uvloop(
    check: Callable[[InterfaceCase], Awaitable[None]], ask: Callable[[Address], Awaitable[bool]]
) -> None:
    async def program() -> None:
        await check(make_case("127.0.0.1", ask))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(program())
