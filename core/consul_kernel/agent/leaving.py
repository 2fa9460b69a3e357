"""Leaving on purpose: the quorum is told, then the pools at once, each for a bounded time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

from consul_kernel.contracts.errors import ConsulKernelError
from consul_kernel.contracts.membership import Membership
from consul_kernel.server.server import RaftServer

from .anti_entropy import AntiEntropy
from .pools import Pools

logger = logging.getLogger(__name__)

LEAVE_STEP_TIMEOUT_S = 15.0
"""The longest that handing over, telling a pool (13 s at worst), and being let go by the quorum may take, each."""


async def leave_in_order(
    anti_entropy: AntiEntropy, server: RaftServer | None, pools: Pools, drain_time_ms: int
) -> None:
    """Hand leadership over, leave the pools, and wait until the quorum has let go. What fails is logged, no more.

    Each pool takes four seconds, most of them for the news to spread (LeavePropagateDelay). Consul leaves them one
    after the other; neither needs the other.
    """
    logger.info("leaving the pool")
    # Or it would register this agent anew after the leader has taken it out of the catalog.
    await _step(anti_entropy.aclose(), LEAVE_STEP_TIMEOUT_S)
    if server is not None:
        await _step(server.prepare_leave(), LEAVE_STEP_TIMEOUT_S)
    leaving = [_leave_pool(pools.lan, "left the pool")]
    if pools.wan is not None:
        leaving.append(_leave_pool(pools.wan, "left the WAN pool"))
    await asyncio.gather(*leaving)
    if server is not None:
        await _step(server.finish_leave(), LEAVE_STEP_TIMEOUT_S + drain_time_ms / 1000)


async def _leave_pool(pool: Membership, done: str) -> None:
    if await _step(pool.leave(), LEAVE_STEP_TIMEOUT_S):
        logger.info(done)


async def _step(step: Awaitable[None], timeout_s: float) -> bool:
    """One step of leaving; whether it worked. If not, the agent goes on to the next, and stops, all the same."""
    try:
        async with asyncio.timeout(timeout_s):
            await step
        return True
    except (ConsulKernelError, TimeoutError) as error:
        logger.warning("the agent could not leave in full: %s", str(error) or f"no end after {timeout_s:.0f} s")
    except Exception:
        logger.exception("the agent could not leave in full")
    return False
