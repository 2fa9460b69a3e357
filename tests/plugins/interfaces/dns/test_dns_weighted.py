"""`dns_answer "weighted" {}`: addresses stand first as often as instances weigh."""

from __future__ import annotations

import random
from collections import Counter

import dns.flags
import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.contracts.dns_answer import DnsAnswers, Lookup
from consul_kernel.contracts.plugin import PluginConfig
from consul_kernel.structs.check import CheckStatus, HealthCheck
from consul_kernel.structs.node import Node
from consul_kernel.structs.service import NodeService, Weights
from consul_kernel.structs.settings import DnsSettings
from consul_kernel.testing.dns_answer_kit import DnsAnswerCase, DnsAnswerContractTests
from consul_kernel_dns.answerer import Answerer
from consul_kernel_dns.plans import Plan
from consul_kernel_dns.pool import Group, Pool, weighted_order
from consul_kernel_dns.tiers import TieredGroups
from consul_kernel_dns.weighted import consul_kernel_register_dns_answer
from consul_kernel_dns.wire import Record, RecordType
from plugins.interfaces.dns.answer_parts import by_node, weighted
from plugins.interfaces.dns.fake_catalog import FakeCatalog

QUESTIONS = 4000
FEW = 600
"""Questions whose answers are parsed."""


class TestContract(DnsAnswerContractTests):
    @pytest.fixture
    def case(self) -> DnsAnswerCase:
        return DnsAnswerCase(plugin=consul_kernel_register_dns_answer(), config=PluginConfig())


@pytest.fixture
def catalog() -> FakeCatalog:
    return FakeCatalog()


def add(catalog: FakeCatalog, address: str, passing: int, warning: int = 1, *, warns: bool = False) -> None:
    """An instance of `web` on a node called by its address."""
    catalog.register(Node(node=f"n-{address}", address=address))
    weights = Weights(passing=passing, warning=warning)
    check = HealthCheck(node=f"n-{address}", check_id="c", status=CheckStatus.WARNING, service_id="web")
    service = NodeService(id="web", service="web", port=80, weights=weights)
    catalog.add_service(f"n-{address}", service, *([check] if warns else []))


def make_answerer(catalog: FakeCatalog, answers: DnsAnswers, settings: DnsSettings | None = None) -> Answerer:
    return Answerer(
        catalog.agent,
        settings or DnsSettings(),
        max_plans=16,
        catalog_timeout_ms=1000,
        rng=random.Random(7),
        answers=answers,
    )


async def ask(
    answerer: Answerer, record_type: str = "A", *, asker: str = "127.0.0.1", is_tcp: bool = False
) -> dns.message.Message:
    packet = dns.message.make_query("web.service.consul", record_type, id=1).to_wire()
    plan = answerer.understand(packet, is_tcp=is_tcp)
    assert isinstance(plan, Plan)
    return dns.message.from_wire(packet[:2] + await answerer.answer(plan, packet, asker))


def addresses(message: dns.message.Message) -> list[str]:
    """In the order in which they stand on the wire, which dnspython keeps."""
    return [str(record) for rrset in message.answer for record in rrset]


async def firsts(answerer: Answerer, count: int = QUESTIONS) -> Counter[str]:
    """How often each address stands first, read where it stands: behind the question, and the record's 12 bytes."""
    packet = dns.message.make_query("web.service.consul", "A", id=1).to_wire()
    plan = answerer.understand(packet, is_tcp=False)
    assert isinstance(plan, Plan)
    at = len(packet) - 2 + 12
    counted = Counter([(await answerer.answer(plan, packet, "127.0.0.1"))[at : at + 4] for _ in range(count)])
    return Counter({".".join(map(str, address)): times for address, times in counted.items()})


async def test_the_first_is_drawn_by_weight(catalog: FakeCatalog) -> None:
    for address, weight in (("10.0.0.1", 10), ("10.0.0.2", 5), ("10.0.0.3", 1)):
        add(catalog, address, weight)
    counted = await firsts(make_answerer(catalog, weighted()))
    for address, weight in (("10.0.0.1", 10), ("10.0.0.2", 5), ("10.0.0.3", 1)):
        assert counted[address] / QUESTIONS == pytest.approx(weight / 16, abs=0.06)


