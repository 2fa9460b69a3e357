"""JSON as Go's encoding/json reads it from a request's body, with its error texts.

A body is the first value of the text: what follows it is not looked at. Invalid UTF-8 becomes U+FFFD, and so does
half of a surrogate pair, which is no character and could be written nowhere.
(Go: encoding/json scanner.go; Consul answers with these texts.)
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec

from consul_kernel.contracts.errors import RequestError

MAX_DEPTH = 10_000
"""Go's limit of nesting."""

_SAFE_DEPTH = 200
"""Nesting beyond which Python's decoders would run out of stack; no body of Consul's API comes near."""

_SHOWN_DIGITS = 100

_SPACE = re.compile(rb"[ \t\r\n]*")
_NUMBER_START = frozenset(b"-0123456789")
_DIGITS = re.compile(rb"[0-9]*")
_STRING_RUN = re.compile(rb'[^"\\\x00-\x1f]*')
_ESCAPES = frozenset(b'bfnrt\\/"')
_HEX = frozenset(b"0123456789abcdefABCDEF")
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_LITERALS = {ord("t"): b"true", ord("f"): b"false", ord("n"): b"null"}


def decode_json(data: bytes) -> Any:
    """The first JSON value in `data`. Raises RequestError with Go's text: `EOF`, `invalid character …`."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        end = _Scanner(data).first_value()
    try:
        value = json.loads(data[:end].decode("utf-8", "replace"), parse_float=_finite)
    except (ValueError, RecursionError):
        raise RequestError("json: cannot unmarshal number into Go value of type int") from None
    return _without_surrogates(value) if _SURROGATE_ESCAPE.search(data, 0, end) else value


def _finite(text: str) -> float:
    """A number that a float64 can hold."""
    number = float(text)
    if math.isinf(number):
        raise RequestError(f"json: cannot unmarshal number {text[:_SHOWN_DIGITS]} into Go value of type float64")
    return number


def _without_surrogates(value: Any) -> Any:
    """The value with U+FFFD for each half of a surrogate pair; pairs are characters by now."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


class _Scanner:
    """Finds the end of the first value, or says as Go does why there is none."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._open: list[int] = []

    def first_value(self) -> int:
        """The offset behind the first value."""
        if self._skip_space() is None:
            raise RequestError("EOF")
        self._begin_value("looking for beginning of value")
        while self._open:
            if self._open[-1] == ord("{"):
                self._continue_object()
            else:
                self._continue_array()
        return self._at

    def _skip_space(self) -> int | None:
        match = _SPACE.match(self._data, self._at)
        self._at = match.end() if match else self._at
        return self._peek()

    def _peek(self) -> int | None:
        return self._data[self._at] if self._at < len(self._data) else None

    def _next(self) -> int:
        """The next character that is no space; the text may not end here."""
        char = self._skip_space()
        if char is None:
            raise RequestError("unexpected EOF")
        return char

    def _unexpected(self, context: str) -> RequestError:
        char = self._peek()
        if char is None:
            return RequestError("unexpected EOF")
        return RequestError(f"invalid character {_quote_char(char)} {context}")

    def _begin_value(self, context: str) -> None:
        char = self._next()
        if char in b"{[":
            self._open.append(char)
            if len(self._open) > MAX_DEPTH:
                raise RequestError("exceeded max depth")
            if len(self._open) > _SAFE_DEPTH:
                raise RequestError("json: values are nested too deeply")
            self._at += 1
            self._begin_inside(char)
        elif char == ord('"'):
            self._string()
        elif char in _NUMBER_START:
            self._number()
        elif char in _LITERALS:
            self._literal(_LITERALS[char])
        else:
            raise self._unexpected(context)

    def _begin_inside(self, opener: int) -> None:
        """Read the first key or element, or the end of an empty object or array."""
        char = self._next()
        if opener == ord("{"):
            if char == ord("}"):
                self._close()
            else:
                self._key_and_value()
        elif char == ord("]"):
            self._close()
        else:
            self._begin_value("looking for beginning of value")

    def _close(self) -> None:
        self._at += 1
        self._open.pop()

    def _continue_object(self) -> None:
        char = self._next()
        if char == ord(","):
            self._at += 1
            self._next()
            self._key_and_value()
        elif char == ord("}"):
            self._close()
        else:
            raise self._unexpected("after object key:value pair")

    def _continue_array(self) -> None:
        char = self._next()
        if char == ord(","):
            self._at += 1
            self._begin_value("looking for beginning of value")
        elif char == ord("]"):
            self._close()
        else:
            raise self._unexpected("after array element")

    def _key_and_value(self) -> None:
        if self._peek() != ord('"'):
            raise self._unexpected("looking for beginning of object key string")
        self._string()
        if self._next() != ord(":"):
            raise self._unexpected("after object key")
        self._at += 1
        self._begin_value("looking for beginning of value")

    def _string(self) -> None:
        self._at += 1
        while True:
            match = _STRING_RUN.match(self._data, self._at)
            self._at = match.end() if match else self._at
            char = self._peek()
            if char == ord('"'):
                self._at += 1
                return
            if char != ord("\\"):
                raise self._unexpected("in string literal")
            self._at += 1
            self._escape()

    def _escape(self) -> None:
        char = self._peek()
        if char == ord("u"):
            self._at += 1
            for _ in range(4):
                if self._peek() not in _HEX:
                    raise self._unexpected("in \\u hexadecimal character escape")
                self._at += 1
        elif char in _ESCAPES:
            self._at += 1
        else:
            raise self._unexpected("in string escape code")

    def _number(self) -> None:
        if self._peek() == ord("-"):
            self._at += 1
        if self._peek() == ord("0"):
            self._at += 1
        elif not self._digits():
            raise self._unexpected("in numeric literal")
        if self._peek() == ord("."):
            self._at += 1
            if not self._digits():
                raise self._unexpected("after decimal point in numeric literal")
        if self._peek() in {ord("e"), ord("E")}:
            self._at += 1
            if self._peek() in {ord("+"), ord("-")}:
                self._at += 1
            if not self._digits():
                raise self._unexpected("in exponent of numeric literal")

    def _digits(self) -> bool:
        match = _DIGITS.match(self._data, self._at)
        end = match.end() if match else self._at
        moved = end > self._at
        self._at = end
        return moved

    def _literal(self, word: bytes) -> None:
        for position, char in enumerate(word):
            if position and self._peek() != char:
                raise self._unexpected(f"in literal {word.decode()} (expecting {_quote_char(char)})")
            self._at += 1


def _quote_char(char: int) -> str:
    """A character as Go's scanner shows it."""
    if char == ord("'"):
        return r"'\''"
    if char == ord('"'):
        return "'\"'"
    special = {7: r"\a", 8: r"\b", 9: r"\t", 10: r"\n", 11: r"\v", 12: r"\f", 13: r"\r", 92: r"\\"}
    if char in special:
        return f"'{special[char]}'"
    if char < 0x20 or char == 0x7F:
        return f"'\\x{char:02x}'"
    if 0x80 <= char < 0xA1 or char == 0xAD:
        return f"'\\u{char:04x}'"
    return f"'{chr(char)}'"
