"""DNS over UDP: one socket, read until it is empty, answered in groups.

All queries of one burst that need the same read of the catalog share it: they had all arrived before it began,
so none is answered with anything older than itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any

from consul_kernel.contracts.transport import Address

from .answerer import Answerer
from .catalog_reader import ReadError
from .config import DnsInterfaceConfig
from .datagrams import DatagramSocket
from .material import Found
from .naming import NodeRead, ServiceRead
from .plans import Plan

logger = logging.getLogger(__name__)

_MAX_BURST = 64
CLOSE_PATIENCE_S = 1.0
"""What queries under way are given when the interface closes."""

Waiting = tuple[Plan, bytes, Any]
"""A plan, the packet that asked, and where to answer."""


class UdpServer:
    """Answers datagrams. When `max_in_flight` queries wait, further ones are dropped: askers ask again."""

    def __init__(self, answerer: Answerer, config: DnsInterfaceConfig) -> None:
        self.settle(answerer, config)
        self._in_flight = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: DatagramSocket | None = None
        self.dropped = 0
        """Queries that were dropped because too many waited."""

    def settle(self, answerer: Answerer, config: DnsInterfaceConfig) -> None:
        """Go by these from the next packet on."""
        self._answerer = answerer
        self._max_in_flight = config.max_queries_in_flight

    def open(self, bind: Address) -> Address:
        """Bind and serve; the bound address. Raises OSError."""
        self._socket = DatagramSocket(bind)
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._receive)
        return self._socket.address

    async def aclose(self) -> None:
        """Take no more; give queries under way a second. Idempotent."""
        if self._socket is None:
            return
        server = self._socket
        asyncio.get_running_loop().remove_reader(server.fileno())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_PATIENCE_S)
        self._socket = None
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _receive(self) -> None:
        """Take what has arrived, at most a burst, and see to it that everything is answered."""
        begun_s = time.perf_counter()
        by_read: dict[ServiceRead | NodeRead, list[Waiting]] = {}
        server = self._socket
        if server is None:
            return
        understand = self._answerer.understand
        for _ in range(_MAX_BURST):
            try:
                packet, asker = server.receive()
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                # An ICMP error about an earlier answer; the socket itself is well.
                continue
            understood = understand(packet, is_tcp=False)
            if understood is None:
                continue
            if not isinstance(understood, Plan):
                self._send(understood, packet, asker)
            elif self._in_flight >= self._max_in_flight:
                self.dropped += 1
            elif understood.read is None:
                self._start(self._answer_alone(self._answerer, understood, packet, asker, begun_s), 1)
            else:
                by_read.setdefault(understood.read, []).append((understood, packet, asker))
                self._in_flight += 1
        for read, waiting in by_read.items():
            self._in_flight -= len(waiting)
            self._start(self._answer_group(self._answerer, read, waiting, begun_s), len(waiting))

    def _start(self, answering: Coroutine[Any, Any, None], count: int) -> None:
        self._in_flight += count
        task = asyncio.get_running_loop().create_task(answering)
        self._tasks.add(task)

        def finished(done: asyncio.Task[None]) -> None:
            self._in_flight -= count
            self._tasks.discard(done)
            if not done.cancelled() and (error := done.exception()) is not None:
                logger.error("answering a DNS query failed", exc_info=error)

        task.add_done_callback(finished)

    async def _answer_alone(self, answerer: Answerer, plan: Plan, packet: bytes, asker: Any, begun_s: float) -> None:
        self._send(await answerer.answer(plan, packet, self._host_of(asker)), packet, asker)
        answerer.times.answered(plan, begun_s)

    async def _answer_group(
        self, answerer: Answerer, read: ServiceRead | NodeRead, waiting: list[Waiting], begun_s: float
    ) -> None:
        try:
            found = await answerer.find(read)
        except ReadError as error:
            for plan, packet, asker in waiting:
                self._send(answerer.refuse(plan, error), packet, asker)
            return
        for plan, packet, asker in waiting:
            message = answerer.show(plan, found, self._host_of(asker))
            if message is None:
                self._start(self._answer_chased(answerer, plan, found, packet, asker), 1)
            else:
                self._send(message, packet, asker)
        answerer.times.answered(waiting[0][0], begun_s, len(waiting))

    async def _answer_chased(self, answerer: Answerer, plan: Plan, found: Found, packet: bytes, asker: Any) -> None:
        self._send(await answerer.show_chased(plan, found, self._host_of(asker)), packet, asker)

    def _host_of(self, asker: Any) -> str:
        return "" if self._socket is None else self._socket.host_of(asker)

    def _send(self, message: bytes, packet: bytes, asker: Any) -> None:
        if self._socket is None:
            return
        try:
            self._socket.send(packet[:2] + message, asker)
        except OSError:
            # A full buffer or an unreachable asker: a lost datagram, as the network loses them.
            self.dropped += 1
