"""`consul-kernel agent`: flags become configuration, and the daemon runs until it is told to stop."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

from consul_kernel.cli.command import Command, too_many_arguments
from consul_kernel.cli.flags import Arguments, Flag, FlagType

_B, _T, _I, _M, _S = FlagType.BOOL, FlagType.TEXT, FlagType.INT, FlagType.TEXT_MAP, FlagType.TEXTS

SOURCE_FLAGS = (
    Flag("config", _S, "A file or folder of configuration, in HCL or JSON. May be given many times."),
    Flag("config-file", _S, "A file of configuration, in HCL or JSON. May be given many times."),
    Flag("config-dir", _S, "A folder whose .hcl and .json files are read in the order of their names."),
    Flag("config-format", _T, "Format of all configuration files, hcl or json, whatever their names end in."),
    Flag("dev", _B, "Run a server of its own in memory, with short timeouts, for development."),
    Flag("hcl", _S, "A piece of configuration in HCL, which decides over files and flags."),
)

_PATH_FLAGS = frozenset(("config", "config-file", "config-dir"))

SETTING_FLAGS = (
    Flag("advertise", _T, "Address told to other agents.", "advertise_addr"),
    Flag("advertise-wan", _T, "Address told to other datacenters.", "advertise_addr_wan"),
    Flag(
        "allow-write-http-from",
        _S,
        "Network (CIDR) that may write over HTTP. May be given many times.",
        "http_config.allow_write_http_from",
    ),
    Flag("alt-domain", _T, "Second DNS domain that is answered.", "alt_domain"),
    Flag("bind", _T, "Address for traffic between agents.", "bind_addr"),
    Flag("bootstrap", _B, "Let this server elect itself.", "bootstrap"),
    Flag("bootstrap-expect", _I, "Elect a leader once this many servers have joined.", "bootstrap_expect"),
    Flag("check_output_max_size", _I, "Bytes kept of a check's output.", "check_output_max_size"),
    Flag("client", _T, "Addresses of HTTP and DNS.", "client_addr"),
    Flag("data-dir", _T, "Folder for everything that must survive a restart.", "data_dir"),
    Flag("datacenter", _T, "Datacenter of the agent.", "datacenter"),
    Flag(
        "default-query-time", _T, "How long a blocking query waits unless it says, such as 300s.", "default_query_time"
    ),
    Flag("disable-host-node-id", _B, "Generate a random node id.", "disable_host_node_id"),
    Flag("disable-keyring-file", _B, "Do not keep gossip keys in a file.", "disable_keyring_file"),
    Flag("dns-port", _I, "Port of DNS.", "ports.dns"),
    Flag("domain", _T, "DNS domain that is answered.", "domain"),
    Flag("enable-local-script-checks", _B, "Allow checks in files to run commands.", "enable_local_script_checks"),
    Flag("enable-script-checks", _B, "Allow checks to run commands.", "enable_script_checks"),
    Flag("encrypt", _T, "Gossip key in base64 (see keygen).", "encrypt"),
    Flag("grpc-port", _I, "Port of gRPC.", "ports.grpc"),
    Flag("http-port", _I, "Port of HTTP.", "ports.http"),
    Flag("https-port", _I, "Port of HTTPS.", "ports.https"),
    Flag("join", _S, "Agent to join at the start. May be given many times.", "start_join"),
    Flag("join-wan", _S, "Server of another datacenter to join at the start.", "start_join_wan"),
    Flag("log-file", _T, "File to log to.", "log_file"),
    Flag("log-json", _B, "Log lines as JSON objects.", "log_json"),
    Flag("log-level", _T, "Least severe level that is logged.", "log_level"),
    Flag("log-rotate-bytes", _I, "Size at which a log file is rotated.", "log_rotate_bytes"),
    Flag("log-rotate-duration", _T, "Age at which a log file is rotated, such as 24h.", "log_rotate_duration"),
    Flag("log-rotate-max-files", _I, "Rotated files kept.", "log_rotate_max_files"),
    Flag("max-query-time", _T, "The longest a blocking query may wait, such as 600s.", "max_query_time"),
    Flag("non-voting-server", _B, "The former name of -read-replica.", "non_voting_server"),
    Flag("node", _T, "Name of the agent.", "node_name"),
    Flag("node-id", _T, "UUID of the agent.", "node_id"),
    Flag("node-meta", _M, "Metadata of the node. May be given many times.", "node_meta"),
    Flag("pid-file", _T, "File for the process id.", "pid_file"),
    Flag("primary-datacenter", _T, "Datacenter that leads a federation.", "primary_datacenter"),
    Flag("protocol", _I, "Protocol version of gossip.", "protocol"),
    Flag("raft-protocol", _I, "Version of the raft protocol.", "raft_protocol"),
    Flag("read-replica", _B, "A server without a vote.", "read_replica"),
    Flag("recursor", _S, "DNS server for names outside of the domain. May be given many times.", "recursors"),
    Flag("rejoin", _B, "Rejoin even after having left on purpose.", "rejoin_after_leave"),
    Flag("retry-interval", _T, "Wait between rounds of -retry-join, such as 30s.", "retry_interval"),
    Flag("retry-interval-wan", _T, "Wait between rounds of -retry-join-wan.", "retry_interval_wan"),
    Flag("retry-join", _S, "Agent to join, tried until one answers. May be given many times.", "retry_join"),
    Flag("retry-join-wan", _S, "Server of another datacenter to join, tried again.", "retry_join_wan"),
    Flag("retry-max", _I, "Rounds of -retry-join before the agent stops.", "retry_max"),
    Flag("retry-max-wan", _I, "Rounds of -retry-join-wan before the agent stops.", "retry_max_wan"),
    Flag("segment", _T, "Segment of the LAN pool.", "segment"),
    Flag(
        "serf-lan-allowed-cidrs",
        _S,
        "Network whose members may join the LAN pool. May be given many times.",
        "serf_lan_allowed_cidrs",
    ),
    Flag(
        "serf-wan-allowed-cidrs",
        _S,
        "Network whose members may join the WAN pool. May be given many times.",
        "serf_wan_allowed_cidrs",
    ),
    Flag("serf-lan-bind", _T, "Address for LAN gossip.", "serf_lan"),
    Flag("serf-lan-port", _I, "Port of LAN gossip.", "ports.serf_lan"),
    Flag("serf-wan-bind", _T, "Address for WAN gossip.", "serf_wan"),
    Flag("serf-wan-port", _I, "Port of WAN gossip.", "ports.serf_wan"),
    Flag("server", _B, "Server mode: take part in the quorum and keep the state.", "server"),
    Flag("server-port", _I, "Port for calls between agents.", "ports.server"),
    Flag("syslog", _B, "Log to syslog.", "enable_syslog"),
    Flag("ui", _B, "Serve the web UI.", "ui_config.enabled"),
    Flag("ui-content-path", _T, "Path of the web UI.", "ui_config.content_path"),
    Flag("ui-dir", _T, "Folder with the web UI.", "ui_config.dir"),
)


def read_overrides(arguments: Arguments) -> dict[str, Any]:
    """The settings that flags give, as nested dicts by configuration key."""
    overrides: dict[str, Any] = {}
    for flag in SETTING_FLAGS:
        if flag.name not in arguments.given:
            continue
        *blocks, key = flag.key.split(".")
        place = overrides
        for block in blocks:
            place = place.setdefault(block, {})
        place[key] = arguments.values[flag.name]
    return overrides


def _run(arguments: Arguments) -> int:
    if arguments.positional:
        return too_many_arguments(0, arguments)
    # The objects that a start makes stay: searching them for garbage meanwhile takes a seventh of it. The daemon
    # switches the search on again.
    gc.disable()
    # Only here: everything else on the command line starts without the server.
    from consul_kernel.agent.daemon import run_agent
    from consul_kernel.config.load import DEV_MODE, ConfigSource

    config_format = arguments.text("config-format")
    sources = [
        ConfigSource(Path(path), format=config_format) for name, path in arguments.repeated if name in _PATH_FLAGS
    ]
    sources += [ConfigSource(text=text, name=f"-hcl[{at}]") for at, text in enumerate(arguments.texts("hcl"))]
    overrides = read_overrides(arguments)
    if arguments.is_set("dev"):
        overrides[DEV_MODE] = True
    return run_agent(sources, overrides)


COMMANDS = (
    Command(
        "agent",
        "agent [options]",
        "Runs an agent",
        _run,
        SOURCE_FLAGS + SETTING_FLAGS,
        "Runs an agent until it is interrupted or told to leave. Lists given by flags stand before those of files; "
        "other flags decide over files.\n\n"
        "`consul-kernel -config agent.hcl` without a command is the agent, too.",
    ),
)
