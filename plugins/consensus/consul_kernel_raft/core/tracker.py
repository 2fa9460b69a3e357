"""What a leader knows of all servers together: which index, round and moment a quorum has confirmed."""

from __future__ import annotations

from collections.abc import Iterable

from consul_kernel.contracts.consensus import Configuration, Suffrage

from .progress import Progress

FOREVER_MS = 1 << 62


def voter_ids(configuration: Configuration) -> frozenset[str]:
    """The servers whose votes count."""
    return frozenset(server.id for server in configuration.servers if server.suffrage is Suffrage.VOTER)


def quorum_size(voters: int) -> int:
    """A majority."""
    return voters // 2 + 1


def quorum_value(values: Iterable[int]) -> int:
    """The largest value that a majority of the values reaches; 0 for no values."""
    ordered = sorted(values, reverse=True)
    return ordered[len(ordered) // 2] if ordered else 0


class ReplicationTracker:
    """One Progress for each other server, and quorums over the voters among them and the leader itself.

    A leader that is removing itself does not count itself (thesis §4.2.2).
    """

    def __init__(self, server_id: str, configuration: Configuration, last_index: int, now_ms: int) -> None:
        self._id = server_id
        self.progress: dict[str, Progress] = {}
        self.voters: frozenset[str] = frozenset()
        self.update(configuration, last_index, now_ms)

    def update(self, configuration: Configuration, last_index: int, now_ms: int) -> None:
        """Follow a new configuration; servers that stay keep their progress."""
        self.progress = {
            server.id: self.progress.get(server.id) or Progress(next_index=last_index + 1, contact_ms=now_ms)
            for server in configuration.servers
            if server.id != self._id
        }
        self.voters = voter_ids(configuration)
        self.is_sole_voter = self.voters == {self._id}

    def match_index(self, stable_index: int) -> int:
        """The largest index that is durable on a quorum; `stable_index` is the leader's own."""
        if self.is_sole_voter:
            return stable_index
        progress = self.progress
        return quorum_value(stable_index if voter == self._id else progress[voter].match_index for voter in self.voters)

    def acked_round(self) -> int:
        """The latest round that a quorum has answered."""
        if self.is_sole_voter:
            return FOREVER_MS
        progress = self.progress
        return quorum_value(FOREVER_MS if voter == self._id else progress[voter].acked_round for voter in self.voters)

    def contact_ms(self) -> int:
        """Since when fewer than a quorum may have been in touch."""
        if self.is_sole_voter:
            return FOREVER_MS
        progress = self.progress
        return quorum_value(FOREVER_MS if voter == self._id else progress[voter].contact_ms for voter in self.voters)

    def acked_sent_ms(self) -> int | None:
        """The latest moment at which a quorum is known to have followed; None when there was none yet."""
        if self.is_sole_voter:
            return FOREVER_MS
        acked = (self.progress[voter].acked_sent_ms for voter in self.voters if voter != self._id)
        times = [sent_ms for sent_ms in acked if sent_ms is not None]
        if self._id in self.voters:
            times.append(FOREVER_MS)
        times.sort(reverse=True)
        quorum = quorum_size(len(self.voters))
        return times[quorum - 1] if len(times) >= quorum else None
