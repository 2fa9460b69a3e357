"""Signs of life: a session's pings, and what follows when they are not answered."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from consul_kernel.contracts.errors import TransportError
from consul_kernel.contracts.transport import Address

from .yamux_frames import PING, SYN, header
from .yamux_settings import YamuxSettings

_TURNS_TO_READ = 3
"""Turns of the event loop from bytes in a socket to the count of them."""


class KeepAlive:
    """Pings now and then, and soon when somebody has waited for long.

    `send` queues a frame, `look` is called before each ping, `end` when the peer does not answer one.
    """

    def __init__(
        self,
        settings: YamuxSettings,
        peer: Address,
        *,
        send: Callable[[bytes], None],
        look: Callable[[], None],
        end: Callable[[TransportError], None],
    ) -> None:
        self._settings = settings
        self._peer = peer
        self._send = send
        self._look = look
        self._end = end
        self._loop = asyncio.get_running_loop()
        self.reads = 0
        """How often something came from the peer; the session counts it."""
        self._answered_at = -math.inf
        self._check_due = asyncio.Event()
        self._check_timeout_ms = settings.check_timeout_ms
        self._ping_id = 0
        self._pong: asyncio.Future[None] | None = None
        self._error: TransportError | None = None

    async def run(self) -> None:
        """Until cancelled, or until the peer does not answer."""
        while self._error is None:
            timeout_ms = await self._until_due()
            self._look()
            reads = self.reads
            try:
                async with asyncio.timeout(timeout_ms / 1000):
                    await self.ping()
            except TimeoutError:
                if not await self._has_read_more(reads):
                    self._end(TransportError(f"{self._peer} does not answer"))
                    return
            except TransportError:
                return

    def check(self, timeout_ms: int | None = None) -> None:
        """Ping soon, unless a ping was just answered. `timeout_ms` is for the answer, if less than usual."""
        if self._loop.time() - self._answered_at > self._settings.check_interval_ms / 1000:
            self._check_timeout_ms = min(self._check_timeout_ms, timeout_ms or self._settings.check_timeout_ms)
            self._check_due.set()

    async def ping(self) -> None:
        """Ask for a sign of life and wait for it; one at a time. Raises TransportError when the session is over."""
        if self._error is not None:
            raise self._error
        self._ping_id = (self._ping_id + 1) % 2**32
        self._pong = self._loop.create_future()
        self._send(header(PING, SYN, 0, self._ping_id))
        await self._pong
        if self._error is not None:
            raise self._error

    # --- the session's side ---

    def receive_pong(self, opaque: int) -> None:
        """The peer answered a ping."""
        if opaque == self._ping_id and self._pong is not None and not self._pong.done():
            self._answered_at = self._loop.time()
            self._pong.set_result(None)

    def stop(self, error: TransportError) -> None:
        """The session is over."""
        self._error = error
        if self._pong is not None and not self._pong.done():
            self._pong.set_result(None)

    # --- inside ---

    async def _until_due(self) -> int:
        """Wait for the next ping's time, or until somebody asks for one; how long the answer may take, in ms."""
        try:
            async with asyncio.timeout(self._settings.keepalive_interval_ms / 1000):
                await self._check_due.wait()
        except TimeoutError:
            return self._settings.keepalive_timeout_ms
        finally:
            self._check_due.clear()
        timeout_ms, self._check_timeout_ms = self._check_timeout_ms, self._settings.check_timeout_ms
        return timeout_ms

    async def _has_read_more(self, reads: int) -> bool:
        """Whether anything came; what arrived while this process itself did not run is read first."""
        for _ in range(_TURNS_TO_READ):
            await asyncio.sleep(0)
        return self.reads > reads
