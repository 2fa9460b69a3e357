"""The replicated state machine of the simulation: registers, which clients write and read."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from consul_kernel.contracts.store import LogEntry
from consul_kernel_raft.core.entry import EntryKind


def encode_write(key: str, value: str) -> bytes:
    """The command that sets a register."""
    return f"{key}={value}".encode()


@dataclass(slots=True)
class Machine:
    """`version` is the index of the last command; `checksum` is over all that was applied, in order."""

    registers: dict[str, str] = field(default_factory=dict)
    applied_index: int = 0
    version: int = 0
    checksum: int = 0

    def apply(self, entry: LogEntry) -> None:
        """The next entry."""
        self.applied_index = entry.index
        if entry.kind == EntryKind.COMMAND:
            key, _, value = entry.data.decode().partition("=")
            self.registers[key] = value
            self.version = entry.index
            self.checksum = zlib.crc32(entry.data, self.checksum)

    def read(self, key: str) -> str:
        """What a register holds; "" before it was written."""
        return self.registers.get(key, "")

    def copy(self) -> Machine:
        """The whole state, as it is now."""
        return Machine(dict(self.registers), self.applied_index, self.version, self.checksum)
