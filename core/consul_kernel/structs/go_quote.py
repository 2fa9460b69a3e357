"""Text in double quotes as Go's `%q` writes it (`strconv.Quote`)."""

from __future__ import annotations

_SHORT = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}
_PAST_ASCII_CONTROLS = 0x80
_PAST_BASIC_PLANE = 0x10000


def quote(text: str | bytes) -> str:
    """Printable characters stay as they are; octets that are no UTF-8 become `\\xNN`."""
    octets = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return f'"{"".join(map(_escape, octets.decode("utf-8", "surrogateescape")))}"'


def _escape(character: str) -> str:
    short = _SHORT.get(character)
    if short is not None:
        return short
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # an octet that was not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < _PAST_ASCII_CONTROLS:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < _PAST_BASIC_PLANE else f"\\U{code:08x}"
