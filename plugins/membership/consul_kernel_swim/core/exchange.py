"""Push/pull: two agents exchange their whole states over a stream, to join and to heal what gossip missed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.transport import Address

from .environment import Environment
from .messages import ErrorReply, NodeState, RemoteNode
from .nodes import Node, NodeTable
from .rules import VERSION_BYTES, MembershipRules
from .streams import PushPull, StreamMessage, encode_stream

_SCALE_FROM_NODES = 32
_PROTOCOL, _DELEGATE = 0, 3

Done = Callable[[str | None], None]


class StateKeeper(Protocol):
    """The layer above, whose state travels with the nodes."""

    def refuses_merge(self, nodes: Sequence[RemoteNode]) -> str | None:
        """Why these nodes may not be merged in a join, or None."""
        ...

    def local_state(self) -> bytes: ...

    def merge_state(self, state: bytes, *, skip_events: bool) -> None: ...


def incompatibility(remote: Sequence[RemoteNode], local: Sequence[Node]) -> str | None:
    """Why the protocol versions of two pools do not go together, or None.

    The ranges of all alive nodes must have a version in common with what every node speaks now.
    """
    spoken = [(entry.alive.node, entry.alive.versions, entry.state is NodeState.ALIVE) for entry in remote]
    spoken += [(node.name, node.versions, node.state is NodeState.ALIVE) for node in local]
    spoken = [entry for entry in spoken if len(entry[1]) >= VERSION_BYTES]
    for at, what in ((_PROTOCOL, "protocol"), (_DELEGATE, "delegate protocol")):
        lowest = max((versions[at] for _, versions, alive in spoken if alive), default=0)
        highest = min((versions[at + 1] for _, versions, alive in spoken if alive), default=255)
        for name, versions, _ in spoken:
            current = versions[at + 2]
            if not lowest <= current <= highest:
                return f"Node '{name}' {what} version ({current}) is incompatible: [{lowest}, {highest}]"
    return None


class Exchanges:
    """Starts, answers and merges push/pulls."""

    def __init__(self, env: Environment, nodes: NodeTable, rules: MembershipRules, keeper: StateKeeper) -> None:
        self._env = env
        self._nodes = nodes
        self._rules = rules
        self._keeper = keeper

    def start(self) -> None:
        """Begin the periodic exchange after a random part of its interval."""
        interval = self._env.settings.push_pull_interval_ms
        self._env.after(self._env.rng.randrange(interval) + 1, self._tick)

    def interval_ms(self) -> int:
        """Larger pools exchange less often: doubled at 33 nodes, tripled at 65, and so on."""
        count = len(self._nodes)
        if count <= _SCALE_FROM_NODES:
            return self._env.settings.push_pull_interval_ms
        scale = math.ceil(math.log2(count) - math.log2(_SCALE_FROM_NODES)) + 1
        return self._env.settings.push_pull_interval_ms * scale

    def _tick(self) -> None:
        self._env.after(self.interval_ms(), self._tick)
        if self._rules.has_left:
            return
        own_name = self._nodes.own_name
        for node in self._nodes.pick(1, lambda node: node.state is NodeState.ALIVE and node.name != own_name):
            self._exchange(node.address, join=False, skip_events=False, done=lambda error: None)

    def join(self, address: Address, done: Done, *, skip_events: bool) -> None:
        """Exchange states and merge what comes; `done` gets None, or why it came to nothing.

        With `skip_events`, the user events from before this join are not delivered.
        """
        self._exchange(address, join=True, skip_events=skip_events, done=done)

    def _exchange(self, address: Address, *, join: bool, skip_events: bool, done: Done) -> None:
        def replied(reply: StreamMessage) -> None:
            if isinstance(reply, PushPull):
                done(self._take_reply(reply, join=join, skip_events=skip_events))
            elif isinstance(reply, ErrorReply):
                done(f"remote error: {reply.text}")
            else:
                done("the answer is no push/pull")

        settings = self._env.settings
        request = encode_stream(self._local(join=join), compress=settings.compress_streams)
        self._env.dial(address, request, settings.tcp_timeout_ms, replied, done)

    def _take_reply(self, reply: PushPull, *, join: bool, skip_events: bool) -> str | None:
        try:
            return self._merge(reply, join=join, skip_events=skip_events)
        except PeerProtocolError as error:
            self._env.count("malformed")
            return str(error)

    def answer(self, request: PushPull) -> bytes:
        """Our state for a peer that sent its own, as it is before theirs is taken over."""
        return encode_stream(self._local(join=request.join), compress=self._env.settings.compress_streams)

    def take(self, request: PushPull) -> None:
        """Merge what a peer sent. Raises PeerProtocolError when the upper layer's part cannot be read."""
        error = self._merge(request, join=request.join, skip_events=False)
        if error is not None:
            self._env.warn(f"a peer's state was not merged: {error}")

    def _local(self, *, join: bool) -> PushPull:
        nodes = tuple(RemoteNode(node.state, node.to_alive()) for node in self._nodes)
        return PushPull(nodes, self._keeper.local_state(), join)

    def _merge(self, remote: PushPull, *, join: bool, skip_events: bool) -> str | None:
        error = incompatibility(remote.nodes, list(self._nodes))
        if error is None and join:
            error = self._keeper.refuses_merge(remote.nodes)
        if error is not None:
            self._env.count("merges_refused")
            return error
        self._rules.merge(remote.nodes)
        if remote.user_state:
            self._keeper.merge_state(remote.user_state, skip_events=skip_events)
        return None
