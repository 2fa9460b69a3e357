"""When what is due, and with whom; memberlist's and Serf's numbers."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections import Counter

import pytest

from consul_kernel_swim.core.events import Dial, SendPacket, SendUserEvent, Started
from consul_kernel_swim.core.messages import Ack, Dead, Ping, Suspect
from consul_kernel_swim.core.settings import PROFILES, Settings
from consul_kernel_swim.core.swim import Swim
from plugins.membership.swim.core_bench import OWN, Bench

NUMBERS = {
    "lan": (10_000, 3, 4, 4, 6, 30_000, 500, 1_000, 8, 3, 200, 30_000),
    "wan": (30_000, 3, 4, 6, 6, 60_000, 3_000, 5_000, 8, 4, 500, 60_000),
    "local": (1_000, 1, 2, 3, 6, 15_000, 200, 1_000, 8, 3, 100, 15_000),
}
KEYS = (
    "tcp_timeout_ms",
    "indirect_checks",
    "retransmit_mult",
    "suspicion_mult",
    "suspicion_max_timeout_mult",
    "push_pull_interval_ms",
    "probe_timeout_ms",
    "probe_interval_ms",
    "awareness_max_multiplier",
    "gossip_nodes",
    "gossip_interval_ms",
    "gossip_to_the_dead_ms",
)


@pytest.mark.parametrize("profile", NUMBERS)
def test_profiles_have_memberlists_numbers(profile: str) -> None:
    settings = dataclasses.asdict(PROFILES[profile])
    assert tuple(settings[key] for key in KEYS) == NUMBERS[profile]


@pytest.mark.parametrize("profile", NUMBERS)
def test_profiles_have_serfs_numbers_as_consul_sets_them(profile: str) -> None:
    settings = PROFILES[profile]
    assert settings.packet_bytes == 1_400
    assert settings.dead_node_reclaim_ms == 30_000
    assert settings.broadcast_timeout_ms == 5_000
    assert settings.leave_propagate_delay_ms == 3_000
    assert settings.reap_interval_ms == 15_000
    assert settings.reconnect_interval_ms == 30_000
    assert settings.reconnect_timeout_ms == 72 * 3_600_000
    assert settings.tombstone_timeout_ms == 24 * 3_600_000
    assert settings.recent_intent_timeout_ms == 300_000
    assert settings.user_event_bytes_max == 512


def test_agents_that_start_together_do_not_probe_together() -> None:
    firsts = set()
    for seed in range(30):
        swim = Swim("own", OWN, {}, Settings(), random.Random(seed))
        swim.step(Started(), 0)
        timers = sorted(entry[0] for entry in swim._env.timers._heap)
        assert 0 < timers[0] <= 1_000
        firsts.add(timers[0])
    assert len(firsts) > 20


def gossip_of(bench: Bench) -> list[set[str]]:
    """To whom packets without a ping went, step by step."""
    rounds: list[set[str]] = []
    while len(rounds) < 4:
        before = len(bench.effects)
        bench.wait(1)
        sent = {effect.to.host for effect in bench.effects[before:] if isinstance(effect, SendPacket)}
        if sent:
            rounds.append(sent)
    return rounds


@pytest.mark.parametrize("nodes", [1, 3, 5])
def test_round_of_gossip_reaches_so_many_random_nodes(nodes: int) -> None:
    bench = Bench(Settings(gossip_nodes=nodes, probe_interval_ms=10_000_000, retransmit_mult=20))
    for number in range(2, 40):
        bench.add(f"n{number}", number)
    bench.wait(20_000)
    bench.do(SendUserEvent(1, "news", b"", False))
    rounds = gossip_of(bench)
    assert {len(hosts) for hosts in rounds} == {nodes}
    assert len(set(map(frozenset, rounds))) > 1


def test_gossip_reaches_everybody_in_turns() -> None:
    """So that a message of few sends leaves nobody out of a small pool; memberlist draws anew each time."""
    bench = Bench(Settings(gossip_nodes=3, probe_interval_ms=10_000_000, retransmit_mult=20))
    for number in range(2, 9):
        bench.add(f"n{number}", number)
    bench.wait(20_000)
    bench.do(SendUserEvent(1, "news", b"", False))
    rounds = gossip_of(bench)
    turns = [first | second | third for first, second, third in zip(rounds, rounds[1:], rounds[2:], strict=False)]
    assert max(map(len, turns)) == 7


def test_rounds_keep_their_phase_and_come_only_while_there_is_news() -> None:
    bench = Bench(Settings(probe_interval_ms=10_000_000))
    bench.add("n", 2)
    bench.wait(20_000)
    times = []
    for _ in range(2):
        bench.wait(1_337)
        bench.effects.clear()
        bench.do(SendUserEvent(1, "news", b"", False))
        while not any(isinstance(effect, SendPacket) for effect in bench.effects):
            bench.wait(1)
        times.append(bench.now_ms)
        bench.wait(20_000)
    assert (times[1] - times[0]) % 200 == 0
    bench.effects.clear()
    bench.wait(10_000)
    assert not [effect for effect in bench.effects if isinstance(effect, SendPacket)]


def test_states_are_exchanged_with_one_random_node_that_is_alive() -> None:
    bench = Bench(Settings(push_pull_interval_ms=1_000, probe_interval_ms=10_000_000, reconnect_interval_ms=10_000_000))
    for number in range(2, 12):
        bench.add(f"n{number}", number)
    bench.receive(Dead(1, "n2", "x"), Dead(1, "n3", "n3"), Suspect(1, "n4", "x"))
    bench.wait(60_000)
    asked = Counter(effect.to.host for effect in bench.effects if isinstance(effect, Dial))
    assert 59 <= asked.total() <= 61
    assert set(asked) == {f"10.0.1.{number}" for number in range(5, 12)}


@pytest.mark.parametrize(("others", "interval_ms"), [(1, 500), (15, 500), (16, 1_000)])
def test_probes_go_on_at_their_interval_whatever_else_comes(others: int, interval_ms: int) -> None:
    bench = Bench()
    for number in range(others):
        bench.add(f"n{number}", 2 + number)
    times: list[int] = []
    bench.sent.clear()
    while len(times) < 6:
        bench.wait(1)
        pings = [message for _, message in bench.sent if isinstance(message, Ping)]
        if pings:
            times.append(bench.now_ms)
            bench.sent.clear()
            bench.receive(Ack(pings[0].sequence))
            bench.sent.clear()
    assert {later - earlier for earlier, later in itertools.pairwise(times[1:])} == {interval_ms}
