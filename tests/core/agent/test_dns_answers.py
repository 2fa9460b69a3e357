"""Parts that have a say in DNS answers are asked in order, and whatever one does costs the others nothing."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from consul_kernel.agent.composition import Chosen, make_dns_answers
from consul_kernel.agent.dns_answers import ASIDE_S, MOST_FAULTS, SLOW_S, guard
from consul_kernel.config.blocks import PluginBlock
from consul_kernel.config.model import AgentConfig
from consul_kernel.contracts.dns_answer import (
    DEFAULT_ANSWERS,
    EVERY_LOOKUP,
    MAX_ADDED,
    Arrangement,
    Candidate,
    DnsAnswerContext,
    DnsAnswerPlugin,
    DnsAnswers,
    Lookup,
    Tier,
)
from consul_kernel.contracts.errors import PluginStartError
from consul_kernel.contracts.metrics import NO_METRICS
from consul_kernel.contracts.plugin import PluginConfig, PluginKind
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.node import Node
from consul_kernel.structs.service import NodeService
from consul_kernel.telemetry.registry import MetricsRegistry

LOOKUP = Lookup(name="web.service.consul", record_type="A", datacenter="dc1", service="web")


def instances(*names: str) -> list[CheckServiceNode]:
    return [
        CheckServiceNode(node=Node(node=name, address="10.0.0.1"), service=NodeService(service="web"), checks=[])
        for name in names
    ]


def names(arrangement: Arrangement) -> list[list[str]]:
    return [[candidate.instance.node.node for candidate in tier] for tier in arrangement.tiers]


class Part:
    """A part that does what it is told."""

    def __init__(self, arrange: Callable[[Sequence[Candidate]], Any]) -> None:
        self.arranging = arrange
        self.calls = 0

    def arrange(self, lookup: Lookup, candidates: Sequence[Candidate]) -> Sequence[Tier]:
        self.calls += 1
        tiers: Sequence[Tier] = self.arranging(candidates)
        return tiers


class World:
    """Parts under guard, with a clock and counters."""

    def __init__(self, *parts: Part) -> None:
        self.now_s = 0.0
        self.metrics = MetricsRegistry(lambda: self.now_s)
        self.answers: DnsAnswers = guard(
            [(f"p{number}", part, frozenset()) for number, part in enumerate(parts)], self.metrics, lambda: self.now_s
        )

    def arrange(self, *shown: str) -> Arrangement:
        return self.answers.arrange(LOOKUP, instances(*shown))

    def counted(self, name: str) -> float:
        self.now_s += 10
        counter = self.metrics.latest().counters.get((f"dns.answer.{name}", (("plugin", "p0"),)))
        return 0 if counter is None else counter.sum


def split(key: Callable[[str], bool]) -> Part:
    """Those for which the key holds stand first."""

    def arrange(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
        return [[one for one in candidates if key(one.instance.node.node) is wanted] for wanted in (True, False)]

    return Part(arrange)


def fail(_candidates: Sequence[Candidate]) -> Any:
    raise RuntimeError("no idea")


def test_no_part_is_no_part() -> None:
    assert guard([], MetricsRegistry(lambda: 0.0)) is DEFAULT_ANSWERS
    assert names(DEFAULT_ANSWERS.arrange(LOOKUP, instances("a", "b"))) == [["a", "b"]]


def test_each_part_is_asked_about_every_tier_of_those_before() -> None:
    world = World(split(lambda name: name < "c"), split(lambda name: name in "bd"))
    arrangement = world.arrange("a", "b", "c", "d")
    assert names(arrangement) == [["b"], ["a"], ["d"], ["c"]]
    assert arrangement.is_kept
    assert names(world.arrange("c")) == [["c"]]
    assert names(world.arrange()) == []


def test_every_lookup_is_asked_for_if_one_part_wants_it() -> None:
    part, metrics = split(bool), MetricsRegistry(lambda: 0.0)
    assert not guard([("a", part, frozenset())], metrics).every_lookup
    assert guard([("a", part, frozenset()), ("b", part, frozenset({EVERY_LOOKUP}))], metrics).every_lookup


@pytest.mark.parametrize(
    "arrange",
    [
        fail,
        lambda _: None,
        lambda _: 7,
        lambda _: [["a"]],
        lambda _: [None],
        lambda given: [[one.instance for one in given]],
        lambda given: [[Candidate(one.instance, -1.0) for one in given]],
        lambda given: [[Candidate(one.instance, math.inf) for one in given]],
        lambda given: [[Candidate(one.instance, math.nan) for one in given]],
        lambda given: [[Candidate(one.instance, "heavy") for one in given]],  # type: ignore[arg-type]
        lambda given: [[Candidate("web") for _ in given]],  # type: ignore[arg-type]
    ],
)
def test_a_part_that_fails_is_passed_over(arrange: Any, caplog: pytest.LogCaptureFixture) -> None:
    world = World(Part(arrange), split(lambda name: name == "b"))
    arrangement = world.arrange("a", "b")
    assert names(arrangement) == [["b"], ["a"]]
    assert not arrangement.is_kept
    assert world.counted("failed") == 1
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.getMessage().startswith('dns_answer "p0" failed, and the answer is the default one: ')


def test_a_part_may_add_so_many_and_no_more() -> None:
    world = World(Part(lambda given: [given, [given[0]] * 10_000, [given[0]]]))
    assert [len(tier) for tier in world.arrange("a", "b").tiers] == [2, MAX_ADDED]


def test_a_part_that_fails_again_and_again_is_set_aside(caplog: pytest.LogCaptureFixture) -> None:
    part = Part(fail)
    world = World(part)
    for _ in range(MOST_FAULTS + 20):
        assert names(world.arrange("a")) == [["a"]]
    assert part.calls == MOST_FAULTS
    assert len(caplog.records) == 2
    assert caplog.records[1].getMessage().endswith("; it is not asked for 30 s")
    world.now_s += ASIDE_S
    world.arrange("a")
    world.arrange("a")
    assert part.calls == MOST_FAULTS + 1, "its trial failed, and it is set aside again"
    world.now_s += ASIDE_S
    part.arranging = lambda given: [given]
    assert world.arrange("a").is_kept
    part.arranging = fail
    world.arrange("a")
    world.arrange("a")
    assert part.calls == MOST_FAULTS + 4, "what has worked begins to be counted anew"


def test_a_slow_part_is_heard_and_set_aside_when_it_stays_slow(caplog: pytest.LogCaptureFixture) -> None:
    def slow(given: Sequence[Candidate]) -> list[Tier]:
        world.now_s += 2 * SLOW_S
        return [given[1:], given[:1]]

    part = Part(slow)
    world = World(part)
    for _ in range(MOST_FAULTS):
        arrangement = world.arrange("a", "b")
        assert names(arrangement) == [["b"], ["a"]]
        assert arrangement.is_kept
    set_aside = world.arrange("a", "b")
    assert names(set_aside) == [["a", "b"]]
    assert not set_aside.is_kept
    assert world.counted("slow") == MOST_FAULTS
    assert caplog.records[0].getMessage() == 'dns_answer "p0" held up all answers for 20 ms'


def test_now_and_then_is_no_reason_to_set_aside() -> None:
    outcomes: list[Callable[[Sequence[Candidate]], Any]] = [fail, fail, lambda given: [given]] * 10
    part = Part(lambda given: outcomes[part.calls - 1](given))
    world = World(part)
    for _ in outcomes:
        world.arrange("a")
    assert part.calls == len(outcomes)


def test_a_part_that_cannot_be_made_is_named() -> None:
    def create(_context: DnsAnswerContext, _config: PluginConfig) -> Part:
        raise KeyError("zone")

    config = AgentConfig(node_name="n1", datacenter="dc1")
    plugin = DnsAnswerPlugin(name="zones", api=1, create=create)
    chosen = Chosen(PluginBlock(PluginKind.DNS_ANSWER, "zones"), plugin, PluginConfig())
    with pytest.raises(PluginStartError, match=r"^dns_answer \"zones\": KeyError: 'zone'$"):
        make_dns_answers(config, [chosen], NO_METRICS, random.Random(1))
    assert make_dns_answers(config, [], NO_METRICS, random.Random(1)) is DEFAULT_ANSWERS
