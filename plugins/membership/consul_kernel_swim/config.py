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
    """Keys of the block; 0 stands for the profile's number, times are in ms.

    The numbers are for the LAN pool. The WAN pool has the `wan` profile and the agent file's `gossip_wan`, except
    that the profile `local`, for agents on one machine, is for both. `label` must be the same on all agents.
    """

    profile: Literal["lan", "wan", "local"] = "lan"
    label: str = ""
    tcp_timeout_ms: Knob = 0
    indirect_checks: Knob = 0
    retransmit_mult: Knob = 0
    suspicion_mult: Knob = 0
    suspicion_max_timeout_mult: Knob = 0
    push_pull_interval_ms: Knob = 0
    probe_timeout_ms: Knob = 0
    probe_interval_ms: Knob = 0
    awareness_max_multiplier: Knob = 0
    gossip_nodes: Knob = 0
    gossip_interval_ms: Knob = 0
    gossip_to_the_dead_ms: Knob = 0
    dead_node_reclaim_ms: Knob = 0
    broadcast_timeout_ms: Knob = 0
    leave_propagate_delay_ms: Knob = 0
    reap_interval_ms: Knob = 0
    reconnect_interval_ms: Knob = 0
    tombstone_timeout_ms: Knob = 0
    recent_intent_timeout_ms: Knob = 0
    user_event_bytes_max: Knob = 0
    members_max: Knob = 0
    disable_tcp_pings: bool = False
    compress_packets: bool = False
    compress_streams: bool = False


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


def settle(
    config: SwimConfig, pool: str, tuning: Mapping[str, int], reconnect_timeout_ms: int, sealed_overhead_bytes: int
) -> Settings:
    """The settings of one pool: the profile, then Consul's tuning keys, then the block's own numbers."""
    is_wan = pool == "wan"
    profile = PROFILES["wan" if is_wan and config.profile != "local" else config.profile]
    changes: dict[str, int] = {_TUNING[key]: value for key, value in tuning.items() if key in _TUNING and value > 0}
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
        tcp_pings=not config.disable_tcp_pings,
        compress_packets=config.compress_packets,
        compress_streams=config.compress_streams,
    )
