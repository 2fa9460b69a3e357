"""The block `membership "swim" { … }` and how it becomes the core's settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from consul_kernel.contracts.plugin import PluginConfig

from .core.settings import PROFILES, Settings

Knob = Annotated[int, msgspec.Meta(ge=0)]


class SwimConfig(PluginConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Times are in ms; 0 stands for the profile's number.

    What the agent file's `gossip_lan` says goes before the profile, and the block's own numbers before both.
    """

    profile: Literal["lan", "wan", "local"] = "lan"
    """The numbers to begin with: memberlist's for a local network, for long distances, for one machine."""
    label: str = ""
    """A name for the pool, at most 255 bytes, the same on all agents; packets with another one are dropped."""
    tcp_timeout_ms: Knob = 0
    """How long a stream to a member may take to open and to exchange state.
    Profiles: lan 10000, wan 30000, local 1000.
    """
    indirect_checks: Knob = 0
    """Members that are asked to probe one that has not answered. Profiles: lan 3, wan 3, local 1."""
    retransmit_mult: Knob = 0
    """A message is passed on this many times log10 of the pool's size, rounded up, at least 2. Profiles: lan 4, wan 4,
    local 2.
    """
    suspicion_mult: Knob = 0
    """A suspect has this many probe intervals to refute, times log10 of the pool's size where that is above 1.
    Profiles: lan 4, wan 6, local 3.
    """
    suspicion_max_timeout_mult: Knob = 0
    """Times longer that a suspicion lasts while no other member confirms it. Profiles: 6."""
    push_pull_interval_ms: Knob = 0
    """Wait between exchanges of the whole state with one member; longer in large pools.
    Profiles: lan 30000, wan 60000, local 15000.
    """
    probe_timeout_ms: Knob = 0
    """Wait for the answer to a probe before other members are asked to probe.
    Profiles: lan 500, wan 3000, local 200.
    """
    probe_interval_ms: Knob = 0
    """Wait between probes; one member is probed each time. Half of it in a pool of up to 16. Profiles: lan 1000,
    wan 5000, local 1000.
    """
    awareness_max_multiplier: Knob = 0
    """Times slower, at most, that an agent probes which suspects itself of being slow. Profiles: 8."""
    gossip_nodes: Knob = 0
    """Members told in a round of gossip. Profiles: lan 3, wan 4, local 3."""
    gossip_interval_ms: Knob = 0
    """Wait between rounds of gossip. Profiles: lan 200, wan 500, local 100."""
    gossip_to_the_dead_ms: Knob = 0
    """How long a failed member is still told, so that it can refute. Profiles: lan 30000, wan 60000, local 15000."""
    dead_node_reclaim_ms: Knob = 0
    """After how long the name of a failed member may be taken by another address. Profiles: 30000."""
    broadcast_timeout_ms: Knob = 0
    """How long leaving waits until its message has gone out. Profiles: 5000."""
    leave_propagate_delay_ms: Knob = 0
    """How long leaving then waits, so that the message spreads. Profiles: 3000."""
    reap_interval_ms: Knob = 0
    """Wait between looks for members to forget. Profiles: 15000."""
    reconnect_interval_ms: Knob = 0
    """Wait between attempts to reach a failed member again. Profiles: 30000."""
    tombstone_timeout_ms: Knob = 0
    """When a member that left is forgotten. Profiles: 86400000."""
    recent_intent_timeout_ms: Knob = 0
    """How long a join or leave of an unknown member is remembered. Profiles: 300000."""
    user_event_bytes_max: Knob = 0
    """Largest user event, name and framing included. Profiles: 512."""
    query_bytes_max: Knob = 0
    """Largest query, filters and framing included. Profiles: 1024."""
    query_response_bytes_max: Knob = 0
    """Largest answer to a query, framing included. Profiles: 1024."""
    coalesce_period_ms: Knob = 0
    """How long changes of members are gathered at most, so that only the last of each is told; 0 tells all at once.
    Profiles: 0.
    """
    quiescent_period_ms: Knob = 0
    """They are told sooner when nothing has changed for this long; 0 tells all at once. Profiles: 0."""
    user_coalesce_period_ms: Knob = 0
    """The same for user events of one name, where their sender allows it. Profiles: 0."""
    user_quiescent_period_ms: Knob = 0
    """They are told sooner when none has come for this long. Profiles: 0."""
    queue_depth_warning: Knob = 0
    """A queue of so many messages that wait to be gossiped is reported. Profiles: 128."""
    queue_depth_min: Knob = 0
    """Messages that a queue holds, in large pools 2 for each member; what was sent most often makes room.
    Profiles: 4096.
    """
    queue_check_interval_ms: Knob = 0
    """Wait between looks at the queues. Profiles: 30000."""
    members_max: Knob = 0
    """Members at most; the longest gone make room, further ones are refused. Profiles: 65536."""
    resolve_name_conflicts: bool = False
    """Ask the pool when another agent has this one's name, and leave without a word if most know the other."""
    disable_digests: bool = False
    """Always exchange whole states, as memberlist does, also with members that could compare digests instead. The
    exchange then carries all members both ways, which in large pools is most of what gossip costs.
    """
    disable_tcp_pings: bool = False
    """Never probe over TCP when a probe over UDP has no answer."""
    compress_packets: bool = False
    """Compress packets that become smaller so. Consul's agents do; whoever receives takes both. Off, since it costs
    0.2 ms for a packet, more than all else that is done with it, and saves half of a kilobyte.
    """
    compress_streams: bool = False
    """Compress exchanges of the whole state, which takes a second for 9 MB and leaves a tenth of it. Consul's agents
    do; whoever receives takes both.
    """


