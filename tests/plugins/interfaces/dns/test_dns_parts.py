"""The parts that do no I/O: wire format, names, choices."""

from __future__ import annotations

import ipaddress
import random
import struct

import dns.message
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.node import Node
from consul_kernel.structs.service import NodeService, Weights
from consul_kernel_dns.material import Material
from consul_kernel_dns.naming import AddressName, Fixed, Meaning, NodeRead, ServiceRead, Zones, reversed_address
from consul_kernel_dns.pool import Group, Pool
from consul_kernel_dns.records import encode_attribute, service_ttl
from consul_kernel_dns.selection import choose_address, is_address, is_shown, srv_weight
from consul_kernel_dns.wire import (
    Record,
    RecordType,
    UnpackableNameError,
    address_record,
    name_record,
    pack_name,
    pack_text_name,
    plain_size,
    soa_record,
    srv_record,
    txt_record,
    write_message,
)

LABELS = st.sampled_from([b"web", b"WEB", b"node", b"dc1", b"consul", b"a", b"x" * 63, b"\x00.\\"])
NAMES = st.lists(LABELS, max_size=3).map(pack_name)
TTLS = st.integers(0, 2**31 - 1)
SIXTEEN_BITS = st.integers(0, 65535)

RECORDS = st.one_of(
    st.builds(address_record, NAMES, st.ip_addresses(), TTLS),
    st.builds(name_record, NAMES, st.sampled_from([RecordType.NS, RecordType.CNAME, RecordType.PTR]), TTLS, NAMES),
    st.builds(srv_record, NAMES, TTLS, priority=SIXTEEN_BITS, weight=SIXTEEN_BITS, port=SIXTEEN_BITS, target=NAMES),
    st.builds(txt_record, NAMES, TTLS, st.binary(max_size=600)),
    st.builds(
        soa_record, NAMES, TTLS, server=NAMES, mailbox=NAMES, numbers=st.tuples(*[st.integers(0, 2**32 - 1)] * 5)
    ),
)


def uncompressed(record: Record) -> bytes:
    return record.owner + record.tail


def reread(message: bytes) -> list[list[bytes]]:
    """The records of each section of a message as another library reads them, without compression.

    dnspython would merge equal records and sort their data, so each is read on its own.
    """
    parsed = dns.message.from_wire(message, one_rr_per_rrset=True)
    sections = []
    for section in (parsed.answer, parsed.authority, parsed.additional):
        wires = []
        for rrset in section:
            owner = rrset.name.to_wire()
            data = rrset[0].to_wire()
            assert owner is not None
            assert data is not None
            wires.append(owner + struct.pack("!HHIH", rrset.rdtype, rrset.rdclass, rrset.ttl, len(data)) + data)
        sections.append(wires)
    return sections


@given(
    name=NAMES,
    answers=st.lists(RECORDS, max_size=6),
    authority=st.lists(RECORDS, max_size=2),
    extras=st.lists(RECORDS, max_size=6),
)
def test_messages_say_the_same_compressed_and_plain_to_another_library(
    name: bytes, answers: list[Record], authority: list[Record], extras: list[Record]
) -> None:
    question = name + struct.pack("!HH", RecordType.ANY, 1)
    expected = [[uncompressed(record).lower() for record in section] for section in (answers, authority, extras)]
    for compress in (True, False):
        message = bytes(write_message(0x8400, question, answers, authority, extras, compress=compress))
        assert [[wire.lower() for wire in section] for section in reread(message)] == expected
    assert len(message) == plain_size(question, answers, authority, extras)


def test_pointers_stay_within_their_fourteen_bits() -> None:
    """Names that first stand beyond 16 KiB cannot be pointed at, and are written again."""
    question = pack_text_name("many.service.consul") + b"\0\x21\0\1"
    answers, extras = [], []
    for number in range(600):
        target = pack_text_name(f"node-{number}.node.dc1.consul")
        answers.append(srv_record(question[:-4], 0, priority=1, weight=1, port=1, target=target))
        extras.append(address_record(target, ipaddress.ip_address("10.0.0.1"), 0))
    message = bytes(write_message(0x8400, question, answers, [], extras, compress=True))
    assert len(message) > 0x4000
    assert reread(message)[2] == [uncompressed(record) for record in extras]


