"""From merged settings to the `AgentConfig`."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from consul_kernel.agent.checks.plugins import CheckKinds
from consul_kernel.agent.keyring import keeps_keys
from consul_kernel.plugins import PluginManager
from consul_kernel.structs.check import CheckDefinition
from consul_kernel.structs.service import ServiceDefinition
from consul_kernel.structs.settings import (
    AutopilotSettings,
    DnsSettings,
    HttpSettings,
    LimitSettings,
    SoaSettings,
    TelemetrySettings,
)
from consul_kernel.structs.watch import WatchDefinition
from consul_kernel.watching.plan import handler_faults

from .addresses import ListAddresses, host_addresses
from .definitions import check_faults, read_checks, read_services, read_watches, runs_commands, service_faults
from .merged import Merged
from .model import AgentConfig
from .network import NetworkReader
from .parts import choose_parts, read_encrypt
from .problems import ProblemLog
from .rules import check_rules
from .settings import SourceSettings

LOG_LEVELS = {
    "TRACE": "trace",
    "DEBUG": "debug",
    "INFO": "info",
    "WARN": "warn",
    "WARNING": "warn",
    "ERR": "error",
    "ERROR": "error",
}
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Host:
    """What of the machine a configuration depends on; given, so that it can be another one in tests."""

    hostname: Callable[[], str] = socket.gethostname
    addresses: ListAddresses = host_addresses
    kinds: CheckKinds = field(default_factory=lambda: CheckKinds(PluginManager()))
    """The kinds of check that are installed."""


def build_config(settings: SourceSettings, problems: ProblemLog, *, dev_mode: bool, host: Host) -> AgentConfig:
    """The configuration, as good as the settings allow; what is wrong is in `problems`."""
    merged = Merged(settings)
    server = merged.flag("server")
    config = _plain_settings(merged, problems, host, server=server, dev_mode=dev_mode)
    reader = NetworkReader(merged, problems, host.addresses)
    network = reader.read()
    parts = choose_parts(
        merged,
        problems,
        has_data_dir=config.data_dir is not None,
        has_keyring=config.data_dir is not None and not config.disable_keyring_file and keeps_keys(config.data_dir),
        sockets=network.sockets,
    )
    config = replace(
        config,
        bind_addr=network.bind_addr,
        client_addr=network.client_addr,
        advertise_addr=network.advertise_addr,
        advertise_addr_wan=network.advertise_addr_wan,
        serf_lan_bind=network.serf_lan_bind,
        serf_wan_bind=network.serf_wan_bind,
        addresses=network.addresses,
        ports=network.ports,
        tagged_addresses=network.tagged_addresses,
        start_join=reader.expand_all("start_join"),
        start_join_wan=reader.expand_all("start_join_wan"),
        retry_join=reader.expand_all("retry_join"),
        retry_join_wan=reader.expand_all("retry_join_wan"),
        encrypt=read_encrypt(merged, problems),
        services=_services(merged, host.kinds, problems),
        checks=_checks(merged, host.kinds, problems),
        watches=_watches(merged, host.kinds, problems),
        dns=_dns(merged, problems, reader.expand_all("recursors")),
        http=_http(merged, problems, dev_mode=dev_mode),
        limits=_limits(merged),
        plugins=parts.single,
        interfaces=parts.interfaces,
        dns_answers=parts.dns_answers,
    )
    check_rules(config, merged, problems, runs_commands=lambda check: runs_commands(check, host.kinds))
    return replace(config, warnings=tuple(problems.warnings))


def _plain_settings(merged: Merged, problems: ProblemLog, host: Host, *, server: bool, dev_mode: bool) -> AgentConfig:
    """What needs no more than reading and defaults."""
    datacenter = merged.text("datacenter").lower()
    expect = merged.number("bootstrap_expect")
    return AgentConfig(
        node_name=(merged.text("node_name") or host.hostname()).strip(),
        node_id=merged.text("node_id").lower(),
        disable_host_node_id=merged.flag("disable_host_node_id"),
        node_meta=merged.mapping("node_meta"),
        datacenter=datacenter,
        primary_datacenter=merged.text("primary_datacenter").lower() or datacenter,
        domain=merged.text("domain"),
        alt_domain=merged.text("alt_domain"),
        server=server,
        bootstrap=merged.flag("bootstrap") or expect == 1 or dev_mode,
        bootstrap_expect=expect if expect > 1 else 0,
        dev_mode=dev_mode,
        data_dir=None if dev_mode else merged.path("data_dir"),
        pid_file=merged.path("pid_file"),
        retry_interval_ms=merged.duration_ms("retry_interval"),
        retry_interval_wan_ms=merged.duration_ms("retry_interval_wan"),
        retry_max=merged.number("retry_max"),
        retry_max_wan=merged.number("retry_max_wan"),
        rejoin_after_leave=merged.flag("rejoin_after_leave"),
        leave_on_terminate=merged.flag("leave_on_terminate") if merged.given("leave_on_terminate") else not server,
        skip_leave_on_interrupt=(
            merged.flag("skip_leave_on_interrupt") if merged.given("skip_leave_on_interrupt") else server
        ),
        reconnect_timeout_ms=merged.duration_ms("reconnect_timeout"),
        reconnect_timeout_wan_ms=merged.duration_ms("reconnect_timeout_wan"),
        advertise_reconnect_timeout_ms=merged.duration_ms("advertise_reconnect_timeout"),
        disable_coordinates=merged.flag("disable_coordinates"),
        encrypt_verify_incoming=merged.flag("encrypt_verify_incoming"),
        encrypt_verify_outgoing=merged.flag("encrypt_verify_outgoing"),
        disable_keyring_file=merged.flag("disable_keyring_file"),
        gossip_lan=_gossip(merged, "gossip_lan"),
        gossip_wan=_gossip(merged, "gossip_wan"),
        raft_multiplier=merged.number("performance.raft_multiplier"),
        leave_drain_time_ms=merged.duration_ms("performance.leave_drain_time"),
        rpc_hold_timeout_ms=merged.duration_ms("performance.rpc_hold_timeout"),
        raft_snapshot_threshold=merged.number("raft_snapshot_threshold"),
        raft_snapshot_interval_ms=merged.duration_ms("raft_snapshot_interval"),
        raft_trailing_logs=merged.number("raft_trailing_logs"),
        autopilot=_autopilot(merged),
        log_level=_log_level(merged, problems),
        log_json=merged.flag("log_json"),
        log_file=merged.path("log_file"),
        log_rotate_duration_ms=merged.duration_ms("log_rotate_duration"),
        log_rotate_bytes=merged.number("log_rotate_bytes"),
        log_rotate_max_files=merged.number("log_rotate_max_files"),
        telemetry=_telemetry(merged),
        enable_script_checks=merged.flag("enable_script_checks"),
        enable_local_script_checks=(
            merged.flag("enable_local_script_checks")
            if merged.given("enable_local_script_checks")
            else merged.flag("enable_script_checks")
        ),
        check_update_interval_ms=merged.duration_ms("check_update_interval"),
        check_output_max_size=merged.number("check_output_max_size"),
        discard_check_output=merged.flag("discard_check_output"),
        session_ttl_min_ms=merged.duration_ms("session_ttl_min"),
    )


def _gossip(merged: Merged, block: str) -> Mapping[str, int]:
    """The keys that are set; durations in milliseconds under names that end in `_ms`."""
    found: dict[str, int] = {}
    for name in merged.paths_in(block):
        if name in {"gossip_interval", "probe_interval", "probe_timeout"}:
            found[f"{name}_ms"] = merged.duration_ms(f"{block}.{name}")
        else:
            found[name] = merged.number(f"{block}.{name}")
    return found


def _autopilot(merged: Merged) -> AutopilotSettings:
    return AutopilotSettings(
        cleanup_dead_servers=merged.flag("autopilot.cleanup_dead_servers"),
        last_contact_threshold_ms=merged.duration_ms("autopilot.last_contact_threshold"),
        max_trailing_logs=merged.number("autopilot.max_trailing_logs"),
        min_quorum=merged.number("autopilot.min_quorum"),
        server_stabilization_time_ms=merged.duration_ms("autopilot.server_stabilization_time"),
        redundancy_zone_tag=merged.text("autopilot.redundancy_zone_tag"),
        disable_upgrade_migration=merged.flag("autopilot.disable_upgrade_migration"),
        upgrade_version_tag=merged.text("autopilot.upgrade_version_tag"),
    )


def _telemetry(merged: Merged) -> TelemetrySettings:
    return TelemetrySettings(
        metrics_prefix=merged.text("telemetry.metrics_prefix"),
        disable_hostname=merged.flag("telemetry.disable_hostname"),
        disable_compat=merged.flag("telemetry.disable_compat_1.9"),
        prefix_filter=merged.texts("telemetry.prefix_filter"),
        filter_default=merged.flag("telemetry.filter_default"),
        prometheus_retention_ms=merged.duration_ms("telemetry.prometheus_retention_time"),
        statsd_address=merged.text("telemetry.statsd_address"),
        statsite_address=merged.text("telemetry.statsite_address"),
        dogstatsd_addr=merged.text("telemetry.dogstatsd_addr"),
        dogstatsd_tags=merged.texts("telemetry.dogstatsd_tags"),
    )


def _log_level(merged: Merged, problems: ProblemLog) -> str:
    text = merged.text("log_level")
    level = LOG_LEVELS.get(text.strip().upper())
    if level is None:
        problems.error(
            f'"{text}" is no level; expected trace, debug, info, warn or err',
            merged.position("log_level"),
            key="log_level",
        )
        return "info"
    return level


def _dns(merged: Merged, problems: ProblemLog, recursors: Sequence[str]) -> DnsSettings:
    strategy = merged.text("dns_config.recursor_strategy") or "sequential"
    if strategy not in ("sequential", "random"):
        key = "dns_config.recursor_strategy"
        problems.error(f'expected "sequential" or "random", got {strategy!r}', merged.position(key), key=key)
    ttls = {name: int(ns) // _NS_PER_S for name, ns in merged.mapping("dns_config.service_ttl").items()}
    return DnsSettings(
        domain=_absolute(merged.text("domain")),
        alt_domain=_absolute(merged.text("alt_domain")),
        recursors=tuple(dict.fromkeys(recursors)),
        recursor_timeout_ms=merged.duration_ms("dns_config.recursor_timeout"),
        recursor_strategy=strategy,
        use_cache=merged.flag("dns_config.use_cache"),
        cache_max_age_ms=merged.duration_ms("dns_config.cache_max_age"),
        allow_stale=merged.flag("dns_config.allow_stale"),
        max_stale_ms=merged.duration_ms("dns_config.max_stale"),
        node_ttl_s=int(merged.raw("dns_config.node_ttl")) // _NS_PER_S,
        service_ttl_s=ttls,
        only_passing=merged.flag("dns_config.only_passing"),
        udp_answer_limit=merged.number("dns_config.udp_answer_limit"),
        a_record_limit=merged.number("dns_config.a_record_limit"),
        enable_truncate=merged.flag("dns_config.enable_truncate"),
        disable_compression=merged.flag("dns_config.disable_compression"),
        node_meta_txt=merged.flag("dns_config.enable_additional_node_meta_txt"),
        soa=SoaSettings(
            refresh_s=merged.number("dns_config.soa.refresh"),
            retry_s=merged.number("dns_config.soa.retry"),
            expire_s=merged.number("dns_config.soa.expire"),
            min_ttl_s=merged.number("dns_config.soa.min_ttl"),
        ),
    )


def _absolute(domain: str) -> str:
    """A domain in lower case with its final dot; "" stays."""
    return domain.lower().strip(".") + "." if domain.strip(".") else ""


def _http(merged: Merged, problems: ProblemLog, *, dev_mode: bool) -> HttpSettings:
    networks = merged.texts("http_config.allow_write_http_from")
    for network in networks:
        try:
            ipaddress.ip_network(network.strip(), strict=False)
        except ValueError:
            position = merged.position("http_config.allow_write_http_from")
            problems.error(f"invalid cidr: {network}", position, key="http_config.allow_write_http_from")
    return HttpSettings(
        response_headers=dict(merged.mapping("http_config.response_headers")),
        block_endpoints=merged.texts("http_config.block_endpoints"),
        allow_write_http_from=tuple(network.strip() for network in networks),
        max_header_bytes=merged.number("http_config.max_header_bytes"),
        default_query_time_ms=merged.duration_ms("default_query_time"),
        max_query_time_ms=merged.duration_ms("max_query_time"),
        discovery_max_stale_ms=merged.duration_ms("discovery_max_stale"),
        disable_coordinates=merged.flag("disable_coordinates"),
        enable_debug=merged.flag("enable_debug"),
        dev_mode=dev_mode,
    )


def _limits(merged: Merged) -> LimitSettings:
    return LimitSettings(
        http_max_conns_per_client=merged.number("limits.http_max_conns_per_client"),
        kv_max_value_size=merged.number("limits.kv_max_value_size"),
        txn_max_req_len=merged.number("limits.txn_max_req_len"),
        rpc_handshake_timeout_ms=merged.duration_ms("limits.rpc_handshake_timeout"),
        rpc_max_conns_per_client=merged.number("limits.rpc_max_conns_per_client"),
        rpc_rate=merged.real("limits.rpc_rate"),
        rpc_max_burst=merged.number("limits.rpc_max_burst"),
    )


def _services(merged: Merged, kinds: CheckKinds, problems: ProblemLog) -> tuple[ServiceDefinition, ...]:
    found: list[ServiceDefinition] = []
    for service, node in read_services(merged.raw("services") or (), kinds, problems):
        for fault in service_faults(service, kinds):
            problems.error(fault, node.position, key=f'service "{service.name}"')
        found.append(service)
    return tuple(found)


def _checks(merged: Merged, kinds: CheckKinds, problems: ProblemLog) -> tuple[CheckDefinition, ...]:
    found: list[CheckDefinition] = []
    for check, node in read_checks(merged.raw("checks") or (), kinds, problems):
        for fault in check_faults(check, kinds):
            problems.error(fault, node.position, key=f'check "{check.name or check.id}"')
        found.append(check)
    return tuple(found)


def _watches(merged: Merged, kinds: CheckKinds, problems: ProblemLog) -> tuple[WatchDefinition, ...]:
    found: list[WatchDefinition] = []
    for index, (watch, node) in enumerate(read_watches(merged.raw("watches") or (), kinds, problems)):
        for fault in handler_faults(watch):
            problems.error(fault, node.position, key=f"watches[{index}]")
        if watch.handler:
            problems.warn("is deprecated; use args instead", node.position, key=f"watches[{index}].handler")
        found.append(watch)
    return tuple(found)
