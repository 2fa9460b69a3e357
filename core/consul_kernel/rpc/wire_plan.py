"""Converters from MessagePack's values, with text as bytes, to a type's own; made once for each type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import inspect

Converter = Callable[[Any], Any]


def holds_octets(info: inspect.Type) -> bool:
    """Whether a type has a `bytes` anywhere in it, which the wire does not tell from text."""
    return _holds_octets(info, set())


def _holds_octets(info: inspect.Type, seen: set[Any]) -> bool:
    if isinstance(info, inspect.BytesType):
        return True
    if isinstance(info, inspect.StructType):
        if info.cls in seen:
            return False
        seen.add(info.cls)
        return any(_holds_octets(field.type, seen) for field in info.fields)
    return any(_holds_octets(inner, seen) for inner in _inner_types(info))


def _inner_types(info: inspect.Type) -> tuple[inspect.Type, ...]:
    if isinstance(info, inspect.UnionType):
        return tuple(info.types)
    if isinstance(info, inspect.ListType):
        return (info.item_type,)
    if isinstance(info, inspect.DictType):
        return (info.key_type, info.value_type)
    return ()


def make_restorer(info: inspect.Type) -> Converter | None:
    """Turns text back into octets wherever a type wants octets, in place; None where it wants none anywhere.

    For messages that were decoded as if all of the raw family were UTF-8. It leaves what it does not expect, and
    raises TypeError or AttributeError where that is not possible.
    """
    return _make_restorer(info, {})


def _make_restorer(info: inspect.Type, structs: dict[Any, Converter]) -> Converter | None:
    if not holds_octets(info):
        return None
    if isinstance(info, inspect.BytesType):
        return _restore_bytes
    if isinstance(info, inspect.StructType):
        if info.cls in structs:
            return lambda value: structs[info.cls](value)
        structs[info.cls] = restore = _make_struct_restorer(info, structs)
        return restore
    inner = next(one for one in _inner_types(info) if holds_octets(one))
    restore_one = _make_restorer(inner, structs)
    if restore_one is None or (isinstance(info, inspect.DictType) and inner is info.key_type):
        raise TypeError(f"octets within {info} have no form on Consul's wire")
    if isinstance(info, inspect.ListType):
        return lambda value: [restore_one(one) for one in value]
    if isinstance(info, inspect.DictType):
        return lambda value: {key: restore_one(one) for key, one in value.items()}
    return lambda value: None if value is None else restore_one(value)


def _make_struct_restorer(info: inspect.StructType, structs: dict[Any, Converter]) -> Converter:
    fields: list[tuple[str, Converter]] = []

    def restore(value: Any) -> Any:
        for name, restore_field in fields:
            item = value.get(name)
            if item is not None:
                value[name] = restore_field(item)
        return value

    structs[info.cls] = restore
    for field in info.fields:
        restore_field = _make_restorer(field.type, structs)
        if restore_field is not None:
            fields.append((field.encode_name, restore_field))
    return restore


def _restore_bytes(value: Any) -> Any:
    return value.encode() if type(value) is str else value


def make_converter(info: inspect.Type) -> Converter:
    """A converter; it raises ValueError or TypeError for a value of another shape."""
    return _make(info, {})


def _make(info: inspect.Type, structs: dict[Any, Converter]) -> Converter:
    simple = _SIMPLE.get(type(info))
    if simple is not None:
        return simple
    if isinstance(info, inspect.StructType):
        return _make_struct(info, structs)
    if isinstance(info, inspect.ListType):
        return _make_list(_make(info.item_type, structs))
    if isinstance(info, inspect.DictType):
        return _make_dict(_make(info.key_type, structs), _make(info.value_type, structs))
    if isinstance(info, inspect.UnionType):
        return _make_optional(info, structs)
    if isinstance(info, inspect.EnumType):
        kind = info.cls
        return lambda value: kind(_to_any(value))
    raise TypeError(f"a field of type {info} has no form on Consul's wire")


def _make_struct(info: inspect.StructType, structs: dict[Any, Converter]) -> Converter:
    kind = info.cls
    if kind in structs:
        return lambda value: structs[kind](value)  # recursion: filled in by the time it is called
    plan: dict[Any, tuple[str, Converter]] = {}
    required: list[tuple[str, Converter]] = []

    def convert(value: Any) -> Any:
        if value is None:
            value = {}
        elif type(value) is not dict:
            raise TypeError(f"{kind.__name__} expected, got {type(value).__name__}")
        fields: dict[str, Any] = {}
        for key, item in value.items():
            entry = plan.get(key)
            if entry is not None and (item is not None or entry[0] in nullable):
                fields[entry[0]] = entry[1](item)
        for name, make_zero in required:
            if name not in fields:
                fields[name] = make_zero(None)
        return kind(**fields)

    nullable: set[str] = set()
    structs[kind] = convert
    for field in info.fields:
        entry = (field.name, _make(field.type, structs))
        plan[field.encode_name.encode()] = entry
        if _takes_none(field.type):
            nullable.add(field.name)
        if field.required:
            required.append(entry)
    return convert


def _takes_none(info: inspect.Type) -> bool:
    return isinstance(info, inspect.AnyType | inspect.NoneType) or (
        isinstance(info, inspect.UnionType) and info.includes_none
    )


def _make_list(item: Converter) -> Converter:
    def convert(value: Any) -> Any:
        if value is None:
            return []
        if type(value) is not list:
            raise TypeError(f"list expected, got {type(value).__name__}")
        return [item(one) for one in value]

    return convert


def _make_dict(key: Converter, item: Converter) -> Converter:
    def convert(value: Any) -> Any:
        if value is None:
            return {}
        if type(value) is not dict:
            raise TypeError(f"map expected, got {type(value).__name__}")
        return {key(name): item(one) for name, one in value.items()}

    return convert


def _make_optional(info: inspect.UnionType, structs: dict[Any, Converter]) -> Converter:
    inner = [one for one in info.types if not isinstance(one, inspect.NoneType)]
    if len(inner) != 1 or not info.includes_none:
        raise TypeError(f"a union of {len(inner)} types has no form on Consul's wire")
    convert = _make(inner[0], structs)
    return lambda value: None if value is None else convert(value)


def _to_str(value: Any) -> str:
    if type(value) is bytes:
        return str(value, "utf-8", "replace")
    if value is None:
        return ""
    if type(value) is str:
        return value
    raise TypeError(f"text expected, got {type(value).__name__}")


def _to_bytes(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    if value is None:
        return b""
    raise TypeError(f"octets expected, got {type(value).__name__}")


def _to_int(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, int):
        return int(value)
    raise TypeError(f"number expected, got {type(value).__name__}")


def _to_float(value: Any) -> float:
    if value is None:
        return 0.0
    if isinstance(value, int | float):
        return float(value)
    raise TypeError(f"number expected, got {type(value).__name__}")


def _to_bool(value: Any) -> bool:
    if value is None or value in (0, 1):
        return bool(value)
    raise TypeError(f"flag expected, got {type(value).__name__}")


def _to_any(value: Any) -> Any:
    kind = type(value)
    if kind is bytes:
        return str(value, "utf-8", "replace")
    if kind is dict:
        return {_to_any(name): _to_any(one) for name, one in value.items()}
    if kind is list:
        return [_to_any(one) for one in value]
    if kind is msgspec.msgpack.Ext or value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{kind.__name__} has no meaning here")


_SIMPLE: dict[type[inspect.Type], Converter] = {
    inspect.StrType: _to_str,
    inspect.BytesType: _to_bytes,
    inspect.IntType: _to_int,
    inspect.FloatType: _to_float,
    inspect.BoolType: _to_bool,
    inspect.AnyType: _to_any,
}
