"""Settings that interfaces read, merged and validated. Durations are in the unit that ends the name."""

from __future__ import annotations

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Base of settings records: never changed once built."""


class SoaSettings(Settings, frozen=True, kw_only=True):
    """`dns_config.soa`, in seconds."""

    refresh_s: int = 3600
    retry_s: int = 600
    expire_s: int = 86400
    min_ttl_s: int = 0


class DnsSettings(Settings, frozen=True, kw_only=True):
    """`domain`, `alt_domain`, `recursors` and `dns_config`."""

    domain: str = "consul."
    alt_domain: str = ""
    recursors: tuple[str, ...] = ()
    recursor_timeout_ms: int = 2000
    recursor_strategy: str = "sequential"
    """Or `random`: in what order recursors are asked."""
    allow_stale: bool = True
    max_stale_ms: int = 87600 * 3600 * 1000
    node_ttl_s: int = 0
    service_ttl_s: dict[str, int] = {}
    """Per service; `*` is the wildcard, `prefix*` matches by longest prefix."""
    only_passing: bool = False
    use_cache: bool = False
    cache_max_age_ms: int = 0
    """With `use_cache`: how old what the catalog has said may be before it is asked again."""
    udp_answer_limit: int = 3
    a_record_limit: int = 0
    enable_truncate: bool = False
    disable_compression: bool = False
    node_meta_txt: bool = True
    soa: SoaSettings = SoaSettings()


class HttpSettings(Settings, frozen=True, kw_only=True):
    """`http_config` and the top-level keys that only HTTP reads."""

    response_headers: dict[str, str] = {}
    block_endpoints: tuple[str, ...] = ()
    allow_write_http_from: tuple[str, ...] = ()
    max_header_bytes: int = 0
    default_query_time_ms: int = 300_000
    max_query_time_ms: int = 600_000
    discovery_max_stale_ms: int = 0
    disable_coordinates: bool = False
    enable_debug: bool = False
    """Profiles are shown to whoever asks."""
    dev_mode: bool = False
    """Answers are indented, as with `?pretty`."""


class LimitSettings(Settings, frozen=True, kw_only=True):
    """`limits`."""

    http_max_conns_per_client: int = 200
    kv_max_value_size: int = 512 * 1024
    txn_max_req_len: int = 512 * 1024
    rpc_handshake_timeout_ms: int = 5000
    rpc_max_conns_per_client: int = 100
    rpc_rate: float = -1.0
    rpc_max_burst: int = 1000


class TelemetrySettings(Settings, frozen=True, kw_only=True):
    """`telemetry`: which metrics are shown, how they are called, and where they are sent."""

    metrics_prefix: str = "consul"
    disable_hostname: bool = False
    disable_compat: bool = False
    prefix_filter: tuple[str, ...] = ()
    """Rules such as `+consul.raft`, `-consul.http`; the longest that fits decides."""
    filter_default: bool = True
    prometheus_retention_ms: int = 0
    """0: nothing is shown to Prometheus."""
    statsd_address: str = ""
    statsite_address: str = ""
    dogstatsd_addr: str = ""
    dogstatsd_tags: tuple[str, ...] = ()

    @property
    def is_sent(self) -> bool:
        """Whether metrics go to anybody but those who ask the agent for its own document."""
        return bool(
            self.statsd_address or self.statsite_address or self.dogstatsd_addr or self.prometheus_retention_ms > 0
        )


class AutopilotSettings(Settings, frozen=True, kw_only=True):
    """`autopilot`: what the first leader stores as its configuration; later it is changed over HTTP."""

    cleanup_dead_servers: bool = True
    last_contact_threshold_ms: int = 200
    max_trailing_logs: int = 250
    min_quorum: int = 0
    server_stabilization_time_ms: int = 10_000
    redundancy_zone_tag: str = ""
    disable_upgrade_migration: bool = False
    upgrade_version_tag: str = ""
