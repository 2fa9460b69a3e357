"""Records from what users write: JSON bodies and the values of agent files, with Go's leniency and Go's complaints.

Consul reads bodies with Go's encoding/json: a field's name matches without regard to case; definitions take snake_case
besides, and durations as text (`"10s"`) or as a number of nanoseconds. A field that does not exist is refused.
(Consul: lib/json.go, the UnmarshalJSON methods of agent/structs.)
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from consul_kernel.contracts.errors import RequestError

from .check import CheckDefinition
from .check_keys import ClaimKeys, claim_all, refuse_keys, unknown_field
from .duration import DurationError, parse_duration_ns
from .go_base64 import decode_base64
from .go_json import decode_json
from .service import ServiceDefinition

RecordT = TypeVar("RecordT", bound=msgspec.Struct)

DURATION_FIELDS = frozenset(
    {
        "interval",
        "timeout",
        "ttl",
        "deregister_critical_service_after",
        "lock_delay",
        "last_contact_threshold",
        "server_stabilization_time",
    }
)
"""Integer fields of these names hold nanoseconds, and may be written as text."""

_ALIASES: Mapping[type, Mapping[str, str]] = {CheckDefinition: {"args": "script_args"}}

# Consul has two types where there is one here: `CheckDefinition` for a check by itself, `CheckType` inside of services.
_HIDDEN_AT_ROOT: Mapping[type, frozenset[str]] = {CheckDefinition: frozenset({"check_id"})}
# Made by whoever claims the keys that a definition has besides.
_NEVER_READ: Mapping[type, frozenset[str]] = {CheckDefinition: frozenset({"kind", "options"})}
_HIDDEN_INSIDE: Mapping[tuple[type, type], frozenset[str]] = {
    (ServiceDefinition, CheckDefinition): frozenset({"id", "service_id", "token"}),
}


Convert = Callable[[Any, str], Any]
"""Turns a JSON value into a field's value; the second argument is Go's name of the place. Raises RequestError."""


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """One field: its attribute, its place in Go's words (`Type.Field`), its Python type, and how a value is read."""

    attribute: str
    place: str
    type: Any
    convert: Convert


@dataclass(frozen=True, slots=True)
class RecordPlan:
    """How a record type is read: its fields by their Go name, its lower case, and their name in snake_case."""

    type: type[msgspec.Struct]
    fields: Mapping[str, FieldPlan]


def decode_record(
    record_type: type[RecordT], data: bytes | Mapping[str, Any], *, claim: ClaimKeys = refuse_keys
) -> RecordT:
    """Read a record from a JSON body, or from a dict as JSON gives it. `claim` takes unknown keys of check definitions.

    null leaves a field as it is. Raises RequestError with Go's text: `EOF`, `json: unknown field "x"`,
    `json: cannot unmarshal string into Go struct field ServiceDefinition.Port of type int`, and so on.
    """
    value = decode_json(data) if isinstance(data, bytes) else data
    plan = record_plan(record_type)
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        raise RequestError(
            f"json: cannot unmarshal {json_kind(value)} into Go value of type structs.{record_type.__name__}"
        )
    record = read_fields(plan, value)
    assert isinstance(record, record_type)
    return claim_all(record, claim)


def read_fields(plan: RecordPlan, value: Mapping[str, Any]) -> msgspec.Struct:
    """A record of the plan's type from a JSON object. Unknown keys of a check definition are left in its options."""
    arguments: dict[str, Any] = {}
    unclaimed: dict[str, Any] = {}
    fields = plan.fields
    for key, item in value.items():
        field = fields.get(key) or fields.get(key.lower())
        if field is None:
            if plan.type is not CheckDefinition:
                raise unknown_field(key)
            unclaimed[key] = item
        elif item is not None:
            arguments[field.attribute] = field.convert(item, field.place)
    if unclaimed:
        arguments["options"] = unclaimed
    return plan.type(**arguments)


@lru_cache(maxsize=256)
def record_plan(record_type: type[msgspec.Struct], inside: type[msgspec.Struct] | None = None) -> RecordPlan:
    """The plan of a type, as a whole body or inside of another; made once."""
    if inside is None:
        hidden = _HIDDEN_AT_ROOT.get(record_type, frozenset())
    else:
        hidden = _HIDDEN_INSIDE.get((inside, record_type), frozenset())
    return _make_plan(record_type, hidden)


