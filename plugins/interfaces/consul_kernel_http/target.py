"""The request target: path and query, unescaped by Go's rules (`net/url`).

Text that came from octets which are not UTF-8 carries them as lone surrogates (PEP 383), so that a key can be
turned back into exactly what the client sent: `octets_of`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from .gojson import REPLACE_EACH_OCTET

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SURROGATES = "surrogateescape"


class TargetError(ValueError):
    """An escape that Go refuses."""


def octets_of(text: str) -> bytes:
    """The octets that the client sent for an unescaped text."""
    return text.encode("utf-8", _SURROGATES)


def shown(text: str) -> str:
    """An unescaped text as valid Unicode, with U+FFFD for each octet that was not UTF-8."""
    if text.isascii():
        return text
    return text.encode("utf-8", _SURROGATES).decode("utf-8", REPLACE_EACH_OCTET)


def unescape(text: str) -> str:
    """Replace `%XX`. TargetError for a `%` that two hexadecimal digits do not follow."""
    if "%" not in text:
        return text
    if _BAD_ESCAPE.search(text):
        raise TargetError(text)
    return unquote_to_bytes(octets_of(text)).decode("utf-8", _SURROGATES)


def split_target(raw: str) -> tuple[str, str]:
    """Unescaped path and raw query of a request target in origin or absolute form.

    TargetError for a bad escape or a target without a path.
    """
    path, _, query = raw.partition("?")
    if not path.startswith("/"):
        scheme, separator, rest = path.partition("://")
        if not separator or not scheme.isalpha():
            raise TargetError(raw)
        authority, _, path = rest.partition("/")
        if not authority:
            raise TargetError(raw)
        path = "/" + path
    return unescape(path), query


def clean_path(path: str) -> str:
    """The path without empty, `.` and `..` segments, keeping a slash at its end (Go's ServeMux)."""
    if "//" not in path and "/." not in path:
        return path
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if kept:
                kept.pop()
        elif segment not in {"", "."}:
            kept.append(segment)
    cleaned = "/" + "/".join(kept)
    if path.endswith("/") and cleaned != "/":
        cleaned += "/"
    return cleaned


def escape_path(path: str) -> str:
    """A path as Go puts it into a Location header."""
    return quote(octets_of(path), safe="/$&+,:;=@-_.~")


class Query:
    """The parameters of a query, in order, each with all of its values."""

    __slots__ = ("_values", "read_options")

    def __init__(self, raw: str) -> None:
        """TargetError for a bad escape or a semicolon, both of which Go refuses."""
        values: dict[str, list[str]] = {}
        if raw:
            if ";" in raw:
                raise TargetError(raw)
            for part in raw.split("&"):
                if not part:
                    continue
                name, _, value = part.partition("=")
                if "+" in part:
                    name, value = name.replace("+", " "), value.replace("+", " ")
                values.setdefault(unescape(name), []).append(unescape(value))
        self._values = values
        self.read_options: Any = None
        """What `options` has made of it."""

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __bool__(self) -> bool:
        return bool(self._values)

    def get(self, name: str) -> str:
        """The first value as valid Unicode; "" when the parameter is absent."""
        values = self._values.get(name)
        return shown(values[0]) if values else ""

    def all(self, name: str) -> list[str]:
        """Every value as valid Unicode."""
        return [shown(value) for value in self._values.get(name, ())]

    def octets(self, name: str) -> bytes:
        """The first value as the client sent it."""
        values = self._values.get(name)
        return octets_of(values[0]) if values else b""

    def replacing(self, values: Mapping[str, str]) -> Query:
        """The same with these parameters in place of whatever they were; "" leaves one out."""
        query = Query("")
        query._values = {name: found for name, found in self._values.items() if name not in values}
        query._values |= {name: [value] for name, value in values.items() if value}
        return query

    def encoded(self) -> str:
        """All parameters sorted by name and escaped again, as Go's `Values.Encode`."""
        pairs = []
        for name in sorted(self._values):
            escaped = _escape_query(name)
            pairs += [f"{escaped}={_escape_query(value)}" for value in self._values[name]]
        return "&".join(pairs)


def _escape_query(text: str) -> str:
    return quote(octets_of(text), safe=" -_.~").replace(" ", "+")


EMPTY_QUERY = Query("")
