"""Typed reading of the merged settings: what the files say, else the schema's default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from consul_kernel.structs.duration import MILLISECOND

from .keys import SCHEMA
from .problems import SourcePosition
from .settings import SourceSettings


class Merged:
    """The settings of all sources; every getter takes a key's dotted path."""

    def __init__(self, settings: SourceSettings) -> None:
        self._settings = settings.settings
        self.blocks = settings.blocks

    def given(self, path: str) -> bool:
        """Whether any source sets the key."""
        return path in self._settings

    def position(self, path: str) -> SourcePosition | None:
        """Where the key is set, or None."""
        setting = self._settings.get(path)
        return setting.position if setting is not None else None

    def paths_in(self, block: str) -> list[str]:
        """Names that sources set directly in a block, those of interface blocks included."""
        prefix = f"{block}."
        return [path[len(prefix) :] for path in self._settings if path.startswith(prefix)]

    def raw(self, path: str) -> Any:
        """The value given, else the default."""
        setting = self._settings.get(path)
        if setting is not None:
            return setting.value
        return SCHEMA.keys[path].default_value if path in SCHEMA.keys else None

    def text(self, path: str) -> str:
        """A text."""
        return str(self.raw(path) or "")

    def flag(self, path: str) -> bool:
        """A boolean; false where there is no default."""
        return bool(self.raw(path))

    def number(self, path: str) -> int:
        """A whole number, a port among them."""
        return int(self.raw(path) or 0)

    def real(self, path: str) -> float:
        """A number."""
        return float(self.raw(path) or 0.0)

    def duration_ms(self, path: str) -> int:
        """A duration in whole milliseconds, rounded away from zero so that none becomes 0."""
        return to_ms(int(self.raw(path) or 0))

    def texts(self, path: str) -> tuple[str, ...]:
        """A list of texts."""
        return tuple(self.raw(path) or ())

    def mapping(self, path: str) -> Mapping[str, Any]:
        """A map."""
        return dict(self.raw(path) or {})

    def path(self, path: str) -> Path | None:
        """A file or folder; None for ""."""
        text = self.text(path)
        return Path(text) if text else None


def to_ms(ns: int) -> int:
    """Nanoseconds as whole milliseconds, rounded away from zero."""
    return -(-ns // MILLISECOND) if ns > 0 else ns // MILLISECOND
