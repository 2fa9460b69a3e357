"""SWIM's state machine: what alive, suspect and dead messages do to the table of nodes.

Source: Das, Gupta, Motivala, "SWIM", 2002, section 4.2 (incarnations and suspicion), with memberlist's rules for
address changes, leaving and refutation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from consul_kernel.contracts.transport import Address

from .courier import Courier
from .environment import Environment
from .messages import Alive, Dead, NodeState, RemoteNode, Suspect
from .nodes import Node, NodeTable
from .settings import META_BYTES_MAX, NAME_LENGTH_MAX
from .suspicion import Awareness, Suspicion, suspicion_timeout_ms
from .versions import VERSION_BYTES, without_exchange
from .wire import U32_MAX, unpack_host

_CONFLICTS_TOLD_MAX = 64
_IPV6_BYTES = 16
_IPV4_MAPPED = bytes(10) + b"\xff\xff"


class Watcher(Protocol):
    """The layer above: is asked before, and told after a node changes."""

    def refuses(self, alive: Alive) -> bool:
        """Whether this node may not be here, as it describes itself."""
        ...

    def node_joined(self, node: Node) -> None: ...

    def node_left(self, node: Node) -> None: ...

    def node_updated(self, node: Node) -> None: ...

    def own_name_claimed(self) -> None:
        """Somebody at another address has this agent's name."""
        ...


def _narrow_host(host: bytes) -> bytes:
    """An IPv4 address that was mapped into IPv6 in its short form, so that both are one address."""
    return host[12:] if host.startswith(_IPV4_MAPPED) and len(host) == _IPV6_BYTES else host


def _describes_otherwise(node: Node, alive: Alive) -> bool:
    """Whether the layer above would see another member. Which exchange of states a node speaks concerns SWIM only."""
    if node.meta != alive.meta:
        return True
    return node.versions != alive.versions and without_exchange(node.versions) != without_exchange(alive.versions)


