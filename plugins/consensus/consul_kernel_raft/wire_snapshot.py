"""What is said of the bytes of a snapshot, which follow its header on the connection, in one piece or in several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from consul_kernel.contracts.errors import PeerProtocolError

from .fields import Fields, read_number, read_text
from .wire import PROTOCOL_VERSION, pack


@dataclass(frozen=True, slots=True)
class SnapshotHeader:
    """What precedes the bytes of a snapshot: their number in all, where these begin, and the sender's name for it."""

    size: int
    offset: int = 0
    snapshot_id: str = ""


@dataclass(frozen=True, slots=True)
class SnapshotArrived:
    """How many bytes of a snapshot have arrived so far; without a name and bytes, none of any."""

    snapshot_id: str = ""
    offset: int = 0


def read_snapshot_header(fields: Fields) -> SnapshotHeader:
    """What an InstallSnapshot says of the bytes behind it. Raises PeerProtocolError."""
    header = SnapshotHeader(
        read_number(fields, b"Size"), read_number(fields, b"Offset"), read_text(fields, b"SnapshotID")
    )
    if header.offset > header.size:
        raise PeerProtocolError(f"a snapshot of {header.size} bytes that goes on at {header.offset}")
    return header


def encode_arrived(arrived: SnapshotArrived) -> bytes:
    """The answer to SnapshotArrived."""
    fields = {"Offset": arrived.offset, "ProtocolVersion": PROTOCOL_VERSION, "SnapshotID": arrived.snapshot_id}
    return b"\xa0" + pack(fields)


def decode_arrived(error: Any, fields: Any) -> SnapshotArrived:
    """What a peer has of a snapshot. Raises PeerProtocolError."""
    if error or not isinstance(fields, dict):
        raise PeerProtocolError(f"no answer to how much of a snapshot has arrived: {error!r}")
    return SnapshotArrived(read_text(fields, b"SnapshotID"), read_number(fields, b"Offset"))
