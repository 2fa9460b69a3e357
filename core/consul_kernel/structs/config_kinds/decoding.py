"""Entries from what users write: names in Go's spelling or in snake_case, values with the leniency of `mapstructure`.

A number may be written as text, a single value in place of a list, and the other way round; durations as text or in
nanoseconds. What is null is as if it were left out. Names that mean nothing are an error.
(github.com/mitchellh/mapstructure, WeaklyTypedInput; Consul: `structs.DecodeConfigEntry`.)
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.config_entry import ConfigEntry
from consul_kernel.structs.duration import DurationError, parse_duration_ns
from consul_kernel.structs.go_quote import quote
from consul_kernel.structs.multierror import several

from .kinds import MESH, require_kind
from .schema import Field, Fields, ListOf, Optional, Scalar, Type

_INDEXES = ("CreateIndex", "ModifyIndex")
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NAMESPACE = "namespace"
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"", "0", "f", "F", "FALSE", "false", "False"})
_INT64_END = 1 << 63
_LARGEST = 1e300


def decode_entry(raw: Any) -> ConfigEntry:
    """The entry that a JSON object asks for. RequestError with Consul's text."""
    if not isinstance(raw, Mapping):
        raw = {}
    kind = raw.get("Kind", raw.get("kind"))
    if "Kind" not in raw and "kind" not in raw:
        raise RequestError("Payload does not contain a kind/Kind key at the top level")
    if not isinstance(kind, str):
        raise RequestError("Kind value in payload is not a string")
    settings = read_settings(kind, raw)
    settings.pop("Kind", None)
    return ConfigEntry(kind=kind, name=MESH if kind == MESH else settings.pop("Name", ""), settings=settings)


