"""JSON as Go's encoding/json writes it: the octets, not only the meaning.

Clients hash and compare answers, and Consul's own tests compare text, so the escapes, the order of keys and
the indentation are Go's: struct fields in their declared order, map keys sorted, `<`, `>`, `&`, U+2028 and
U+2029 escaped, control characters as \\u00XX except \\n, \\r and \\t.
"""

from __future__ import annotations

import codecs
import re
from decimal import Decimal
from typing import Any

import msgspec

_ENCODER = msgspec.json.Encoder(order="deterministic")
_encode = _ENCODER.encode

_PLAIN_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
)
_SHORT_ESCAPE = re.compile(rb"\\(?:[^bf]|(b)|(f))")

INDENT = 4

REPLACE_EACH_OCTET = "consul_kernel_http.replace_each_octet"
"""Decoding error handler: one U+FFFD for every octet that is not UTF-8, as Go's `range` over a string gives."""


def _replace_each_octet(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error(REPLACE_EACH_OCTET, _replace_each_octet)


def text_of(octets: bytes) -> str:
    """Octets as Go shows them in JSON: UTF-8, with U+FFFD for each octet that is not."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("utf-8", REPLACE_EACH_OCTET)


def encode(value: Any, *, indent: bool = False) -> bytes:
    """Encode records and plain values; with `indent`, four spaces a level and a newline at the end."""
    out = _encode(value)
    if indent:
        out = msgspec.json.format(out, indent=INDENT) + b"\n"
    # Outside of strings none of these octets occurs, so replacing them everywhere is safe.
    # Looking for one octet is far quicker than for two, hence only the first of U+2028's.
    if b"<" in out or b">" in out or b"&" in out or b"\xe2" in out:
        for plain, escaped in _PLAIN_ESCAPES:
            out = out.replace(plain, escaped)
    if b"\\" in out and (b"\\b" in out or b"\\f" in out):
        out = _SHORT_ESCAPE.sub(_long_escape, out)
    return out


def number(value: float) -> msgspec.Raw:
    """A float in Go's form: no fraction where there is none, an exponent only below 1e-6 and from 1e21."""
    text = repr(value)
    if "e" in text and 1e-6 <= abs(value) < 1e21:
        text = format(Decimal(text), "f")
    return msgspec.Raw(text.removesuffix(".0").replace("e-0", "e-").encode())


def _long_escape(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return b"\\u0008"
    if found[2]:
        return b"\\u000c"
    return found[0]
