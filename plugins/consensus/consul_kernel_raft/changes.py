"""What takes several turns: a server added or removed, leadership handed over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from consul_kernel.contracts.consensus import Server, Suffrage
from consul_kernel.contracts.errors import ConsensusError, NotLeaderError, ProposalTimeoutError

from .core import Event, Raft, TransferLeadership
from .core.membership import with_server, without_server
from .proposals import NOT_LEADER, TryLaterError
from .turns import TurnWaiters

_CHANGE_TIMEOUT_MS = 10_000

ProposeServers = Callable[[tuple[Server, ...], int], Awaitable[object]]
"""Order a configuration, within so many milliseconds. Raises TryLaterError besides what `propose` does."""


class QuorumChanges:
    """Changes of the quorum, one at a time. `running` gives the algorithm, or raises NotLeaderError."""

    def __init__(
        self,
        server_id: str,
        now_ms: Callable[[], int],
        transfer_timeout_ms: int,
        running: Callable[[], Raft],
        propose: ProposeServers,
        post: Callable[[Event], None],
        turns: TurnWaiters,
    ) -> None:
        self._id = server_id
        self._now_ms = now_ms
        self._transfer_timeout_ms = transfer_timeout_ms
        self._running = running
        self._propose = propose
        self._post = post
        self._turns = turns
        self._changing = asyncio.Lock()

    async def add(self, server: Server) -> None:
        """Add or change a server. Raises ConsensusError."""
        await self._change(lambda raft: with_server(raft.configuration, server))

    async def remove(self, server_id: str) -> None:
        """Remove a server. Raises ConsensusError."""
        await self._change(lambda raft: without_server(raft.configuration, server_id))

    async def _change(self, wanted: Callable[[Raft], tuple[Server, ...]]) -> None:
        async with self._changing:
            deadline_ms = self._now_ms() + _CHANGE_TIMEOUT_MS
            while True:
                raft = self._running()
                servers = wanted(raft)
                if servers == raft.configuration.servers and raft.configuration.index <= raft.commit_index:
                    if raft.leadership is None:
                        raise NotLeaderError(NOT_LEADER)
                    return
                left_ms = deadline_ms - self._now_ms()
                try:
                    await self._propose(servers, max(1, left_ms))
                    return
                except TryLaterError as error:
                    if left_ms <= 0:
                        raise ProposalTimeoutError(str(error)) from None
                    await self._turns.next(left_ms)

    async def transfer_leadership(self, to: str | None) -> None:
        """Hand over, and wait for the other server's first sign of life as leader. Raises ConsensusError."""
        raft = self._running()
        if raft.leadership is None:
            raise NotLeaderError(NOT_LEADER)
        target = to if to is not None else _furthest(raft)
        server = raft.configuration.get(target) if target is not None else None
        if target is None or server is None or server.suffrage is not Suffrage.VOTER or target == self._id:
            raise ConsensusError(f"cannot find a voter to transfer leadership to: {to or 'there is no other'}")
        if raft.leadership.transfer_target is not None:
            raise ConsensusError("leadership transfer in progress")
        term = raft.term
        self._post(TransferLeadership(target))
        deadline_ms = self._now_ms() + self._transfer_timeout_ms
        while raft.term == term or raft.leader_id is None:
            left_ms = deadline_ms - self._now_ms()
            if left_ms <= 0:
                raise ConsensusError(f"{target} did not take over in time")
            await self._turns.next(left_ms)
            self._running()
            if raft.leadership is not None and raft.term == term and raft.may_propose:
                raise ConsensusError(f"{target} did not catch up in time")
        if raft.leader_id == self._id:
            raise ConsensusError(f"{target} did not win the election")


def _furthest(raft: Raft) -> str | None:
    """The voter that lacks the least."""
    assert raft.leadership is not None
    progress = raft.leadership.tracker.progress
    others = [server_id for server_id in progress if server_id in raft.voters]
    return max(others, key=lambda server_id: (progress[server_id].match_index, server_id), default=None)
