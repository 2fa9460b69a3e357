"""Flags with the habits of Go's `flag` package, which users of Consul's commands have in their fingers and scripts.

`-name value`, `-name=value` and the same with two dashes are equal; a boolean takes a value only after `=`;
flags stop at the first argument that is not one, or behind `--`; the error texts are Go's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_HELP = frozenset(("h", "help"))
_MAX_UINT64 = 2**64 - 1


class FlagError(Exception):
    """Arguments that do not fit the flags; the text is for the user."""


class HelpRequested(Exception):  # noqa: N818 - a request, not an error
    """`-h` or `-help` was given."""


class FlagType(Enum):
    """What a flag's value must be."""

    BOOL = "bool"
    TEXT = "string"
    INT = "int"
    UINT = "uint"
    FLOAT = "float"
    TEXTS = "value"
    """May be given many times."""
    TEXT_MAP = "key=value"
    """May be given many times."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. `key` is the dotted configuration key that it sets, for flags of the agent."""

    name: str
    type: FlagType
    help: str
    key: str = ""
    default: Any = None

    def starting_value(self) -> Any:
        """The value of a flag that is not given."""
        if self.default is not None:
            return self.default
        if self.type is FlagType.BOOL:
            return False
        if self.type in (FlagType.INT, FlagType.UINT, FlagType.FLOAT):
            return 0
        if self.type is FlagType.TEXTS:
            return []
        return {} if self.type is FlagType.TEXT_MAP else ""


@dataclass(slots=True)
class Arguments:
    """What was given: a value for every flag, which ones were given, and the arguments after the flags."""

    values: dict[str, Any]
    given: set[str] = field(default_factory=set)
    positional: list[str] = field(default_factory=list)
    repeated: list[tuple[str, str]] = field(default_factory=list)
    """Flags that may be given many times, with their values, in the order given."""

    def text(self, name: str) -> str:
        """A text flag."""
        return str(self.values[name])

    def is_set(self, name: str) -> bool:
        """A boolean flag."""
        return bool(self.values[name])

    def number(self, name: str) -> int:
        """An integer flag."""
        return int(self.values[name])

    def texts(self, name: str) -> list[str]:
        """A flag that may be given many times."""
        return list(self.values[name])

    def mapping(self, name: str) -> dict[str, str]:
        """A `key=value` flag."""
        return dict(self.values[name])


def parse_flags(flags: Iterable[Flag], arguments: Sequence[str]) -> Arguments:
    """Split arguments into flags and the rest. Raises FlagError and HelpRequested."""
    by_name = {flag.name: flag for flag in flags}
    parsed = Arguments({name: flag.starting_value() for name, flag in by_name.items()})
    rest = list(arguments)
    while rest:
        argument = rest[0]
        if len(argument) < 2 or not argument.startswith("-"):
            break
        del rest[0]
        if argument == "--":
            break
        name, text = _split(argument)
        flag = by_name.get(name)
        if flag is None:
            if name in _HELP:
                raise HelpRequested
            raise FlagError(f"flag provided but not defined: -{name}")
        if text is None and flag.type is not FlagType.BOOL:
            if not rest:
                raise FlagError(f"flag needs an argument: -{name}")
            text = rest.pop(0)
        _set(parsed, flag, "true" if text is None else text)
    parsed.positional = rest
    return parsed


def _split(argument: str) -> tuple[str, str | None]:
    """Name and value of `-name=value`; None for no value."""
    name = argument[2:] if argument.startswith("--") else argument[1:]
    if not name or name[0] in "-=":
        raise FlagError(f"bad flag syntax: {argument}")
    name, equals, text = name.partition("=")
    return name, text if equals else None


def _set(parsed: Arguments, flag: Flag, text: str) -> None:
    if flag.type in (FlagType.TEXTS, FlagType.TEXT_MAP) and flag.name not in parsed.given:
        parsed.values[flag.name] = type(parsed.values[flag.name])()
    parsed.given.add(flag.name)
    if flag.type is FlagType.TEXTS:
        parsed.values[flag.name].append(text)
        parsed.repeated.append((flag.name, text))
    elif flag.type is FlagType.TEXT_MAP:
        key, _, value = text.partition("=")
        parsed.values[flag.name][key] = value
    else:
        parsed.values[flag.name] = _convert(flag, text)


def _convert(flag: Flag, text: str) -> bool | int | float | str:
    if flag.type is FlagType.BOOL:
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        raise FlagError(f"invalid boolean value {_quote(text)} for -{flag.name}: parse error")
    if flag.type is FlagType.TEXT:
        return text
    if flag.type is FlagType.FLOAT:
        return _convert_float(flag, text)
    try:
        # Base 0 as Go has it: 0x10, 0o17 and 0b1 are numbers, too.
        number = int(text, 0)
    except ValueError:
        raise FlagError(f"invalid value {_quote(text)} for flag -{flag.name}: parse error") from None
    is_in_range = 0 <= number <= _MAX_UINT64 if flag.type is FlagType.UINT else -(2**63) <= number < 2**63
    if not is_in_range:
        raise FlagError(f"invalid value {_quote(text)} for flag -{flag.name}: value out of range")
    return number


def _convert_float(flag: Flag, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise FlagError(f"invalid value {_quote(text)} for flag -{flag.name}: parse error") from None


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
