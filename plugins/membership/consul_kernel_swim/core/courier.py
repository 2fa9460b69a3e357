"""Builds packets within the byte budget and lets queued broadcasts ride along."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from consul_kernel.contracts.transport import Address

from .broadcasts import BroadcastQueue
from .environment import Environment
from .events import SendPacket
from .messages import NodeState
from .nodes import PROTOCOL_MAX, Node, NodeTable
from .packets import (
    CHECKSUM_BYTES,
    COMPOUND_HEADER_BYTES,
    COMPOUND_PART_BYTES,
    COMPOUND_PARTS_MAX,
    add_checksum,
    compress_message,
    join_messages,
)
from .timers import Timer

_TOLD_MAX = 16
"""As many as a message has sends in a pool of thousands."""

_CHECKSUM_FROM_PROTOCOL = 5
_LONGEST_PACKET_BYTES = 65_507


def takes_checksum(node: Node) -> bool:
    """Whether a node understands the has-CRC header."""
    return node.versions[PROTOCOL_MAX] >= _CHECKSUM_FROM_PROTOCOL


class Courier:
    """Sends, and runs the gossip tick. The tick only runs while something is queued for somebody."""

    def __init__(self, env: Environment, nodes: NodeTable) -> None:
        self._env = env
        self._nodes = nodes
        settings = env.settings
        self._budget = settings.packet_bytes - settings.sealed_overhead_bytes - CHECKSUM_BYTES
        self._queues: list[tuple[BroadcastQueue, Callable[[], int]]] = []
        self._tick: Timer | None = None
        self._told: deque[str] = deque(maxlen=_TOLD_MAX)
        """Names of those that had gossip of late."""
        self._phase_ms = 0
        self._limit_for = -1
        self._limit = 1

    def start(self) -> None:
        """Fix the phase of the gossip ticks at a random part of the interval."""
        self._phase_ms = self._env.now_ms + self._env.rng.randrange(self._env.settings.gossip_interval_ms)

    def add_queue(self, member_count: Callable[[], int]) -> BroadcastQueue:
        """A queue of lower rank than those before; `member_count` decides how often its messages are sent."""
        queue = BroadcastQueue(self._env.settings.queue_depth_min, member_count)
        self._queues.append((queue, member_count))
        return queue

    @property
    def queues(self) -> Sequence[BroadcastQueue]:
        """Every queue, highest rank first."""
        return [queue for queue, _ in self._queues]

    def fits(self, message: bytes) -> bool:
        """Whether a message can be gossiped at all."""
        return len(message) + COMPOUND_HEADER_BYTES + COMPOUND_PART_BYTES <= self._budget

    def broadcast(
        self,
        queue: BroadcastQueue,
        message: bytes,
        name: str | None = None,
        on_sent: Callable[[], None] | None = None,
        expires_ms: int | None = None,
    ) -> None:
        """Queue a message to gossip. One that no packet could hold is counted and dropped."""
        if not self.fits(message):
            self._env.count("broadcasts_too_large")
            if on_sent is not None:
                on_sent()
            return
        queue.put(message, name, on_sent, expires_ms)
        self.wake()

    def wake(self) -> None:
        """See to it that a gossip tick comes, at the next multiple of the interval."""
        if self._tick is not None:
            return
        interval = self._env.settings.gossip_interval_ms
        passed = (self._env.now_ms - self._phase_ms) % interval
        self._tick = self._env.after(interval - passed, self._gossip)

    def send(self, to: Address, *messages: bytes, checksum: bool = False) -> None:
        """Send at once, with as many broadcasts as fit."""
        free = self._budget - COMPOUND_HEADER_BYTES
        for message in messages:
            free -= len(message) + COMPOUND_PART_BYTES
        self._post(to, [*messages, *self._collect(free, COMPOUND_PARTS_MAX - len(messages))], checksum=checksum)

    def send_plain(self, to: Address, message: bytes) -> None:
        """Send one message at once and alone."""
        self._post(to, [message], checksum=False)

    def _collect(self, free: int, room: int) -> list[bytes]:
        """Broadcasts for one packet, from the queue of the highest rank first."""
        parts: list[bytes] = []
        for queue, member_count in self._queues:
            if not queue.depth:
                continue
            found = queue.take(free, room - len(parts), self._sends_max(member_count()))
            free -= sum(map(len, found)) + COMPOUND_PART_BYTES * len(found)
            parts += found
        return parts

    def _sends_max(self, member_count: int) -> int:
        if member_count != self._limit_for:
            self._limit_for, self._limit = member_count, self._env.settings.retransmit_limit(member_count)
        return self._limit

    def _post(self, to: Address, messages: list[bytes], *, checksum: bool) -> None:
        packet = join_messages(messages)
        if self._env.settings.compress_packets:
            compressed = compress_message(packet)
            if len(compressed) < len(packet):
                packet = compressed
        if checksum:
            packet = add_checksum(packet)
        if len(packet) > _LONGEST_PACKET_BYTES:
            self._env.count("packets_too_large")
            return
        self._env.effects.append(SendPacket(to, packet))

    def _gossip(self) -> None:
        """One tick: each of a few random nodes gets its own pick of what is queued."""
        self._tick = None
        targets = self._gossip_targets(self._env.settings.gossip_nodes)
        for node in targets:
            messages = self._collect(self._budget - COMPOUND_HEADER_BYTES, COMPOUND_PARTS_MAX)
            if not messages:
                break
            self._post(node.address, messages, checksum=takes_checksum(node))
        if targets and any(queue.depth for queue, _ in self._queues):
            self.wake()

    def _gossip_targets(self, count: int) -> list[Node]:
        """Random nodes, first those that have had no gossip of late.

        In a small pool a message is sent a few times by each member; as many independent draws by each would leave
        somebody out of it now and then, until the next exchange. In turns nobody is left out so easily.
        """
        targets = self._nodes.pick(count, lambda node: node.name not in self._told and self._wants_gossip(node))
        if len(targets) < count:
            self._told.clear()
            targets += self._nodes.pick(
                count - len(targets), lambda node: node not in targets and self._wants_gossip(node)
            )
        self._told.extend(node.name for node in targets)
        return targets

    def _wants_gossip(self, node: Node) -> bool:
        """Alive, suspected, or dead for so short a time that it may be told so."""
        if node.name == self._nodes.own_name or node.state is NodeState.LEFT:
            return False
        if node.state is NodeState.DEAD:
            return self._env.now_ms - node.changed_ms <= self._env.settings.gossip_to_the_dead_ms
        return True
