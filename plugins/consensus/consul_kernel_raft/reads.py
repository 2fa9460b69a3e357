"""Reads on their way: from `verify_leader` to the confirmed and applied index."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from consul_kernel.contracts.errors import ConsensusError, LeadershipLostError

from .core import ReadState

_LOST = "leadership lost while verifying it"


class ReadWaiters:
    """Futures by request id, then by the index that has to be applied."""

    def __init__(self) -> None:
        self.unasked: list[int] = []
        self._asked: dict[int, asyncio.Future[None]] = {}
        self._confirmed: list[tuple[int, asyncio.Future[None]]] = []
        self._next_id = 1

    async def confirm(self, timeout_ms: int) -> None:
        """Wait for a request that the next turn takes. Raises LeadershipLostError.

        A timer of our own: `asyncio.timeout` costs several times as much, and this is on the path of consistent reads.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._asked[self._next_id] = future
        self.unasked.append(self._next_id)
        self._next_id += 1
        timer = loop.call_later(timeout_ms / 1000, _expire, future, timeout_ms)
        try:
            await future
        finally:
            timer.cancel()

    def take_unasked(self) -> list[int]:
        """The requests since the last turn."""
        unasked, self.unasked = self.unasked, []
        return unasked

    def confirmed(self, states: Sequence[ReadState]) -> None:
        """The algorithm has answered."""
        for state in states:
            future = self._asked.pop(state.request_id, None)
            if future is None or future.done():
                continue
            if state.index is None:
                future.set_exception(LeadershipLostError(_LOST))
            else:
                self._confirmed.append((state.index, future))

    def applied(self, index: int) -> None:
        """Release those that may read now."""
        if not self._confirmed:
            return
        waiting = []
        for wanted, future in self._confirmed:
            if wanted > index:
                waiting.append((wanted, future))
            elif not future.done():
                future.set_result(None)
        self._confirmed = waiting

    def fail(self, error: ConsensusError) -> None:
        """The server stops."""
        futures = [*self._asked.values(), *(future for _, future in self._confirmed)]
        self._asked.clear()
        self._confirmed.clear()
        self.unasked.clear()
        for future in futures:
            if not future.done():
                future.set_exception(error)


def _expire(future: asyncio.Future[None], timeout_ms: int) -> None:
    if not future.done():
        future.set_exception(LeadershipLostError(f"no quorum confirmed the leadership within {timeout_ms} ms"))
