"""Leaving on purpose: the quorum and the pools are told, one after the other, each for a bounded time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

from consul_kernel.contracts.errors import ConsulKernelError
from consul_kernel.server.server import RaftServer

from .anti_entropy import AntiEntropy
from .pools import Pools

logger = logging.getLogger(__name__)

LEAVE_STEP_TIMEOUT_S = 15.0
"""The longest that handing over, telling a pool (13 s at worst), and being let go by the quorum may take, each."""


async def leave_in_order(
    anti_entropy: AntiEntropy, server: RaftServer | None, pools: Pools, drain_time_ms: int
) -> None:
    """Hand leadership over, leave the pools, and wait until the quorum has let go. What fails is logged, no more."""
    logger.info("leaving the pool")
    # Or it would register this agent anew after the leader has taken it out of the catalog.
    await _step(anti_entropy.aclose(), LEAVE_STEP_TIMEOUT_S)
    if server is not None:
        await _step(server.prepare_leave(), LEAVE_STEP_TIMEOUT_S)
    if pools.wan is not None and await _step(pools.wan.leave(), LEAVE_STEP_TIMEOUT_S):
        logger.info("left the WAN pool")
    if await _step(pools.lan.leave(), LEAVE_STEP_TIMEOUT_S):
        logger.info("left the pool")
    if server is not None:
        await _step(server.finish_leave(), LEAVE_STEP_TIMEOUT_S + drain_time_ms / 1000)


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