async def test_without_the_block_weights_do_not_count(catalog: FakeCatalog) -> None:
    add(catalog, "10.0.0.1", 100)
    add(catalog, "10.0.0.2", 1)
    counted = await firsts(make_answerer(catalog, by_node()))
    assert counted["10.0.0.2"] / QUESTIONS == pytest.approx(1 / 2, abs=0.05)


async def test_health_decides_which_weight_counts(catalog: FakeCatalog) -> None:
    add(catalog, "10.0.0.1", 3)
    add(catalog, "10.0.0.2", 100, warning=1, warns=True)
    counted = await firsts(make_answerer(catalog, weighted()))
    assert counted["10.0.0.2"] / QUESTIONS == pytest.approx(1 / 4, abs=0.06)


async def test_weight_zero_comes_last(catalog: FakeCatalog) -> None:
    add(catalog, "10.0.0.1", 3, warning=0, warns=True)
    add(catalog, "10.0.0.2", 1)
    answerer = make_answerer(catalog, weighted())
    for _ in range(200):
        assert addresses(await ask(answerer)) == ["10.0.0.2", "10.0.0.1"]


async def test_limits_leave_out_those_that_were_drawn_last(catalog: FakeCatalog) -> None:
    """Each of the answers' places is drawn by weight, so a limit shows heavy ones more often: 1 - P(third of three)."""
    for address, weight in (("10.0.0.1", 8), ("10.0.0.2", 1), ("10.0.0.3", 1)):
        add(catalog, address, weight)
    settings = DnsSettings(a_record_limit=2), DnsSettings(udp_answer_limit=2, enable_truncate=True)
    for setting in settings:
        answerer = make_answerer(catalog, weighted(), setting)
        shown: Counter[str] = Counter()
        for _ in range(FEW):
            message = await ask(answerer)
            found = addresses(message)
            assert len(found) == 2
            assert bool(message.flags & dns.flags.TC) is (setting.udp_answer_limit == 2)
            shown.update(found)
        # P(shown) = P(first) + P(second): 0.8 + 2 * 0.1 * 8/9 for the heavy one.
        assert shown["10.0.0.1"] / FEW == pytest.approx(0.978, abs=0.04)
        assert shown["10.0.0.2"] / FEW == pytest.approx(0.511, abs=0.1)


async def test_srv_carries_its_weights_and_its_order_is_even(catalog: FakeCatalog) -> None:
    add(catalog, "10.0.0.1", 9)
    add(catalog, "10.0.0.2", 1)
    answerer, counted = make_answerer(catalog, weighted()), Counter[int]()
    for _ in range(FEW):
        counted[(await ask(answerer, "SRV")).answer[0][0].weight] += 1
    assert counted[1] / FEW == pytest.approx(1 / 2, abs=0.1)


async def test_what_is_kept_is_redrawn(catalog: FakeCatalog) -> None:
    """With 64 orders for ever, one of weight 1 in 400 would be first never, or far too often."""
    add(catalog, "10.0.0.1", 399)
    add(catalog, "10.0.0.2", 1)
    answerer = make_answerer(catalog, weighted())
    counted = await firsts(answerer, 20_000)
    assert 5 <= counted["10.0.0.2"] <= 200


async def test_a_change_of_weight_shows_in_the_next_answer(catalog: FakeCatalog) -> None:
    add(catalog, "10.0.0.1", 1000)
    add(catalog, "10.0.0.2", 1, warning=0, warns=True)
    answerer = make_answerer(catalog, weighted())
    assert (await firsts(answerer, 50))["10.0.0.1"] == 50
    add(catalog, "10.0.0.1", 1000, warning=0, warns=True)
    catalog.add_service(
        "n-10.0.0.2",
        NodeService(id="web", service="web", weights=Weights(passing=1, warning=5)),
        HealthCheck(node="n-10.0.0.2", check_id="c", status=CheckStatus.WARNING, service_id="web"),
    )
    assert (await firsts(answerer, 50))["10.0.0.2"] == 50