@lru_cache(maxsize=256)
def full_plan(record_type: type[msgspec.Struct]) -> RecordPlan:
    """The plan with every field of the type, for agent files."""
    return _make_plan(record_type, frozenset())


def _make_plan(record_type: type[msgspec.Struct], hidden: frozenset[str]) -> RecordPlan:
    hints = typing.get_type_hints(record_type)
    fields: dict[str, FieldPlan] = {}
    hidden |= _NEVER_READ.get(record_type, frozenset())
    for field in msgspec.structs.fields(record_type):
        if field.name in hidden:
            continue
        hint = hints[field.name]
        place = f"{record_type.__name__}.{field.encode_name}"
        plan = FieldPlan(field.name, place, hint, _converter(hint, field.name, record_type))
        fields[field.encode_name] = plan
        fields[field.encode_name.lower()] = plan
        fields[field.name] = plan
    for alias, name in _ALIASES.get(record_type, {}).items():
        fields[alias] = fields[name]
    return RecordPlan(record_type, fields)


def json_kind(value: Any) -> str:
    """What Go calls the kind of a JSON value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, (list, tuple)) else "object"


def mismatch(value: Any, place: str, go_type: str) -> RequestError:
    """Go's complaint about a value of the wrong type."""
    kind = json_kind(value)
    if kind == "number" and go_type.startswith(("int", "uint", "time.")):
        kind = f"number {value}"
    return RequestError(f"json: cannot unmarshal {kind} into Go struct field {place} of type {go_type}")


def strip_optional(hint: Any) -> Any:
    """`X` of `X | None`."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        rest = [part for part in typing.get_args(hint) if part is not type(None)]
        if len(rest) == 1:
            return rest[0]
    return hint


def _converter(hint: Any, attribute: str, parent: type[msgspec.Struct]) -> Convert:
    hint = strip_optional(hint)
    origin = typing.get_origin(hint)
    if origin is list:
        return _list_converter(_converter(typing.get_args(hint)[0], "", parent))
    if origin is dict:
        return _dict_converter(_converter(typing.get_args(hint)[1], "", parent))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _record_converter(hint, parent)
    if hint is int and attribute in DURATION_FIELDS:
        return _to_duration
    if isinstance(hint, type) and hint in _SCALARS:
        return _SCALARS[hint]
    return _keep


def _keep(value: Any, place: str) -> Any:
    """A value of any shape. A whole number that the wire has no form for becomes a float, as all numbers are in Go."""
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return _to_float(value, place)
    if isinstance(value, list):
        return [_keep(item, place) for item in value]
    if isinstance(value, dict):
        return {key: _keep(item, place) for key, item in value.items()}
    return value


def _to_text(value: Any, place: str) -> str:
    if isinstance(value, str):
        return value
    raise mismatch(value, place, "string")


def _to_bool(value: Any, place: str) -> bool:
    if isinstance(value, bool):
        return value
    raise mismatch(value, place, "bool")


def _to_int(value: Any, place: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 64:
        return value
    raise mismatch(value, place, "int")


def _to_float(value: Any, place: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
        return float(value)
    raise mismatch(value, place, "float64")


def _to_duration(value: Any, place: str) -> int:
    if isinstance(value, str):
        try:
            return parse_duration_ns(value)
        except DurationError as error:
            raise RequestError(str(error)) from None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1 << 63:
        return int(value)
    raise mismatch(value, place, "time.Duration")


def _to_bytes(value: Any, place: str) -> bytes:
    if not isinstance(value, str):
        raise mismatch(value, place, "[]uint8")
    return decode_base64(value)


_SCALARS: Mapping[type, Convert] = {
    str: _to_text,
    bool: _to_bool,
    int: _to_int,
    float: _to_float,
    bytes: _to_bytes,
}


def _list_converter(convert: Convert) -> Convert:
    def to_list(value: Any, place: str) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            raise mismatch(value, place, "[]string")
        return [convert(item, place) for item in value]

    return to_list


def _dict_converter(convert: Convert) -> Convert:
    def to_dict(value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise mismatch(value, place, "map[string]string")
        return {key: convert(item, place) for key, item in value.items() if item is not None}

    return to_dict


def _record_converter(record_type: type[msgspec.Struct], parent: type[msgspec.Struct]) -> Convert:
    def to_record(value: Any, place: str) -> msgspec.Struct:
        if not isinstance(value, Mapping):
            raise mismatch(value, place, f"structs.{record_type.__name__}")
        return read_fields(record_plan(record_type, parent), value)

    return to_record
