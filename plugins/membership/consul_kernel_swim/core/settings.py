"""The protocol's knobs and the three profiles that memberlist and Serf ship with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from .versions import DIGESTS

HOUR_MS: Final = 3600 * 1000
PACKET_BYTES_MAX: Final = 1400
"""memberlist's UDPBufferSize: no packet we build is longer, sealing and checksum included."""
META_BYTES_MAX: Final = 512
NAME_LENGTH_MAX: Final = 255
"""Longer node names are refused: no host is named so, and names are kept."""
PROTOCOL_VERSIONS: Final = bytes((1, 5, 2, 2, 5, 4))
"""What this agent speaks, as Consul's does: memberlist's min, max, current, then Serf's min, max, current."""
_ROUNDS_MIN: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Times in ms. The defaults are memberlist's LAN profile and Serf's defaults as Consul sets them."""

    tcp_timeout_ms: int = 10_000
    indirect_checks: int = 3
    retransmit_mult: int = 4
    suspicion_mult: int = 4
    suspicion_max_timeout_mult: int = 6
    push_pull_interval_ms: int = 30_000
    probe_timeout_ms: int = 500
    probe_interval_ms: int = 1_000
    awareness_max_multiplier: int = 8
    gossip_nodes: int = 3
    gossip_interval_ms: int = 200
    gossip_to_the_dead_ms: int = 30_000
    dead_node_reclaim_ms: int = 30_000
    tcp_pings: bool = True
    coordinates: bool = True
    digests: bool = True
    """Compare digests with members that can, at the periodic exchange of states, instead of whole states."""

    packet_bytes: int = PACKET_BYTES_MAX
    sealed_overhead_bytes: int = 0
    """What the driver's cipher and label add to a packet: taken off the budget."""
    compress_packets: bool = False

    broadcast_timeout_ms: int = 5_000
    leave_propagate_delay_ms: int = 3_000
    reap_interval_ms: int = 15_000
    reconnect_interval_ms: int = 30_000
    reconnect_timeout_ms: int = 72 * HOUR_MS
    tombstone_timeout_ms: int = 24 * HOUR_MS
    recent_intent_timeout_ms: int = 300_000
    user_event_bytes_max: int = 512
    query_bytes_max: int = 1_024
    query_response_bytes_max: int = 1_024
    resolve_name_conflicts: bool = False

    coalesce_period_ms: int = 0
    quiescent_period_ms: int = 0
    user_coalesce_period_ms: int = 0
    user_quiescent_period_ms: int = 0

    members_max: int = 65_536
    """So that forged names cannot fill memory: for one more, those gone longest are forgotten, or it is refused."""
    queue_depth_min: int = 4_096
    """Serf's MinQueueDepth: a broadcast queue holds this many, in large pools 2 for each member; what was sent most
    often makes room."""
    queue_depth_warning: int = 128
    queue_check_interval_ms: int = 30_000

    def retransmit_limit(self, members: int) -> int:
        """How often one broadcast is sent, in a pool of so many: memberlist's mult × ceil(log10(n + 1)), but never less
        than twice mult. With mult alone, a pool of less than ten that forms at once leaves somebody out of a message
        in one formation of twelve, until the next exchange of states.
        """
        return max(1, self.retransmit_mult * max(_ROUNDS_MIN, math.ceil(math.log10(members + 1))))

    @property
    def versions(self) -> bytes:
        """What this agent says of itself."""
        return PROTOCOL_VERSIONS + DIGESTS if self.digests else PROTOCOL_VERSIONS


PROFILES: Final[dict[str, Settings]] = {
    "lan": Settings(),
    "wan": Settings(
        tcp_timeout_ms=30_000,
        suspicion_mult=6,
        push_pull_interval_ms=60_000,
        probe_timeout_ms=3_000,
        probe_interval_ms=5_000,
        gossip_nodes=4,
        gossip_interval_ms=500,
        gossip_to_the_dead_ms=60_000,
    ),
    "local": Settings(
        tcp_timeout_ms=1_000,
        indirect_checks=1,
        retransmit_mult=2,
        suspicion_mult=3,
        push_pull_interval_ms=15_000,
        probe_timeout_ms=200,
        gossip_interval_ms=100,
        gossip_to_the_dead_ms=15_000,
    ),
}
"""memberlist's DefaultLANConfig, DefaultWANConfig and DefaultLocalConfig, with Consul's DeadNodeReclaimTime of 30 s."""
