"""DNS over TCP (RFC 7766): frames with a length in front, several queries on one connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from consul_kernel.contracts.transport import Address

from .answerer import Answerer
from .config import DnsInterfaceConfig
from .plans import Plan
from .udp import CLOSE_PATIENCE_S

logger = logging.getLogger(__name__)


class TcpServer:
    """Answers connections, each with a bounded number of queries under way. Answers may overtake each other."""

    def __init__(self, answerer: Answerer, config: DnsInterfaceConfig) -> None:
        self.settle(answerer, config)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._answering: set[asyncio.Task[None]] = set()

    def settle(self, answerer: Answerer, config: DnsInterfaceConfig) -> None:
        """Go by these from the next query on; the number of queries under way is that of the connection's beginning."""
        self._answerer = answerer
        self._max_connections = config.max_tcp_connections
        self._max_pipeline = config.max_tcp_pipeline
        self._idle_timeout_s = config.tcp_idle_timeout_ms / 1000

    async def open(self, bind: Address) -> Address:
        """Bind and serve; the bound address. Raises OSError."""
        self._server = await asyncio.start_server(self._accept, bind.host, bind.port, reuse_address=True)
        return Address(*self._server.sockets[0].getsockname()[:2])

    async def aclose(self) -> None:
        """Stop accepting, give queries under way a second, and close every connection. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._answering:
            await asyncio.wait(self._answering, timeout=CLOSE_PATIENCE_S)
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= self._max_connections:
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        free = asyncio.Semaphore(self._max_pipeline)
        answering: set[asyncio.Task[None]] = set()
        try:
            while True:
                await free.acquire()
                packet = await self._read_frame(reader)
                task = asyncio.get_running_loop().create_task(self._answer(packet, writer, free))
                for tasks in (answering, self._answering):
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
        except (TimeoutError, EOFError, OSError):
            # The asker has nothing more to say, or is gone; what it has asked it may still wait for.
            await asyncio.gather(*answering, return_exceptions=True)
        finally:
            for task in answering:
                task.cancel()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _read_frame(self, reader: asyncio.StreamReader) -> bytes:
        async with asyncio.timeout(self._idle_timeout_s):
            size = int.from_bytes(await reader.readexactly(2), "big")
            return await reader.readexactly(size)

    async def _answer(self, packet: bytes, writer: asyncio.StreamWriter, free: asyncio.Semaphore) -> None:
        try:
            answerer, begun_s = self._answerer, time.perf_counter()
            understood = answerer.understand(packet, is_tcp=True)
            if understood is None:
                return
            if isinstance(understood, Plan):
                message = await answerer.answer(understood, packet, writer.get_extra_info("peername")[0])
                answerer.times.answered(understood, begun_s)
            else:
                message = understood
            writer.write((len(message) + 2).to_bytes(2, "big") + packet[:2] + message)
            async with asyncio.timeout(self._idle_timeout_s):
                await writer.drain()
        except (TimeoutError, OSError):
            # It does not take its answers.
            writer.close()
        except Exception:
            logger.exception("answering a DNS query failed")
            raise
        finally:
            free.release()
