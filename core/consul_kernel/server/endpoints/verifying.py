"""Consistent reads: the quorum is asked once for all that came in the same moment."""

from __future__ import annotations

import asyncio
import time

from consul_kernel.contracts.consensus import Consensus
from consul_kernel.contracts.errors import ConsensusError, LeadershipLostError, NotLeaderError, RpcError
from consul_kernel.contracts.metrics import Sample

NO_LEADER = "No cluster leader"
"""The router knows this text: nothing has happened, and the call may be tried again."""


class LeaderCheck:
    """Makes sure, for reads, that this server leads (ReadIndex).

    A check holds for every read that came before it began. So those of one turn of the event loop share one, which
    begins with the next turn: the quorum is asked no more often than it can answer, however many read.
    """

    def __init__(self, consensus: Consensus, timeout_ms: int, took: Sample) -> None:
        """`took` is how long reads waited for it, in milliseconds."""
        self._consensus = consensus
        self._timeout_ms = timeout_ms
        self._took = took
        self._next: list[asyncio.Future[None]] = []
        self._checks: set[asyncio.Task[None]] = set()

    async def passed(self) -> None:
        """Return once this server is known to have led after the call. RpcError with Consul's text where it is not."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        if not self._next:
            check = loop.create_task(self._check())
            self._checks.add(check)
            check.add_done_callback(self._checks.discard)
        self._next.append(future)
        await future

    async def _check(self) -> None:
        waiting, self._next = self._next, []
        refusal = RpcError(NO_LEADER)  # what they hear when the server is stopped meanwhile
        is_leader = False
        begun_s = time.perf_counter()
        try:
            await verify_leader(self._consensus, self._timeout_ms)
            is_leader = True
            self._took.add((time.perf_counter() - begun_s) * 1000, len(waiting))
        except RpcError as error:
            refusal = error
        finally:
            for future in waiting:
                if future.done():  # its client has gone
                    continue
                if is_leader:
                    future.set_result(None)
                else:
                    failure = RpcError(str(refusal))
                    failure.__cause__ = refusal.__cause__
                    future.set_exception(failure)


async def verify_leader(consensus: Consensus, timeout_ms: int) -> None:
    """Make sure, for one caller and at once, that this server leads. RpcError with Consul's text."""
    try:
        await consensus.verify_leader(timeout_ms=timeout_ms)
    except (NotLeaderError, LeadershipLostError) as error:
        raise RpcError(NO_LEADER) from error
    except ConsensusError as error:
        raise RpcError("Not ready to serve consistent reads") from error
