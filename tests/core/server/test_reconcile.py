"""Members become catalog entries and quorum members, and a pool at rest causes no writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from consul_kernel.agent.tags import ServerTags, lan_tags, server_tags
from consul_kernel.contracts.consensus import Configuration, Consensus, Server, Suffrage
from consul_kernel.contracts.errors import LeadershipLostError, RpcError
from consul_kernel.contracts.membership import Member, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel.server.quorum import QuorumMembers
from consul_kernel.server.reconcile import AT_ONCE, UNKNOWN_GRACE_MS, Reconciler
from consul_kernel.structs import methods
from consul_kernel.structs.catalog import DeregisterRequest, RegisterRequest
from consul_kernel.structs.check import HealthCheck, IndexedHealthChecks
from consul_kernel.structs.methods import Method
from consul_kernel.structs.node import IndexedNodes, IndexedNodeServices, Node, NodeServices
from consul_kernel.structs.record import Empty


class FakeQuorum:
    """A quorum whose changes are remembered."""

    def __init__(self, *servers: Server) -> None:
        self.configuration = Configuration(servers, 1)

    async def add_server(self, server: Server) -> None:
        others = tuple(other for other in self.configuration.servers if other.id != server.id)
        self.configuration = Configuration((*others, server), self.configuration.index + 1)

    async def remove_server(self, server_id: str) -> None:
        others = tuple(other for other in self.configuration.servers if other.id != server_id)
        self.configuration = Configuration(others, self.configuration.index + 1)


class FakeCatalog:
    """A catalog of nodes and checks, answering the calls that reconciliation makes."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeServices] = {}
        self.checks: dict[str, list[HealthCheck]] = {}
        self.writes: list[RegisterRequest | DeregisterRequest] = []
        self.refused: set[str] = set()
        self.calls = 0
        self.writing = self.most_writing = 0

    async def call(self, method: Method[Any, Any], request: Any) -> Any:
        self.calls += 1
        if method is methods.CATALOG_NODE_SERVICES:
            return IndexedNodeServices(node_services=self.nodes.get(request.node))
        if method is methods.HEALTH_NODE_CHECKS:
            return IndexedHealthChecks(health_checks=self.checks.get(request.node))
        if method is methods.CATALOG_LIST_NODES:
            return IndexedNodes(nodes=[entry.node for entry in self.nodes.values() if entry.node is not None])
        if method is methods.HEALTH_CHECKS_IN_STATE:
            return IndexedHealthChecks(health_checks=[check for checks in self.checks.values() for check in checks])
        if request.node in self.refused:
            raise RpcError("failed inserting node")
        self.writing += 1
        self.most_writing = max(self.writing, self.most_writing)
        await asyncio.sleep(0)
        self.writing -= 1
        self.writes.append(request)
        if method is methods.CATALOG_REGISTER:
            self._register(request)
        else:
            assert method is methods.CATALOG_DEREGISTER
            del self.nodes[request.node], self.checks[request.node]
        return Empty()

    def _register(self, request: RegisterRequest) -> None:
        entry = self.nodes.setdefault(request.node, NodeServices(node=Node(node=request.node), services={}))
        if not request.skip_node_update or not self.checks.get(request.node):
            entry.node = Node(id=request.id, node=request.node, address=request.address)
        if request.service is not None and entry.services is not None:
            entry.services[request.service.id] = request.service
        assert request.check is not None
        self.checks[request.node] = [request.check]


def member(
    name: str,
    *,
    server: bool = False,
    status: MemberStatus = MemberStatus.ALIVE,
    dc: str = "dc1",
    bootstrap: bool = False,
) -> Member:
    tags = lan_tags(datacenter=dc, node_id=f"id-{name}", server_port=8300 if server else None, bootstrap=bootstrap)
    return Member(name=name, address=Address("127.0.0.9", 8301), tags=tags, status=status)


@pytest.fixture
def catalog() -> FakeCatalog:
    return FakeCatalog()


@pytest.fixture
def quorum() -> FakeQuorum:
    return FakeQuorum(Server("id-self", "127.0.0.1:8300"))


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool() -> list[Member]:
    return [member("self", server=True)]


def joining(
    quorum: FakeQuorum, pool: list[Member], *, several: bool = True, peers: Sequence[str] = ()
) -> QuorumMembers:
    async def ask_peers(server: ServerTags) -> Sequence[str]:
        return peers

    return QuorumMembers(
        consensus=cast("Consensus", quorum),
        members=lambda: pool,
        node_id="id-self",
        several=several,
        ask_peers=ask_peers,
    )


@pytest.fixture
def reconciler(catalog: FakeCatalog, quorum: FakeQuorum, pool: list[Member], clock: Clock) -> Reconciler:
    return Reconciler(
        call=catalog.call,
        quorum=joining(quorum, pool),
        node_name="self",
        datacenter="dc1",
        now_ms=clock,
    )


async def test_an_alive_client_is_registered_once(reconciler: Reconciler, catalog: FakeCatalog) -> None:
    await reconciler.reconcile(member("c1"))
    assert catalog.checks["c1"][0].status == "passing"
    await reconciler.reconcile(member("c1"))
    assert len(catalog.writes) == 1


