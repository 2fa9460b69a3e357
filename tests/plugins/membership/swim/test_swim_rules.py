"""What alive, suspect and dead messages do, alone and in whole states."""

from __future__ import annotations

import pytest
from msgspec import structs

from consul_kernel.contracts.membership import Member, MemberEventKind, MemberStatus
from consul_kernel_swim.core.events import (
    Answer,
    StreamReceived,
)
from consul_kernel_swim.core.exchange import incompatibility
from consul_kernel_swim.core.messages import (
    Dead,
    IndirectPing,
    Nack,
    NodeState,
    Ping,
    RemoteNode,
    Suspect,
)
from consul_kernel_swim.core.serf_messages import (
    LeaveIntent,
)
from consul_kernel_swim.core.settings import Settings
from consul_kernel_swim.core.streams import PushPull, StreamDecoder
from consul_kernel_swim.core.suspicion import Awareness, Suspicion, suspicion_timeout_ms
from plugins.membership.swim.core_bench import PEER, VERSIONS, Bench, alive


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
    bench.receive(structs.replace(alive("n", 2), versions=versions))
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
    remote = [RemoteNode(NodeState.ALIVE, structs.replace(alive("n", 2), versions=versions))]
    assert incompatibility(remote, list(bench.swim.nodes)) == text


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