def read_settings(kind: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an entry of a kind, under Go's names and of their types. RequestError with Consul's text."""
    reader = _Reader()
    settings = reader.fields(require_kind(kind), raw, "")
    if reader.errors:
        shown = "\n".join(f"* {error}" for error in sorted(reader.errors))
        raise RequestError(f"{len(reader.errors)} error(s) decoding:\n\n{shown}")
    unused = [key for key in reader.unused if key not in _INDEXES]
    if unused:
        raise RequestError(several([_unused(key) for key in sorted(unused)]))
    return settings


def _unused(key: str) -> str:
    text = f"invalid config key {quote(key)}"
    return f"{text}, namespaces are a consul enterprise feature" if key.lower().endswith(_NAMESPACE) else text


class _MismatchError(Exception):
    """A value that cannot be made into one of its field's type."""


class _Reader:
    """Reads one entry, and collects what is wrong with it."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.unused: list[str] = []

    def fields(self, record: Fields, raw: Mapping[str, Any], place: str) -> dict[str, Any]:
        """A record from an object."""
        known: dict[str, Field] = {}
        for field in record.fields:
            known[field.name.lower()] = known[_WORD_START.sub("_", field.name).lower()] = field
        read: dict[str, Any] = {}
        for key, value in raw.items():
            path = f"{place}.{key}" if place else key
            meant = known.get(key.lower())
            if meant is None:
                self.unused.append(path)
            elif value is not None:
                name = f"{place}.{meant.name}" if place else meant.name
                try:
                    read[meant.name] = self._value(meant.type, value, name)
                except _MismatchError as error:
                    self.errors.append(str(error))
        return read

    def _value(self, kind: Type, value: Any, place: str) -> Any:
        if isinstance(kind, Scalar):
            if isinstance(value, list) and len(value) == 1 and kind is not Scalar.ANYTHING:
                value = value[0]
            return _SCALARS[kind](value, place)
        if isinstance(kind, Optional):
            return None if value is None else self._value(kind.value, value, place)
        if isinstance(kind, ListOf):
            items = value if isinstance(value, list) else [] if value == {} else [value]
            return [self._value(kind.item, item, f"{place}[{at}]") for at, item in enumerate(items)]
        if isinstance(value, list):
            value = _only(value, place)
        if not isinstance(value, Mapping):
            raise _MismatchError(f"'{place}' expected a map, got '{_go_kind(value)}'")
        if isinstance(kind, Fields):
            return self.fields(kind, value, place)
        return {str(key): self._value(kind.item, item, f"{place}[{key}]") for key, item in value.items()}


def _only(values: list[Any], place: str) -> Any:
    """The object in a list of one, or of objects that are one together."""
    if not all(isinstance(item, Mapping) for item in values):
        raise _MismatchError(f"'{place}' expected a map, got 'slice'")
    return {key: item for value in values for key, item in value.items()}


def _go_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "float64"
    if isinstance(value, str):
        return "string"
    return "slice" if isinstance(value, list) else "map"


def _mismatch(value: Any, place: str, go_type: str) -> _MismatchError:
    kind = {"slice": "[]interface {}", "map": "map[string]interface {}"}.get(_go_kind(value), _go_kind(value))
    return _MismatchError(f"'{place}' expected type '{go_type}', got unconvertible type '{kind}'")


def _unparsed(value: str, place: str, go_type: str, function: str) -> _MismatchError:
    reason = f"strconv.{function}: parsing {quote(value)}: invalid syntax"
    return _MismatchError(f"cannot parse '{place}' as {go_type}: {reason}")


def _text(value: Any, place: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, (int, float)):
        return str(_plain(value))
    if value == []:
        return ""
    raise _mismatch(value, place, "string")


def _bool(value: Any, place: str) -> bool:
    if isinstance(value, (bool, int, float)):
        return bool(value)
    if not isinstance(value, str):
        raise _mismatch(value, place, "bool")
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    raise _unparsed(value, place, "bool", "ParseBool")


def _integer(value: Any, place: str) -> int:
    if isinstance(value, str):
        try:
            number = int(value or "0", 0) if len(value) < 40 else _INT64_END
        except ValueError:
            raise _unparsed(value, place, "int", "ParseInt") from None
    elif isinstance(value, (bool, int, float)):
        number = int(value) if abs(value) < _INT64_END else _INT64_END
    else:
        raise _mismatch(value, place, "int")
    if not -_INT64_END <= number < _INT64_END:
        raise _MismatchError(f"cannot parse '{place}' as int: value out of range")
    return number


def _number(value: Any, place: str) -> float:
    if isinstance(value, str):
        try:
            number = float(value or "0")
        except ValueError:
            raise _unparsed(value, place, "float", "ParseFloat") from None
    elif isinstance(value, (bool, int, float)) and abs(value) < _LARGEST:
        number = float(value)
    else:
        raise _mismatch(value, place, "float32")
    if not math.isfinite(number):
        raise _MismatchError(f"cannot parse '{place}' as float: value out of range")
    return _plain(number)


def _plain(value: float) -> float:
    """A whole number as one, since Go shows no fraction where there is none."""
    return int(value) if isinstance(value, int) or value.is_integer() else value


def _anything(value: Any, place: str) -> Any:
    """A value of any shape, with whole numbers as such as far as the wire has them (Go: all are of float64)."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if abs(value) > sys.float_info.max:
            raise _mismatch(value, place, "float64")
        return _plain(value) if abs(value) < _INT64_END else float(value)
    if isinstance(value, list):
        return [_anything(item, place) for item in value]
    if isinstance(value, Mapping):
        return {key: _anything(item, place) for key, item in value.items()}
    return value


def _duration(value: Any, place: str) -> int:
    if not isinstance(value, str):
        return _integer(value, place)
    try:
        return parse_duration_ns(value)
    except DurationError as error:
        raise _MismatchError(f"error decoding '{place}': {error}") from None


_SCALARS: Mapping[Scalar, Callable[[Any, str], Any]] = {
    Scalar.TEXT: _text,
    Scalar.BOOL: _bool,
    Scalar.INTEGER: _integer,
    Scalar.NUMBER: _number,
    Scalar.DURATION: _duration,
    Scalar.NANOSECONDS: _duration,
    Scalar.ANYTHING: _anything,
}