@pytest.mark.parametrize("name", ["a..b", ".a", "x" * 64, ".".join(["a" * 63] * 4)])
def test_names_that_dns_cannot_carry_are_refused(name: str) -> None:
    with pytest.raises(UnpackableNameError):
        pack_text_name(name)


@pytest.mark.parametrize(("text", "wire"), [("", b"\0"), (".", b"\0"), ("a.", b"\x01a\0"), ("é", b"\x02\xc3\xa9\0")])
def test_names_are_packed(text: str, wire: bytes) -> None:
    assert pack_text_name(text) == wire


NO = Fixed.NO_SUCH_NAME


@pytest.mark.parametrize(
    ("name", "record_type", "meaning"),
    [
        ("web.service.consul", 1, ServiceRead("dc1", "web")),
        ("v1.web.service.dc2.consul", 1, ServiceRead("dc2", "web", "v1")),
        ("a.b.web.service.consul", 1, ServiceRead("dc1", "web", "a.b")),
        ("_web._tcp.service.consul", 1, ServiceRead("dc1", "web")),
        ("_web._v1.dc2.consul", 33, ServiceRead("dc2", "web", "v1")),
        ("_web._v1.consul", 1, NO),
        ("node.service.consul", 1, ServiceRead("dc1", "node")),
        ("service.node.consul", 1, NodeRead("dc1", "service")),
        ("a.b.node.dc2.consul", 1, NodeRead("dc2", "a.b")),
        ("web.service.a.b.consul", 1, NO),
        ("0a000001.addr.consul", 16, AddressName(ipaddress.ip_address("10.0.0.1"))),
        ("0a00000g.addr.consul", 1, NO),
        ("0a0000011.addr.consul", 1, NO),
        ("0a.addr.consul", 1, AddressName(None)),
        ("consul", 1, NO),
        ("consul", 6, Fixed.ZONE_SOA),
        ("x.y.consul", 2, Fixed.ZONE_NS),
        ("consul", 252, Fixed.ZONE_TRANSFER),
        ("example.com", 6, Fixed.OUTSIDE),
        ("notconsul", 1, Fixed.OUTSIDE),
        ("", 2, Fixed.OUTSIDE),
        ("1.in-addr.arpa", 1, Fixed.REVERSE),
    ],
)
def test_what_names_mean(name: str, record_type: int, meaning: Meaning) -> None:
    labels = tuple(name.split(".")) if name else ()
    assert Zones("consul.", "", "dc1").meaning(labels, record_type) == meaning


@given(st.ip_addresses())
def test_reverse_names_are_read_back(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert reversed_address(tuple(address.reverse_pointer.split("."))) == address


@pytest.mark.parametrize(
    "name",
    ["arpa", "in-addr.arpa", "1.2.3.in-addr.arpa", "256.0.0.1.in-addr.arpa", "x.0.0.1.in-addr.arpa", "0.ip6.arpa"],
)
def test_reverse_names_of_no_address(name: str) -> None:
    assert reversed_address(tuple(name.split("."))) is None


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("k", "v", "k=v"),
        ("a=b", "c=d", "a`=b=c=d"),
        ("a`b", "c`d", "a``b=c``d"),
        ("  a b ", " v ", "` ` a b` = v "),
        ("", "v", "=v"),
        ("  ", "v", "` ` =v"),
    ],
)
def test_attributes_are_quoted_as_in_rfc_1464(key: str, value: str, text: str) -> None:
    assert encode_attribute(key, value) == text


def test_the_most_specific_time_to_live_wins() -> None:
    ttls = {"*": 1, "w*": 2, "web": 3, "web-*": 4}
    assert [service_ttl(ttls, name) for name in ("db", "www", "web", "web-1")] == [1, 2, 3, 4]
    assert service_ttl({}, "web") == 0


