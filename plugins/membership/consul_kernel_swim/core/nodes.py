"""The table of nodes and the order in which they are probed.

Source: SWIM, section 4.3: every node is probed once in each turn, in random order, so that a crash is noticed by each
member within 2n - 1 probes; a newcomer gets a random place among those still to come.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping

from .layered import EVERYTHING, Layered
from .messages import Alive, NodeState, RemoteNode
from .wire import unpack_address

PROTOCOL_MAX = 1
"""Index in `versions`: the highest memberlist protocol that the node understands."""


class Node:
    """What memberlist knows about one node. `versions` has 6 bytes, and a seventh where the node compares digests."""

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
        self.address = unpack_address(alive.host, alive.port)
        self.meta = alive.meta
        self.versions = alive.versions

    def set_state(self, state: NodeState, now_ms: int) -> None:
        if self.state is not state:
            self.state = state
            self.changed_ms = now_ms

    def is_gone(self) -> bool:
        """Dead or left."""
        return self.state is NodeState.DEAD or self.state is NodeState.LEFT

    def learn_versions(self, versions: bytes) -> None:
        """Know more of what the node speaks, at the same incarnation."""
        self._line = None
        self.versions = versions

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

    def copy(self) -> Node:
        """Another record of the same content."""
        node = Node.__new__(Node)
        for slot in Node.__slots__:
            setattr(node, slot, getattr(self, slot))
        return node


_DRAWS = 64
"""Random draws for each node that is picked, before the whole table is looked through."""
_FEW = 16


class NodeTable:
    """Nodes by name, and a ring of their names: a turn is shuffled as it goes, place by place (Durstenfeld, 1964)."""

    def __init__(self, own_name: str, rng: random.Random, changed: set[str] | None = None) -> None:
        self.own_name = own_name
        self._rng = rng
        self._changed = changed
        self._nodes: Layered[Node] = Layered(Node.copy, changed)
        self._ring: list[str] = []
        self._position = 0
        self._own: Node | None = None

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        """Every node, to look at."""
        return iter(self._nodes.values())

    def touched(self) -> Iterable[Node]:
        """Every node, to look at, but those that are still as they are in a table that others share."""
        return self._nodes.own_values()

    def get(self, name: str) -> Node | None:
        """The node of this name, which may be changed."""
        return self._nodes.get(name)

    def peek(self, name: str) -> Node | None:
        """The node of this name, to look at: cheaper where tables are shared."""
        return self._nodes.peek(name)

    @property
    def own(self) -> Node:
        """This agent's record; there is one from the start on."""
        assert self._own is not None
        return self._own

    def add(self, node: Node) -> None:
        """Take in a new node; it comes up at a random place of the rest of the turn."""
        self._nodes.put(node.name, node)
        self._ring.append(node.name)
        if node.name == self.own_name:
            self._own = node

    def next_to_probe(self, now_ms: int, keep_gone_ms: int) -> Node | None:
        """The next node, to look at, that is neither this agent nor gone; None when a full turn finds none."""
        ring, nodes, random_ = self._ring, self._nodes, self._rng.random
        for _ in range(len(ring) + 1):
            at = self._position
            if at >= len(ring):
                self._start_turn(now_ms, keep_gone_ms)
                ring, at = self._ring, 0
                if not ring:
                    return None
            other = at + int(random_() * (len(ring) - at))
            ring[at], ring[other] = ring[other], ring[at]
            self._position = at + 1
            node = nodes.peek(ring[at])
            if node is not None and not node.is_gone() and node.name != self.own_name:
                return node
        return None

    def _start_turn(self, now_ms: int, keep_gone_ms: int) -> None:
        """Forget who has been gone for long, and begin again."""
        kept = []
        for name in self._ring:
            node = self._nodes.peek(name)
            if node is None:
                continue
            if node.is_gone() and name != self.own_name and now_ms - node.changed_ms > keep_gone_ms:
                self._nodes.remove(name)
            else:
                kept.append(name)
        self._ring = kept
        self._position = 0

    def pick(self, count: int, wanted: Callable[[Node], bool]) -> list[Node]:
        """Up to `count` different random nodes, to look at, that are wanted.

        They are drawn; only where the draws find too few, because the table is small or few are wanted, is everybody
        looked at.
        """
        ring, nodes, random_ = self._ring, self._nodes, self._rng.random
        size = len(ring)
        picked: list[Node] = []
        for _ in range(_DRAWS * count if size > max(_FEW, 3 * count) else 0):
            node = nodes.peek(ring[int(random_() * size)])
            if node is not None and node not in picked and wanted(node):
                picked.append(node)
                if len(picked) == count:
                    return picked
        rest = [node for node in nodes.values() if wanted(node) and node not in picked]
        missing = count - len(picked)
        return picked + (rest if len(rest) <= missing else self._rng.sample(rest, missing))

    def others_alive(self) -> bool:
        """Whether anybody else could hear us."""
        return any(not node.is_gone() for node in self if node.name != self.own_name)

    # --- tables that many agents share ---

    def shared(self) -> Mapping[str, Node]:
        """The nodes as they are, for other agents' tables to lie over."""
        return self._nodes.shared()

    def lie_over(self, base: Mapping[str, Node]) -> None:
        """Know all that is in `base`, this agent's own record among it, instead of what was known before."""
        self._nodes = Layered(Node.copy, self._changed)
        self._nodes.lie_over(base)
        if self._changed is not None:
            self._changed.add(EVERYTHING)
        self._own = self._nodes.get(self.own_name)
        self._ring = list(base)
        self._position = 0
