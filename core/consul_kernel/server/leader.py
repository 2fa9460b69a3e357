"""What a server does while it leads, and only then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from consul_kernel.contracts.consensus import Consensus, LeaderChange
from consul_kernel.contracts.errors import ConsensusError, ConsulKernelError
from consul_kernel.contracts.membership import Member, MemberEvent, MemberEventKind, Membership, MemberStatus
from consul_kernel.contracts.metrics import NO_METRICS, Metrics

from .measuring import timed
from .reconcile import Reconciler
from .session_timers import SessionTimers
from .tombstones import TombstoneReaper

logger = logging.getLogger(__name__)

RECONCILE_INTERVAL_S = 60.0
RECONCILE_RETRY_S = 2.0
"""After a failure; twice as long after each further one, up to the interval."""
LEAVING_LOOK_S = 5.0
"""While a member is said to leave, everybody is looked at this often."""
BARRIER_TIMEOUT_MS = 120_000
RESTORED_WAIT_S = 60.0
NEW_LEADER_EVENT = "consul:new-leader"


class LeaderDuties:
    """Starts and ends with leadership: barrier, news, time of sessions, reconciliation, tombstones, autopilot."""

    def __init__(
        self,
        *,
        node_name: str,
        consensus: Consensus,
        membership: Membership,
        reconciler: Reconciler,
        reaper: TombstoneReaper,
        session_timers: SessionTimers,
        abandon_restore: Callable[[], Awaitable[None]],
        autopilot: Callable[[], Coroutine[Any, Any, None]],
        metrics: Metrics = NO_METRICS,
    ) -> None:
        """`autopilot` runs beside the rest, until it is cancelled."""
        self._node_name = node_name
        self._consensus = consensus
        self._membership = membership
        self._reconciler = reconciler
        self._reaper = reaper
        self._session_timers = session_timers
        self._abandon_restore = abandon_restore
        self._autopilot = autopilot
        self._metrics = metrics
        self._changed: dict[str, tuple[Member, bool]] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._autopilot_task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._full_wanted: list[asyncio.Future[None]] = []

    def leadership_changed(self, change: LeaderChange) -> None:
        """Take up or lay down the duties."""
        if change.is_self:
            self._stop()
            logger.info("cluster leadership acquired")
            self._task = asyncio.create_task(self._lead(), name="leader-duties")
            self._autopilot_task = asyncio.create_task(self._autopilot(), name="autopilot")
        elif self._task is not None:
            logger.info("cluster leadership lost")
            self._stop()

    def member_changed(self, event: MemberEvent) -> None:
        """Note a change; only the latest of each member counts."""
        forgotten = event.kind is MemberEventKind.REAP
        self._changed[event.member.name] = (event.member, forgotten)
        if self._task is None:
            self._changed.clear()  # a leader to come starts by reconciling everybody
        else:
            self._wake.set()

    async def reassert(self) -> None:
        """Do again what is done at the start of leadership, since the state was replaced; returns when that is done

        (RESTORED_WAIT_S at most), or leadership is over.
        """
        if self._task is None:
            return
        self._reaper.restart()
        self._session_timers.restart()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._full_wanted.append(done)
        self._wake.set()
        await asyncio.wait((done,), timeout=RESTORED_WAIT_S)

    async def aclose(self) -> None:
        """Lay the duties down."""
        self._stop()
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _stop(self) -> None:
        for task in (self._task, self._autopilot_task):
            if task is not None:
                task.cancel()
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
        self._task = self._autopilot_task = None
        self._session_timers.stop()
        self._answer(list(self._full_wanted))

    def _answer(self, wanted: list[asyncio.Future[None]]) -> None:
        for done in wanted:
            self._full_wanted.remove(done)
            if not done.done():
                done.set_result(None)

    async def _lead(self) -> None:
        try:
            with timed(self._metrics.sample("leader.barrier")):
                await self._consensus.barrier(timeout_ms=BARRIER_TIMEOUT_MS)
            await self._abandon_restore()
            await self._membership.send_user_event(NEW_LEADER_EVENT, self._node_name.encode())
        except ConsulKernelError as error:
            logger.warning("the start of leadership failed: %s", error)
        self._session_timers.start()
        full_due_s = 0.0
        retry_s = RECONCILE_RETRY_S
        loop = asyncio.get_running_loop()
        while True:
            wanted = list(self._full_wanted)
            full = loop.time() >= full_due_s or bool(wanted)
            if not await self._reconcile(full=full):
                full_due_s = loop.time() + retry_s
                retry_s = min(2 * retry_s, RECONCILE_INTERVAL_S)
            elif full:
                full_due_s, retry_s = loop.time() + RECONCILE_INTERVAL_S, RECONCILE_RETRY_S
                self._answer(wanted)
            if any(member.status is MemberStatus.LEAVING for member in self._membership.members()):
                # Of its leave there will be news; that it does not leave after all would be none.
                full_due_s = min(full_due_s, loop.time() + LEAVING_LOOK_S)
            await self._sleep_until(full_due_s)

    async def _reconcile(self, *, full: bool) -> bool:
        """One round, and whether it succeeded. Nothing that goes wrong in it ends the duties."""
        try:
            if full:
                self._changed.clear()
                with timed(self._metrics.sample("leader.reconcile")):
                    await self._reconciler.reconcile_all(self._membership.members())
            while self._changed:
                changed = list(self._changed.values())
                self._changed.clear()
                with timed(self._metrics.sample("leader.reconcileMember")):
                    await self._reconciler.reconcile_many(changed)
            with timed(self._metrics.sample("leader.reapTombstones")):
                await self._reaper.reap()
        except ConsulKernelError as error:
            log = logger.info if isinstance(error, ConsensusError) else logger.warning
            log("reconciliation failed and is tried again: %s", error)
        except Exception:
            logger.exception("reconciliation failed by a fault and is tried again")
        else:
            return True
        return False

    async def _sleep_until(self, due_s: float) -> None:
        try:
            async with asyncio.timeout_at(due_s):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()
