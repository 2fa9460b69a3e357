"""What must hold between settings, in Consul's words where it has them (Consul: agent/config/builder.go, validate)."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from consul_kernel.contracts.plugin import PluginKind
from consul_kernel.contracts.transport import Address
from consul_kernel.structs.check import CheckDefinition
from consul_kernel.structs.metadata import metadata_fault
from consul_kernel.telemetry.sinks import split_address

from .merged import Merged
from .model import AgentConfig
from .problems import ProblemLog

DATACENTER_PATTERN = re.compile(r"[a-z0-9_-]+")
_NOT_IN_DNS = re.compile(r"[^A-Za-z0-9\-]")
_MAX_LABEL = 63
MIN_RECONNECT_MS = 8 * 3600 * 1000
MAX_RAFT_MULTIPLIER = 10

Rule = Callable[[AgentConfig, Merged, ProblemLog], None]


def check_rules(
    config: AgentConfig, merged: Merged, problems: ProblemLog, *, runs_commands: Callable[[CheckDefinition], bool]
) -> None:
    """Apply every rule; the outcome is in `problems`."""
    for rule in _RULES:
        rule(config, merged, problems)
    _scripts(config, merged, problems, runs_commands)


def _error(merged: Merged, problems: ProblemLog, key: str, text: str) -> None:
    problems.error(text, merged.position(key), key=key)


def _names(config: AgentConfig, merged: Merged, problems: ProblemLog) -> None:
    if not config.node_name:
        _error(merged, problems, "node_name", "node_name cannot be empty")
    elif _NOT_IN_DNS.search(config.node_name):
        problems.warn(
            f'Node name "{config.node_name}" will not be discoverable via DNS due to invalid characters. '
            "Valid characters include all alpha-numerics and dashes.",
            merged.position("node_name"),
        )
    elif len(config.node_name) > _MAX_LABEL:
        problems.warn(
            f'Node name "{config.node_name}" will not be discoverable via DNS due to it being too long. '
            "Valid lengths are between 1 and 63 bytes.",
            merged.position("node_name"),
        )
    if config.node_id and not _is_uuid(config.node_id):
        _error(merged, problems, "node_id", f'"{config.node_id}" is not a UUID; leave it out to have one made')
    for key, name in (("datacenter", config.datacenter), ("primary_datacenter", config.primary_datacenter)):
        if key == "primary_datacenter" and name == config.datacenter:
            continue
        if not name:
            _error(merged, problems, key, f"{key} cannot be empty")
        elif not DATACENTER_PATTERN.fullmatch(name):
            text = f'{key} can only contain lowercase alphanumeric, - or _ characters. received: "{name}"'
            _error(merged, problems, key, text)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _domains(config: AgentConfig, merged: Merged, problems: ProblemLog) -> None:
    first = config.alt_domain.strip(".").split(".")[0].lower()
    if first and first in {"service", "connect", "node", "query", "addr", config.datacenter}:
        text = f"alt_domain cannot start with {{service,connect,node,query,addr,{config.datacenter}}}"
        _error(merged, problems, "alt_domain", text)


def _bootstrap(config: AgentConfig, merged: Merged, problems: ProblemLog) -> None:
    expect = merged.number("bootstrap_expect")
    bootstrap = merged.flag("bootstrap")
    if bootstrap and not config.server:
        _error(merged, problems, "bootstrap", "'bootstrap = true' requires 'server = true'")
    if expect < 0:
        _error(
            merged,
            problems,
            "bootstrap_expect",
            f"bootstrap_expect cannot be {expect}. Must be greater than or equal to zero",
        )
    for wrong, text in (
        (not config.server, "'bootstrap_expect > 0' requires 'server = true'"),
        (config.dev_mode, "'bootstrap_expect > 0' not allowed in dev mode"),
        (bootstrap, "'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive"),
    ):
        if expect > 0 and wrong:
            _error(merged, problems, "bootstrap_expect", text)
    if config.server and not config.dev_mode and not bootstrap:
        _warn_expect(expect, merged, problems)
    elif bootstrap and config.server and expect == 0:
        problems.warn("bootstrap = true: do not enable unless necessary", merged.position("bootstrap"))


def _warn_expect(expect: int, merged: Merged, problems: ProblemLog) -> None:
    position = merged.position("bootstrap_expect")
    if expect == 1:
        problems.warn("BootstrapExpect is set to 1; this is the same as Bootstrap mode.", position)
    elif expect == 2:
        problems.warn("bootstrap_expect = 2: A cluster with 2 servers will provide no failure tolerance.", position)
    elif expect > 2 and expect % 2 == 0:
        problems.warn(
            "bootstrap_expect is even number: A cluster with an even number of servers does not achieve optimum "
            "fault tolerance.",
            position,
        )


def _data_dir(config: AgentConfig, merged: Merged, problems: ProblemLog) -> None:
    if config.dev_mode:
        if merged.text("data_dir"):
            problems.warn(
                "is not used in dev mode: everything is in memory", merged.position("data_dir"), key="data_dir"
            )
        return
    if config.data_dir is None:
        if config.server and config.plugins[PluginKind.STORE].source is None:
            _error(
                merged,
                problems,
                "data_dir",
                'data_dir cannot be empty; name a folder, use -dev, or choose store "memory" {} to keep nothing',
            )
        else:
            problems.warn("is not set: node id and registrations do not survive a restart", key="data_dir")
        return
    _folder(config.data_dir, merged, problems)


def _folder(folder: Path, merged: Merged, problems: ProblemLog) -> None:
    """A folder that is there or can be made."""
    if "\0" in str(folder):
        _error(merged, problems, "data_dir", "data_dir has a zero byte in its name")
        return
    try:
        if folder.exists() and not folder.is_dir():
            _error(merged, problems, "data_dir", f'data_dir "{folder}" is not a directory')
            return
        existing = folder
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
    except OSError as error:
        _error(merged, problems, "data_dir", f"Error getting info on data_dir: {error}")
        return
    if not existing.is_dir():
        _error(merged, problems, "data_dir", f'data_dir "{folder}" cannot be made: "{existing}" is not a directory')
    elif not os.access(existing, os.W_OK | os.X_OK):
        _error(merged, problems, "data_dir", f'data_dir "{folder}" cannot be written: no permission for "{existing}"')


def _numbers(config: AgentConfig, merged: Merged, problems: ProblemLog) -> None:
    if not 1 <= config.raft_multiplier <= MAX_RAFT_MULTIPLIER:
        text = f"cannot be {config.raft_multiplier}. Must be between 1 and {MAX_RAFT_MULTIPLIER}"
        _error(merged, problems, "performance.raft_multiplier", f"performance.raft_multiplier {text}")
    for key in ("dns_config.udp_answer_limit", "dns_config.a_record_limit", "retry_max", "retry_max_wan"):
        if merged.number(key) < 0:
            _error(
                merged, problems, key, f"{key} cannot be {merged.number(key)}. Must be greater than or equal to zero"
            )
    if config.check_output_max_size < 1:
        text = "check_output_max_size must be positive, to discard check output use the discard_check_output flag"
        _error(merged, problems, "check_output_max_size", text)
    if config.server and config.advertise_reconnect_timeout_ms:
        text = "advertise_reconnect_timeout can only be used on a client"
        _error(merged, problems, "advertise_reconnect_timeout", text)
    for key in ("reconnect_timeout", "reconnect_timeout_wan"):
        if merged.duration_ms(key) < MIN_RECONNECT_MS:
            _error(merged, problems, key, f"{key} must be >= 8h0m0s")
    for key in _POSITIVE:
        if merged.given(key) and merged.raw(key) <= 0:
            _error(merged, problems, key, "must be greater than zero")
    for key in _NOT_NEGATIVE:
        if merged.given(key) and merged.raw(key) < 0:
            _error(merged, problems, key, "must not be negative")


_POSITIVE = (
    "retry_interval",
    "retry_interval_wan",
    "raft_snapshot_threshold",
    "raft_snapshot_interval",
    "dns_config.recursor_timeout",
    "default_query_time",
    "max_query_time",
    "limits.kv_max_value_size",
    "limits.txn_max_req_len",
    *(
        f"gossip_{pool}.{name}"
        for pool in ("lan", "wan")
        for name in ("gossip_interval", "probe_interval", "probe_timeout", "suspicion_mult", "retransmit_mult")
    ),
)
_NOT_NEGATIVE = (
    "advertise_reconnect_timeout",
    "performance.leave_drain_time",
    "performance.rpc_hold_timeout",
    "raft_trailing_logs",
    "autopilot.last_contact_threshold",
    "autopilot.max_trailing_logs",
    "autopilot.min_quorum",
    "autopilot.server_stabilization_time",
    "check_update_interval",
    "session_ttl_min",
    "dns_config.max_stale",
    "dns_config.node_ttl",
    "discovery_max_stale",
    "limits.http_max_conns_per_client",
    "limits.rpc_max_conns_per_client",
    "log_rotate_bytes",
    "telemetry.prometheus_retention_time",
    "http_config.max_header_bytes",
)


def _node_meta(config: AgentConfig, merged: Merged, problems: ProblemLog) -> None:
    fault = metadata_fault(config.node_meta)
    if fault:
        _error(merged, problems, "node_meta", f"node_meta invalid: {fault}")


def _ports(config: AgentConfig, merged: Merged, problems: ProblemLog) -> None:
    """No two listeners may have one address and port; and gossip and servers need theirs."""
    listeners: list[tuple[str, Sequence[Address]]] = [(name, config.interface_bind(name)) for name in config.addresses]
    listeners.append(("server", [config.server_address] if config.server else []))
    listeners.append(("serf_lan", [config.serf_lan_address]))
    listeners.append(("serf_wan", [config.serf_wan_address] if config.serf_wan_address else []))
    used: dict[Address, str] = {}
    for name, binds in listeners:
        for bind in binds:
            other = used.setdefault(bind, name)
            if other != name:
                _error(merged, problems, f"ports.{name}", f"{name} address {bind} already configured for {other}")
    for name in ("serf_lan", "server") if config.server else ("serf_lan",):
        if config.ports[name] <= 0:
            _error(merged, problems, f"ports.{name}", "cannot be disabled: agents need it")


def _recursors(config: AgentConfig, merged: Merged, problems: ProblemLog) -> None:
    for recursor in config.dns.recursors:
        if recursor.strip("[]") in {"0.0.0.0", "::"}:
            _error(merged, problems, "recursors", "DNS recursor address cannot be 0.0.0.0, :: or [::]")


def _joins(config: AgentConfig, merged: Merged, problems: ProblemLog) -> None:
    for key in ("start_join", "start_join_wan", "retry_join", "retry_join_wan"):
        for item in merged.texts(key):
            if "provider=" in item:
                text = "this version does not ask cloud providers for addresses; list the addresses themselves"
                _error(merged, problems, key, text)
            elif not item.strip():
                _error(merged, problems, key, "an address is empty")
    for key in ("start_join_wan", "retry_join_wan"):
        if merged.texts(key) and config.serf_wan_address is None:
            why = "this server's is disabled (ports.serf_wan)" if config.server else "this agent is a client"
            problems.warn(f"is not used: the WAN pool is for servers, and {why}", merged.position(key), key=key)


def _scripts(
    config: AgentConfig, merged: Merged, problems: ProblemLog, runs_commands: Callable[[CheckDefinition], bool]
) -> None:
    if config.enable_script_checks and not config.http.allow_write_http_from:
        problems.warn(
            "lets everybody who reaches HTTP run commands on this host; use enable_local_script_checks instead, or "
            "name in http_config.allow_write_http_from who may",
            merged.position("enable_script_checks"),
            key="enable_script_checks",
        )
    if config.enable_local_script_checks or config.enable_script_checks:
        return
    text = (
        "Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or "
        "'enable_local_script_checks' to true"
    )
    for key, checks in (
        ("checks", config.checks),
        *(("services", [*([item.check] if item.check else []), *(item.checks or [])]) for item in config.services),
    ):
        if any(map(runs_commands, checks)):
            _error(merged, problems, key, text)


def _watches(config: AgentConfig, merged: Merged, problems: ProblemLog) -> None:
    """Watches ask their own agent over HTTP."""
    serves = any(block.name == "http" for block in config.interfaces) and config.ports.get("http", -1) > 0
    if config.watches and not serves:
        _error(merged, problems, "watches", "watch plans require an HTTP or HTTPS endpoint")


def _telemetry(config: AgentConfig, merged: Merged, problems: ProblemLog) -> None:
    for rule in config.telemetry.prefix_filter:
        if rule[:1] not in {"+", "-"}:
            text = f"Filter rule must begin with either '+' or '-': \"{rule}\""
            problems.warn(text, merged.position("telemetry.prefix_filter"), key="telemetry.prefix_filter")
    for key in ("statsd_address", "statsite_address", "dogstatsd_addr"):
        try:
            split_address(getattr(config.telemetry, key))
        except ValueError as error:
            _error(merged, problems, f"telemetry.{key}", str(error))


_RULES: tuple[Rule, ...] = (
    _names,
    _domains,
    _bootstrap,
    _data_dir,
    _numbers,
    _node_meta,
    _ports,
    _recursors,
    _joins,
    _watches,
    _telemetry,
)
