"""One core by itself, with a disk that finishes writes at once, for tests of single rules."""

from __future__ import annotations

import random
from collections.abc import Sequence

from consul_kernel.contracts.consensus import Role, Server, Suffrage
from consul_kernel.contracts.store import HardState, LogEntry
from consul_kernel_raft.core import Event, Limits, Raft, SnapshotSaved, Timer, Timing, WriteDone
from consul_kernel_raft.core.entry import EntryKind, encode_configuration
from consul_kernel_raft.core.messages import Message, RequestVote, RequestVoteResponse, SnapshotPoint

TIMING = Timing()
SERVERS = tuple(Server(name, f"{name}:8300") for name in ("a", "b", "c"))


class ListLog:
    """A log store that holds what the test gives it, and what finished writes add."""

    def __init__(self, terms: Sequence[int], hard_state: HardState, servers: Sequence[Server]) -> None:
        self.hard_state = hard_state
        self.stored = [
            LogEntry(index, term, EntryKind.NOOP, b"")
            if index > 1
            else LogEntry(1, term, EntryKind.CONFIGURATION, encode_configuration(servers))
            for index, term in enumerate(terms, 1)
        ]
        self.first_index = 1

    @property
    def last_index(self) -> int:
        return len(self.stored)

    def term(self, index: int) -> int | None:
        return self.stored[index - 1].term if 0 < index <= len(self.stored) else None

    def entries(self, first: int, last: int, max_bytes: int) -> Sequence[LogEntry]:
        return self.stored[first - 1 : last]


class Bench:
    """Core `a` of a quorum a, b, c whose log has entries of these terms; the first is the configuration."""

    def __init__(
        self,
        terms: Sequence[int] = (1,),
        *,
        term: int = 1,
        vote: str = "",
        servers: Sequence[Server] = SERVERS,
        limits: Limits | None = None,
    ) -> None:
        self.store = ListLog(terms, HardState(term, vote), servers)
        self.now_ms = 10_000
        self.raft = Raft(
            server_id="a",
            store=self.store,
            snapshot=None,
            applied_index=0,
            timing=TIMING,
            limits=limits or Limits(),
            rng=random.Random(1),
            now_ms=self.now_ms,
        )
        self.raft.recover(self.store.stored, self.now_ms)
        self.applied: list[LogEntry] = []
        self.flushing = True
        self.now_ms += 2000  # past the time in which a restarted server helps nobody to power

    def step(self, event: Event) -> list[Message]:
        """Take an event in; the messages that may leave by then."""
        self.raft.step(event, self.now_ms)
        return self.drain()

    def drain(self) -> list[Message]:
        messages: list[Message] = []
        while (ready := self.raft.ready()) is not None:
            messages.extend(ready.messages)
            if ready.committed:
                self.applied.extend(ready.committed)
                self.raft.advance(ready.committed[-1].index)
            if ready.write is not None and self.flushing:
                write = ready.write
                if write.entries:
                    del self.store.stored[write.entries[0].index - 1 :]
                    self.store.stored.extend(write.entries)
                self.store.hard_state = write.hard_state or self.store.hard_state
                self.raft.step(WriteDone(write.number), self.now_ms)
        return messages

    def save_snapshot(self, index: int) -> None:
        """Snapshot what is applied up to there, and forget the log before it."""
        point = SnapshotPoint(
            id="s", index=index, term=self.store.term(index) or 0, configuration=self.raft.configuration
        )
        self.step(SnapshotSaved(point))
        self.raft.log._tail.clear()
        self.raft.log._offset = self.store.last_index + 1
        self.store.first_index = index + 1

    def lead(self) -> list[Message]:
        """Win an election with b's vote; what is sent then."""
        self.now_ms = max(self.now_ms, self.raft.deadline_ms() or 0)
        self.step(Timer())
        self.step(
            RequestVoteResponse(
                sender="b", to="a", term=self.raft.term, request_term=self.raft.term + 1, granted=True, pre=True
            )
        )
        sent = self.step(
            RequestVoteResponse(sender="b", to="a", term=self.raft.term, request_term=self.raft.term, granted=True)
        )
        assert self.raft.role is Role.LEADER
        return sent


def vote(sender: str, term: int, last: tuple[int, int], *, pre: bool = False, transfer: bool = False) -> RequestVote:
    """A request whose log ends at `last` = (index, term)."""
    return RequestVote(
        sender=sender, to="a", term=term, last_index=last[0], last_term=last[1], pre=pre, transfer=transfer
    )


def nonvoter(name: str) -> Server:
    return Server(name, f"{name}:8300", Suffrage.NONVOTER)
