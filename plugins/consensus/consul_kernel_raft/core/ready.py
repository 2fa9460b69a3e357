"""What a server asks its driver to do. The order of the fields is the order of the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from consul_kernel.contracts.store import HardState, LogEntry

from .messages import Message, SnapshotPoint


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """What must become durable; at most one is under way, and `WriteDone(number)` answers it.

    First the hard state, then the snapshot (the log is reset to its end and the state machine restored from
    it), then the entries, which may replace some that the log has. What arrives meanwhile rides in the next.
    """

    number: int
    hard_state: HardState | None = None
    snapshot: SnapshotPoint | None = None
    entries: Sequence[LogEntry] = ()


@dataclass(frozen=True, slots=True)
class ReadState:
    """A ReadIndex request is confirmed: answer when `index` is applied. None: leadership was not confirmed."""

    request_id: int
    index: int | None


class Ready(msgspec.Struct, frozen=True):
    """Begin the write, send the messages, apply the committed entries and call `Raft.advance`.

    No message here vouches for anything that is not durable yet: those are held back until `WriteDone`.
    The leader's own appends are among the messages while its write is under way (thesis §10.2.1): it counts
    itself towards the quorum only after the write.
    """

    write: Write | None = None
    messages: Sequence[Message] = ()
    committed: Sequence[LogEntry] = ()
    reads: Sequence[ReadState] = ()
