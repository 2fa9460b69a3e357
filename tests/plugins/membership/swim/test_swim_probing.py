"""Probes, their helpers, and what their outcome does to our own health."""

from __future__ import annotations

from consul_kernel.contracts.membership import MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.events import (
    Answer,
    Dial,
    ReplyReceived,
    StreamReceived,
)
from consul_kernel_swim.core.messages import (
    Ack,
    IndirectPing,
    Nack,
    NodeState,
    Ping,
)
from consul_kernel_swim.core.streams import StreamDecoder
from plugins.membership.swim.core_bench import PEER, Bench


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
