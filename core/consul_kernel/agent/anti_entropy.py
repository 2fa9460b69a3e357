"""Anti-entropy: keeps the catalog's view of this agent equal to what is registered here.

The agent is the authority for its own node, services and checks; the catalog is what others see. A change
here is pushed at once; every so often the whole of both sides is compared, which mends whatever was lost.
The period grows with the cluster, so that many agents do not crowd the servers
(Consul: docs/architecture/anti-entropy).
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec

from consul_kernel.contracts.errors import ConsulKernelError
from consul_kernel.structs import methods
from consul_kernel.structs.catalog import DeregisterRequest, RegisterRequest
from consul_kernel.structs.check import SERF_HEALTH_CHECK_ID, CheckDefinition, HealthCheck
from consul_kernel.structs.methods import Call
from consul_kernel.structs.node import Node
from consul_kernel.structs.query import NodeSpecificRequest
from consul_kernel.structs.service import NodeService

from .entries import CheckEntry, ServiceEntry
from .local import LocalState

logger = logging.getLogger(__name__)

FULL_SYNC_INTERVAL_S = 60.0
FULL_SYNC_RETRY_S = 15.0
SERVER_UP_STAGGER_S = 3.0
PUSH_WAIT_S = 2.0
PUSHED_AT_ONCE = 16
SCALE_THRESHOLD_MEMBERS = 128
CRITICAL_REAP_INTERVAL_S = 30.0
CONSUL_SERVICE_ID = "consul"

EntryT = TypeVar("EntryT", ServiceEntry, CheckEntry)


class AntiEntropy:
    """One task that compares and pushes. Failures are logged and tried again, never raised."""

    def __init__(
        self,
        *,
        local: LocalState,
        node: Node,
        is_server: bool,
        call: Call,
        member_count: Callable[[], int],
        rng: random.Random,
    ) -> None:
        self._local = local
        self._node = node
        self._is_server = is_server
        self._call = call
        self._member_count = member_count
        self._rng = rng
        self._node_in_sync = False
        self._wake = asyncio.Event()
        self._full_sync_due_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self._changes = self._released_changes = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def start(self) -> None:
        """Begin with a full comparison."""
        self._task = asyncio.create_task(self._run(), name="anti-entropy")

    async def aclose(self) -> None:
        """Stop, leaving the catalog as it is."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def changed(self) -> None:
        """Something here changed: push it soon."""
        self._changes += 1
        self._wake.set()

    async def pushed(self) -> None:
        """Wait until what changed before the call was pushed or could not be, at most PUSH_WAIT_S.

        Consul's HTTP API does this after each change, so that what follows on the same connection finds it. Where
        nothing has changed since the last push, as after the removal of what was never there, nothing will come.
        """
        if self._changes <= self._released_changes:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._changes, waiter))
        try:
            async with asyncio.timeout(PUSH_WAIT_S):
                await waiter
        except TimeoutError:
            pass

    def node_changed(self, node: Node) -> None:
        """The node is to be in the catalog as this, from now on."""
        if node != self._node:
            self._node, self._node_in_sync = node, False
            self.changed()

    def server_appeared(self) -> None:
        """A server joined: compare all soon, after a stagger, since every agent saw it."""
        due = time.monotonic() + self._rng.uniform(0, SERVER_UP_STAGGER_S)
        self._full_sync_due_s = min(self._full_sync_due_s, due)
        self._wake.set()

    async def _run(self) -> None:
        reap_due_s = time.monotonic() + CRITICAL_REAP_INTERVAL_S
        while True:
            now_s = time.monotonic()
            if now_s >= reap_due_s:
                self._reap_critical_services(now_s)
                reap_due_s = now_s + CRITICAL_REAP_INTERVAL_S
            self._wake.clear()
            changes = self._changes
            await self._sync(full=now_s >= self._full_sync_due_s)
            self._release(changes)
            due_s = min(self._full_sync_due_s, reap_due_s)
            try:
                async with asyncio.timeout(max(0.0, due_s - time.monotonic())):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _sync(self, *, full: bool) -> None:
        """Compare, if `full`, and push. After a failure all is compared again soon."""
        if full:
            self._full_sync_due_s = math.inf  # a server that appears from here on asks for another comparison
        wait_s = FULL_SYNC_RETRY_S * self._rng.uniform(0.1, 1)
        try:
            if full:
                await self._compare()
            await self._push()
        except (ConsulKernelError, OSError) as error:
            logger.warning("the catalog could not be brought up to date: %s", error)
        except Exception:  # an agent whose catalog entry nobody keeps would be worse than any fault
            logger.exception("bringing the catalog up to date failed")
        else:
            if not full:
                return
            wait_s = self._interval_s()
        self._full_sync_due_s = min(self._full_sync_due_s, time.monotonic() + wait_s)

    def _release(self, changes: int) -> None:
        """Let those go on whose changes were there when the push began."""
        self._released_changes = changes
        for _, waiter in (waiting for waiting in self._waiting if waiting[0] <= changes):
            if not waiter.done():
                waiter.set_result(None)
        self._waiting = [waiting for waiting in self._waiting if not waiting[1].done()]

    def _interval_s(self) -> float:
        members = max(1, self._member_count())
        scale = 1.0
        if members > SCALE_THRESHOLD_MEMBERS:
            scale = math.ceil(math.log2(members) - math.log2(SCALE_THRESHOLD_MEMBERS)) + 1.0
        return FULL_SYNC_INTERVAL_S * scale * self._rng.uniform(1, 2)

    def _reap_critical_services(self, now_s: float) -> None:
        for service_id in self._local.critical_services(now_s):
            logger.info("service %s was critical for too long and is deregistered", service_id)
            self._local.deregister_service(service_id)

    # --- compare ---

    async def _compare(self) -> None:
        request = NodeSpecificRequest(node=self._node.node, allow_stale=True)
        remote = await self._call(methods.CATALOG_NODE_SERVICE_LIST, request)
        checks = await self._call(methods.HEALTH_NODE_CHECKS, request)
        self._node_in_sync = _same_node(remote.node_services.node, self._node)
        self._compare_services({service.id: service for service in remote.node_services.services or []})
        self._compare_checks({check.check_id: check for check in checks.health_checks or []})

    def _compare_services(self, remote: dict[str, NodeService]) -> None:
        entries = self._local.service_entries
        for service_id, entry in entries.items():
            known = remote.get(service_id)
            if entry.deleted:
                entry.in_sync = known is None
            elif known is not None:
                shown = _with_remote_tags(entry.service, known)
                if shown is not entry.service:
                    entry.service = shown
                    self._local.watches.changed(service_id)
                entry.in_sync = _comparable_service(known) == _comparable_service(entry.service)
            else:
                entry.in_sync = False
        for service_id, known in remote.items():
            if service_id not in entries and not (self._is_server and service_id == CONSUL_SERVICE_ID):
                entries[service_id] = ServiceEntry(known, deleted=True)

    def _compare_checks(self, remote: dict[str, HealthCheck]) -> None:
        entries = self._local.check_entries
        for check_id, entry in entries.items():
            known = remote.get(check_id)
            if entry.deleted:
                entry.in_sync = known is None
            else:
                entry.in_sync = known is not None and _same_check(known, entry)
        for check_id, known in remote.items():
            if check_id not in entries and check_id != SERF_HEALTH_CHECK_ID:
                entries[check_id] = CheckEntry(known, CheckDefinition(), deleted=True)

    # --- push ---

    async def _push(self) -> None:
        """Push what differs. The first failure ends it, so what failed the last time comes last.

        A service that the catalog never takes must not keep all the others from it.
        """
        await self._push_entries(refused=False)
        self._local.forget()
        if not self._node_in_sync:
            await self._register(self._registration())
        await self._push_entries(refused=True)
        self._local.forget()

    async def _push_entries(self, *, refused: bool) -> None:
        """Push services, then checks: those that failed the last time, or those that did not."""
        await _some_at_once(self._push_service, self._local.service_entries, refused=refused)
        await _some_at_once(self._push_check, self._local.check_entries, refused=refused)

    async def _push_service(self, service_id: str, entry: ServiceEntry) -> None:
        await (self._remove_service(service_id, entry) if entry.deleted else self._add_service(entry))

    async def _push_check(self, check_id: str, entry: CheckEntry) -> None:
        await (self._remove_check(check_id, entry) if entry.deleted else self._add_check(entry))

    async def _add_service(self, entry: ServiceEntry) -> None:
        """A service goes with its checks that the same token may write, in one command."""
        pushed = entry.service
        checks = [
            check
            for check in self._local.check_entries.values()
            if check.check.service_id == pushed.id
            and not (check.in_sync or check.deleted)
            and check.token == entry.token
        ]
        records = [check.check for check in checks]
        await self._register(self._registration(token=entry.token, service=pushed, checks=records))
        entry.in_sync = entry.in_sync or (entry.service is pushed and not entry.deleted)
        for check, record in zip(checks, records, strict=True):
            check.in_sync = check.check is record and not check.deleted
        logger.info("synced service %s", pushed.id)

    async def _add_check(self, entry: CheckEntry) -> None:
        pushed = entry.check
        await self._register(self._registration(token=entry.token, checks=[pushed]))
        entry.in_sync = entry.check is pushed and not entry.deleted
        logger.info("synced check %s", pushed.check_id)

    async def _remove_service(self, service_id: str, entry: ServiceEntry) -> None:
        await self._call(
            methods.CATALOG_DEREGISTER,
            DeregisterRequest(node=self._node.node, service_id=service_id, token=entry.token),
        )
        entry.in_sync = True
        for check in self._local.check_entries.values():
            if check.deleted and check.check.service_id == service_id:
                check.in_sync = True  # the catalog removes a service's checks with it
        logger.info("deregistered service %s", service_id)

    async def _remove_check(self, check_id: str, entry: CheckEntry) -> None:
        await self._call(
            methods.CATALOG_DEREGISTER,
            DeregisterRequest(node=self._node.node, check_id=check_id, token=entry.token),
        )
        entry.in_sync = True
        logger.info("deregistered check %s", check_id)

    def _registration(
        self, *, token: str = "", service: NodeService | None = None, checks: list[HealthCheck] | None = None
    ) -> RegisterRequest:
        node = self._node
        return RegisterRequest(
            id=node.id,
            node=node.node,
            address=node.address,
            tagged_addresses=node.tagged_addresses,
            node_meta=node.meta,
            service=service,
            checks=checks,
            skip_node_update=self._node_in_sync,
            token=token,
        )

    async def _register(self, request: RegisterRequest) -> None:
        """Every registration carries the node as it was; one that has changed meanwhile is yet to be told."""
        node = self._node
        await self._call(methods.CATALOG_REGISTER, request)
        self._node_in_sync = self._node is node


