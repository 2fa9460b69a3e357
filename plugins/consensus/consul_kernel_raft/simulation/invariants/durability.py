"""Persist before answering (paper, figure 2): term, vote and entries are durable before an RPC is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel_raft.core.messages import AppendEntriesResponse, HeartbeatResponse, Message, RequestVoteResponse

from .base import RaftInvariant

if TYPE_CHECKING:
    from consul_kernel_raft.simulation.server import Life
    from consul_kernel_raft.simulation.storage import Storage
    from consul_kernel_raft.simulation.world import World


class Durability(RaftInvariant):
    def sending(self, world: World, life: Life, message: Message) -> None:
        storage = life.server.storage
        kind = type(message)
        if kind is HeartbeatResponse:
            assert isinstance(message, HeartbeatResponse)
            if message.success and storage.hard_state.term < message.term:
                self.fail(f"{life.name} follows a term that it may forget")
        elif isinstance(message, AppendEntriesResponse):
            if message.success:
                self._check_append(world, storage, message)
        elif isinstance(message, RequestVoteResponse) and message.granted and not message.pre:
            self._check_vote(storage, message)

    def _check_append(self, world: World, storage: Storage, message: AppendEntriesResponse) -> None:
        name, index = message.sender, message.match_index
        if storage.hard_state.term < message.term:
            self.fail(f"{name} follows a term that it may forget")
        if storage.last_index < index:
            self.fail(f"{name} confirms what it may forget")
        leader = world.servers[message.to].raft
        if leader is not None and leader.leadership is not None and leader.term == message.term:
            asked, here = leader.log.term(index), storage.term(index)
            if asked is not None and here is not None and asked != here:
                self.fail(f"{name} confirms entry {index} of another leader")

    def _check_vote(self, storage: Storage, message: RequestVoteResponse) -> None:
        known = storage.hard_state
        self.require(known.term >= message.term, f"{message.sender} votes in a term that it may forget")
        if known.term == message.term:
            self.require(known.vote == message.to, f"{message.sender} grants a vote that it may forget")
