"""Records as flags: each field is one, and what was given becomes the record again."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from consul_kernel.config.wording import choices, wording

from .flags import Arguments, Flag, FlagError, FlagType
from .record_docs import key_docs

RecordT = TypeVar("RecordT", bound=msgspec.Struct)

_TYPES = {bool: FlagType.BOOL, int: FlagType.INT, float: FlagType.FLOAT, str: FlagType.TEXT}


def flag_name(field: str) -> str:
    """`probe_interval_ms` is `-probe-interval-ms`."""
    return field.replace("_", "-")


def record_flags(record: type[msgspec.Struct]) -> tuple[Flag, ...]:
    """A flag for each field, with its docstring as the help."""
    docs = key_docs(record)
    hints = get_type_hints(record, include_extras=True)
    return tuple(
        Flag(
            flag_name(field.name),
            _flag_type(hints[field.name]),
            _help(docs.get(field.name, ""), hints[field.name]),
            default=field.default,
        )
        for field in msgspec.structs.fields(record)
    )


def _help(doc: str, hint: Any) -> str:
    one_of = choices(hint).replace("expected one", "One")
    return f"{doc} {one_of}.".strip() if one_of else doc


def _flag_type(hint: Any) -> FlagType:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _flag_type(arguments[0])
    if origin is Literal:
        return _flag_type(type(arguments[0]))
    if origin in (Union, types.UnionType):
        raise TypeError(f"a field of type {hint} cannot be a flag")
    return _TYPES[hint]


def record_from(arguments: Arguments, record: type[RecordT]) -> RecordT:
    """The record that the flags describe. Raises FlagError for a value outside its bounds."""
    values = {field.name: arguments.values[flag_name(field.name)] for field in msgspec.structs.fields(record)}
    try:
        return msgspec.convert(values, record)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        name = flag_name(path.rstrip("`"))
        if not path:
            raise FlagError(str(error)) from None
        hint = get_type_hints(record, include_extras=True)[name.replace("-", "_")]
        raise FlagError(f"invalid value for flag -{name}: {choices(hint) or wording(text)}") from None
