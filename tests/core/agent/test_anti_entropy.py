"""The catalog is brought in step with the agent: on change, after losses, and without touching what is not its own."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from consul_kernel.agent.anti_entropy import PUSHED_AT_ONCE, SERVER_UP_STAGGER_S, AntiEntropy
from consul_kernel.agent.checks.runner import Report
from consul_kernel.agent.checks.ttl import TtlRunner
from consul_kernel.agent.local import LocalState
from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs import methods
from consul_kernel.structs.catalog import DeregisterRequest, RegisterRequest
from consul_kernel.structs.check import CheckDefinition, CheckStatus, HealthCheck, IndexedHealthChecks
from consul_kernel.structs.methods import Method
from consul_kernel.structs.node import IndexedNodeServiceList, Node, NodeServiceList
from consul_kernel.structs.record import Empty
from consul_kernel.structs.service import NodeService, ServiceDefinition

NODE = Node(id="id-1", node="n1", address="127.0.0.1", tagged_addresses={"lan": "127.0.0.1"}, meta={"k": "v"})
MINUTE_NS = 60_000_000_000


def ttl_runner(definition: CheckDefinition, report: Report) -> TtlRunner:
    return TtlRunner(definition.ttl / 1e9, report)


class FakeCatalog:
    """The catalog's entry of one node, which can be made to fail."""

    def __init__(self) -> None:
        self.node: Node | None = None
        self.services: dict[str, NodeService] = {}
        self.checks: dict[str, HealthCheck] = {}
        self.failing = False
        self.fault: Exception | None = None
        self.may_fail = asyncio.Event()
        self.may_fail.set()
        self.attempts = 0
        self.refused_names: set[str] = set()
        self.refusals = 0
        self.writes = 0
        self.under_way = 0
        self.most_under_way = 0
        self.changed = asyncio.Event()

    async def call(self, method: Method[Any, Any], request: Any) -> Any:
        self.attempts += 1
        if self.fault is not None:
            self.refusals += 1
            self.changed.set()
            raise self.fault
        if self.failing:
            self.changed.set()
            await self.may_fail.wait()
            self.refusals += 1
            self.changed.set()
            raise RpcError("No cluster leader")
        if isinstance(request, RegisterRequest) and self._refuses(request):
            self.refusals += 1
            raise RpcError("Names are too long: 2000 bytes together, at most 1520 are possible")
        if method is methods.CATALOG_NODE_SERVICE_LIST:
            services = list(self.services.values())
            return IndexedNodeServiceList(node_services=NodeServiceList(node=self.node, services=services))
        if method is methods.HEALTH_NODE_CHECKS:
            return IndexedHealthChecks(health_checks=list(self.checks.values()))
        self.writes += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)  # others get their turn, as while a commit is awaited
        self.under_way -= 1
        if method is methods.CATALOG_REGISTER:
            self._register(request)
        else:
            self._deregister(request)
        self.changed.set()
        return Empty()

    def _refuses(self, request: RegisterRequest) -> bool:
        names = [request.service.id] if request.service is not None else []
        names += [check.check_id for check in request.checks or []]
        return not self.refused_names.isdisjoint(names)

    def _register(self, request: RegisterRequest) -> None:
        if self.node is None or not request.skip_node_update:
            self.node = Node(
                id=request.id,
                node=request.node,
                address=request.address,
                tagged_addresses=request.tagged_addresses,
                meta=request.node_meta,
            )
        if request.service is not None:
            self.services[request.service.id] = request.service
        for check in request.checks or []:
            self.checks[check.check_id] = check

    def _deregister(self, request: DeregisterRequest) -> None:
        if request.service_id:
            self.services.pop(request.service_id, None)
            owned = [key for key, check in self.checks.items() if check.service_id == request.service_id]
            for key in owned:
                del self.checks[key]
        else:
            self.checks.pop(request.check_id, None)

    async def until(self, condition: Any) -> None:
        """Wait until a condition on this catalog holds."""
        async with asyncio.timeout(5):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class World:
    """One agent's local state, its anti-entropy, and the catalog."""

    def __init__(self, *, is_server: bool = False) -> None:
        self.catalog = FakeCatalog()
        self.local = LocalState(
            node_name="n1",
            make_runner=ttl_runner,
            on_change=lambda: self.sync.changed(),
            pushed=lambda: self.sync.pushed(),
            remote_scripts=False,
        )
        self.sync = AntiEntropy(
            local=self.local,
            node=NODE,
            is_server=is_server,
            call=self.catalog.call,
            member_count=lambda: 3,
            rng=random.Random(7),
        )

    async def in_step(self) -> None:
        """Wait until nothing is left to push."""
        async with asyncio.timeout(5):
            while not self._settled():
                await asyncio.sleep(0)

    def _settled(self) -> bool:
        services, checks = self.local.service_entries.values(), self.local.check_entries.values()
        settled = all(entry.in_sync and not entry.deleted for entry in services) and all(
            entry.in_sync and not entry.deleted for entry in checks
        )
        return settled and self.catalog.node is not None


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.sync.aclose()
    made.local.close()


