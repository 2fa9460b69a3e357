"""The servers that gossip has told of, by datacenter, and which one to ask next."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from consul_kernel.contracts.transport import Address

MAX_DATACENTERS = 1024
"""Names remembered of datacenters without servers; the oldest is forgotten first."""


@dataclass(frozen=True, slots=True)
class ServerEntry:
    """A server: its node id, its name, its datacenter, and the address of its server port."""

    id: str
    name: str
    datacenter: str
    address: Address


class ServerDirectory:
    """Known servers. Each datacenter's list is shuffled; the first is asked until it fails (Consul's `router`)."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._by_id: dict[str, ServerEntry] = {}
        self._lists: dict[str, list[ServerEntry]] = {}

    def add(self, server: ServerEntry) -> None:
        """Add a server, or replace what is known under its id. A new one gets a random place in the list."""
        known = self._by_id.get(server.id)
        if known == server:
            return
        servers = self._lists.setdefault(server.datacenter, [])
        self._by_id[server.id] = server
        if known is not None and known.datacenter == server.datacenter:
            servers[servers.index(known)] = server
            return
        if known is not None:
            self._lists[known.datacenter].remove(known)
        servers.insert(self._rng.randint(0, len(servers)), server)
        self._forget_empty()

    update = add

    def remove(self, server_id: str) -> None:
        """Forget a server; an unknown one is no error. Its datacenter stays known by name."""
        known = self._by_id.pop(server_id, None)
        if known is not None:
            self._lists[known.datacenter].remove(known)

    def get(self, server_id: str) -> ServerEntry | None:
        """A server by its id."""
        return self._by_id.get(server_id)

    def servers(self, datacenter: str) -> Sequence[ServerEntry]:
        """A datacenter's servers, the one to ask first at the front."""
        return tuple(self._lists.get(datacenter, ()))

    def datacenters(self) -> Sequence[str]:
        """Datacenters with at least one server, sorted."""
        return sorted(name for name, servers in self._lists.items() if servers)

    def knows_datacenter(self, datacenter: str) -> bool:
        """Whether a server of it was ever known."""
        return datacenter in self._lists

    def count(self, datacenter: str) -> int:
        """How many servers of a datacenter are known."""
        return len(self._lists.get(datacenter, ()))

    def pick(self, datacenter: str) -> ServerEntry | None:
        """The server to ask, or None where none is known."""
        servers = self._lists.get(datacenter)
        return servers[0] if servers else None

    def fail(self, server: ServerEntry) -> None:
        """A server did not answer: it goes to the end of its list, unless another already took its place."""
        servers = self._lists.get(server.datacenter)
        if servers and servers[0].id == server.id:
            servers.append(servers.pop(0))

    def rebalance(self) -> None:
        """Shuffle every list, so that the load of many clients spreads again. Called now and then by the agent."""
        for servers in self._lists.values():
            self._rng.shuffle(servers)

    def _forget_empty(self) -> None:
        if len(self._lists) > MAX_DATACENTERS:
            empty = next((name for name, servers in self._lists.items() if not servers), None)
            if empty is not None:
                del self._lists[empty]
