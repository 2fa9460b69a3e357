"""The core's rules, one step at a time."""

from __future__ import annotations

import json
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.membership import Member, MemberEvent, MemberEventKind, MemberStatus, UserEvent
from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.broadcasts import BroadcastQueue
from consul_kernel_swim.core.events import (
    Answer,
    CommandDone,
    Dial,
    Effect,
    Input,
    Join,
    Leave,
    Notify,
    PacketReceived,
    ReplyReceived,
    SendPacket,
    SendUserEvent,
    SetTags,
    Started,
    StreamReceived,
    TimerFired,
)
from consul_kernel_swim.core.exchange import incompatibility
from consul_kernel_swim.core.lamport import LamportClock
from consul_kernel_swim.core.messages import (
    Ack,
    Alive,
    Dead,
    IndirectPing,
    Message,
    Nack,
    NodeState,
    Ping,
    RemoteNode,
    Suspect,
    User,
    decode_message,
)
from consul_kernel_swim.core.packets import split_packet
from consul_kernel_swim.core.query_messages import QueryResponse
from consul_kernel_swim.core.recent import RecentRing
from consul_kernel_swim.core.serf_messages import (
    JoinIntent,
    LeaveIntent,
    SerfState,
    UserEventMessage,
    decode_serf,
)
from consul_kernel_swim.core.settings import PROFILES, Settings
from consul_kernel_swim.core.streams import PushPull, StreamDecoder
from consul_kernel_swim.core.suspicion import Awareness, Suspicion, suspicion_timeout_ms
from consul_kernel_swim.core.swim import Swim
from consul_kernel_swim.core.tags import encode_tags

OWN = Address("10.0.0.1", 7946)
PEER = Address("10.0.0.9", 4000)
VERSIONS = bytes((1, 5, 2, 2, 5, 4))
VECTORS = [
    bytes.fromhex(text) for text in json.loads((Path(__file__).parent / "wire_vectors.json").read_text()).values()
]


class Bench:
    """One core, and what it did."""

    def __init__(self, settings: Settings = PROFILES["lan"], accept: object = None) -> None:
        self.swim = Swim("own", OWN, {}, settings, random.Random(1), accept)  # type: ignore[arg-type]
        self.now_ms = 1_000_000
        self.sent: list[tuple[Address, Message]] = []
        self.effects: list[Effect] = []
        self.do(Started())

    def do(self, event: Input) -> list[Effect]:
        effects = self.swim.step(event, self.now_ms)
        self.effects += effects
        for effect in effects:
            if isinstance(effect, SendPacket):
                self.sent += [(effect.to, decode_message(part)) for part in split_packet(effect.packet)[0]]
        return effects

    def receive(self, *messages: Message) -> None:
        for message in messages:
            self.do(PacketReceived(message.encode(), PEER))

    def receive_serf(self, body: bytes) -> None:
        self.do(PacketReceived(b"\x08" + body, PEER))

    def wait(self, ms: int) -> None:
        end = self.now_ms + ms
        while (deadline := self.swim.deadline_ms()) is not None and deadline <= end:
            self.now_ms = max(deadline, self.now_ms)
            self.do(TimerFired())
        self.now_ms = end

    def add(self, name: str, number: int, incarnation: int = 1) -> Address:
        self.receive(alive(name, number, incarnation))
        return Address(f"10.0.1.{number}", 7946)

    def status(self, name: str) -> MemberStatus | None:
        return next((member.status for member in self.swim.members() if member.name == name), None)

    def state(self, name: str) -> NodeState:
        node = self.swim.nodes.get(name)
        assert node is not None
        return node.state

    def kinds(self, name: str) -> list[MemberEventKind]:
        events = [effect.event for effect in self.effects if isinstance(effect, Notify)]
        return [event.kind for event in events if isinstance(event, MemberEvent) and event.member.name == name]

    def user_events(self) -> list[UserEvent]:
        events = [effect.event for effect in self.effects if isinstance(effect, Notify)]
        return [event for event in events if isinstance(event, UserEvent)]


