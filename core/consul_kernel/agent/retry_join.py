"""Joins the pool again and again until somebody answers (`retry_join`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from consul_kernel.contracts.errors import MembershipError

logger = logging.getLogger(__name__)


class RetryJoinExhaustedError(MembershipError):
    """`retry_max` attempts were made in vain: the agent is to stop."""


async def retry_join(
    join: Callable[[Sequence[str]], Awaitable[int]],
    addresses: Sequence[str],
    *,
    interval_ms: int,
    max_attempts: int,
) -> None:
    """Return once a join worked; `max_attempts` 0 tries for ever. Raises RetryJoinExhaustedError."""
    attempt = 0
    while True:
        attempt += 1
        try:
            joined = await join(addresses)
        except MembershipError as error:
            if max_attempts and attempt >= max_attempts:
                raise RetryJoinExhaustedError(f"max join retry exhausted after {attempt} attempts: {error}") from error
            logger.warning("join failed, retrying in %.0f s: %s", interval_ms / 1000, " ".join(str(error).split()))
            await asyncio.sleep(interval_ms / 1000)
        else:
            log_joined(joined)
            return


def log_joined(count: int) -> None:
    """Say how many agents answered a join."""
    logger.info("join completed, %d %s answered", count, "agent" if count == 1 else "agents")
