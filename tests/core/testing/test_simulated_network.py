"""What the simulated network and clocks do beyond what the gossip of the suite meets."""

from __future__ import annotations

import random

from consul_kernel.testing.simulation import Clock, Conditions, Fault, Network, NetworkFaults

STEADY = Conditions(delay_ms=(5, 5))


def test_a_lag_delays_one_direction_until_it_is_mended() -> None:
    network = Network(random.Random(1), STEADY)
    lag = network.lag(["a"], ["b"], 100)
    assert network.delays_ms("a", "b") == (105,)
    assert network.delays_ms("b", "a") == network.delays_ms("a", "c") == (5,)
    assert network.stream_delay_ms("a", "b") == 105
    network.lag(["a"], ["b", "c"], 10)
    assert network.delays_ms("a", "b") == (115,)
    network.mend(lag)
    assert network.delays_ms("a", "b") == (15,)
    network.become_calm(STEADY)
    assert network.delays_ms("a", "b") == (5,)


def test_a_lag_is_a_fault_that_ends() -> None:
    network = Network(random.Random(1), STEADY)
    strike = NetworkFaults(network, lambda: ["a", "b", "c"]).strikes()["lag"]
    undo = strike(Fault(at_ms=0, length_ms=10, kind="lag", seed=1), random.Random(1))
    pairs = [(one, other) for one in "abc" for other in "abc" if one != other]
    assert any(network.delays_ms(*pair) != (5,) for pair in pairs)
    assert undo is not None
    undo()
    assert all(network.delays_ms(*pair) == (5,) for pair in pairs)


def test_a_clock_that_goes_on_at_another_rate_shows_the_same_at_that_moment() -> None:
    clock = Clock(1_000, 1.0)
    faster = clock.at_rate(1.05, 10_000)
    assert faster.now_ms(10_000) == clock.now_ms(10_000)
    assert faster.now_ms(20_000) - faster.now_ms(10_000) == 10_500
    slower = faster.at_rate(0.95, 20_000)
    assert slower.now_ms(20_000) == faster.now_ms(20_000)
    assert slower.now_ms(30_000) - slower.now_ms(20_000) == 9_500
    assert slower.now_ms(slower.world_ms(50_000)) >= 50_000