def alive(name: str, number: int, incarnation: int = 1, **tags: str) -> Alive:
    return Alive(incarnation, name, bytes((10, 0, 1, number)), 7946, encode_tags(tags), VERSIONS)


# --- pings ---


def test_ping_is_answered_only_when_it_is_for_us() -> None:
    bench = Bench()
    bench.receive(Ping(5, "somebody-else"))
    assert bench.sent == []
    for name in ("own", ""):
        bench.receive(Ping(5, name))
        to, ack = bench.sent.pop(0)
        assert to == PEER
        assert isinstance(ack, Ack)
        assert ack.sequence == 5
        bench.sent.clear()


def test_ack_goes_to_the_source_in_the_ping() -> None:
    bench = Bench()
    bench.receive(Ping(5, "own", Address("10.0.0.7", 99), "p"))
    assert bench.sent[0][0] == Address("10.0.0.7", 99)


def test_indirect_ping_passes_the_ack_on() -> None:
    bench = Bench()
    target = Address("10.0.1.5", 7946)
    bench.receive(IndirectPing(77, "t", target, True, Address("10.0.0.7", 99), "p"))
    ping = next(message for to, message in bench.sent if to == target and isinstance(message, Ping))
    bench.receive(Ack(ping.sequence))
    assert (Address("10.0.0.7", 99), Ack(77)) in bench.sent
    bench.wait(2000)
    assert not [message for _, message in bench.sent if isinstance(message, Nack)]


def test_indirect_ping_without_answer_is_nacked_after_the_probe_timeout() -> None:
    bench = Bench()
    bench.receive(IndirectPing(77, "t", Address("10.0.1.5", 7946), True))
    bench.wait(499)
    assert not [message for _, message in bench.sent if isinstance(message, Nack)]
    bench.wait(1)
    assert (PEER, Nack(77)) in bench.sent


def test_unanswered_probe_asks_others_then_suspects() -> None:
    bench = Bench()
    for number in range(2, 7):
        bench.add(f"n{number}", number)
    bench.sent.clear()
    bench.wait(1000)
    target = next(message.node for _, message in bench.sent if isinstance(message, Ping))
    bench.wait(499)
    asked = [message for _, message in bench.sent if isinstance(message, IndirectPing) and message.node == target]
    assert len(asked) == 3
    assert all(message.nack for message in asked)
    bench.wait(600)
    assert bench.state(target) is NodeState.SUSPECT
    assert bench.status(target) is MemberStatus.ALIVE


def test_ack_over_a_stream_saves_who_loses_packets() -> None:
    bench = Bench()
    bench.add("n", 2)
    while not (dials := [effect for effect in bench.effects if isinstance(effect, Dial)]):
        bench.wait(10)
    request = StreamDecoder().feed(dials[0].request)
    assert isinstance(request, Ping)
    assert request.node == "n"
    bench.do(ReplyReceived(dials[0].dial_id, Ack(request.sequence)))
    bench.wait(600)
    assert bench.state("n") is NodeState.ALIVE
    assert bench.swim.counters["probes_only_over_streams"] == 1


def test_stream_ping_is_answered_only_when_it_is_for_us() -> None:
    bench = Bench()
    ours = bench.do(StreamReceived(1, Ping(77, "own"), PEER))
    assert Answer(1, Ack(77).encode()) in ours
    assert Answer(2, None) in bench.do(StreamReceived(2, Ping(77, "other"), PEER))


def test_each_ping_asks_the_next_node_before_any_is_asked_again() -> None:
    bench = Bench()
    for number in range(2, 12):
        bench.add(f"n{number}", number)
    asked: list[str] = []
    while len(asked) < 20:
        bench.wait(10)
        for _, message in bench.sent:
            if isinstance(message, Ping):
                asked.append(message.node)
                bench.sent.clear()
                bench.receive(Ack(message.sequence))
                break
    first = asked[:10]
    assert len(set(first)) >= 9  # the ring began before the last newcomers had their places
    assert set(asked) == {f"n{number}" for number in range(2, 12)}


