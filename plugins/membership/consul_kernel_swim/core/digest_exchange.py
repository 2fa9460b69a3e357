"""Exchanges by digests: what a push/pull does, between two agents that both can, for the price of what differs.

Anti-entropy by checksums (Demers et al., "Epidemic Algorithms for Replicated Database Maintenance", 1987, section 1.3):
sums of hashes first, then the hashes behind those sums that differ, and then the states behind those. In a pool at rest
the sums are all. States are merged by the very rules of a push/pull.

Failed members are compared one by one, some in each exchange, since what is known of those that are gone is no state
that all agree upon: who came later has never heard of them, and who has reaped them shall not hear again. But whoever
holds a member for failed which others know to have left must be told.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Protocol

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.transport import Address

from .backlog import Backlog, Job
from .digest_messages import FAILED_MAX, Difference, Digest, Pair, PartialState, encode_partial_state
from .digest_table import HASHED_AT_ONCE, DigestTable, bucket_count, key_of
from .environment import Environment
from .events import Answer
from .nodes import NodeTable
from .streams import PushPull, StreamMessage

_HASH_UNITS = 0.5
_LOOK_UNITS = 4
"""One bucket, or 64 members of a difference."""
_COMPARED_AT_ONCE = 64

Merge = Callable[[PushPull], Generator[None, None, object]]


class BriefKeeper(Protocol):
    """The layer above, whose state is compared with the members'."""

    def brief(self, peers: bytes = b"") -> bytes:
        """What is small of the state; in an answer, made for the peer's. Raises PeerProtocolError."""
        ...

    def take_brief(self, brief: bytes) -> None:
        """Merge a peer's. Raises PeerProtocolError."""
        ...

    def differs_in_events(self, answered: bytes) -> bool:
        """Whether the peer that answered this brief remembers other user events. Raises PeerProtocolError."""
        ...

    def failed(self) -> list[tuple[str, int]]:
        """Names and Lamport times of all that are held for failed."""
        ...

    def knows_else(self, name: str, failed_time: int) -> bool:
        """Whether something else is known of a member that is gone than that it failed, at this time."""
        ...

    def partial_state(self, names: Sequence[str], *, with_events: bool) -> bytes:
        """The state of some members, as `StateKeeper.merge_state` takes it."""
        ...


