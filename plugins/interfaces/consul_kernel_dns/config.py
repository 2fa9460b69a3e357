"""The keys of the block `interface "dns" { … }`."""

from __future__ import annotations

from consul_kernel.contracts.plugin import PluginConfig


class DnsInterfaceConfig(PluginConfig, frozen=True, kw_only=True):
    """Where to serve, when the agent file's `ports` and `addresses` do not say, and how much at once.

    What names answer is the agent file's `dns_config`, shared by every interface that speaks DNS.
    """

    address: str | None = None
    """An IP address to serve on, in place of those of the agent file."""
    port: int | None = None
    """A port to serve on, in place of `ports.dns`; 0 takes a free one."""
    max_queries_in_flight: int = 4096
    """Queries that wait for the catalog or a recursor. When full, a UDP query is dropped and a TCP one waits."""
    max_cached_questions: int = 2048
    """Questions whose parsed form and built answers are kept. When full, the oldest goes."""
    max_tcp_connections: int = 256
    """When full, a new connection is closed at once."""
    max_tcp_pipeline: int = 16
    """Queries of one connection that are answered at once; further ones stay unread."""
    tcp_idle_timeout_ms: int = 8000
    """A connection that sends nothing for so long is closed."""
    catalog_timeout_ms: int = 10_000
    """A question whose read of the catalog takes longer answers SERVFAIL."""