async def test_node_service_and_checks_reach_the_catalog(world: World) -> None:
    world.local.register_service(
        ServiceDefinition(name="web", port=80, check=CheckDefinition(ttl=MINUTE_NS, status="passing"))
    )
    world.sync.start()
    await world.in_step()
    assert world.catalog.node == NODE
    assert world.catalog.services["web"].port == 80
    assert world.catalog.checks["service:web"].status == CheckStatus.PASSING
    assert world.catalog.writes == 1, "a service goes with its checks and its node in one command"


async def test_a_change_is_pushed_at_once(world: World) -> None:
    world.local.register_check(CheckDefinition(name="beat", ttl=MINUTE_NS))
    world.sync.start()
    await world.in_step()
    world.local.update_ttl_check("beat", CheckStatus.PASSING, "ok")
    await world.catalog.until(lambda: world.catalog.checks["beat"].status == CheckStatus.PASSING)


async def test_a_removal_is_pushed_at_once(world: World) -> None:
    world.local.register_service(ServiceDefinition(name="web", check=CheckDefinition(ttl=MINUTE_NS)))
    world.sync.start()
    await world.in_step()
    world.local.deregister_service("web")
    await world.catalog.until(lambda: not world.catalog.services and not world.catalog.checks)
    await world.in_step()
    assert not world.local.service_entries


async def test_what_the_catalog_lost_is_pushed_again(world: World) -> None:
    world.local.register_service(ServiceDefinition(name="web"))
    world.sync.start()
    await world.in_step()
    world.catalog.services.clear()
    world.sync.server_appeared()
    await world.catalog.until(lambda: "web" in world.catalog.services)


async def test_what_only_the_catalog_knows_is_removed(world: World) -> None:
    world.catalog.services["ghost"] = NodeService(id="ghost", service="ghost")
    world.catalog.checks["ghost-check"] = HealthCheck(check_id="ghost-check", node="n1")
    world.sync.start()
    await world.catalog.until(lambda: not world.catalog.services and not world.catalog.checks)


@pytest.mark.parametrize("is_server", [True, False])
async def test_what_the_leader_keeps_is_left_alone(is_server: bool) -> None:
    world = World(is_server=is_server)
    world.catalog.services["consul"] = NodeService(id="consul", service="consul")
    world.catalog.checks["serfHealth"] = HealthCheck(check_id="serfHealth", node="n1")
    world.sync.start()
    await world.in_step()
    await world.sync.aclose()
    assert "serfHealth" in world.catalog.checks
    assert ("consul" in world.catalog.services) is is_server


async def test_it_survives_failures_and_catches_up(world: World) -> None:
    world.catalog.failing = True
    world.local.register_service(ServiceDefinition(name="web"))
    world.sync.start()
    await world.catalog.until(lambda: world.catalog.refusals > 0)
    world.catalog.failing = False
    world.sync.changed()
    await world.catalog.until(lambda: "web" in world.catalog.services)