async def test_a_failed_member_turns_critical_and_back(reconciler: Reconciler, catalog: FakeCatalog) -> None:
    await reconciler.reconcile(member("c1"))
    await reconciler.reconcile(member("c1", status=MemberStatus.FAILED))
    await reconciler.reconcile(member("c1", status=MemberStatus.FAILED))
    assert catalog.checks["c1"][0].status == "critical"
    assert len(catalog.writes) == 2
    await reconciler.reconcile(member("c1"))
    assert catalog.checks["c1"][0].status == "passing"


async def test_a_failed_member_that_was_never_registered_is_not_made_up(
    reconciler: Reconciler, catalog: FakeCatalog
) -> None:
    await reconciler.reconcile(member("c1", status=MemberStatus.FAILED))
    assert not catalog.writes


async def test_a_server_joins_the_quorum_and_gets_the_consul_service(
    reconciler: Reconciler, catalog: FakeCatalog, quorum: FakeQuorum
) -> None:
    await reconciler.reconcile(member("s2", server=True))
    assert quorum.configuration.get("id-s2") == Server("id-s2", "127.0.0.9:8300", Suffrage.NONVOTER)
    services = catalog.nodes["s2"].services
    assert services is not None
    assert services["consul"].port == 8300


async def test_a_server_with_a_new_id_replaces_the_old_one_at_its_address(
    reconciler: Reconciler, quorum: FakeQuorum
) -> None:
    await quorum.add_server(Server("id-before", "127.0.0.9:8300"))
    await reconciler.reconcile(member("s2", server=True))
    assert quorum.configuration.get("id-before") is None
    assert quorum.configuration.get("id-s2") is not None


async def test_of_two_servers_that_founded_a_quorum_each_none_takes_the_other(
    reconciler: Reconciler, quorum: FakeQuorum, pool: list[Member], caplog: pytest.LogCaptureFixture
) -> None:
    pool[:] = [member("self", server=True, bootstrap=True), member("s2", server=True, bootstrap=True)]
    await reconciler.reconcile(pool[1])
    assert quorum.configuration.get("id-s2") is None
    assert "bootstrap" in caplog.text
    pool[0] = member("self", server=True)
    await reconciler.reconcile(pool[1])
    assert quorum.configuration.get("id-s2") is not None, "one founder that comes back is a server like any other"


async def test_a_server_without_an_id_stays_out_of_the_quorum(reconciler: Reconciler, quorum: FakeQuorum) -> None:
    nameless = member("s2", server=True)
    await reconciler.reconcile(replace(nameless, tags={**nameless.tags, "id": ""}))
    assert [server.id for server in quorum.configuration.servers] == ["id-self"]


async def test_a_member_that_the_catalog_refuses_keeps_nobody_else_from_it(
    reconciler: Reconciler, catalog: FakeCatalog, clock: Clock
) -> None:
    await reconciler.reconcile(member("gone"))
    await reconciler.reconcile_all([])
    clock.ms = UNKNOWN_GRACE_MS
    catalog.refused = {"bad"}
    with pytest.raises(RpcError, match="failed inserting node"):
        await reconciler.reconcile_all([member("bad"), member("good")])
    assert set(catalog.nodes) == {"good"}


