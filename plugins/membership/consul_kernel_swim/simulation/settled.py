"""Pools that have been at rest for long: the way in for thousands of agents, whose joins would take most of a run.

One agent takes in all members by the rules for an exchange of states, without the codec; what it then knows is laid
under the tables of everybody.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import replace

from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.events import Started, StreamReceived, TimerFired
from consul_kernel_swim.core.messages import Alive, NodeState, RemoteNode
from consul_kernel_swim.core.serf_messages import SerfState
from consul_kernel_swim.core.settings import PROTOCOL_VERSIONS, Settings
from consul_kernel_swim.core.streams import PushPull
from consul_kernel_swim.core.swim import SharedPool, Swim
from consul_kernel_swim.core.tags import encode_tags
from consul_kernel_swim.core.wire import pack_host
from consul_kernel_swim.simulation.agent import tags_of
from consul_kernel_swim.simulation.world import World


def settled_pool(
    addresses: Mapping[str, Address], settings: Settings, without_digests: Collection[str] = ()
) -> SharedPool:
    """What everybody in a pool of these members knows once all news has spread. Raises ValueError for too many.

    `without_digests` are those who exchange whole states only.
    """
    if len(addresses) > settings.members_max:
        raise ValueError(f"a pool has at most {settings.members_max} members")
    first = next((name for name in addresses if name not in without_digests), next(iter(addresses)))
    at = addresses[first]
    if first in without_digests:
        settings = replace(settings, digests=False)
    one = Swim(first, at, tags_of(first), settings, random.Random(0))
    one.step(Started(), 0)
    nodes = tuple(
        RemoteNode(
            NodeState.ALIVE,
            Alive(
                1,
                name,
                pack_host(to.host),
                to.port,
                encode_tags(tags_of(name)),
                PROTOCOL_VERSIONS if name in without_digests else settings.versions,
            ),
        )
        for name, to in addresses.items()
    )
    state = SerfState(2, 1, 1, dict.fromkeys(addresses, 1), [], {}).encode()
    one.step(StreamReceived(1, PushPull(nodes, state, join=False), at), 0)
    while one.stats()["exchange_queue"] != "0":
        one.step(TimerFired(), 0)
    return one.shared_pool()


def populate(world: World, count: int) -> SharedPool:
    """Start `count` agents, n1 to nN, in a pool at rest; what they share. Their timers begin at random phases."""
    addresses = {f"n{number}": world.free_address() for number in range(1, count + 1)}
    agents = [world.create(name, address) for name, address in addresses.items()]
    pool = settled_pool(addresses, world.settings, {agent.name for agent in agents if agent.is_plain})
    for agent in agents:
        agent.joined_ms = world.timeline.now_ms
        agent.swim.stand_in(pool)
        agent.give(Started())
    return pool