class DigestExchanges:
    """Starts and answers them. `merge` takes over a peer's states."""

    def __init__(
        self,
        env: Environment,
        nodes: NodeTable,
        table: DigestTable,
        keeper: BriefKeeper,
        backlog: Backlog,
        merge: Merge,
    ) -> None:
        self._env = env
        self._nodes = nodes
        self._table = table
        self._keeper = keeper
        self._backlog = backlog
        self._merge = merge

    # --- the side that begins ---

    def begin(self, address: Address, otherwise: Callable[[], None]) -> None:
        """Compare with a peer that is said to be able to; `otherwise` is called when it is not."""
        self._backlog.start(self._ask(address, otherwise), 0)

    def _ask(self, address: Address, otherwise: Callable[[], None]) -> Job:
        yield from self._refresh()
        count = bucket_count(len(self._nodes))
        request = Digest(self._table.sums(count), self._failed(), self._keeper.brief())

        def replied(reply: StreamMessage) -> None:
            if isinstance(reply, Difference):
                self._start(self._follow(address, count, reply), len(reply.members) + len(reply.asked))
            else:
                self._env.count("digests_unanswered")
                otherwise()

        def failed(reason: str) -> None:
            self._env.count("digests_unanswered")
            otherwise()

        self._env.dial(address, request.encode(), self._env.settings.tcp_timeout_ms, replied, failed)

    def _follow(self, address: Address, count: int, answer: Difference) -> Job:
        """Tell the peer what it does not know, and ask for what we do not."""
        try:
            with_events = self._keeper.differs_in_events(answer.user_state)
            self._keeper.take_brief(answer.user_state)
        except PeerProtocolError:
            self._env.count("malformed")
            return
        names, keys = yield from self._compare(count, answer)
        if not (names or keys or with_events):
            return
        self._env.count("digests_differed")
        asked = [*map(key_of, names), *keys]
        request = yield from self._write(names, asked, with_events=with_events)

        def replied(reply: StreamMessage) -> None:
            if isinstance(reply, PartialState):
                self._start(self._take(reply), len(reply.nodes))
            else:
                self._env.count("malformed")

        def failed(reason: str) -> None:
            self._env.count("digests_unanswered")

        self._env.dial(address, request, self._env.settings.tcp_timeout_ms, replied, failed)

    def _compare(self, count: int, answer: Difference) -> Generator[None, None, tuple[list[str], list[int]]]:
        """Whom we know otherwise than the peer does, and the keys of those that we do not know at all."""
        theirs: dict[int, int] = {}
        for start in range(0, len(answer.members), _COMPARED_AT_ONCE):
            theirs.update(answer.members[start : start + _COMPARED_AT_ONCE])
            if self._backlog.spend(_LOOK_UNITS):
                yield
        names: dict[str, None] = {}
        for index in sorted({index for index in answer.indices if index < count}):
            for name, value in self._table.members(index, count):
                if theirs.pop(key_of(name), 0) != value:
                    names[name] = None
            if self._backlog.spend(_LOOK_UNITS * 256 / count):
                yield
        names.update(dict.fromkeys((yield from self._contradicted(answer.failed))))
        names.update(dict.fromkeys((yield from self._names_of(answer.asked))))
        return list(names), list(theirs)

    def _take(self, reply: PartialState) -> Job:
        yield from self._merge(PushPull(reply.nodes, reply.user_state, join=False))

    # --- the side that answers ---

    def serve_digest(self, stream_id: int, request: Digest) -> None:
        """Say where the peer's digest differs from ours."""
        self._serve(stream_id, self._answer_digest(stream_id, request), len(request.failed))

    def _answer_digest(self, stream_id: int, request: Digest) -> Job:
        yield from self._refresh()
        count = len(request.buckets)
        sums = self._table.sums(count)
        indices = [at for at in range(count) if sums[at] != request.buckets[at]]
        members: list[Pair] = []
        for index in indices:
            members += [(key_of(name), value) for name, value in self._table.members(index, count) if value]
            if self._backlog.spend(_LOOK_UNITS * 256 / count):
                yield
        asked = [key_of(name) for name in (yield from self._contradicted(request.failed))]
        try:
            brief = self._keeper.brief(request.user_state)
            self._keeper.take_brief(request.user_state)
        except PeerProtocolError:
            self._env.count("malformed")
            self._env.effects.append(Answer(stream_id, None))
            return
        answer = Difference(bytes(indices), tuple(members), tuple(asked), self._failed(), brief)
        self._env.effects.append(Answer(stream_id, answer.encode()))

    def serve_partial(self, stream_id: int, request: PartialState) -> None:
        """Answer some members' states with what we knew of them, and take them over."""
        self._serve(stream_id, self._answer_partial(stream_id, request), len(request.nodes) + len(request.asked))

    def _answer_partial(self, stream_id: int, request: PartialState) -> Job:
        names = yield from self._names_of(request.asked)
        answer = yield from self._write(names, (), with_events=request.with_events)
        self._env.effects.append(Answer(stream_id, answer))
        yield from self._merge(PushPull(request.nodes, request.user_state, join=False))

    # --- both ---

    def _start(self, job: Job, weight: int) -> None:
        """Go on with an exchange, unless too much is waiting: what differs still does the next time."""
        if not self._backlog.start(job, weight):
            self._env.count("exchanges_refused")

    def _serve(self, stream_id: int, job: Job, weight: int) -> None:
        if not self._backlog.start(job, weight):
            self._env.count("exchanges_refused")
            self._env.effects.append(Answer(stream_id, None))

    def _refresh(self) -> Generator[None, None, None]:
        return self._backlog.paced(self._table.refresh(), HASHED_AT_ONCE * _HASH_UNITS)

    def _failed(self) -> tuple[Pair, ...]:
        """Those that we hold for failed; of many, some that are drawn."""
        failed = self._keeper.failed()
        if len(failed) > FAILED_MAX:
            failed = self._env.rng.sample(failed, FAILED_MAX)
        return tuple((key_of(name), time) for name, time in failed)

    def _contradicted(self, failed: Sequence[Pair]) -> Generator[None, None, list[str]]:
        """Of those that a peer holds for failed, whom we know to have left, or to be gone at another time."""
        times = dict(failed)
        names = yield from self._names_of(times)
        return [name for name in names if self._keeper.knows_else(name, times[key_of(name)])]

    def _names_of(self, keys: Iterable[int]) -> Generator[None, None, list[str]]:
        return (yield from self._backlog.paced(self._table.names_of(keys), _LOOK_UNITS))

    def _write(self, names: Sequence[str], asked: Sequence[int], *, with_events: bool) -> Generator[None, None, bytes]:
        lines: list[bytes] = []
        for start in range(0, len(names), HASHED_AT_ONCE):
            nodes = map(self._nodes.peek, names[start : start + HASHED_AT_ONCE])
            lines += [node.line() for node in nodes if node is not None]
            if self._backlog.spend(HASHED_AT_ONCE * _HASH_UNITS):
                yield
        state = self._keeper.partial_state(names, with_events=with_events)
        return encode_partial_state(lines, state, asked, with_events=with_events)