async def test_reconciliation_ends_with_leadership(
    reconciler: Reconciler, quorum: FakeQuorum, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(_: Server) -> None:
        raise LeadershipLostError("leadership was lost")

    monkeypatch.setattr(quorum, "add_server", lose)
    with pytest.raises(LeadershipLostError):
        await reconciler.reconcile_all([member("s2", server=True), member("c1")])
    assert not catalog.writes


async def test_a_server_that_left_is_removed_from_quorum_and_catalog(
    reconciler: Reconciler, catalog: FakeCatalog, quorum: FakeQuorum
) -> None:
    await reconciler.reconcile(member("s2", server=True))
    await reconciler.reconcile(member("s2", server=True, status=MemberStatus.LEFT))
    assert quorum.configuration.get("id-s2") is None
    assert "s2" not in catalog.nodes


async def test_the_old_name_of_a_renamed_server_does_not_cost_it_the_quorum(
    reconciler: Reconciler, catalog: FakeCatalog, quorum: FakeQuorum, pool: list[Member]
) -> None:
    await reconciler.reconcile(member("s2", server=True))
    pool.append(replace(member("s2", server=True), name="renamed"))
    await reconciler.reconcile(member("s2", server=True), forgotten=True)
    assert quorum.configuration.get("id-s2") is not None
    assert "s2" not in catalog.nodes


async def test_the_leader_never_removes_itself(reconciler: Reconciler, catalog: FakeCatalog) -> None:
    await reconciler.reconcile(member("self", server=True))
    await reconciler.reconcile(member("self", server=True, status=MemberStatus.LEFT))
    assert "self" in catalog.nodes


@pytest.mark.parametrize(
    "stranger",
    [
        member("elsewhere", dc="dc2"),
        Member(name="serf", address=Address("127.0.0.8", 7946), tags={"role": "web"}, status=MemberStatus.ALIVE),
    ],
)
async def test_strangers_stay_out_of_the_catalog(
    reconciler: Reconciler, catalog: FakeCatalog, stranger: Member
) -> None:
    await reconciler.reconcile(stranger)
    assert not catalog.writes


async def test_nodes_that_gossip_forgot_are_removed_after_a_grace(
    reconciler: Reconciler, catalog: FakeCatalog, clock: Clock
) -> None:
    for name in ("gone", "here", "returns"):
        await reconciler.reconcile(member(name))
    await reconciler.reconcile_all([member("here")])
    assert set(catalog.nodes) == {"gone", "here", "returns"}, "a pool that was not met yet empties no catalog"
    clock.ms = UNKNOWN_GRACE_MS - 1
    await reconciler.reconcile_all([member("here"), member("returns")])
    clock.ms = UNKNOWN_GRACE_MS
    await reconciler.reconcile_all([member("here")])
    assert set(catalog.nodes) == {"here", "returns"}


async def test_a_server_that_was_reaped_while_nobody_led_leaves_the_quorum_too(
    reconciler: Reconciler, catalog: FakeCatalog, quorum: FakeQuorum, clock: Clock
) -> None:
    await reconciler.reconcile(member("s2", server=True))
    await reconciler.reconcile_all([])
    clock.ms = UNKNOWN_GRACE_MS
    await reconciler.reconcile_all([])
    assert "s2" not in catalog.nodes
    assert quorum.configuration.get("id-s2") is None


async def test_clients_are_written_some_at_a_time_and_servers_one_by_one(
    reconciler: Reconciler, catalog: FakeCatalog, quorum: FakeQuorum
) -> None:
    await reconciler.reconcile_all([member(f"s{n}", server=True) for n in range(5)])
    assert catalog.most_writing == 1
    await reconciler.reconcile_all([member(f"c{n}") for n in range(3 * AT_ONCE)])
    assert catalog.most_writing == AT_ONCE
    assert len(catalog.nodes) == 5 + 3 * AT_ONCE


async def test_a_pool_at_rest_costs_two_reads_whatever_its_size(reconciler: Reconciler, catalog: FakeCatalog) -> None:
    pool = [member(f"c{n}") for n in range(100)]
    pool += [member(f"f{n}", status=MemberStatus.FAILED) for n in range(100)]
    await reconciler.reconcile_many([(member(f"f{n}"), False) for n in range(50)])
    await reconciler.reconcile_all(pool)
    catalog.calls, writes = 0, len(catalog.writes)
    await reconciler.reconcile_all(pool)
    assert (catalog.calls, len(catalog.writes)) == (2, writes)


async def test_what_changed_is_seen_among_those_at_rest(reconciler: Reconciler, catalog: FakeCatalog) -> None:
    await reconciler.reconcile_all([member(name) for name in ("a", "b", "c", "d")])
    moved = replace(member("b"), address=Address("127.0.0.10", 8301))
    pool = [member("A"), moved, member("c", status=MemberStatus.FAILED), member("d", status=MemberStatus.LEFT)]
    await reconciler.reconcile_all(pool)
    assert [write.node for write in catalog.writes[4:]] == ["b", "c", "d"]
    assert (catalog.nodes["b"].node or Node()).address == "127.0.0.10"


async def test_nobody_joins_a_consensus_of_one_server(
    quorum: FakeQuorum, pool: list[Member], caplog: pytest.LogCaptureFixture
) -> None:
    members = joining(quorum, pool, several=False)
    other = member("s2", server=True)
    tags = server_tags(other)
    assert tags is not None
    for _ in range(3):
        await members.join(other, tags)
    assert len(quorum.configuration.servers) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "server s2 cannot join: the consensus here is for one server alone"
    ]


@pytest.mark.parametrize("suffrage", Suffrage)
async def test_a_server_at_a_new_address_keeps_its_vote_or_none(
    reconciler: Reconciler, quorum: FakeQuorum, suffrage: Suffrage
) -> None:
    await quorum.add_server(Server("id-s2", "127.0.0.8:8300", suffrage))
    await reconciler.reconcile(member("s2", server=True))
    assert quorum.configuration.get("id-s2") == Server("id-s2", "127.0.0.9:8300", suffrage)


@pytest.mark.parametrize(
    ("peers", "joins"),
    [
        ((), True),
        (("127.0.0.1:8300", "127.0.0.9:8300"), True),
        (("127.0.0.9:8300", "127.0.0.8:8300"), False),
    ],
)
async def test_a_server_of_another_quorum_does_not_join(
    quorum: FakeQuorum, pool: list[Member], caplog: pytest.LogCaptureFixture, peers: Sequence[str], joins: bool
) -> None:
    members = joining(quorum, pool, peers=peers)
    other = member("s2", server=True)
    tags = server_tags(other)
    assert tags is not None
    for _ in range(2):
        await members.join(other, tags)
    assert (quorum.configuration.get("id-s2") is not None) is joins
    said = [record.getMessage() for record in caplog.records]
    text = "server s2 cannot join: it is one of another quorum, 127.0.0.9:8300, 127.0.0.8:8300"
    assert (said == [text]) is not joins
