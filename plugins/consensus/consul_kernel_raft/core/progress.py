"""What a leader knows of one other server."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from .settings import Limits


class ProgressState(Enum):
    """How entries are sent: carefully, at full speed, or not while a snapshot is on its way."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


@dataclass(slots=True)
class Progress:
    """nextIndex and matchIndex (paper, figure 2), flow control, and the last signs of life.

    `acked_sent_ms` is the sending time of the latest message that was answered (None: none yet),
    `contact_ms` the time of the latest answer; both on the leader's clock.
    """

    next_index: int
    contact_ms: int
    match_index: int = 0
    state: ProgressState = ProgressState.PROBE
    paused: bool = False
    """In PROBE: an append is under way, or was lost; after the next heartbeat's answer it is asked for again."""
    inflight: deque[tuple[int, int]] = field(default_factory=deque)
    """In REPLICATE: last index and bytes of data of each append with entries that was not answered yet."""
    inflight_bytes: int = 0
    snapshot_index: int = 0
    commit_sent: int = 0
    """How far it was told of commitment; not yet, perhaps, that it heard."""
    commit_known: int = 0
    acked_round: int = 0
    acked_sent_ms: int | None = None

    def answered(self, round_number: int, sent_ms: int, now_ms: int) -> None:
        """A message of that round, sent at that time, was answered in the leader's term."""
        self.contact_ms = max(self.contact_ms, now_ms)
        self.acked_round = max(self.acked_round, round_number)
        if sent_ms <= now_ms and (self.acked_sent_ms is None or sent_ms > self.acked_sent_ms):
            self.acked_sent_ms = sent_ms

    def probe(self, *, paused: bool) -> None:
        """Go back to one append at a time."""
        if self.state is ProgressState.SNAPSHOT:
            self.next_index = max(self.match_index, self.snapshot_index) + 1
        else:
            self.next_index = self.match_index + 1
        self.state = ProgressState.PROBE
        self.paused = paused
        self.snapshot_index = 0
        self._forget_inflight()

    def replicate(self) -> None:
        """Send without waiting for each answer."""
        self.state = ProgressState.REPLICATE
        self.paused = False
        self.snapshot_index = 0
        self.next_index = self.match_index + 1
        self._forget_inflight()

    def install(self, snapshot_index: int) -> None:
        """Send no entries until the snapshot has arrived or failed."""
        self.state = ProgressState.SNAPSHOT
        self.paused = False
        self.snapshot_index = snapshot_index
        self._forget_inflight()

    def _forget_inflight(self) -> None:
        self.inflight.clear()
        self.inflight_bytes = 0

    def sent(self, last_index: int, data_bytes: int) -> None:
        """Entries up to `last_index` are on their way."""
        if self.state is ProgressState.PROBE:
            self.paused = True
        else:
            self.next_index = last_index + 1
            self.inflight.append((last_index, data_bytes))
            self.inflight_bytes += data_bytes

    def is_full(self, limits: Limits) -> bool:
        """Whether entries have to wait: for an answer, for room in the window, or for a snapshot to arrive."""
        match self.state:
            case ProgressState.PROBE:
                return self.paused
            case ProgressState.REPLICATE:
                return len(self.inflight) >= limits.inflight_max or self.inflight_bytes >= limits.inflight_bytes_max
            case ProgressState.SNAPSHOT:
                return True

    def matched(self, index: int) -> bool:
        """The follower has everything up to `index`; whether that is news."""
        is_news = index > self.match_index
        if is_news:
            self.match_index = index
        while self.inflight and self.inflight[0][0] <= index:
            self.inflight_bytes -= self.inflight.popleft()[1]
        if self.state is ProgressState.PROBE or (
            self.state is ProgressState.SNAPSHOT and self.match_index >= self.snapshot_index
        ):
            self.replicate()
        elif self.state is ProgressState.REPLICATE:
            self.next_index = max(self.next_index, self.match_index + 1)
        return is_news

    def rejected(self, prev_index: int, matching_index: int) -> bool:
        """The follower lacks `prev_index`; it may match at `matching_index`. Whether that is news."""
        if self.state is ProgressState.SNAPSHOT or prev_index <= self.match_index:
            return False
        if self.state is ProgressState.REPLICATE:
            self.probe(paused=False)
            return True
        if prev_index != self.next_index - 1:
            return False
        self.next_index = max(self.match_index, min(prev_index - 1, matching_index)) + 1
        self.paused = False
        return True
