"""From a packet to its answer: the one path of UDP and TCP.

What is kept between answers is never an answer but what it was made of, together with the catalog's records
from which that was made. Every answer begins with a read of the catalog; only when it says the same again is
the old material used. So no answer is staler than the settings allow any read to be.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence

from consul_kernel.contracts.dns_answer import DEFAULT_ANSWERS, DnsAnswers
from consul_kernel.contracts.interface import AgentApi
from consul_kernel.contracts.metrics import NO_METRICS, Metrics
from consul_kernel.structs.node import Node
from consul_kernel.structs.settings import DnsSettings

from .arranging import arrange_prepared, arrange_service
from .catalog_reader import CatalogReader, ReadError
from .chasing import Chaser
from .fitting import most_answers, write_fitting
from .material import ALWAYS, MOST_KEPT_BYTES, Found, Material
from .naming import AddressName, Fixed, IPAddress, Meaning, NodeRead, QueryName, ServiceRead, Zones, reversed_address
from .plans import Plan, PlanCache
from .pool import Group, Pool, Reply
from .query import Query, Rejection, parse_query
from .records import NODE_TYPES, RecordBuilder
from .recursors import Recursors
from .selection import is_address
from .times import Times
from .wire import Rcode, Record

logger = logging.getLogger(__name__)

_FAULT = "answering the DNS query %s failed"
_SERVERS_OWN_SERVICE = "consul"


class Answerer:
    """Answers questions about the catalog, and passes on those about anything else."""

    def __init__(
        self,
        agent: AgentApi,
        settings: DnsSettings,
        *,
        max_plans: int,
        catalog_timeout_ms: int,
        rng: random.Random,
        metrics: Metrics = NO_METRICS,
        answers: DnsAnswers = DEFAULT_ANSWERS,
    ) -> None:
        self.times = Times(metrics, agent.node_name)
        self._settings = settings
        self._rng = rng
        self._answers = answers
        self._datacenter = agent.datacenter
        self._plans = PlanCache(max_plans)
        self._zones = Zones(settings.domain, settings.alt_domain, agent.datacenter)
        self._recursors = Recursors(
            settings.recursors,
            timeout_ms=settings.recursor_timeout_ms,
            shuffled_by=rng if settings.recursor_strategy == "random" else None,
        )
        self._catalog = CatalogReader(agent, settings, timeout_ms=catalog_timeout_ms, metrics=metrics)
        self._builder = RecordBuilder(settings, can_resolve=self._can_resolve)
        self._chaser = Chaser(self._zones, self._catalog, self._builder, self._recursors)

    # --- understanding ---

    def understand(self, packet: bytes, *, is_tcp: bool) -> Plan | bytes | None:
        """A plan for a packet, or at once the answer of one that is refused on sight; None for silence."""
        body = packet[2:]
        plan = self._plans.get(body, is_tcp)
        if plan is not None:
            return plan
        query = parse_query(packet, is_tcp=is_tcp)
        if query is None:
            return None
        if isinstance(query, Rejection):
            return query.body
        meaning = self._zones.meaning(query.labels, query.type, has_recursors=bool(self._recursors))
        plan = Plan(query, meaning, self._read_for(query, meaning))
        if plan.read is not None:
            self._plans.put(body, plan)
        return plan

    def _read_for(self, query: Query, meaning: Meaning) -> ServiceRead | NodeRead | None:
        """The read that tells all that an answer needs; None when there is none or more than one."""
        if meaning in (Fixed.ZONE_SOA, Fixed.ZONE_NS):
            return ServiceRead(self._datacenter, _SERVERS_OWN_SERVICE)
        if isinstance(meaning, ServiceRead):
            return meaning
        if isinstance(meaning, NodeRead) and query.type in NODE_TYPES:
            return meaning
        return None

    def _can_resolve(self, name: str) -> bool:
        return bool(self._recursors) or self._chaser.is_own(name)

    # --- answering; messages are without their first two bytes, the id ---

    async def answer(self, plan: Plan, packet: bytes, asker: str) -> bytes:
        """The answer to a packet that was understood, for an address; SERVFAIL for whatever goes wrong on the way."""
        try:
            return await self._answer(plan, packet, asker)
        except Exception:
            logger.exception(_FAULT, ".".join(plan.query.labels))
            return self._write(plan.query, Reply(rcode=Rcode.SERVFAIL))

    async def _answer(self, plan: Plan, packet: bytes, asker: str) -> bytes:
        if isinstance(plan.meaning, QueryName):
            return await self._answer_prepared(plan, plan.meaning, asker)
        if plan.read is None:
            return await self._answer_without_catalog(plan, packet)
        try:
            found = await self.find(plan.read)
        except ReadError as error:
            return self.refuse(plan, error)
        message = self._show(plan, found, asker)
        return await self._show_chased(plan, found, asker) if message is None else message

    async def find(self, read: ServiceRead | NodeRead) -> Found:
        """What the catalog says now. Raises ReadError."""
        if isinstance(read, NodeRead):
            return await self._catalog.node(read)
        return await self._catalog.service(read)

    def refuse(self, plan: Plan, error: ReadError) -> bytes:
        """The answer when the catalog could not be read. A zone's own records do without name servers then."""
        if plan.meaning in (Fixed.ZONE_SOA, Fixed.ZONE_NS):
            return self._write(plan.query, self._reply(plan, (), 0))
        if error.rcode is Rcode.NXDOMAIN:
            return self._write(plan.query, self._no_such_name())
        return self._write(plan.query, Reply(rcode=error.rcode))

    def show(self, plan: Plan, found: Found, asker: str) -> bytes | None:
        """The answer to what was found, for an address; None when names have to be chased first (`show_chased`)."""
        try:
            return self._show(plan, found, asker)
        except Exception:
            logger.exception(_FAULT, ".".join(plan.query.labels))
            return self._write(plan.query, Reply(rcode=Rcode.SERVFAIL))

    def _show(self, plan: Plan, found: Found, asker: str) -> bytes | None:
        material = plan.material
        if material is None or material.found != found:
            pool, is_kept = self._make_pool(plan, found, asker)
            if not is_kept:
                needs_chase = pool is not None and pool.needs_chase
                return None if needs_chase else self._write(plan.query, self._drawn(plan, pool))
            material = Material(found, pool)
            self._plans.keep_material(plan, material)
        if material.needs_chase:
            return None
        messages = material.messages
        if not messages:
            if material.was_shown:
                material.keep_messages(self._rng)
            material.was_shown = True
            return self._write(plan.query, self._drawn(plan, material.pool))
        if material.second != ALWAYS and material.second != int(time.time()):
            material.forget()
        material.age()
        at = int(self._rng.random() * len(messages))
        return messages[at] or self._write_variant(plan, material, at)

    def _write_variant(self, plan: Plan, material: Material, at: int) -> bytes:
        """One variant's message, kept unless it is large."""
        if material.pool is None:
            reply = self._no_such_name()
        else:
            reply = self._reply(plan, *material.variant(at, most_answers(plan.query, self._settings)))
        if reply.authority or plan.meaning is Fixed.ZONE_SOA:
            material.second = int(time.time())
        message = self._write(plan.query, reply)
        if len(message) <= MOST_KEPT_BYTES:
            material.messages[at] = message
        return message

    async def show_chased(self, plan: Plan, found: Found, asker: str) -> bytes:
        """The answer with the addresses of other names in it, after `show` has said that it needs them."""
        try:
            return await self._show_chased(plan, found, asker)
        except Exception:
            logger.exception(_FAULT, ".".join(plan.query.labels))
            return self._write(plan.query, Reply(rcode=Rcode.SERVFAIL))

    async def _show_chased(self, plan: Plan, found: Found, asker: str) -> bytes:
        material = plan.material
        is_fresh = material is not None and material.found == found
        pool = material.pool if is_fresh and material is not None else self._make_pool(plan, found, asker)[0]
        if pool is None:
            return self._write(plan.query, self._no_such_name())
        return self._write(plan.query, self._reply(plan, *await self._chased(plan, pool)))

    async def _chased(self, plan: Plan, pool: Pool) -> tuple[Sequence[Group], int]:
        """Groups with the addresses of other names in them, and how many there would be without any bound."""
        most = most_answers(plan.query, self._settings)
        return await self._chaser.complete(pool, most, self._rng, has_edns=plan.query.udp_bytes is not None)

    def _make_pool(self, plan: Plan, found: Found, asker: str) -> tuple[Pool | None, bool]:
        """Everything that an answer may show, and whether it may be kept; None when the name does not exist."""
        if isinstance(found, Node):
            return self._builder.node(plan.query, found), True
        if found is None:
            return None, True
        if not isinstance(plan.meaning, ServiceRead):
            return self._builder.name_servers(found), True
        every_lookup = self._answers.every_lookup
        asker = plan.query.client_address or asker if every_lookup else ""
        shown = self._builder.shown(found)
        arranged = arrange_service(self._answers, plan.query, plan.meaning, shown, asker)
        pool = self._builder.service(plan.query, plan.meaning, arranged.tiers)
        return pool, arranged.is_kept and not every_lookup

    def _no_such_name(self) -> Reply:
        return Reply(rcode=Rcode.NXDOMAIN, authority=[self._builder.soa()])

    def _drawn(self, plan: Plan, pool: Pool | None) -> Reply:
        """An answer's sections, drawn from a pool; no pool means no such name."""
        if pool is None:
            return self._no_such_name()
        return self._reply(plan, *pool.draw(self._rng, most_answers(plan.query, self._settings)))

    def _reply(self, plan: Plan, groups: Sequence[Group], total: int) -> Reply:
        """An answer's sections from the groups that it shows, out of `total`."""
        reply = Reply(is_drawn_short=total > len(groups))
        for group in groups:
            reply.answers += group.answers
            reply.extras += group.extras
        if plan.meaning is Fixed.ZONE_SOA:
            reply.authority, reply.answers = reply.answers, [self._builder.soa()]
        elif not reply.answers and isinstance(plan.meaning, (ServiceRead, QueryName)):
            # The service exists, but not for this type: RFC 2308 section 2.2.
            reply.authority = [self._builder.soa()]
        if len(reply.extras) > 1:
            reply.extras = list({record.key(): record for record in reply.extras}.values())
        return reply

    # --- answers that no read of the catalog decides alone: who asks has a part in them, and their order counts ---

    async def _answer_prepared(self, plan: Plan, name: QueryName, asker: str) -> bytes:
        asker = plan.query.client_address or asker
        try:
            found = await self._catalog.query(name, asker)
        except ReadError as error:
            return self.refuse(plan, error)
        told = asker if self._answers.every_lookup else ""
        arranged = arrange_prepared(self._answers, plan.query, name, found.nodes or (), told)
        pool = self._builder.prepared(plan.query, found, arranged.tiers)
        if pool is None:
            return self._write(plan.query, self._no_such_name())
        if pool.needs_chase:
            return self._write(plan.query, self._reply(plan, *await self._chased(plan, pool)))
        return self._write(plan.query, self._drawn(plan, pool))

    # --- answers that the catalog's services and nodes do not decide ---

    async def _answer_without_catalog(self, plan: Plan, packet: bytes) -> bytes:
        query, meaning = plan.query, plan.meaning
        if meaning is Fixed.OUTSIDE:
            return await self._recurse(query, packet)
        if meaning is Fixed.REVERSE:
            return await self._answer_reverse(query, packet)
        if meaning is Fixed.ZONE_TRANSFER:
            return self._write(query, Reply(rcode=Rcode.NOTIMP))
        if isinstance(meaning, AddressName):
            return self._write(query, Reply(answers=list(self._builder.spelled_address(query, meaning))))
        if meaning is Fixed.NO_SUCH_NAME:
            return self._write(query, self._no_such_name())
        # A node, asked for a type that nodes have no records of.
        return self._write(query, Reply())

    async def _recurse(self, query: Query, packet: bytes) -> bytes:
        if not self._recursors:
            return self._write(query, Reply(rcode=Rcode.REFUSED, is_authoritative=False))
        answer = await self._recursors.forward(packet, is_tcp=query.is_tcp)
        if answer is None:
            return self._write(query, Reply(rcode=Rcode.SERVFAIL, is_authoritative=False))
        return answer[2:]

    async def _answer_reverse(self, query: Query, packet: bytes) -> bytes:
        """PTR: the node at the address, else a service there, else whatever a recursor says."""
        address = reversed_address(query.labels)
        record = None
        if address is not None:
            try:
                record = await self._pointer(query, address)
            except ReadError:
                record = None
        if record is not None:
            return self._write(query, Reply(answers=[record]))
        if self._recursors:
            return await self._recurse(query, packet)
        return self._write(query, Reply(rcode=Rcode.NXDOMAIN, authority=[self._builder.soa()]))

    async def _pointer(self, query: Query, address: IPAddress) -> Record | None:
        for node in await self._catalog.nodes():
            if is_address(node.address, address):
                return self._builder.pointer_to_node(query, node, self._datacenter)
        for service in await self._catalog.services_at(str(address)):
            if is_address(service.service_address, address):
                return self._builder.pointer_to_service(query, service.service_name)
        return None

    def _write(self, query: Query, reply: Reply) -> bytes:
        message = write_fitting(query, reply, self._settings, recursion_available=bool(self._recursors))
        return bytes(memoryview(message)[2:])
