"""Arguments, results and errors of each endpoint."""

from __future__ import annotations

import pytest

from consul_kernel.contracts.errors import (
    LeadershipLostError,
    MembershipError,
    NotLeaderError,
    ProposalOverloadError,
    ProposalTimeoutError,
    RpcError,
)
from consul_kernel.structs.catalog import DeregisterRequest, RegisterRequest
from consul_kernel.structs.check import HealthCheck, HealthCheckDefinition
from consul_kernel.structs.event import EventFireRequest
from consul_kernel.structs.kv import DirEntry, KeyListRequest, KeyRequest, KVOp, KVSRequest
from consul_kernel.structs.methods import (
    CATALOG_LIST_DATACENTERS,
    CATALOG_LIST_NODES,
    CATALOG_LIST_SERVICES,
    CATALOG_NODE_SERVICE_LIST,
    CATALOG_NODE_SERVICES,
    CATALOG_SERVICE_NODES,
    HEALTH_CHECKS_IN_STATE,
    HEALTH_NODE_CHECKS,
    HEALTH_SERVICE_CHECKS,
    HEALTH_SERVICE_NODES,
    INTERNAL_EVENT_FIRE,
    KVS_APPLY,
    KVS_GET,
    KVS_LIST,
    KVS_LIST_KEYS,
    METHODS,
    STATUS_LEADER,
    STATUS_PEERS,
    STATUS_PING,
)
from consul_kernel.structs.query import (
    ChecksInStateRequest,
    DatacenterRequest,
    DCSpecificRequest,
    NodeSpecificRequest,
    QueryOptions,
    ServiceSpecificRequest,
)
from consul_kernel.structs.record import Empty
from consul_kernel.structs.service import NodeService, ServiceConnect
from core.endpoints.harness import Endpoints

ID = "aaaaaaaa-0004-0000-0000-000000000001"


def request_for(node: str, service: NodeService | None = None, **more: object) -> RegisterRequest:
    return RegisterRequest(node=node, address="10.0.0.1", service=service, **more)  # type: ignore[arg-type]


async def test_every_method_has_an_endpoint(endpoints: Endpoints) -> None:
    assert endpoints.methods == set(METHODS)


# --- KVS ---


@pytest.mark.parametrize(
    ("op", "key", "text"),
    [
        (KVOp.SET, b"", "Must provide key"),
        (KVOp.DELETE, b"", "Must provide key"),
        (KVOp.LOCK, b"a", "raft apply failed: missing session"),
        (KVOp.UNLOCK, b"a", "raft apply failed: missing session"),
        ("odd", b"a", "Invalid KVS operation 'odd'"),
        (KVOp.SET, b"k" * 2000, "Key is too long"),
    ],
)
async def test_bad_writes_are_refused(endpoints: Endpoints, op: str, key: bytes, text: str) -> None:
    with pytest.raises(RpcError, match=text):
        await endpoints.call(KVS_APPLY, KVSRequest(op=op, dir_ent=DirEntry(key=key)))


@pytest.mark.parametrize(
    ("session", "text"),
    [("nope", "failed session lookup: index error: UUID must be 36 characters"), (ID, f'invalid session "{ID}"')],
)
async def test_unknown_sessions_lock_nothing(endpoints: Endpoints, session: str, text: str) -> None:
    entry = DirEntry(key=b"a", session=session)
    with pytest.raises(RpcError, match=f"^raft apply failed: {text}$"):
        await endpoints.call(KVS_APPLY, KVSRequest(op=KVOp.LOCK, dir_ent=entry))
    assert await endpoints.call(KVS_APPLY, KVSRequest(op=KVOp.UNLOCK, dir_ent=entry)) is False


async def test_only_conditional_writes_answer_true(endpoints: Endpoints) -> None:
    async def apply(op: KVOp, cas: int = 0) -> bool:
        return await endpoints.call(KVS_APPLY, KVSRequest(op=op, dir_ent=DirEntry(key=b"a", modify_index=cas)))

    assert await apply(KVOp.SET) is False
    assert await apply(KVOp.CAS, 0) is False
    assert await apply(KVOp.CAS, 1) is True
    assert await apply(KVOp.DELETE_CAS, 9) is False
    assert await apply(KVOp.DELETE_CAS, 1) is True
    assert await apply(KVOp.DELETE) is False


async def test_the_whole_tree_may_be_deleted(endpoints: Endpoints) -> None:
    await endpoints.put(b"a")
    deleted = await endpoints.delete(b"", KVOp.DELETE_TREE)
    reply = await endpoints.call(KVS_LIST, KeyRequest(key=b""))
    assert (reply.entries, reply.index) == (None, deleted)


