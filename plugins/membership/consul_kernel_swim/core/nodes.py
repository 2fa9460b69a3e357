"""The table of nodes and the order in which they are probed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from consul_kernel.contracts.transport import Address

from .messages import Alive, NodeState, RemoteNode
from .wire import unpack_host

PROTOCOL_MAX = 1
"""Index in `versions`: the highest memberlist protocol that the node understands."""


class Node:
    """What memberlist knows about one node. `versions` has 6 bytes."""

    __slots__ = ("_line", "address", "changed_ms", "host", "incarnation", "meta", "name", "port", "state", "versions")

    def __init__(self, alive: Alive, now_ms: int) -> None:
        self.name = alive.node
        self.state = NodeState.DEAD
        self.changed_ms = now_ms
        self.take(alive)
        self.incarnation = 0

    def take(self, alive: Alive) -> None:
        """Store what an accepted alive message says."""
        self._line: tuple[NodeState, int, bytes] | None = None
        self.incarnation = alive.incarnation
        self.host = alive.host
        self.port = alive.port
        self.address = Address(unpack_host(alive.host), alive.port)
        self.meta = alive.meta
        self.versions = alive.versions

    def set_state(self, state: NodeState, now_ms: int) -> None:
        if self.state is not state:
            self.state = state
            self.changed_ms = now_ms

    def is_gone(self) -> bool:
        """Dead or left."""
        return self.state is NodeState.DEAD or self.state is NodeState.LEFT

    def says_no_less(self, alive: Alive) -> bool:
        """Whether an alive message holds nothing that this record does not: it is not newer, nor from elsewhere."""
        return alive.incarnation <= self.incarnation and alive.port == self.port and alive.host == self.host

    def to_alive(self) -> Alive:
        """The alive message that describes this record."""
        return Alive(self.incarnation, self.name, self.host, self.port, self.meta, self.versions)

    def is_written(self) -> bool:
        """Whether `line` costs nothing."""
        line = self._line
        return line is not None and line[0] is self.state and line[1] == self.incarnation

    def line(self) -> bytes:
        """This record's line of a push/pull; written anew only after a change."""
        line = self._line
        if line is not None and line[0] is self.state and line[1] == self.incarnation:
            return line[2]
        written = RemoteNode(self.state, self.to_alive()).encode()
        self._line = (self.state, self.incarnation, written)
        return written


class NodeTable:
    """Nodes by name, and a ring in random order: a newcomer gets a random place, a full turn is reshuffled."""

    def __init__(self, own_name: str, rng: random.Random) -> None:
        self.own_name = own_name
        self._rng = rng
        self._nodes: dict[str, Node] = {}
        self._ring: list[Node] = []
        self._position = 0

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._ring)

    def get(self, name: str) -> Node | None:
        return self._nodes.get(name)

    @property
    def own(self) -> Node:
        """This agent's record; there is one from the start on."""
        return self._nodes[self.own_name]

    def add(self, node: Node) -> None:
        """Put a new node at a random place of the ring, in exchange with the node that was there."""
        self._nodes[node.name] = node
        ring = self._ring
        ring.append(node)
        place = self._rng.randrange(len(ring))
        ring[place], ring[-1] = ring[-1], ring[place]

    def next_to_probe(self, now_ms: int, keep_gone_ms: int) -> Node | None:
        """The next node that is neither this agent nor gone, or None when a full turn finds none."""
        for _ in range(len(self._ring) + 1):
            if self._position >= len(self._ring):
                self._start_turn(now_ms, keep_gone_ms)
                if not self._ring:
                    return None
            node = self._ring[self._position]
            self._position += 1
            if node.name != self.own_name and not node.is_gone():
                return node
        return None

    def _start_turn(self, now_ms: int, keep_gone_ms: int) -> None:
        """Forget who has been gone for long, shuffle, start again."""
        kept = []
        for node in self._ring:
            if node.is_gone() and node.name != self.own_name and now_ms - node.changed_ms > keep_gone_ms:
                del self._nodes[node.name]
            else:
                kept.append(node)
        self._rng.shuffle(kept)
        self._ring = kept
        self._position = 0

    def pick(self, count: int, wanted: Callable[[Node], bool]) -> list[Node]:
        """Up to `count` different random nodes that are wanted.

        In a large table only 3 × its size draws at most are made, as memberlist does, so fewer may be found.
        """
        ring = self._ring
        size = len(ring)
        if size <= 3 * count or size <= 16:
            candidates = [node for node in ring if wanted(node)]
            if len(candidates) <= count:
                return candidates
            return self._rng.sample(candidates, count)
        picked: list[Node] = []
        for _ in range(3 * size):
            node = ring[self._rng.randrange(size)]
            if node not in picked and wanted(node):
                picked.append(node)
                if len(picked) == count:
                    break
        return picked

    def others_alive(self) -> bool:
        """Whether anybody else could hear us."""
        return any(not node.is_gone() for node in self._ring if node.name != self.own_name)
