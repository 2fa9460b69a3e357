"""The agent: its parts made by plugins, wired together, started and stopped in order.

This is the composition root. It knows the contracts and the kernel's own modules, and no plugin.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from consul_kernel.config.model import AgentConfig
from consul_kernel.contracts.consensus import LeaderChange
from consul_kernel.contracts.errors import MembershipError
from consul_kernel.contracts.interface import Interface
from consul_kernel.contracts.membership import GossipEvent, Member, MemberEvent, MemberEventKind, UserEvent
from consul_kernel.plugins import PluginManager
from consul_kernel.rpc.client import make_pool
from consul_kernel.rpc.directory import ServerDirectory, ServerEntry
from consul_kernel.rpc.router import Router
from consul_kernel.server.datacenters import Datacenters
from consul_kernel.server.leader import NEW_LEADER_EVENT
from consul_kernel.server.server import RaftServer, ServerParts
from consul_kernel.snapshot.stream import SnapshotStreams
from consul_kernel.structs.metrics import MetricsSummary
from consul_kernel.telemetry.keeper import Telemetry

from .clock import monotonic_ms
from .composition import Parts, server_settings
from .coordinate_sync import CoordinateSync
from .describe import describe_agent
from .flooding import Flooding
from .host import describe_host
from .identity import load_node_id
from .known_servers import KnownServers
from .leaving import leave_in_order
from .measuring import Runtime, count_member_event, measure
from .member_log import MemberLog
from .monitor import LogMonitor, Monitors
from .pools import Pools
from .registry import Registry
from .reload import LoadConfig, Reloader
from .snapshots import make_dispatcher
from .watches import Watches

logger = logging.getLogger(__name__)


class Agent:
    """Implements `contracts.interface.AgentApi`; made, started once, and stopped once."""

    def __init__(
        self,
        config: AgentConfig,
        plugins: PluginManager,
        *,
        load: LoadConfig | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """Load the plugins that the configuration names, and what identifies this agent: node id and gossip keys.

        `load` reads the configuration again, for a reload.

        Raises ConfigErrors and PluginStartError; does no I/O else.
        """
        self._config = config
        self._plugins = plugins
        self._rng = rng if rng is not None else random.Random()
        self.node_name, self.datacenter, self.is_server = config.node_name, config.datacenter, config.server
        self.node_id = load_node_id(config.node_id, config.data_dir)
        self._telemetry = Telemetry(config.telemetry)
        self._metrics = self._telemetry.registry
        self._member_log = MemberLog(monotonic_ms)
        self._wan_member_log = MemberLog(monotonic_ms, pool="wan")
        self._parts = Parts(
            config,
            plugins,
            node_id=self.node_id,
            rng=self._rng,
            on_event=self._lan_event,
            on_wan_event=self._wan_event,
            metrics=self._metrics,
        )
        self._pools = Pools(config, self._parts.membership, self._parts.wan_membership)
        self._datacenters = Datacenters(config.datacenter, self._pools.wan)
        self._pool = make_pool(self._parts.transport, is_server=config.server)
        self._directory = ServerDirectory(rng=self._rng, distance_s=self._distance_to)
        self._known_servers = KnownServers(
            datacenter=config.datacenter,
            members=self._parts.membership.members,
            directory=self._directory,
            pool=self._pool,
        )
        self._server = self._make_server() if config.server else None
        self._flooding = self._make_flooding()
        self._registry = Registry(
            config,
            node_id=self.node_id,
            call=lambda method, request: self._router.call(method, request),
            member_count=lambda: len(self._pools.lan.members()),
            rng=self._rng,
            plugins=plugins,
        )
        self.local = self._registry.local
        self._coordinates = CoordinateSync(
            datacenter=config.datacenter,
            node_name=config.node_name,
            lan=self._pools.lan,
            call=lambda method, request: self._router.call(method, request),
            member_count=lambda: len(self._pools.lan.members()),
            rng=self._rng,
        )
        self._interfaces: list[Interface] = []
        self._runtime: Runtime | None = None
        self._monitors = Monitors()
        self._watches = Watches(self._http_addresses)
        self._reloader = Reloader(
            config,
            load,
            plugins=plugins,
            registry=self._registry,
            watches=self._watches,
            server=self._server,
            telemetry=self._telemetry,
            rng=self._rng,
            interfaces=lambda: dict(zip(self._parts.interface_names, self._interfaces, strict=False)),
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = False
        self._stopping: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self.stopped = asyncio.Event()
        self.failure: BaseException | None = None

    # --- life ---

    async def start(self) -> None:
        """Start every part; on an error, what was started is stopped and the error goes on."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        config = self._config
        logger.info("starting, parts: %s", self._parts.summary())
        if self._server is not None:
            await self._server.open()
        self._router = Router(
            datacenter=config.datacenter,
            directory=self._directory,
            pool=self._pool,
            now_ms=monotonic_ms,
            rng=self._rng,
            server_id=self.node_id if config.server else "",
            hold_timeout_ms=config.rpc_hold_timeout_ms,
            endpoints=self._server.endpoints if self._server is not None else None,
            consensus=self._server.consensus if self._server is not None else None,
        )
        self.call = self._router.call
        self.read_at_once = self._router.read_at_once
        self._runtime = measure(self._metrics, self._pools, self._router, config.datacenter, is_server=config.server)
        transport = self._parts.transport
        snapshots = make_dispatcher(config, self.node_id, transport, self._directory, self._rng, self._server)
        self.save_snapshot, self.restore_snapshot = snapshots.save, snapshots.restore
        if self._server is not None:
            await self._server.start(self._router.call, SnapshotStreams(snapshots.save, snapshots.restore).serve)
        await self._pools.start()
        self._registry.register_configured()
        self._interfaces = self._parts.make_interfaces(self, self._metrics)
        for interface, name in zip(self._interfaces, self._parts.interface_names, strict=True):
            await interface.start()
            logger.info("interface %s serves on %s", name, ", ".join(interface.addresses()) or "no address")
        self._watches.follow(config.watches)
        self._started = True
        self._registry.anti_entropy.start()
        await self._join_configured()
        if self._flooding is not None:
            self._spawn(self._flooding.run(), "wan-flooding")
        self._spawn(self._known_servers.rebalance(self._rng), "rebalance")
        self._spawn(self._known_servers.settle_doubts(), "settle-doubts")
        self._spawn(self._coordinates.run(), "coordinates")
        self._spawn(self._telemetry.run(), "telemetry")
        self._plugins.notify("consul_kernel_agent_started", agent=self)

    async def stop(self) -> None:
        """Stop at once, without a word to the pool. Idempotent, bounded; whoever calls waits for the end."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name="stop")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        if self._started:
            self._plugins.notify("consul_kernel_agent_stopping", agent=self)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._registry.local.close()
        if self._runtime is not None:
            self._runtime.close()
        closers: list[Callable[[], Awaitable[None]]] = [self._watches.aclose, self._monitors.aclose]
        closers += [interface.aclose for interface in self._interfaces]
        closers.append(self._registry.anti_entropy.aclose)
        if self._server is not None:
            closers.append(self._server.aclose)
        closers += [self._pools.aclose, self._pool.aclose, self._parts.transport.aclose]
        for close in closers:
            try:
                await close()
            except Exception:
                logger.exception("a part did not stop cleanly")
        logger.info("stopped")
        self.stopped.set()

    async def leave(self) -> None:
        """Tell the quorum and the pools that this agent leaves on purpose, then stop. Idempotent, bounded."""
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave(), name="leave")
        await asyncio.shield(self._leaving)

    async def _leave(self) -> None:
        self._router.is_leaving = True
        await leave_in_order(self._registry.anti_entropy, self._server, self._pools, self._config.leave_drain_time_ms)
        await self.stop()

    # --- AgentApi ---

    def local_member(self) -> Member:
        """This agent in the LAN pool."""
        return self._pools.lan.local_member

    def members(self, *, wan: bool = False) -> Sequence[Member]:
        """Everyone known in a pool."""
        return self._pools.members(wan=wan)

    async def join(self, addresses: Sequence[str], *, wan: bool = False) -> int:
        """Join by address or name; how many answered."""
        return await self._pools.join(addresses, wan=wan)

    async def force_leave(self, node: str, *, prune: bool = False) -> None:
        """Have a failed member counted as left, in both pools."""
        await self._pools.force_leave(node, prune=prune)

    async def reload(self) -> None:
        """Read the agent file again, and take up what can be."""
        await self._reloader.reload()

    def monitor(self, level: str, *, as_json: bool) -> LogMonitor:
        """The log from now on."""
        return self._monitors.listen(level, as_json=as_json)

    async def describe_host(self) -> Mapping[str, Any]:
        """The document of `/v1/agent/host`."""
        return await asyncio.to_thread(describe_host)

    def metrics(self) -> MetricsSummary:
        """What was counted in the newest interval that is over."""
        return self._telemetry.summary()

    def prometheus(self) -> str | None:
        """The same for Prometheus; None where that is not wanted."""
        return self._telemetry.prometheus()

    def describe(self) -> Mapping[str, Any]:
        """The document of `/v1/agent/self`."""
        return describe_agent(
            self._reloader.config,
            node_id=self.node_id,
            member=self.local_member(),
            coordinate=self._coordinates.coordinate(),
            local=self._registry.local,
            gossip=self._pools.lan.stats(),
            wan_gossip=self._pools.wan.stats() if self._pools.wan is not None else None,
            known_servers=len(self._known_servers.alive()),
            known_datacenters=len(self._datacenters.by_distance()),
            server=self._server,
        )

    # --- wiring ---

    def _make_server(self) -> RaftServer:
        parts = self._parts
        return RaftServer(
            server_settings(self._config, self.node_id, founds_alone=self._parts.founds_alone),
            ServerParts(
                transport=parts.transport,
                membership=parts.membership,
                wan_membership=parts.wan_membership,
                datacenters=self._datacenters,
                store=parts.make_store(),
                consensus=parts.consensus,
                consensus_config=parts.consensus_config,
                rng=self._rng,
                now_ms=monotonic_ms,
                call=lambda method, request: self._router.call(method, request),
                servers=self._known_servers.alive,
                listed_servers=self._known_servers.all,
                ask_peers=self._known_servers.ask_peers,
                ask_to_found=self._known_servers.ask_to_found,
                ask_stats=lambda server: self._known_servers.ask_stats(server.address),
                on_leader_change=self._leader_changed,
                on_failure=self._failed,
                metrics=self._metrics,
            ),
        )

    def _make_flooding(self) -> Flooding | None:
        if self._pools.wan is None:
            return None
        return Flooding(
            datacenter=self._config.datacenter,
            lan_members=self._pools.lan.members,
            wan=self._pools.wan,
            default_port=self._config.ports["serf_wan"],
        )

    def _http_addresses(self) -> Sequence[str]:
        """Where the HTTP API is served, in the interface's words."""
        named = zip(self._parts.interface_names, self._interfaces, strict=False)
        return [address for name, interface in named if name == "http" for address in interface.addresses()]

    def _distance_to(self, server: ServerEntry) -> float:
        return self._datacenters.distance_s(f"{server.name}.{server.datacenter}")

    async def _join_configured(self) -> None:
        for wan in (False, True):
            await self._pools.join_at_start(wan=wan)
            self._spawn(self._retry_join(wan=wan), "retry-join")

    async def _retry_join(self, *, wan: bool) -> None:
        try:
            await self._pools.join_until_answered(wan=wan)
        except MembershipError as error:
            self._failed(error)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """What runs beside the requests has ended; by a fault of ours it must not end unseen."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("task %s has ended by a fault", task.get_name(), exc_info=error)

    # --- events ---

    def _lan_event(self, event: GossipEvent) -> None:
        if isinstance(event, MemberEvent):
            self._member_event(event)
        else:
            self._user_event(event)
        self._plugins.notify("consul_kernel_gossip_event", agent=self, pool="lan", event=event)

    def _wan_event(self, event: GossipEvent) -> None:
        if isinstance(event, MemberEvent):
            self._wan_member_log.observe(event)
            self._known_servers.observe_wan(event)
        self._plugins.notify("consul_kernel_gossip_event", agent=self, pool="wan", event=event)

    def _member_event(self, event: MemberEvent) -> None:
        self._member_log.observe(event)
        count_member_event(event, self._metrics)
        server = self._known_servers.observe(event)
        if self._server is not None:
            self._server.member_changed(event)
        if event.kind is MemberEventKind.JOIN and server is not None:
            if self._flooding is not None:
                self._flooding.server_joined()
            if self._started:
                self._registry.anti_entropy.server_appeared()

    def _user_event(self, event: UserEvent) -> None:
        self._metrics.counter("serf.events").add()
        if event.name == NEW_LEADER_EVENT:
            logger.info("new leader elected: %s", event.payload.decode("utf-8", "replace"))

    def _leader_changed(self, change: LeaderChange) -> None:
        self._router.leader_changed()
        self._plugins.notify("consul_kernel_leader_changed", agent=self, change=change)

    def _failed(self, error: BaseException) -> None:
        """A part cannot go on: stop the agent rather than serve what may be wrong."""
        logger.error("the agent stops: %s", error)
        self.failure = error
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name="stop")
