"""The log, for whoever listens to it from outside: `/v1/agent/monitor`."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from consul_kernel.contracts.errors import AgentError, RequestError

from .logs import JsonFormatter, LineFormatter, ListeningHandler, is_level, level_number

logger = logging.getLogger(__name__)

MAX_WAITING_LINES = 512
"""Of a listener that does not read; further ones are dropped, and counted."""
MAX_LISTENERS = 32


class LogMonitor(ListeningHandler):
    """Implements `contracts.interface.ArchiveStream`: lines as they are logged, each ended by a line break.

    Lines come from any thread; they are read in the event loop in which this was made.
    """

    def __init__(self, level: str, *, as_json: bool, listening: set[LogMonitor]) -> None:
        super().__init__(level_number(level))
        self.setFormatter(JsonFormatter() if as_json else LineFormatter())
        self.dropped = 0
        """Lines that were not read in time, in all."""
        self._untold = 0
        self._waiting: deque[str] = deque()
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._listening = listening
        self._closed = False
        listening.add(self)
        self.attach()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, or count it as dropped."""
        if len(self._waiting) >= MAX_WAITING_LINES:
            self.dropped += 1
            self._untold += 1
            return
        self._waiting.append(self.format(record))
        self._loop.call_soon_threadsafe(self._wake.set)

    def __aiter__(self) -> LogMonitor:
        return self

    async def __anext__(self) -> bytes:
        """What was logged since the last time, once there is something; the end after `aclose`."""
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if self._untold:
            lines.append(self._gap())
            self._untold = 0
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")

    async def aclose(self) -> None:
        """Listen no more. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self.detach()
        self._listening.discard(self)
        self._wake.set()
        if self.dropped:
            logger.warning("Dropped logs during monitor request: dropped_count=%d", self.dropped)

    def _gap(self) -> str:
        text = f"{self._untold} lines are missing here, since what was before them was not read in time"
        return self.format(logging.LogRecord(__name__, logging.WARNING, "", 0, text, None, None))


class Monitors:
    """Everybody who listens."""

    def __init__(self) -> None:
        self.listening: set[LogMonitor] = set()

    def listen(self, level: str, *, as_json: bool) -> LogMonitor:
        """Another one. Raises RequestError for a level that is none, AgentError when there are too many."""
        if not is_level(level):
            raise RequestError(f"Unknown log level: {level}")
        if len(self.listening) >= MAX_LISTENERS:
            raise AgentError(f"{MAX_LISTENERS} clients listen to the log already")
        return LogMonitor(level, as_json=as_json, listening=self.listening)

    async def aclose(self) -> None:
        """End all of them."""
        for monitor in list(self.listening):
            await monitor.aclose()