# --- alive, suspect, dead ---


def test_accusation_is_refuted_with_a_higher_incarnation() -> None:
    bench = Bench()
    bench.receive(Suspect(6, "own", "x"))
    assert bench.swim.nodes.own.incarnation == 7
    assert bench.swim.awareness.score == 1
    bench.receive(Dead(9, "own", "x"))
    assert bench.swim.nodes.own.incarnation == 10
    assert bench.status("own") is MemberStatus.ALIVE


def test_last_incarnation_cannot_be_refuted_nor_overflow() -> None:
    bench = Bench()
    bench.receive(Suspect(0xFFFF_FFFF, "own", "x"))
    assert bench.swim.nodes.own.incarnation == 1
    assert bench.swim.counters["incarnation_exhausted"] == 1


def test_older_incarnations_change_nothing() -> None:
    bench = Bench()
    bench.add("n", 2, 5)
    bench.receive(Suspect(4, "n", "x"), Dead(4, "n", "x"), alive("n", 2, 5, new="tag"))
    assert bench.state("n") is NodeState.ALIVE
    assert bench.kinds("n") == [MemberEventKind.JOIN]


def test_alive_of_the_same_incarnation_does_not_end_a_suspicion() -> None:
    bench = Bench()
    bench.add("n", 2, 5)
    bench.receive(Suspect(5, "n", "x"), alive("n", 2, 5))
    assert bench.state("n") is NodeState.SUSPECT
    bench.receive(alive("n", 2, 6))
    assert bench.state("n") is NodeState.ALIVE
    bench.wait(60_000)
    assert "n" in {message.node for _, message in bench.sent if isinstance(message, Ping)}


def test_death_counts_for_its_incarnation() -> None:
    bench = Bench()
    bench.add("n", 2, 1)
    bench.receive(Dead(5, "n", "x"), alive("n", 2, 5))
    assert bench.status("n") is MemberStatus.FAILED
    bench.receive(alive("n", 2, 6))
    assert bench.status("n") is MemberStatus.ALIVE


def test_name_at_another_address_waits_until_the_old_one_is_dead_for_long() -> None:
    bench = Bench()
    bench.add("n", 2)
    bench.receive(alive("n", 3, 2))
    bench.receive(Dead(1, "n", "x"))
    bench.receive(alive("n", 3, 2))
    assert bench.status("n") is MemberStatus.FAILED
    assert bench.swim.counters["name_conflicts"] == 2
    bench.now_ms += 30_001
    bench.receive(alive("n", 3, 2))
    assert bench.status("n") is MemberStatus.ALIVE


def test_name_that_left_may_come_from_another_address_at_once() -> None:
    bench = Bench()
    bench.add("n", 2)
    bench.receive_serf(LeaveIntent(5, "n").encode())
    bench.receive(Dead(1, "n", "n"))
    assert bench.status("n") is MemberStatus.LEFT
    bench.receive(alive("n", 3, 1))
    assert bench.status("n") is MemberStatus.ALIVE
    assert bench.kinds("n") == [MemberEventKind.JOIN, MemberEventKind.LEAVE, MemberEventKind.JOIN]


@pytest.mark.parametrize("versions", [b"", b"\1\5\2", bytes(6), bytes((5, 1, 2, 2, 5, 4))])
def test_alive_without_usable_versions_is_ignored(versions: bytes) -> None:
    bench = Bench()
    bench.receive(msgspec.structs.replace(alive("n", 2), versions=versions))
    assert bench.status("n") is None


def test_members_are_bounded() -> None:
    bench = Bench(Settings(members_max=3))
    for number in range(2, 8):
        bench.add(f"n{number}", number)
    assert len(bench.swim.members()) == 3
    assert bench.swim.counters["members_over_limit"] == 4


