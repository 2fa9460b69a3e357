"""DNS answer: which instances the answer to a lookup shows, and in what order.

All else is the interface's: reading the catalog, health, what an answer has room for, the bytes. Without a part of this
kind an answer shows every instance that is well, in random order.

Clauses: docs/contracts/dns_answer.md. Kit: `consul_kernel.testing.dns_answer_kit`.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from consul_kernel.structs.health import CheckServiceNode

from .plugin import Plugin

EVERY_LOOKUP: Final = "every_lookup"
"""Capability: the part is asked anew for every lookup, and told who asks. Without it, what it said holds for as long as
the catalog says the same, and answers are kept as they were sent."""

MAX_ADDED: Final = 256
"""How many candidates a part may give beyond those that it was given; what is more is left out."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instance that may be shown, and how often it is to stand first beside others of its tier.

    `weight` is a finite number, not negative; one of weight 0 stands behind all others.
    """

    instance: CheckServiceNode
    weight: float = 1.0


Tier = Sequence[Candidate]
"""Candidates among which chance decides, by their weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What was asked. `name` is in lower case, with a dot between labels and none at its end.

    `record_type` is `A`, `SRV` and the like, `TYPE65` where it has no name here. `service` and `tag` are empty for a
    prepared query, whose name or id is `query`. `asker` is the address that the question is from (that of its client
    subnet, RFC 7871, where it has one); it is empty unless the part has the capability `every_lookup`.
    """

    name: str
    record_type: str
    datacenter: str
    service: str = ""
    tag: str = ""
    query: str = ""
    asker: str = ""


class DnsAnswer(Protocol):
    """One part that has a say in answers about services and prepared queries."""

    def arrange(self, lookup: Lookup, candidates: Sequence[Candidate]) -> Sequence[Tier]:
        """The candidates to show, in tiers: all of the first stand before those of the second.

        Those that are given are well enough to be shown, and may be none. The part may leave some out, put others in,
        and weigh them. No candidate in any tier means: there is no such name. Called in the event loop: it neither
        waits nor does I/O.
        """
        ...


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What all parts together say. `is_kept` is False where a part failed: the next lookup tries again."""

    tiers: Sequence[Tier]
    is_kept: bool = True


class DnsAnswers(Protocol):
    """The parts that the agent file names, as an interface sees them. It never raises, whatever they do."""

    @property
    def is_default(self) -> bool:
        """Whether there is no part: then answers are made without asking."""
        ...

    @property
    def every_lookup(self) -> bool:
        """Whether a part wants to be asked for every lookup."""
        ...

    def arrange(self, lookup: Lookup, instances: Sequence[CheckServiceNode]) -> Arrangement:
        """The tiers of an answer that could show these instances."""
        ...


class DefaultAnswers:
    """No part at all: one tier, every instance alike."""

    is_default = True
    every_lookup = False

    def arrange(self, lookup: Lookup, instances: Sequence[CheckServiceNode]) -> Arrangement:
        """All of them in one tier."""
        return Arrangement(([Candidate(instance) for instance in instances],))


DEFAULT_ANSWERS: Final = DefaultAnswers()


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsAnswerContext:
    """What a part is made with. `node_meta` is that of this agent's node. `rng` is the agent's."""

    node_name: str
    datacenter: str
    node_meta: Mapping[str, str]
    logger: logging.Logger
    rng: random.Random


DnsAnswerPlugin = Plugin[DnsAnswerContext, DnsAnswer]
