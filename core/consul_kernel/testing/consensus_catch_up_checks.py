"""Checks of followers that are told how far another server is (clause 10)."""

from __future__ import annotations

import asyncio

from consul_kernel.contracts.consensus import CatchingUpConsensus, LogPosition

from .clauses import require
from .consensus_quorum import Check, MakeConsensus, Node, Quorum
from .virtual_time import virtual_now_ms

AT_ONCE_MS = 10
"""Enough for a follower that has the entry, and less than a leader takes that has nothing else to send."""


async def check_10_1_what_another_server_has_applied_is_applied_soon(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
        leader = await quorum.bootstrap()
        for number in range(20):
            await asyncio.sleep(1)
            await leader.running.propose(b"%d" % number, timeout_ms=5000)
            position = _catching_up(leader).applied()
            assert position is not None
            for follower in quorum.followers(leader):
                caught_up = await _catching_up(follower).catch_up(position, timeout_ms=AT_ONCE_MS)
                require(caught_up, "10.1: a follower that has the entry waits for its leader's word")
                require(follower.commands == leader.commands, "10.1: it returns before the entry is applied")
        require(_catching_up(leader).applied() == position, "10.1: the position is not that of the last entry")


async def check_10_2_it_waits_no_longer_than_it_may_and_takes_no_other_entry(make: MakeConsensus, servers: int) -> None:
    async with Quorum(make, size=servers) as quorum:
        leader = await quorum.bootstrap()
        await quorum.propose(b"x")
        await quorum.until_equal()
        position = _catching_up(leader).applied()
        assert position is not None
        for follower in quorum.followers(leader):
            quorum.crash(follower)
        lost = asyncio.ensure_future(leader.running.propose(b"not committed", timeout_ms=400))
        for wrong in (
            LogPosition(position.index + 1, position.term + 1),
            LogPosition(position.index + 9, position.term),
        ):
            began_ms = virtual_now_ms()
            require(
                not await _catching_up(leader).catch_up(wrong, timeout_ms=100),
                "10.2: it takes an entry that it does not have",
            )
            require(100 <= virtual_now_ms() - began_ms < 150, "10.2: it does not keep to its time")
        require(leader.commands == [b"x"], "10.2: what is not committed is applied")
        await asyncio.wait([lost])
        lost.exception()


def _catching_up(node: Node) -> CatchingUpConsensus:
    consensus = node.running
    assert isinstance(consensus, CatchingUpConsensus)
    return consensus


CATCH_UP_CHECKS: tuple[Check, ...] = (
    check_10_1_what_another_server_has_applied_is_applied_soon,
    check_10_2_it_waits_no_longer_than_it_may_and_takes_no_other_entry,
)
"""What those with the capability `catch-up` keep."""