async def test_the_part_is_asked_once_for_a_question_and_change(catalog: FakeCatalog) -> None:
    add(catalog, "10.0.0.1", 2)
    add(catalog, "10.0.0.2", 1)
    answers = weighted()
    answerer = make_answerer(catalog, answers)
    await firsts(answerer, 300)
    assert len(answers.lookups) == 1
    await ask(answerer, is_tcp=True)
    await ask(answerer, "AAAA")
    assert len(answers.lookups) == 3
    add(catalog, "10.0.0.3", 1)
    await firsts(answerer, 100)
    assert len(answers.lookups) == 4


def group(weight: float, number: int = 0) -> Group:
    return Group((Record(b"\0", RecordType.A, 0, before=bytes((10, 0, 0, number))),), weight=weight)


@given(st.lists(st.floats(min_value=0, max_value=1e9), max_size=20), st.integers())
def test_an_order_has_everybody_once(weights: list[float], seed: int) -> None:
    groups = [group(weight, number) for number, weight in enumerate(weights)]
    order = weighted_order(groups, random.Random(seed))
    assert sorted(map(id, order)) == sorted(map(id, groups))
    zeros = [one.weight == 0 for one in order]
    assert zeros == sorted(zeros), "weight 0 comes last"


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0.0, 1.0, 2.5])), max_size=6), max_size=4),
    st.integers(1, 12),
    st.integers(),
)
def test_a_draw_goes_tier_by_tier(tiers: list[list[tuple[int, float]]], most: int, seed: int) -> None:
    found, first_tier = TieredGroups(), dict[int, int]()
    for number, tier in enumerate(tiers):
        for address, weight in tier:
            found.add(address, group(1.0, address), number, weight)
            first_tier.setdefault(address, number)
    pool = Pool(found.groups(), tiers=found.tiers())
    drawn, total = pool.draw(random.Random(seed), most)
    shown = [one.answers[0].before[3] for one in drawn]
    assert total == len(first_tier)
    # A group that is alone is shown in any case.
    assert len(shown) == min(most, total)
    assert len(set(shown)) == len(shown)
    in_tiers = sorted(first_tier.values())[: len(shown)]
    assert [first_tier[address] for address in shown] == in_tiers
    weights = {one.answers[0].before[3]: one.weight for one in pool.groups}
    if any(weight != 1.0 for tier in tiers for _, weight in tier):
        for address in first_tier:
            assert weights[address] == sum(weight for tier in tiers for where, weight in tier if where == address)


async def test_instances_at_one_address_weigh_together(catalog: FakeCatalog) -> None:
    add(catalog, "10.0.0.1", 1)
    add(catalog, "10.0.0.2", 2)
    for number in range(5):
        catalog.add_service("n-10.0.0.1", NodeService(id=f"w{number}", service="web", weights=Weights(passing=1)))
    counted = await firsts(make_answerer(catalog, weighted()))
    assert counted["10.0.0.1"] / QUESTIONS == pytest.approx(6 / 8, abs=0.06)


async def test_names_are_chosen_by_weight_where_there_is_no_address(catalog: FakeCatalog) -> None:
    add(catalog, "a.example.com", 9)
    add(catalog, "b.example.com", 1)
    answerer = make_answerer(catalog, weighted())
    counted = Counter([addresses(await ask(answerer))[0] for _ in range(FEW)])
    assert counted["b.example.com."] / FEW == pytest.approx(1 / 10, abs=0.05)


def test_the_part_leaves_queries_alone() -> None:
    """A prepared query has an order of its own, by distance for instance."""
    case = DnsAnswerCase(plugin=consul_kernel_register_dns_answer())
    candidates = case.candidates(5)
    query = Lookup(name="geo.query.consul", record_type="A", datacenter="dc1", query="geo")
    assert case.make().arrange(query, candidates) == [candidates]
    (tier,) = case.make().arrange(Lookup(name="web.service.consul", record_type="A", datacenter="dc1"), candidates)
    assert [one.weight for one in tier] == [1, 2, 1, 4, 0]
