"""Commands on their way: those that wait to be written go to the log together, and are answered when applied."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from consul_kernel.contracts.errors import ConsensusError, ProposalOverloadError, ProposalTimeoutError

BATCH_BYTES = 4 * 1024 * 1024
"""Data of the commands that are written together."""
WAITING_BYTES_MAX = 64 * 1024 * 1024


@dataclass(slots=True)
class Waiting:
    """A command, or with `command` None a barrier, or with `kind` another entry; and who waits for it."""

    command: bytes | None
    future: asyncio.Future[Any]
    kind: int = 0

    @property
    def size(self) -> int:
        return len(self.command) if self.command is not None else 0


class Queue:
    """What was asked for and is not applied yet. When full, more is refused."""

    def __init__(self, proposals_max: int) -> None:
        self._max = proposals_max
        self._waiting: list[Waiting] = []
        self._taken: list[Waiting] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, item: Waiting) -> None:
        """Queue something. Raises ProposalOverloadError."""
        if len(self._waiting) + len(self._taken) >= self._max or self._bytes + item.size > WAITING_BYTES_MAX:
            raise ProposalOverloadError(f"{len(self._waiting) + len(self._taken)} commands are waiting to be committed")
        self._bytes += item.size
        self._waiting.append(item)

    def take(self) -> list[Waiting]:
        """The next batch: in order, at most BATCH_BYTES but at least one; without those whose caller has gone."""
        size = count = 0
        for item in self._waiting:
            size += item.size
            if count and size > BATCH_BYTES:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        gone = [item for item in batch if item.future.done()]
        self._bytes -= sum(item.size for item in gone)
        self._taken = [item for item in batch if not item.future.done()]
        return self._taken

    def done(self) -> None:
        """The batch that was taken is applied and answered."""
        self._bytes -= sum(item.size for item in self._taken)
        self._taken = []

    def fail(self, taken: ConsensusError, waiting: ConsensusError) -> None:
        """The server stops: nobody knows what became of the batch that was taken; the rest was never written."""
        for items, error in ((self._taken, taken), (self._waiting, waiting)):
            for item in items:
                if not item.future.done():
                    item.future.set_exception(error)
        self._taken, self._waiting, self._bytes = [], [], 0


async def wait_result(future: asyncio.Future[Any], timeout_ms: int) -> Any:
    """Wait for a result. Raises ProposalTimeoutError after `timeout_ms`."""
    timer = asyncio.get_running_loop().call_later(timeout_ms / 1000, _expire, future)
    try:
        return await future
    finally:
        timer.cancel()


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(ProposalTimeoutError("timed out enqueuing operation"))
