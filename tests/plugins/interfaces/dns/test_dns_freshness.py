"""What is kept between answers never makes one older than a read of the catalog."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import dns.rcode
import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.methods import CATALOG_NODE_SERVICES, HEALTH_SERVICE_NODES
from consul_kernel.structs.node import Node
from consul_kernel.structs.service import NodeService
from consul_kernel.structs.settings import DnsSettings
from consul_kernel_dns import DnsInterface, DnsInterfaceConfig
from consul_kernel_dns.answerer import Answerer
from consul_kernel_dns.naming import NodeRead, ServiceRead
from consul_kernel_dns.plans import Plan
from consul_kernel_dns.read_memory import MAX_REPLIES, ReadMemory
from plugins.interfaces.dns.fake_catalog import FakeCatalog, ask, lines, make_interface

MS = 1_000_000


@pytest.fixture
def catalog() -> FakeCatalog:
    catalog = FakeCatalog()
    catalog.serve("web", "10.0.0.1", "10.0.0.2")
    return catalog


@pytest.fixture
async def interface(catalog: FakeCatalog) -> AsyncIterator[DnsInterface]:
    interface = make_interface(catalog)
    await interface.start()
    yield interface
    await interface.aclose()


@pytest.mark.parametrize("tcp", [False, True])
async def test_every_change_shows_in_the_next_answer(
    catalog: FakeCatalog, interface: DnsInterface, *, tcp: bool
) -> None:
    async def addresses() -> list[str]:
        answer = await ask(interface, "web.service.consul", tcp=tcp)
        return [line.split(" ")[-1] for line in lines(answer.answer)]

    for _ in range(3):
        assert await addresses() == ["10.0.0.1", "10.0.0.2"]
    catalog.register(Node(node="web-01", address="10.0.0.7"))
    assert await addresses() == ["10.0.0.1", "10.0.0.7"]
    catalog.remove_service("web-00", "1")
    assert await addresses() == ["10.0.0.7"]
    catalog.remove_service("web-01", "1")
    assert (await ask(interface, "web.service.consul", tcp=tcp)).rcode() == dns.rcode.NXDOMAIN
    catalog.serve("web", "10.0.0.9")
    assert await addresses() == ["10.0.0.9"]


async def test_a_changed_port_shows_in_srv(catalog: FakeCatalog, interface: DnsInterface) -> None:
    for port in (80, 81, 82):
        catalog.add_service("web-00", NodeService(id="1", service="solo", port=port))
        for _ in range(2):
            answer = await ask(interface, "solo.service.consul", "SRV")
            assert [record.port for record in answer.answer[0]] == [port]


async def test_every_answer_asks_the_catalog(catalog: FakeCatalog, interface: DnsInterface) -> None:
    for _ in range(4):
        await ask(interface, "web.service.consul")
        await ask(interface, "web-00.node.consul")
    assert len(catalog.agent.requests(HEALTH_SERVICE_NODES)) == 4
    assert len(catalog.agent.requests(CATALOG_NODE_SERVICES)) == 4


async def test_reads_are_as_stale_as_the_settings_allow(catalog: FakeCatalog) -> None:
    for allowed in (True, False):
        interface = make_interface(catalog, DnsSettings(allow_stale=allowed))
        await interface.start()
        for name in ("web.service.consul", "web-00.node.consul", "1.0.0.10.in-addr.arpa"):
            await ask(interface, name, "PTR" if name.endswith("arpa") else "A")
        await interface.aclose()
        assert {request.allow_stale for _, request in catalog.agent.calls} == {allowed}
        catalog.agent.calls.clear()


@pytest.mark.parametrize("name", ["web.service", "web-00.node"])
async def test_what_is_too_stale_is_asked_of_the_leader(catalog: FakeCatalog, name: str) -> None:
    interface = make_interface(catalog, DnsSettings(max_stale_ms=5000))
    await interface.start()
    try:
        asked: list[list[bool]] = []
        for last_contact_ms in (4000, 6000):
            catalog.agent.calls.clear()
            catalog.last_contact = last_contact_ms * MS
            assert (await ask(interface, f"{name}.consul")).answer
            asked.append([request.allow_stale for _, request in catalog.agent.calls])
        assert asked == [[True], [True, False]]
    finally:
        await interface.aclose()


async def test_failures_are_not_remembered(catalog: FakeCatalog, interface: DnsInterface) -> None:
    catalog.agent.answer(HEALTH_SERVICE_NODES, RpcError("No cluster leader"))
    answer = await ask(interface, "web.service.consul")
    assert (answer.rcode(), answer.authority) == (dns.rcode.SERVFAIL, [])
    soa = await ask(interface, "consul", "SOA")
    assert (len(soa.answer), soa.authority) == (1, [])
    catalog.agent.answer(HEALTH_SERVICE_NODES, catalog._health_service_nodes)
    assert len((await ask(interface, "web.service.consul")).answer[0]) == 2


async def test_a_catalog_that_hangs_is_servfail(catalog: FakeCatalog) -> None:
    async def hang(request: object) -> None:
        await asyncio.Event().wait()

    catalog.agent.answer(HEALTH_SERVICE_NODES, hang)  # type: ignore[arg-type]
    interface = make_interface(catalog, config=DnsInterfaceConfig(catalog_timeout_ms=50))
    await interface.start()
    answer = await ask(interface, "web.service.consul")
    await interface.aclose()
    assert answer.rcode() == dns.rcode.SERVFAIL


def make_answerer(catalog: FakeCatalog, max_plans: int) -> Answerer:
    return Answerer(catalog.agent, DnsSettings(), max_plans=max_plans, catalog_timeout_ms=1000, rng=random.Random(1))


def query(name: str) -> bytes:
    import dns.message

    return dns.message.make_query(name, "A").to_wire()


async def test_the_cache_is_bounded_by_questions(catalog: FakeCatalog) -> None:
    answerer = make_answerer(catalog, max_plans=10)
    for number in range(50):
        packet = query(f"s{number}.service.consul")
        plan = answerer.understand(packet, is_tcp=False)
        assert isinstance(plan, Plan)
        await answerer.answer(plan, packet, "127.0.0.1")
    assert len(answerer._plans) == 10
    assert answerer._plans.weight <= 10


async def test_the_cache_is_bounded_by_what_its_answers_are_made_of(catalog: FakeCatalog) -> None:
    catalog.serve("big", *(f"10.{number // 250}.1.{number % 250}" for number in range(2000)))
    answerer = make_answerer(catalog, max_plans=10_000)
    plans = []
    for number in range(30):
        # Names in another case are other questions.
        name = "".join(c.upper() if number >> at & 1 else c for at, c in enumerate("service"))
        packet = query(f"big.{name}.consul")
        plan = answerer.understand(packet, is_tcp=True)
        assert isinstance(plan, Plan)
        await answerer.answer(plan, packet, "127.0.0.1")
        plans.append(plan)
    assert 0 < answerer._plans.weight <= 50_000
    assert sum(plan.material is not None for plan in plans) == 25
    # A plan that was dropped meanwhile still answers.
    assert len(await answerer.answer(plans[0], packet, "127.0.0.1")) > 10_000


async def test_one_burst_shares_one_read(catalog: FakeCatalog, interface: DnsInterface) -> None:
    """Twenty queries that have arrived before the first is looked at are one call."""
    from plugins.interfaces.dns.fake_catalog import port_of

    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Collector, remote_addr=("127.0.0.1", port_of(interface)))
    packet = query("web.service.consul")
    for number in range(20):
        transport.sendto(number.to_bytes(2, "big") + packet[2:])
    async with asyncio.timeout(5):
        await protocol.wait_for(20)
    transport.close()
    assert sorted(int.from_bytes(answer[:2], "big") for answer in protocol.answers) == list(range(20))
    assert len(catalog.agent.requests(HEALTH_SERVICE_NODES)) < 20


class Collector(asyncio.DatagramProtocol):
    """Keeps answers."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self._arrived = asyncio.Event()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.answers.append(data)
        self._arrived.set()

    async def wait_for(self, count: int) -> None:
        while len(self.answers) < count:
            self._arrived.clear()
            await self._arrived.wait()


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("name", ["web.service.consul", "web-00.node.consul", "1.0.0.10.in-addr.arpa"])
async def test_a_fault_is_logged_and_answered(
    interface: DnsInterface,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    *,
    tcp: bool,
) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("on purpose")

    with monkeypatch.context() as broken:
        for part in ("service", "node", "pointer_to_node"):
            broken.setattr(interface._answerer._builder, part, fail)
        answer = await ask(interface, name, "PTR" if name.endswith("arpa") else "A", tcp=tcp)
        assert answer.rcode() == dns.rcode.SERVFAIL
    assert f"answering the DNS query {name} failed" in caplog.text
    assert "on purpose" in caplog.text
    assert (await ask(interface, name, "PTR" if name.endswith("arpa") else "A", tcp=tcp)).answer