async def test_keys_are_read_alone_by_prefix_and_by_name(endpoints: Endpoints) -> None:
    first = await endpoints.put(b"p/a", b"1")
    second = await endpoints.put(b"p/b/c", b"2")
    got = await endpoints.call(KVS_GET, KeyRequest(key=b"p/a"))
    assert got.index == first
    assert got.entries == [DirEntry(key=b"p/a", value=b"1", create_index=first, modify_index=first)]
    listed = await endpoints.call(KVS_LIST, KeyRequest(key=b"p/"))
    assert (listed.index, [entry.key for entry in listed.entries or ()]) == (second, [b"p/a", b"p/b/c"])
    names = await endpoints.call(KVS_LIST_KEYS, KeyListRequest(prefix=b"p/", seperator="/"))
    assert (names.index, names.keys) == (second, [b"p/a", b"p/b/"])
    absent = await endpoints.call(KVS_LIST_KEYS, KeyListRequest(prefix=b"none"))
    assert (absent.index, absent.keys) == (second, None)


async def test_keys_need_not_be_text(endpoints: Endpoints) -> None:
    await endpoints.put(b"\xff\x00")
    reply = await endpoints.call(KVS_LIST_KEYS, KeyListRequest(prefix=b"\xff"))
    assert reply.keys == [b"\xff\x00"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NotLeaderError(), "No cluster leader"),
        (LeadershipLostError(), "raft apply failed: leadership lost while committing log"),
        (ProposalTimeoutError(), "raft apply failed: timed out enqueuing operation"),
        (ProposalOverloadError(), "raft apply failed: timed out enqueuing operation"),
    ],
)
async def test_failed_proposals_are_told_in_consuls_words(endpoints: Endpoints, error: Exception, text: str) -> None:
    endpoints.consensus.propose_error = error
    with pytest.raises(RpcError, match=text):
        await endpoints.put(b"a")


async def test_tokens_stay_out_of_the_log(endpoints: Endpoints) -> None:
    await endpoints.call(KVS_APPLY, KVSRequest(dir_ent=DirEntry(key=b"a"), token="secret-token"))
    assert b"secret-token" not in endpoints.consensus.proposals[0]


@pytest.mark.parametrize("request_", [request_for("n\ud800"), request_for("n", NodeService(service="s", port=1 << 70))])
async def test_what_no_command_can_carry_is_refused(endpoints: Endpoints, request_: RegisterRequest) -> None:
    with pytest.raises(RpcError, match="cannot be encoded"):
        await endpoints.register(request_)


# --- catalog ---


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (RegisterRequest(address="10.0.0.1"), "Must provide node"),
        (RegisterRequest(node="n"), "Must provide address if SkipNodeUpdate is not set"),
        (request_for("n", id="short"), "Bad node ID: uuid string is wrong length"),
        (request_for("n", id="g" * 36), "Bad node ID: uuid is improperly formatted"),
        (request_for("n", NodeService(id="x")), "Must provide service name with ID"),
        (request_for("n", NodeService(service="s", address="0.0.0.0")), "Invalid service address"),
        (request_for("n", NodeService(service="s", address="::")), "Invalid service address"),
        (request_for("n", check=HealthCheck(name="c", service_id="none")), "Missing service registration"),
        (request_for("n", check=HealthCheck(node="m", name="c")), 'check node "m" does not match node "n"'),
    ],
)
async def test_bad_registrations_are_refused(endpoints: Endpoints, request_: RegisterRequest, text: str) -> None:
    with pytest.raises(RpcError, match=text):
        await endpoints.register(request_)


async def test_a_registration_is_completed(endpoints: Endpoints) -> None:
    await endpoints.register(
        request_for("n", NodeService(service="s"), check=HealthCheck(name="c1"), checks=[HealthCheck(name="c2")])
    )
    reply = await endpoints.call(HEALTH_SERVICE_NODES, ServiceSpecificRequest(service_name="s"))
    assert reply.nodes is not None
    (instance,) = reply.nodes
    assert instance.node.datacenter == "dc1"
    assert instance.service.id == "s"
    assert [(c.node, c.check_id, c.status) for c in instance.checks] == [
        ("n", "c1", "critical"),
        ("n", "c2", "critical"),
    ]


