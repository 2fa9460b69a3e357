"""Push/pull: two agents exchange their whole states over a stream, to join and to heal what gossip missed.

States are written and merged in turns, so that a step stays short however many nodes a peer sends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from typing import Final, Protocol

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.transport import Address

from .backlog import Backlog, Job
from .digest_exchange import BriefKeeper, DigestExchanges
from .digest_table import DigestTable
from .environment import Environment, OnReply
from .events import Answer
from .messages import ErrorReply, NodeState, RemoteNode
from .nodes import Node, NodeTable
from .rules import MembershipRules
from .streams import PushPull, StreamMessage, encode_push_pull
from .versions import SpokenVersions, speaks_digests

_SCALE_FROM_NODES: Final = 32
_HELD_PER_MEMBER: Final = 2
"""Nodes of all states together that wait to be merged, for each member that may be known."""
_MERGED_AT_ONCE: Final = 8
_LOOKED_AT_AT_ONCE: Final = 16
"""Lines that cost little are not counted one by one."""

_KNOWN_LINE_UNITS: Final = 0.2
_LINE_UNITS: Final = 1
_STATES_PER_UNIT: Final = 16
"""How many members' parts of the upper layer's state are written in a unit."""
_CHECK_UNITS: Final = 0.1
_ACCEPT_UNITS: Final = 6
_CHANGE_UNITS: Final = 16
"""A change is told to the application, written down and queued."""

TOO_MANY: Final = "too many exchanges under way"

Done = Callable[[str | None], None]


STATES_AT_ONCE: Final = 16
"""Members' parts of the upper layer's state that are merged between two yields."""


class StateKeeper(BriefKeeper, Protocol):
    """The layer above, whose state travels with the nodes. What may take long yields after each node, or so many
    members' states.
    """

    def check_merge(self, nodes: Sequence[RemoteNode]) -> Generator[None, None, str | None]:
        """Why these nodes may not be merged in a join, or None."""
        ...

    def local_state(self) -> bytes: ...

    def merge_state(self, state: bytes, *, skip_events: bool) -> Generator[None, None, None]:
        """Take a peer's state over. Raises PeerProtocolError."""
        ...


