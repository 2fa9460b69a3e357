"""The bounds on what callers may hold of a server's memory, by themselves."""

from __future__ import annotations

import asyncio
import logging

import pytest

from consul_kernel.rpc.bounds import MAX_WARNINGS_PER_MINUTE, Complaints, PendingRequests, Tally, UnreadReplies
from consul_kernel.rpc.errors import WireError
from consul_kernel.testing.virtual_time import run_virtual


def test_a_tally_forgets_who_has_none() -> None:
    tally = Tally()
    for host in ("a", "b", "a"):
        tally.add(host)
    assert (tally.total, tally.of("a"), tally.of("b"), tally.of("c")) == (3, 2, 1, 0)
    for host in ("a", "a", "b"):
        tally.remove(host)
    assert (tally.total, tally._by_host) == (0, {})


def test_pending_requests_are_bounded_for_all_and_for_each() -> None:
    pending = PendingRequests(limit=100, limit_per_host=60)
    pending.take("a", 60)
    with pytest.raises(WireError, match="pending requests of a hold more than 60 bytes"):
        pending.take("a", 1)
    pending.take("b", 40)
    with pytest.raises(WireError, match="pending requests hold more than 100 bytes"):
        pending.take("b", 1)
    assert pending.held == 100
    pending.take("a", -60)
    pending.take("b", 20)
    pending.take("b", -60)
    assert (pending.held, pending._by_host) == (0, {})


def test_callers_cannot_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def program() -> None:
        complaints = Complaints(logging.getLogger("consul_kernel.rpc.server"))
        for number in range(MAX_WARNINGS_PER_MINUTE + 5):
            complaints.warn("bad request from %s", number)
        await asyncio.sleep(60)
        complaints.warn("bad request from %s", "a")

    run_virtual(program())
    assert caplog.messages[-2:] == ["5 more warnings about callers were not logged", "bad request from a"]
    assert len(caplog.messages) == MAX_WARNINGS_PER_MINUTE + 2


class Senders:
    """Tasks that send replies of 10 bytes each, and the order in which they came to it."""

    def __init__(self, unread: UnreadReplies) -> None:
        self._unread = unread
        self.sent: list[str] = []

    def start(self, name: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._send(name))

    async def _send(self, name: str) -> None:
        host = name[0]
        await self._unread.wait_for_room(host)
        self._unread.add(host, 10)
        self.sent.append(name)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_replies_wait_in_order_until_the_host_has_read() -> None:
    async def program() -> None:
        unread = UnreadReplies(limit=1000, limit_per_host=30, share=10)
        senders = Senders(unread)
        tasks = [senders.start(f"a{number}") for number in range(6)]
        await turns()
        assert senders.sent == ["a0", "a1", "a2"]
        assert (unread.is_full("a"), unread.is_full("b"), unread.of("a")) == (True, False, 30)
        senders.start("b0")
        await turns()
        assert senders.sent[3:] == ["b0"]
        unread.remove("a", 10)
        await turns()
        assert senders.sent[4:] == ["a3"]
        tasks[4].cancel()
        unread.remove("a", 10)
        await turns()
        assert senders.sent[5:] == ["a5"]
        for _ in range(3):
            unread.remove("a", 10)
        unread.remove("b", 10)
        assert (unread.held, unread._by_host, unread._waiters) == (0, {}, {})

    run_virtual(program())


def test_one_who_is_cancelled_when_its_turn_has_come_passes_it_on() -> None:
    async def program() -> None:
        unread = UnreadReplies(limit=1000, limit_per_host=10, share=10)
        senders = Senders(unread)
        tasks = [senders.start(f"a{number}") for number in range(3)]
        await turns()
        unread.remove("a", 10)
        tasks[1].cancel()
        await turns()
        assert senders.sent == ["a0", "a2"]

    run_virtual(program())


def test_when_all_is_taken_each_host_still_has_its_share() -> None:
    async def program() -> None:
        unread = UnreadReplies(limit=50, limit_per_host=40, share=20)
        senders = Senders(unread)
        for name in ("a0", "a1", "a2", "a3", "b0", "b1", "b2"):
            senders.start(name)
        await turns()
        assert senders.sent == ["a0", "a1", "a2", "a3", "b0", "b1"], "b has its share, and no more"
        unread.remove("a", 10)
        unread.remove("a", 10)
        await turns()
        assert senders.sent[6:] == ["b2"]

    run_virtual(program())