@pytest.mark.parametrize(
    ("definition", "kind"),
    [
        (HealthCheckDefinition(), ""),
        (HealthCheckDefinition(http="http://x/"), "http"),
        (HealthCheckDefinition(tcp="x:1"), "tcp"),
        (HealthCheckDefinition(ttl=1), "ttl"),
        (HealthCheckDefinition(script_args=["x"], docker_container_id="c"), "docker"),
        (HealthCheckDefinition(script_args=["x"]), "script"),
        (HealthCheckDefinition(alias_service="s"), "alias"),
    ],
)
async def test_a_checks_type_follows_from_its_definition(
    endpoints: Endpoints, definition: HealthCheckDefinition, kind: str
) -> None:
    await endpoints.register(request_for("n", check=HealthCheck(name="c", definition=definition)))
    reply = await endpoints.call(HEALTH_NODE_CHECKS, NodeSpecificRequest(node="n"))
    assert [check.type for check in reply.health_checks or ()] == [kind]


async def test_an_answer_without_mesh_instances_has_the_index_of_absence(endpoints: Endpoints) -> None:
    await endpoints.register(request_for("n", NodeService(service="gone")))
    gone = await endpoints.deregister(DeregisterRequest(node="n"))
    await endpoints.register(request_for("n", NodeService(service="s")))
    asked = ServiceSpecificRequest(service_name="s", connect=True)
    assert (await endpoints.call(HEALTH_SERVICE_NODES, asked)).index == gone
    assert (await endpoints.call(CATALOG_SERVICE_NODES, asked)).index == gone
    ingress = ServiceSpecificRequest(service_name="s", ingress=True)
    assert (await endpoints.call(HEALTH_SERVICE_NODES, ingress)).index == gone


async def test_a_deregistration_needs_a_node(endpoints: Endpoints) -> None:
    with pytest.raises(RpcError, match="Must provide node"):
        await endpoints.deregister(DeregisterRequest(service_id="x"))


async def test_the_catalog_can_be_read(endpoints: Endpoints) -> None:
    native = NodeService(id="1", service="s", tags=["A", "b"], connect=ServiceConnect(native=True))
    await endpoints.register(request_for("n", native, id=ID, node_meta={"k": "v"}))
    index = await endpoints.register(
        request_for("m", NodeService(id="2", service="s", tags=["b"], address="192.0.2.1"))
    )

    async def nodes(**asked: object) -> list[str]:
        request = ServiceSpecificRequest(service_name="s", **asked)  # type: ignore[arg-type]
        reply = await endpoints.call(CATALOG_SERVICE_NODES, request)
        assert reply.index == index
        return [node.node for node in reply.service_nodes or ()]

    assert await nodes() == ["m", "n"]
    assert await nodes(tag_filter=True, service_tags=["a", "B"]) == ["n"]
    assert await nodes(tag_filter=True, service_tag="a") == ["n"]
    assert await nodes(tag_filter=True, service_tags=[""]) == []
    assert await nodes(node_meta_filters={"k": "v"}) == ["n"]
    assert await nodes(filter="ServicePort == 0 and NodeMeta.k == v") == ["n"]
    assert await nodes(connect=True) == ["n"]
    assert await nodes(service_address="192.0.2.1") == ["m"]
    listed = await endpoints.call(CATALOG_LIST_NODES, DCSpecificRequest(filter="Node != m"))
    assert [node.node for node in listed.nodes or ()] == ["n"]
    services = await endpoints.call(CATALOG_LIST_SERVICES, DCSpecificRequest(filter="Nope == 1"))
    assert services.services == {"s": ["b", "A"]}
    assert await endpoints.call(CATALOG_LIST_DATACENTERS, QueryOptions()) == ["dc1", "dc2"]


@pytest.mark.parametrize("name", ["n", "N", ID])
async def test_a_nodes_services_are_read_by_name_or_id(endpoints: Endpoints, name: str) -> None:
    await endpoints.register(request_for("n", NodeService(service="s", port=80), id=ID))
    await endpoints.register(request_for("n", NodeService(service="t", port=81), id=ID))
    mapped = await endpoints.call(CATALOG_NODE_SERVICES, NodeSpecificRequest(node=name, filter="Port == 80"))
    assert mapped.node_services is not None
    assert list(mapped.node_services.services or ()) == ["s"]
    listed = await endpoints.call(CATALOG_NODE_SERVICE_LIST, NodeSpecificRequest(node=name))
    assert [service.id for service in listed.node_services.services or ()] == ["s", "t"]
    assert listed.index == endpoints.state.applied_index


