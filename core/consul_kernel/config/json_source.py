"""JSON files with the line of every value.

The standard decoder says whether the text is JSON and where it is not; a second pass over text that is known to
be good then takes the positions, which that decoder cannot give.
"""

from __future__ import annotations

import json
import re
import sys
from bisect import bisect_right
from typing import NoReturn

from .problems import ConfigProblem, SourcePosition, SourceSyntaxError
from .tree import Entry, Listing, Node, Scalar, Table

MAX_DEPTH = 64
"""The deepest nesting that is read; Consul's own keys need six."""

_MAX_DIGITS = sys.int_info.default_max_str_digits
"""Of a whole number that Python reads."""
_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_CONSTANT = re.compile(rf"{_STRING.pattern}|NaN|-?Infinity")
_LONG_NUMBER = re.compile(rf"{_STRING.pattern}|-?\d{{{_MAX_DIGITS + 1},}}")
_BRACKET = re.compile(rf"{_STRING.pattern}|[\[\]{{}}]")
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?")
_WORDS: dict[str, bool | None] = {"t": True, "f": False, "n": None}
_WORD_LENGTHS = {"t": 4, "f": 5, "n": 4}


def parse_json(text: str, source: str) -> Table:
    """The object in `text`; empty text is an empty object. Raises SourceSyntaxError."""
    if not text.strip():
        return Table((), SourcePosition(source, 1, 1))
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise _syntax_error(error.msg, SourcePosition(source, error.lineno, error.colno)) from None
    except _ConstantError as error:
        raise _syntax_error(f"{error} is not JSON", _first(_CONSTANT, text, source)) from None
    except RecursionError:
        raise _too_deep(_first_too_deep(text, source)) from None
    except ValueError:
        raise _syntax_error("a number is too long", _first(_LONG_NUMBER, text, source)) from None
    node = _PositionPass(text, source).read()
    if not isinstance(node, Table):
        raise _syntax_error('a configuration is an object: { "key": value, … }', node.position)
    return node


class _ConstantError(Exception):
    """NaN or Infinity, which Python's decoder takes and JSON does not have."""


def _refuse_constant(name: str) -> NoReturn:
    raise _ConstantError(name)


def _first(what: re.Pattern[str], text: str, source: str) -> SourcePosition:
    """Where it stands first outside of strings, which the pattern takes too."""
    return next(_position(found.start(), text, source) for found in what.finditer(text) if found[0][0] != '"')


def _first_too_deep(text: str, source: str) -> SourcePosition:
    """Where the first value begins that lies deeper than MAX_DEPTH."""
    depth = 0
    for found in _BRACKET.finditer(text):
        depth += (found[0] in "[{") - (found[0] in "]}")
        if depth > MAX_DEPTH:
            return _position(found.start(), text, source)
    return SourcePosition(source)


def _position(offset: int, text: str, source: str) -> SourcePosition:
    return SourcePosition(source, text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def _syntax_error(message: str, position: SourcePosition) -> SourceSyntaxError:
    return SourceSyntaxError(ConfigProblem(f"JSON syntax: {message}", position))


def _too_deep(position: SourcePosition) -> SourceSyntaxError:
    return SourceSyntaxError(ConfigProblem(f"values are nested deeper than {MAX_DEPTH} levels", position))


class _PositionPass:
    """Reads text that is valid JSON."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._at = 0

    def read(self) -> Node:
        return self._value(0)

    def _position(self) -> SourcePosition:
        line = bisect_right(self._line_starts, self._at)
        return SourcePosition(self._source, line, self._at - self._line_starts[line - 1] + 1)

    def _skip_space(self) -> str:
        """Move to the next character that counts, and show it."""
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._text[self._at]

    def _value(self, depth: int) -> Node:
        first = self._skip_space()
        position = self._position()
        if depth > MAX_DEPTH:
            raise _too_deep(position)
        if first == "{":
            return self._object(position, depth)
        if first == "[":
            return self._array(position, depth)
        if first == '"':
            return Scalar(self._string(), position)
        if first in _WORDS:
            self._at += _WORD_LENGTHS[first]
            return Scalar(_WORDS[first], position)
        return Scalar(self._number(), position)

    def _string(self) -> str:
        match = _STRING.match(self._text, self._at)
        assert match is not None, "the first pass has read this string"
        self._at = match.end()
        return str(json.loads(match.group()))

    def _number(self) -> int | float:
        match = _NUMBER.match(self._text, self._at)
        assert match is not None, "the first pass has read this number"
        self._at = match.end()
        text = match.group()
        return float(text) if match.group(1) or match.group(2) else int(text)

    def _array(self, position: SourcePosition, depth: int) -> Listing:
        self._at += 1
        items: list[Node] = []
        while self._skip_space() != "]":
            if self._text[self._at] == ",":
                self._at += 1
                continue
            items.append(self._value(depth + 1))
        self._at += 1
        return Listing(tuple(items), position)

    def _object(self, position: SourcePosition, depth: int) -> Table:
        self._at += 1
        entries: list[Entry] = []
        while self._skip_space() != "}":
            if self._text[self._at] == ",":
                self._at += 1
                continue
            key_position = self._position()
            key = self._string()
            self._skip_space()
            self._at += 1  # the colon
            entries.append(Entry(key, self._value(depth + 1), key_position))
        self._at += 1
        return Table(tuple(entries), position)