async def test_what_no_wire_should_carry_is_shown_as_far_as_it_can_be(catalog: FakeCatalog) -> None:
    catalog.register(Node(node="odd", address="10.0.0.3", meta={"k": "\ud800"}))
    catalog.register(Node(node="x" * 64, address="10.0.0.4"))
    for node in ("odd", "x" * 64):
        catalog.add_service(node, NodeService(id="1", service="odd", port=-1))
    interface = make_interface(catalog)
    await interface.start()
    odd = await ask(interface, "odd.node.consul")
    srv = await ask(interface, "odd.service.consul", "SRV")
    await interface.aclose()
    assert lines(odd.additional) == ['odd.node.consul. 0 IN TXT "k=?"']
    # The other node has no name that DNS can carry.
    assert lines(srv.answer) == ["odd.service.consul. 0 IN SRV 1 1 65535 odd.node.dc1.consul."]


async def test_with_use_cache_answers_are_up_to_so_old(catalog: FakeCatalog) -> None:
    settings = DnsSettings(use_cache=True, cache_max_age_ms=60_000)
    interface = make_interface(catalog, settings)
    await interface.start()
    for _ in range(3):
        for tcp in (False, True):
            assert len(lines((await ask(interface, "web.service.consul", tcp=tcp)).answer)) == 2
            assert lines((await ask(interface, "web-00.node.consul", tcp=tcp)).answer)
    assert len(catalog.agent.requests(HEALTH_SERVICE_NODES)) == 1
    assert len(catalog.agent.requests(CATALOG_NODE_SERVICES)) == 1
    catalog.remove_service("web-00", "1")
    assert len(lines((await ask(interface, "web.service.consul")).answer)) == 2
    await interface.aclose()


