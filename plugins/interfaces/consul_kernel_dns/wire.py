"""Names and records in the wire format of RFC 1035, made for being put together many times.

A record is packed once and placed in any number of messages: everything that depends on its place (pointers to
names that the message has already shown) is decided by `MessageWriter`. Names are wire bytes throughout
(`b"\\x03web\\x06consul\\x00"`); since a label is at most 63 bytes long, `bytes.lower` on a whole name touches
letters only.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum

HEADER_BYTES = 12
POINTER_TO_QUESTION = b"\xc0\x0c"
_MAX_POINTER = 0x3FFF
_MAX_NAME_BYTES = 255
_MAX_LABEL_BYTES = 63
_MAX_TTL_S = 0x7FFFFFFF
_CLASS_IN = 1


class RecordType(IntEnum):
    """The types that take part in answers or are treated apart (RFC 1035 and its successors)."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    TXT = 16
    AAAA = 28
    SRV = 33
    OPT = 41
    DS = 43
    AXFR = 252
    ANY = 255


class Rcode(IntEnum):
    """Response codes (RFC 1035 section 4.1.1)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5


class UnpackableNameError(ValueError):
    """A name that DNS cannot carry."""


def pack_name(labels: Iterable[bytes]) -> bytes:
    """A name's wire form. Raises UnpackableNameError for an empty or overlong label, or a name above 255 bytes."""
    packed = bytearray()
    for label in labels:
        if not 0 < len(label) <= _MAX_LABEL_BYTES:
            raise UnpackableNameError(f"a label of {len(label)} bytes")
        packed.append(len(label))
        packed += label
    packed.append(0)
    if len(packed) > _MAX_NAME_BYTES:
        raise UnpackableNameError(f"a name of {len(packed)} bytes")
    return bytes(packed)


def pack_text_name(name: str) -> bytes:
    """The wire form of a dotted name; one dot at the end makes no difference. Raises UnpackableNameError."""
    name = name.removesuffix(".")
    return pack_name(label.encode(errors="replace") for label in name.split(".")) if name else b"\0"


class Record:
    """One resource record without its place.

    `owner` is a wire name. The data are `before`, then the name `target`, then `after`; a record whose data
    hold no name keeps all in `before`. `shrink_target` allows the target to become a pointer, which RFC 3597
    section 4 limits to the types of RFC 1035.
    """

    __slots__ = (
        "_target_at",
        "after",
        "before",
        "fixed",
        "owner",
        "plain_bytes",
        "shrink_target",
        "tail",
        "target",
        "ttl_s",
        "type",
    )

    def __init__(
        self,
        owner: bytes,
        record_type: int,
        ttl_s: int,
        *,
        before: bytes = b"",
        target: bytes = b"",
        after: bytes = b"",
        shrink_target: bool = False,
        record_class: int = _CLASS_IN,
    ) -> None:
        self.owner = owner
        self.type = record_type
        self.ttl_s = ttl_s
        self.before, self.target, self.after = before, target, after
        self.shrink_target = shrink_target
        self.fixed = struct.pack("!HHI", record_type, record_class, ttl_s & 0xFFFFFFFF)
        data = before + target + after
        self.tail = self.fixed + struct.pack("!H", len(data)) + data
        self._target_at = len(self.fixed) + 2 + len(before)
        self.plain_bytes = len(owner) + len(self.tail)

    def write_to(self, buffer: bytearray, offsets: dict[bytes, int]) -> None:
        """Append the record to a message whose names so far are at `offsets` (lower-case suffix to place)."""
        _write_name(buffer, offsets, self.owner)
        if self.shrink_target:
            buffer += self.fixed
            length_at = len(buffer)
            buffer += b"\0\0" + self.before
            _write_name(buffer, offsets, self.target)
            buffer += self.after
            struct.pack_into("!H", buffer, length_at, len(buffer) - length_at - 2)
            return
        if self.target:
            _remember_name(offsets, self.target.lower(), len(buffer) + self._target_at)
        buffer += self.tail

    def with_ttl(self, ttl_s: int) -> Record:
        """The same record with another time to live."""
        return Record(
            self.owner,
            self.type,
            ttl_s,
            before=self.before,
            target=self.target,
            after=self.after,
            shrink_target=self.shrink_target,
        )

    def key(self) -> tuple[bytes, bytes]:
        """Equal for records that say the same, whatever the case of the owner's name."""
        return self.owner.lower(), self.tail


