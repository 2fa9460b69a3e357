"""Who waits for a flush: a task, by its future, or a callback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from consul_kernel.contracts.errors import StoreError


class Outcome(Protocol):
    """The part of a future that the log needs."""

    def done(self) -> bool:
        """Whether nobody waits."""
        ...

    def set_result(self, result: None, /) -> None:
        """It is durable."""
        ...

    def set_exception(self, error: StoreError, /) -> None:
        """It is not, or nobody knows."""
        ...


class Callback:
    """Is called in the turn of the event loop in which the outcome is known, instead of waking a task."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[StoreError | None], None]) -> None:
        self._call = call

    def done(self) -> bool:
        """A callback cannot be cancelled."""
        return False

    def set_result(self, result: None, /) -> None:
        """It is durable."""
        self._call(None)

    def set_exception(self, error: StoreError, /) -> None:
        """It is not, or nobody knows."""
        self._call(error)
