"""Joins the pool again and again until somebody answers (`retry_join`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from consul_kernel.contracts.errors import MembershipError

logger = logging.getLogger(__name__)

FIRST_WAIT_MS = 100


class RetryJoinExhaustedError(MembershipError):
    """`retry_max` attempts were made in vain: the agent is to stop."""


async def retry_join(
    join: Callable[[Sequence[str]], Awaitable[int]],
    addresses: Sequence[str],
    *,
    interval_ms: int,
    max_attempts: int,
    wan: bool = False,
) -> None:
    """Return once a join worked; `max_attempts` 0 tries for ever. Raises RetryJoinExhaustedError.

    Agents that are started together seldom find each other at the first attempt, so who may try for ever tries again
    soon at first, each time after twice the wait, up to `interval_ms`.
    """
    wait_ms = interval_ms if max_attempts else min(FIRST_WAIT_MS, interval_ms)
    attempt = 0
    while True:
        attempt += 1
        try:
            joined = await join(addresses)
        except MembershipError as error:
            if max_attempts and attempt >= max_attempts:
                what = f"max {_which(wan=wan)}join retry exhausted after {attempt} attempts"
                raise RetryJoinExhaustedError(f"{what}: {error}") from error
            level = logging.WARNING if attempt == 1 or wait_ms == interval_ms else logging.DEBUG
            cause = " ".join(str(error).split())
            logger.log(level, "%sjoin failed, retrying in %.1f s: %s", _which(wan=wan), wait_ms / 1000, cause)
            await asyncio.sleep(wait_ms / 1000)
            wait_ms = min(2 * wait_ms, interval_ms)
        else:
            log_joined(joined, wan=wan)
            return


def log_joined(count: int, *, wan: bool = False) -> None:
    """Say how many agents answered a join."""
    logger.info("%sjoin completed, %d %s answered", _which(wan=wan), count, "agent" if count == 1 else "agents")


def _which(*, wan: bool) -> str:
    """The pool, before a line of the log; the LAN is not named."""
    return "WAN " if wan else ""
