"""What a server is told besides messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from consul_kernel.contracts.consensus import Server

from .entry import EntryKind
from .messages import Message, SnapshotPoint


@dataclass(frozen=True, slots=True)
class Timer:
    """`deadline_ms` has come, or might have."""


class Propose(msgspec.Struct, frozen=True):
    """Append commands (or barriers); all of them, or none where this server may not."""

    commands: Sequence[bytes]
    kind: EntryKind = EntryKind.COMMAND


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """Confirm leadership, then say which index a read has to wait for (thesis §6.4)."""

    request_ids: Sequence[int]


class WriteDone(msgspec.Struct, frozen=True):
    """The write with this number is durable."""

    number: int


@dataclass(frozen=True, slots=True)
class Committed:
    """Another server has applied the entry with this index and term."""

    index: int
    term: int


@dataclass(frozen=True, slots=True)
class OutOfRoom:
    """There is no room for the write under way (`part` "log"), or for what is to be applied ("state")."""

    part: str


@dataclass(frozen=True, slots=True)
class RoomAgain:
    """There is room again, or may be: what was given up is tried anew."""

    part: str


@dataclass(frozen=True, slots=True)
class SnapshotSaved:
    """The state machine's snapshot is durable; the log before it may be forgotten at any time."""

    snapshot: SnapshotPoint


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A message to this server may not have arrived."""

    server_id: str


@dataclass(frozen=True, slots=True)
class SnapshotFailed:
    """The snapshot for this server did not arrive."""

    server_id: str


@dataclass(frozen=True, slots=True)
class ChangeConfiguration:
    """Replace the configuration by one that differs in at most one voter (thesis §4.1)."""

    servers: tuple[Server, ...]


@dataclass(frozen=True, slots=True)
class TransferLeadership:
    """Hand over to this voter (thesis §3.10)."""

    target: str


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Write the founding configuration as entry 1 of term 1, where the log is empty."""

    servers: tuple[Server, ...]


LocalEvent: TypeAlias = (
    Timer
    | Propose
    | ReadIndex
    | WriteDone
    | OutOfRoom
    | RoomAgain
    | SnapshotSaved
    | Unreachable
    | SnapshotFailed
    | ChangeConfiguration
    | TransferLeadership
    | Bootstrap
)
Event: TypeAlias = LocalEvent | Committed | Message
