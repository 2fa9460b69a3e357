"""Names outside the agent's domain, answered by other name servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dnslib
import pytest

from consul_kernel.structs.node import Node
from consul_kernel.structs.service import NodeService
from consul_kernel.structs.settings import DnsSettings
from consul_kernel_dns.recursors import MAX_FORWARDED, is_answer_to, parse_server
from plugins.interfaces.dns.fake_catalog import FakeCatalog, ask, lines, make_interface

Answer = Callable[[dnslib.DNSRecord], dnslib.DNSRecord | bytes | None]


class FakeRecursor(asyncio.DatagramProtocol):
    """Answers over UDP and TCP what a function makes of the question; None for silence."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._reply(data)
        if reply is not None:
            self._transport.sendto(reply, addr)

    def _reply(self, data: bytes) -> bytes | None:
        self.asked.append(data)
        reply = self.answer(dnslib.DNSRecord.parse(data))
        return reply.pack() if isinstance(reply, dnslib.DNSRecord) else reply

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        reply = self._reply(await reader.readexactly(size))
        if reply is not None:
            writer.write(len(reply).to_bytes(2, "big") + reply)
        writer.close()


@asynccontextmanager
async def recursor(answer: Answer) -> AsyncIterator[FakeRecursor]:
    fake = FakeRecursor(answer)
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    transport, _ = await loop.create_datagram_endpoint(lambda: fake, local_addr=("127.0.0.1", fake.port))
    try:
        yield fake
    finally:
        transport.close()
        server.close()
        await server.wait_closed()


def zone(*records: str) -> Answer:
    """Answers every question with the same records."""

    def answer(question: dnslib.DNSRecord) -> dnslib.DNSRecord:
        reply = question.reply(ra=1, aa=0)
        reply.add_answer(*dnslib.RR.fromZone("\n".join(records)))
        return reply

    return answer


def refusing(rcode: int) -> Answer:
    def answer(question: dnslib.DNSRecord) -> dnslib.DNSRecord:
        reply = question.reply(ra=1, aa=0)
        reply.header.rcode = rcode
        return reply

    return answer


def silent(question: dnslib.DNSRecord) -> None:
    return None


@asynccontextmanager
async def asking(
    catalog: FakeCatalog, *ports: int, timeout_ms: int = 2000
) -> AsyncIterator[Callable[..., Awaitable[dns.message.Message]]]:
    servers = tuple(f"127.0.0.1:{port}" for port in ports)
    interface = make_interface(catalog, DnsSettings(recursors=servers, recursor_timeout_ms=timeout_ms))
    await interface.start()
    try:
        yield lambda *arguments, **options: ask(interface, *arguments, **options)
    finally:
        await interface.aclose()


@pytest.fixture
def catalog() -> FakeCatalog:
    return FakeCatalog()


@pytest.mark.parametrize("tcp", [False, True])
async def test_other_names_are_forwarded_and_the_answer_handed_back(catalog: FakeCatalog, *, tcp: bool) -> None:
    async with recursor(zone("example.com. 60 IN A 192.0.2.1")) as fake, asking(catalog, fake.port) as ask_it:
        answer = await ask_it("example.com", "A", tcp=tcp)
    assert lines(answer.answer) == ["example.com. 60 IN A 192.0.2.1"]
    assert dns.flags.to_text(answer.flags) == "QR RD RA"
    # dnspython checks the id of the answer; the recursor was asked with another one.
    assert len(fake.asked) == 1


async def test_own_names_are_not_forwarded_but_say_that_recursion_is_available(catalog: FakeCatalog) -> None:
    catalog.serve("web", "10.0.0.1")
    async with recursor(silent) as fake, asking(catalog, fake.port) as ask_it:
        for name in ("web.service.consul", "none.service.consul", "consul"):
            answer = await ask_it(name, "A")
            assert dns.flags.to_text(answer.flags) == "QR AA RD RA"
    assert fake.asked == []


