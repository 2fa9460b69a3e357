"""How the keys of agent files are described: one row per key, from which checks, suggestions and docs derive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from consul_kernel.structs.duration import parse_duration_ns


class KeyType(Enum):
    """What a key's value must be. The value is what an error message calls it."""

    TEXT = "a text in quotes"
    BOOL = "true or false"
    INT = "a whole number"
    FLOAT = "a number"
    DURATION = 'a duration, such as "10s" or "1h30m"'
    PORT = "a port from 1 to 65535, or -1 to disable"
    TEXTS = 'a list of texts, such as ["10.0.0.1", "10.0.0.2"]'
    TEXT_MAP = 'keys with texts, such as { rack = "r1" }'
    DURATION_MAP = 'names with durations, such as { "*" = "5s" }'
    SERVICES = "a service definition or a list of them"
    CHECKS = "a check definition or a list of them"
    WATCHES = "a watch or a list of them"
    BLOCK = "a block { … }"
    ANYTHING = "anything"

    @property
    def label(self) -> str:
        """The type's name in the reference documentation."""
        return _LABELS[self]

    @property
    def appends(self) -> bool:
        """Whether a later source adds to an earlier one's value rather than replaces it."""
        return self in {KeyType.TEXTS, KeyType.SERVICES, KeyType.CHECKS, KeyType.WATCHES}


_LABELS = {
    KeyType.TEXT: "text",
    KeyType.BOOL: "bool",
    KeyType.INT: "int",
    KeyType.FLOAT: "number",
    KeyType.DURATION: "duration",
    KeyType.PORT: "port",
    KeyType.TEXTS: "list of texts",
    KeyType.TEXT_MAP: "map of texts",
    KeyType.DURATION_MAP: "map of durations",
    KeyType.SERVICES: "services",
    KeyType.CHECKS: "checks",
    KeyType.WATCHES: "watches",
    KeyType.BLOCK: "block",
    KeyType.ANYTHING: "any",
}


class Effect(Enum):
    """What becomes of a key that is given."""

    USED = "used"
    UNUSED = "no effect yet"
    """Known and harmless: accepted with a warning."""
    REFUSED = "refused"
    """Ignoring it would be unsafe: an error, unless the value is the one that switches it off."""


Default = str | int | float | bool | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its dotted path, type, default (None: none, or it depends), what it is for, and its effect.

    `reason` is why a key is refused; `default_note` words a default that depends on something.
    """

    path: str
    type: KeyType
    default: Default = None
    doc: str = ""
    effect: Effect = Effect.USED
    reason: str = ""
    default_note: str = ""

    @property
    def default_value(self) -> Default:
        """The default in the form of a value that was read: a duration in nanoseconds."""
        if self.type is KeyType.DURATION and isinstance(self.default, str):
            return parse_duration_ns(self.default)
        return self.default

    def is_off(self, value: object) -> bool:
        """Whether a value asks for nothing: it's the default, or there is none and it switches something off."""
        if self.type is KeyType.PORT and value == -1:
            return True
        return value == self.default_value if self.default is not None else not value


class Schema:
    """Keys by path, and the blocks that hold them."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys: Mapping[str, Key] = {key.path: key for key in keys}
        self._children: dict[str, list[str]] = {}
        for path in self.keys:
            parts = path.split(".")
            for depth, name in enumerate(parts):
                names = self._children.setdefault(".".join(parts[:depth]), [])
                if name not in names:
                    names.append(name)

    def names_in(self, block: str) -> tuple[str, ...]:
        """The keys and blocks that stand directly in a block; "" is the file itself."""
        return tuple(self._children.get(block, ()))

    def is_block(self, path: str) -> bool:
        """Whether the path is a block of known keys."""
        return bool(path) and path in self._children
