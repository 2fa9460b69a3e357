"""Every key of an agent file outside of plugin blocks (Consul 1.10's agent options), in the order of the reference.

P1 and P2 keys of the mesh-free agent have an effect or a warning; what would make an agent less safe than its file says
is refused.
"""

from __future__ import annotations

from .keys_future import FUTURE_KEYS
from .schema import Effect, Key, KeyType, Schema

_T = KeyType

IDENTITY_KEYS = (
    Key("node_name", _T.TEXT, None, "Name of the agent, unique in its datacenter.", default_note="the host's name"),
    Key("node_id", _T.TEXT, "", "UUID of the agent; generated and kept in `data_dir` when empty."),
    Key(
        "disable_host_node_id",
        _T.BOOL,
        True,
        "Generate a random `node_id` rather than one from the host's hardware.",
        Effect.UNUSED,
    ),
    Key("node_meta", _T.TEXT_MAP, None, "Metadata of the node in the catalog.", default_note="{}"),
    Key("tagged_addresses", _T.TEXT_MAP, None, "Further addresses of the node in the catalog.", default_note="{}"),
    Key("datacenter", _T.TEXT, "dc1", "Name of the datacenter; letters, digits, `-` and `_`."),
    Key("primary_datacenter", _T.TEXT, "", "Datacenter that leads a federation.", default_note="`datacenter`"),
    Key("data_dir", _T.TEXT, "", "Folder for everything that must survive a restart. Needed by servers."),
    Key("domain", _T.TEXT, "consul.", "DNS domain that is answered."),
    Key("alt_domain", _T.TEXT, "", "Second DNS domain that is answered."),
    Key("server", _T.BOOL, False, "Server mode: take part in the quorum and keep the state."),
    Key("bootstrap", _T.BOOL, False, "Let this server elect itself. At most one server of a datacenter."),
    Key("bootstrap_expect", _T.INT, 0, "Elect a leader once this many servers have joined; the same on each."),
    Key("pid_file", _T.TEXT, "", "File for the process id."),
)

NETWORK_KEYS = (
    Key("bind_addr", _T.TEXT, "0.0.0.0", "Address for traffic between agents; one IP or go-sockaddr template."),
    Key("client_addr", _T.TEXT, "127.0.0.1", "Addresses of the interfaces, separated by spaces."),
    Key("advertise_addr", _T.TEXT, "", "Address told to other agents.", default_note="`bind_addr`, or a private IP"),
    Key("advertise_addr_ipv4", _T.TEXT, "", "IPv4 address in the node's tagged addresses."),
    Key("advertise_addr_ipv6", _T.TEXT, "", "IPv6 address in the node's tagged addresses."),
    Key("advertise_addr_wan", _T.TEXT, "", "Address told to other datacenters.", default_note="`advertise_addr`"),
    Key("advertise_addr_wan_ipv4", _T.TEXT, "", "IPv4 WAN address in the node's tagged addresses."),
    Key("advertise_addr_wan_ipv6", _T.TEXT, "", "IPv6 WAN address in the node's tagged addresses."),
    Key("serf_lan", _T.TEXT, "", "Address for LAN gossip.", default_note="`bind_addr`"),
    Key("serf_wan", _T.TEXT, "", "Address for WAN gossip.", default_note="`bind_addr`"),
    Key("addresses.dns", _T.TEXT, "", "Addresses of DNS, separated by spaces.", default_note="`client_addr`"),
    Key("addresses.http", _T.TEXT, "", "Addresses of HTTP, separated by spaces.", default_note="`client_addr`"),
    Key("addresses.https", _T.TEXT, "", "Addresses of HTTPS, separated by spaces.", default_note="`client_addr`"),
    Key("addresses.grpc", _T.TEXT, "", "Addresses of gRPC, separated by spaces.", default_note="`client_addr`"),
    Key("ports.dns", _T.PORT, 8600, "Port of DNS, UDP and TCP."),
    Key("ports.http", _T.PORT, 8500, "Port of HTTP."),
    Key("ports.https", _T.PORT, -1, "Port of HTTPS.", Effect.REFUSED, reason="TLS"),
    Key("ports.grpc", _T.PORT, -1, "Port of gRPC.", Effect.UNUSED),
    Key("ports.server", _T.PORT, 8300, "Port for calls between agents."),
    Key("ports.serf_lan", _T.PORT, 8301, "Port of LAN gossip, UDP and TCP."),
    Key("ports.serf_wan", _T.PORT, 8302, "Port of WAN gossip between servers, UDP and TCP; -1 for no WAN pool."),
)

