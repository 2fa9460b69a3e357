"""Founds the quorum: at once with `bootstrap`, or when `bootstrap_expect` servers have met in the pool."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from consul_kernel.agent.tags import ServerTags
from consul_kernel.contracts.consensus import Consensus, Server
from consul_kernel.contracts.errors import ConsulKernelError

logger = logging.getLogger(__name__)

PEERS_ATTEMPTS = 6
PEERS_BACKOFF_S = 1.0

AskPeers = Callable[[ServerTags], Awaitable[Sequence[str]]]
"""Asks a server for its quorum (`Status.Peers`)."""


class Bootstrap:
    """Waits for enough servers, makes sure that no quorum exists among them, and founds one.

    Every founder does the same with the same list, sorted by id, so that it does not matter who is first.
    """

    def __init__(
        self,
        *,
        consensus: Consensus,
        node_id: str,
        expect: int,
        servers: Callable[[], Sequence[ServerTags]],
        ask_peers: AskPeers,
    ) -> None:
        self._consensus = consensus
        self._node_id = node_id
        self._expect = expect
        self._servers = servers
        self._ask_peers = ask_peers
        self._task: asyncio.Task[None] | None = None
        self._over = expect <= 0
        self._changed = False

    def servers_changed(self) -> None:
        """The pool's servers changed: see whether it is time."""
        self._changed = True
        if not self._over and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run(), name="bootstrap")

    async def aclose(self) -> None:
        """Give up."""
        self._over = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._changed and not self._over:
            self._changed = False
            await self._try()

    async def _try(self) -> None:
        if self._consensus.status().last_log_index > 0 or self._consensus.configuration.servers:
            self._over = True
            return
        founders = sorted(self._servers(), key=lambda server: server.id)
        fault = self._fault(founders)
        if fault:
            logger.error("bootstrap is not possible: %s", fault)
            return
        if len(founders) < self._expect:
            return
        for server in founders:
            if server.id == self._node_id:
                continue
            peers = await self._peers_of(server)
            if peers is None:
                return
            if peers:
                logger.info("server %s already has a quorum; waiting to be added to it", server.name)
                self._over = True
                return
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

    async def _peers_of(self, server: ServerTags) -> Sequence[str] | None:
        for attempt in range(PEERS_ATTEMPTS):
            try:
                return await self._ask_peers(server)
            except (ConsulKernelError, OSError) as error:
                delay_s = PEERS_BACKOFF_S * 2**attempt
                logger.info("server %s did not say its peers (%s), asking again in %.0f s", server.name, error, delay_s)
                await asyncio.sleep(delay_s)
        return None
