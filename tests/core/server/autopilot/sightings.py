"""Servers as autopilot's tests see them."""

from __future__ import annotations

from consul_kernel.contracts.consensus import Server, Suffrage
from consul_kernel.server.autopilot.judging import Judgement, Sighting, Stats, judge
from consul_kernel.structs.autopilot import AutopilotConfig, NodeStatus

CONFIG = AutopilotConfig()


def sighting(
    name: str,
    *,
    votes: bool = True,
    status: NodeStatus = NodeStatus.ALIVE,
    contact_ms: int = 10,
    term: int = 3,
    index: int = 1000,
) -> Sighting:
    return Sighting(
        server=Server(f"id-{name}", f"{name}:8300", Suffrage.VOTER if votes else Suffrage.NONVOTER),
        name=name,
        status=status,
        version="1.10.11",
        raft_version=3,
        meta={"dc": "dc1"},
        stats=Stats(contact_ms * 1_000_000, term, index),
    )


LEADER = sighting("a", contact_ms=0)


def judged(
    *sightings: Sighting, before: Judgement | None = None, now_ms: int = 0, config: AutopilotConfig = CONFIG
) -> Judgement:
    return judge(before, [LEADER, *sightings], "id-a", config, now_ms=now_ms, now_unix_ns=now_ms * 1_000_000)
