"""Following names that stand where an address might: a CNAME's target, in the agent's domain or outside it."""

from __future__ import annotations

import random
import struct
from dataclasses import replace

from consul_kernel.contracts.dns_answer import Candidate

from .catalog_reader import CatalogReader, ReadError
from .naming import AddressName, NodeRead, ServiceRead, Zones, split_domain
from .pool import Group, Pool
from .query import Query
from .records import RecordBuilder
from .recursors import Recursors
from .wire import Record, RecordType, UnpackableNameError, pack_text_name

MAX_CHASE_DEPTH = 3
MAX_CHASED_RECORDS = 5
MAX_CHASED_NAMES = 16
_CHASED_TYPES = (RecordType.A, RecordType.AAAA, RecordType.CNAME)
_CLASS_IN = 1


class Chaser:
    """Finds the addresses of other names. A chain of names in the agent's domain is followed to a depth of 3."""

    def __init__(self, zones: Zones, catalog: CatalogReader, builder: RecordBuilder, recursors: Recursors) -> None:
        self._zones = zones
        self._catalog = catalog
        self._builder = builder
        self._recursors = recursors

    def is_own(self, name: str) -> bool:
        """Whether a dotted name lies in the agent's domain."""
        return self._zones.labels_inside(split_domain(name)) is not None

    async def complete(self, pool: Pool, most: int, rng: random.Random, *, has_edns: bool) -> tuple[list[Group], int]:
        """Groups as one answer shows them, with nothing left to chase, and how many there would be in all.

        At most 16 names are followed for one answer, and without EDNS 5 records are taken from each.
        """
        groups, total = pool.draw(rng, min(most, MAX_CHASED_NAMES) if any(g.chase for g in pool.groups) else most)
        completed = []
        for group in groups:
            if group.chase:
                chased = await self._addresses(group.chase, MAX_CHASE_DEPTH)
                completed.append(_extend(group, chased if has_edns else chased[:MAX_CHASED_RECORDS]))
            else:
                completed.append(group)
        return completed, total

    async def _addresses(self, name: str, depth: int) -> list[Record]:
        if not self.is_own(name):
            return await self._recursors.addresses(name) if self._recursors else []
        if depth < 1:
            return []
        try:
            return await self._own_addresses(name, depth - 1)
        except (ReadError, UnpackableNameError):
            return []

    async def _own_addresses(self, name: str, depth: int) -> list[Record]:
        """The answers that this agent would give to ANY for one of its own names."""
        wire_name = pack_text_name(name)
        query = Query(
            labels=split_domain(name),
            question=wire_name + struct.pack("!HH", RecordType.ANY, _CLASS_IN),
            type=RecordType.ANY,
            flags=0,
            is_tcp=True,
        )
        meaning = self._zones.meaning(query.labels, query.type)
        pool: Pool | None = None
        if isinstance(meaning, ServiceRead):
            shown = self._builder.shown(await self._catalog.service(meaning))
            tiers = [[Candidate(instance) for instance in shown]] if shown else []
            pool = self._builder.service(query, meaning, tiers)
        elif isinstance(meaning, NodeRead):
            node = await self._catalog.node(meaning)
            pool = None if node is None else self._builder.node(query, node)
        elif isinstance(meaning, AddressName):
            return list(self._builder.spelled_address(query, meaning))
        records: list[Record] = []
        for group in (pool.groups or pool.aliases[:1]) if pool is not None else ():
            records += [record for record in group.answers if record.type in _CHASED_TYPES]
            if group.chase:
                records += await self._addresses(group.chase, depth)
        return records


def _extend(group: Group, chased: list[Record]) -> Group:
    """A group with the records that its name leads to: beside a CNAME, or beneath an SRV record."""
    ttl_s = group.answers[0].ttl_s
    timed = tuple(record.with_ttl(ttl_s) for record in chased)
    if group.answers[0].type == RecordType.SRV:
        return replace(group, extras=timed + group.extras, chase="")
    return replace(group, answers=group.answers + timed, chase="")