@pytest.mark.parametrize("first", [silent, refusing(dns.rcode.SERVFAIL), refusing(dns.rcode.REFUSED)])
async def test_the_next_recursor_is_asked_when_one_fails(catalog: FakeCatalog, first: Answer) -> None:
    async with (
        recursor(first) as broken,
        recursor(zone("example.com. 60 IN A 192.0.2.1")) as good,
        asking(catalog, broken.port, good.port, timeout_ms=100) as ask_it,
    ):
        answer = await ask_it("example.com", "A")
    assert lines(answer.answer) == ["example.com. 60 IN A 192.0.2.1"]
    assert len(broken.asked) == 1


async def test_recursors_may_be_asked_in_random_order(catalog: FakeCatalog) -> None:
    async with (
        recursor(zone("example.com. 60 IN A 192.0.2.1")) as first,
        recursor(zone("example.com. 60 IN A 192.0.2.1")) as second,
    ):
        servers = tuple(f"127.0.0.1:{fake.port}" for fake in (first, second))
        interface = make_interface(catalog, DnsSettings(recursors=servers, recursor_strategy="random"))
        await interface.start()
        for _ in range(40):
            assert lines((await ask(interface, "example.com")).answer) == ["example.com. 60 IN A 192.0.2.1"]
        await interface.aclose()
    assert len(first.asked) + len(second.asked) == 40
    assert min(len(first.asked), len(second.asked)) > 2


async def test_no_such_name_is_an_answer(catalog: FakeCatalog) -> None:
    async with (
        recursor(refusing(dns.rcode.NXDOMAIN)) as first,
        recursor(silent) as second,
        asking(catalog, first.port, second.port) as ask_it,
    ):
        assert (await ask_it("example.com", "A")).rcode() == dns.rcode.NXDOMAIN
    assert second.asked == []


async def test_servfail_when_every_recursor_fails(catalog: FakeCatalog) -> None:
    async with recursor(silent) as fake, asking(catalog, fake.port, 1, timeout_ms=50) as ask_it:
        for tcp in (False, True):
            answer = await ask_it("example.com", "A", tcp=tcp, edns=1232)
            assert answer.rcode() == dns.rcode.SERVFAIL
            assert (dns.flags.to_text(answer.flags), answer.edns) == ("QR RD RA", 0)


async def test_no_more_than_a_bounded_number_of_queries_is_forwarded_at_once(catalog: FakeCatalog) -> None:
    async with recursor(silent) as fake, asking(catalog, fake.port, timeout_ms=1000) as ask_it:
        names = [f"n{number}.example.com" for number in range(MAX_FORWARDED + 20)]
        answers = await asyncio.gather(*(ask_it(name, "A") for name in names))
    assert {answer.rcode() for answer in answers} == {dns.rcode.SERVFAIL}
    assert len(fake.asked) <= MAX_FORWARDED


async def test_answers_to_other_questions_are_not_believed(catalog: FakeCatalog) -> None:
    def forged(question: dnslib.DNSRecord) -> dnslib.DNSRecord:
        other = dnslib.DNSRecord.question("victim.example.com")
        other.header.id = question.header.id
        return zone("victim.example.com. 60 IN A 192.0.2.66")(other)

    async with recursor(forged) as fake, asking(catalog, fake.port, timeout_ms=100) as ask_it:
        assert (await ask_it("example.com", "A")).rcode() == dns.rcode.SERVFAIL


async def test_reverse_names_that_the_catalog_lacks_are_forwarded(catalog: FakeCatalog) -> None:
    catalog.register(Node(node="web", address="10.0.0.1"))
    answer_text = "9.0.0.10.in-addr.arpa. 5 IN PTR other.example.com."
    async with recursor(zone(answer_text)) as fake, asking(catalog, fake.port) as ask_it:
        known = await ask_it("1.0.0.10.in-addr.arpa", "PTR")
        other = await ask_it("9.0.0.10.in-addr.arpa", "PTR")
    assert lines(known.answer) == ["1.0.0.10.in-addr.arpa. 0 IN PTR web.node.dc1.consul."]
    assert lines(other.answer) == [answer_text]


