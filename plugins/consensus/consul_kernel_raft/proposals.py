"""Commands on their way: from `propose` to what answers them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from consul_kernel.contracts.consensus import Server
from consul_kernel.contracts.errors import (
    ConsensusError,
    LeadershipLostError,
    NotLeaderError,
    ProposalOverloadError,
    ProposalTimeoutError,
)

from .core import ChangeConfiguration, Propose, Raft
from .core.entry import EntryKind
from .deadlines import Deadlines

PROPOSALS_MAX = 8192
PROPOSAL_BYTES_MAX = 64 * 1024 * 1024
NOT_LEADER = "node is not the leader"
LEADERSHIP_LOST = "leadership lost while committing log"


class TryLaterError(Exception):
    """A configuration change has to wait for another entry to be committed."""


@dataclass(slots=True)
class Proposal:
    """Something to append, and who waits for it, until a time of the event loop's clock.

    `servers` belongs to kind CONFIGURATION.
    """

    kind: EntryKind
    data: bytes
    future: asyncio.Future[Any]
    deadline_s: float
    servers: tuple[Server, ...] = ()


class ProposalQueue:
    """Proposals that are not appended yet, then those that are, by index, until they are applied."""

    def __init__(self, proposals_max: int) -> None:
        self.queued: list[Proposal] = []
        self._appended: deque[tuple[int, Proposal]] = deque()
        self._max = proposals_max
        self._bytes = 0
        self._deadlines = Deadlines(self._all, _timed_out)

    def __len__(self) -> int:
        return len(self.queued) + len(self._appended)

    def _all(self) -> Iterator[Proposal]:
        yield from self.queued
        for _, proposal in self._appended:
            yield proposal

    def add(self, proposal: Proposal) -> None:
        """Queue a proposal. Raises ProposalOverloadError when too many wait.

        Its future gets ProposalTimeoutError after its deadline; what becomes of the proposal is then not known.
        """
        size = len(proposal.data)
        if len(self) >= self._max or self._bytes + size > PROPOSAL_BYTES_MAX:
            raise ProposalOverloadError(f"{len(self)} commands are waiting to be committed")
        self._bytes += size
        self.queued.append(proposal)
        self._deadlines.note(proposal.deadline_s)

    def are_due(self, raft: Raft) -> bool:
        """Whether queued ones should be appended, or refused, now.

        While the leader's disk is busy they gather, so that a flush here is one append for each follower and one flush
        there. None could be committed sooner: what is not durable here is not applied here.
        """
        return bool(self.queued) and (raft.write is None or not raft.may_propose)

    def take_queued(self) -> list[Proposal]:
        """The queued ones whose caller still waits."""
        queued, self.queued = self.queued, []
        waiting = []
        for proposal in queued:
            if proposal.future.done():
                self._bytes -= len(proposal.data)
            else:
                waiting.append(proposal)
        return waiting

    def appended(self, first_index: int, proposals: list[Proposal]) -> None:
        """They are in the log from `first_index` on."""
        self._appended.extend(enumerate(proposals, first_index))

    def resolve(self, index: int, result: object) -> None:
        """The entry at `index` was applied."""
        if self._appended and self._appended[0][0] == index:
            _, proposal = self._appended.popleft()
            self._bytes -= len(proposal.data)
            if not proposal.future.done():
                proposal.future.set_result(result)

    def refuse(self, proposals: list[Proposal], error: Exception) -> None:
        """They were not appended."""
        for proposal in proposals:
            self._bytes -= len(proposal.data)
            if not proposal.future.done():
                proposal.future.set_exception(error)

    def lose(self) -> None:
        """Leadership is over: nobody knows what becomes of what was appended (paper §8)."""
        lost = [proposal for _, proposal in self._appended]
        self._appended.clear()
        self.refuse(lost, LeadershipLostError(LEADERSHIP_LOST))

    def close(self) -> None:
        """The server stops."""
        self.lose()
        queued, self.queued = self.queued, []
        self.refuse(queued, NotLeaderError("raft is already shutdown"))
        self._deadlines.close()


def append_proposals(raft: Raft, queue: ProposalQueue, now_ms: int) -> None:
    """Append what was proposed: neighbours of one kind as one batch."""
    batch: list[Proposal] = []
    for proposal in queue.take_queued():
        if batch and proposal.kind is not batch[0].kind:
            _append_batch(raft, queue, batch, now_ms)
            batch = []
        if proposal.kind is EntryKind.CONFIGURATION:
            _append_change(raft, queue, proposal, now_ms)
        else:
            batch.append(proposal)
    if batch:
        _append_batch(raft, queue, batch, now_ms)


def _append_batch(raft: Raft, queue: ProposalQueue, batch: list[Proposal], now_ms: int) -> None:
    if not raft.may_propose:
        queue.refuse(batch, _refusal(raft))
        return
    queue.appended(raft.log.last_index + 1, batch)
    raft.step(Propose([proposal.data for proposal in batch], batch[0].kind), now_ms)


def _refusal(raft: Raft) -> ConsensusError:
    """Why nothing can be proposed now."""
    if raft.leadership is not None and raft.without_room:
        return ProposalOverloadError("there is no room on the disk")
    return NotLeaderError(NOT_LEADER if raft.leadership is None else "leadership transfer in progress")


def _append_change(raft: Raft, queue: ProposalQueue, proposal: Proposal, now_ms: int) -> None:
    change = ChangeConfiguration(proposal.servers)
    reason = raft.refuse_change(change)
    if reason is None:
        queue.appended(raft.log.last_index + 1, [proposal])
        raft.step(change, now_ms)
    elif not raft.may_propose:
        queue.refuse([proposal], NotLeaderError(reason))
    elif raft.may_change_later:
        queue.refuse([proposal], TryLaterError(reason))
    else:
        queue.refuse([proposal], ConsensusError(reason))


def _timed_out() -> ProposalTimeoutError:
    return ProposalTimeoutError("timed out enqueuing operation")