JOIN_KEYS = (
    Key("start_join", _T.TEXTS, (), "Agents to join at the start; failing to is fatal."),
    Key("start_join_wan", _T.TEXTS, (), "Servers of other datacenters to join at the start; failing to is fatal."),
    Key("retry_join", _T.TEXTS, (), "Agents to join, tried again until one answers."),
    Key("retry_join_wan", _T.TEXTS, (), "Servers of other datacenters to join, tried again until one answers."),
    Key("retry_interval", _T.DURATION, "30s", "Wait between rounds of `retry_join`."),
    Key("retry_interval_wan", _T.DURATION, "30s", "Wait between rounds of `retry_join_wan`."),
    Key("retry_max", _T.INT, 0, "Rounds of `retry_join` before the agent stops; 0 is no end."),
    Key("retry_max_wan", _T.INT, 0, "Rounds of `retry_join_wan` before the agent stops; 0 is no end."),
    Key("rejoin_after_leave", _T.BOOL, False, "Rejoin at the start even after having left on purpose."),
    Key(
        "leave_on_terminate",
        _T.BOOL,
        None,
        "Leave the pool on SIGTERM.",
        default_note="true for clients, false for servers",
    ),
    Key(
        "skip_leave_on_interrupt",
        _T.BOOL,
        None,
        "Stop without leaving on Ctrl-C.",
        default_note="false for clients, true for servers",
    ),
    Key("reconnect_timeout", _T.DURATION, "72h", "Forget a failed member after this; at least 8h."),
    Key("reconnect_timeout_wan", _T.DURATION, "72h", "The same in the WAN pool; at least 8h."),
    Key(
        "advertise_reconnect_timeout",
        _T.DURATION,
        "0s",
        "Ask the others to forget this agent so long after it has failed. Only clients may.",
        default_note="their `reconnect_timeout`",
    ),
    Key("disable_coordinates", _T.BOOL, False, "Keep and send no network coordinates."),
)

_GOSSIP = (
    ("gossip_interval", _T.DURATION, "Wait between rounds of gossip."),
    ("gossip_nodes", _T.INT, "Members told in a round."),
    ("probe_interval", _T.DURATION, "Wait between probes of members."),
    ("probe_timeout", _T.DURATION, "Wait for the answer to a probe."),
    ("suspicion_mult", _T.INT, "Multiplier of the time for which a member is suspected."),
    ("retransmit_mult", _T.INT, "Multiplier of how often a message is passed on."),
)

GOSSIP_KEYS = (
    Key(
        "encrypt",
        _T.TEXT,
        "",
        "Gossip key: 16, 24 or 32 bytes in base64 (`consul-kernel keygen`). It is kept in `data_dir`, and what is "
        "kept there goes before it.",
    ),
    Key("encrypt_verify_incoming", _T.BOOL, True, "With a key, refuse plaintext gossip."),
    Key("encrypt_verify_outgoing", _T.BOOL, True, "With a key, send no plaintext gossip."),
    Key("disable_keyring_file", _T.BOOL, False, "Keep gossip keys in memory only."),
    *(
        Key(f"gossip_{pool}.{name}", kind, None, doc, default_note="the pool's own")
        for pool in ("lan", "wan")
        for name, kind, doc in _GOSSIP
    ),
)

RAFT_KEYS = (
    Key("performance.raft_multiplier", _T.INT, 5, "Factor of raft's timeouts, 1 (fast) to 10 (patient)."),
    Key("performance.leave_drain_time", _T.DURATION, "5s", "How long a leaving server still answers."),
    Key("performance.rpc_hold_timeout", _T.DURATION, "7s", "How long a call waits for a leader."),
    Key("raft_snapshot_threshold", _T.INT, 16384, "Log entries after which a snapshot is taken."),
    Key("raft_snapshot_interval", _T.DURATION, "30s", "How often the threshold is looked at."),
    Key("raft_trailing_logs", _T.INT, 10240, "Log entries kept behind a snapshot."),
)

