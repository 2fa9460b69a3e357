"""A query as it came: accepted, refused on sight, or not worth an answer."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

import dnslib

from .wire import HEADER_BYTES, Rcode, RecordType, pack_name

FLAG_RESPONSE = 0x8000
FLAG_AUTHORITATIVE = 0x0400
FLAG_TRUNCATED = 0x0200
FLAG_RECURSION_DESIRED = 0x0100
FLAG_RECURSION_AVAILABLE = 0x0080
FLAG_CHECKING_DISABLED = 0x0010
_OPCODE_SHIFT = 11
_OPCODE_QUERY = 0
_OPCODE_NOTIFY = 4
_CLIENT_SUBNET_OPTION = 8
_SUBNET_HEADER_BYTES = 4
_ADDRESS_BYTES = {1: 4, 2: 16}
"""Of an address, by the number of its family (RFC 7871 section 6)."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question and how its answer may look.

    `labels` are in lower case; `question` is the wire form that the answer repeats, in the asker's case.
    `udp_bytes` is None without EDNS. `client_subnet` is the data of the ECS option (RFC 7871), or empty.
    """

    labels: tuple[str, ...]
    question: bytes
    type: int
    flags: int
    is_tcp: bool
    udp_bytes: int | None = None
    client_subnet: bytes = b""

    @property
    def client_address(self) -> str:
        """The address that the ECS option speaks of, "" without one; bits that it leaves out are zero."""
        if len(self.client_subnet) < _SUBNET_HEADER_BYTES:
            return ""
        size = _ADDRESS_BYTES.get(int.from_bytes(self.client_subnet[:2], "big"), 0)
        octets = self.client_subnet[_SUBNET_HEADER_BYTES:]
        return str(ipaddress.ip_address(octets.ljust(size, b"\0"))) if 0 < len(octets) <= size else ""

    @property
    def name(self) -> bytes:
        """The asked name on the wire."""
        return self.question[:-4]

    def reply_flags(self, rcode: Rcode, *, authoritative: bool, recursion_available: bool) -> int:
        """The header's second word for an answer to this query."""
        flags = FLAG_RESPONSE | (self.flags & (0x7800 | FLAG_RECURSION_DESIRED | FLAG_CHECKING_DISABLED)) | rcode
        if authoritative:
            flags |= FLAG_AUTHORITATIVE
        if recursion_available:
            flags |= FLAG_RECURSION_AVAILABLE
        return flags


@dataclass(frozen=True, slots=True)
class Rejection:
    """A packet that is answered with a bare header (without its id)."""

    body: bytes


def _reject(flags: int, rcode: Rcode) -> Rejection:
    opcode = flags & 0x7800 if rcode is Rcode.NOTIMP else 0
    kept = flags & (FLAG_RECURSION_DESIRED | FLAG_CHECKING_DISABLED)
    return Rejection(struct.pack("!5H", FLAG_RESPONSE | opcode | kept | rcode, 0, 0, 0, 0))


def parse_query(packet: bytes, *, is_tcp: bool) -> Query | Rejection | None:
    """What to make of a packet; None means silence (too short for a header, or itself an answer).

    Which shapes are accepted follows the server library that Consul uses: one question, at most one record in
    answer and authority, at most two additional ones, opcode QUERY or NOTIFY.
    """
    if len(packet) < HEADER_BYTES:
        return None
    flags, questions, answers, authority, additional = struct.unpack_from("!5H", packet, 2)
    if flags & FLAG_RESPONSE:
        return None
    if (flags >> _OPCODE_SHIFT) & 0xF not in (_OPCODE_QUERY, _OPCODE_NOTIFY):
        return _reject(flags, Rcode.NOTIMP)
    if questions != 1 or answers > 1 or authority > 1 or additional > 2:
        return _reject(flags, Rcode.FORMERR)
    try:
        return _read(dnslib.DNSRecord.parse(packet), flags, is_tcp=is_tcp)
    except Exception:  # noqa: BLE001 (the parser answers garbage with many kinds of error)
        return _reject(flags, Rcode.FORMERR)


def _read(record: dnslib.DNSRecord, flags: int, *, is_tcp: bool) -> Query:
    asked = record.questions[0]
    labels = tuple(bytes(label) for label in asked.qname.label if label)
    udp_bytes, client_subnet = _read_edns(record)
    return Query(
        labels=tuple(label.decode().lower() for label in labels),
        question=pack_name(labels) + struct.pack("!HH", asked.qtype, asked.qclass),
        type=asked.qtype,
        flags=flags,
        is_tcp=is_tcp,
        udp_bytes=udp_bytes,
        client_subnet=client_subnet,
    )


def _read_edns(record: dnslib.DNSRecord) -> tuple[int | None, bytes]:
    """The UDP size that the asker takes, and its client subnet. Raises ValueError for a subnet that is none."""
    for additional in record.ar:
        if additional.rtype == RecordType.OPT:
            for option in additional.rdata:
                if option.code == _CLIENT_SUBNET_OPTION:
                    return additional.rclass, _read_subnet(bytes(option.data))
            return additional.rclass, b""
    return None, b""


def _read_subnet(data: bytes) -> bytes:
    """The data of an ECS option with as many octets of the address as its prefix needs, and no bits beyond it.

    Raises ValueError for a family that nobody knows, or a prefix that is longer than an address.
    """
    if len(data) < _SUBNET_HEADER_BYTES:
        raise ValueError("a client subnet without its header")
    family, prefix_bits = int.from_bytes(data[:2], "big"), data[2]
    size = _ADDRESS_BYTES.get(family, 0)
    if max(prefix_bits, data[3]) > 8 * size or (family != 0 and not size):
        raise ValueError(f"a client subnet of family {family} and {prefix_bits} bits")
    address = int.from_bytes(data[_SUBNET_HEADER_BYTES:][:size].ljust(size, b"\0"), "big")
    kept = address >> (8 * size - prefix_bits) << (8 * size - prefix_bits)
    return data[:_SUBNET_HEADER_BYTES] + kept.to_bytes(size, "big")[: -(-prefix_bits // 8)]
