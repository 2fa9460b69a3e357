"""How long things may take in a pool of n members: what the protocol promises, as formulas over its settings.

The promises hold with the probability that nobody is overlooked by chance; `_SAFETY` is its exponent: a bound fails
for one run in e^30.
"""

from __future__ import annotations

import math
from typing import Final

from consul_kernel_swim.core.settings import Settings
from consul_kernel_swim.core.suspicion import suspicion_timeout_ms

_SAFETY: Final = 30


def spread_ms(settings: Settings, members: int, delay_ms: int = 5) -> int:
    """How long gossip takes to reach everybody, and an exchange to tell whom it has missed.

    A rumour that each informed member passes to f random others in each round reaches all n in
    log_(f+1) n + ln(n)/f + O(1) rounds (Pittel, "On Spreading a Rumor", 1987; there with f = 1). As each member sends
    it L times at most, the retransmit limit, a member is missed with probability e^-L; in small pools that happens.
    """
    fanout = settings.gossip_nodes
    rounds = math.log(members) / math.log(fanout + 1) + (math.log(members) + _SAFETY) / fanout + 1
    gossip_ms = math.ceil(rounds) * (settings.gossip_interval_ms + delay_ms)
    return gossip_ms + exchange_interval_ms(settings, members)


def first_probe_ms(settings: Settings, members: int) -> int:
    """How long it takes until somebody probes a given member.

    Round robin: each member comes to it within 2n - 1 probes of its own (SWIM, section 4.3), so that one live member
    is enough. With n - 1 of them at random places of their turns, nobody has come after k intervals with probability
    (1 - 1/n)^(k(n-1)), which is nearly e^-k (SWIM, section 3.1).
    """
    return min(2 * members - 1, _SAFETY) * settings.probe_interval_ms


def suspicion_max_ms(settings: Settings, members: int) -> int:
    """How long a suspicion lasts when nobody confirms it (Lifeguard, section IV.C)."""
    shortest = suspicion_timeout_ms(settings.suspicion_mult, members, settings.probe_interval_ms)
    return settings.suspicion_max_timeout_mult * shortest


def detection_ms(settings: Settings, members: int, health_score: int = 0, delay_ms: int = 5) -> int:
    """How long until everybody knows of a crash: somebody probes in vain, suspects, waits for a refutation, and tells.

    `health_score` is the worst among the living: probes of those who doubt themselves take longer.
    """
    probe_ms = settings.probe_interval_ms * (1 + health_score)
    return (
        first_probe_ms(settings, members)
        + probe_ms
        + suspicion_max_ms(settings, members)
        + spread_ms(settings, members, delay_ms)
    )


def exchange_interval_ms(settings: Settings, members: int) -> int:
    """The mean time between two exchanges of state that one member begins (memberlist's scale)."""
    doublings = max(0, math.ceil(math.log2(members) - 5))
    return settings.push_pull_interval_ms * (1 + doublings)


def healing_ms(settings: Settings, members: int, gone: int) -> int:
    """How long until all agree again after the last fault.

    Who holds a live member for failed calls on a random failed one at every reconnect interval, with the probability
    failed/alive; `gone` of them are really gone and do not answer. What gossip could not tell while the pool was torn
    spreads by exchanges, in log2(n) + ln(n) + O(1) of them (Demers et al., "Epidemic Algorithms for Replicated Database
    Maintenance", 1987, section 1.3); what they tell of failures is suspected, refuted, and spread again. The name
    of a failed member may have to be reclaimable first.
    """
    tries = 4 + math.ceil(_SAFETY / 10 * (1 + gone / 4))
    exchanges = math.ceil(math.log2(members) + math.log(members)) + 2
    return (
        tries * settings.reconnect_interval_ms
        + exchanges * exchange_interval_ms(settings, members)
        + settings.dead_node_reclaim_ms
        + detection_ms(settings, members, settings.awareness_max_multiplier - 1)
    )
