"""The outcome: one frozen record with everything that an agent is built from, merged, validated and defaulted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from consul_kernel.contracts.plugin import PluginKind
from consul_kernel.contracts.transport import Address
from consul_kernel.structs.check import CheckDefinition
from consul_kernel.structs.service import ServiceDefinition
from consul_kernel.structs.settings import (
    AutopilotSettings,
    DnsSettings,
    HttpSettings,
    LimitSettings,
    TelemetrySettings,
)
from consul_kernel.structs.watch import WatchDefinition

from .blocks import PluginBlock
from .problems import ConfigProblem


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """An agent's configuration. Durations are whole milliseconds; addresses are IPs in text form.

    Ports are -1 where disabled. Nothing here is ever changed; a reload makes another.
    """

    # identity
    node_name: str
    node_id: str = ""
    """"" where it's to be generated."""
    disable_host_node_id: bool = True
    node_meta: Mapping[str, str] = field(default_factory=dict)
    tagged_addresses: Mapping[str, str] = field(default_factory=dict)
    """Given ones, plus `lan`, `wan` and their `_ipv4` and `_ipv6` forms, as Consul makes them."""
    datacenter: str = "dc1"
    primary_datacenter: str = "dc1"
    domain: str = "consul."
    alt_domain: str = ""
    server: bool = False
    bootstrap: bool = False
    """This server may elect itself: `bootstrap`, `bootstrap_expect = 1`, or dev mode."""
    bootstrap_expect: int = 0
    """How many servers found the quorum; 0 where `bootstrap` says it all or nothing does."""
    dev_mode: bool = False
    data_dir: Path | None = None
    """None in dev mode and where the files name none."""
    pid_file: Path | None = None

    # network
    bind_addr: str = "0.0.0.0"
    client_addr: tuple[str, ...] = ("127.0.0.1",)
    advertise_addr: str = "127.0.0.1"
    """Never an any-address."""
    advertise_addr_wan: str = "127.0.0.1"
    serf_lan_bind: str = "0.0.0.0"
    serf_wan_bind: str = "0.0.0.0"
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Where interfaces bind, by name (`dns`, `http`, `https`, `grpc`, and those of interface blocks); may be empty."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """By name: `dns`, `http`, `https`, `grpc`, `server`, `serf_lan`, `serf_wan`, and those of interface blocks."""

    # joining and leaving
    start_join: tuple[str, ...] = ()
    start_join_wan: tuple[str, ...] = ()
    retry_join: tuple[str, ...] = ()
    retry_join_wan: tuple[str, ...] = ()
    retry_interval_ms: int = 30_000
    retry_interval_wan_ms: int = 30_000
    retry_max: int = 0
    retry_max_wan: int = 0
    rejoin_after_leave: bool = False
    leave_on_terminate: bool = True
    skip_leave_on_interrupt: bool = False
    reconnect_timeout_ms: int = 72 * 3600 * 1000
    reconnect_timeout_wan_ms: int = 72 * 3600 * 1000
    advertise_reconnect_timeout_ms: int = 0
    """Told to others in a tag; 0 is none."""
    disable_coordinates: bool = False

    # gossip
    encrypt: bytes | None = field(default=None, repr=False)
    encrypt_verify_incoming: bool = True
    encrypt_verify_outgoing: bool = True
    disable_keyring_file: bool = False
    gossip_lan: Mapping[str, int] = field(default_factory=dict)
    """Keys of `gossip_lan` that are set; durations end in `_ms` (`probe_interval_ms`), counts keep their name."""
    gossip_wan: Mapping[str, int] = field(default_factory=dict)

    # raft and calls
    raft_multiplier: int = 5
    leave_drain_time_ms: int = 5000
    rpc_hold_timeout_ms: int = 7000
    raft_snapshot_threshold: int = 16_384
    raft_snapshot_interval_ms: int = 30_000
    raft_trailing_logs: int = 10_240
    autopilot: AutopilotSettings = AutopilotSettings()

    # logs
    log_level: str = "info"
    """One of trace, debug, info, warn, error."""
    log_json: bool = False
    log_file: Path | None = None
    log_rotate_duration_ms: int = 24 * 3600 * 1000
    log_rotate_bytes: int = 0
    log_rotate_max_files: int = 0

    telemetry: TelemetrySettings = TelemetrySettings()

    # interfaces
    dns: DnsSettings = DnsSettings()
    http: HttpSettings = HttpSettings()
    limits: LimitSettings = LimitSettings()

    # services and checks
    services: tuple[ServiceDefinition, ...] = ()
    checks: tuple[CheckDefinition, ...] = ()
    watches: tuple[WatchDefinition, ...] = ()
    enable_script_checks: bool = False
    enable_local_script_checks: bool = False
    check_update_interval_ms: int = 300_000
    check_output_max_size: int = 4096
    discard_check_output: bool = False
    session_ttl_min_ms: int = 0
    """0 stands for Consul's 10 s."""

    # parts
    plugins: Mapping[PluginKind, PluginBlock] = field(default_factory=dict)
    """The chosen part of each kind that has one; no cipher where gossip is not sealed."""
    interfaces: tuple[PluginBlock, ...] = ()
    dns_answers: tuple[PluginBlock, ...] = ()
    """In the order in which they are asked."""

    warnings: tuple[ConfigProblem, ...] = ()
    """What is worth telling the operator."""

    def interface_bind(self, name: str) -> tuple[Address, ...]:
        """Where the interface of this name binds; empty where its port is disabled or not given."""
        port = self.ports.get(name, -1)
        if port <= 0:
            return ()
        return tuple(Address(host, port) for host in self.addresses.get(name, self.client_addr))

    @property
    def all_checks(self) -> tuple[CheckDefinition, ...]:
        """The checks of the node and of its services."""
        of_services = (check for service in self.services for check in (service.check, *(service.checks or [])))
        return (*self.checks, *(check for check in of_services if check is not None))

    @property
    def serf_lan_address(self) -> Address:
        """Where LAN gossip binds."""
        return Address(self.serf_lan_bind, self.ports["serf_lan"])

    @property
    def serf_wan_address(self) -> Address | None:
        """Where WAN gossip binds; None on clients and where its port is disabled."""
        port = self.ports["serf_wan"]
        return Address(self.serf_wan_bind, port) if self.server and port > 0 else None

    @property
    def server_address(self) -> Address:
        """Where calls between agents bind."""
        return Address(self.bind_addr, self.ports["server"])
