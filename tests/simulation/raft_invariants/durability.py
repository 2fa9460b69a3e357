"""Persist before answering (paper, figure 2): term, vote and entries are durable before an RPC is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consul_kernel_raft.core.messages import AppendEntriesResponse, HeartbeatResponse, Message, RequestVoteResponse

from .base import Invariant

if TYPE_CHECKING:
    from simulation.raft_world import SimServer, World


class Durability(Invariant):
    def on_send(self, world: World, server: SimServer, message: Message) -> None:
        disk = server.disk
        match message:
            case RequestVoteResponse(granted=True, pre=False):
                known = (disk.hard_state.term, disk.hard_state.vote)
                promised = (message.term, message.to)
                self.require(known >= promised[:1], f"{server.id} votes in a term that it may forget")
                if known[0] == message.term:
                    self.require(known == promised, f"{server.id} grants a vote that it may forget")
            case AppendEntriesResponse(success=True):
                self.require(disk.hard_state.term >= message.term, f"{server.id} follows a term that it may forget")
                self.require(disk.last_index >= message.match_index, f"{server.id} confirms what it may forget")
                leader = world.servers[message.to].raft
                if leader is not None and leader.leadership is not None and leader.term == message.term:
                    asked, here = leader.log.term(message.match_index), disk.term(message.match_index)
                    agree = None in (asked, here) or asked == here
                    self.require(agree, f"{server.id} confirms entry {message.match_index} of another leader")
            case HeartbeatResponse(success=True):
                self.require(disk.hard_state.term >= message.term, f"{server.id} follows a term that it may forget")
            case _:
                pass
