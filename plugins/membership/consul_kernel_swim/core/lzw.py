"""LZW as Go's compress/lzw writes it: least significant bit first, 8-bit literals, codes of 9 to 12 bits.

The writer gives Go's bytes exactly. The reader is bounded by the size that the caller allows, since a few hundred
bytes can expand to megabytes.
"""

from __future__ import annotations

from typing import Final

from consul_kernel.contracts.errors import PeerProtocolError

_CLEAR: Final = 256
_END: Final = 257
_LAST_CODE: Final = 4095
_LITERALS: Final = tuple(bytes((byte,)) for byte in range(256))


def compress(data: bytes) -> bytes:
    """`data` as one LZW stream, clear code first and end code last."""
    out = bytearray()
    bits, bit_count, width = _CLEAR, 9, 9
    last_code, grow_at = _END, 512
    table: dict[int, int] = {}
    prefix = -1
    for byte in data:
        if prefix < 0:
            prefix = byte
            continue
        key = prefix << 8 | byte
        longer = table.get(key)
        if longer is not None:
            prefix = longer
            continue
        bits |= prefix << bit_count
        bit_count += width
        last_code += 1
        if last_code == grow_at:
            width += 1
            grow_at <<= 1
        if last_code == _LAST_CODE:
            bits |= _CLEAR << bit_count
            bit_count += width
            width, last_code, grow_at = 9, _END, 512
            table = {}
        else:
            table[key] = last_code
        prefix = byte
        if bit_count >= 64:
            out += (bits & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "little")
            bits >>= 64
            bit_count -= 64
    if prefix >= 0:
        bits |= prefix << bit_count
        bit_count += width
        if last_code + 1 == grow_at:
            width += 1
        if last_code + 1 == _LAST_CODE:
            bits |= _CLEAR << bit_count
            bit_count += width
            width = 9
    bits |= _END << bit_count
    bit_count += width
    out += bits.to_bytes((bit_count + 7) // 8, "little")
    return bytes(out)


def decompress(data: bytes, size_max: int) -> bytes:
    """The original of one LZW stream. Raises PeerProtocolError when it is broken or longer than `size_max`."""
    out: list[bytes] = []
    size = 0
    bits = bit_count = position = 0
    width, limit = 9, 512
    table: list[bytes] = [*_LITERALS, b"", b""]
    previous = b""
    length = len(data)
    while True:
        while bit_count < width:
            if position >= length:
                raise PeerProtocolError("the LZW stream ends without its end code")
            chunk = data[position : position + 8]
            bits |= int.from_bytes(chunk, "little") << bit_count
            bit_count += len(chunk) * 8
            position += 8
        code = bits & (limit - 1)
        bits >>= width
        bit_count -= width
        if code == _CLEAR:
            width, limit, previous = 9, 512, b""
            del table[258:]
            continue
        if code == _END:
            return b"".join(out)
        current = _expand(table, code, previous)
        size += len(current)
        if size > size_max:
            raise PeerProtocolError(f"the LZW stream expands to more than {size_max} bytes")
        out.append(current)
        if previous and len(table) <= _LAST_CODE:
            table.append(previous + current[:1])
        previous = current
        if len(table) + 1 > limit and width < 12:
            width += 1
            limit <<= 1


def _expand(table: list[bytes], code: int, previous: bytes) -> bytes:
    """What a code stands for, with the case of a code that is defined by its own use."""
    if code < len(table):
        return table[code]
    if code == len(table) and previous:
        return previous + previous[:1]
    raise PeerProtocolError(f"the LZW stream holds the unknown code {code}")