class MembershipRules:
    """The rules, applied to one table. `has_left` is set for good once this agent announces that it leaves."""

    def __init__(self, env: Environment, nodes: NodeTable, courier: Courier, awareness: Awareness) -> None:
        self._env = env
        self._nodes = nodes
        self._courier = courier
        self._awareness = awareness
        self._queue = courier.add_queue(lambda: len(nodes))
        self._suspicions: dict[str, Suspicion] = {}
        self._conflicts_told: dict[tuple[str, Address], None] = {}
        self.has_left = False
        self.watcher: Watcher | None = None

    @property
    def queue_depth(self) -> int:
        return len(self._queue)

    # --- alive ---

    def alive(self, alive: Alive) -> None:
        """A node is said to be there."""
        known = self._nodes.peek(alive.node)
        if known is not None and known.says_no_less(alive) and alive.node != self._nodes.own_name:
            if len(alive.versions) != len(known.versions):
                self._learn_versions(known, alive)
            return  # as nearly always: a rumour comes a dozen times
        if alive.port == 0 or len(alive.host) == _IPV6_BYTES:
            port = alive.port or self._nodes.own.port
            alive = Alive(alive.incarnation, alive.node, _narrow_host(alive.host), port, alive.meta, alive.versions)
        if not self._is_well_formed(alive):
            self._env.count("alive_malformed")
            return
        if alive.node == self._nodes.own_name:
            self._alive_about_us(alive)
        else:
            self._alive_about_other(alive)

    def _learn_versions(self, known: Node, alive: Alive) -> None:
        """A relay that knows six bytes of the versions only has told us first; here are all, of the same incarnation.

        That is no news to anybody else, and the other way round nothing is forgotten.
        """
        six = len(known.versions) == VERSION_BYTES and alive.versions[:VERSION_BYTES] == known.versions
        if six and len(alive.versions) == VERSION_BYTES + 1 and alive.incarnation == known.incarnation:
            node = self._nodes.get(alive.node)
            if node is not None:
                node.learn_versions(alive.versions)

    def _is_well_formed(self, alive: Alive) -> bool:
        versions = alive.versions
        if len(versions) < VERSION_BYTES or len(alive.meta) > META_BYTES_MAX:
            return False
        if not 0 < len(alive.node) <= NAME_LENGTH_MAX:
            return False
        return 0 < versions[0] <= versions[1]

    def _alive_about_us(self, alive: Alive) -> None:
        own = self._nodes.own
        if self.has_left:
            return
        if (alive.host, alive.port) != (own.host, own.port):
            self._conflict(own, alive)
            return
        if alive.incarnation < own.incarnation:
            return
        # memberlist passes on six bytes of what we speak: that is no other word than ours.
        same = alive.meta == own.meta and alive.versions in (own.versions, without_exchange(own.versions))
        if alive.incarnation == own.incarnation and same:
            return
        self._refute(alive.incarnation)

    def _alive_about_other(self, alive: Alive) -> None:
        node = self._nodes.get(alive.node)
        moved = False
        if node is not None:
            moved = (alive.host, alive.port) != (node.host, node.port)
            if moved and not self._may_be_reclaimed(node):
                self._conflict(node, alive)
                return
        if not moved and alive.incarnation <= (0 if node is None else node.incarnation):
            return
        if node is None and len(self._nodes) >= self._env.settings.members_max:
            self._env.count("members_over_limit")
            return
        if self._is_news(node, alive) and self.watcher is not None and self.watcher.refuses(alive):
            return
        if node is None:
            node = Node(alive, self._env.now_ms)
            self._nodes.add(node)
        self._accept_alive(node, alive)

    @staticmethod
    def _is_news(node: Node | None, alive: Alive) -> bool:
        """Whether more than the incarnation is new: only then the layer above is asked."""
        if node is None or node.is_gone():
            return True
        moved = (node.host, node.port) != (alive.host, alive.port)
        return moved or _describes_otherwise(node, alive)

    def _accept_alive(self, node: Node, alive: Alive) -> None:
        self._drop_suspicion(node.name)
        was_gone = node.is_gone()
        changed = _describes_otherwise(node, alive)
        node.take(alive)
        node.set_state(NodeState.ALIVE, self._env.now_ms)
        self._spread(node.name, node.to_alive().encode())
        if self.watcher is not None:
            if was_gone:
                self.watcher.node_joined(node)
            elif changed:
                self.watcher.node_updated(node)

    def _may_be_reclaimed(self, node: Node) -> bool:
        """Whether a name may turn up at another address."""
        if node.state is NodeState.LEFT:
            return True
        reclaim_ms = self._env.settings.dead_node_reclaim_ms
        return node.state is NodeState.DEAD and reclaim_ms > 0 and self._env.now_ms - node.changed_ms > reclaim_ms

    def _conflict(self, node: Node, alive: Alive) -> None:
        """Count every message of it; tell of each second address once."""
        self._env.count("name_conflicts")
        if node.name == self._nodes.own_name and self.watcher is not None:
            self.watcher.own_name_claimed()
        other = Address(unpack_host(alive.host), alive.port)
        if (node.name, other) in self._conflicts_told:
            return
        if len(self._conflicts_told) >= _CONFLICTS_TOLD_MAX:
            del self._conflicts_told[next(iter(self._conflicts_told))]
        self._conflicts_told[node.name, other] = None
        self._env.warn(f"two agents are named {node.name!r}: at {node.address} and at {other}")

    # --- this agent's own record ---

    def announce(self, alive: Alive, on_sent: Callable[[], None] | None = None) -> None:
        """Store and spread this agent's own record: at the start, and with a higher incarnation on each change."""
        own = self._nodes.get(alive.node)
        if own is None:
            own = Node(alive, self._env.now_ms)
            self._nodes.add(own)
        was_gone, changed = own.is_gone(), own.meta != alive.meta
        own.take(alive)
        own.set_state(NodeState.ALIVE, self._env.now_ms)
        self._spread(own.name, alive.encode(), on_sent)
        if self.watcher is not None:
            if was_gone:
                self.watcher.node_joined(own)
            elif changed:
                self.watcher.node_updated(own)

    def _refute(self, accused_incarnation: int) -> None:
        """Somebody says what is not so about us: outdo it."""
        own = self._nodes.own
        if accused_incarnation >= U32_MAX:
            self._env.count("incarnation_exhausted")
            return
        own.incarnation = max(own.incarnation, accused_incarnation) + 1
        self._awareness.adjust(1)
        self._env.count("refutations")
        self._spread(own.name, own.to_alive().encode())

    # --- suspect ---

    def suspect(self, suspect: Suspect) -> None:
        """A node is said not to answer."""
        known = self._nodes.peek(suspect.node)
        if known is None or suspect.incarnation < known.incarnation:
            return
        running = self._suspicions.get(suspect.node)
        if running is not None:
            if running.confirm(suspect.accuser):
                self._spread(suspect.node, suspect.encode())
                self._arm(suspect.node, running)
            return
        node = self._nodes.get(suspect.node) if known.state is NodeState.ALIVE else None
        if node is None:
            return
        if node.name == self._nodes.own_name:
            self._refute(suspect.incarnation)
            return
        self._spread(node.name, suspect.encode())
        node.incarnation = suspect.incarnation
        node.set_state(NodeState.SUSPECT, self._env.now_ms)
        self._start_suspicion(node, suspect.accuser)

    def _start_suspicion(self, node: Node, accuser: str) -> None:
        settings = self._env.settings
        confirmations = settings.suspicion_mult - 2
        if len(self._nodes) - 2 < confirmations:
            confirmations = 0
        min_ms = suspicion_timeout_ms(settings.suspicion_mult, len(self._nodes), settings.probe_interval_ms)
        max_ms = settings.suspicion_max_timeout_mult * min_ms
        suspicion = Suspicion(accuser, confirmations, min_ms, max_ms, self._env.now_ms)
        self._suspicions[node.name] = suspicion
        self._arm(node.name, suspicion)

    def _arm(self, name: str, suspicion: Suspicion) -> None:
        suspicion.cancel()
        suspicion.timer = self._env.timers.schedule(suspicion.deadline_ms(), lambda: self._confirm_dead(name))

    def _confirm_dead(self, name: str) -> None:
        node = self._nodes.get(name)
        self._suspicions.pop(name, None)
        if node is not None and node.state is NodeState.SUSPECT:
            self._env.count("suspicions_expired")
            self.dead(Dead(node.incarnation, name, self._nodes.own_name))

    def _drop_suspicion(self, name: str) -> None:
        running = self._suspicions.pop(name, None)
        if running is not None:
            running.cancel()

    # --- dead ---

    def dead(self, dead: Dead, on_sent: Callable[[], None] | None = None) -> None:
        """A node is said to be gone: left when it says so itself."""
        known = self._nodes.peek(dead.node)
        if known is None or dead.incarnation < known.incarnation:
            return
        self._drop_suspicion(dead.node)
        node = None if known.is_gone() else self._nodes.get(dead.node)
        if node is None:
            return
        if node.name == self._nodes.own_name and not self.has_left:
            self._refute(dead.incarnation)
            return
        self._spread(node.name, dead.encode(), on_sent)
        node.incarnation = dead.incarnation
        node.set_state(NodeState.LEFT if dead.accuser == dead.node else NodeState.DEAD, self._env.now_ms)
        if self.watcher is not None:
            self.watcher.node_left(node)

    # --- whole states ---

    def merge(self, remote: Sequence[RemoteNode]) -> None:
        """Take over a peer's table. What it holds for dead is only suspected: the accused may still refute."""
        own_name = self._nodes.own_name
        for entry in remote:
            alive = entry.alive
            if entry.state is NodeState.ALIVE:
                self.alive(alive)
            elif entry.state is NodeState.LEFT:
                self.dead(Dead(alive.incarnation, alive.node, alive.node))
            else:
                self.suspect(Suspect(alive.incarnation, alive.node, own_name))

    def _spread(self, name: str, message: bytes, on_sent: Callable[[], None] | None = None) -> None:
        self._courier.broadcast(self._queue, message, name, on_sent)
