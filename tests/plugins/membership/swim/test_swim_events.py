"""Events and intents in the core: coalescing, bounds, refutation, reaping, queues, and names that two agents claim."""

from __future__ import annotations

import pytest

from consul_kernel.contracts.membership import Member, MemberEventKind, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.broadcasts import BroadcastQueue
from consul_kernel_swim.core.events import GiveUp, Keep, Notify, PacketReceived, SendUserEvent, StreamReceived
from consul_kernel_swim.core.internal_messages import encode_conflict_response
from consul_kernel_swim.core.messages import Alive, Dead, Message
from consul_kernel_swim.core.query_messages import Query
from consul_kernel_swim.core.recent import RecentRing
from consul_kernel_swim.core.serf_messages import JoinIntent, LeaveIntent, SerfState, UserEventMessage
from consul_kernel_swim.core.settings import PROTOCOL_VERSIONS, Settings
from consul_kernel_swim.core.streams import PushPull
from consul_kernel_swim.core.tags import encode_tags
from plugins.membership.swim.serf_bench import OWN, PEER, SerfBench

JOIN, FAILED, UPDATE, LEAVE, REAP = (
    MemberEventKind.JOIN,
    MemberEventKind.FAILED,
    MemberEventKind.UPDATE,
    MemberEventKind.LEAVE,
    MemberEventKind.REAP,
)
COALESCING = Settings(coalesce_period_ms=3000, quiescent_period_ms=1000)


def hear(bench: SerfBench, *messages: Message) -> None:
    for message in messages:
        bench.do(PacketReceived(message.encode(), PEER))


def alive(name: str, number: int, incarnation: int, **tags: str) -> Alive:
    return Alive(incarnation, name, bytes((10, 0, 1, number)), 7946, encode_tags(tags), PROTOCOL_VERSIONS)


def event(time: int, name: str = "deploy", payload: bytes = b"", *, coalesce: bool = True) -> bytes:
    return UserEventMessage(time, name, payload, coalesce).encode()


# --- coalescing ---


def test_without_coalescing_everything_is_told_at_once() -> None:
    bench = SerfBench(others=1)
    hear(bench, Dead(1, "n1", "x"), alive("n1", 1, 2), Dead(2, "n1", "x"))
    assert bench.kinds("n1") == [JOIN, FAILED, JOIN, FAILED]
    assert not any(isinstance(effect, Keep) for effect in bench.effects)


def test_only_the_last_change_of_each_member_is_told() -> None:
    bench = SerfBench(COALESCING, others=2)
    hear(bench, Dead(1, "n1", "x"), alive("n1", 1, 2), Dead(2, "n1", "x"))
    assert bench.events() == []
    bench.wait(999)
    assert bench.events() == []
    bench.wait(1)
    assert (bench.kinds("own"), bench.kinds("n1"), bench.kinds("n2")) == ([JOIN], [FAILED], [JOIN])


def test_quantum_ends_when_its_period_does() -> None:
    bench = SerfBench(COALESCING)
    for number in range(1, 7):
        bench.wait(500)
        bench.add(f"n{number}", number)
    assert len(bench.events()) == 6
    assert bench.kinds("n6") == []
    bench.wait(999)
    assert bench.kinds("n6") == []
    bench.wait(1)
    assert bench.kinds("n6") == [JOIN]


def test_what_was_told_last_is_no_news_except_an_update() -> None:
    bench = SerfBench(COALESCING, others=1)
    bench.wait(1000)
    hear(bench, Dead(1, "n1", "x"), alive("n1", 1, 2))
    bench.wait(1000)
    assert bench.kinds("n1") == [JOIN]
    for incarnation in (3, 4):
        hear(bench, alive("n1", 1, incarnation, version=str(incarnation)))
        bench.wait(1000)
    assert bench.kinds("n1") == [JOIN, UPDATE, UPDATE]
    hear(bench, Dead(4, "n1", "x"))
    bench.receive(LeaveIntent(5, "n1", True).encode())
    bench.wait(1000)
    hear(bench, alive("n1", 1, 5))
    bench.wait(1000)
    assert bench.kinds("n1") == [JOIN, UPDATE, UPDATE, REAP, JOIN]


def test_every_change_is_kept_for_a_later_life_once() -> None:
    bench = SerfBench(COALESCING, others=1)
    hear(bench, Dead(1, "n1", "x"))
    bench.wait(1000)
    kept = [effect.event.kind for effect in bench.effects if isinstance(effect, Keep)]
    assert kept == [JOIN, JOIN, FAILED]
    assert all(effect.is_kept for effect in bench.effects if isinstance(effect, Notify))