def test_names_that_come_and_fail_do_not_fill_memory() -> None:
    """The table forgets the dead soon, the list of members only after days: whoever failed first makes room."""
    bench = Bench(Settings(members_max=8))
    for wave in range(5):
        for number in range(6):
            bench.add(f"forged-{wave}-{number}", number + 1)
            bench.receive(Dead(1, f"forged-{wave}-{number}", "accuser"))
            bench.wait(1)
        bench.wait(90_000)
        assert len(bench.swim.nodes) == 1
        assert len(bench.swim.members()) <= 8
    assert bench.status("own") is MemberStatus.ALIVE
    assert bench.status("forged-0-0") is None
    assert bench.kinds("forged-0-0")[-1] is MemberEventKind.REAP
    assert bench.status("forged-4-5") is MemberStatus.FAILED


def test_merge_only_suspects_what_a_peer_holds_for_dead() -> None:
    bench = Bench()
    for number, name in enumerate(("a", "b", "c"), 2):
        bench.add(name, number)
    nodes = (
        RemoteNode(NodeState.DEAD, alive("a", 2)),
        RemoteNode(NodeState.SUSPECT, alive("b", 3)),
        RemoteNode(NodeState.LEFT, alive("c", 4)),
        RemoteNode(NodeState.DEAD, alive("unknown", 5)),
        RemoteNode(NodeState.ALIVE, alive("new", 6)),
    )
    effects = bench.do(StreamReceived(1, PushPull(nodes, b"", False), PEER))
    assert {name: bench.state(name) for name in ("a", "b", "c", "new")} == {
        "a": NodeState.SUSPECT,
        "b": NodeState.SUSPECT,
        "c": NodeState.LEFT,
        "new": NodeState.ALIVE,
    }
    assert bench.status("unknown") is None
    answer = next(effect for effect in effects if isinstance(effect, Answer))
    assert answer.reply is not None
    reply = StreamDecoder().feed(answer.reply)
    assert isinstance(reply, PushPull)
    assert {node.alive.node for node in reply.nodes} == {"own", "a", "b", "c"}


def test_refused_join_is_answered_and_not_merged() -> None:
    bench = Bench(accept=lambda member: "wrong datacenter" if member.name == "bad" else None)
    nodes = (RemoteNode(NodeState.ALIVE, alive("good", 2)), RemoteNode(NodeState.ALIVE, alive("bad", 3)))
    effects = bench.do(StreamReceived(1, PushPull(nodes, b"", True), PEER))
    assert any(isinstance(effect, Answer) and effect.reply for effect in effects)
    assert bench.status("good") is None
    assert bench.swim.counters["members_refused"] == 1
    bench.receive(alive("bad", 3), alive("good", 2))
    assert bench.status("bad") is None
    assert bench.status("good") is MemberStatus.ALIVE


def test_application_is_asked_again_only_when_something_changes() -> None:
    asked: list[str] = []

    def accept(member: Member) -> None:
        asked.append(member.tags.get("v", ""))

    bench = Bench(accept=accept)
    bench.receive(alive("n", 2, 1), alive("n", 2, 2), alive("n", 2, 3, v="2"), alive("n", 2, 3, v="2"))
    assert asked == ["", "2"]


@pytest.mark.parametrize(
    ("versions", "text"),
    [
        (bytes((1, 5, 6, 2, 5, 4)), "Node 'n' protocol version (6) is incompatible: [1, 5]"),
        (bytes((1, 5, 2, 5, 5, 5)), "Node 'own' delegate protocol version (4) is incompatible: [5, 5]"),
        (VERSIONS, None),
    ],
)
def test_protocol_versions_must_have_something_in_common(versions: bytes, text: str | None) -> None:
    bench = Bench()
    remote = [RemoteNode(NodeState.ALIVE, msgspec.structs.replace(alive("n", 2), versions=versions))]
    assert incompatibility(remote, list(bench.swim.nodes)) == text


# --- Lifeguard ---


def test_suspicion_times_of_the_local_profile() -> None:
    low = suspicion_timeout_ms(3, 3, 1000)
    suspicion = Suspicion("x", 1, low, 6 * low, 0)
    assert (low, suspicion.deadline_ms()) == (3000, 18_000)
    assert not suspicion.confirm("x")
    assert suspicion.confirm("y")
    assert suspicion.deadline_ms() == 3000
    assert not suspicion.confirm("z")


