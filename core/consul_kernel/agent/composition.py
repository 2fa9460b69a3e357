"""Makes an agent's parts from the plugins that its configuration names."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consul_kernel.config.blocks import PluginBlock, decode_block
from consul_kernel.config.model import AgentConfig
from consul_kernel.config.problems import ConfigErrors, ConfigProblem
from consul_kernel.contracts.cipher import Cipher, CipherContext
from consul_kernel.contracts.consensus import ConsensusCapability, ConsensusPlugin
from consul_kernel.contracts.dns_answer import DnsAnswerContext, DnsAnswers
from consul_kernel.contracts.errors import CipherError, PluginLoadError, PluginStartError
from consul_kernel.contracts.interface import AgentApi, Interface, InterfaceContext
from consul_kernel.contracts.membership import GossipEvent, Membership, MembershipContext
from consul_kernel.contracts.metrics import NO_METRICS, Metrics
from consul_kernel.contracts.plugin import Plugin, PluginConfig, PluginKind
from consul_kernel.contracts.store import Store, StoreContext
from consul_kernel.contracts.transport import Address, Transport, TransportContext
from consul_kernel.plugins import PluginManager
from consul_kernel.server.server import ServerSettings

from .admission import lan_admission, refuse_in_wan, refuse_shared_ids
from .clock import monotonic_ms, monotonic_us
from .dns_answers import guard
from .keyring import LAN_KEYRING, WAN_KEYRING, open_keyring
from .tags import advertised_reconnect_timeout_ms, lan_tags, wan_tags

LAN_SNAPSHOT = "serf/local.snapshot"
WAN_SNAPSHOT = "serf/remote.snapshot"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A plugin that the configuration chose, with its block decoded."""

    block: PluginBlock
    plugin: Plugin[Any, Any]
    config: PluginConfig