def _write_name(buffer: bytearray, offsets: dict[bytes, int], name: bytes) -> None:
    """Append a name: as a pointer when all of it was shown, else labels up to a suffix that was."""
    key = name.lower()
    offset = offsets.get(key)
    if offset is not None:
        buffer += (0xC000 | offset).to_bytes(2, "big")
        return
    at, start = 0, len(buffer)
    while key[at]:
        offset = offsets.get(key[at:])
        if offset is not None:
            buffer += name[:at] + (0xC000 | offset).to_bytes(2, "big")
            return
        if start + at <= _MAX_POINTER:
            offsets[key[at:]] = start + at
        at += key[at] + 1
    buffer += name


def _remember_name(offsets: dict[bytes, int], key: bytes, start: int) -> None:
    """Note where a name that is written in full, and so its suffixes, can be pointed at."""
    at = 0
    while key[at] and start + at <= _MAX_POINTER and key[at:] not in offsets:
        offsets[key[at:]] = start + at
        at += key[at] + 1


def write_message(
    flags: int,
    question: bytes,
    answers: Sequence[Record],
    authority: Sequence[Record],
    additional: Sequence[Record],
    *,
    compress: bool,
) -> bytearray:
    """A whole message with id 0. `question` is a name with its type and class, or empty."""
    buffer = bytearray(
        struct.pack("!6H", 0, flags, 1 if question else 0, len(answers), len(authority), len(additional))
    )
    buffer += question
    if not compress:
        for section in (answers, authority, additional):
            for record in section:
                buffer += record.owner
                buffer += record.tail
        return buffer
    offsets: dict[bytes, int] = {}
    name = question[:-4]
    if len(name) > 1:
        _remember_name(offsets, name.lower(), HEADER_BYTES)
    for record in answers:
        # Nearly every answer is owned by the name that was asked, which stands at a known place.
        if record.owner == name and not record.target:
            buffer += POINTER_TO_QUESTION
            buffer += record.tail
        else:
            record.write_to(buffer, offsets)
    for record in authority:
        record.write_to(buffer, offsets)
    for record in additional:
        record.write_to(buffer, offsets)
    return buffer


def plain_size(
    question: bytes, answers: Sequence[Record], authority: Sequence[Record], additional: Sequence[Record]
) -> int:
    """Bytes of the message without compression."""
    size = HEADER_BYTES + len(question)
    for section in (answers, authority, additional):
        for record in section:
            size += record.plain_bytes
    return size


def address_record(owner: bytes, address: ipaddress.IPv4Address | ipaddress.IPv6Address, ttl_s: int) -> Record:
    """A or AAAA, as the address is."""
    record_type = RecordType.A if address.version == 4 else RecordType.AAAA
    return Record(owner, record_type, ttl_s, before=address.packed)


def name_record(owner: bytes, record_type: RecordType, ttl_s: int, target: bytes) -> Record:
    """NS, CNAME or PTR."""
    return Record(owner, record_type, ttl_s, target=target, shrink_target=True)


def srv_record(owner: bytes, ttl_s: int, *, priority: int, weight: int, port: int, target: bytes) -> Record:
    """SRV (RFC 2782): its target is written in full."""
    before = struct.pack("!HHH", priority & 0xFFFF, weight & 0xFFFF, port & 0xFFFF)
    return Record(owner, RecordType.SRV, ttl_s, before=before, target=target)


def txt_record(owner: bytes, ttl_s: int, text: bytes) -> Record:
    """TXT; a text above 255 bytes becomes several strings."""
    parts = [text[at : at + 255] for at in range(0, len(text), 255)] or [b""]
    return Record(owner, RecordType.TXT, ttl_s, before=b"".join(bytes((len(part),)) + part for part in parts))


def soa_record(
    owner: bytes, ttl_s: int, *, server: bytes, mailbox: bytes, numbers: tuple[int, int, int, int, int]
) -> Record:
    """SOA; `numbers` are serial, refresh, retry, expire and minimum."""
    after = mailbox + struct.pack("!5I", *(number & 0xFFFFFFFF for number in numbers))
    return Record(owner, RecordType.SOA, ttl_s, target=server, after=after, shrink_target=True)


def opt_record(udp_bytes: int, options: bytes) -> Record:
    """OPT (RFC 6891), whose class is the UDP payload size."""
    return Record(b"\0", RecordType.OPT, 0, before=options, record_class=udp_bytes)