def test_suspicion_grows_with_the_pool() -> None:
    assert suspicion_timeout_ms(4, 1, 1000) == suspicion_timeout_ms(4, 10, 1000) == 4000
    assert suspicion_timeout_ms(4, 100, 1000) == 8000
    assert suspicion_timeout_ms(4, 50, 1000) == 4 * 1698


def test_confirmed_suspicion_ends_early() -> None:
    bench = Bench()
    for number in range(2, 12):
        bench.add(f"n{number}", number)
    bench.receive(*(Suspect(1, "n5", f"n{accuser}") for accuser in (2, 3, 4)))
    bench.wait(4300)
    assert bench.status("n5") is MemberStatus.FAILED


def test_awareness_stays_in_its_range() -> None:
    awareness = Awareness(8)
    awareness.adjust(-1)
    assert awareness.scale(1000) == 1000
    awareness.adjust(99)
    assert awareness.scale(1000) == 8000


def test_nacks_spare_our_own_health() -> None:
    for nacks, score in ((0, 3), (3, 0)):
        bench = Bench()
        for number in range(2, 7):
            bench.add(f"n{number}", number)
        bench.wait(1000)
        ping = next(message for _, message in bench.sent if isinstance(message, Ping))
        while not any(isinstance(message, IndirectPing) for _, message in bench.sent):
            bench.wait(10)
        for _ in range(nacks):
            bench.receive(Nack(ping.sequence))
        while bench.state(ping.node) is NodeState.ALIVE:
            bench.wait(10)
        assert bench.swim.awareness.score == score


# --- broadcasts ---


def test_least_sent_then_largest_then_newest_goes_first() -> None:
    queue = BroadcastQueue(100)
    for message in (b"old", b"longer", b"new", b"far too long for this"):
        queue.put(message)
    assert queue.take(8 + 5, 10, 3) == [b"longer", b"new"]
    assert queue.take(8 + 5, 10, 3) == [b"old", b"longer"]


def test_message_is_sent_a_limited_number_of_times() -> None:
    queue = BroadcastQueue(100)
    done: list[str] = []
    queue.put(b"x", on_sent=lambda: done.append("x"))
    assert [queue.take(100, 10, 3) for _ in range(4)] == [[b"x"], [b"x"], [b"x"], []]
    assert done == ["x"]


def test_newer_message_of_a_name_replaces_the_older() -> None:
    queue = BroadcastQueue(100)
    done: list[str] = []
    queue.put(b"one", "n", lambda: done.append("one"))
    queue.put(b"two", "n")
    assert queue.take(100, 10, 3) == [b"two"]
    assert done == ["one"]


def test_full_queue_drops_what_was_sent_most() -> None:
    queue = BroadcastQueue(2)
    queue.put(b"a")
    queue.take(100, 10, 5)
    queue.put(b"b")
    queue.put(b"c")
    assert len(queue) == 2
    assert sorted(queue.take(100, 10, 5)) == [b"b", b"c"]
    assert queue.dropped == 1


def test_no_packet_exceeds_its_budget() -> None:
    bench = Bench(Settings(sealed_overhead_bytes=60))
    for number in range(2, 200):
        bench.receive(alive(f"node-with-a-long-name-{number}", number, 1, tag="t" * number))
        bench.do(SendUserEvent(number, f"event-{number}", bytes(number), False))
    bench.wait(20_000)
    sizes = [len(effect.packet) for effect in bench.effects if isinstance(effect, SendPacket)]
    assert max(sizes) <= 1340
    assert max(sizes) > 1300


# --- Serf ---


