"""What alive, suspect and dead messages do, alone and in whole states."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec import structs

from consul_kernel.contracts.membership import Member, MemberEventKind, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.events import Answer, SendUserEvent, StreamReceived, Warn
from consul_kernel_swim.core.messages import (
    Dead,
    IndirectPing,
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
from consul_kernel_swim.core.versions import SpokenVersions
from plugins.membership.swim.core_bench import OWN, PEER, VERSIONS, Bench, alive


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


def incompatibility(remote: Sequence[RemoteNode], bench: Bench) -> str | None:
    """Why a peer's state does not go with ours, or None."""
    spoken = SpokenVersions()
    for entry in remote:
        spoken.add(entry.alive.node, entry.alive.versions, is_alive=entry.state is NodeState.ALIVE)
    for node in bench.swim.nodes:
        spoken.add(node.name, node.versions, is_alive=node.state is NodeState.ALIVE)
    return spoken.incompatibility()


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
    assert incompatibility(remote, bench) == text


# --- addresses and names ---


def test_each_second_address_of_a_name_is_told_once_and_counted() -> None:
    bench = Bench()
    bench.add("n", 2)
    for _ in range(3):
        bench.receive(alive("n", 3, 2), alive("n", 4, 2), structs.replace(alive("n", 2, 2), port=1))
    told = [effect.text for effect in bench.effects if isinstance(effect, Warn)]
    assert told == [
        f"two agents are named 'n': at 10.0.1.2:7946 and at {other}"
        for other in ("10.0.1.3:7946", "10.0.1.4:7946", "10.0.1.2:1")
    ]
    assert bench.swim.counters["name_conflicts"] == 9
    for number in range(100):
        bench.receive(structs.replace(alive("n", 2, 2), port=1000 + number))
    assert len(bench.swim._rules._conflicts_told) == 64


def test_another_agent_with_our_name_is_told_and_not_refuted() -> None:
    bench = Bench()
    bench.receive(alive("own", 5, 9))
    assert bench.swim.counters["name_conflicts"] == 1
    assert bench.swim.nodes.own.incarnation == 1
    assert bench.swim.local_member().address == OWN


def test_newcomer_with_our_name_is_noticed_by_an_agent_that_has_refuted_before() -> None:
    bench = Bench()
    bench.receive(Suspect(7, "own", "x"))
    assert bench.swim.nodes.own.incarnation == 8
    bench.receive(alive("own", 5, 1))
    assert bench.swim.counters["name_conflicts"] == 1
    assert bench.swim.nodes.own.incarnation == 8


def test_dead_name_is_never_reclaimed_where_the_time_is_0() -> None:
    bench = Bench(Settings(dead_node_reclaim_ms=0))
    bench.add("n", 2)
    bench.receive(Dead(1, "n", "x"))
    bench.now_ms += 29_000_000
    bench.receive(alive("n", 3, 2))
    assert bench.status("n") is MemberStatus.FAILED


def test_reclaimed_name_begins_with_an_incarnation_of_its_own() -> None:
    bench = Bench()
    bench.receive(alive("n", 2, 50), Dead(50, "n", "x"))
    bench.now_ms += 30_001
    bench.receive(alive("n", 3, 1))
    node = bench.swim.nodes.get("n")
    assert node is not None
    assert (node.incarnation, node.state, str(node.address)) == (1, NodeState.ALIVE, "10.0.1.3:7946")


def test_address_mapped_into_ipv6_is_the_same_address() -> None:
    bench = Bench()
    bench.add("n", 2)
    mapped = bytes(10) + b"\xff\xff" + bytes((10, 0, 1, 2))
    bench.receive(structs.replace(alive("n", 2, 2), host=mapped))
    assert bench.swim.counters["name_conflicts"] == 0
    node = bench.swim.nodes.get("n")
    assert node is not None
    assert (node.incarnation, node.host) == (2, bytes((10, 0, 1, 2)))


def test_ipv6_address_is_kept_whole() -> None:
    bench = Bench()
    bench.receive(structs.replace(alive("n", 2), host=bytes(15) + b"\x07"))
    assert next(member for member in bench.swim.members() if member.name == "n").address == Address("::7", 7946)