async def test_ds_of_the_domain_itself_is_the_parents(catalog: FakeCatalog) -> None:
    async with recursor(refusing(dns.rcode.NXDOMAIN)) as fake, asking(catalog, fake.port) as ask_it:
        await ask_it("consul", "DS")
    assert len(fake.asked) == 1


CHAIN = ("web.example.com. 60 IN CNAME host.example.com.", "host.example.com. 60 IN A 192.0.2.7")


@pytest.mark.parametrize("record_type", ["A", "ANY"])
async def test_a_cname_is_chased_outside(catalog: FakeCatalog, record_type: str) -> None:
    catalog.register(Node(node="ext", address="web.example.com"))
    catalog.add_service("ext", NodeService(service="ext", port=443))
    async with recursor(zone(*CHAIN)) as fake, asking(catalog, fake.port) as ask_it:
        node = await ask_it("ext.node.consul", record_type)
        service = await ask_it("ext.service.consul", record_type)
    for name, answer in (("ext.node.consul.", node), ("ext.service.consul.", service)):
        assert lines(answer.answer) == sorted(
            [
                f"{name} 0 IN CNAME web.example.com.",
                "web.example.com. 0 IN CNAME host.example.com.",
                "host.example.com. 0 IN A 192.0.2.7",
            ]
        )


async def test_srv_carries_the_addresses_of_a_name_outside(catalog: FakeCatalog) -> None:
    catalog.add_service("agent-one", NodeService(service="ext", port=443, address="web.example.com"))
    async with recursor(zone(*CHAIN)) as fake, asking(catalog, fake.port) as ask_it:
        answer = await ask_it("ext.service.consul", "SRV")
    assert lines(answer.answer) == ["ext.service.consul. 0 IN SRV 1 1 443 web.example.com."]
    assert "host.example.com. 0 IN A 192.0.2.7" in lines(answer.additional)


@pytest.mark.parametrize("answer", [silent, lambda question: b"\0" * 40, refusing(dns.rcode.REFUSED)])
async def test_a_cname_stands_alone_when_nobody_knows_its_target(catalog: FakeCatalog, answer: Answer) -> None:
    catalog.register(Node(node="ext", address="web.example.com"))
    async with recursor(answer) as fake, asking(catalog, fake.port, timeout_ms=50) as ask_it:
        reply = await ask_it("ext.node.consul", "A")
    assert lines(reply.answer) == ["ext.node.consul. 0 IN CNAME web.example.com."]


async def test_no_more_than_five_records_are_chased_without_edns(catalog: FakeCatalog) -> None:
    catalog.register(Node(node="ext", address="web.example.com"))
    records = [f"web.example.com. 60 IN A 192.0.2.{number}" for number in range(20)]
    async with recursor(zone(*records)) as fake, asking(catalog, fake.port) as ask_it:
        plain = await ask_it("ext.node.consul", "A", tcp=True)
        with_edns = await ask_it("ext.node.consul", "A", tcp=True, edns=4096)
    assert (len(lines(plain.answer)), len(lines(with_edns.answer))) == (6, 21)


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("8.8.8.8", ("8.8.8.8", 53)),
        ("8.8.8.8:5353", ("8.8.8.8", 5353)),
        ("::1", ("::1", 53)),
        ("[::1]", ("::1", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
    ],
)
def test_recursor_addresses(text: str, server: tuple[str, int]) -> None:
    assert parse_server(text) == server


def test_an_answer_belongs_to_its_query_by_id_and_question() -> None:
    query = dnslib.DNSRecord.question("Example.com", "A")
    packet = bytes(query.pack())
    good = bytes(query.reply().pack())
    assert is_answer_to(packet, good)
    assert is_answer_to(packet, good[:12] + good[12:].lower())
    assert not is_answer_to(packet, packet)
    assert not is_answer_to(packet, bytes((good[0] ^ 1,)) + good[1:])
    assert not is_answer_to(packet, good.replace(b"com", b"net"))
    assert not is_answer_to(packet, good[:11])