AUTOPILOT_KEYS = (
    Key("autopilot.cleanup_dead_servers", _T.BOOL, True, "Remove failed servers from the quorum."),
    Key(
        "autopilot.last_contact_threshold",
        _T.DURATION,
        "200ms",
        "A server that heard no leader for so long is ill.",
    ),
    Key("autopilot.max_trailing_logs", _T.INT, 250, "A server that is more log entries behind is ill."),
    Key("autopilot.min_quorum", _T.INT, 0, "Remove no server where fewer than this would be left."),
    Key(
        "autopilot.server_stabilization_time",
        _T.DURATION,
        "10s",
        "How long a new server waits for its vote.",
    ),
    Key("autopilot.redundancy_zone_tag", _T.TEXT, "", "Consul Enterprise: kept, without effect."),
    Key("autopilot.disable_upgrade_migration", _T.BOOL, False, "Consul Enterprise: kept, without effect."),
    Key("autopilot.upgrade_version_tag", _T.TEXT, "", "Consul Enterprise: kept, without effect."),
)

DNS_KEYS = (
    Key("recursors", _T.TEXTS, (), "DNS servers for names outside of `domain`."),
    Key("dns_config.allow_stale", _T.BOOL, True, "Answer from any server rather than the leader."),
    Key("dns_config.max_stale", _T.DURATION, "87600h", "How old a stale answer may be."),
    Key("dns_config.node_ttl", _T.DURATION, "0s", "TTL of node answers."),
    Key("dns_config.service_ttl", _T.DURATION_MAP, None, "TTL by service; `*` and `prefix*` are wildcards."),
    Key("dns_config.only_passing", _T.BOOL, False, "Leave out instances in state warning, too."),
    Key("dns_config.recursor_timeout", _T.DURATION, "2s", "Wait for a recursor."),
    Key("dns_config.recursor_strategy", _T.TEXT, "sequential", "Order in which recursors are asked; or `random`."),
    Key("dns_config.use_cache", _T.BOOL, False, "Answer from what the catalog has said up to `cache_max_age` ago."),
    Key("dns_config.cache_max_age", _T.DURATION, "0s", "Age at which the catalog is asked again, with `use_cache`."),
    Key("dns_config.udp_answer_limit", _T.INT, 3, "Answers in a UDP reply without EDNS."),
    Key("dns_config.a_record_limit", _T.INT, 0, "A and AAAA answers in any reply; 0 is no limit."),
    Key("dns_config.enable_truncate", _T.BOOL, False, "Set TC in UDP replies that leave answers out."),
    Key("dns_config.disable_compression", _T.BOOL, False, "Do not compress names in replies."),
    Key("dns_config.enable_additional_node_meta_txt", _T.BOOL, True, "Add TXT records of node metadata."),
    Key("dns_config.soa.refresh", _T.INT, 3600, "SOA refresh, seconds."),
    Key("dns_config.soa.retry", _T.INT, 600, "SOA retry, seconds."),
    Key("dns_config.soa.expire", _T.INT, 86400, "SOA expire, seconds."),
    Key("dns_config.soa.min_ttl", _T.INT, 0, "SOA minimum and negative TTL, seconds."),
)

HTTP_KEYS = (
    Key("http_config.response_headers", _T.TEXT_MAP, None, "Headers added to every HTTP answer.", default_note="{}"),
    Key("http_config.block_endpoints", _T.TEXTS, (), "Path prefixes answered with 403."),
    Key("http_config.allow_write_http_from", _T.TEXTS, (), "Networks (CIDR) that may write; empty is all."),
    Key("http_config.max_header_bytes", _T.INT, 0, "Largest request header; 0 is the server's default."),
    Key("default_query_time", _T.DURATION, "300s", "How long a blocking query waits unless it says."),
    Key("max_query_time", _T.DURATION, "600s", "The longest a blocking query may wait."),
    Key("discovery_max_stale", _T.DURATION, "0s", "Answer discovery reads from any server, at most this old."),
    Key("limits.http_max_conns_per_client", _T.INT, 200, "HTTP connections from one address; 0 is no limit."),
    Key("limits.kv_max_value_size", _T.INT, 524288, "Largest value of a key, bytes."),
    Key("limits.txn_max_req_len", _T.INT, 524288, "Largest body of a transaction, bytes."),
    Key("limits.rpc_handshake_timeout", _T.DURATION, "5s", "Wait for a connection's first byte."),
    Key("limits.rpc_max_conns_per_client", _T.INT, 100, "Connections between agents from one address; 0 is no limit."),
    Key(
        "limits.rpc_rate", _T.FLOAT, -1.0, "Calls per second an agent makes to servers; -1 is no limit.", Effect.UNUSED
    ),
    Key("limits.rpc_max_burst", _T.INT, 1000, "Calls above `rpc_rate` in a burst.", Effect.UNUSED),
)

