"""Two datacenters of three servers and a client each, read and written by `?dc=` while each server is killed in turn.

    python tests/soak/datacenters.py --rounds 2 --seed 1 --raft-multiplier 5 --outage-s 30

Every agent that lives is asked for both datacenters all the time; whoever asks tries once more, as careful clients do.
The exit code is 1 when an error reached one of them all the same. A round of short outages takes about a minute.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.agents import AgentProcess, Cluster
from harness.retrying import Background, RetryingClient
from harness.waiting import wait_for

DATACENTERS = ("dc1", "dc2")
REQUEST_ROUNDS = 3
"""Rounds of requests before each death, while it lasts, and after it, at least."""
SHOWN = 10


class Federation:
    """All agents; servers by datacenter."""

    def __init__(self, cluster: Cluster, raft_multiplier: int) -> None:
        settings = {
            "performance": {"raft_multiplier": raft_multiplier},
            "gossip_wan": {"gossip_interval": "100ms", "probe_interval": "1s", "probe_timeout": "500ms"},
        }
        self.servers = {
            name: cluster.servers(3, prefix=f"{name}-s", datacenter=name, **settings) for name in DATACENTERS
        }
        wait_for(lambda: self._join_wan(), "one join between the datacenters", timeout_s=60)
        self.clients = [
            cluster.client(f"{name}-c", self.servers[name], datacenter=name, performance=settings["performance"])
            for name in DATACENTERS
        ]
        self.agents = [*self.clients, *(server for name in DATACENTERS for server in self.servers[name])]

    def _join_wan(self) -> bool:
        first, second = (self.servers[name][0] for name in DATACENTERS)
        return second.ask("PUT", f"/v1/agent/join/{first.wan}?wan=1").status == 200

    def wait_until_formed(self) -> None:
        """Everybody knows both datacenters, each of which has a leader and three servers in its quorum."""
        for agent in self.agents:
            agent.wait_leader(timeout_s=120)
            wait_for(
                lambda a=agent: sorted(a.get("/v1/catalog/datacenters")) == list(DATACENTERS),  # type: ignore[misc]
                f"both datacenters, asked of {agent.name}",
                timeout_s=120,
            )
            for name in DATACENTERS:
                wait_for(
                    lambda a=agent, n=name: len(a.get(f"/v1/status/peers?dc={n}")) == 3,  # type: ignore[misc]
                    f"three peers of {name}, asked of {agent.name}",
                    timeout_s=120,
                )

    def others(self, victim: AgentProcess) -> list[AgentProcess]:
        """Every agent but one."""
        return [agent for agent in self.agents if agent is not victim]


def outlive(federation: Federation, victim: AgentProcess, outage_s: float) -> RetryingClient:
    """Kill a server and start it again under load; what its clients saw."""
    load = Background(RetryingClient(federation.others(victim), DATACENTERS))

    def carry_on(least_s: float = 0.0) -> None:
        rounds, until_s = load.rounds, time.monotonic() + least_s
        wait_for(
            lambda: load.rounds > rounds + REQUEST_ROUNDS and time.monotonic() > until_s,
            "rounds of requests",
            timeout_s=300 + least_s,
        )

    carry_on()
    victim.kill()
    carry_on(outage_s)
    victim.start()
    carry_on()
    load.end()
    return load.client


def soak(federation: Federation, rounds: int, outage_s: float, rng: random.Random) -> Sequence[str]:
    """Every server dies once in each round, in random order; the errors that reached clients."""
    errors: list[str] = []
    for number in range(rounds):
        victims = [server for servers in federation.servers.values() for server in servers]
        rng.shuffle(victims)
        for victim in victims:
            federation.wait_until_formed()
            role = "leader" if victim.is_leader() else "follower"
            begun_s = time.monotonic()
            seen = outlive(federation, victim, outage_s)
            errors += seen.errors
            print(
                f"round {number + 1}: {victim.name} ({role}) killed and back: {seen.requests} requests, "
                f"{len(seen.retries)} tried again, {len(seen.errors)} errors, {time.monotonic() - begun_s:.1f} s",
                flush=True,
            )
    return errors


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--raft-multiplier", type=int, default=1, help="5 is what agents have by default")
    parser.add_argument("--outage-s", type=float, default=2.0, help="how long a server stays dead, at least")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        cluster = Cluster(Path(home))
        try:
            federation = Federation(cluster, options.raft_multiplier)
            errors = soak(federation, options.rounds, options.outage_s, random.Random(options.seed))
            if errors:
                print(cluster.logs())
        finally:
            cluster.close()
    for error in errors[:SHOWN]:
        print(error)
    print(f"{len(errors)} errors reached a client that tries twice")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
