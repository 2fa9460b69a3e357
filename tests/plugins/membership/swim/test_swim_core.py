"""The core's rules, one step at a time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.membership import MemberEventKind, MemberStatus, UserEvent
from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.broadcasts import BroadcastQueue
from consul_kernel_swim.core.events import (
    CommandDone,
    Dial,
    Join,
    Leave,
    PacketReceived,
    SendPacket,
    SendUserEvent,
    SetTags,
    StreamReceived,
    TimerFired,
)
from consul_kernel_swim.core.lamport import LamportClock
from consul_kernel_swim.core.messages import (
    Ack,
    Alive,
    Dead,
    Ping,
    User,
)
from consul_kernel_swim.core.query_messages import QueryResponse
from consul_kernel_swim.core.recent import RecentRing
from consul_kernel_swim.core.serf_messages import (
    JoinIntent,
    LeaveIntent,
    SerfState,
    UserEventMessage,
    decode_serf,
)
from consul_kernel_swim.core.settings import Settings
from consul_kernel_swim.core.streams import PushPull, StreamDecoder
from consul_kernel_swim.core.tags import encode_tags
from plugins.membership.swim.core_bench import PEER, VECTORS, Bench, alive

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


def test_leave_of_an_earlier_life_is_not_believed_for_ever() -> None:
    """It has the time of the new life's join, which therefore does not contradict it."""
    bench = Bench(Settings(probe_interval_ms=10_000_000))
    bench.add("n", 2)
    bench.receive_serf(LeaveIntent(5, "n").encode())
    bench.receive_serf(JoinIntent(5, "n").encode())
    bench.wait(15_000)
    assert bench.status("n") is MemberStatus.LEAVING
    bench.wait(16_000)
    assert bench.status("n") is MemberStatus.ALIVE
    assert bench.swim.counters["leaves_not_meant"] == 1


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


@settings(max_examples=300)
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
