"""The leader ends sessions that nobody renewed within twice their TTL.

The factor covers clocks, delays on the way, and a leader that was only just lost (Consul: `SessionTTLMultiplier`; its
documentation promises no more than that a session does not end before its TTL). Timers are no part of the state: a new
leader gives every session its whole time again, so that a failover ends none.
"""

from __future__ import annotations

import asyncio
import heapq
import logging

from consul_kernel.contracts.consensus import Consensus
from consul_kernel.contracts.errors import ConsensusError, RequestError
from consul_kernel.state.commands import CommandType, encode_command
from consul_kernel.state.machine import ReplicatedState
from consul_kernel.structs.duration import DurationError, parse_duration_ns
from consul_kernel.structs.session import Session, SessionOp, SessionRequest

logger = logging.getLogger(__name__)

TTL_MULTIPLIER = 2
PROPOSE_TIMEOUT_MS = 30_000
RETRY_S = 2.0
"""After a proposal that failed while this server still leads."""
GATHER_S = 0.5
"""How long the first session whose time is over waits for others, so that they share a flush of the log."""
EXPIRED_AT_ONCE = 64
"""Sessions whose end is proposed together; others that are due wait for these."""

_NANOSECONDS_PER_S = 1e9


class SessionTimers:
    """Runs between `start` and `stop`, which is while this server leads; what it is told otherwise has no effect."""

    def __init__(self, *, state: ReplicatedState, consensus: Consensus) -> None:
        self._state = state
        self._consensus = consensus
        self._due_s: dict[str, float] = {}
        self._order: list[tuple[float, str]] = []
        """A heap of the same; a timer that was set anew leaves a line behind until its time."""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._due_s)

    def start(self) -> None:
        """Give all sessions their time."""
        self.stop()
        self._task = asyncio.create_task(self._run(), name="session-timers")
        for session in self._state.sessions.all()[1]:
            self.reset(session)

    def stop(self) -> None:
        """Forget all timers."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._due_s.clear()
        self._order.clear()

    def restart(self) -> None:
        """Do as at the start, where timers run: the state is another one."""
        if self._task is not None:
            self.start()

    def reset(self, session: Session) -> None:
        """A session was created or renewed: it has its whole time before it."""
        ttl_s = ttl_seconds(session)
        if self._task is not None and ttl_s > 0:
            self._set(session.id, asyncio.get_running_loop().time() + TTL_MULTIPLIER * ttl_s)

    def clear(self, session_id: str) -> None:
        """A session is no more."""
        self._due_s.pop(session_id.lower(), None)

    def _set(self, session_id: str, due_s: float) -> None:
        session_id = session_id.lower()
        self._due_s[session_id] = due_s
        heapq.heappush(self._order, (due_s, session_id))
        if len(self._order) > 2 * len(self._due_s) + EXPIRED_AT_ONCE:
            self._order = [(due, one) for one, due in self._due_s.items()]
            heapq.heapify(self._order)
        if self._order[0][1] == session_id:
            self._wake.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            expired = self._take_expired(loop.time())
            if expired:
                await asyncio.gather(*map(self._expire, expired))
                continue
            try:
                async with asyncio.timeout_at(self._order[0][0] + GATHER_S if self._order else None):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()

    def _take_expired(self, now_s: float) -> list[str]:
        """Sessions whose time is over, in the order of their times, once the first has waited for others."""
        self._drop_stale_lines()
        if not self._order or self._order[0][0] + GATHER_S > now_s:
            return []
        expired: list[str] = []
        while self._order and self._order[0][0] <= now_s and len(expired) < EXPIRED_AT_ONCE:
            session_id = heapq.heappop(self._order)[1]
            del self._due_s[session_id]
            expired.append(session_id)
            self._drop_stale_lines()
        return expired

    def _drop_stale_lines(self) -> None:
        """What timers that were set anew, or cleared, have left at the head of the heap."""
        while self._order and self._due_s.get(self._order[0][1]) != self._order[0][0]:
            heapq.heappop(self._order)

    async def _expire(self, session_id: str) -> None:
        request = SessionRequest(op=SessionOp.DESTROY, session=Session(id=session_id))
        try:
            if self._state.sessions.get(session_id)[1] is None:
                return
            await self._consensus.propose(encode_command(CommandType.SESSION, request), timeout_ms=PROPOSE_TIMEOUT_MS)
        except RequestError as error:  # an archive may have brought an id that is none
            logger.warning("session %s cannot be ended: %s", session_id, error)
        except ConsensusError as error:
            logger.info("session %s has expired, and ending it is tried again: %s", session_id, error)
            if session_id not in self._due_s:  # it may have been renewed in the meantime
                self._set(session_id, asyncio.get_running_loop().time() + RETRY_S)
        else:
            logger.info("session %s has expired", session_id)


def ttl_seconds(session: Session) -> float:
    """A session's TTL, 0 for one that has none, or whose TTL is no duration."""
    if not session.ttl:
        return 0.0
    try:
        return parse_duration_ns(session.ttl) / _NANOSECONDS_PER_S
    except DurationError:
        return 0.0
