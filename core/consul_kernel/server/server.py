"""A server: the parts that keep the replicated state, wired together, started and stopped in order."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from consul_kernel.agent.tags import ServerTags
from consul_kernel.contracts.consensus import (
    CatchingUpConsensus,
    Consensus,
    ConsensusCapability,
    ConsensusContext,
    ConsensusPlugin,
    LeaderChange,
    Server,
    SnapshotTuning,
    Suffrage,
    TunableConsensus,
)
from consul_kernel.contracts.errors import ConsensusError, ConsulKernelError
from consul_kernel.contracts.membership import MemberEvent, Membership
from consul_kernel.contracts.metrics import NO_METRICS, Metrics
from consul_kernel.contracts.plugin import PluginConfig
from consul_kernel.contracts.store import Store
from consul_kernel.contracts.transport import Address, Listener, Stream, Transport
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.rpc.server import RpcServer
from consul_kernel.state.commands import CommandType
from consul_kernel.state.machine import ReplicatedState
from consul_kernel.structs.methods import Call
from consul_kernel.structs.settings import AutopilotSettings, LimitSettings

from .autopilot.judging import Judgement
from .autopilot.looking import AskStats
from .autopilot.making import make_autopilot
from .bootstrap import AskToFound, Bootstrap
from .coordinates import CoordinateUpdates
from .datacenters import Datacenters
from .endpoints import EndpointContext, attach_endpoints
from .endpoints.context import SESSION_TTL_MIN_MS
from .keyring import KeyringOperations
from .leader import LeaderDuties
from .measuring import time_endpoints, watch_server
from .peers_file import PeersFile
from .quorum import AskPeers, QuorumMembers
from .reconcile import Reconciler
from .session_timers import SessionTimers
from .snapshots import ServerSnapshots
from .tombstones import TombstoneReaper
from .waste import WasteRemover

logger = logging.getLogger(__name__)

RAFT_FIRST_BYTE = b"\x01"
DIAL_TIMEOUT_MS = 10_000
TRANSFER_ATTEMPTS = 3
REMOVED_WAIT_S = 5.0
REMOVED_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What a server needs to know of the agent file."""

    node_name: str
    node_id: str
    datacenter: str
    bind: Address
    advertise: Address
    bootstrap: bool
    bootstrap_expect: int
    raft_multiplier: int
    snapshot_threshold: int
    snapshot_interval_ms: int
    trailing_logs: int
    autopilot: AutopilotSettings
    leave_drain_time_ms: int
    rpc_hold_timeout_ms: int
    default_query_time_ms: int
    max_query_time_ms: int
    session_ttl_min_ms: int
    limits: LimitSettings
    data_dir: Path | None
    """Where archives wait on their way in and out, and peers.json is looked for; None for temporary files, and none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerParts:
    """The parts that the agent chose or shares with its server."""

    transport: Transport
    membership: Membership
    wan_membership: Membership | None
    datacenters: Datacenters
    store: Store
    consensus: ConsensusPlugin
    consensus_config: PluginConfig
    rng: random.Random
    now_ms: Callable[[], int]
    call: Call
    servers: Callable[[], Sequence[ServerTags]]
    listed_servers: Callable[[], Sequence[ServerTags]]
    ask_peers: AskPeers
    ask_stats: AskStats
    ask_to_found: AskToFound
    on_leader_change: Callable[[LeaderChange], None]
    on_failure: Callable[[BaseException], None]
    metrics: Metrics = NO_METRICS


class RaftServer:
    """Owns store, state machine, consensus, endpoints, the server port, and the leader's duties."""

    def __init__(self, settings: ServerSettings, parts: ServerParts) -> None:
        self._settings = settings
        self._parts = parts
        self.endpoints = EndpointTable()
        self._listener: Listener | None = None
        self._rpc: RpcServer | None = None
        self._opened = False

    async def open(self) -> None:
        """Recover store and state, and make the rest; nothing is served and nobody is told yet."""
        settings, parts = self._settings, self._parts
        await parts.store.start()
        self.state = ReplicatedState(parts.store.state, parts.now_ms, parts.metrics)
        self.consensus: Consensus = parts.consensus.create(
            ConsensusContext(
                server_id=settings.node_id,
                address=str(settings.advertise),
                log=parts.store.log,
                snapshots=parts.store.snapshots,
                state_machine=self.state,
                dial=self._dial,
                on_leader_change=self._leader_changed,
                on_failure=parts.on_failure,
                now_ms=parts.now_ms,
                rng=parts.rng,
                multiplier=settings.raft_multiplier,
                snapshot_threshold=settings.snapshot_threshold,
                snapshot_interval_ms=settings.snapshot_interval_ms,
                trailing_logs=settings.trailing_logs,
                metrics=parts.metrics,
            ),
            parts.consensus_config,
        )
        session_timers = self._session_timers = SessionTimers(state=self.state, consensus=self.consensus)
        context = self._endpoint_context(session_timers)
        self._autopilot = make_autopilot(
            settings.autopilot, context, parts.membership, parts.ask_stats, settings.node_id
        )
        attach_endpoints(self.endpoints, context)
        time_endpoints(self.endpoints, parts.metrics)
        watch_server(self, context.reads, parts.metrics, settings.datacenter)
        self.snapshots = ServerSnapshots(context=context, spool_folder=settings.data_dir, on_restored=self._restored)
        self._waste = WasteRemover(self.state)
        self._coordinate_updates = CoordinateUpdates(lambda batch: context.propose(CommandType.COORDINATES, batch))
        self._duties = LeaderDuties(
            node_name=settings.node_name,
            consensus=self.consensus,
            membership=parts.membership,
            reconciler=Reconciler(
                call=parts.call,
                quorum=QuorumMembers(
                    consensus=self.consensus,
                    members=parts.membership.members,
                    node_id=settings.node_id,
                    several=ConsensusCapability.MULTI_SERVER in parts.consensus.capabilities,
                    ask_peers=parts.ask_peers,
                ),
                node_name=settings.node_name,
                datacenter=settings.datacenter,
                now_ms=parts.now_ms,
            ),
            reaper=TombstoneReaper(state=self.state, consensus=self.consensus, now_ms=parts.now_ms),
            session_timers=session_timers,
            abandon_restore=self.snapshots.abandon,
            metrics=parts.metrics,
            autopilot=self._autopilot.run,
        )
        self._bootstrap = Bootstrap(
            consensus=self.consensus,
            node_id=settings.node_id,
            expect=settings.bootstrap_expect,
            servers=parts.servers,
            ask_to_found=parts.ask_to_found,
            now_ms=parts.now_ms,
        )
        self._opened = True

    async def start(self, dispatch: Call, snapshot_serve: Callable[[Stream], Awaitable[None]]) -> None:
        """Listen on the server port and take part in the quorum."""
        settings, consensus = self._settings, self.consensus
        self._rpc = RpcServer(
            self.endpoints,
            dispatch,
            consensus_serve=self.consensus.serve,
            snapshot_serve=snapshot_serve,
            limits=settings.limits,
            applied=consensus.applied if isinstance(consensus, CatchingUpConsensus) else None,
        )
        self._listener = await self._parts.transport.listen(settings.bind, self._rpc.serve)
        logger.info("server port on %s", self._listener.address)
        if settings.data_dir is not None:
            log = self._parts.store.log
            await PeersFile(settings.data_dir).apply(self.consensus, is_new=log.last_index == 0)
        await self.consensus.start()
        self._waste.start()
        if settings.bootstrap and not self.consensus.configuration.servers:
            try:
                await self.consensus.bootstrap([Server(settings.node_id, str(settings.advertise))])
            except ConsensusError as error:
                logger.info("no quorum was founded: %s", error)

    def reload(self, limits: LimitSettings, tuning: SnapshotTuning) -> None:
        """Follow an agent file that has changed: limits of the server port, and when snapshots are taken."""
        if self._rpc is not None:
            self._rpc.limits = limits
        if isinstance(self.consensus, TunableConsensus):
            self.consensus.tune_snapshots(tuning)

    @property
    def address(self) -> Address:
        """Where the server port is bound."""
        return self._listener.address if self._listener is not None else self._settings.bind

    def member_changed(self, event: MemberEvent) -> None:
        """The pool changed: quorum and catalog may have to follow."""
        self._duties.member_changed(event)
        self._bootstrap.servers_changed()

    async def prepare_leave(self) -> None:
        """Hand leadership over, so that the quorum does not have to notice that this server is gone.

        Where nobody takes it, and the quorum cannot do without this server, that is logged: it leaves all the same.
        """
        voters = [s for s in self.consensus.configuration.servers if s.suffrage is Suffrage.VOTER]
        if len(voters) < 2 or not self.consensus.is_leader:
            return
        for _ in range(TRANSFER_ATTEMPTS):
            try:
                await self.consensus.transfer_leadership()
            except ConsensusError as error:
                logger.warning("leadership could not be handed over: %s", error)
            else:
                return
        try:
            await self.consensus.remove_server(self._settings.node_id)
        except ConsensusError as error:
            logger.warning("this server could not be removed from the quorum: %s", error)

    async def finish_leave(self) -> None:
        """After the pool was told: wait (bounded) until the quorum has let go of this server."""
        if len(self.consensus.configuration.servers) < 2:
            return
        try:
            async with asyncio.timeout(REMOVED_WAIT_S):
                while await self._is_counted_on():
                    await asyncio.sleep(REMOVED_POLL_S)
        except TimeoutError:
            logger.warning("still in the quorum after %.0f s, leaving all the same", REMOVED_WAIT_S)
        await asyncio.sleep(self._settings.leave_drain_time_ms / 1000)

    async def aclose(self) -> None:
        """Stop, last what others depend on."""
        if self._opened:
            await self._bootstrap.aclose()
            await self.snapshots.aclose()
            await self._waste.aclose()
            await self._coordinate_updates.aclose()
            await self._duties.aclose()
            await self.consensus.aclose()
        if self._listener is not None:
            await self._listener.aclose()
        await self._parts.store.aclose()

    async def _restored(self) -> None:
        await self._duties.reassert()

    async def _is_counted_on(self) -> bool:
        """Whether another server has this one in its quorum. Its own log may not tell: it is sent no more."""
        for server in self._parts.servers():
            if server.id != self._settings.node_id:
                try:
                    return str(self._settings.advertise) in await self._parts.ask_peers(server)
                except (ConsulKernelError, OSError) as error:
                    logger.debug("server %s did not say its peers: %s", server.name, error)
        return False

    def _leader_changed(self, change: LeaderChange) -> None:
        if change.is_self:
            self._parts.metrics.counter("raft.state.leader").add()
        elif change.leader is not None:
            self._parts.metrics.counter("raft.state.follower").add()
        self._duties.leadership_changed(change)
        self._parts.on_leader_change(change)

    async def _dial(self, server: Server) -> Stream:
        """Gossip knows best where a server is now; the configuration may be old."""
        known = next((tags for tags in self._parts.servers() if tags.id == server.id), None)
        if known is not None:
            address = Address(known.host, known.port)
        else:
            host, _, port = server.address.rpartition(":")
            address = Address(host.strip("[]"), int(port))
        stream = await self._parts.transport.dial(address, timeout_ms=DIAL_TIMEOUT_MS)
        stream.write(RAFT_FIRST_BYTE)
        return stream

    def _endpoint_context(self, session_timers: SessionTimers) -> EndpointContext:
        settings, parts = self._settings, self._parts
        return EndpointContext(
            state=self.state,
            consensus=self.consensus,
            datacenter=settings.datacenter,
            node_name=settings.node_name,
            default_query_time_ms=settings.default_query_time_ms,
            max_query_time_ms=settings.max_query_time_ms,
            hold_timeout_ms=settings.rpc_hold_timeout_ms,
            rng=parts.rng,
            now_ms=parts.now_ms,
            call=parts.call,
            fire_event=parts.membership.send_user_event,
            operate_keyring=KeyringOperations(
                datacenter=settings.datacenter,
                lan=parts.membership,
                wan=parts.wan_membership,
                datacenters=parts.datacenters.by_distance,
                call=parts.call,
            ).operate,
            datacenters=parts.datacenters.by_distance,
            datacenter_maps=parts.datacenters.maps,
            update_coordinate=lambda update: self._coordinate_updates.add(update),
            leader_address=self.leader_address,
            servers=parts.servers,
            listed_servers=parts.listed_servers,
            consider_founding=lambda request: self._bootstrap.consider(request),
            judgement=lambda: self._autopilot.judgement,
            session_timers=session_timers,
            commit_time=parts.metrics.sample("raft.commitTime"),
            committed=parts.metrics.counter("raft.apply"),
            verify_time=parts.metrics.sample("rpc.consistentRead"),
            session_ttl_min_ms=settings.session_ttl_min_ms or SESSION_TTL_MIN_MS,
        )

    @property
    def judgement(self) -> Judgement | None:
        """What autopilot last saw of the servers; None where this server does not lead, or has not looked yet."""
        return self._autopilot.judgement

    @property
    def session_timer_count(self) -> int:
        """How many sessions have a time to live that runs here; 0 where this server does not lead."""
        return len(self._session_timers)

    def port_counts(self) -> Mapping[str, int]:
        """What came to the server port so far, under the names of Consul's metrics."""
        rpc = self._rpc
        if rpc is None:
            return {}
        return {
            "rpc.accept_conn": rpc.accepted,
            "rpc.raft_handoff": rpc.handed_over,
            "rpc.request": rpc.requests,
            "rpc.request_error": rpc.errors,
        }

    def leader_address(self) -> str:
        """`ip:port` of the leader, or an empty string."""
        leader = self.consensus.status().leader
        return leader.address if leader is not None else ""

    @property
    def is_leader(self) -> bool:
        """Whether this server leads."""
        return self.consensus.is_leader

    @property
    def bootstrapped_alone(self) -> bool:
        """Whether the agent file told this server to found a quorum by itself."""
        return self._settings.bootstrap
