"""Probes, their helpers, and what their outcome does to our own health."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from msgspec import structs

from consul_kernel.contracts.membership import MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.events import (
    Answer,
    Dial,
    Leave,
    ReplyReceived,
    SendPacket,
    StreamReceived,
)
from consul_kernel_swim.core.messages import (
    Ack,
    Alive,
    Dead,
    IndirectPing,
    Message,
    MessageType,
    Nack,
    NodeState,
    Ping,
    Suspect,
    decode_message,
)
from consul_kernel_swim.core.nodes import Node, NodeTable
from consul_kernel_swim.core.packets import split_packet
from consul_kernel_swim.core.settings import Settings
from consul_kernel_swim.core.streams import StreamDecoder
from plugins.membership.swim.core_bench import OWN, PEER, Bench, alive


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


# --- what a probe sends ---


def probes(bench: Bench, name: str) -> list[tuple[SendPacket, list[Message]]]:
    """The packets that hold a ping of one node, with their messages."""
    found = []
    for effect in bench.effects:
        if isinstance(effect, SendPacket):
            messages = [decode_message(part) for part in split_packet(effect.packet)[0]]
            if any(isinstance(message, Ping) and message.node == name for message in messages):
                found.append((effect, messages))
    return found


def run_to_probe(bench: Bench, name: str) -> tuple[SendPacket, list[Message]]:
    """Let time pass until the next probe of a node."""
    known = len(probes(bench, name))
    bench.until(lambda: len(probes(bench, name)) > known)
    return probes(bench, name)[-1]


@pytest.mark.parametrize(("highest", "checksum"), [(4, False), (5, True)])
def test_suspect_is_told_so_with_its_ping_that_it_may_refute(highest: int, checksum: bool) -> None:
    bench = Bench()
    bench.receive(structs.replace(alive("n", 2, 3), versions=bytes((1, highest, 2, 2, 5, 4))))
    bench.receive(Suspect(3, "n", "x"))
    packet, messages = run_to_probe(bench, "n")
    assert isinstance(messages[0], Ping)
    assert messages[1] == Suspect(3, "n", "own")
    assert (packet.packet[0] == MessageType.HAS_CRC) is checksum


def test_plain_pings_and_acks_go_without_checksum() -> None:
    bench = Bench()
    bench.add("n", 2)
    packet, _ = run_to_probe(bench, "n")
    assert packet.packet[0] in (MessageType.PING, MessageType.COMPOUND)
    bench.receive(Ping(5, "own"))
    assert isinstance(bench.effects[-1], SendPacket)
    assert bench.effects[-1].packet[0] in (MessageType.ACK, MessageType.COMPOUND)


def test_news_ride_on_pings_acks_requests_and_nacks() -> None:
    bench = Bench(Settings(gossip_interval_ms=1_000_000, retransmit_mult=50))
    for number in range(2, 7):
        bench.add(f"n{number}", number)
    bench.receive(Ping(5, "own"), IndirectPing(77, "t", Address("10.0.9.9", 7946), True))
    bench.wait(2_000)
    kinds = set()
    for effect in bench.effects:
        if isinstance(effect, SendPacket):
            messages = [decode_message(part) for part in split_packet(effect.packet)[0]]
            if any(isinstance(message, Alive) for message in messages[1:]):
                kinds.add(type(messages[0]))
    assert kinds == {Ping, Ack, IndirectPing, Nack}


def test_refutation_during_a_probe_is_not_undone_by_its_end() -> None:
    """The accusation is about the incarnation that was probed, so that a newer one is not suspected."""
    bench = Bench()
    bench.receive(alive("n", 2, 3))
    run_to_probe(bench, "n")
    bench.receive(alive("n", 2, 4))
    bench.wait(1_200)
    assert bench.swim.counters["probes_failed"] == 1
    assert bench.state("n") is NodeState.ALIVE
    run_to_probe(bench, "n")
    bench.wait(1_200)
    assert bench.state("n") is NodeState.SUSPECT


@pytest.mark.parametrize(("highest", "nack"), [(3, False), (4, True)])
def test_nack_is_wanted_from_those_who_can(highest: int, nack: bool) -> None:
    bench = Bench()
    for number in range(2, 7):
        bench.receive(structs.replace(alive(f"n{number}", number), versions=bytes((1, highest, 2, 2, 5, 4))))
    bench.wait(1_600)
    requests = [message for _, message in bench.sent if isinstance(message, IndirectPing)]
    assert {request.nack for request in requests} == {nack}
    bench.wait(1_000)
    assert bench.swim.awareness.score == (len(requests) if nack else 1)


@pytest.mark.parametrize(("highest", "allowed", "dials"), [(2, True, 0), (3, True, 1), (5, False, 0)])
def test_stream_is_tried_together_with_the_helpers(highest: int, allowed: bool, dials: int) -> None:
    bench = Bench(Settings(tcp_pings=allowed))
    for number in range(2, 7):
        bench.receive(structs.replace(alive(f"n{number}", number), versions=bytes((1, highest, 2, 2, 5, 4))))
    bench.until(lambda: bench.has_sent(IndirectPing))
    target = next(message.node for _, message in bench.sent if isinstance(message, IndirectPing))
    request = next(message for _, message in bench.sent if isinstance(message, IndirectPing))
    found = [effect for effect in bench.effects if isinstance(effect, Dial)]
    assert len(found) == dials
    for dial in found:
        ping = StreamDecoder().feed(dial.request)
        assert isinstance(ping, Ping)
        assert (ping.node, ping.sequence) == (target, request.sequence)
        assert dial.timeout_ms == 500


def test_helpers_are_alive_and_neither_the_target_nor_we() -> None:
    bench = Bench()
    for number in range(2, 12):
        bench.add(f"n{number}", number)
    bench.receive(*(Dead(1, f"n{number}", "x") for number in (2, 3, 4)), Suspect(1, "n5", "x"))
    bench.wait(20_000)
    asked = [(to, message) for to, message in bench.sent if isinstance(message, IndirectPing)]
    assert len(asked) >= 3
    useless = {Address(f"10.0.1.{number}", 7946) for number in (2, 3, 4)} | {OWN}
    for to, request in asked:
        assert to not in useless | {request.target}


# --- late and unknown answers ---


def test_ack_after_the_nack_is_passed_on_while_the_requester_waits() -> None:
    bench = Bench()
    target = Address("10.0.1.5", 7946)
    bench.receive(IndirectPing(77, "t", target, True))
    ping = next(message for to, message in bench.sent if to == target and isinstance(message, Ping))
    bench.wait(700)
    assert (PEER, Nack(77)) in bench.sent
    bench.receive(Ack(ping.sequence))
    assert (PEER, Ack(77)) in bench.sent
    bench.sent.clear()
    bench.receive(Ack(ping.sequence))
    assert bench.sent == []


def test_ack_after_the_requester_has_given_up_is_dropped() -> None:
    bench = Bench()
    target = Address("10.0.1.5", 7946)
    bench.receive(IndirectPing(77, "t", target, True))
    ping = next(message for to, message in bench.sent if to == target and isinstance(message, Ping))
    bench.wait(1_000)
    bench.receive(Ack(ping.sequence))
    assert (PEER, Ack(77)) not in bench.sent


def test_indirect_ack_after_nacks_saves_the_node() -> None:
    bench = Bench()
    for number in range(2, 7):
        bench.add(f"n{number}", number)
    bench.until(lambda: bench.has_sent(IndirectPing))
    request = next(message for _, message in bench.sent if isinstance(message, IndirectPing))
    bench.receive(Nack(request.sequence), Ack(request.sequence))
    bench.wait(400)
    assert bench.state(request.node) is NodeState.ALIVE
    assert bench.swim.awareness.score == 0


def test_answers_that_nobody_waits_for_change_nothing() -> None:
    bench = Bench()
    bench.add("n", 2)
    run_to_probe(bench, "n")
    sequence = next(message.sequence for _, message in bench.sent if isinstance(message, Ping))
    bench.receive(Ack(sequence + 7), Nack(sequence), Nack(sequence + 1))
    bench.wait(1_100)
    assert bench.state("n") is NodeState.SUSPECT
    bench.receive(Ack(sequence))
    assert bench.state("n") is NodeState.SUSPECT
    assert bench.swim.awareness.score == 1


def test_helped_pings_are_bounded() -> None:
    bench = Bench()
    for number in range(1_100):
        bench.receive(IndirectPing(number, "t", Address("10.0.1.5", 7946), True))
    assert bench.swim.counters["indirect_pings_refused"] == 76
    bench.wait(1_000)
    bench.receive(IndirectPing(1, "t", Address("10.0.1.5", 7946), True))
    assert bench.swim.counters["indirect_pings_refused"] == 76


def test_indirect_ping_without_a_port_takes_our_own() -> None:
    bench = Bench()
    bench.receive(IndirectPing(77, "t", Address("10.0.1.5", 0), False))
    assert bench.sent[0][0] == Address("10.0.1.5", OWN.port)


# --- rounds and health ---


def make_table(seed: int, names: Iterable[str]) -> NodeTable:
    table = NodeTable("own", random.Random(seed))
    for number, name in enumerate(names):
        node = Node(alive(name, number), 0)
        node.set_state(NodeState.ALIVE, 0)
        table.add(node)
    return table


def next_names(table: NodeTable, count: int) -> list[str]:
    return [node.name for node in (table.next_to_probe(0, 0) for _ in range(count)) if node is not None]


def test_each_round_is_in_another_order_and_holds_everybody_once() -> None:
    names = [f"n{number}" for number in range(8)]
    table = make_table(1, names)
    rounds = [next_names(table, 8) for _ in range(5)]
    assert all(sorted(one) == names for one in rounds)
    assert len(set(map(tuple, rounds))) == 5


def test_newcomers_have_a_random_place_in_the_rest_of_the_round() -> None:
    places = set()
    for seed in range(60):
        table = make_table(seed, [f"n{number}" for number in range(10)])
        assert len(next_names(table, 5)) == 5
        newcomer = Node(alive("new", 10), 0)
        newcomer.set_state(NodeState.ALIVE, 0)
        table.add(newcomer)
        places.add(next_names(table, 6).index("new"))
    assert places == set(range(6))


def test_slow_agent_probes_less_often_but_waits_no_longer_for_a_first_answer() -> None:
    bench = Bench()
    for number in range(2, 7):
        bench.add(f"n{number}", number)
    for _ in range(3):
        bench.receive(Suspect(bench.swim.nodes.own.incarnation, "own", "x"))
    assert bench.swim.awareness.score == 3
    bench.until(lambda: bench.has_sent(Ping))
    began = bench.now_ms
    bench.until(lambda: bench.has_sent(IndirectPing))
    assert bench.now_ms - began == 500
    target = next(message.node for _, message in bench.sent if isinstance(message, IndirectPing))
    bench.until(lambda: bench.state(target) is not NodeState.ALIVE)
    assert bench.now_ms - began == 4_000


def test_probe_that_takes_longer_than_its_interval_is_followed_at_once() -> None:
    """As a ticker that remembers one tick: the next probe starts when the last one ends."""
    bench = Bench()
    for number in range(2, 7):
        bench.add(f"n{number}", number)
    bench.receive(Suspect(1, "own", "x"))
    bench.until(lambda: bench.swim.counters["probes_failed"] == 1)
    pinged_at = [effect for effect in bench.effects if isinstance(effect, SendPacket)]
    last = [decode_message(part) for part in split_packet(pinged_at[-1].packet)[0]]
    assert any(isinstance(message, Ping) for message in last)


def test_agent_that_left_probes_and_gossips_no_more_accusations() -> None:
    bench = Bench()
    bench.add("n", 2)
    bench.do(Leave(1))
    bench.wait(20_000)
    bench.sent.clear()
    bench.wait(10_000)
    assert not [message for _, message in bench.sent if isinstance(message, Ping | IndirectPing | Suspect)]