SERVICE_KEYS = (
    Key("service", _T.SERVICES, None, "A service of this agent.", default_note="none"),
    Key("services", _T.SERVICES, None, "Services of this agent.", default_note="none"),
    Key("check", _T.CHECKS, None, "A check of this agent.", default_note="none"),
    Key("checks", _T.CHECKS, None, "Checks of this agent.", default_note="none"),
    Key("watches", _T.WATCHES, None, "What is done when keys, services, checks or events change.", default_note="none"),
    Key(
        "enable_script_checks",
        _T.BOOL,
        False,
        "Allow checks that run commands, from files and over HTTP.",
    ),
    Key(
        "enable_local_script_checks",
        _T.BOOL,
        None,
        "Allow checks that run commands, from files only.",
        default_note="`enable_script_checks`",
    ),
    Key("check_update_interval", _T.DURATION, "5m", "How often changed output alone is sent to the servers."),
    Key("check_output_max_size", _T.INT, 4096, "Bytes kept of a check's output."),
    Key("discard_check_output", _T.BOOL, False, "Keep no output of checks."),
    Key("session_ttl_min", _T.DURATION, "0s", "The shortest TTL of a session.", default_note="10s"),
)

LOG_KEYS = (
    Key("log_level", _T.TEXT, "INFO", "Least severe level that is logged: trace, debug, info, warn, err."),
    Key("enable_debug", _T.BOOL, False, "Show profiles of the process below `/debug/pprof/`."),
    Key("log_json", _T.BOOL, False, "Log lines as JSON objects."),
    Key("log_file", _T.TEXT, "", "File to log to, besides standard error."),
    Key("log_rotate_duration", _T.DURATION, "24h", "Age at which a log file is rotated.", Effect.UNUSED),
    Key("log_rotate_bytes", _T.INT, 0, "Size at which a log file is rotated; 0 is none."),
    Key("log_rotate_max_files", _T.INT, 0, "Rotated files kept; 0 is all, -1 none."),
)

TELEMETRY_KEYS = (
    Key("telemetry.metrics_prefix", _T.TEXT, "consul", "How the names of all metrics begin."),
    Key("telemetry.disable_hostname", _T.BOOL, False, "Leave the host's name out of gauges that are sent."),
    Key("telemetry.disable_compat_1.9", _T.BOOL, False, "Leave out `consul.http.*`, which `consul.api.http` replaces."),
    Key("telemetry.prefix_filter", _T.TEXTS, (), "Metrics to show (`+consul.raft`) and not to (`-consul.http`)."),
    Key("telemetry.filter_default", _T.BOOL, True, "Show metrics that no filter names."),
    Key(
        "telemetry.prometheus_retention_time",
        _T.DURATION,
        "0s",
        "Serve metrics to Prometheus. How long does not matter: they never expire.",
        default_note="not served",
    ),
    Key("telemetry.statsd_address", _T.TEXT, "", "`host:port` of a statsd to send metrics to, by UDP."),
    Key("telemetry.statsite_address", _T.TEXT, "", "`host:port` of a statsite to send metrics to, by TCP."),
    Key("telemetry.dogstatsd_addr", _T.TEXT, "", "`host:port` of a DogStatsD to send metrics to, by UDP."),
    Key("telemetry.dogstatsd_tags", _T.TEXTS, (), "Tags of all metrics there."),
)

KEY_GROUPS = (
    ("Identity", IDENTITY_KEYS),
    ("Network", NETWORK_KEYS),
    ("Joining and leaving", JOIN_KEYS),
    ("Gossip", GOSSIP_KEYS),
    ("Raft and calls", RAFT_KEYS),
    ("Autopilot", AUTOPILOT_KEYS),
    ("DNS", DNS_KEYS),
    ("HTTP and limits", HTTP_KEYS),
    ("Services and checks", SERVICE_KEYS),
    ("Logs", LOG_KEYS),
    ("Telemetry", TELEMETRY_KEYS),
    ("Not built yet", FUTURE_KEYS),
)

SCHEMA = Schema(key for _, keys in KEY_GROUPS for key in keys)
