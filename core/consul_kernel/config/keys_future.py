"""Consul's keys for what this version does not do: accepted with a warning, or refused where that would be unsafe."""

from __future__ import annotations

from .schema import Effect, Key, KeyType

_T = KeyType

_TLS_PLACES = ("defaults", "internal_rpc", "https", "grpc")
_TLS_FILES = ("ca_file", "ca_path", "cert_file", "key_file", "tls_cipher_suites", "tls_min_version", "use_auto_cert")

_LATER = (
    "acl.tokens.dns", "cloud", "default_intention_policy", "experiments", "license_path", "limits.request_limits",
    "locality", "partition", "peering", "performance.grpc_keepalive_interval", "performance.grpc_keepalive_timeout",
    "raft_boltdb", "reporting",
)  # fmt: skip
"""Keys of Consul after 1.10."""

_CIRCONUS = tuple(
    f"telemetry.circonus_{name}"
    for name in (
        "api_app", "api_token", "api_url", "broker_id", "broker_select_tag", "check_display_name",
        "check_force_metric_activation", "check_id", "check_instance_id", "check_search_tag", "check_tags",
        "submission_interval", "submission_url",
    )
)  # fmt: skip
"""A service that metrics are not sent to."""

_REFUSED_BOOLS = (
    ("acl.enabled", "Check every request against ACL policies.", "ACLs"),
    ("verify_incoming", "Demand a client certificate from everyone.", "TLS"),
    ("verify_incoming_rpc", "Demand a client certificate from agents.", "TLS"),
    ("verify_incoming_https", "Demand a client certificate over HTTPS.", "TLS"),
    ("verify_outgoing", "Use TLS to other agents.", "TLS"),
    ("verify_server_hostname", "Check the name in a server's certificate.", "TLS"),
    ("auto_encrypt.tls", "Fetch certificates from servers.", "TLS"),
    ("auto_encrypt.allow_tls", "Hand certificates to clients.", "TLS"),
    ("auto_config.enabled", "Fetch the configuration from servers.", "automatic configuration"),
    *(
        (f"tls.{place}.{name}", "TLS between agents and clients.", "TLS")
        for place in _TLS_PLACES
        for name in ("verify_incoming", "verify_outgoing", "verify_server_hostname")
    ),
)

_REFUSED_TEXTS = (
    ("acl_datacenter", "Old form of `primary_datacenter` with ACLs.", "ACLs"),
    ("segment", "Network segment (Consul Enterprise).", "network segments"),
)

_REFUSED_LISTS = (
    ("serf_lan_allowed_cidrs", "Networks whose agents may join the LAN pool.", "gossip from listed networks only"),
    ("serf_wan_allowed_cidrs", "Networks whose agents may join the WAN pool.", "gossip from listed networks only"),
)

_UNUSED: dict[KeyType, tuple[str, ...]] = {
    _T.TEXT: (
        "acl.default_policy", "acl.down_policy", "acl.tokens.default", "acl.tokens.agent", "acl.tokens.master",
        "acl.tokens.agent_master", "acl.tokens.replication", "acl.tokens.initial_management",
        "acl.tokens.agent_recovery", "acl.tokens.config_file_service_registration",
        "acl_agent_master_token", "acl_agent_token", "acl_default_policy", "acl_down_policy", "acl_master_token",
        "acl_replication_token", "acl_token", "ca_file", "ca_path", "cert_file", "key_file", "server_name",
        "tls_cipher_suites", "tls_min_version", "syslog_facility", "ui_dir", "ui_content_path", "ui_config.dir",
        "ui_config.content_path", "ui_config.metrics_provider", "ui_config.metrics_provider_options_json",
        "unix_sockets.user", "unix_sockets.group", "unix_sockets.mode",
    ),
    _T.BOOL: (
        "acl.enable_key_list_policy", "acl.enable_token_persistence", "acl.enable_token_replication",
        "acl_enable_key_list_policy", "acl_enforce_version_8", "enable_acl_replication",
        "disable_http_unprintable_char_filter",
        "dns_config.prefer_namespace", "enable_agent_tls_for_checks",
        "enable_central_service_config", "enable_syslog", "http_config.use_cache",
        "non_voting_server",
        "read_replica", "rpc.enable_streaming", "tls_prefer_server_cipher_suites", "translate_wan_addrs", "ui",
        "ui_config.enabled", "use_streaming_backend",
    ),
    _T.INT: (
        "cache.entry_fetch_max_burst",
        "ports.grpc_tls", "ports.sidecar_min_port", "ports.sidecar_max_port", "ports.expose_min_port",
        "ports.expose_max_port", "ports.proxy_min_port", "ports.proxy_max_port",
    ),
    _T.FLOAT: ("cache.entry_fetch_rate",),
    _T.DURATION: (
        "acl.policy_ttl", "acl.role_ttl", "acl.token_ttl", "acl_ttl",
        "limits.https_handshake_timeout", "limits.rpc_client_timeout", "primary_gateways_interval",
        "server_rejoin_age_max",
    ),
    _T.TEXTS: ("primary_gateways", "ui_config.metrics_provider_files"),
    _T.ANYTHING: (
        "acl.tokens.managed_service_provider", "audit", "auto_config.authorization", "auto_config.dns_sans",
        "auto_config.intro_token", "auto_config.intro_token_file", "auto_config.ip_sans",
        "auto_config.server_addresses", "auto_encrypt.dns_san", "auto_encrypt.ip_san", "config_entries", "connect",
        "raft_logstore", "segments", "snapshot_agent", "ui_config.dashboard_url_templates",
        "ui_config.metrics_proxy", "xds",
    ),
}  # fmt: skip


def _refused(path: str, kind: KeyType, doc: str, reason: str) -> Key:
    return Key(path, kind, None, doc, Effect.REFUSED, reason=reason)


_ALREADY_SO = (
    Key("disable_anonymous_signature", _T.BOOL, True, "No signature is ever sent.", Effect.UNUSED),
    Key("disable_remote_exec", _T.BOOL, True, "Remote execution does not exist.", Effect.UNUSED),
    Key("disable_update_check", _T.BOOL, True, "No update check is ever made.", Effect.UNUSED),
    Key("protocol", _T.INT, 3, "Version of the gossip protocol's Consul part.", Effect.UNUSED),
    Key("raft_protocol", _T.INT, 3, "Version of raft's wire; only 3.", Effect.UNUSED),
)
"""Keys whose default says what this version always does: worth a warning only where a file says otherwise."""

FUTURE_KEYS = (
    *(_refused(path, _T.BOOL, doc, reason) for path, doc, reason in _REFUSED_BOOLS),
    *(_refused(path, _T.TEXT, doc, reason) for path, doc, reason in _REFUSED_TEXTS),
    *(_refused(path, _T.TEXTS, doc, reason) for path, doc, reason in _REFUSED_LISTS),
    *_ALREADY_SO,
    *(Key(path, _T.ANYTHING, None, "", Effect.UNUSED) for path in (*_LATER, *_CIRCONUS)),
    *(Key(f"tls.{place}.{name}", _T.ANYTHING, None, "", Effect.UNUSED) for place in _TLS_PLACES for name in _TLS_FILES),
    *(Key(path, kind, None, "", Effect.UNUSED) for kind, paths in _UNUSED.items() for path in paths),
)
