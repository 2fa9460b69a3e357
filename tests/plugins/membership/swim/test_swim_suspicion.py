"""Lifeguard's part: how long a suspicion lasts, who shortens it, and how well we feel."""

from __future__ import annotations

import pytest

from consul_kernel.contracts.membership import MemberStatus
from consul_kernel_swim.core.messages import Dead, IndirectPing, Nack, NodeState, Ping, Suspect
from consul_kernel_swim.core.settings import Settings
from consul_kernel_swim.core.suspicion import Awareness, Suspicion, suspicion_timeout_ms
from plugins.membership.swim.core_bench import Bench, alive


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


# --- confirmations ---


def pool_of(count: int) -> Bench:
    """A core that knows `count` nodes, itself included, and probes nobody."""
    bench = Bench(Settings(probe_interval_ms=1_000, push_pull_interval_ms=10_000_000))
    for number in range(2, count + 1):
        bench.add(f"n{number}", number)
    bench.wait(900)
    bench.sent.clear()
    return bench


def deadline_of(bench: Bench, name: str) -> int:
    """After how many ms the suspicion of a node runs out."""
    suspicion = bench.swim._rules._suspicions[name]
    return suspicion.deadline_ms() - suspicion.since_ms


@pytest.mark.parametrize(
    ("count", "accusers", "seconds"),
    [
        (3, ["a"], 4.0),  # n - 2 < k: nobody could confirm, so the shortest time at once
        (3, ["a", "b"], 4.0),
        (4, ["a"], 24.0),  # k = 2: the longest time as long as nobody confirms
        (4, ["a", "a", "a"], 24.0),  # the first accuser does not confirm itself
        (4, ["a", "b"], 11.381),
        (4, ["a", "b", "b"], 11.381),
        (4, ["a", "b", "c"], 4.0),
        (4, ["a", "b", "c", "d", "e"], 4.0),
    ],
)
def test_suspicion_shortens_with_distinct_accusers(count: int, accusers: list[str], seconds: float) -> None:
    bench = pool_of(count)
    for accuser in accusers:
        bench.receive(Suspect(1, "n2", accuser))
    assert deadline_of(bench, "n2") / 1000 == seconds


def test_confirmations_are_passed_on_and_repeated_accusations_are_not() -> None:
    bench = pool_of(8)
    bench.receive(*(Suspect(1, "n2", accuser) for accuser in ("a", "a", "b", "b", "c", "d")))
    # Each takes the place of the one before: what is passed on last is the last one that was news.
    bench.wait(1_000)
    told = [message for _, message in bench.sent if isinstance(message, Suspect) and message.accuser != "own"]
    assert {message.accuser for message in told} == {"c"}


def test_late_confirmation_ends_a_suspicion_at_once() -> None:
    bench = pool_of(12)
    bench.receive(Suspect(1, "n5", "a"))
    bench.wait(6_000)
    assert bench.status("n5") is MemberStatus.ALIVE
    bench.receive(Suspect(1, "n5", "b"), Suspect(1, "n5", "c"))
    assert bench.status("n5") is MemberStatus.FAILED


def test_repeated_accusation_does_not_restart_the_suspicion() -> None:
    bench = pool_of(4)
    bench.receive(Suspect(1, "n2", "a"), Suspect(1, "n2", "b"), Suspect(1, "n2", "c"))
    for _ in range(4):
        bench.wait(999)
        bench.receive(Suspect(1, "n2", "a"), Suspect(1, "n2", "d"))
        assert bench.status("n2") is MemberStatus.ALIVE
    bench.wait(4)
    assert bench.status("n2") is MemberStatus.FAILED


def test_refuted_suspicion_leaves_no_timer_behind() -> None:
    bench = pool_of(4)
    bench.receive(Suspect(1, "n2", "a"), Suspect(1, "n2", "b"), Suspect(1, "n2", "c"), alive("n2", 2, 2))
    bench.receive(Suspect(2, "n2", "a"))
    bench.wait(5_000)
    assert bench.state("n2") is NodeState.SUSPECT
    assert bench.status("n2") is MemberStatus.ALIVE


def test_death_ends_a_suspicion() -> None:
    bench = pool_of(4)
    bench.receive(Suspect(1, "n2", "a"), Dead(1, "n2", "x"))
    assert bench.swim._rules._suspicions == {}


def test_death_that_we_find_is_told_in_our_name_with_the_incarnation_known() -> None:
    bench = pool_of(4)
    bench.receive(alive("n2", 2, 7), Suspect(7, "n2", "a"), Suspect(7, "n2", "b"), Suspect(7, "n2", "c"))
    bench.wait(6_000)
    assert Dead(7, "n2", "own") in [message for _, message in bench.sent]


def test_size_of_the_pool_counts_the_recently_dead() -> None:
    bench = pool_of(101)
    bench.receive(*(Dead(1, f"n{number}", "x") for number in range(50, 102)))
    bench.receive(*(Suspect(1, "n2", accuser) for accuser in ("a", "b", "c")))
    assert deadline_of(bench, "n2") == suspicion_timeout_ms(4, 101, 1000) == 8016
