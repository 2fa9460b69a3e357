"""What the endpoints of a server work with."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from consul_kernel.agent.tags import ServerTags
from consul_kernel.contracts.consensus import Consensus
from consul_kernel.contracts.errors import (
    LeadershipLostError,
    NotLeaderError,
    ProposalOverloadError,
    ProposalTimeoutError,
    RequestError,
    RpcError,
)
from consul_kernel.contracts.metrics import NO_METRICS, Counter, Sample
from consul_kernel.server.autopilot.judging import Judgement
from consul_kernel.server.measuring import ReadCounts
from consul_kernel.server.session_timers import SessionTimers
from consul_kernel.state.commands import COMMANDS_SINCE, CommandType, encode_command
from consul_kernel.state.machine import ReplicatedState
from consul_kernel.structs.coordinate import DatacenterMap, NodeCoordinate
from consul_kernel.structs.founding import FoundingReply, FoundingRequest
from consul_kernel.structs.keyring import KeyringRequest, KeyringResponses
from consul_kernel.structs.methods import Call
from consul_kernel.structs.query import DatacenterRequest

from .verifying import NO_LEADER, LeaderCheck

SESSION_TTL_MIN_MS = 10_000
_UNTIMED = NO_METRICS.sample("raft.commitTime")
_UNCOUNTED = NO_METRICS.counter("raft.apply")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointContext:
    """Parts and settings that the endpoints share. `datacenters` gives the known ones, nearest first."""

    state: ReplicatedState
    consensus: Consensus
    datacenter: str
    node_name: str
    rng: random.Random
    now_ms: Callable[[], int]
    call: Call
    """The way to the servers of other datacenters."""
    fire_event: Callable[[str, bytes], Awaitable[None]]
    operate_keyring: Callable[[KeyringRequest], Awaitable[KeyringResponses]]
    datacenters: Callable[[], Sequence[str]]
    datacenter_maps: Callable[[], Sequence[DatacenterMap]]
    update_coordinate: Callable[[NodeCoordinate], None]
    leader_address: Callable[[], str]
    servers: Callable[[], Sequence[ServerTags]]
    """Those of this datacenter that gossip has alive, this one among them."""
    listed_servers: Callable[[], Sequence[ServerTags]]
    """The same with those that failed or left."""
    consider_founding: Callable[[FoundingRequest], FoundingReply]
    judgement: Callable[[], Judgement | None]
    """What autopilot last saw of the servers; None where this server does not lead, or has not looked yet."""
    session_timers: SessionTimers
    session_ttl_min_ms: int = SESSION_TTL_MIN_MS
    default_query_time_ms: int = 300_000
    max_query_time_ms: int = 600_000
    propose_timeout_ms: int = 30_000
    hold_timeout_ms: int = 7_000
    """How long a consistent read may wait for the quorum (`performance.rpc_hold_timeout`)."""
    reads: ReadCounts = field(default_factory=ReadCounts)
    commit_time: Sample = _UNTIMED
    """How long writes take, in milliseconds."""
    committed: Counter = _UNCOUNTED
    verify_time: Sample = _UNTIMED
    """How long it takes to be sure that a consistent read can be answered here, in milliseconds."""
    leader_check: LeaderCheck = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "leader_check", LeaderCheck(self.consensus, self.hold_timeout_ms, self.verify_time))

    async def propose(self, kind: CommandType, request: DatacenterRequest, *, refused: str = "") -> object:
        """Order a write and wait for its result. RpcError with Consul's text when it fails, or is refused

        (that text then comes after `refused`); also while a server is too old to read it in its log.
        """
        behind = self.too_old_for(kind)
        if behind:
            raise RpcError(f"server {behind} runs an older version that cannot know of this: upgrade it first")
        try:
            command = encode_command(kind, request)
        except (ValueError, OverflowError, TypeError, RecursionError) as error:
            raise RpcError(f"The request cannot be encoded: {error}") from None
        begun_s = time.perf_counter()
        try:
            result = await self.consensus.propose(command, timeout_ms=self.propose_timeout_ms)
            self.commit_time.add((time.perf_counter() - begun_s) * 1000)
            self.committed.add()
        except NotLeaderError as error:
            raise RpcError(NO_LEADER) from error
        except LeadershipLostError as error:
            raise RpcError("raft apply failed: leadership lost while committing log") from error
        except (ProposalTimeoutError, ProposalOverloadError) as error:
            raise RpcError("raft apply failed: timed out enqueuing operation") from error
        if isinstance(result, RequestError):
            raise RpcError(f"{refused}{result}")
        return result

    def too_old_for(self, kind: CommandType) -> str:
        """The name of a server that would not know a command of this type; "" when all would."""
        since = COMMANDS_SINCE.get(kind, 1)
        if since == 1:
            return ""
        return next((server.name for server in self.servers() if server.generation < since), "")
