"""UDP and TCP themselves: garbage, frames, pipelines, bounds."""

from __future__ import annotations

import asyncio
import itertools
import random
import struct
from collections.abc import AsyncIterator

import dns.flags
import dns.message
import dns.rcode
import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.contracts.errors import PluginStartError
from consul_kernel.contracts.interface import InterfaceContext
from consul_kernel.contracts.transport import Address
from consul_kernel.structs.methods import HEALTH_SERVICE_NODES
from consul_kernel.structs.settings import DnsSettings, HttpSettings, LimitSettings
from consul_kernel_dns import DnsInterface, DnsInterfaceConfig
from consul_kernel_dns.answerer import Answerer
from consul_kernel_dns.plans import Plan
from plugins.interfaces.dns.fake_catalog import FakeCatalog, ask, make_interface, port_of


@pytest.fixture
def catalog() -> FakeCatalog:
    catalog = FakeCatalog()
    catalog.serve("web", "10.0.0.1")
    return catalog


@pytest.fixture
async def interface(catalog: FakeCatalog) -> AsyncIterator[DnsInterface]:
    interface = make_interface(catalog, config=DnsInterfaceConfig(tcp_idle_timeout_ms=300, max_tcp_connections=3))
    await interface.start()
    yield interface
    await interface.aclose()