@pytest.mark.parametrize(
    ("record_type", "shown"),
    [(RecordType.A, "v4"), (RecordType.AAAA, "v6"), (RecordType.SRV, "v6"), (RecordType.ANY, "v6")],
)
def test_tagged_addresses_go_before_the_plain_one(record_type: RecordType, shown: str) -> None:
    assert choose_address("plain", "v6", "v4", record_type) == shown
    assert choose_address("plain", "", "", record_type) == "plain"


@pytest.mark.parametrize(
    ("text", "address", "same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.2", "10.0.0.1", False),
        ("2001:db8:0::5", "2001:db8::5", True),
        ("2001:DB8::5", "2001:db8::5", True),
        ("2001:db8::6", "2001:db8::5", False),
        ("host.example.com", "2001:db8::5", False),
        ("", "10.0.0.1", False),
        ("not:an:address", "2001:db8::5", False),
    ],
)
def test_addresses_are_the_same_in_any_spelling(text: str, address: str, *, same: bool) -> None:
    assert is_address(text, ipaddress.ip_address(address)) is same


def instance(*checks: HealthCheck) -> CheckServiceNode:
    service = NodeService(id="1", service="web", weights=Weights(passing=10, warning=3))
    return CheckServiceNode(node=Node(node="n"), service=service, checks=list(checks))


def check(status: str, service: str = "web", check_id: str = "c") -> HealthCheck:
    return HealthCheck(check_id=check_id, status=status, service_name=service)


@pytest.mark.parametrize(
    ("checks", "weight", "shown", "shown_passing"),
    [
        ([], 10, True, True),
        ([check("passing"), check("warning")], 3, True, False),
        ([check("warning", service="")], 3, True, False),
        ([check("warning", service="other")], 10, True, False),
        ([check("critical"), check("warning")], 0, False, False),
        ([check("passing", check_id="_node_maintenance")], 0, True, True),
        ([check("unheard of")], 1, True, False),
    ],
)
def test_health_decides_weight_and_showing(
    checks: list[HealthCheck], weight: int, *, shown: bool, shown_passing: bool
) -> None:
    well = instance(*checks)
    assert srv_weight(well) == weight
    assert (is_shown(well, only_passing=False), is_shown(well, only_passing=True)) == (shown, shown_passing)


def group(number: int) -> Group:
    return Group((address_record(b"\0", ipaddress.ip_address(number), 0),))


@given(count=st.integers(1, 80), limit=st.integers(0, 10), most=st.integers(1, 10), seed=st.integers())
def test_every_instance_stands_in_every_place_equally_often(count: int, limit: int, most: int, seed: int) -> None:
    groups = tuple(group(number) for number in range(count))
    material = Material([], Pool(groups, limit=limit))
    assert material.messages == []
    material.keep_messages(random.Random(seed))
    shown = min(count, limit or count, most)
    variants = len(material.messages)
    assert variants == (0 if count > 64 else 64 // count * count if count > 1 else 1)
    places: dict[tuple[int, Group], int] = {}
    for at in range(variants):
        drawn, total = material.variant(at, most)
        assert (len(drawn), total) == (shown, min(count, limit or count))
        for place, drawn_group in enumerate(drawn):
            places[place, drawn_group] = places.get((place, drawn_group), 0) + 1
    assert set(places.values()) == ({variants // count} if variants else set())


@given(count=st.integers(0, 20), limit=st.integers(0, 10), most=st.integers(1, 10), seed=st.integers())
def test_drawing_shows_distinct_groups_within_the_bounds(count: int, limit: int, most: int, seed: int) -> None:
    pool = Pool(tuple(group(number) for number in range(count)), limit=limit)
    drawn, total = pool.draw(random.Random(seed), most)
    assert total == min(count, limit or count)
    assert len(drawn) == len(set(drawn)) == min(total, most)