@pytest.mark.parametrize("settings", [DnsSettings(cache_max_age_ms=60_000), DnsSettings(use_cache=True)])
async def test_both_keys_are_needed_for_that(catalog: FakeCatalog, settings: DnsSettings) -> None:
    interface = make_interface(catalog, settings)
    await interface.start()
    for _ in range(3):
        await ask(interface, "web.service.consul")
    assert len(catalog.agent.requests(HEALTH_SERVICE_NODES)) == 3
    await interface.aclose()


def test_what_is_remembered_is_young_and_bounded() -> None:
    now_s = 0.0
    memory = ReadMemory(2.0, lambda: now_s)
    memory.put(ServiceRead("dc1", "web"), "said")
    now_s = 1.9
    assert memory.get(ServiceRead("dc1", "web")) == "said"
    assert memory.get(ServiceRead("dc1", "web", "tag")) is None
    now_s = 2.0
    assert memory.get(ServiceRead("dc1", "web")) is None
    assert len(memory) == 0
    for number in range(MAX_REPLIES + 5):
        memory.put(NodeRead("dc1", f"n{number}"), number)
    assert len(memory) == MAX_REPLIES
    assert memory.get(NodeRead("dc1", "n4")) is None
    assert memory.get(NodeRead("dc1", "n5")) == 5
