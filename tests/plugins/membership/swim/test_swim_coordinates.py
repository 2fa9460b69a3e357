"""Network coordinates: what is measured, what comes of it, and what strangers can do to it."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.contracts.transport import Address
from consul_kernel.structs.coordinate import DIMENSIONS, Coordinate
from consul_kernel_swim.core.coordinates import Coordinates, decode_coordinate, encode_coordinate
from consul_kernel_swim.core.events import Dial, PacketReceived, ReplyReceived, TimerFired
from consul_kernel_swim.core.messages import Ack, Dead, IndirectPing, Ping
from consul_kernel_swim.core.serf_messages import LeaveIntent
from consul_kernel_swim.core.settings import Settings
from consul_kernel_swim.core.vivaldi import Vivaldi, is_valid
from plugins.membership.swim.core_bench import PEER, Bench

AWAY = Coordinate(vec=[0.01, 0.02, *[0.0] * 6], error=0.5, height=0.001)


# --- the algorithm ---


def place(rng: random.Random, scale_s: float) -> tuple[float, float, float]:
    """A point of a plane, and what its own line adds to each way."""
    return rng.uniform(0, scale_s), rng.uniform(0, scale_s), rng.uniform(0.01, 0.1) * scale_s


def median_error(scale_s: float, noise: float, seed: int) -> float:
    """How far, in part, the estimate of the median pair is off, of 24 agents that have each measured 600 times."""
    rng = random.Random(seed)
    places = [place(rng, scale_s) for _ in range(24)]
    agents = [Vivaldi(random.Random(seed + number)) for number in range(24)]

    def round_trip_s(a: int, b: int) -> float:
        (ax, ay, a_line), (bx, by, b_line) = places[a], places[b]
        return math.hypot(ax - bx, ay - by) + a_line + b_line

    for _ in range(600):
        for a in range(24):
            b = rng.randrange(23)
            b += b >= a
            measured_s = round_trip_s(a, b) * (1 + noise * rng.expovariate(1.0))
            assert agents[a].update(str(b), agents[b].coordinate, measured_s)
    errors = [
        abs(agents[a].coordinate.distance_s(agents[b].coordinate) - round_trip_s(a, b)) / round_trip_s(a, b)
        for a in range(24)
        for b in range(a)
    ]
    return statistics.median(errors)


@pytest.mark.parametrize(
    ("scale_s", "noise", "bound"),
    [
        pytest.param(0.1, 0.0, 0.03, id="continents"),
        pytest.param(0.1, 0.1, 0.12, id="continents, noisy"),
        pytest.param(0.0005, 0.0, 0.03, id="one building, below a millisecond"),
    ],
)
def test_estimates_of_a_made_up_network_come_close(scale_s: float, noise: float, bound: float) -> None:
    assert median_error(scale_s, noise, 5) < bound


def test_first_measurement_moves_away_by_an_eighth_of_it() -> None:
    vivaldi = Vivaldi(random.Random(1))
    assert vivaldi.update("n", Coordinate(), 0.1)
    moved = vivaldi.coordinate
    # Equal errors give a weight of one half, of which a quarter is the force: one eighth of what is missing.
    assert math.hypot(*moved.vec) == pytest.approx((0.1 - 20e-6) / 8, rel=1e-6)
    assert moved.error == pytest.approx(1.5 * 7 / 8 + (0.1 - 20e-6) / 0.1 / 8)
    assert moved.height == 10e-6
    assert moved.adjustment == pytest.approx((0.1 - math.hypot(*moved.vec) - 20e-6) / 40, rel=1e-6)


def test_single_slow_answer_counts_for_nothing() -> None:
    calm, disturbed = Vivaldi(random.Random(1)), Vivaldi(random.Random(1))
    for number in range(40):
        calm.update("n", AWAY, 0.030)
        disturbed.update("n", AWAY, 5.0 if number == 20 else 0.030)
    assert disturbed.coordinate == calm.coordinate


def test_pool_that_drifted_is_drawn_back_to_the_origin() -> None:
    a, b = Vivaldi(random.Random(1)), Vivaldi(random.Random(2))
    for vivaldi in (a, b):
        vivaldi.coordinate = Coordinate(vec=[100.0, *[0.0] * 7], error=0.1)
    for _ in range(100):
        a.update("b", b.coordinate, 0.01)
        b.update("a", a.coordinate, 0.01)
    assert a.coordinate.vec[0] < 80
    assert a.coordinate.distance_s(b.coordinate) < 0.1


@pytest.mark.parametrize("round_trip_s", [-1e-6, 10.1, math.inf, math.nan])
def test_what_is_no_round_trip_is_refused(round_trip_s: float) -> None:
    vivaldi = Vivaldi(random.Random(1))
    assert not vivaldi.update("n", AWAY, round_trip_s)
    assert vivaldi.coordinate == Coordinate()


NUMBERS = st.one_of(
    st.floats(),
    st.floats(-10.0, 10.0),
    st.sampled_from((0.0, -0.0, 1e308, -1e308, 5e-324, 9.2e9, 9e9, -9e9, 1e12, math.inf, -math.inf, math.nan)),
)
COORDINATES = st.builds(
    Coordinate,
    vec=st.one_of(st.lists(NUMBERS, min_size=8, max_size=8), st.lists(NUMBERS, max_size=10)),
    error=NUMBERS,
    adjustment=NUMBERS,
    height=NUMBERS,
)


@settings(max_examples=150)
@given(st.lists(st.tuples(COORDINATES, st.one_of(NUMBERS, st.floats(0.0, 10.0))), max_size=12), st.integers(0, 99))
def test_no_peer_makes_our_coordinate_invalid(measurements: list[tuple[Coordinate, float]], seed: int) -> None:
    vivaldi = Vivaldi(random.Random(seed))
    for other, round_trip_s in measurements:
        vivaldi.update("n", other, round_trip_s)
        assert is_valid(vivaldi.coordinate)
        assert vivaldi.coordinate.error <= 1.5
    # Whatever it was, honest peers bring us back.
    honest = Coordinate(error=0.1)
    for _ in range(100):
        vivaldi.update("honest", honest, 0.02)
    assert vivaldi.coordinate.distance_s(honest) == pytest.approx(0.02, abs=0.02)


def test_coordinate_that_overflows_begins_anew_and_is_counted() -> None:
    vivaldi = Vivaldi(random.Random(1))
    far = Coordinate(vec=[3e9] * DIMENSIONS, error=1e-9)
    while vivaldi.resets == 0:
        assert vivaldi.update("n", far, 10.0)
    assert vivaldi.coordinate == Coordinate()


# --- on the wire ---


@given(COORDINATES)
def test_payload_reads_as_it_was_written(coordinate: Coordinate) -> None:
    again = decode_coordinate(encode_coordinate(coordinate))
    assert again is not None
    assert encode_coordinate(again) == encode_coordinate(coordinate)


@given(st.binary(max_size=200))
def test_payload_that_makes_no_sense_is_none(payload: bytes) -> None:
    assert decode_coordinate(b"\x02" + payload) is None
    known = Coordinates(random.Random(1), "own", kept=True, members_max=10)
    known.measured("n", payload, 1_000)
    known.measured("n", b"\x01" + payload, 1_000)
    own = known.of("")
    assert own is not None
    assert is_valid(own)


def test_cache_is_bounded_and_forgets() -> None:
    known = Coordinates(random.Random(1), "own", kept=True, members_max=10)
    payload = encode_coordinate(AWAY)
    assert [known.measured(f"n{number}", payload, 1_000) for number in range(12)] == [True] * 10 + [False] * 2
    assert known.of("n3") == AWAY
    known.forget("n3")
    assert known.of("n3") is None
    assert known.measured("n11", payload, 1_000)


def test_what_was_handed_out_does_not_change() -> None:
    known = Coordinates(random.Random(1), "own", kept=True, members_max=10)
    before = known.of("own")
    known.measured("n", encode_coordinate(AWAY), 30_000)
    assert before == Coordinate()
    assert known.of("") == known.of("own") != before


# --- in the core ---


def probed(bench: Bench) -> Ping:
    """Let time pass until a probe goes out; its ping."""
    bench.sent.clear()
    bench.until(lambda: bench.has_sent(Ping))
    return next(message for _, message in bench.sent if isinstance(message, Ping))


def test_round_trip_is_measured_below_a_millisecond() -> None:
    bench = Bench()
    bench.add("n", 2)
    at_us = 7_000_000_000
    for round_trip_us in (300, 300, 300):
        bench.sent.clear()
        while not bench.has_sent(Ping):
            deadline = bench.swim.deadline_ms()
            assert deadline is not None
            bench.now_ms = max(bench.now_ms, deadline)
            bench.note(bench.swim.step(TimerFired(), bench.now_ms, at_us))
        ping = next(message for _, message in bench.sent if isinstance(message, Ping))
        ack = Ack(ping.sequence, encode_coordinate(Coordinate())).encode()
        # The step comes late: what counts is when the packet arrived.
        event = PacketReceived(ack, PEER, at_us + round_trip_us)
        bench.note(bench.swim.step(event, bench.now_ms, at_us + 90_000))
        at_us += 1_000_000
    own, other = bench.swim.coordinates.of(""), bench.swim.coordinates.of("n")
    assert own is not None
    assert other is not None
    assert 0 < own.distance_s(other) < 300e-6


def test_our_coordinate_goes_with_acks_over_packets() -> None:
    bench = Bench()
    bench.add("n", 2)
    bench.receive(Ack(probed(bench).sequence, encode_coordinate(AWAY)))
    assert bench.swim.coordinates.of("n") == AWAY
    own = bench.swim.coordinates.of("")
    assert own is not None
    assert own != Coordinate()
    bench.receive(Ping(5, "own"))
    assert (PEER, Ack(5, encode_coordinate(own))) in bench.sent


def test_answers_that_did_not_come_directly_measure_nothing() -> None:
    bench = Bench()
    for number in range(2, 7):
        bench.add(f"n{number}", number)
    ping = probed(bench)
    bench.until(lambda: bench.has_sent(IndirectPing))
    dial = next(effect for effect in bench.effects if isinstance(effect, Dial))
    bench.do(ReplyReceived(dial.dial_id, Ack(ping.sequence, encode_coordinate(AWAY))))
    bench.receive(Ack(ping.sequence, encode_coordinate(AWAY)))
    assert bench.swim.coordinates.of(ping.node) is None
    assert bench.swim.coordinates.of("") == Coordinate()


@pytest.mark.parametrize("payload", [None, b"", b"\x02abc", b"\x01\xc1", encode_coordinate(Coordinate(vec=[1.0]))])
def test_ack_counts_whatever_its_payload_is(payload: bytes | None) -> None:
    bench = Bench()
    bench.add("n", 2)
    bench.receive(Ack(probed(bench).sequence, payload))
    bench.wait(900)
    assert bench.swim.counters["probes_failed"] == 0
    assert bench.swim.counters["coordinates_refused"] == (1 if payload else 0)
    assert bench.swim.coordinates.of("n") is None


def test_coordinate_of_a_forgotten_member_is_dropped() -> None:
    bench = Bench()
    bench.add("n", 2)
    bench.receive(Ack(probed(bench).sequence, encode_coordinate(AWAY)))
    bench.receive(Dead(1, "n", "x"))
    assert bench.swim.coordinates.of("n") == AWAY
    bench.receive_serf(LeaveIntent(5, "n", True).encode())
    assert bench.status("n") is None
    assert bench.swim.coordinates.of("n") is None


def test_switched_off_acks_have_no_payload_and_nothing_is_kept() -> None:
    bench = Bench(Settings(coordinates=False))
    bench.add("n", 2)
    bench.receive(Ack(probed(bench).sequence, encode_coordinate(AWAY)))
    bench.receive(Ping(5, "own", Address("10.0.0.7", 99)))
    assert (Address("10.0.0.7", 99), Ack(5, None)) in bench.sent
    assert bench.swim.coordinates.of("") is None
    assert bench.swim.coordinates.of("n") is None
    assert bench.swim.counters["coordinates_refused"] == 0


def test_resets_are_among_the_figures() -> None:
    assert Bench().swim.stats()["coordinate_resets"] == "0"