def test_intents_decide_between_left_and_failed() -> None:
    bench = Bench()
    for number, name in enumerate(("leaves", "fails"), 2):
        bench.add(name, number)
    bench.receive_serf(LeaveIntent(5, "leaves").encode())
    assert bench.status("leaves") is MemberStatus.LEAVING
    bench.receive(Dead(1, "leaves", "x"), Dead(1, "fails", "x"))
    assert bench.status("leaves") is MemberStatus.LEFT
    assert bench.status("fails") is MemberStatus.FAILED
    bench.receive_serf(LeaveIntent(6, "fails").encode())
    assert bench.status("fails") is MemberStatus.LEFT
    assert bench.kinds("fails")[-1] is MemberEventKind.LEAVE


def test_intent_that_comes_first_is_remembered() -> None:
    bench = Bench()
    bench.receive_serf(LeaveIntent(5, "n").encode())
    bench.receive_serf(JoinIntent(4, "n").encode())
    bench.add("n", 2)
    assert bench.status("n") is MemberStatus.LEAVING
    bench.receive_serf(JoinIntent(6, "n").encode())
    assert bench.status("n") is MemberStatus.ALIVE


def test_rumour_that_we_leave_is_refuted() -> None:
    bench = Bench()
    bench.add("n", 2)
    bench.receive_serf(LeaveIntent(50, "own").encode())
    assert bench.status("own") is MemberStatus.ALIVE
    bench.wait(1000)
    bodies = [message.encode()[1:] for _, message in bench.sent if message.encode()[:1] == b"\x08"]
    assert JoinIntent(51, "own") in [decode_serf(body) for body in bodies]


def test_leave_says_the_intent_first_and_then_dead() -> None:
    bench = Bench()
    bench.add("n", 2)
    bench.wait(3000)
    bench.sent.clear()
    bench.do(Leave(1))
    bench.do(Leave(2))
    bench.wait(10_000)
    said = [message for _, message in bench.sent if isinstance(message, Dead | User)]
    intents = [place for place, message in enumerate(said) if isinstance(message, User)]
    deaths = [place for place, message in enumerate(said) if isinstance(message, Dead) and message.node == "own"]
    assert intents
    assert deaths
    assert max(intents) < min(deaths)
    assert {CommandDone(1), CommandDone(2)} <= {effect for effect in bench.effects if isinstance(effect, CommandDone)}
    assert bench.status("own") is MemberStatus.LEFT
    bench.do(Join(3, PEER))
    assert bench.effects[-1] == CommandDone(3, "this agent has left the pool")
    bench.receive(Ping(9, "own"))
    assert isinstance(bench.sent[-1][1], Ack)


def test_new_tags_are_told_with_the_next_incarnation() -> None:
    bench = Bench()
    bench.add("n", 2)
    bench.do(SetTags(1, {"v": "2"}))
    assert CommandDone(1) not in bench.effects
    bench.wait(5000)
    assert CommandDone(1) in bench.effects
    told = [message for _, message in bench.sent if isinstance(message, Alive) and message.node == "own"]
    assert {(message.incarnation, message.meta) for message in told if message.incarnation > 1} == {
        (2, encode_tags({"v": "2"}))
    }
    assert bench.kinds("own") == [MemberEventKind.JOIN, MemberEventKind.UPDATE]


@pytest.mark.parametrize(("others", "interval_ms"), [(31, 30_000), (32, 60_000), (64, 90_000)])
def test_larger_pools_exchange_states_less_often(others: int, interval_ms: int) -> None:
    bench = Bench()
    for number in range(others):
        bench.add(f"n{number}", number + 2)
    assert bench.swim._exchanges.interval_ms() == interval_ms


def test_pruned_member_is_forgotten() -> None:
    bench = Bench()
    bench.add("n", 2)
    bench.receive(Dead(1, "n", "x"))
    bench.receive_serf(LeaveIntent(5, "n", True).encode())
    assert bench.status("n") is None
    assert bench.kinds("n")[-1] is MemberEventKind.REAP


def test_failed_member_is_called_on_now_and_then() -> None:
    bench = Bench()
    address = bench.add("n", 2)
    bench.receive(Dead(1, "n", "x"))
    bench.wait(120_000)
    dials = [effect for effect in bench.effects if isinstance(effect, Dial)]
    assert dials
    assert {dial.to for dial in dials} == {address}
    request = StreamDecoder().feed(dials[0].request)
    assert isinstance(request, PushPull)
    assert request.join


