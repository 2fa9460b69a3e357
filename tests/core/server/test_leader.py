"""What a leader does, and that nothing but the end of its leadership ends it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, cast

import pytest

from consul_kernel.contracts.consensus import Consensus, LeaderChange
from consul_kernel.contracts.errors import ConsulKernelError, RpcError
from consul_kernel.contracts.membership import Member, MemberEvent, MemberEventKind, Membership, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel.server import leader
from consul_kernel.server.leader import NEW_LEADER_EVENT, LeaderDuties
from consul_kernel.server.reconcile import Reconciler
from consul_kernel.server.session_timers import SessionTimers
from consul_kernel.server.tombstones import TombstoneReaper

ELECTED = LeaderChange(term=1, leader=None, is_self=True)
DEPOSED = LeaderChange(term=2, leader=None, is_self=False)


def member(name: str, status: MemberStatus = MemberStatus.ALIVE) -> Member:
    return Member(name=name, address=Address("127.0.0.9", 8301), tags={}, status=status)


class FakeTimers:
    """Remembers whether the time of sessions is counted, and how often that began anew."""

    def __init__(self) -> None:
        self.running = False
        self.restarted = 0

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def restart(self) -> None:
        self.restarted += 1


class World:
    """Everything around a leader's duties; what they do is put into `done`, in order."""

    def __init__(self) -> None:
        self.done: asyncio.Queue[object] = asyncio.Queue()
        self.pool: list[Member] = [member("a")]
        self.failures: list[Exception] = []
        self.barrier_error: ConsulKernelError | None = None
        self.abandoned = 0
        self.restarted = 0
        self.session_timers = FakeTimers()
        self.autopilots = 0
        self.duties = LeaderDuties(
            node_name="self",
            consensus=cast("Consensus", self),
            membership=cast("Membership", self),
            reconciler=cast("Reconciler", self),
            reaper=cast("TombstoneReaper", self),
            session_timers=cast("SessionTimers", self.session_timers),
            abandon_restore=self.abandon_restore,
            autopilot=self.autopilot,
        )

    async def barrier(self, *, timeout_ms: int) -> None:
        assert timeout_ms > 0
        if self.barrier_error is not None:
            raise self.barrier_error

    async def abandon_restore(self) -> None:
        self.abandoned += 1

    async def autopilot(self) -> None:
        self.autopilots += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.autopilots -= 1

    def restart(self) -> None:
        self.restarted += 1

    async def send_user_event(self, name: str, payload: bytes) -> None:
        self.done.put_nowait((name, payload))

    def members(self) -> Sequence[Member]:
        return self.pool

    async def reconcile_all(self, members: Iterable[Member]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.done.put_nowait([each.name for each in members])

    async def reconcile_many(self, changes: Sequence[tuple[Member, bool]]) -> None:
        for changed, forgotten in changes:
            self.done.put_nowait((changed.name, changed.status, forgotten))

    async def reap(self) -> None:
        pass

    async def next(self) -> Any:
        async with asyncio.timeout(5):
            return await self.done.get()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.duties.aclose()


async def test_a_leader_announces_itself_and_reconciles_everybody(world: World) -> None:
    world.duties.leadership_changed(ELECTED)
    assert await world.next() == (NEW_LEADER_EVENT, b"self")
    assert await world.next() == ["a"]


async def test_a_change_is_reconciled_at_once_and_only_the_latest_counts(world: World) -> None:
    world.duties.leadership_changed(ELECTED)
    assert [await world.next(), await world.next()][1] == ["a"]
    world.duties.member_changed(MemberEvent(MemberEventKind.FAILED, member("b", MemberStatus.FAILED)))
    world.duties.member_changed(MemberEvent(MemberEventKind.REAP, member("b", MemberStatus.LEFT)))
    assert await world.next() == ("b", MemberStatus.LEFT, True)
    assert world.done.empty()


async def test_what_happened_before_the_election_is_not_done_twice(world: World) -> None:
    world.duties.member_changed(MemberEvent(MemberEventKind.JOIN, member("a")))
    world.duties.leadership_changed(ELECTED)
    assert [await world.next(), await world.next()][1] == ["a"]
    world.duties.member_changed(MemberEvent(MemberEventKind.JOIN, member("c")))
    assert await world.next() == ("c", MemberStatus.ALIVE, False)


@pytest.mark.parametrize("failure", [RpcError("refused"), KeyError("a fault of ours")])
async def test_a_failure_does_not_end_the_duties(
    world: World, failure: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leader, "RECONCILE_RETRY_S", 0.001)
    world.failures = [failure, failure]
    world.duties.leadership_changed(ELECTED)
    await world.next()
    assert await world.next() == ["a"]
    assert caplog.text.count("tried again") == 2


async def test_whoever_turns_out_not_to_leave_is_reconciled_without_news(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "LEAVING_LOOK_S", 0.001)
    world.pool = [member("a"), member("b", MemberStatus.LEAVING)]
    world.duties.leadership_changed(ELECTED)
    await world.next()
    for _ in range(3):
        assert await world.next() == ["a", "b"]
    world.pool = [member("b")]
    while await world.next() != ["b"]:
        pass  # no event tells that it stays


async def test_a_barrier_that_fails_does_not_end_the_duties(world: World) -> None:
    world.barrier_error = RpcError("timed out")
    world.duties.leadership_changed(ELECTED)
    assert await world.next() == ["a"]


async def test_duties_end_with_leadership(world: World) -> None:
    world.duties.leadership_changed(ELECTED)
    assert [await world.next(), await world.next()][1] == ["a"]
    world.duties.leadership_changed(DEPOSED)
    world.duties.member_changed(MemberEvent(MemberEventKind.JOIN, member("c")))
    await world.duties.aclose()
    assert world.done.empty()


async def test_autopilot_runs_while_the_server_leads(world: World) -> None:
    for _ in range(2):
        world.duties.leadership_changed(ELECTED)
        await world.next()
        assert world.autopilots == 1
    world.duties.leadership_changed(DEPOSED)
    await world.duties.aclose()
    assert world.autopilots == 0


async def test_a_flood_of_members_takes_time_in_proportion(world: World) -> None:
    """65 536 forged members once cost seconds in which nobody was answered: each was searched for behind all gaps."""
    world.duties.leadership_changed(ELECTED)
    assert [await world.next(), await world.next()][1] == ["a"]

    async def seconds(count: int) -> float:
        for number in range(count):
            world.duties.member_changed(MemberEvent(MemberEventKind.JOIN, member(f"m{number}")))
        started = time.process_time()
        for number in range(count):
            assert await world.next() == (f"m{number}", MemberStatus.ALIVE, False)
        return time.process_time() - started

    few = max(await seconds(4_000), 0.01)
    assert await seconds(64_000) < 16 * few * 3, (
        "16 times as many, three times that for a busy machine; it was 40 times"
    )
