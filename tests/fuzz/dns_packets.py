"""Packets for a DNS port: names of every form that the interface answers, and packets that are wrong in many ways."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass

from fuzz.choices import Choices, octets, once_in, one_of

_TYPES = (1, 28, 33, 255, 16, 5, 12, 6, 2, 15, 35, 41, 43, 46, 249, 250, 251, 252, 253, 0, 257, 65_280, 65_535)
_CLASSES = (1, 1, 1, 3, 4, 254, 255, 0, 65_535)
_FRONTS = (
    *((b"web", b"service"), (b"t1", b"web", b"service"), (b"_web", b"_tcp", b"service"), (b"_web", b"_t1")),
    *((b"_web", b"_t1.x", b"service"),),
    *((b"server", b"node"), (b"ext", b"node", b"dc1"), (b"q", b"query"), (b"7f000001", b"addr")),
    *((b"0" * 32, b"addr"), (b"zz", b"addr")),
    *((b"web", b"connect"), (b"web", b"ingress"), (b"consul", b"service"), (b"ns",), ()),
    *((b"nope", b"service", b"dc9"), (b"a", b"b", b"c")),
    *((b"service",), (b"node",), (b"query",), (b"addr",), (b"_tcp", b"service"), (b"_", b"_", b"service")),
    *((b"server", b"node", b"dc1", b"x"),),
)  # fmt: skip
_ZONES = (
    *((b"consul",), (b"consul",), (b"CoNsUl",), (b"dc1", b"consul"), (b"8", b"0", b"0", b"127", b"in-addr", b"arpa")),
    *((),),
    *((b"1", b"0", b"0", b"127", b"in-addr", b"arpa"), (b"300", b"0", b"0", b"127", b"in-addr", b"arpa")),
    *((b"in-addr", b"arpa"),),
    *((*(b"0",) * 31, b"1", b"ip6", b"arpa"), (*(b"g",) * 32, b"ip6", b"arpa"), (b"ip6", b"arpa")),
    *((b"example", b"com"),),
)  # fmt: skip
_LABELS = (
    b"x" * 63,
    b"",
    b"\0",
    b".",
    b"a.b",
    b"\\",
    b"\xff\xfe",
    "é".encode(),
    b"xn--9a",
    b"*",
    b"(",
    b" ",
    b"${name}",
    b"_",
    b"@",
)
_OPTIONS = (8, 8, 10, 3, 11, 12, 15, 0, 65_001, 65_535)
_SUBNETS = (
    *(
        b"\x00\x01\x18\x00\x7f\x00\x00",
        b"\x00\x01\x20\x00\x7f\x00\x00\x01",
        b"\x00\x02\x38\x00" + b"\xfe" * 7,
        b"",
        b"\x00",
    ),
    *(
        b"\x00\x01\xff\x00" + b"\x7f" * 40,
        b"\x00\x09\x08\x00\x01",
        b"\x00\x01\x00\x00",
        b"\x00\x02\x80\x80" + b"\0" * 16,
    ),
)


@dataclass(frozen=True, slots=True)
class Packet:
    """One message. `is_valid` where the answer must repeat the question."""

    data: bytes
    is_valid: bool = False

    def __repr__(self) -> str:
        return f"{self.data[:200]!r}\n  --again dns:{base64.b85encode(self.data).decode()}"


def _wire_name(labels: list[bytes]) -> bytes:
    return b"".join(bytes((len(label) & 0xFF,)) + label for label in labels) + b"\0"


def _labels(choices: Choices) -> list[bytes]:
    labels = [*one_of(choices, _FRONTS), *one_of(choices, _ZONES)]
    if once_in(choices, 4):
        at = choices.below(len(labels) + 1)
        labels.insert(at, one_of(choices, _LABELS) if choices.below(2) else octets(choices, 64))
    if once_in(choices, 4):
        labels = [label.swapcase() for label in labels]
    return labels


def _opt(choices: Choices) -> bytes:
    options = b""
    for _ in range(choices.below(3)):
        value = one_of(choices, _SUBNETS) if choices.below(2) else octets(choices, 20)
        options += struct.pack("!HH", one_of(choices, _OPTIONS), len(value)) + value
    if once_in(choices, 6):
        options += octets(choices, 8)
    length = len(options) if not once_in(choices, 8) else choices.below(65_536)
    size = one_of(choices, (1232, 512, 4096, 0, 1, 511, 65_535))
    extended_flags = one_of(choices, (0, 0, 1 << 15, 1 << 16, 1 << 31))
    return b"\0" + struct.pack("!HHIH", 41, size, extended_flags, length) + options


def make_question(choices: Choices) -> Packet:
    """A question that is well-formed, for whatever name."""
    labels = [label[:63] for label in _labels(choices) if label]
    while len(_wire_name(labels)) > 255:
        labels.pop(0)
    question = _wire_name(labels) + struct.pack("!HH", one_of(choices, _TYPES), one_of(choices, _CLASSES))
    flags = one_of(choices, (0x0100, 0x0000, 0x0120, 0x0110, 0x0130))
    with_edns = choices.below(2)
    opt = b"\0" + struct.pack("!HHIH", 41, one_of(choices, (1232, 512, 4096, 100)), 0, 0) if with_edns else b""
    header = struct.pack("!6H", choices.below(65_536), flags, 1, 0, 0, with_edns)
    return Packet(header + question + opt, is_valid=all(map(_is_text, labels)))


def _is_text(label: bytes) -> bool:
    """Labels that are no UTF-8 are answered with FORMERR, as the library has it that reads the questions."""
    try:
        label.decode()
    except UnicodeDecodeError:
        return False
    return True


def make_packet(choices: Choices) -> Packet:
    """A message with something wrong in it, or just octets."""
    kind = choices.below(8)
    if kind == 0:
        return Packet(octets(choices, one_of(choices, (13, 40, 600))))
    questions = 1 if choices.below(4) else one_of(choices, (0, 2, 7, 65_535))
    counts = [0 if choices.below(4) else one_of(choices, (1, 2, 3, 65_535)) for _ in range(2)]
    additional = one_of(choices, (0, 1, 1, 2, 3))
    body = b""
    for _ in range(min(questions, 8)):
        body += _name(choices) + struct.pack("!HH", one_of(choices, _TYPES), one_of(choices, _CLASSES))
    for count in counts:
        for _ in range(min(count, 3)):
            body += _record(choices)
    for _ in range(min(additional, 3)):
        body += _opt(choices) if choices.below(3) else _record(choices)
    flags = one_of(choices, (0x0100, 0x0000, 0x2100, 0x2800, 0x1000, 0x7800, 0x8100, 0x0200, 0x000F, 0x0040, 0xFFFF))
    data = struct.pack("!6H", choices.below(65_536), flags, questions, *counts, additional) + body
    if kind == 1:
        data = data[: choices.below(len(data) + 1)]
    elif kind == 2:
        changed = bytearray(data)
        for _ in range(1 + choices.below(4)):
            changed[choices.below(len(changed))] = one_of(choices, (0, 1, 12, 63, 64, 0x80, 0xC0, 0xFF))
        data = bytes(changed)
    elif kind == 3:
        data += octets(choices, 30)
    return Packet(data[:65_000])


def _name(choices: Choices) -> bytes:
    """A name, often with pointers: to itself, forwards, into the header, in a circle."""
    match choices.below(6):
        case 0:
            return struct.pack("!H", 0xC000 | one_of(choices, (12, 0, 2, 11, 13, 40, 500, 0x3FFF)))
        case 1:
            front = _wire_name(_labels(choices))[:-1]
            return front + struct.pack("!H", 0xC000 | one_of(choices, (12, 13, 12 + len(front), 0)))
        case 2:
            return _wire_name([one_of(choices, _LABELS) for _ in range(one_of(choices, (1, 5, 130)))])
        case 3:
            return one_of(choices, (b"\x40abc\0", b"\x80abc\0", b"\x3f" + b"a" * 10, b"\x01" * 300))
        case _:
            return _wire_name(_labels(choices))


def _record(choices: Choices) -> bytes:
    data = octets(choices, 30)
    length = len(data) if choices.below(4) else choices.below(65_536)
    fixed = struct.pack("!HHIH", one_of(choices, _TYPES), one_of(choices, _CLASSES), choices.below(1 << 31), length)
    return _name(choices) + fixed + data