async def test_unknown_nodes_are_nothing(endpoints: Endpoints) -> None:
    mapped = await endpoints.call(CATALOG_NODE_SERVICES, NodeSpecificRequest(node="none"))
    listed = await endpoints.call(CATALOG_NODE_SERVICE_LIST, NodeSpecificRequest(node="none"))
    assert mapped.node_services is None
    assert (listed.node_services.node, listed.node_services.services) == (None, None)


# --- health ---


async def test_health_can_be_read(endpoints: Endpoints) -> None:
    await endpoints.register(request_for("a", NodeService(id="1", service="s", tags=["t", "u"]), node_meta={"k": "v"}))
    check = HealthCheck(name="c", status="warning", service_id="1")
    index = await endpoints.register(request_for("b", NodeService(id="1", service="s", tags=["u"]), check=check))

    async def nodes(**asked: object) -> list[str]:
        request = ServiceSpecificRequest(service_name="s", **asked)  # type: ignore[arg-type]
        reply = await endpoints.call(HEALTH_SERVICE_NODES, request)
        assert reply.index == index
        return [instance.node.node for instance in reply.nodes or ()]

    assert await nodes() == ["a", "b"]
    assert await nodes(tag_filter=True, service_tags=["U", "t"]) == ["a"]
    assert await nodes(node_meta_filters={"k": "v"}) == ["a"]
    assert await nodes(filter="Checks.Status == warning") == ["b"]
    assert await nodes(connect=True) == []
    assert await nodes(ingress=True) == []
    state = await endpoints.call(HEALTH_CHECKS_IN_STATE, ChecksInStateRequest(state="warning"))
    node = await endpoints.call(HEALTH_NODE_CHECKS, NodeSpecificRequest(node="b", filter="Status == warning"))
    service = await endpoints.call(HEALTH_SERVICE_CHECKS, ServiceSpecificRequest(service_name="s"))
    for reply in (state, node, service):
        assert reply.index == index
        assert [(c.node, c.check_id) for c in reply.health_checks or ()] == [("b", "c")]


@pytest.mark.parametrize("method", [HEALTH_SERVICE_NODES, HEALTH_SERVICE_CHECKS, CATALOG_SERVICE_NODES])
async def test_a_service_must_be_named(endpoints: Endpoints, method: object) -> None:
    with pytest.raises(RpcError, match="Must provide service name"):
        await endpoints.call(method, ServiceSpecificRequest())  # type: ignore[arg-type]


async def test_bad_filters_are_refused(endpoints: Endpoints) -> None:
    text = 'Failed to create boolean expression evaluator: Selector "Nope" is not valid'
    with pytest.raises(RpcError) as caught:
        await endpoints.call(HEALTH_SERVICE_NODES, ServiceSpecificRequest(service_name="s", filter="Nope == 1"))
    assert str(caught.value) == text


@pytest.mark.parametrize("filter_", ["", "Node.Node == n"])
async def test_names_that_cannot_be_are_refused(endpoints: Endpoints, filter_: str) -> None:
    name = "n" * 2000
    with pytest.raises(RpcError, match="too long"):
        await endpoints.call(HEALTH_SERVICE_NODES, ServiceSpecificRequest(service_name=name, filter=filter_))
    with pytest.raises(RpcError, match="too long"):
        await endpoints.call(CATALOG_NODE_SERVICES, NodeSpecificRequest(node=name))
    assert (await endpoints.call(KVS_GET, KeyRequest(key=name.encode()))).entries is None
    assert (await endpoints.call(KVS_LIST, KeyRequest(key=name.encode()))).entries is None


# --- status and events ---


async def test_status_is_told_by_any_server(endpoints: Endpoints) -> None:
    assert await endpoints.call(STATUS_PING, Empty()) == Empty()
    assert await endpoints.call(STATUS_LEADER, DatacenterRequest()) == "127.0.0.1:8300"
    assert await endpoints.call(STATUS_PEERS, DatacenterRequest()) == ["127.0.0.1:8300"]


async def test_events_are_spread_under_consuls_prefix(endpoints: Endpoints) -> None:
    reply = await endpoints.call(INTERNAL_EVENT_FIRE, EventFireRequest(name="deploy", payload=b"p"))
    assert reply.known_leader
    assert endpoints.events == [("consul:event:deploy", b"p")]
    endpoints.event_error = MembershipError("user event exceeds configured limit")
    with pytest.raises(RpcError, match="exceeds"):
        await endpoints.call(INTERNAL_EVENT_FIRE, EventFireRequest(name="deploy"))