def test_newest_user_event_of_a_name_is_told_where_its_sender_allows_it() -> None:
    bench = SerfBench(Settings(user_coalesce_period_ms=3000, user_quiescent_period_ms=1000), others=1)
    bench.receive(event(5, payload=b"old"))
    bench.receive(event(7, payload=b"new"))
    bench.receive(event(7, payload=b"new too"))
    bench.receive(event(6, payload=b"between"))
    bench.receive(event(3, "restart", b"one"))
    bench.receive(event(4, payload=b"at once", coalesce=False))
    assert bench.user_events() == [("deploy", b"at once")]
    bench.wait(1000)
    assert bench.user_events()[1:] == [("deploy", b"new"), ("deploy", b"new too"), ("restart", b"one")]
    assert bench.kinds("n1") == [JOIN], "members are told at once all the same"


def test_gathered_events_are_bounded() -> None:
    bench = SerfBench(Settings(user_coalesce_period_ms=10_000, user_quiescent_period_ms=5_000))
    for number in range(5000):
        bench.receive(event(1 + number // 200, f"name-{number}"))
    assert len(bench.user_events()) == 4097


# --- limits of user events ---


def test_user_event_must_fit_into_a_packet() -> None:
    bench = SerfBench(Settings(user_event_bytes_max=9216), others=1)
    bench.do(SendUserEvent(1, "large", bytes(1500), False))
    assert bench.error(1) == "a user event of 1535 bytes does not fit into a packet"
    assert bench.user_events() == []
    assert bench.swim.lamport_times()[1] == 0


def test_remembered_events_are_bounded_in_bytes_and_told_once() -> None:
    ring: RecentRing[str] = RecentRing(1000)
    assert all(ring.admit(time, time + 1, "first", 100) for time in range(1, 11))
    assert ring.admit(11, 12, "large", 300)
    assert sorted(ring.items()) == list(range(4, 12))
    assert [time for time in range(1, 12) if ring.admit(time, 12, "second", 100)] == [4, 5, 6, 7, 8, 9, 10, 11]
    assert ring.minimum_time == 8
    assert sorted(ring.items()) == list(range(8, 12))
    assert not any(ring.admit(time, 12, "third", 100) for time in range(1, 8))


def test_slot_that_is_taken_over_is_no_longer_counted() -> None:
    ring: RecentRing[str] = RecentRing(1000)
    for time in range(1, 5000, 512):
        assert ring.admit(time, time + 1, "x", 400)
        assert ring.admit(time, time + 1, "y", 400)
    assert len(ring.items()) == 1
    assert ring.minimum_time == 0


# --- intents ---


def test_rumour_that_we_leave_is_answered_by_a_join_with_a_later_time() -> None:
    bench = SerfBench(others=1)
    bench.receive(LeaveIntent(50, "own").encode())
    bench.receive(LeaveIntent(50, "own").encode())
    bench.wait(2000)
    assert bench.status("own") is MemberStatus.ALIVE
    intents = {message for message in bench.serf_sent() if isinstance(message, JoinIntent | LeaveIntent)}
    assert intents == {JoinIntent(51, "own")}


def test_a_leave_learnt_from_a_whole_state_is_told_to_whoever_is_there_and_may_contradict_it() -> None:
    """It was forced upon a member that could not be reached, which therefore has not heard of it."""
    bench = SerfBench(others=1)
    state = SerfState(9, 1, 1, {"late": 5}, ["late"], {}).encode()
    bench.do(StreamReceived(1, PushPull((), state, False), PEER))
    bench.wait(2000)
    assert not [message for message in bench.serf_sent() if isinstance(message, LeaveIntent)]
    bench.add("late", 2)
    assert bench.status("late") is MemberStatus.LEAVING
    bench.wait(2000)
    assert {message for message in bench.serf_sent() if isinstance(message, LeaveIntent)} == {LeaveIntent(6, "late")}
    bench.receive(JoinIntent(7, "late").encode())
    assert bench.status("late") is MemberStatus.ALIVE


def test_intents_about_strangers_are_passed_on_once_and_forgotten_in_time() -> None:
    bench = SerfBench(Settings(recent_intent_timeout_ms=60_000), others=1)
    for intent in (LeaveIntent(9, "new"), LeaveIntent(9, "new"), JoinIntent(8, "new"), LeaveIntent(10, "new")):
        bench.receive(intent.encode())
    bench.wait(2000)
    passed_on = [message for message in bench.serf_sent() if isinstance(message, JoinIntent | LeaveIntent)]
    assert set(passed_on) == {LeaveIntent(9, "new"), LeaveIntent(10, "new")}
    bench.add("new", 2)
    assert bench.status("new") is MemberStatus.LEAVING
    bench.receive(LeaveIntent(20, "later").encode())
    bench.wait(75_000)
    bench.add("later", 3)
    assert bench.status("later") is MemberStatus.ALIVE


def test_intents_about_strangers_are_bounded() -> None:
    bench = SerfBench()
    for number in range(5000):
        bench.receive(LeaveIntent(9, f"forged-{number}").encode())
    bench.add("forged-0", 1)
    bench.add("forged-4999", 2)
    assert bench.status("forged-0") is MemberStatus.ALIVE
    assert bench.status("forged-4999") is MemberStatus.LEAVING


def test_pruned_member_that_is_leaving_stays_until_its_leave_has_spread() -> None:
    bench = SerfBench(others=1)
    bench.receive(LeaveIntent(5, "n1", True).encode())
    hear(bench, Dead(1, "n1", "n1"))
    assert bench.status("n1") is MemberStatus.LEFT
    bench.wait(7999)
    assert bench.status("n1") is MemberStatus.LEFT
    bench.wait(1)
    assert bench.status("n1") is None
    assert bench.kinds("n1") == [JOIN, LEAVE, REAP]


# --- reaping ---


def test_member_may_ask_for_another_time_until_it_is_forgotten() -> None:
    def asked_for(member: Member) -> int | None:
        return int(member.tags["rc_tm"]) if "rc_tm" in member.tags else None

    bench = SerfBench(
        Settings(reconnect_timeout_ms=60_000, tombstone_timeout_ms=90_000), reconnect_timeout_of=asked_for
    )
    for number, (name, tags) in enumerate(
        {
            "short": {"rc_tm": "20000"},
            "long": {"rc_tm": "200000"},
            "plain": {},
            "left": {},
            "left-short": {"rc_tm": "1"},
        }.items(),
        1,
    ):
        hear(bench, alive(name, number, 1, **tags), Dead(1, name, name if name.startswith("left") else "accuser"))
    listed = []
    for _ in range(4):
        bench.wait(30_000)
        listed.append({member.name for member in bench.swim.members()} - {"own"})
    assert listed == [{"long", "plain", "left"}, {"long", "plain", "left"}, {"long", "left"}, {"long"}]
    bench.wait(120_000)
    assert bench.status("long") is None
    assert all(bench.kinds(name)[-1] is REAP for name in ("short", "long", "plain", "left", "left-short"))


# --- queues ---


def test_long_queues_are_reported_and_hold_two_messages_for_each_member() -> None:
    bench = SerfBench(Settings(queue_depth_min=150, queue_depth_warning=128, queue_check_interval_ms=30_000))
    for number in range(127):
        bench.receive(event(1, f"name-{number}", coalesce=False))
    bench.wait(30_000)
    assert bench.warnings() == []
    for number in range(200):
        bench.receive(event(2, f"name-{number}", coalesce=False))
    bench.wait(30_000)
    assert bench.warnings() == ["Event queue depth: 150"]
    members = 100
    queue = BroadcastQueue(150, lambda: members)
    for number in range(300):
        queue.put(f"message {number}".encode())
    assert (len(queue), queue.dropped) == (200, 100)
    members = 10
    queue.purge(0)
    assert (len(queue), queue.dropped) == (150, 150)


def test_expired_message_is_dropped_and_its_sender_told() -> None:
    queue = BroadcastQueue(10)
    done: list[str] = []
    queue.put(b"old", on_sent=lambda: done.append("old"), expires_ms=1000)
    queue.put(b"kept")
    queue.purge(999)
    assert len(queue) == 2
    queue.purge(1000)
    assert queue.take(100, 10, 3) == [b"kept"]
    assert (done, queue.dropped) == (["old"], 0)


# --- two agents of one name ---


def claim(bench: SerfBench) -> Query | None:
    """Another agent says that it has our name; the question that follows."""
    hear(bench, Alive(9, "own", b"\x0a\x00\x01\x63", 7946, encode_tags({}), PROTOCOL_VERSIONS))
    bench.wait(1000)
    return bench.asked()[-1] if bench.asked() else None


def give_ups(bench: SerfBench) -> list[str]:
    return [effect.reason for effect in bench.effects if isinstance(effect, GiveUp)]


def known_at(address: Address) -> bytes:
    return encode_conflict_response(Member(name="own", address=address, tags={}, status=MemberStatus.ALIVE))


def test_conflict_is_only_counted_where_nobody_asked_for_more() -> None:
    bench = SerfBench(others=3)
    assert claim(bench) is None
    assert bench.swim.counters["name_conflicts"] == 1
    assert give_ups(bench) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "unknown", "stays"),
    [(2, 1, 0, True), (1, 0, 0, True), (1, 1, 0, False), (2, 1, 1, False), (0, 3, 0, False), (0, 0, 0, False)],
)
def test_whom_the_majority_knows_stays(ours: int, theirs: int, unknown: int, stays: bool) -> None:
    bench = SerfBench(Settings(resolve_name_conflicts=True), others=5)
    query = claim(bench)
    assert query is not None
    assert (query.name, query.payload) == ("_serf_conflict", b"own")
    claim(bench)
    answers = [known_at(OWN)] * ours + [known_at(Address("10.0.1.99", 7946))] * theirs + [b"\x06\xc0"] * unknown
    for number, payload in enumerate(answers, 1):
        bench.respond(query, f"n{number}", payload)
    bench.respond(query, "liar", b"nonsense")
    bench.wait(3000)
    assert len(bench.asked()) == 1
    assert (give_ups(bench) == []) is stays
