"""Checks that every `dns_answer` part passes, by the numbered clauses of docs/contracts/dns_answer.md.

Each is a function of a `DnsAnswerCase`. A plugin's suite subclasses `DnsAnswerContractTests`, and gives it a fixture
`case`.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from consul_kernel.contracts.dns_answer import (
    EVERY_LOOKUP,
    Candidate,
    DnsAnswer,
    DnsAnswerContext,
    DnsAnswerPlugin,
    Lookup,
    Tier,
)
from consul_kernel.contracts.plugin import PluginConfig
from consul_kernel.structs.check import CheckStatus, HealthCheck
from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.node import Node
from consul_kernel.structs.service import NodeService, Weights

from .clauses import ClauseError, require

RECORD_TYPES = ("A", "AAAA", "SRV", "ANY", "TXT", "TYPE65")
ASKERS = ("", "127.0.0.1", "10.1.2.3", "2001:db8::1", "fe80::1%eth0", "nowhere")
MANY = 1000
PATIENCE_S = 0.1
"""Ten times what the kernel takes for slow: the machine may be busy."""
TRIES = 5


@dataclass(frozen=True, kw_only=True)
class DnsAnswerCase:
    """A plugin and its block, and the metadata of the node that it runs on.

    `instance_meta` is the metadata of the nodes that instances are on, in turn.
    """

    plugin: DnsAnswerPlugin
    config: PluginConfig = field(default_factory=PluginConfig)
    node_meta: Mapping[str, str] = field(default_factory=dict)
    instance_meta: Sequence[Mapping[str, str]] = ({},)

    def make(self) -> DnsAnswer:
        """The part."""
        context = DnsAnswerContext(
            node_name="node1",
            datacenter="dc1",
            node_meta=self.node_meta,
            logger=logging.getLogger("consul_kernel.dns_answers.kit"),
            rng=random.Random(1),
        )
        return self.plugin.create(context, self.config)

    def candidates(self, count: int) -> list[Candidate]:
        """So many, each on a node of its own; some with weights, and some that warn."""
        return [Candidate(self._instance(number)) for number in range(count)]

    def _instance(self, number: int) -> CheckServiceNode:
        address = f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"
        meta = dict(self.instance_meta[number % len(self.instance_meta)])
        node = Node(node=f"n{number}", address=address, datacenter="dc1", meta=meta or None)
        weights = Weights(passing=1 + number % 7, warning=number % 2)
        status = CheckStatus.WARNING if number % 5 == 4 else CheckStatus.PASSING
        check = HealthCheck(node=node.node, check_id="c", status=status, service_name="web", service_id="web")
        service = NodeService(id="web", service="web", port=80, weights=None if number % 3 == 2 else weights)
        return CheckServiceNode(node=node, service=service, checks=[check])


def lookups() -> list[Lookup]:
    """One of each form."""
    service = [
        Lookup(
            name="blue.web.service.consul", record_type=kind, datacenter="dc1", service="web", tag="blue", asker=asker
        )
        for kind in RECORD_TYPES
        for asker in ASKERS
    ]
    return [*service, Lookup(name="geo.query.consul", record_type="A", datacenter="dc2", query="geo")]


def arranged(part: DnsAnswer, lookup: Lookup, candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """The tiers, as what they must be. Raises ClauseError."""
    try:
        tiers: Sequence[Tier] = part.arrange(lookup, candidates)
        found = [list(tier) for tier in tiers]
    except Exception as error:
        raise ClauseError(f"2.1: {lookup} raised {type(error).__name__}: {error}") from error
    for tier in found:
        for candidate in tier:
            require(isinstance(candidate, Candidate), f"2.1: {candidate!r} is no Candidate")
            weight = candidate.weight
            require(math.isfinite(weight) and weight >= 0, f"2.1: {weight} is no weight")
            require(isinstance(candidate.instance, CheckServiceNode), f"2.1: {candidate.instance!r} is no instance")
    return found


def check_1_1_making_one_does_nothing(case: DnsAnswerCase) -> None:
    """1.1: `create` needs no event loop, and any number can be made."""
    parts = [case.make() for _ in range(20)]
    require(len({id(part) for part in parts}) == len(parts), "1.1: two agents would share a part")


def check_2_1_every_lookup_has_tiers(case: DnsAnswerCase) -> None:
    """2.1: whatever is asked, by whomever, of however many instances: tiers of candidates, and nothing is raised."""
    part = case.make()
    for lookup in lookups():
        for count in (0, 1, 3, 20):
            arranged(part, lookup, case.candidates(count))


def check_2_2_nothing_given_is_changed(case: DnsAnswerCase) -> None:
    """2.2: the candidates and their instances are as they were."""
    part = case.make()
    for lookup in lookups():
        candidates = case.candidates(10)
        before = msgspec.json.encode([one.instance for one in candidates]), list(candidates)
        arranged(part, lookup, candidates)
        after = msgspec.json.encode([one.instance for one in candidates]), list(candidates)
        require(before == after, f"2.2: {lookup} has changed what was given")


def check_2_3_what_is_kept_is_not_by_chance(case: DnsAnswerCase) -> None:
    """2.3: without `every_lookup`, the same question about the same instances has the same tiers."""
    if EVERY_LOOKUP in case.plugin.capabilities:
        return
    part, other = case.make(), case.make()
    for lookup in lookups():
        first = arranged(part, lookup, case.candidates(20))
        for again in (part, other):
            require(arranged(again, lookup, case.candidates(20)) == first, f"2.3: {lookup} has two answers")


def check_3_1_it_does_not_hold_up_answers(case: DnsAnswerCase) -> None:
    """3.1: a thousand instances take no longer than a moment."""
    part, candidates = case.make(), case.candidates(MANY)
    for lookup in lookups()[::9]:
        taken_s = min(_time(part, lookup, candidates) for _ in range(TRIES))
        require(taken_s < PATIENCE_S, f"3.1: {lookup} took {taken_s:.3f} s")


def _time(part: DnsAnswer, lookup: Lookup, candidates: Sequence[Candidate]) -> float:
    begun_s = time.perf_counter()
    part.arrange(lookup, candidates)
    return time.perf_counter() - begun_s


CHECKS: tuple[Callable[[DnsAnswerCase], None], ...] = tuple(
    value for name, value in sorted(globals().items()) if name.startswith("check_")
)
"""Every check, in the order of the clauses."""


class DnsAnswerContractTests:
    """Base of a plugin's suite. The subclass defines a fixture `case`."""

    def test_1_1(self, case: DnsAnswerCase) -> None:
        check_1_1_making_one_does_nothing(case)

    def test_2_1(self, case: DnsAnswerCase) -> None:
        check_2_1_every_lookup_has_tiers(case)

    def test_2_2(self, case: DnsAnswerCase) -> None:
        check_2_2_nothing_given_is_changed(case)

    def test_2_3(self, case: DnsAnswerCase) -> None:
        check_2_3_what_is_kept_is_not_by_chance(case)

    def test_3_1(self, case: DnsAnswerCase) -> None:
        check_3_1_it_does_not_hold_up_answers(case)
