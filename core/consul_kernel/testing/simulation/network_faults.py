"""Faults of the network that any protocol may meet, as strikes for a nemesis."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from .faults import Fault, Strike, Undo
from .network import Conditions, Cut, Lag, Network


class NetworkFaults:
    """Cuts and bad weather between the members that `names` gives at the moment."""

    def __init__(self, network: Network, names: Callable[[], Sequence[str]]) -> None:
        self._network = network
        self._names = names

    def strikes(self) -> Mapping[str, Strike]:
        """By kind."""
        return {
            "partition": self._partition,
            "isolate": self._isolate,
            "one-way": self._one_way,
            "asymmetric": self._asymmetric,
            "loss": self._loss,
            "lag": self._lag,
            "late": self._late,
            "repeat": self._repeat,
        }

    def _partition(self, fault: Fault, rng: random.Random) -> Undo:
        """Two parts, of which the smaller has a tenth to a half of the members."""
        names = self._names()
        size = max(1, int(len(names) * rng.uniform(0.1, 0.5)))
        return self._mending(*self._network.split(rng.sample(names, min(size, len(names)))))

    def _isolate(self, fault: Fault, rng: random.Random) -> Undo:
        """One to three members, each of them alone."""
        victims = self._some(rng, 3)
        return self._mending(*(cut for name in victims for cut in self._network.split([name])))

    def _one_way(self, fault: Fault, rng: random.Random) -> Undo:
        """One to three members that hear nobody, or that nobody hears."""
        victims = self._some(rng, 3)
        if rng.random() < 0.5:
            return self._mending(self._network.cut(victims, None))
        return self._mending(self._network.cut(None, victims))

    def _asymmetric(self, fault: Fault, rng: random.Random) -> Undo:
        """A fifth of the members does not get through to another fifth, which gets through to them."""
        names = list(self._names())
        rng.shuffle(names)
        fifth = max(1, len(names) // 5)
        return self._mending(self._network.cut(names[:fifth], names[fifth : 2 * fifth]))

    def _lag(self, fault: Fault, rng: random.Random) -> Undo:
        """What one member sends takes up to half a second longer to some of the others, but not what they send."""
        names = list(self._names())
        rng.shuffle(names)
        receivers = names[1 : 1 + rng.randint(1, max(1, len(names) - 1))]
        return self._mending(self._network.lag(names[:1], receivers, rng.choice((50, 150, 500))))

    def _loss(self, fault: Fault, rng: random.Random) -> Undo:
        """Five to thirty percent of all packets are lost."""
        return self._mending(self._network.worsen(Conditions(loss_rate=rng.uniform(0.05, 0.3))))

    def _late(self, fault: Fault, rng: random.Random) -> Undo:
        """Up to a fifth of the packets comes up to two seconds late, so behind those sent after them."""
        longest_ms = rng.choice((200, 800, 2_000))
        spell = Conditions(late_rate=rng.uniform(0.02, 0.2), late_ms=(20, longest_ms))
        return self._mending(self._network.worsen(spell))

    def _repeat(self, fault: Fault, rng: random.Random) -> Undo:
        """Up to a third of the packets arrives twice."""
        return self._mending(self._network.worsen(Conditions(duplicate_rate=rng.uniform(0.05, 0.3))))

    def _some(self, rng: random.Random, most: int) -> list[str]:
        names = self._names()
        return rng.sample(names, min(len(names), rng.randint(1, most)))

    def _mending(self, *faults: Cut | Lag | Conditions) -> Undo:
        return lambda: self._network.mend(*faults)