async def _some_at_once(
    push: Callable[[str, EntryT], Awaitable[None]], entries: Mapping[str, EntryT], *, refused: bool
) -> None:
    """Push what differs, a few at a time: of that, what failed the last time, or what did not.

    Each failure takes one off those at a time; the first is raised when the others are done. One after the other, each
    would wait for a commit of its own.
    """
    differing = [(key, entry) for key, entry in entries.items() if not entry.in_sync and entry.refused is refused]
    left = iter(differing)

    async def work() -> None:
        for key, entry in left:
            if not entry.in_sync:  # still: another's push may have brought it along
                entry.refused = True
                await push(key, entry)
                entry.refused = False

    ends = await asyncio.gather(*[work() for _ in differing[:PUSHED_AT_ONCE]], return_exceptions=True)
    for end in ends:
        if end is not None:
            raise end


def _same_node(remote: Node | None, local: Node) -> bool:
    return remote is not None and (remote.id, remote.address, remote.tagged_addresses, remote.meta) == (
        local.id,
        local.address,
        local.tagged_addresses,
        local.meta,
    )


def _with_remote_tags(local: NodeService, remote: NodeService) -> NodeService:
    """With tag override on, the catalog's tags win."""
    if local.enable_tag_override and local.tags != remote.tags:
        return msgspec.structs.replace(local, tags=remote.tags)
    return local


def _comparable_service(service: NodeService) -> NodeService:
    return msgspec.structs.replace(
        service,
        create_index=0,
        modify_index=0,
        tags=service.tags or [],
        meta=service.meta or {},
        tagged_addresses=service.tagged_addresses or {},
        proxy=service.proxy or None,
    )


def _same_check(remote: HealthCheck, entry: CheckEntry) -> bool:
    local = entry.check
    output = remote.output if entry.output_pending else local.output
    mine = msgspec.structs.replace(local, output=output, create_index=0, modify_index=0, service_tags=None)
    theirs = msgspec.structs.replace(remote, create_index=0, modify_index=0, service_tags=None)
    return mine == theirs
