"""Entries as Consul shows them in JSON: fields in Go's order, those that say nothing left out where Go does."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET

from consul_kernel.structs.config_entry import ConfigEntry
from consul_kernel.structs.duration import format_duration_ns

from .kinds import KINDS
from .schema import Field, Fields, ListOf, Optional, Scalar, Type

_ZEROS: dict[Scalar, Any] = {
    Scalar.TEXT: "",
    Scalar.BOOL: False,
    Scalar.INTEGER: 0,
    Scalar.NUMBER: 0,
    Scalar.DURATION: 0,
    Scalar.NANOSECONDS: 0,
    Scalar.ANYTHING: None,
}
_INDEXES = (
    Field("CreateIndex", Scalar.INTEGER, omits_empty=False),
    Field("ModifyIndex", Scalar.INTEGER, omits_empty=False),
)


def show_entry(entry: ConfigEntry) -> msgspec.Struct | dict[str, Any]:
    """One entry; of a kind that is none here, as it came with an archive, all that it has."""
    values = {
        **entry.settings,
        "Kind": entry.kind,
        "Name": entry.name,
        "CreateIndex": entry.create_index,
        "ModifyIndex": entry.modify_index,
    }
    fields = KINDS.get(entry.kind)
    return values if fields is None else _record(_whole(fields), values)


@lru_cache(maxsize=64)
def _whole(fields: Fields) -> Fields:
    return Fields(fields.name, (*fields.fields, *_INDEXES))


@lru_cache(maxsize=256)
def _view_type(fields: Fields) -> type[msgspec.Struct]:
    members: list[tuple[str, Any, Any]] = [(field.name, Any, UNSET) for field in fields.fields]
    return msgspec.defstruct(f"{fields.name}View", members, kw_only=True)


def _record(fields: Fields, values: Any) -> msgspec.Struct:
    if not isinstance(values, dict):
        values = {}
    shown = {}
    for field in fields.fields:
        value = values.get(field.name)
        if not (field.omits_empty and _is_empty(field.type, value)):
            shown[field.name] = _value(field.type, value)
    return _view_type(fields)(**shown)


def _is_empty(kind: Type, value: Any) -> bool:
    """Whether Go's `omitempty` leaves it out, which it never does with a struct."""
    if isinstance(kind, Fields):
        return False
    return value is None if isinstance(kind, Optional) else not value


def _value(kind: Type, value: Any) -> Any:
    if isinstance(kind, Fields):
        return _record(kind, value)
    if isinstance(kind, Scalar):
        if kind is Scalar.DURATION and value:
            return format_duration_ns(value)
        return _ZEROS[kind] if value is None else value
    if value is None:
        return None
    if isinstance(kind, Optional):
        return _value(kind.value, value)
    if isinstance(kind, ListOf):
        return [_value(kind.item, item) for item in value] if isinstance(value, list) else None
    return {name: _value(kind.item, item) for name, item in value.items()} if isinstance(value, dict) else None