def test_leave_learnt_from_a_whole_state_beats_the_status_it_names() -> None:
    bench = Bench()
    bench.add("n", 2)
    bench.receive_serf(JoinIntent(5, "n").encode())
    bench.receive(Dead(1, "n", "x"))
    assert bench.status("n") is MemberStatus.FAILED
    state = SerfState(9, 1, 1, {"n": 5}, ["n"], {}).encode()
    bench.do(StreamReceived(1, PushPull((), state, False), PEER))
    assert bench.status("n") is MemberStatus.LEFT


def test_failed_and_left_are_reaped_in_time() -> None:
    bench = Bench(Settings(reconnect_timeout_ms=60_000, tombstone_timeout_ms=30_000))
    for number, name in enumerate(("left", "failed"), 2):
        bench.add(name, number)
    bench.receive(Dead(1, "left", "left"), Dead(1, "failed", "x"))
    bench.wait(46_000)
    assert bench.status("left") is None
    assert bench.status("failed") is MemberStatus.FAILED
    bench.wait(30_000)
    assert bench.status("failed") is None


def test_user_event_is_delivered_once_and_passed_on_as_it_was() -> None:
    bench = Bench()
    bench.add("n", 2)
    event = UserEventMessage(7, "deploy", b"v1").encode()
    bench.receive_serf(event)
    bench.receive_serf(event)
    assert bench.user_events() == [UserEvent("deploy", b"v1", 7)]
    bench.wait(1000)
    assert b"\x08" + event in [message.encode() for _, message in bench.sent]


def test_ancient_user_event_is_dropped() -> None:
    bench = Bench()
    bench.receive_serf(UserEventMessage(1000, "now", b"").encode())
    bench.receive_serf(UserEventMessage(400, "then", b"").encode())
    assert [event.name for event in bench.user_events()] == ["now"]


def test_query_ping_is_acknowledged_once() -> None:
    bench = Bench()
    ping = next(vector for vector in VECTORS if b"_serf_ping" in vector)
    for _ in range(2):
        bench.do(PacketReceived(ping, PEER))
    answers = [decode_serf(message.encode()[1:]) for to, message in bench.sent if to == Address("127.0.0.1", 45005)]
    assert answers == [QueryResponse(12, 796681885, "own", 1, None)]


def test_forged_lamport_time_does_not_wear_out_the_clock() -> None:
    clock = LamportClock()
    clock.witness((1 << 63) - 1)
    assert clock.time == 1
    clock.witness(41)
    assert clock.stamp() == 42


def test_ring_holds_a_bounded_number_for_one_time() -> None:
    ring: RecentRing[int] = RecentRing()
    assert sum(ring.admit(5, 6, item) for item in range(10_000)) == 256


# --- strangers ---


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=120), st.sampled_from(VECTORS)), max_size=8), st.randoms())
def test_no_packet_raises_out_of_a_step(packets: list[bytes], rng: random.Random) -> None:
    bench = Bench()
    for packet in packets:
        damaged = bytearray(packet)
        if damaged and rng.random() < 0.7:
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        bench.swim.step(PacketReceived(bytes(damaged), PEER), bench.now_ms)
        try:
            message = StreamDecoder().feed(bytes(damaged))
        except PeerProtocolError:
            continue
        if message is not None:
            bench.swim.step(StreamReceived(1, message, PEER), bench.now_ms)
    for _ in range(100):
        bench.now_ms += 400
        bench.swim.step(TimerFired(), bench.now_ms)
    assert bench.status("own") is MemberStatus.ALIVE


def test_idle_core_wakes_about_once_a_second() -> None:
    bench = Bench()
    bench.wait(5000)
    wakes = 0
    end = bench.now_ms + 60_000
    while (deadline := bench.swim.deadline_ms()) is not None and deadline < end:
        bench.now_ms = deadline
        bench.do(TimerFired())
        wakes += 1
    assert wakes <= 70
