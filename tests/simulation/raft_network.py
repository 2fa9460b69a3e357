"""A simulated network between Raft servers: loses, delays, duplicates, reorders and partitions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Network:
    """Decides when copies of a message arrive. `cut` holds the directed pairs that lose everything."""

    rng: random.Random
    loss_rate: float = 0.0
    duplicate_rate: float = 0.0
    delay_ms_max: int = 5
    slow_rate: float = 0.0
    cut: set[tuple[str, str]] = field(default_factory=set)
    extra_ms: dict[tuple[str, str], int] = field(default_factory=dict)
    """What a message takes longer from one server to another."""

    def delays_ms(self, sender: str, to: str) -> Sequence[int]:
        """One delay for each copy that arrives; none when the message is lost."""
        rng = self.rng
        if (sender, to) in self.cut or rng.random() < self.loss_rate:
            return ()
        copies = 2 if rng.random() < self.duplicate_rate else 1
        extra_ms = self.extra_ms.get((sender, to), 0)
        return [
            extra_ms + (rng.randint(20, 500) if rng.random() < self.slow_rate else rng.randint(1, self.delay_ms_max))
            for _ in range(copies)
        ]

    def partition(self, servers: Sequence[str]) -> None:
        """Split the servers into two groups."""
        group = {server for server in servers if self.rng.random() < 0.5}
        self.cut |= {(a, b) for a in servers for b in servers if (a in group) != (b in group)}

    def isolate(self, server: str, servers: Sequence[str]) -> None:
        """Cut one server off."""
        self.cut |= {pair for other in servers if other != server for pair in ((server, other), (other, server))}

    def cut_one_way(self, senders: Sequence[str], receivers: Sequence[str]) -> None:
        """Lose everything from one group to another, or, mostly, from one of the first to one of the second."""
        if self.rng.random() < 0.7:
            senders, receivers = [self.rng.choice(senders)], [self.rng.choice(receivers)]
        self.cut |= {(a, b) for a in senders for b in receivers if a != b}

    def heal(self) -> None:
        """End all partitions."""
        self.cut.clear()
        self.extra_ms.clear()

    def become_perfect(self) -> None:
        """No more faults at all."""
        self.heal()
        self.loss_rate = self.duplicate_rate = self.slow_rate = 0.0
        self.delay_ms_max = 5
