"""Clients of the simulated register: writes, reads by lease and reads by ReadIndex, and what they observed."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Operation:
    """`floor` is the newest version that any operation had observed when this one began."""

    number: int
    floor: int
    is_write: bool


@dataclass(slots=True)
class Clients:
    """Operations under way on each server, and the newest version that any finished one has observed."""

    newest: int = 0
    finished_writes: int = 0
    finished_reads: int = 0
    _number: int = 0
    completed: list[tuple[Operation, int]] = field(default_factory=list)
    """Finished in the current step, with the version that each observed; invariants look at them."""

    def begin(self, *, is_write: bool) -> Operation:
        self._number += 1
        return Operation(self._number, self.newest, is_write)

    def complete(self, operation: Operation, version: int) -> None:
        """A write observed its own index; a read the index of the write whose value it returned."""
        self.completed.append((operation, version))
        self.newest = max(self.newest, version)
        if operation.is_write:
            self.finished_writes += 1
        else:
            self.finished_reads += 1
