"""Joining again and again: soon at first, then at the interval, and no more often than `retry_max` allows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from consul_kernel.agent.retry_join import RetryJoinExhaustedError, retry_join
from consul_kernel.contracts.errors import MembershipError
from consul_kernel.testing.virtual_time import run_virtual


class Pool:
    """Answers from some attempt on; remembers when it was called on."""

    def __init__(self, answers_from: int) -> None:
        self._answers_from = answers_from
        self.called_ms: list[int] = []

    async def join(self, addresses: Sequence[str]) -> int:
        self.called_ms.append(round(asyncio.get_running_loop().time() * 1000))
        if len(self.called_ms) < self._answers_from:
            raise MembershipError(f"Failed to join {addresses[0]}: connection refused")
        return 2


def waits(pool: Pool) -> list[int]:
    return [later - earlier for earlier, later in zip(pool.called_ms, pool.called_ms[1:], strict=False)]


def run(pool: Pool, *, interval_ms: int, max_attempts: int = 0) -> None:
    run_virtual(retry_join(pool.join, ["10.0.0.1"], interval_ms=interval_ms, max_attempts=max_attempts))


def test_who_may_try_for_ever_tries_again_soon_and_then_at_the_interval() -> None:
    pool = Pool(answers_from=12)
    run(pool, interval_ms=30_000)
    assert waits(pool) == [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]


def test_no_wait_is_longer_than_the_interval() -> None:
    pool = Pool(answers_from=4)
    run(pool, interval_ms=50)
    assert waits(pool) == [50, 50, 50]


def test_a_number_of_attempts_is_one_of_intervals() -> None:
    pool = Pool(answers_from=9)
    with pytest.raises(RetryJoinExhaustedError, match=r"exhausted after 3 attempts: Failed to join 10\.0\.0\.1"):
        run(pool, interval_ms=30_000, max_attempts=3)
    assert waits(pool) == [30_000, 30_000]


@pytest.mark.parametrize(
    ("answers_from", "warnings"), [(1, 0), (2, 1), (6, 1), (13, 4)], ids=["at once", "soon", "later", "much later"]
)
def test_the_operator_reads_of_the_first_failure_and_of_each_after_a_whole_interval(
    answers_from: int, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    run(Pool(answers_from), interval_ms=30_000)
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == warnings
