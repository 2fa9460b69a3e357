"""ReadIndex: which read requests wait for which round of heartbeats (thesis §6.4).

One round is under way at a time; requests that arrive meanwhile share the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .ready import ReadState


@dataclass(slots=True)
class ReadQueue:
    """`confirming` waits for a quorum to answer round `round`, and may then read at `index`."""

    waiting: list[int] = field(default_factory=list)
    confirming: list[int] = field(default_factory=list)
    round: int = 0
    index: int = 0

    def __len__(self) -> int:
        return len(self.waiting) + len(self.confirming)

    def begin(self, round_number: int, commit_index: int) -> None:
        """Start a round for all that wait. The commit index is taken before the round's first message."""
        self.confirming, self.waiting = self.waiting, []
        self.round = round_number
        self.index = commit_index

    def confirm(self, acked_round: int) -> Sequence[ReadState]:
        """The requests that this round of answers confirms."""
        if not self.confirming or acked_round < self.round:
            return ()
        states = [ReadState(request_id, self.index) for request_id in self.confirming]
        self.confirming = []
        return states

    def fail(self) -> Sequence[ReadState]:
        """Every pending request: leadership is over."""
        states = [ReadState(request_id, None) for request_id in (*self.confirming, *self.waiting)]
        self.confirming, self.waiting = [], []
        return states