async def test_a_fault_does_not_end_it(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.catalog.fault = KeyError("a fault of ours")
    world.local.register_service(ServiceDefinition(name="web"))
    world.sync.start()
    await world.catalog.until(lambda: world.catalog.refusals > 0)
    world.catalog.fault = None
    world.sync.changed()
    await world.catalog.until(lambda: "web" in world.catalog.services)
    assert "a fault of ours" in caplog.text


async def test_a_server_that_appears_during_a_failing_attempt_is_not_forgotten(world: World) -> None:
    world.catalog.failing = True
    world.catalog.may_fail.clear()
    world.sync.start()
    await world.catalog.until(lambda: world.catalog.attempts > 0)
    world.sync.server_appeared()
    world.catalog.may_fail.set()
    await world.catalog.until(lambda: world.catalog.refusals > 0)
    await asyncio.sleep(0)
    assert world.sync._full_sync_due_s <= time.monotonic() + SERVER_UP_STAGGER_S


async def test_what_the_catalog_refuses_keeps_nothing_else_from_it(world: World) -> None:
    world.catalog.refused_names = {"bad", "bad-check"}
    world.local.register_service(ServiceDefinition(name="bad"))
    world.local.register_check(CheckDefinition(name="bad-check", ttl=MINUTE_NS))
    world.local.register_service(ServiceDefinition(name="web"))
    world.local.register_check(CheckDefinition(name="beat", ttl=MINUTE_NS))
    world.sync.start()
    async with asyncio.timeout(5):
        while "web" not in world.catalog.services or "beat" not in world.catalog.checks:
            refusals = world.catalog.refusals
            world.sync.changed()  # as the retry does
            while world.catalog.refusals == refusals:
                await asyncio.sleep(0)
    assert world.catalog.node == NODE
    assert world.catalog.refusals <= 3, "each that is refused costs the others one attempt at most"
    world.catalog.refused_names = set()
    world.sync.changed()
    await world.catalog.until(lambda: "bad" in world.catalog.services and "bad-check" in world.catalog.checks)


async def test_some_are_pushed_at_once_but_not_all(world: World) -> None:
    for number in range(3 * PUSHED_AT_ONCE):
        world.local.register_service(ServiceDefinition(name=f"service-{number}"))
    world.sync.start()
    await world.in_step()
    assert len(world.catalog.services) == 3 * PUSHED_AT_ONCE
    assert world.catalog.most_under_way == PUSHED_AT_ONCE


async def test_nothing_is_written_when_both_sides_agree(world: World) -> None:
    world.local.register_service(ServiceDefinition(name="web", check=CheckDefinition(ttl=MINUTE_NS)))
    world.sync.start()
    await world.in_step()
    writes = world.catalog.writes
    world.sync.server_appeared()
    world.local.register_check(CheckDefinition(name="probe", ttl=MINUTE_NS))
    await world.catalog.until(lambda: "probe" in world.catalog.checks)
    assert world.catalog.writes == writes + 1


async def test_with_tag_override_the_catalogs_tags_win(world: World) -> None:
    world.local.register_service(ServiceDefinition(name="web", tags=["mine"], enable_tag_override=True))
    world.sync.start()
    await world.in_step()
    world.catalog.services["web"] = NodeService(id="web", service="web", tags=["theirs"], enable_tag_override=True)
    world.sync.server_appeared()
    async with asyncio.timeout(5):
        while world.local.services()["web"].tags != ["theirs"]:
            await asyncio.sleep(0.01)


async def test_a_change_is_in_the_catalog_when_the_wait_for_it_ends(world: World) -> None:
    world.sync.start()
    world.local.register_service(ServiceDefinition(name="web"))
    await world.local.synced()
    assert "web" in world.catalog.services
    world.local.deregister_service("web")
    await world.local.synced()
    assert "web" not in world.catalog.services


async def test_the_wait_ends_with_a_push_that_fails(world: World) -> None:
    world.catalog.failing = True
    world.sync.start()
    world.local.register_service(ServiceDefinition(name="web"))
    async with asyncio.timeout(1):
        await world.local.synced()
    assert world.catalog.refusals


async def test_nothing_is_waited_for_where_nothing_has_changed(world: World) -> None:
    world.sync.start()
    world.local.register_service(ServiceDefinition(name="web"))
    await world.local.synced()
    world.local.deregister_service("nobody-knows-it")
    world.local.deregister_check("nor-this")
    waiting = asyncio.ensure_future(world.local.synced())
    await asyncio.sleep(0)
    assert waiting.done()