class Parts:
    """An agent's parts. Making them does no I/O, but for the files of gossip keys."""

    def __init__(
        self,
        config: AgentConfig,
        plugins: PluginManager,
        *,
        node_id: str,
        rng: random.Random,
        on_event: Callable[[GossipEvent], None],
        on_wan_event: Callable[[GossipEvent], None],
        metrics: Metrics = NO_METRICS,
    ) -> None:
        """Raises ConfigErrors with everything that is wrong."""
        self._config = config
        self._rng = rng
        self._metrics = metrics
        self._chosen = choose(config, plugins)
        self.transport: Transport = self._make(PluginKind.TRANSPORT, TransportContext())
        self.membership = self._make_lan(node_id, rng, on_event)
        self.wan_membership = self._make_wan(config.serf_wan_address, rng, on_wan_event)

    @property
    def consensus(self) -> ConsensusPlugin:
        """The consensus plugin; its part is made by the server."""
        return self._one(PluginKind.CONSENSUS).plugin

    @property
    def consensus_config(self) -> PluginConfig:
        """The consensus plugin's block."""
        return self._one(PluginKind.CONSENSUS).config

    @property
    def founds_alone(self) -> bool:
        """Whether the server founds its quorum without waiting for others: it was told to, or there can be none."""
        config = self._config
        return config.bootstrap or (config.server and not has_several_servers(self.consensus))

    def make_store(self) -> Store:
        """The server's store."""
        store: Store = self._make(PluginKind.STORE, StoreContext(data_dir=self._config.data_dir))
        return store

    def make_interfaces(self, agent: AgentApi, metrics: Metrics) -> list[Interface]:
        """Every interface, in the order of `interface_names`."""
        answers = make_dns_answers(self._config, self._chosen, metrics, self._rng)
        return [
            chosen.plugin.create(self._interface_context(agent, metrics, answers, chosen.block.name), chosen.config)
            for chosen in self._of_kind(PluginKind.INTERFACE)
        ]

    @property
    def interface_names(self) -> Sequence[str]:
        """The chosen interfaces."""
        return [chosen.block.name for chosen in self._of_kind(PluginKind.INTERFACE)]

    def summary(self) -> str:
        """Which plugin serves as what, for the log."""
        return ", ".join(f"{chosen.block.kind}={chosen.block.name}" for chosen in self._chosen)

    def _of_kind(self, kind: PluginKind) -> list[Chosen]:
        return [chosen for chosen in self._chosen if chosen.block.kind is kind]

    def _one(self, kind: PluginKind) -> Chosen:
        (chosen,) = self._of_kind(kind)
        return chosen

    def _make(self, kind: PluginKind, context: object) -> Any:
        chosen = self._one(kind)
        return chosen.plugin.create(context, chosen.config)

    def _make_cipher(self, keyring: str) -> Cipher | None:
        """A cipher of its own for each pool, since their keys may differ; `keyring` is where the pool keeps them."""
        if not self._of_kind(PluginKind.CIPHER):
            return None
        config = self._config
        return open_keyring(
            lambda encrypt: self._make(PluginKind.CIPHER, CipherContext(encrypt=encrypt)),
            keyring,
            encrypt=config.encrypt,
            data_dir=None if config.disable_keyring_file else config.data_dir,
        )

    def _make_lan(self, node_id: str, rng: random.Random, on_event: Callable[[GossipEvent], None]) -> Membership:
        config = self._config
        wan = config.serf_wan_address
        self._lan_tags = lan_tags(
            datacenter=config.datacenter,
            node_id=node_id,
            server_port=config.server_address.port if config.server else None,
            bootstrap=self.founds_alone,
            bootstrap_expect=config.bootstrap_expect,
            wan_join_port=wan.port if wan is not None else 0,
            reconnect_timeout_ms=config.advertise_reconnect_timeout_ms,
        )
        context = MembershipContext(
            node_name=config.node_name,
            bind=config.serf_lan_address,
            advertise=Address(config.advertise_addr, config.serf_lan_address.port),
            tags=self._lan_tags,
            transport=self.transport,
            cipher=self._make_cipher(LAN_KEYRING),
            on_event=on_event,
            now_ms=monotonic_ms,
            now_us=monotonic_us,
            rng=rng,
            accept=lan_admission(datacenter=config.datacenter, node_name=config.node_name, node_id=node_id),
            accept_list=refuse_shared_ids,
            snapshot_path=config.data_dir / LAN_SNAPSHOT if config.data_dir is not None else None,
            reconnect_timeout_ms=config.reconnect_timeout_ms,
            verify_incoming=config.encrypt_verify_incoming,
            verify_outgoing=config.encrypt_verify_outgoing,
            reconnect_timeout_of=advertised_reconnect_timeout_ms,
            rejoin_after_leave=config.rejoin_after_leave,
            coordinates=not config.disable_coordinates,
            tuning=_tuning(config.gossip_lan),
            metrics=self._metrics,
        )
        membership: Membership = self._make(PluginKind.MEMBERSHIP, context)
        return membership

    def _make_wan(
        self, bind: Address | None, rng: random.Random, on_event: Callable[[GossipEvent], None]
    ) -> Membership | None:
        """A server's part in the WAN pool; None on a client, and where `ports.serf_wan` is -1."""
        if bind is None:
            return None
        config = self._config
        context = MembershipContext(
            node_name=f"{config.node_name}.{config.datacenter}",
            pool="wan",
            bind=bind,
            advertise=Address(config.advertise_addr_wan, bind.port),
            tags=wan_tags(self._lan_tags),
            transport=self.transport,
            cipher=self._make_cipher(WAN_KEYRING),
            on_event=on_event,
            now_ms=monotonic_ms,
            now_us=monotonic_us,
            rng=rng,
            accept=refuse_in_wan,
            snapshot_path=config.data_dir / WAN_SNAPSHOT if config.data_dir is not None else None,
            reconnect_timeout_ms=config.reconnect_timeout_wan_ms,
            verify_incoming=config.encrypt_verify_incoming,
            verify_outgoing=config.encrypt_verify_outgoing,
            reconnect_timeout_of=advertised_reconnect_timeout_ms,
            rejoin_after_leave=config.rejoin_after_leave,
            coordinates=not config.disable_coordinates,
            tuning=_tuning(config.gossip_wan),
            metrics=self._metrics,
        )
        membership: Membership = self._make(PluginKind.MEMBERSHIP, context)
        return membership

    def _interface_context(
        self, agent: AgentApi, metrics: Metrics, dns_answers: DnsAnswers, name: str
    ) -> InterfaceContext:
        config = self._config
        return InterfaceContext(
            agent=agent,
            bind=config.interface_bind(name),
            dns=config.dns,
            http=config.http,
            limits=config.limits,
            metrics=metrics,
            dns_answers=dns_answers,
        )


def _tuning(keys: Mapping[str, int]) -> Mapping[str, int]:
    return {key.removesuffix("_ms"): value for key, value in keys.items()}