_KNOBS: Final = frozenset(field.name for field in dataclasses.fields(Settings)) & frozenset(
    SwimConfig.__struct_fields__
)
_TUNING: Final = {
    "gossip_interval": "gossip_interval_ms",
    "gossip_nodes": "gossip_nodes",
    "probe_interval": "probe_interval_ms",
    "probe_timeout": "probe_timeout_ms",
    "suspicion_mult": "suspicion_mult",
    "retransmit_mult": "retransmit_mult",
}
_CONSULS_WAN: Final = {"gossip_nodes": 3, "retransmit_mult": 4}
"""Consul gives its WAN pool the LAN's numbers for these."""


def settle(
    config: SwimConfig,
    pool: str,
    tuning: Mapping[str, int],
    reconnect_timeout_ms: int,
    sealed_overhead_bytes: int,
    *,
    coordinates: bool = True,
) -> Settings:
    """The settings of one pool: the profile, then Consul's tuning keys, then the block's own numbers.

    The block's numbers are for the LAN pool. The WAN pool has the `wan` profile, but for what Consul changes of it, and
    the agent file's `gossip_wan`, except that the profile `local`, for agents on one machine, is for both.
    """
    is_wan = pool == "wan"
    is_far = is_wan and config.profile != "local"
    profile = PROFILES["wan" if is_far else config.profile]
    changes: dict[str, int] = dict(_CONSULS_WAN) if is_far else {}
    changes |= {_TUNING[key]: value for key, value in tuning.items() if key in _TUNING and value > 0}
    if not is_wan:
        for name in sorted(_KNOBS):
            value = getattr(config, name)
            if type(value) is int and value > 0:
                changes[name] = value
    settings = dataclasses.replace(profile, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(
        settings,
        reconnect_timeout_ms=reconnect_timeout_ms,
        sealed_overhead_bytes=sealed_overhead_bytes,
        resolve_name_conflicts=config.resolve_name_conflicts,
        tcp_pings=not config.disable_tcp_pings,
        coordinates=coordinates,
        digests=not config.disable_digests,
        compress_packets=config.compress_packets,
    )
