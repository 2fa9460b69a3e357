"""What holds after every step, whatever true, stale or forged messages come in whatever order."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consul_kernel.contracts.membership import MemberEvent, MemberEventKind, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.events import Effect, Leave, Notify, PacketReceived, SendPacket, StreamReceived, TimerFired
from consul_kernel_swim.core.messages import Alive, Dead, Message, NodeState, RemoteNode, Suspect, decode_message
from consul_kernel_swim.core.packets import split_packet
from consul_kernel_swim.core.serf_messages import JoinIntent, LeaveIntent, SerfState
from consul_kernel_swim.core.settings import PACKET_BYTES_MAX, Settings
from consul_kernel_swim.core.streams import PushPull
from consul_kernel_swim.core.tags import encode_tags
from consul_kernel_swim.core.wire import U32_MAX
from plugins.membership.swim.core_bench import PEER, VERSIONS, Bench

RECLAIM_MS = 5_000
SETTINGS = Settings(
    dead_node_reclaim_ms=RECLAIM_MS,
    gossip_to_the_dead_ms=8_000,
    reconnect_timeout_ms=60_000,
    tombstone_timeout_ms=40_000,
    members_max=6,
)
NAMES = ("own", "a", "b", "c", "d", "e")
GONE = (NodeState.DEAD, NodeState.LEFT)

names = st.sampled_from(NAMES)
incarnations = st.one_of(st.integers(0, 6), st.sampled_from((40, U32_MAX - 1, U32_MAX)))
hosts = st.sampled_from((b"\x0a\0\0\1", b"\x0a\0\0\2", bytes(10) + b"\xff\xff\x0a\0\0\2", bytes(15) + b"\1"))
metas = st.sampled_from((encode_tags({}), encode_tags({"v": "2"}), b"web", b"\xff\xc1"))
versions = st.sampled_from((VERSIONS, VERSIONS, VERSIONS, b"", b"\5\1\2\2\5\4"))
alives = st.builds(Alive, incarnations, names, hosts, st.sampled_from((7946, 7946, 0, 1)), metas, versions)
suspects = st.builds(Suspect, incarnations, names, names)
deads = st.builds(Dead, incarnations, names, names)
remotes = st.builds(RemoteNode, st.sampled_from(NodeState), alives)
lamport_times = st.integers(0, 12)
states = st.builds(
    SerfState,
    lamport_times,
    lamport_times,
    lamport_times,
    st.dictionaries(names, lamport_times, max_size=4),
    st.lists(names, max_size=3),
    st.just({}),
)
push_pulls = st.builds(
    PushPull,
    st.lists(remotes, max_size=6, unique_by=lambda entry: entry.alive.node).map(tuple),
    st.one_of(st.just(b""), states.map(SerfState.encode), st.just(b"\x02\xc1")),
    st.booleans(),
)
leave_intents = st.builds(LeaveIntent, lamport_times, names, st.booleans())
join_intents = st.builds(JoinIntent, lamport_times, names)
waits = st.sampled_from((0, 1, 300, 1_000, 4_000, 9_000, 45_000))
actions = st.one_of(alives, suspects, deads, push_pulls, leave_intents, join_intents, waits)


class Watched(Bench):
    """A core whose invariants are looked at after every step."""

    def __init__(self) -> None:
        super().__init__(SETTINGS)
        self.watch_from = len(self.effects)
        self.told: dict[str, MemberEventKind] = {"own": MemberEventKind.JOIN}

    def note(self, effects: list[Effect]) -> list[Effect]:
        super().note(effects)
        if hasattr(self, "told"):
            for effect in effects:
                if isinstance(effect, SendPacket):
                    assert len(effect.packet) <= PACKET_BYTES_MAX
                if isinstance(effect, Notify) and isinstance(effect.event, MemberEvent):
                    self._check_event(effect.event)
            self._check_tables()
        return effects

    def _check_event(self, event: MemberEvent) -> None:
        """Nobody fails or leaves who was not there, and nobody joins twice."""
        name, before = event.member.name, self.told.get(event.member.name)
        there = (MemberEventKind.JOIN, MemberEventKind.UPDATE)
        legal = {
            MemberEventKind.JOIN: before not in there,
            MemberEventKind.UPDATE: before is not None and before is not MemberEventKind.REAP,
            MemberEventKind.FAILED: before in there,
            MemberEventKind.LEAVE: before in there or before is MemberEventKind.FAILED,
            MemberEventKind.REAP: before is not None and before is not MemberEventKind.REAP,
        }
        assert legal[event.kind], f"{event.kind} of {name} after {before}"
        self.told[name] = event.kind

    def _check_tables(self) -> None:
        swim = self.swim
        suspected = {node.name for node in swim.nodes if node.state is NodeState.SUSPECT}
        assert set(swim._rules._suspicions) == suspected
        assert len(swim.nodes) <= SETTINGS.members_max
        assert len(swim.members()) <= SETTINGS.members_max
        for node in swim.nodes:
            assert 0 <= node.incarnation <= U32_MAX
            if node.state not in GONE and node.name != "own":
                assert self.status(node.name) in (MemberStatus.ALIVE, MemberStatus.LEAVING)

    def take(self, action: object) -> None:
        """Do one thing; compare every node before and after."""
        before = {node.name: (node.state, node.incarnation, node.address, node.changed_ms) for node in self.swim.nodes}
        left = self.swim._rules.has_left
        if isinstance(action, int):
            self.wait(action)
        elif isinstance(action, PushPull):
            self.do(StreamReceived(1, action, PEER))
            while (deadline := self.swim.deadline_ms()) is not None and deadline <= self.now_ms:
                self.do(TimerFired())
        elif isinstance(action, LeaveIntent | JoinIntent):
            self.receive_serf(action.encode())
        else:
            assert isinstance(action, Alive | Suspect | Dead)
            self.receive(action)
        if not isinstance(action, int):
            self._check_course(before)
        self._check_own(left, before["own"][1])

    def _check_course(self, before: dict[str, tuple[NodeState, int, Address, int]]) -> None:
        """No incarnation falls, and nobody rises from the dead by what is no news."""
        for node in self.swim.nodes:
            if node.name not in before:
                continue
            state, incarnation, address, changed_ms = before[node.name]
            if node.address == address:
                assert node.incarnation >= incarnation, node.name
                if state in GONE and node.state not in GONE:
                    assert node.incarnation > incarnation, node.name
            else:
                assert state is NodeState.LEFT or (state is NodeState.DEAD and self.now_ms - changed_ms > RECLAIM_MS)

    def _check_own(self, had_left: bool, incarnation: int) -> None:
        own = self.swim.nodes.own
        assert own.incarnation >= incarnation
        if self.swim._rules.has_left:
            assert own.state is NodeState.LEFT
            assert own.incarnation == incarnation or not had_left
        else:
            assert own.state is NodeState.ALIVE
            assert self.status("own") in (MemberStatus.ALIVE, MemberStatus.LEAVING)


def accused_of(action: object) -> list[int]:
    """The incarnations at which something that is not so is said of this agent; the highest cannot be outdone."""
    said: list[Message] = []
    if isinstance(action, Suspect | Dead):
        said = [action]
    elif isinstance(action, PushPull):
        said = [
            Suspect(entry.alive.incarnation, entry.alive.node, "x")
            for entry in action.nodes
            if entry.state is not NodeState.ALIVE
        ]
    return [
        message.incarnation
        for message in said
        if isinstance(message, Suspect | Dead) and message.node == "own" and message.incarnation < U32_MAX
    ]


def is_merged(bench: Watched, action: object) -> bool:
    """Whether a state is taken at all: not where its versions do not fit, or a join is refused."""
    refused = bench.swim.counters["merges_refused"] + bench.swim.counters["malformed"]
    bench.take(action)
    return bench.swim.counters["merges_refused"] + bench.swim.counters["malformed"] == refused


many = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@many
@given(st.lists(actions, max_size=30))
def test_no_course_of_messages_breaks_the_rules(course: list[object]) -> None:
    bench = Watched()
    for action in course:
        outdone = accused_of(action)
        if is_merged(bench, action) and outdone:
            assert bench.swim.nodes.own.incarnation > max(outdone)
            assert bench.state("own") is NodeState.ALIVE


@many
@given(st.lists(actions, max_size=12), st.lists(actions, max_size=12))
def test_who_leaves_stays_left_whatever_is_said(before: list[object], after: list[object]) -> None:
    bench = Watched()
    for action in before:
        bench.take(action)
    bench.do(Leave(1))
    for action in after:
        bench.take(action)
    bench.take(45_000)
    assert bench.state("own") is NodeState.LEFT
    assert bench.status("own") is MemberStatus.LEFT
    for action in after:
        bench.take(action)
    assert bench.state("own") is NodeState.LEFT
    assert bench.status("own") is MemberStatus.LEFT


@many
@given(st.permutations(range(5)), st.integers(1, 5))
def test_order_of_true_messages_does_not_matter(order: list[int], repeats: int) -> None:
    """A node that was suspected, refuted, changed its tags and crashed is failed in the end, in whatever order."""
    base = Alive(1, "a", b"\x0a\0\0\2", 7946, encode_tags({}), VERSIONS)
    newest = msgspec.structs.replace(base, incarnation=3, meta=encode_tags({"v": "2"}))
    said: list[Message] = [
        Suspect(1, "a", "b"),
        msgspec.structs.replace(base, incarnation=2),
        newest,
        Suspect(3, "a", "c"),
        Dead(3, "a", "c"),
    ]
    bench = Watched()
    bench.receive(base)
    for _ in range(repeats):
        bench.receive(*(said[number] for number in order))
    assert bench.status("a") is MemberStatus.FAILED
    node = bench.swim.nodes.get("a")
    assert node is not None
    assert (node.incarnation, node.state) == (3, NodeState.DEAD)
    # Only its own next word brings it back.
    bench.receive(*(said[number] for number in order))
    assert bench.status("a") is MemberStatus.FAILED
    bench.receive(msgspec.structs.replace(newest, incarnation=4))
    assert bench.status("a") is MemberStatus.ALIVE


@settings(max_examples=60)
@given(st.lists(st.tuples(names, st.sampled_from(NodeState), incarnations), max_size=12), st.randoms())
def test_gossip_and_whole_states_lead_to_the_same_end(said: list[tuple[str, NodeState, int]], rng: object) -> None:
    """What a peer knows is the same news in one exchange as message by message; the dead are only suspected."""
    entries = [
        RemoteNode(state, Alive(incarnation, name, b"\x0a\0\0\2", 7946, encode_tags({}), VERSIONS))
        for name, state, incarnation in said
    ]
    by_state, by_message = Watched(), Watched()
    by_state.do(StreamReceived(1, PushPull(tuple(entries), b"", False), PEER))
    for entry in entries:
        by_message.receive(_as_message(entry))
    seen: Callable[[Bench], dict[str, tuple[NodeState, int]]] = lambda bench: {  # noqa: E731
        node.name: (node.state, node.incarnation) for node in bench.swim.nodes
    }
    assert seen(by_state) == seen(by_message)


def _as_message(entry: RemoteNode) -> Message:
    alive = entry.alive
    if entry.state is NodeState.ALIVE:
        return alive
    if entry.state is NodeState.LEFT:
        return Dead(alive.incarnation, alive.node, alive.node)
    return Suspect(alive.incarnation, alive.node, "own")


def test_all_that_was_sent_can_be_read() -> None:
    bench = Watched()
    for number, name in enumerate(NAMES[1:]):
        bench.receive(Alive(1, name, b"\x0a\0\0\2", 1 + number, encode_tags({}), VERSIONS))
    bench.do(PacketReceived(Suspect(1, "a", "b").encode(), PEER))
    bench.wait(30_000)
    packets = [effect.packet for effect in bench.effects if isinstance(effect, SendPacket)]
    assert len(packets) > 20
    for packet in packets:
        messages, damaged = split_packet(packet)
        assert not damaged
        assert all(decode_message(message) for message in messages)


def test_leaver_to_be_pruned_stays_listed_until_it_has_left() -> None:
    bench = Watched()
    bench.receive(Alive(1, "a", b"\x0a\0\0\2", 7946, encode_tags({}), VERSIONS))
    for lamport_time in (5, 6):
        bench.receive_serf(LeaveIntent(lamport_time, "a", True).encode())
    bench.now_ms += 9_000
    bench.do(TimerFired())
    assert bench.status("a") is MemberStatus.LEAVING
    bench.receive(Dead(1, "a", "a"))
    bench.now_ms += 9_000
    bench.do(TimerFired())
    assert bench.status("a") is None
    assert bench.kinds("a") == [MemberEventKind.JOIN, MemberEventKind.LEAVE, MemberEventKind.REAP]