@pytest.mark.parametrize("over_stream", [False, True])
def test_port_0_stands_for_our_own(over_stream: bool) -> None:
    bench = Bench()
    message = structs.replace(alive("n", 2), port=0)
    if over_stream:
        bench.do(StreamReceived(1, PushPull((RemoteNode(NodeState.ALIVE, message),), b"", False), PEER))
    else:
        bench.receive(message)
    assert next(member for member in bench.swim.members() if member.name == "n").address == Address("10.0.1.2", 7946)


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_node_without_a_usable_name_is_ignored(name: str) -> None:
    bench = Bench()
    bench.receive(alive(name, 2))
    assert len(bench.swim.members()) == 1
    assert bench.swim.counters["alive_malformed"] == 1


def test_meta_of_512_bytes_is_the_most() -> None:
    bench = Bench()
    bench.receive(structs.replace(alive("most", 2), meta=b"r" * 512))
    bench.receive(structs.replace(alive("more", 3), meta=b"r" * 513))
    assert bench.status("most") is MemberStatus.ALIVE
    assert bench.status("more") is None


# --- who is told ---


def targets(bench: Bench) -> set[Address]:
    return {to for to, message in bench.sent if not isinstance(message, Ping | IndirectPing)}


def test_recently_dead_are_told_that_they_may_refute_and_the_left_are_not() -> None:
    bench = Bench(Settings(probe_interval_ms=1_000_000))
    dead, left, there = bench.add("dead", 2), bench.add("left", 3), bench.add("there", 4)
    bench.receive(Dead(1, "dead", "x"), Dead(1, "left", "left"))
    bench.wait(29_000)
    bench.sent.clear()
    bench.do(SendUserEvent(1, "first", b"", False))
    bench.wait(1_000)
    assert {dead, there} <= targets(bench)
    assert left not in targets(bench)
    bench.wait(1_000)
    bench.sent.clear()
    bench.do(SendUserEvent(2, "second", b"", False))
    bench.wait(2_000)
    assert targets(bench) == {there}


def test_whoever_is_gone_for_long_leaves_the_table_at_the_end_of_a_round() -> None:
    bench = Bench()
    for number, name in enumerate(("dead", "left"), 2):
        bench.add(name, number)
    bench.receive(Dead(1, "dead", "x"), Dead(1, "left", "left"))
    bench.wait(29_000)
    assert len(bench.swim.nodes) == 3
    bench.wait(3_000)
    assert [node.name for node in bench.swim.nodes] == ["own"]
    assert (bench.status("dead"), bench.status("left")) == (MemberStatus.FAILED, MemberStatus.LEFT)


def test_return_is_a_join_and_new_tags_are_an_update() -> None:
    bench = Bench()
    bench.add("n", 2)
    bench.receive(alive("n", 2, 2, v="2"), Dead(2, "n", "x"), alive("n", 2, 3, v="3"))
    assert bench.kinds("n") == [
        MemberEventKind.JOIN,
        MemberEventKind.UPDATE,
        MemberEventKind.FAILED,
        MemberEventKind.JOIN,
    ]


# --- versions of two pools ---


def test_versions_of_the_dead_count_for_what_they_speak_but_not_for_what_they_could() -> None:
    own = Bench()
    narrow = structs.replace(alive("n", 2), versions=bytes((2, 2, 2, 2, 5, 4)))
    old = structs.replace(alive("m", 3), versions=bytes((1, 1, 1, 2, 5, 4)))
    dead = [RemoteNode(NodeState.ALIVE, narrow), RemoteNode(NodeState.DEAD, old)]
    assert incompatibility(dead, own) == "Node 'm' protocol version (1) is incompatible: [2, 2]"
    assert incompatibility([RemoteNode(NodeState.DEAD, narrow), RemoteNode(NodeState.DEAD, old)], own) is None
    short = structs.replace(old, versions=b"\x09\x09\x09")
    assert incompatibility([RemoteNode(NodeState.ALIVE, short)], own) is None


def test_merge_of_incompatible_pools_takes_nothing_over() -> None:
    bench = Bench()
    bad = structs.replace(alive("bad", 2), versions=bytes((6, 7, 6, 2, 5, 4)))
    nodes = (RemoteNode(NodeState.ALIVE, alive("good", 3)), RemoteNode(NodeState.ALIVE, bad))
    effects = bench.do(StreamReceived(1, PushPull(nodes, b"", False), PEER))
    assert any(isinstance(effect, Answer) and effect.reply for effect in effects)
    assert len(bench.swim.members()) == 1
    assert bench.swim.counters["merges_refused"] == 1
    assert any(isinstance(effect, Warn) and "incompatible" in effect.text for effect in effects)
