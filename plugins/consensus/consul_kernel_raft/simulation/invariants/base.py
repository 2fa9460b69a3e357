"""The shape of an invariant of Raft."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel.contracts.store import LogEntry
from consul_kernel.testing.simulation import Invariant
from consul_kernel_raft.core.messages import Message

if TYPE_CHECKING:
    from consul_kernel_raft.simulation.clients import Request
    from consul_kernel_raft.simulation.server import Life
    from consul_kernel_raft.simulation.world import World


class RaftInvariant(Invariant):
    """Subclasses define what they want to see; only what is defined is called."""

    def started(self, world: World, life: Life) -> None:
        """A server has recovered, and is about to take its first step."""

    def after_step(self, world: World, life: Life) -> None:
        """A server has taken in an event, and most times done what there was to do."""

    def changed(self, world: World, life: Life) -> None:
        """After such a step its term, role, configuration, the end of its log, or what it committed or applied is
        another than after the step before."""

    def sending(self, world: World, life: Life, message: Message) -> None:
        """A message is about to go out."""

    def applying(self, world: World, life: Life, entry: LogEntry) -> None:
        """A server is about to apply an entry."""

    def finished(self, world: World, request: Request, version: int) -> None:
        """A client is about to be answered: it wrote at this version, or read from a state of this version."""

    def look(self, world: World) -> None:
        """Some time has passed."""

    def at_rest(self, world: World) -> None:
        """Nothing has gone wrong for long enough that everything must have come right."""
