"""How much an answer shows: Consul's limits, sizes and flags, and chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import dns.edns
import dns.flags
import pytest

from consul_kernel.structs.node import Node
from consul_kernel.structs.service import NodeService
from consul_kernel.structs.settings import DnsSettings
from consul_kernel_dns import DnsInterface
from plugins.interfaces.dns.fake_catalog import FakeCatalog, ask, lines, make_interface

FORTY = [f"10.11.0.{number + 1}" for number in range(40)]


@pytest.fixture
def catalog() -> FakeCatalog:
    catalog = FakeCatalog()
    catalog.serve("dns-truncation-flag-s", *FORTY)
    catalog.serve("five", *FORTY[:5])
    return catalog


@pytest.fixture
async def interface(catalog: FakeCatalog) -> AsyncIterator[DnsInterface]:
    interface = make_interface(catalog, DnsSettings(enable_truncate=True))
    await interface.start()
    yield interface
    await interface.aclose()


@pytest.mark.parametrize(
    ("record_type", "edns", "tcp", "answers", "additional", "is_cut"),
    [
        ("A", None, False, 3, 0, True),
        ("SRV", None, False, 3, 3, True),
        ("A", None, True, 40, 0, False),
        ("SRV", None, True, 40, 40, False),
        ("A", 1232, False, 40, 0, False),
        ("SRV", 1232, False, 15, 15, True),
        ("SRV", 512, False, 3, 3, True),
        ("A", 4096, False, 40, 0, False),
        ("SRV", 4096, False, 40, 40, False),
    ],
)
async def test_answers_are_cut_to_what_the_asker_takes(
    interface: DnsInterface,
    record_type: str,
    edns: int | None,
    *,
    tcp: bool,
    answers: int,
    additional: int,
    is_cut: bool,
) -> None:
    name = "dns-truncation-flag-s.service.consul"
    # More than once: the first answer to a question is built, later ones are put together from what is kept.
    for _ in range(3):
        answer = await ask(interface, name, record_type, edns=edns, tcp=tcp)
        assert (len(lines(answer.answer)), len(lines(answer.additional))) == (answers, additional)
        assert bool(answer.flags & dns.flags.TC) is is_cut
        # An answer that is cut loses its OPT record, as Consul's does.
        assert answer.edns == (0 if edns is not None and not is_cut else -1)
        assert len(answer.wire or answer.to_wire()) <= (65535 if tcp else max(edns or 512, 512))


async def test_cut_answers_carry_no_flag_unless_enabled(catalog: FakeCatalog) -> None:
    interface = make_interface(catalog, DnsSettings())
    await interface.start()
    answer = await ask(interface, "five.service.consul")
    await interface.aclose()
    assert (len(lines(answer.answer)), bool(answer.flags & dns.flags.TC)) == (3, False)


async def test_limits_of_the_settings(catalog: FakeCatalog) -> None:
    interface = make_interface(catalog, DnsSettings(udp_answer_limit=2, enable_truncate=True, a_record_limit=4))
    await interface.start()
    try:
        for record_type, edns, tcp, answers, is_cut in [
            ("A", None, False, 2, True),
            ("SRV", None, False, 2, True),
            ("A", None, True, 4, False),
            ("SRV", None, True, 5, False),
            ("A", 4096, False, 4, False),
        ]:
            answer = await ask(interface, "five.service.consul", record_type, edns=edns, tcp=tcp)
            assert (len(lines(answer.answer)), bool(answer.flags & dns.flags.TC)) == (answers, is_cut)
    finally:
        await interface.aclose()


async def test_no_more_than_eight_answers_over_plain_udp(catalog: FakeCatalog) -> None:
    interface = make_interface(catalog, DnsSettings(udp_answer_limit=100))
    await interface.start()
    answer = await ask(interface, "dns-truncation-flag-s.service.consul")
    await interface.aclose()
    assert len(lines(answer.answer)) == 8


async def test_an_answer_that_fits_uncut_is_not_flagged_nor_stripped(interface: DnsInterface) -> None:
    answer = await ask(interface, "five.service.consul", "SRV", edns=1232)
    assert (len(lines(answer.answer)), len(lines(answer.additional)), answer.edns) == (5, 5, 0)
    assert not answer.flags & dns.flags.TC


async def test_a_thousand_instances_over_tcp(catalog: FakeCatalog) -> None:
    catalog.serve("crowd", *(f"10.{number // 250}.1.{number % 250}" for number in range(1000)))
    interface = make_interface(catalog)
    await interface.start()
    a = await ask(interface, "crowd.service.consul", "A", tcp=True)
    srv = await ask(interface, "crowd.service.consul", "SRV", tcp=True)
    await interface.aclose()
    assert len(lines(a.answer)) == 1000
    # As many as 64 KiB hold, each with its address.
    assert 500 < len(lines(srv.answer)) < 1000
    assert len(lines(srv.answer)) == len(lines(srv.additional))


async def test_a_node_with_much_metadata_is_cut_like_a_service(catalog: FakeCatalog) -> None:
    catalog.register(Node(node="talker", address="10.0.0.9", meta={f"key{n}": "v" * 300 for n in range(64)}))
    interface = make_interface(catalog)
    await interface.start()
    plain = await ask(interface, "talker.node.consul", "TXT")
    whole = await ask(interface, "talker.node.consul", "TXT", tcp=True)
    await interface.aclose()
    assert len(lines(plain.answer)) == 1
    assert len(lines(whole.answer)) == 64
    # A text longer than a string of TXT is split, and loses nothing.
    [text] = {b"".join(record.strings)[5:] for record in whole.answer[0] if b"".join(record.strings)[:5] == b"key7="}
    assert text == b"v" * 300


async def test_compression_can_be_switched_off(catalog: FakeCatalog) -> None:
    sizes = []
    for disabled in (False, True):
        interface = make_interface(catalog, DnsSettings(disable_compression=disabled))
        await interface.start()
        answer = await ask(interface, "five.service.consul", tcp=True)
        await interface.aclose()
        assert len(lines(answer.answer)) == 5
        sizes.append(len(answer.wire or b""))
    assert sizes[1] - sizes[0] == 5 * (len("five.service.consul.") + 1 - 2)


async def test_the_client_subnet_is_returned_with_scope_zero(interface: DnsInterface) -> None:
    subnet = dns.edns.ECSOption("192.0.2.0", 24, 0)
    answer = await ask(interface, "five.service.consul", edns=1232, options=(subnet,))
    [returned] = answer.options
    assert isinstance(returned, dns.edns.ECSOption)
    assert (returned.address, returned.srclen, returned.scopelen) == ("192.0.2.0", 24, 0)


@pytest.mark.parametrize(
    ("given", "returned"),
    [
        (b"\0\1\x14\x08\x0a\x0b\xff\x0d\x0e\x0f", b"\0\1\x14\0\x0a\x0b\xf0"),
        (b"\0\1\x20\0\x0a", b"\0\1\x20\0\x0a\0\0\0"),
        (b"\0\2\x80\x80" + b"\xfe" * 16, b"\0\2\x80\0" + b"\xfe" * 16),
    ],
)
async def test_a_client_subnet_is_returned_as_its_prefix_has_it(
    interface: DnsInterface, given: bytes, returned: bytes
) -> None:
    answer = await ask(
        interface, "five.service.consul", edns=1232, options=(dns.edns.GenericOption(dns.edns.OptionType.ECS, given),)
    )
    [option] = answer.options
    assert option.to_wire() == returned


@pytest.mark.parametrize(
    "given",
    [b"\0\1\x18", b"\0\1\x21\0" + b"\x0a" * 5, b"\0\1\x18\x21\x0a", b"\0\2\x81\0", b"\0\3\0\0", b"\0\0\1\0"],
)
async def test_a_client_subnet_that_is_none_is_refused(interface: DnsInterface, given: bytes) -> None:
    subnet = dns.edns.GenericOption(dns.edns.OptionType.ECS, given)
    answer = await ask(interface, "five.service.consul", edns=1232, options=(subnet,))
    assert answer.rcode() == dns.rcode.FORMERR


@pytest.mark.parametrize(("name", "shown", "of"), [("five", 3, 5), ("dns-truncation-flag-s", 3, 40), ("crowd", 3, 70)])
async def test_load_is_spread_evenly_over_instances(catalog: FakeCatalog, name: str, shown: int, of: int) -> None:
    catalog.serve("crowd", *(f"10.1.1.{number}" for number in range(70)))
    interface = make_interface(catalog)
    await interface.start()
    first: Counter[str] = Counter()
    anywhere: Counter[str] = Counter()
    rounds = 20 * of
    try:
        for _ in range(rounds):
            answer = await ask(interface, f"{name}.service.consul")
            addresses = [record.address for record in answer.answer[0]]
            assert len(addresses) == shown
            first[addresses[0]] += 1
            anywhere.update(addresses)
    finally:
        await interface.aclose()
    assert len(anywhere) == of
    # 20 expected for each instance to stand first, with a deviation of about 4.5, and 60 anywhere.
    assert max(first.values()) < 50
    assert min(anywhere.values()) > 20


async def test_several_services_on_one_node_share_its_address_record(catalog: FakeCatalog) -> None:
    for port in range(4):
        catalog.add_service("agent-one", NodeService(id=f"p{port}", service="ports", port=port + 1))
    interface = make_interface(catalog)
    await interface.start()
    answer = await ask(interface, "ports.service.consul", "SRV", tcp=True)
    await interface.aclose()
    assert len(lines(answer.answer)) == 4
    assert sum(len(rrset) for rrset in answer.additional) == 2
    # dnspython merges equal records; the header counts what was sent.
    assert int.from_bytes((answer.wire or b"")[10:12], "big") == 2