def server_settings(config: AgentConfig, node_id: str, *, founds_alone: bool) -> ServerSettings:
    """What a server takes from the agent file."""
    bind = config.server_address
    return ServerSettings(
        node_name=config.node_name,
        node_id=node_id,
        datacenter=config.datacenter,
        bind=bind,
        advertise=Address(config.advertise_addr, bind.port),
        bootstrap=founds_alone,
        bootstrap_expect=0 if founds_alone else config.bootstrap_expect,
        raft_multiplier=config.raft_multiplier,
        snapshot_threshold=config.raft_snapshot_threshold,
        snapshot_interval_ms=config.raft_snapshot_interval_ms,
        trailing_logs=config.raft_trailing_logs,
        autopilot=config.autopilot,
        leave_drain_time_ms=config.leave_drain_time_ms,
        rpc_hold_timeout_ms=config.rpc_hold_timeout_ms,
        default_query_time_ms=config.http.default_query_time_ms,
        max_query_time_ms=config.http.max_query_time_ms,
        session_ttl_min_ms=config.session_ttl_min_ms,
        limits=config.limits,
        data_dir=config.data_dir,
    )


def has_several_servers(consensus: ConsensusPlugin) -> bool:
    """Whether the quorum may have more servers than this one."""
    return ConsensusCapability.MULTI_SERVER in consensus.capabilities


def wanted_blocks(config: AgentConfig) -> list[PluginBlock]:
    """The blocks of the parts that this agent needs: a client has neither consensus nor store."""
    server_only = (PluginKind.CONSENSUS, PluginKind.STORE)
    single = [block for kind, block in config.plugins.items() if config.server or kind not in server_only]
    return [*single, *config.interfaces, *config.dns_answers]


def choose(config: AgentConfig, plugins: PluginManager) -> list[Chosen]:
    """Load and decode the wanted blocks. Raises ConfigErrors with every error at once."""
    chosen, problems = examine(config, plugins)
    if problems:
        raise ConfigErrors(problems)
    return chosen


def examine(config: AgentConfig, plugins: PluginManager) -> tuple[list[Chosen], list[ConfigProblem]]:
    """The wanted blocks that can be loaded and decoded, and what is wrong with the others."""
    chosen: list[Chosen] = []
    problems: list[ConfigProblem] = []
    for block in wanted_blocks(config):
        try:
            plugin = plugins.load(block.kind, block.name)
        except PluginLoadError as error:
            problems.append(ConfigProblem(str(error), block.source, block.path))
            continue
        if block.kind is PluginKind.CONSENSUS and config.bootstrap_expect > 1 and not has_several_servers(plugin):
            text = f"it is for one server alone, and cannot wait for bootstrap_expect = {config.bootstrap_expect}"
            problems.append(ConfigProblem(text, block.source, block.path))
        try:
            chosen.append(Chosen(block, plugin, decode_block(block, plugin.config_type)))
        except ConfigErrors as errors:
            problems.extend(errors.problems)
    return chosen, problems


def make_dns_answers(config: AgentConfig, chosen: Sequence[Chosen], metrics: Metrics, rng: random.Random) -> DnsAnswers:
    """The parts that have a say in answers of DNS, in the order of the agent file. PluginStartError if one fails."""
    context = DnsAnswerContext(
        node_name=config.node_name,
        datacenter=config.datacenter,
        node_meta=config.node_meta,
        logger=logging.getLogger("consul_kernel.dns_answers"),
        rng=rng,
    )
    parts = []
    for one in chosen:
        if one.block.kind is PluginKind.DNS_ANSWER:
            try:
                part = one.plugin.create(context, one.config)
            except Exception as error:
                raise PluginStartError(f"{one.block.path}: {type(error).__name__}: {error}") from error
            parts.append((one.block.name, part, one.plugin.capabilities))
    return guard(parts, metrics)


def missing_key(config: AgentConfig, chosen: Sequence[Chosen]) -> ConfigProblem | None:
    """A cipher that has no key to start with: neither in the agent file nor kept by an earlier start."""
    kept = config.data_dir is not None and not config.disable_keyring_file and (config.data_dir / LAN_KEYRING).exists()
    for one in chosen:
        if one.block.kind is not PluginKind.CIPHER or kept:
            continue
        try:
            one.plugin.create(CipherContext(encrypt=config.encrypt), one.config)
        except (PluginStartError, CipherError) as error:
            return ConfigProblem(str(error), one.block.source, one.block.path)
    return None
