"""Push/pull in turns: whatever a peer sends, a step stays short, and what others want is done between."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.membership import Member, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.backlog import UNITS_PER_TURN, Backlog, Job
from consul_kernel_swim.core.events import (
    Answer,
    CommandDone,
    Dial,
    Effect,
    Join,
    Notify,
    PacketReceived,
    ReplyReceived,
    SetTags,
    StreamReceived,
    TimerFired,
    Warn,
)
from consul_kernel_swim.core.exchange import TOO_MANY
from consul_kernel_swim.core.messages import Ack, Alive, Dead, NodeState, Ping, RemoteNode, Suspect
from consul_kernel_swim.core.serf_messages import JoinIntent, SerfState, decode_serf_state
from consul_kernel_swim.core.settings import Settings
from consul_kernel_swim.core.streams import PushPull, StreamDecoder
from plugins.membership.swim.core_bench import PEER, VERSIONS, Bench, alive

CHANGES_MAX = UNITS_PER_TURN // 16 + 8
"""So many members change in one step at most: those of a turn, and the last few that go beyond it."""


def far(number: int, incarnation: int = 1, name: str = "") -> Alive:
    host = bytes((10, 5, number >> 8, number & 255))
    return msgspec.structs.replace(alive(name or f"far-{number}", 1, incarnation), host=host)


def state_of(count: int, *, join: bool = False, user_state: bytes = b"", incarnation: int = 1) -> PushPull:
    nodes = tuple(RemoteNode(NodeState.ALIVE, far(number, incarnation)) for number in range(count))
    return PushPull(nodes, user_state, join)


def turns(bench: Bench) -> list[list[Effect]]:
    """Let the core work without any time passing; what each step did."""
    done = []
    while (deadline := bench.swim.deadline_ms()) is not None and deadline <= bench.now_ms:
        done.append(bench.do(TimerFired()))
    return done


def changes(effects: list[Effect]) -> int:
    return sum(isinstance(effect, Notify) for effect in effects)


# --- a large state ---


@pytest.mark.parametrize("join", [False, True])
def test_large_state_is_merged_in_short_steps(join: bool) -> None:
    bench = Bench()
    first = bench.do(StreamReceived(1, state_of(2_000, join=join), PEER))
    steps = [first, *turns(bench)]
    assert len(bench.swim.members()) == 2_001
    assert max(map(changes, steps)) <= CHANGES_MAX
    assert len(steps) >= 2_000 // CHANGES_MAX
    assert bench.swim.stats()["exchange_queue"] == "0"


def test_checks_of_a_join_are_short_steps_too() -> None:
    asked = 0
    most = 0

    def accept(member: Member) -> str | None:
        nonlocal asked
        asked += 1
        return "the last one is a stranger" if member.name == "far-1999" else None

    bench = Bench(accept=accept)
    bench.do(StreamReceived(1, state_of(2_000, join=True), PEER))
    most = asked
    while (deadline := bench.swim.deadline_ms()) is not None and deadline <= bench.now_ms:
        before = asked
        bench.do(TimerFired())
        most = max(most, asked - before)
    assert asked == 2_000
    assert most <= UNITS_PER_TURN // 6 + 1
    assert len(bench.swim.members()) == 1
    assert [effect.text for effect in bench.effects if isinstance(effect, Warn)] == [
        "member refused: the last one is a stranger",
        "a peer's state was not merged: the last one is a stranger",
    ]


def test_others_are_served_while_a_large_state_is_merged() -> None:
    bench = Bench()
    bench.do(StreamReceived(1, state_of(2_000), PEER))
    bench.do(PacketReceived(Ping(5, "own").encode(), PEER))
    assert bench.has_sent(Ack)
    small = PushPull((RemoteNode(NodeState.ALIVE, far(9_999, name="urgent")),), b"", False)
    bench.do(StreamReceived(2, small, PEER))
    while bench.status("urgent") is None:
        bench.do(TimerFired())
    assert len(bench.swim.members()) < 500
    assert len(bench.answers(2)) == 1
    turns(bench)
    assert len(bench.swim.members()) == 2_002


def test_news_between_the_turns_is_not_undone_by_the_rest() -> None:
    bench = Bench()
    nodes = (*state_of(2_000).nodes, RemoteNode(NodeState.ALIVE, far(3_000, name="late")))
    bench.do(StreamReceived(1, PushPull(nodes, b"", False), PEER))
    bench.receive(far(3_000, 5, name="late"), Dead(5, "late", "x"))
    turns(bench)
    assert bench.status("late") is MemberStatus.FAILED


def test_answer_is_our_state_as_it_was_before() -> None:
    bench = Bench()
    bench.add("known", 2)
    bench.do(StreamReceived(1, state_of(2_000), PEER))
    turns(bench)
    (answer,) = bench.answers(1)
    assert {node.alive.node for node in answer.nodes} == {"own", "known"}
    bench.do(StreamReceived(2, PushPull((), b"", True), PEER))
    assert bench.answers(2) == []
    turns(bench)
    (answer,) = bench.answers(2)
    assert len(answer.nodes) == 2_002
    assert answer.join


def test_join_is_done_when_all_is_merged() -> None:
    bench = Bench()
    bench.do(Join(7, PEER))
    (dial,) = [effect for effect in bench.effects if isinstance(effect, Dial)]
    bench.do(ReplyReceived(dial.dial_id, state_of(2_000, join=True)))
    assert CommandDone(7) not in bench.effects
    steps = turns(bench)
    assert CommandDone(7) in steps[-1]
    assert len(bench.swim.members()) == 2_001


def test_own_state_of_a_large_pool_is_written_in_turns_for_a_join_as_well() -> None:
    bench = Bench()
    bench.do(StreamReceived(1, state_of(2_000), PEER))
    turns(bench)
    bench.do(Join(7, PEER))
    assert not [effect for effect in bench.effects if isinstance(effect, Dial)]
    turns(bench)
    (dial,) = [effect for effect in bench.effects if isinstance(effect, Dial)]
    request = StreamDecoder().feed(dial.request)
    assert isinstance(request, PushPull)
    assert len(request.nodes) == 2_001


def test_serfs_part_is_merged_in_turns() -> None:
    bench = Bench()
    times = {f"far-{number}": 40 + number for number in range(2_000)}
    state = SerfState(9_000, 1, 1, times, ["far-5"], {}).encode()
    bench.do(StreamReceived(1, state_of(2_000, user_state=state), PEER))
    steps = turns(bench)
    assert bench.status("far-5") is MemberStatus.LEAVING
    assert bench.swim.serf.roster.status_times()["far-1999"] == 40 + 1_999
    quiet = [effects for effects in steps if changes(effects) == 0]
    assert len(quiet) >= 2_000 // UNITS_PER_TURN


def test_serfs_part_that_cannot_be_read_is_left_out() -> None:
    bench = Bench()
    bench.do(StreamReceived(1, state_of(3, user_state=b"\x02\xc1"), PEER))
    assert bench.swim.counters["malformed"] == 1
    assert len(bench.swim.members()) == 4
    bench.do(Join(7, PEER))
    dial = next(effect for effect in bench.effects if isinstance(effect, Dial))
    bench.do(ReplyReceived(dial.dial_id, state_of(3, user_state=b"\x02\xc1")))
    assert CommandDone(7) in bench.effects
    assert bench.swim.counters["malformed"] == 2
    assert any("not msgpack" in effect.text for effect in bench.effects if isinstance(effect, Warn))


def test_state_of_another_upper_layer_is_left_out() -> None:
    bench = Bench()
    bench.do(StreamReceived(1, state_of(3, user_state=b"another"), PEER))
    assert len(bench.swim.members()) == 4
    assert bench.swim.counters["malformed"] == 1


# --- how much may wait ---


def test_more_nodes_than_twice_the_members_do_not_wait() -> None:
    bench = Bench(Settings(members_max=1_000))
    bench.do(StreamReceived(1, state_of(1_500), PEER))
    effects = bench.do(StreamReceived(2, state_of(600), PEER))
    assert effects[0] == Answer(2, None)
    assert bench.swim.counters["exchanges_refused"] == 1
    bench.do(StreamReceived(3, state_of(400), PEER))
    turns(bench)
    assert len(bench.answers(3)) == 1
    bench.do(StreamReceived(4, state_of(600), PEER))
    turns(bench)
    assert len(bench.answers(4)) == 1


def test_reply_that_finds_no_room_fails_the_join() -> None:
    bench = Bench(Settings(members_max=1_000))
    bench.do(Join(7, PEER))
    dial = next(effect for effect in bench.effects if isinstance(effect, Dial))
    bench.do(StreamReceived(1, state_of(1_500), PEER))
    bench.do(ReplyReceived(dial.dial_id, state_of(600, join=True)))
    assert CommandDone(7, TOO_MANY) in bench.effects


def test_jobs_are_bounded_and_take_turns() -> None:
    env = Bench().swim._env
    backlog = Backlog(env, 1_000_000)
    course: list[tuple[str, int]] = []

    def job(name: str) -> Job:
        for turn in range(3):
            course.append((name, turn))
            backlog.spend(UNITS_PER_TURN)
            yield

    assert all(backlog.start(job(f"job-{number}"), 1) for number in range(256))
    assert not backlog.start(job("one too many"), 1)
    assert course == []
    for _ in range(3 * 256 + 256):
        env.timers.run_due(env.now_ms)
    assert len(backlog) == 0
    assert [turn for _, turn in course] == sorted(turn for _, turn in course)
    assert len(course) == 3 * 256


def test_job_that_raises_is_dropped_and_the_others_go_on() -> None:
    env = Bench().swim._env
    backlog = Backlog(env, 10)
    course: list[str] = []

    def job(*, fails: bool) -> Job:
        yield
        if fails:
            raise RuntimeError("a fault of ours")
        course.append("done")

    assert backlog.start(job(fails=True), 9)
    assert backlog.start(job(fails=False), 1)

    def run_turns(count: int) -> None:
        for _ in range(count):
            env.timers.run_due(env.now_ms)

    with pytest.raises(RuntimeError, match="ours"):
        run_turns(3)
    run_turns(2)
    assert course == ["done"]
    assert len(backlog) == 0
    assert backlog.start(job(fails=False), 10), "what it held is free again"
    assert backlog.start(job(fails=False), 0)
    assert not backlog.start(job(fails=False), 1)


def test_state_of_too_many_nodes_is_refused_by_its_header() -> None:
    encoded = state_of(20).encode()
    assert StreamDecoder(nodes_max=20).feed(encoded) == state_of(20)
    with pytest.raises(PeerProtocolError, match="Nodes"):
        StreamDecoder(nodes_max=19).feed(encoded[:60])


# --- lines that are written once ---


def test_line_follows_every_change() -> None:
    bench = Bench()
    bench.add("n", 2)

    def check() -> None:
        for node in bench.swim.nodes:
            assert node.line() == RemoteNode(node.state, node.to_alive()).encode()
            assert node.is_written()

    check()
    for message in (
        Suspect(1, "own", "x"),
        Suspect(1, "n", "x"),
        alive("n", 2, 2),
        alive("n", 2, 3, v="2"),
        Dead(5, "n", "x"),
        alive("n", 2, 6),
        Dead(6, "n", "n"),
        alive("n", 3, 1),
    ):
        bench.receive(message)
        check()
    bench.do(SetTags(1, {"v": "2"}))
    check()


@settings(max_examples=100)
@given(
    st.dictionaries(st.text(max_size=8), st.integers(0, (1 << 63) - 1), max_size=5),
    st.lists(st.text(max_size=8), max_size=5),
    st.dictionaries(
        st.integers(0, 511), st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=9)), min_size=1, max_size=2)
    ),
)
def test_serfs_part_reads_as_it_was_written(
    times: dict[str, int], left: list[str], events: dict[int, list[tuple[str, bytes]]]
) -> None:
    state = SerfState(3, 4, 5, times, left, events)
    assert decode_serf_state(state.encode()) == state


def test_serfs_part_in_the_shapes_that_go_takes_as_well() -> None:
    array = b"\x02" + msgspec.msgpack.encode([7, {"n": 3}, ["n"], 8, None, 9])
    assert decode_serf_state(array) == SerfState(7, 8, 9, {"n": 3}, ["n"], {})
    nil = b"\x02" + msgspec.msgpack.encode({"LTime": 7, "StatusLTimes": None, "LeftMembers": None, "Events": None})
    assert decode_serf_state(nil + b"trailing") == SerfState(7, 0, 0, {}, [], {})
    with pytest.raises(PeerProtocolError):
        decode_serf_state(b"\x02" + msgspec.msgpack.encode({"StatusLTimes": {"n": 1 << 63}}))


def test_intents_of_unknown_members_are_remembered_in_a_large_state() -> None:
    bench = Bench()
    state = SerfState(9, 1, 1, {"later": 4}, ["later"], {}).encode()
    bench.do(StreamReceived(1, PushPull((), state, False), PEER))
    bench.receive(alive("later", 2))
    assert bench.status("later") is MemberStatus.LEAVING
    bench.receive_serf(JoinIntent(6, "later").encode())
    assert bench.status("later") is MemberStatus.ALIVE
    assert VERSIONS
    assert Address("10.0.1.2", 7946) in {member.address for member in bench.swim.members()}
