"""The servers that gossip has told of, by datacenter, and which one to ask next.

A client agent asks one server of its own datacenter until that fails, so that it keeps one connection (Consul's
`agent/router/manager.go`). Servers of another datacenter are asked at random, the near ones first, so that their load
is shared and one that is gone costs little.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from consul_kernel.contracts.transport import Address

NEAR_FACTOR = 1.5
NEAR_SLACK_S = 0.002
"""Servers whose round-trip time is at most this many times, and this much, that of the nearest are near, too. What
estimates differ by within one datacenter must not send all calls to one server."""


@dataclass(frozen=True, slots=True)
class ServerEntry:
    """A server: its node id, its name, its datacenter, and the address of its server port."""

    id: str
    name: str
    datacenter: str
    address: Address


Key = tuple[str, str]
"""A datacenter and a name in it: what tells servers apart in gossip. Ids may repeat from one datacenter to another."""


def _unknown_distance(_: ServerEntry) -> float:
    return math.inf


class ServerDirectory:
    """Known servers, as many as gossip knows. Each datacenter's list is shuffled."""

    def __init__(self, rng: random.Random, distance_s: Callable[[ServerEntry], float] = _unknown_distance) -> None:
        """`distance_s`: the estimated round-trip time to a server, infinite where it is not known."""
        self._rng = rng
        self._distance_s = distance_s
        self._lists: dict[str, list[ServerEntry]] = {}
        self._failed: dict[str, set[str]] = {}
        self._doubts: dict[Key, ServerEntry] = {}

    # --- what gossip tells ---

    def add(self, server: ServerEntry) -> None:
        """A server is there, or is another than before. A new one gets a random place in the list."""
        self._set_failed(server.datacenter, server.name, failed=False)
        self._doubts.pop((server.datacenter, server.name), None)
        servers = self._lists.setdefault(server.datacenter, [])
        for place, known in enumerate(servers):
            if known.name == server.name:
                servers[place] = server
                return
        servers.insert(self._rng.randint(0, len(servers)), server)

    def lose(self, datacenter: str, name: str) -> None:
        """A server has failed: it is not asked, but its datacenter stays known."""
        if self.get(datacenter, name) is not None:
            self._drop(datacenter, name)
            self._set_failed(datacenter, name, failed=True)

    def remove(self, datacenter: str, name: str) -> None:
        """Forget a server, and its datacenter with the last one; an unknown one is no error."""
        self._drop(datacenter, name)
        self._set_failed(datacenter, name, failed=False)

    # --- looking ---

    def get(self, datacenter: str, name: str) -> ServerEntry | None:
        """A server that is there."""
        return next((server for server in self._lists.get(datacenter, ()) if server.name == name), None)

    def servers(self, datacenter: str) -> Sequence[ServerEntry]:
        """A datacenter's servers, the one to ask first at the front."""
        return tuple(self._lists.get(datacenter, ()))

    def datacenters(self) -> Sequence[str]:
        """Datacenters of which a server is known, were it a failed one, sorted."""
        return sorted(self._lists.keys() | self._failed.keys())

    def knows_datacenter(self, datacenter: str) -> bool:
        """Whether a server of it is known, were it a failed one."""
        return datacenter in self._lists or datacenter in self._failed

    def count(self, datacenter: str) -> int:
        """How many servers of a datacenter are there."""
        return len(self._lists.get(datacenter, ()))

    # --- one server of our datacenter, until it fails ---

    def pick(self, datacenter: str) -> ServerEntry | None:
        """The server to ask, or None where none is known."""
        servers = self._lists.get(datacenter)
        return servers[0] if servers else None

    def fail(self, server: ServerEntry) -> None:
        """A server did not answer: it goes to the end of its list, unless another already took its place."""
        servers = self._lists.get(server.datacenter)
        if servers and servers[0] == server:
            servers.append(servers.pop(0))

    def rebalance(self) -> None:
        """Shuffle every list, so that the load of many clients spreads again. Called now and then by the agent."""
        for servers in self._lists.values():
            self._rng.shuffle(servers)

    # --- any server of another datacenter ---

    def route(self, datacenter: str) -> Sequence[ServerEntry]:
        """A datacenter's servers in the order in which to ask them.

        Near ones come at random, then the others by distance; behind them those in doubt, the longest first.
        """
        servers = list(self._lists.get(datacenter, ()))
        if len(servers) < 2:
            return servers
        self._rng.shuffle(servers)
        distances = {server.name: self._distance_s(server) for server in servers}
        near_s = min(distances.values()) * NEAR_FACTOR + NEAR_SLACK_S
        doubts = {name: place for place, (where, name) in enumerate(self._doubts, 1) if where == datacenter}

        def rank(server: ServerEntry) -> tuple[int, float]:
            distance_s = distances[server.name]
            return doubts.get(server.name, 0), 0.0 if distance_s <= near_s else distance_s

        servers.sort(key=rank)
        return servers

    def doubt(self, server: ServerEntry) -> None:
        """A server did not answer a call: it is asked last, until it answers one or gossip tells news of it."""
        key = server.datacenter, server.name
        self._doubts.pop(key, None)
        if self.get(*key) == server:
            self._doubts[key] = server

    def trust(self, server: ServerEntry) -> None:
        """A server has answered."""
        if self._doubts:
            self._doubts.pop((server.datacenter, server.name), None)

    def doubtful(self) -> Sequence[ServerEntry]:
        """Servers in doubt, the longest first."""
        return tuple(self._doubts.values())

    # --- inside ---

    def _drop(self, datacenter: str, name: str) -> None:
        self._doubts.pop((datacenter, name), None)
        servers = [server for server in self._lists.get(datacenter, ()) if server.name != name]
        if servers:
            self._lists[datacenter] = servers
        else:
            self._lists.pop(datacenter, None)

    def _set_failed(self, datacenter: str, name: str, *, failed: bool) -> None:
        if failed:
            self._failed.setdefault(datacenter, set()).add(name)
        elif datacenter in self._failed:
            self._failed[datacenter].discard(name)
            if not self._failed[datacenter]:
                del self._failed[datacenter]