class _Exchange(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self.answer.done():
            self.answer.set_result(data)


async def send_packet(interface: DnsInterface, packet: bytes, *, timeout_s: float = 0.2) -> bytes | None:
    """The answer to a raw packet; None for silence."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(_Exchange, remote_addr=("127.0.0.1", port_of(interface)))
    transport.sendto(packet)
    try:
        async with asyncio.timeout(timeout_s):
            return await protocol.answer
    except TimeoutError:
        return None
    finally:
        transport.close()


QUERY = dns.message.make_query("web.service.consul", "A").to_wire()[2:]


def packet(flags: int, counts: tuple[int, int, int, int], rest: bytes = b"") -> bytes:
    return struct.pack("!6H", 0x1234, flags, *counts) + rest


QUESTION = b"\x03web\x07service\x06consul\x00\x00\x01\x00\x01"


@pytest.mark.parametrize(
    ("raw", "rcode"),
    [
        (packet(0x0100, (0, 0, 0, 0)), dns.rcode.FORMERR),
        (packet(0x0100, (2, 0, 0, 0), QUESTION * 2), dns.rcode.FORMERR),
        (packet(0x0100, (1, 2, 0, 0), QUESTION), dns.rcode.FORMERR),
        (packet(0x0100, (1, 0, 0, 3), QUESTION), dns.rcode.FORMERR),
        (packet(0x0100, (1, 0, 0, 0)), dns.rcode.FORMERR),
        (packet(0x0100, (1, 0, 0, 0), QUESTION[:-1]), dns.rcode.FORMERR),
        (packet(0x0100, (1, 0, 0, 0), b"\xc0\x0c\x00\x01\x00\x01"), dns.rcode.FORMERR),
        (packet(0x0100, (1, 0, 0, 0), b"\x80web\x00\x00\x01\x00\x01"), dns.rcode.FORMERR),
        (packet(0x0100, (1, 0, 0, 0), b"\x3f" + b"a" * 63 + (b"\x3f" + b"a" * 63) * 3 + QUESTION), dns.rcode.FORMERR),
        (packet(0x0100, (1, 0, 0, 1), QUESTION + b"\x00\x00\x29\x10"), dns.rcode.FORMERR),
        (packet(0x1000, (1, 0, 0, 0), QUESTION), dns.rcode.NOTIMP),
        (packet(0x2800, (1, 0, 0, 0), QUESTION), dns.rcode.NOTIMP),
        (packet(0x7800, (0, 0, 0, 0)), dns.rcode.NOTIMP),
    ],
)
async def test_what_is_no_query_is_refused_with_a_bare_header(interface: DnsInterface, raw: bytes, rcode: int) -> None:
    answer = await send_packet(interface, raw, timeout_s=5)
    assert answer is not None
    assert len(answer) == 12
    assert answer[:2] == b"\x12\x34"
    assert answer[2] & 0x80
    assert answer[3] & 0xF == rcode
    assert answer[4:] == bytes(8)


@pytest.mark.parametrize("raw", [b"", b"\x12", b"\x12\x34" + bytes(9), packet(0x8180, (1, 0, 0, 0), QUESTION)])
async def test_fragments_and_answers_are_met_with_silence(interface: DnsInterface, raw: bytes) -> None:
    assert await send_packet(interface, raw) is None
    assert (await ask(interface, "web.service.consul")).answer


async def test_the_question_is_repeated_as_it_was_asked(interface: DnsInterface) -> None:
    raw = packet(0x0110, (1, 0, 0, 0), b"\x03wEb\x07SERVICE\x06Consul\x00\x00\x01\x00\x03")
    answer = await send_packet(interface, raw, timeout_s=5)
    assert answer is not None
    assert answer[12 : len(raw)] == raw[12:]
    # Class CH is answered like IN; RD and CD are repeated.
    assert answer[2:4] == b"\x85\x10"
    assert dnslib.DNSRecord.parse(answer).rr[0].rclass == 1


@given(raw=st.binary(max_size=80), seed=st.integers(0, 2**32))
def test_any_octets_are_understood_refused_or_ignored(raw: bytes, seed: int) -> None:
    """Random octets, and a good query with random octets changed."""
    catalog = FakeCatalog()
    answerer = Answerer(catalog.agent, DnsSettings(), max_plans=4, catalog_timeout_ms=1000, rng=random.Random(0))
    rng = random.Random(seed)
    mutated = bytearray(b"\0\1" + QUERY)
    for _ in range(rng.randint(1, 4)):
        mutated[rng.randrange(len(mutated))] = rng.randrange(256)
    for data in (raw, bytes(mutated)):
        for is_tcp in (False, True):
            understood = answerer.understand(data, is_tcp=is_tcp)
            if isinstance(understood, Plan):
                body = asyncio.run(answerer.answer(understood, data, "127.0.0.1"))
                assert dnslib.DNSRecord.parse(data[:2] + body).header.id == int.from_bytes(data[:2], "big")
            elif understood is not None:
                assert len(understood) == 10


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


def frame(number: int) -> bytes:
    data = number.to_bytes(2, "big") + QUERY
    return len(data).to_bytes(2, "big") + data


async def test_many_queries_on_one_connection_are_all_answered(interface: DnsInterface) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(interface))
    writer.write(b"".join(frame(number) for number in range(100)))
    writer.write_eof()
    answered = [int.from_bytes((await read_frame(reader))[:2], "big") for _ in range(100)]
    assert sorted(answered) == list(range(100))
    # What was asked before the end of the stream is answered before the connection closes.
    assert await reader.read() == b""
    writer.close()


async def test_a_frame_may_come_in_pieces(interface: DnsInterface) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(interface))
    for octet in frame(7):
        writer.write(bytes((octet,)))
        await writer.drain()
    assert (await read_frame(reader))[:2] == b"\x00\x07"
    writer.close()


async def test_a_slow_answer_is_overtaken(catalog: FakeCatalog, interface: DnsInterface) -> None:
    gate = asyncio.Event()
    numbers = itertools.count()
    original = catalog._health_service_nodes

    async def slow_first(request: object) -> object:
        if next(numbers) == 0:
            await gate.wait()
        return original(request)  # type: ignore[arg-type]

    catalog.agent.answer(HEALTH_SERVICE_NODES, slow_first)  # type: ignore[arg-type]
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(interface))
    writer.write(frame(1) + frame(2))
    assert (await read_frame(reader))[:2] == b"\x00\x02"
    gate.set()
    assert (await read_frame(reader))[:2] == b"\x00\x01"
    writer.close()


async def test_an_idle_connection_is_closed(interface: DnsInterface) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(interface))
    writer.write(b"\x00")
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_connections_beyond_the_bound_are_closed_at_once(interface: DnsInterface) -> None:
    held = []
    for number in range(3):
        held.append(await asyncio.open_connection("127.0.0.1", port_of(interface)))
        held[-1][1].write(frame(number))
        await read_frame(held[-1][0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(interface))
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    held[0][1].write(frame(9))
    assert (await read_frame(held[0][0]))[:2] == b"\x00\x09"
    for connection in (*held, (reader, writer)):
        connection[1].close()


async def test_queries_beyond_the_bound_are_dropped_and_counted(catalog: FakeCatalog) -> None:
    gate, waiting = asyncio.Event(), asyncio.Event()

    async def hang(request: object) -> object:
        waiting.set()
        await gate.wait()
        return catalog._health_service_nodes(request)  # type: ignore[arg-type]

    catalog.agent.answer(HEALTH_SERVICE_NODES, hang)  # type: ignore[arg-type]
    interface = make_interface(catalog, config=DnsInterfaceConfig(max_queries_in_flight=1))
    await interface.start()
    try:
        first = asyncio.ensure_future(ask(interface, "web.service.consul"))
        await waiting.wait()
        assert await send_packet(interface, b"\0\2" + QUERY) is None
        assert [server.dropped for server in interface._servers if hasattr(server, "dropped")] == [1]
        gate.set()
        assert (await first).answer
        assert (await ask(interface, "web.service.consul")).answer
    finally:
        await interface.aclose()


def context(bind: list[Address]) -> InterfaceContext:
    return InterfaceContext(
        agent=FakeCatalog().agent, bind=bind, dns=DnsSettings(), http=HttpSettings(), limits=LimitSettings()
    )


async def test_the_plugins_block_says_where_in_place_of_the_agent_file() -> None:
    for bind, config, host in [
        ([], DnsInterfaceConfig(port=0), "127.0.0.1"),
        ([Address("127.0.0.2", 1)], DnsInterfaceConfig(port=0), "127.0.0.2"),
        ([], DnsInterfaceConfig(address="127.0.0.3", port=0), "127.0.0.3"),
        ([Address("127.0.0.2", 0)], DnsInterfaceConfig(address="127.0.0.4"), "127.0.0.4"),
    ]:
        interface = DnsInterface(context(bind), config)
        await interface.start()
        addresses = list(interface.addresses())
        await interface.aclose()
        assert [address.rpartition(":")[0] for address in addresses] == [host, host]
        assert [address.rpartition(" ")[2] for address in addresses] == ["(udp)", "(tcp)"]


async def test_a_port_that_only_tcp_has_taken_is_an_error_too() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    interface = DnsInterface(context([Address("127.0.0.1", port)]), DnsInterfaceConfig())
    with pytest.raises(PluginStartError, match=f"127.0.0.1:{port}"):
        await interface.start()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("wildcard", "asked"), [("0.0.0.0", "127.0.0.5"), ("0.0.0.0", "127.0.0.1"), ("::", "::1")], ids=str
)
async def test_a_wildcard_socket_answers_from_the_address_that_was_asked(wildcard: str, asked: str) -> None:
    """A connected client hears nothing from any other address."""
    interface = DnsInterface(context([Address(wildcard, 0)]), DnsInterfaceConfig())
    await interface.start()
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(_Exchange, remote_addr=(asked, port_of(interface)))
    try:
        transport.sendto(b"\0\7" + QUERY)
        async with asyncio.timeout(5):
            assert (await protocol.answer)[:2] == b"\0\7"
    finally:
        transport.close()
        await interface.aclose()
