"""From a packet to its answer: the one path of UDP and TCP.

What is kept between answers is never an answer but what it was made of, together with the catalog's records
from which that was made. Every answer begins with a read of the catalog; only when it says the same again is
the old material used. So no answer is staler than the settings allow any read to be.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from consul_kernel.contracts.interface import AgentApi
from consul_kernel.structs.node import Node
from consul_kernel.structs.settings import DnsSettings

from .catalog_reader import CatalogReader, ReadError
from .chasing import Chaser
from .fitting import failure, most_answers, write_fitting
from .naming import AddressName, Fixed, Meaning, NodeRead, ServiceRead, Zones, reversed_address
from .plans import Found, Plan, PlanCache
from .pool import Pool, Reply
from .query import Query, Rejection, parse_query
from .records import NODE_TYPES, RecordBuilder
from .recursors import Recursors
from .selection import parse_address
from .wire import Rcode, Record

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
    ) -> None:
        self._settings = settings
        self._rng = rng
        self._datacenter = agent.datacenter
        self._plans = PlanCache(max_plans)
        self._zones = Zones(settings.domain, settings.alt_domain, agent.datacenter)
        self._recursors = Recursors(settings.recursors, timeout_ms=settings.recursor_timeout_ms, rng=rng)
        self._catalog = CatalogReader(agent, settings, timeout_ms=catalog_timeout_ms)
        self._builder = RecordBuilder(settings, can_resolve=self._can_resolve)
        self._chaser = Chaser(self._zones, self._catalog, self._builder, self._recursors)

    # --- understanding ---

    def understand(self, packet: bytes, *, is_tcp: bool) -> Plan | bytearray | None:
        """A plan for a packet, or at once the answer of one that is refused on sight; None for silence."""
        body = packet[2:]
        plan = self._plans.get(body, is_tcp)
        if plan is not None:
            return plan
        query = parse_query(packet, is_tcp=is_tcp)
        if query is None:
            return None
        if isinstance(query, Rejection):
            return bytearray(b"\0\0" + query.body)
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

    # --- answering ---

    async def answer(self, plan: Plan, packet: bytes) -> bytearray:
        """The answer with id 0, or that of a recursor with the packet's id."""
        if plan.read is None:
            return await self._answer_without_catalog(plan, packet)
        try:
            found = await self.find(plan.read)
        except ReadError as error:
            return self.refuse(plan, error)
        message = self.show(plan, found)
        return await self.show_chased(plan) if message is None else message

    async def find(self, read: ServiceRead | NodeRead) -> Found:
        """What the catalog says now. Raises ReadError."""
        if isinstance(read, NodeRead):
            return await self._catalog.node(read)
        return await self._catalog.service(read)

    def refuse(self, plan: Plan, error: ReadError) -> bytearray:
        """The answer when the catalog could not be read. A zone's own records do without name servers then."""
        if plan.meaning in (Fixed.ZONE_SOA, Fixed.ZONE_NS):
            return self._write(plan.query, self._reply(plan, Pool()))
        if error.rcode is Rcode.NXDOMAIN:
            return self._write(plan.query, self._reply(plan, None))
        return self._write(plan.query, Reply(rcode=error.rcode))

    def show(self, plan: Plan, found: Found) -> bytearray | None:
        """The answer to what was found; None when names have to be chased first (`show_chased`)."""
        pool = plan.pool
        if pool is None or plan.found != found:
            pool = self._make_pool(plan, found)
            self._plans.keep_pool(plan, list(found) if isinstance(found, Sequence) else found, pool)
            plan.pool = pool
        if pool is not None and pool.needs_chase:
            return None
        return self._write(plan.query, self._reply(plan, pool))

    async def show_chased(self, plan: Plan) -> bytearray:
        """The answer with the addresses of other names in it, after `show` has said that it needs them."""
        if plan.pool is None:
            return self._write(plan.query, self._reply(plan, None))
        most = most_answers(plan.query, self._settings)
        has_edns = plan.query.udp_bytes is not None
        pool, is_short = await self._chaser.complete(plan.pool, most, self._rng, has_edns=has_edns)
        reply = self._reply(plan, pool)
        reply.is_drawn_short |= is_short
        return self._write(plan.query, reply)

    def _make_pool(self, plan: Plan, found: Found) -> Pool | None:
        """Everything that an answer may show; None when the name does not exist."""
        if isinstance(found, Node):
            return self._builder.node(plan.query, found)
        if found is None:
            return None
        if isinstance(plan.meaning, ServiceRead):
            return self._builder.service(plan.query, plan.meaning, found)
        return self._builder.name_servers(found)

    def _reply(self, plan: Plan, pool: Pool | None) -> Reply:
        """An answer's sections, drawn from a pool; no pool means no such name."""
        if pool is None:
            return Reply(rcode=Rcode.NXDOMAIN, authority=[self._builder.soa()])
        groups, total = pool.draw(self._rng, most_answers(plan.query, self._settings))
        reply = Reply(is_drawn_short=total > len(groups))
        for group in groups:
            reply.answers += group.answers
            reply.extras += group.extras
        if plan.meaning is Fixed.ZONE_SOA:
            reply.authority, reply.answers = reply.answers, [self._builder.soa()]
        elif not reply.answers and isinstance(plan.meaning, ServiceRead):
            # The service exists, but not for this type: RFC 2308 section 2.2.
            reply.authority = [self._builder.soa()]
        if len(reply.extras) > 1:
            reply.extras = list({record.key(): record for record in reply.extras}.values())
        return reply

    # --- answers that the catalog's services and nodes do not decide ---

    async def _answer_without_catalog(self, plan: Plan, packet: bytes) -> bytearray:
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
            return self._write(query, self._reply(plan, None))
        # A node, asked for a type that nodes have no records of.
        return self._write(query, Reply())

    async def _recurse(self, query: Query, packet: bytes) -> bytearray:
        if not self._recursors:
            return failure(query, Rcode.REFUSED, self._settings, recursion_available=False)
        answer = await self._recursors.forward(packet, is_tcp=query.is_tcp)
        if answer is None:
            return failure(query, Rcode.SERVFAIL, self._settings, recursion_available=True)
        return answer

    async def _answer_reverse(self, query: Query, packet: bytes) -> bytearray:
        """PTR: the node at the address, else a service there, else whatever a recursor says."""
        address = reversed_address(query.labels)
        record = None
        if address is not None:
            try:
                record = await self._pointer(query, str(address))
            except ReadError:
                record = None
        if record is not None:
            return self._write(query, Reply(answers=[record]))
        if self._recursors:
            return await self._recurse(query, packet)
        return self._write(query, Reply(rcode=Rcode.NXDOMAIN, authority=[self._builder.soa()]))

    async def _pointer(self, query: Query, address: str) -> Record | None:
        wanted = parse_address(address)
        for node in await self._catalog.nodes():
            if parse_address(node.address) == wanted:
                return self._builder.pointer_to_node(query, node, self._datacenter)
        for service in await self._catalog.services_at(address):
            if parse_address(service.service_address) == wanted:
                return self._builder.pointer_to_service(query, service.service_name)
        return None

    def _write(self, query: Query, reply: Reply) -> bytearray:
        return write_fitting(query, reply, self._settings, recursion_available=bool(self._recursors))
