"""Founds the quorum when `bootstrap_expect` servers have met in the pool.

Servers that start at once see different parts of the pool for a moment. If each founded a quorum of those that it sees,
two of them could be without a server in common, and both would take writes. So one server founds, the one with
the least id, and only once every server that it sees sees exactly the same ones. Whoever agrees to a founder agrees to
no other for a while, longer than the founder may take.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from consul_kernel.agent.tags import ServerTags
from consul_kernel.contracts.consensus import Consensus, Server
from consul_kernel.contracts.errors import ConsulKernelError
from consul_kernel.structs.founding import FoundingReply, FoundingRequest

logger = logging.getLogger(__name__)

FOUND_WITHIN_MS = 10_000
"""A founder that takes longer, from its first question on, gives up and asks anew."""
PROMISE_MS = 30_000
"""How long a server agrees to no other founder. The rest of the time is for clocks, and for entry 1 to spread."""
RETRY_MIN_S, RETRY_MAX_S = 0.1, 30.0
"""Servers that start at once see one another within tenths of a second, so the first tries are close together."""

AskToFound = Callable[[ServerTags, FoundingRequest], Awaitable[FoundingReply]]
"""Asks a server whether it agrees (`Status.Found`); it may answer with what an older version's `Status.Peers` says."""


class Bootstrap:
    """Waits for enough servers, makes sure that no quorum exists among them and that all agree, and founds one."""

    def __init__(
        self,
        *,
        consensus: Consensus,
        node_id: str,
        expect: int,
        servers: Callable[[], Sequence[ServerTags]],
        ask_to_found: AskToFound,
        now_ms: Callable[[], int],
    ) -> None:
        """`servers` gives those that gossip has alive, this one among them."""
        self._consensus = consensus
        self._node_id = node_id
        self._expect = expect
        self._servers = servers
        self._ask_to_found = ask_to_found
        self._now_ms = now_ms
        self._promised_to = ""
        self._promised_until_ms = 0
        self._task: asyncio.Task[None] | None = None
        self._over = expect <= 0
        self._changed = asyncio.Event()

    def servers_changed(self) -> None:
        """The pool's servers changed: see whether it is time."""
        self._changed.set()
        if not self._over and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run(), name="bootstrap")

    def consider(self, request: FoundingRequest) -> FoundingReply:
        """Answer a server that wants to found: agree where this one has no quorum, sees the same, and is not bound."""
        peers = [server.address for server in self._consensus.configuration.servers]
        founders = self._founders()
        ids = tuple(server.id for server in founders)
        if self._has_past():
            return FoundingReply(peers=peers, servers=list(ids))
        agrees = (
            ids == tuple(request.servers or ())
            and ids[:1] == (request.founder,)
            and not self._fault(founders)
            and self._promise(request.founder)
        )
        return FoundingReply(agrees=agrees, servers=list(ids))

    async def aclose(self) -> None:
        """Give up."""
        self._over = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # --- inside ---

    def _founders(self) -> list[ServerTags]:
        return sorted(self._servers(), key=lambda server: server.id)

    def _has_past(self) -> bool:
        return self._consensus.status().last_log_index > 0 or bool(self._consensus.configuration.servers)

    def _promise(self, founder: str) -> bool:
        """Agree to this founder and to no other for a while; False where another one has that promise.

        A founder that asks again, perhaps with other servers, has given up what it asked for before.
        """
        now_ms = self._now_ms()
        if founder != self._promised_to and now_ms < self._promised_until_ms:
            return False
        self._promised_to, self._promised_until_ms = founder, now_ms + PROMISE_MS
        return True

    async def _run(self) -> None:
        """Try after each change, and from time to time while it could be this server's turn."""
        delay_s = RETRY_MIN_S
        while not self._over:
            self._changed.clear()
            if self._has_past():
                self._over = True
            elif not await self._try():
                return
            try:
                async with asyncio.timeout(delay_s):
                    await self._changed.wait()
                delay_s = RETRY_MIN_S
            except TimeoutError:
                delay_s = min(2 * delay_s, RETRY_MAX_S)

    async def _try(self) -> bool:
        """Found, if that is for this server to do now; whether it is worth trying again before the pool changes."""
        founders = self._founders()
        fault = self._fault(founders)
        if fault:
            logger.error("bootstrap is not possible: %s", fault)
            return False
        if len(founders) < self._expect:
            return False
        if founders[0].id != self._node_id:
            logger.info("server %s is to found the quorum", founders[0].name)
            return False
        began_ms = self._now_ms()
        if not self._promise(self._node_id):
            return True
        request = FoundingRequest(founder=self._node_id, servers=[server.id for server in founders])
        others = founders[1:]
        replies = await asyncio.gather(*(self._ask(server, request) for server in others))
        for server, reply in zip(others, replies, strict=True):
            if reply is not None and reply.peers:
                logger.info("server %s already has a quorum; waiting to be added to it", server.name)
                self._over = True
                return False
        agreed = all(reply is not None and reply.agrees for reply in replies)
        if not agreed or self._now_ms() - began_ms > FOUND_WITHIN_MS:
            logger.info("not all of the %d servers agree to found a quorum of them yet", len(founders))
            return True
        await self._found(founders)
        return False

    async def _found(self, founders: Sequence[ServerTags]) -> None:
        addresses = ", ".join(server.address for server in founders)
        logger.info("found the expected number of servers, founding the quorum: %s", addresses)
        try:
            await self._consensus.bootstrap([Server(server.id, server.address) for server in founders])
        except ConsulKernelError as error:
            logger.info("no quorum was founded: %s", error)
        self._over = True

    def _fault(self, founders: Sequence[ServerTags]) -> str:
        for server in founders:
            if server.bootstrap:
                return f"server {server.name} has bootstrap set, so expect cannot be used"
            if server.expect not in (0, self._expect):
                return f"server {server.name} expects {server.expect} servers, this one {self._expect}"
        return ""

    async def _ask(self, server: ServerTags, request: FoundingRequest) -> FoundingReply | None:
        try:
            return await self._ask_to_found(server, request)
        except (ConsulKernelError, OSError) as error:
            logger.info("server %s did not say whether it agrees to found a quorum: %s", server.name, error)
            return None