class Exchanges:
    """Starts, answers and merges push/pulls."""

    def __init__(
        self, env: Environment, nodes: NodeTable, rules: MembershipRules, keeper: StateKeeper, table: DigestTable
    ) -> None:
        self._env = env
        self._nodes = nodes
        self._rules = rules
        self._keeper = keeper
        self._backlog = Backlog(env, _HELD_PER_MEMBER * env.settings.members_max)
        self._table = table
        self.by_digests = DigestExchanges(env, nodes, table, keeper, self._backlog, self._merge_part)

    @property
    def waiting(self) -> int:
        """Exchanges that are not done yet."""
        return len(self._backlog)

    def start(self) -> None:
        """Begin the periodic exchange after a random part of its interval."""
        self._env.after(self._env.rng.randrange(self.interval_ms()) + 1, self._tick)

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
            self._compare(node)

    def _compare(self, node: Node) -> None:
        """The periodic exchange: by digests with whoever can, and whole with whoever cannot after all."""
        address = node.address

        def exchange_all() -> None:
            self._exchange(address, join=False, skip_events=False, done=lambda error: None)

        if self._env.settings.digests and speaks_digests(node.versions):
            self.by_digests.begin(address, exchange_all)
        else:
            exchange_all()

    def join(self, address: Address, done: Done, *, skip_events: bool) -> None:
        """Exchange states and merge what comes; `done` gets None, or why it came to nothing.

        With `skip_events`, the user events from before this join are not delivered.
        """
        self._exchange(address, join=True, skip_events=skip_events, done=done)

    def _exchange(self, address: Address, *, join: bool, skip_events: bool, done: Done) -> None:
        def replied(reply: StreamMessage) -> None:
            if isinstance(reply, PushPull):
                if not self._backlog.start(self._take_reply(reply, join, skip_events, done), len(reply.nodes)):
                    done(TOO_MANY)
            elif isinstance(reply, ErrorReply):
                done(f"remote error: {reply.text}")
            else:
                done("the answer is no push/pull")

        if not self._backlog.start(self._ask(address, join, replied, done), 0):
            done(TOO_MANY)

    def _ask(self, address: Address, join: bool, replied: OnReply, done: Done) -> Job:
        request = yield from self._local(join=join)
        self._env.dial(address, request, self._env.settings.tcp_timeout_ms, replied, done)

    def _take_reply(self, reply: PushPull, join: bool, skip_events: bool, done: Done) -> Job:
        done((yield from self._merge(reply, list(self._nodes), join=join, skip_events=skip_events)))

    def serve(self, stream_id: int, request: PushPull) -> None:
        """Answer a peer that sent its state, and take that over; while too much is waiting, close without a word."""
        if not self._backlog.start(self._serve(stream_id, request), len(request.nodes)):
            self._env.count("exchanges_refused")
            self._env.effects.append(Answer(stream_id, None))

    def _serve(self, stream_id: int, request: PushPull) -> Job:
        """Our state as it is before theirs is taken over; a peer whose state is refused gets ours all the same."""
        answer = yield from self._local(join=request.join)
        self._env.effects.append(Answer(stream_id, answer))
        error = yield from self._merge(request, list(self._nodes), join=request.join, skip_events=False)
        if error is not None:
            self._env.warn(f"a peer's state was not merged: {error}")

    def _local(self, *, join: bool) -> Generator[None, None, bytes]:
        """Our whole state. Nodes may change while it is being written: each line is true when it is written."""
        lines: list[bytes] = []
        nodes = list(self._nodes)
        for start in range(0, len(nodes), _LOOKED_AT_AT_ONCE):
            some = nodes[start : start + _LOOKED_AT_AT_ONCE]
            units = sum(_KNOWN_LINE_UNITS if node.is_written() else _LINE_UNITS for node in some)
            lines += [node.line() for node in some]
            if self._backlog.spend(units):
                yield
        if self._backlog.spend(len(lines) / _STATES_PER_UNIT):
            yield
        return encode_push_pull(lines, self._keeper.local_state(), join=join)

    def _merge_part(self, remote: PushPull) -> Generator[None, None, None]:
        error = yield from self._merge(remote, self._table.spoken(), join=False, skip_events=False)
        if error is not None:
            self._env.warn(f"a part of a peer's state was not merged: {error}")

    def _merge(
        self, remote: PushPull, known: Sequence[Node], *, join: bool, skip_events: bool
    ) -> Generator[None, None, str | None]:
        """Take a state over, if its versions go together with those of the nodes that are known."""
        checks = self._check_versions(remote.nodes, known)
        error = yield from self._backlog.paced(checks, _CHECK_UNITS * _LOOKED_AT_AT_ONCE)
        if error is None and join:
            error = yield from self._backlog.paced(self._keeper.check_merge(remote.nodes), _ACCEPT_UNITS)
        if error is not None:
            self._env.count("merges_refused")
            return error
        for start in range(0, len(remote.nodes), _MERGED_AT_ONCE):
            before = len(self._env.effects)
            self._rules.merge(remote.nodes[start : start + _MERGED_AT_ONCE])
            changes = len(self._env.effects) - before
            if self._backlog.spend(_MERGED_AT_ONCE + changes * _CHANGE_UNITS):
                yield
        if remote.user_state:
            yield from self._merge_user_state(remote.user_state, skip_events=skip_events)
        return None

    def _merge_user_state(self, state: bytes, *, skip_events: bool) -> Job:
        """What cannot be read of it is left out, as in Serf; the nodes count all the same."""
        try:
            yield from self._backlog.paced(self._keeper.merge_state(state, skip_events=skip_events), STATES_AT_ONCE)
        except PeerProtocolError as error:
            self._env.count("malformed")
            self._env.warn(f"the upper layer's part of a peer's state was not merged: {error}")

    @staticmethod
    def _check_versions(remote: Sequence[RemoteNode], known: Sequence[Node]) -> Generator[None, None, str | None]:
        spoken = SpokenVersions()
        for start in range(0, len(remote), _LOOKED_AT_AT_ONCE):
            for entry in remote[start : start + _LOOKED_AT_AT_ONCE]:
                spoken.add(entry.alive.node, entry.alive.versions, is_alive=entry.state is NodeState.ALIVE)
            yield
        for start in range(0, len(known), _LOOKED_AT_AT_ONCE):
            for node in known[start : start + _LOOKED_AT_AT_ONCE]:
                spoken.add(node.name, node.versions, is_alive=node.state is NodeState.ALIVE)
            yield
        return spoken.incompatibility()
