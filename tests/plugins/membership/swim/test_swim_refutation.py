"""Whatever is said about us, in whatever order: we are alive, at an incarnation above what was said."""

from __future__ import annotations

from itertools import permutations

import pytest
from msgspec import structs

from consul_kernel.contracts.membership import MemberStatus
from consul_kernel_swim.core.events import Leave, StreamReceived
from consul_kernel_swim.core.messages import Alive, Dead, Message, NodeState, RemoteNode, Suspect
from consul_kernel_swim.core.settings import PROFILES
from consul_kernel_swim.core.streams import PushPull
from consul_kernel_swim.core.tags import encode_tags
from consul_kernel_swim.core.wire import U32_MAX
from plugins.membership.swim.core_bench import PEER, Bench

OWN_HOST = bytes((10, 0, 0, 1))
OWN_VERSIONS = PROFILES["lan"].versions


def about_us(incarnation: int, meta: bytes | None = None) -> Alive:
    """An alive message as it would be ours."""
    return Alive(incarnation, "own", OWN_HOST, 7946, encode_tags({}) if meta is None else meta, OWN_VERSIONS)


def told_states(bench: Bench) -> list[Alive]:
    """What we have said of ourselves, in order."""
    return [message for _, message in bench.sent if isinstance(message, Alive) and message.node == "own"]


ACCUSATIONS: dict[str, Message | RemoteNode] = {
    "suspect": Suspect(6, "own", "x"),
    "dead": Dead(6, "own", "x"),
    "left, forged": Dead(6, "own", "own"),
    "other tags": about_us(6, encode_tags({"forged": "yes"})),
    "suspect in a state": RemoteNode(NodeState.SUSPECT, about_us(6)),
    "dead in a state": RemoteNode(NodeState.DEAD, about_us(6)),
    "left in a state": RemoteNode(NodeState.LEFT, about_us(6)),
    "alive in a state": RemoteNode(NodeState.ALIVE, about_us(6)),
}


def accuse(bench: Bench, accusation: Message | RemoteNode) -> None:
    if isinstance(accusation, RemoteNode):
        bench.do(StreamReceived(1, PushPull((accusation,), b"", False), PEER))
    else:
        bench.receive(accusation)


@pytest.mark.parametrize("what", ACCUSATIONS)
def test_each_accusation_is_outdone_by_one(what: str) -> None:
    bench = Bench()
    bench.add("n", 2)
    accuse(bench, ACCUSATIONS[what])
    assert bench.swim.nodes.own.incarnation == 7
    assert bench.swim.awareness.score == 1
    assert bench.status("own") is MemberStatus.ALIVE
    bench.wait(1_000)
    assert told_states(bench)[-1] == about_us(7)


@pytest.mark.parametrize("order", list(permutations(["suspect", "dead", "left in a state", "other tags"])))
def test_accusations_in_any_order_end_alive_and_above(order: tuple[str, ...]) -> None:
    bench = Bench()
    bench.add("n", 2)
    for step, what in enumerate(order):
        accusation = ACCUSATIONS[what]
        if isinstance(accusation, RemoteNode):
            accuse(bench, RemoteNode(accusation.state, about_us(6 + step)))
        else:
            assert isinstance(accusation, Suspect | Dead | Alive)
            accuse(bench, structs.replace(accusation, incarnation=6 + step))
    assert bench.swim.nodes.own.incarnation > 6 + len(order) - 1
    assert bench.status("own") is MemberStatus.ALIVE


def test_what_is_older_than_we_are_is_ignored() -> None:
    bench = Bench()
    bench.receive(Suspect(9, "own", "x"))
    for accusation in (Suspect(9, "own", "x"), Dead(9, "own", "x"), about_us(9, encode_tags({"old": "yes"}))):
        bench.receive(accusation)
    assert bench.swim.nodes.own.incarnation == 10
    assert bench.swim.counters["refutations"] == 1


def test_our_own_word_that_comes_back_is_no_accusation() -> None:
    bench = Bench()
    bench.receive(about_us(1), about_us(0))
    assert bench.swim.nodes.own.incarnation == 1
    assert bench.swim.counters["refutations"] == 0


def test_our_word_of_an_earlier_life_is_outdone() -> None:
    """After a restart the pool knows a higher incarnation than ours: theirs must not hide what is new."""
    bench = Bench()
    bench.receive(about_us(40, encode_tags({"life": "1"})))
    assert bench.swim.nodes.own.incarnation == 41


def test_highest_incarnation_but_one_can_be_refuted_and_the_highest_not() -> None:
    bench = Bench()
    bench.receive(Suspect(U32_MAX - 1, "own", "x"))
    assert bench.swim.nodes.own.incarnation == U32_MAX
    for accusation in (Suspect(U32_MAX, "own", "x"), Dead(U32_MAX, "own", "x"), about_us(U32_MAX, b"r")):
        bench.receive(accusation)
    assert bench.swim.nodes.own.incarnation == U32_MAX
    assert bench.swim.counters["incarnation_exhausted"] == 3
    assert bench.status("own") is MemberStatus.ALIVE


# --- while leaving and after ---


def leaving(bench: Bench, *, said_dead: bool) -> None:
    """Begin to leave, and go on until the intent, or SWIM's dead as well, is out."""
    bench.do(Leave(1))
    bench.until(lambda: bench.swim._rules.has_left is said_dead)


def test_accusation_while_the_intent_is_being_sent_is_still_refuted() -> None:
    bench = Bench()
    bench.add("n", 2)
    leaving(bench, said_dead=False)
    bench.receive(Dead(6, "own", "x"))
    assert bench.swim.nodes.own.incarnation == 7
    bench.wait(20_000)
    assert bench.status("own") is MemberStatus.LEFT
    assert Dead(7, "own", "own") in [message for _, message in bench.sent]


@pytest.mark.parametrize("what", ACCUSATIONS)
def test_who_has_left_stays_left_and_refutes_nothing(what: str) -> None:
    bench = Bench()
    bench.add("n", 2)
    bench.wait(3_000)
    leaving(bench, said_dead=True)
    before = bench.swim.nodes.own.incarnation
    accuse(bench, ACCUSATIONS[what])
    bench.wait(20_000)
    assert bench.state("own") is NodeState.LEFT
    assert bench.status("own") is MemberStatus.LEFT
    assert bench.swim.nodes.own.incarnation == before


def test_who_has_left_still_answers_with_its_state() -> None:
    bench = Bench()
    bench.add("n", 2)
    leaving(bench, said_dead=True)
    bench.wait(20_000)
    bench.do(StreamReceived(9, PushPull((), b"", False), PEER))
    (answer,) = bench.answers(9)
    assert {node.alive.node: node.state for node in answer.nodes}["own"] is NodeState.LEFT
