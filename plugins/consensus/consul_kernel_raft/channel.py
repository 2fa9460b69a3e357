"""One outgoing connection to one server: requests out, answers back in order, pipelined."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from consul_kernel.contracts.errors import ConsulKernelError, PeerProtocolError
from consul_kernel.contracts.transport import Stream

from .core.messages import Request
from .wire import new_unpacker

_log = logging.getLogger(__name__)
_READ_BYTES = 64 * 1024
_BACKOFF_MIN_S = 0.01
_BACKOFF_MAX_S = 0.5
"""Consul waits up to ten seconds; a server that comes back should not have to."""

Answered = Callable[[Request, Any, Any], None]
"""Called with the request, the error text and the map that answered it. Raises PeerProtocolError."""
Unanswered = Callable[[str], None]
"""Called with the reason when requests were not delivered or not answered."""
Timed = Callable[[Request, float], None]
"""Called with an answered request and how long that took, in seconds."""


class Channel:
    """Connects when there is something to send, and again, with back-off, after it broke.

    At most `outstanding_max` requests are unanswered; more are refused, and so is everything during back-off.
    A request that is not answered within `timeout_ms` breaks the connection.
    """

    def __init__(
        self,
        dial: Callable[[], Awaitable[Stream]],
        on_answer: Answered,
        on_broken: Callable[[], None],
        on_unanswered: Unanswered,
        on_timed: Timed,
        *,
        timeout_ms: int,
        outstanding_max: int,
    ) -> None:
        self._dial = dial
        self._on_unanswered = on_unanswered
        self._on_answer = on_answer
        self._on_timed = on_timed
        self._on_broken = on_broken
        self._timeout_s = timeout_ms / 1000
        self._outstanding_max = outstanding_max
        self._waiting: deque[tuple[Request, bytes]] = deque()
        """Requests for which the connection is being made."""
        self._outstanding: deque[tuple[Request, float]] = deque()
        self._stream: Stream | None = None
        self._task: asyncio.Task[None] | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._failures = 0
        self._failure = ""
        """Why the connection ended; empty: the other side closed it."""
        self._retry_at_s = 0.0
        self._closed = False

    def send(self, request: Request, frame: bytes) -> bool:
        """Send a request; False when it was dropped."""
        if self._closed or len(self._outstanding) + len(self._waiting) >= self._outstanding_max:
            return False
        if self._stream is not None:
            self._write(request, frame)
            return True
        loop = asyncio.get_running_loop()
        if self._task is None:
            if loop.time() < self._retry_at_s:
                return False
            self._task = loop.create_task(self._run())
        self._waiting.append((request, frame))
        return True

    def _write(self, request: Request, frame: bytes) -> None:
        stream = self._stream
        assert stream is not None
        loop = asyncio.get_running_loop()
        self._outstanding.append((request, loop.time() + self._timeout_s))
        if self._watchdog is None:
            self._watchdog = loop.call_later(self._timeout_s, self._watch)
        stream.write(frame)  # bounded by outstanding_max, so there is no need to wait for the drain

    def _watch(self) -> None:
        self._watchdog = None
        if not self._outstanding or self._stream is None:
            return
        loop = asyncio.get_running_loop()
        oldest_until_s = self._outstanding[0][1]
        if loop.time() >= oldest_until_s:
            self._failure = f"no answer within {self._timeout_s * 1000:.0f} ms"
            self._stream.close()  # the reader sees the end and cleans up
            if self._task is not None:
                self._task.cancel()
        else:
            self._watchdog = loop.call_at(oldest_until_s, self._watch)

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                stream = await self._dial()
            try:
                self._stream = stream
                self._failures = 0
                while self._waiting:
                    self._write(*self._waiting.popleft())
                await self._read(stream)
            finally:
                stream.close()
        except (ConsulKernelError, OSError, TimeoutError) as error:
            self._failure = self._failure or str(error) or f"no connection within {self._timeout_s * 1000:.0f} ms"
            _log.debug("raft: connection failed: %s", self._failure)
        except asyncio.CancelledError:
            if self._closed:
                raise
        except Exception as error:  # noqa: BLE001 -- logged; one peer never harms another
            self._failure = repr(error)
            _log.exception("raft: connection failed")
        finally:
            self._broken()

    async def _read(self, stream: Stream) -> None:
        """Take answers in until the peer closes. Raises PeerProtocolError."""
        unpacker = new_unpacker()
        values: list[Any] = []
        while data := await stream.read(_READ_BYTES):
            try:
                unpacker.feed(data)
                for value in unpacker:
                    values.append(value)
                    if len(values) == 2:
                        if not self._outstanding:
                            raise PeerProtocolError("an answer that nobody waits for")
                        request, until_s = self._outstanding.popleft()
                        self._on_timed(request, self._timeout_s - (until_s - asyncio.get_running_loop().time()))
                        self._on_answer(request, values[0], values[1])
                        values.clear()
            except (ValueError, RecursionError) as error:
                raise PeerProtocolError(f"an answer cannot be read: {error!r}") from error

    def _broken(self) -> None:
        self._stream = None
        self._task = None
        if (self._outstanding or self._waiting) and not self._closed:
            self._on_unanswered(self._failure or "the other side closed the connection without an answer")
        self._failure = ""
        self._outstanding.clear()
        self._waiting.clear()
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        if self._closed:
            return
        self._failures += 1
        wait_s = min(_BACKOFF_MAX_S, _BACKOFF_MIN_S * 2 ** max(0, min(self._failures, 10) - 2))
        self._retry_at_s = asyncio.get_running_loop().time() + wait_s
        self._on_broken()

    async def aclose(self) -> None:
        """Break the connection for good."""
        self._closed = True
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
