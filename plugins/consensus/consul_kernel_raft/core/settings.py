"""Times and bounds of one server. All servers of a quorum should have the same times."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Times in milliseconds, already scaled.

    The lease is safe because `lease_ms` < `heartbeat_timeout_ms`: a follower helps nobody else to power
    until the latter has passed since it heard from the leader (thesis §6.4.1), and the rest allows for clocks
    that run at different speeds.
    """

    heartbeat_timeout_ms: int = 1000
    election_timeout_ms: int = 1000
    lease_ms: int = 500
    commit_ms: int = 50
    heartbeat_interval_ms: int = 100

    @property
    def stall_ms(self) -> int:
        """How long one write of a leader may take: as long as an election, beyond which waiting costs more."""
        return 2 * self.election_timeout_ms

    def __post_init__(self) -> None:
        if not 0 < self.lease_ms < self.heartbeat_timeout_ms <= self.election_timeout_ms:
            raise ValueError("raft times must satisfy 0 < lease < heartbeat <= election")
        if self.commit_ms < 1 or not 0 < self.heartbeat_interval_ms < self.lease_ms:
            raise ValueError("raft's commit time must be at least 1 ms, its heartbeat interval below the lease")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of what is in memory or under way at once."""

    append_entries_max: int = 256
    """Entries in one AppendEntries."""
    append_bytes_max: int = 512 * 1024
    """Data in one AppendEntries; a single entry may be larger."""
    inflight_max: int = 32
    """AppendEntries with entries that were sent to one follower and not yet answered; then the next one waits."""
    inflight_bytes_max: int = 8 * 1024 * 1024
    """Data in those. The append that goes beyond is the last; a follower that is slow costs no more memory."""
    apply_bytes_max: int = 1024 * 1024
    """Data of the committed entries in one Ready."""
    tail_entries_max: int = 4096
    """Durable entries kept in memory, so that followers and the state machine need no disk."""
    tail_bytes_max: int = 16 * 1024 * 1024
    reads_max: int = 65_536
    """Pending ReadIndex requests; more are refused as if leadership were lost."""
