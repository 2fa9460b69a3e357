"""The store that the checks of `store_kit` are run against, and what every check uses."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from consul_kernel.contracts.errors import StoreError
from consul_kernel.contracts.store import DURABLE, LogEntry, Store, StoreContext, StorePlugin

from .clauses import ClauseError


@dataclass(frozen=True, slots=True)
class StoreSubject:
    """A plugin by its module's name (`"consul_kernel_disk"`), and its block's keys as the agent file gives them."""

    module: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def plugin(self) -> StorePlugin:
        """What the module's register hook returns."""
        found: StorePlugin = importlib.import_module(self.module).consul_kernel_register_store()
        return found

    @property
    def durable(self) -> bool:
        """Whether the clauses marked (durable) hold."""
        return DURABLE in self.plugin.capabilities

    def make(self, folder: Path) -> Store:
        """A store with `folder` as data_dir, not started."""
        plugin = self.plugin
        return plugin.create(StoreContext(data_dir=folder), msgspec.convert(dict(self.settings), plugin.config_type))

    @asynccontextmanager
    async def opened(self, folder: Path) -> AsyncIterator[Store]:
        """A store that is started, and closed at the end."""
        store = self.make(folder)
        await store.start()
        try:
            yield store
        finally:
            await store.aclose()


Check = Callable[[StoreSubject, Path], Awaitable[None]]


def require_equal(found: object, wanted: object, clause: str) -> None:
    """Raise ClauseError, showing both, unless they are equal."""
    if found != wanted:
        raise ClauseError(f"{clause}: got {found!r:.400}, not {wanted!r:.400}")


def require_refusal(action: Callable[[], object], clause: str) -> None:
    """Raise ClauseError unless the action raises StoreError."""
    try:
        action()
    except StoreError:
        return
    raise ClauseError(f"{clause}: no StoreError")


async def require_async_refusal(action: Awaitable[object], clause: str) -> None:
    """Raise ClauseError unless awaiting raises StoreError."""
    try:
        await action
    except StoreError:
        return
    raise ClauseError(f"{clause}: no StoreError")


def entries(first: int, last: int, term: int, data: bytes = b"data") -> list[LogEntry]:
    """A run of entries whose data differ."""
    return [LogEntry(index, term, index % 3, b"%d %b" % (index, data)) for index in range(first, last + 1)]
