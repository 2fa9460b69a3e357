"""When each member learns of something that happened, and what the theory of epidemics says of it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable

from consul_kernel.contracts.membership import GossipEvent
from consul_kernel_swim.core.settings import Settings
from consul_kernel_swim.simulation.agent import Agent
from consul_kernel_swim.simulation.world import World


class Spread:
    """Watches an audience from now on. `times_ms` are the moments, from now, at which one more of it was told."""

    def __init__(self, world: World, is_news: Callable[[GossipEvent], bool], audience: Iterable[Agent]) -> None:
        self._world = world
        self._is_news = is_news
        self._began_ms = world.timeline.now_ms
        self._unaware = {agent.name for agent in audience}
        self.audience = len(self._unaware)
        self.times_ms: list[int] = []
        world.watchers.append(self._watch)

    def _watch(self, agent: Agent, event: GossipEvent) -> None:
        if agent.name in self._unaware and self._is_news(event):
            self._unaware.discard(agent.name)
            self.times_ms.append(self._world.timeline.now_ms - self._began_ms)

    def end(self) -> None:
        """Watch no longer."""
        self._world.watchers.remove(self._watch)

    @property
    def age_ms(self) -> int:
        """How long it has watched."""
        return self._world.timeline.now_ms - self._began_ms

    @property
    def is_known_to_all(self) -> bool:
        return len(self.times_ms) >= self.audience

    def share_at(self, time_ms: int) -> float:
        """The share of the audience that knew at a moment."""
        return bisect_right(self.times_ms, time_ms) / self.audience

    def time_to(self, share: float) -> int:
        """When this share of the audience knew; -1 for never."""
        at = math.ceil(share * self.audience) - 1
        return self.times_ms[at] if at < len(self.times_ms) else -1


def epidemic(settings: Settings, members: int, *, delay_ms: float, until_ms: int, sources: int = 1) -> list[float]:
    """The share of informed members at each ms after `sources` of them learn of something.

    The mean of an epidemic in a well-mixed population (Kermack and McKendrick, 1927; for gossip: Birman et al.,
    "Bimodal Multicast", 1999, section 4; SWIM, section 4.1): with s the share that does not know yet, and a the share
    that knows and still passes it on,

        s'(t) = -r s(t) a(t - d),    a(t) = s(t - L/r) - s(t)

    d is the mean delay of a packet, L the retransmit limit. r is how many packets with the news a member sends in a ms:
    fanout per gossip interval, and the pings and acks of two probes per probe interval, on which it rides along.
    """
    rate = settings.gossip_nodes / settings.gossip_interval_ms + 2 / settings.probe_interval_ms
    limit = settings.retransmit_limit(members)
    spreads_ms, late_ms = round(limit / rate), round(delay_ms)
    unaware = [1 - sources / members]

    def at(time_ms: int) -> float:
        return 1.0 if time_ms < 0 else unaware[time_ms]

    for now_ms in range(until_ms):
        active = at(now_ms - late_ms - spreads_ms) - at(now_ms - late_ms)
        unaware.append(unaware[-1] * math.exp(-rate * max(0.0, active)))
    return [1 - share for share in unaware]
