"""Times and bounds of yamux sessions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class YamuxSettings:
    """Times and bounds of a session; the defaults are those of Consul's servers."""

    accept_backlog: int = 256
    """Streams that a peer has opened and nobody has accepted yet; more are reset."""
    max_streams: int = 16_384
    """Live streams; more are reset, or refused where they are opened here."""
    max_unread_bytes: int = 4 * 1024 * 1024
    """What streams of the session may hold that came and was not read yet; the session of a peer that sends more ends.
    A few windows: whoever serves a stream reads it as long as it waits for something."""
    keepalive_interval_ms: int = 30_000
    keepalive_timeout_ms: int = 10_000
    check_timeout_ms: int = 5_000
    """How long a peer may take to answer the ping of somebody who has already waited for an answer."""
    check_interval_ms: int = 1_000
    """Who has answered a ping within this time is not pinged for that."""
    write_timeout_ms: int = 10_000
    """How long the connection may refuse to take what is queued."""
    drain_timeout_ms: int = 60_000
    """How long a peer may grant no window to a stream that has something to send; then it is reset."""
    open_timeout_ms: int = 75_000
    """How long a peer may leave a stream that we opened without its ACK."""
    close_timeout_ms: int = 300_000
    """How long a peer may keep its half of a stream that we closed; then it is reset."""


DEFAULT_SETTINGS = YamuxSettings()
