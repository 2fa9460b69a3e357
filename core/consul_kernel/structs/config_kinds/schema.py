"""What a configuration entry is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Scalar(Enum):
    """A single value."""

    TEXT = auto()
    BOOL = auto()
    INTEGER = auto()
    NUMBER = auto()
    DURATION = auto()
    """Nanoseconds, shown as text such as "15s"."""
    NANOSECONDS = auto()
    """Nanoseconds, shown as they are."""
    ANYTHING = auto()


@dataclass(frozen=True, slots=True)
class ListOf:
    """Any number of values."""

    item: Type


@dataclass(frozen=True, slots=True)
class MapOf:
    """Values by name."""

    item: Type


@dataclass(frozen=True, slots=True)
class Optional:
    """A value that may be left out (in Go a pointer); what is there is shown even if nothing is in it."""

    value: Type


@dataclass(frozen=True, slots=True)
class Fields:
    """A record, under the name of Go's struct."""

    name: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """A field by Go's name. `omits_empty`: it is shown only where it says something."""

    name: str
    type: Type
    omits_empty: bool = True


Type = Scalar | ListOf | MapOf | Optional | Fields
