"""The shape of an invariant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel.contracts.store import LogEntry
from consul_kernel_raft.core import Raft
from consul_kernel_raft.core.messages import Message

if TYPE_CHECKING:
    from simulation.raft_world import SimServer, World


class InvariantError(AssertionError):
    """A property of the algorithm does not hold."""


class Invariant:
    """Looks on; raises InvariantError. Remembers what it needs to see one step in the light of the others."""

    def after_step(self, world: World, server: SimServer, raft: Raft) -> None:
        """A server has taken in an event and done what it asked for."""

    def on_send(self, world: World, server: SimServer, message: Message) -> None:
        """A server is about to send."""

    def on_apply(self, world: World, server: SimServer, entry: LogEntry) -> None:
        """A server is about to apply an entry."""

    def require(self, holds: bool, text: str) -> None:
        """Raise unless it holds."""
        if not holds:
            raise InvariantError(f"{type(self).__name__}: {text}")
