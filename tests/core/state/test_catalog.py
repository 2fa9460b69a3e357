from __future__ import annotations

import pytest

from consul_kernel.contracts.errors import RequestError
from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.service import NodeService, Weights
from core.state.driver import StateDriver

ID_1 = "aaaaaaaa-0004-0000-0000-000000000001"
ID_2 = "aaaaaaaa-0004-0000-0000-000000000002"


def node(name: str, address: str = "10.0.0.1", node_id: str = "", **more: object) -> RegisterRequest:
    return RegisterRequest(node=name, address=address, id=node_id, datacenter="dc1", **more)  # type: ignore[arg-type]


def service(name: str, service_id: str = "", port: int = 0, tags: list[str] | None = None) -> NodeService:
    return NodeService(id=service_id or name, service=name, port=port, tags=tags)


def check(node_name: str, check_id: str, status: str = "passing", service_id: str = "") -> HealthCheck:
    return HealthCheck(node=node_name, check_id=check_id, name=check_id, status=status, service_id=service_id)


def node_names(driver: StateDriver) -> list[str]:
    return [found.node for found in driver.state.catalog.nodes()[1]]


# --- nodes ---


def test_a_node_is_renamed_by_its_id_and_keeps_its_create_index(driver: StateDriver) -> None:
    driver.register(node("a", node_id=ID_1))
    created = driver.index
    driver.register(node("b", node_id=ID_1))
    index, nodes = driver.state.catalog.nodes()
    assert index == driver.index
    assert [(n.node, n.create_index, n.modify_index) for n in nodes] == [("b", created, driver.index)]


def test_a_name_may_pass_to_another_id_when_no_agent_holds_it(driver: StateDriver) -> None:
    driver.register(node("b", node_id=ID_1))
    driver.register(node("b", node_id=ID_2, address="10.0.0.2"))
    found = driver.state.catalog.find_node(ID_2)
    assert found is not None
    assert found[1].address == "10.0.0.2"
    assert driver.state.catalog.find_node(ID_1) is None


@pytest.mark.parametrize(("status", "refused"), [("passing", True), ("critical", False)])
def test_a_live_agents_name_is_reserved(driver: StateDriver, status: str, refused: bool) -> None:
    driver.register(node("b", node_id=ID_1, check=check("b", "serfHealth", status)))
    result = driver.register(node("b", node_id=ID_2))
    assert isinstance(result, RequestError) == refused
    if refused:
        assert f"Node name b is reserved by node {ID_1} with name b (10.0.0.1)" in str(result)


def test_names_are_one_regardless_of_case(driver: StateDriver) -> None:
    driver.register(node("Web"))
    driver.register(node("wEB", address="10.0.0.9"))
    assert node_names(driver) == ["wEB"]


def test_an_id_may_be_dropped(driver: StateDriver) -> None:
    driver.register(node("b", node_id=ID_1))
    driver.register(node("b"))
    assert driver.state.catalog.find_node(ID_1) is None
    assert list(driver.store.range("nodes.id")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [(ID_1, True), (ID_1.upper(), True), ("aaaaaaaa", True), ("aaaaaaaa-0004", False), ("a", False), ("ab", False)],
)
def test_a_node_is_found_by_whole_octets_of_its_id(driver: StateDriver, text: str, found: bool) -> None:
    driver.register(node("n", node_id=ID_1))
    assert (driver.state.catalog.find_node(text) is not None) is found


def test_an_id_that_could_mean_two_nodes_means_none(driver: StateDriver) -> None:
    driver.register(node("n", node_id=ID_1))
    driver.register(node("m", node_id=ID_2))
    assert driver.state.catalog.find_node("aaaaaaaa") is None


def test_registering_the_same_again_moves_no_index(driver: StateDriver) -> None:
    request = node("n", service=service("s", port=80), check=check("n", "c", service_id="s"))
    driver.register(request)
    first = driver.index
    before = driver.dump()
    driver.register(request)
    after = driver.dump()
    del before["meta"], after["meta"]
    assert before == after
    assert driver.state.catalog.check_service_nodes("s")[0] == first


def test_skip_node_update_leaves_a_known_node_alone(driver: StateDriver) -> None:
    driver.register(node("n", node_meta={"k": "v"}))
    driver.register(node("n", address="10.9.9.9", skip_node_update=True, service=service("s")))
    _, found, services = driver.state.catalog.node_services("n")
    assert found is not None
    assert (found.address, found.meta, [s.id for s in services]) == ("10.0.0.1", {"k": "v"}, ["s"])


def test_nodes_are_found_by_metadata(driver: StateDriver) -> None:
    driver.register(node("a", node_meta={"k": "v", "x": "y"}))
    driver.register(node("b", node_meta={"k": "w"}))
    driver.register(node("c"))
    assert [n.node for n in driver.state.catalog.nodes({"k": "v"})[1]] == ["a"]
    assert driver.state.catalog.nodes({"k": "v", "x": "z"})[1] == []


def test_an_unknown_node_has_index_zero(driver: StateDriver) -> None:
    driver.register(node("a"))
    assert driver.state.catalog.node_services("none") == (0, None, [])


def test_deregistering_a_node_takes_all_it_had(driver: StateDriver) -> None:
    driver.register(
        node("n", node_id=ID_1, service=service("s"), checks=[check("n", "c"), check("n", "d", "warning", "s")])
    )
    driver.deregister("N")
    kept = {table: pairs for table, pairs in driver.dump().items() if table not in ("meta", "index")}
    assert kept == {}
    catalog = driver.state.catalog
    assert catalog.nodes() == (driver.index, [])
    assert catalog.services() == (driver.index, {})
    assert catalog.checks_in_state("any") == (driver.index, [])
    assert catalog.check_service_nodes("s") == (driver.index, [])


# --- services ---


def test_instances_come_by_node_and_id(driver: StateDriver) -> None:
    driver.register(node("b", service=service("s", "1")))
    driver.register(node("a", service=service("s", "2")))
    driver.register(node("a", service=service("s", "1")))
    index, found = driver.state.catalog.service_nodes("S")
    assert index == driver.index
    assert [(n.node, n.service_id) for n in found] == [("a", "1"), ("a", "2"), ("b", "1")]


def test_senseless_weights_become_ordinary(driver: StateDriver) -> None:
    driver.register(node("n", service=NodeService(id="s", service="s", weights=Weights(passing=0, warning=5))))
    assert driver.state.catalog.service_nodes("s")[1][0].service_weights == Weights(passing=1, warning=1)


def test_a_services_index_ignores_other_services(driver: StateDriver) -> None:
    driver.register(node("n", service=service("s")))
    mine = driver.index
    driver.register(node("m", service=service("other")))
    assert driver.state.catalog.service_nodes("s")[0] == mine
    assert driver.state.catalog.check_service_nodes("s")[0] == mine


def test_a_missing_services_index_is_that_of_the_last_to_vanish(driver: StateDriver) -> None:
    driver.register(node("n", service=service("s")))
    driver.register(node("n", service=service("t")))
    assert driver.state.catalog.service_nodes("none")[0] == driver.index  # nothing ever vanished
    driver.deregister("n", service_id="s")
    gone = driver.index
    driver.register(node("n", service=service("u")))
    assert driver.state.catalog.service_nodes("none")[0] == gone
    assert driver.state.catalog.check_service_nodes("s") == (gone, [])


def test_an_instance_that_changes_its_name_leaves_the_old_service(driver: StateDriver) -> None:
    driver.register(node("n", service=service("old", "1")))
    driver.register(node("n", service=service("new", "1")))
    catalog = driver.state.catalog
    assert catalog.service_nodes("old") == (driver.index, [])
    assert [n.service_name for n in catalog.service_nodes("new")[1]] == ["new"]
    assert list(catalog.services()[1]) == ["new"]


def test_service_names_come_with_all_tags(driver: StateDriver) -> None:
    driver.register(node("n", node_meta={"k": "v"}, service=service("s", "1", tags=["a", "b"])))
    driver.register(node("n", node_meta={"k": "v"}, service=service("s", "2", tags=["b", "c"])))
    driver.register(node("m", service=service("t")))
    assert driver.state.catalog.services() == (driver.index, {"s": ["a", "b", "c"], "t": []})
    assert driver.state.catalog.services({"k": "v"}) == (driver.index, {"s": ["a", "b", "c"]})
    assert driver.state.catalog.services({"k": "w"})[1] == {}


def test_instances_are_found_by_address(driver: StateDriver) -> None:
    driver.register(node("n", service=NodeService(id="1", service="s", address="192.0.2.1")))
    driver.register(node("m", address="10.0.0.7", service=service("t")))
    find = driver.state.catalog.address_nodes
    assert [n.service_name for n in find("192.0.2.1")[1]] == ["s"]
    assert [n.service_name for n in find("10.0.0.7")[1]] == ["t"]
    assert find("10.0.0.1")[1] == []


# --- checks ---


def test_a_check_defaults_to_critical_and_takes_its_services_name_and_tags(driver: StateDriver) -> None:
    driver.register(node("n", service=service("s", "1", tags=["t"]), check=check("n", "c", "", "1")))
    _, (found,) = driver.state.catalog.node_checks("n")
    assert (found.status, found.service_name, found.service_tags) == ("critical", "s", ["t"])


def test_health_shows_the_nodes_checks_before_the_services(driver: StateDriver) -> None:
    driver.register(node("n", service=service("s", "1"), checks=[check("n", "c1", service_id="1"), check("n", "n1")]))
    driver.register(node("n", service=service("x", "2"), check=check("n", "x1", service_id="2")))
    _, (instance,) = driver.state.catalog.check_service_nodes("s")
    assert [c.check_id for c in instance.checks] == ["n1", "c1"]


def test_health_moves_with_node_service_and_checks(driver: StateDriver) -> None:
    driver.register(node("n", service=service("s", "1"), check=check("n", "c", service_id="1")))
    changes = [
        node("n", address="10.0.0.2"),
        node("n", address="10.0.0.2", check=check("n", "c", "critical", "1")),
        node("n", address="10.0.0.2", check=check("n", "nc", "warning")),
        node("n", address="10.0.0.2", service=service("s", "1", port=5)),
    ]
    for request in changes:
        driver.register(request)
        index, (instance,) = driver.state.catalog.check_service_nodes("s")
        assert index == driver.index
    assert instance.node.address == "10.0.0.2"
    assert instance.service.port == 5
    assert [(c.check_id, c.status) for c in instance.checks] == [("nc", "warning"), ("c", "critical")]
    driver.deregister("n", check_id="nc")
    index, (instance,) = driver.state.catalog.check_service_nodes("s")
    assert (index, [c.check_id for c in instance.checks]) == (driver.index, ["c"])


def test_checks_are_found_by_state_node_and_service(driver: StateDriver) -> None:
    driver.register(
        node("b", node_meta={"k": "v"}, service=service("s"), checks=[check("b", "p"), check("b", "w", "warning", "s")])
    )
    driver.register(node("a", check=check("a", "p")))
    catalog = driver.state.catalog
    assert [(c.node, c.check_id) for c in catalog.checks_in_state("passing")[1]] == [("a", "p"), ("b", "p")]
    assert [c.check_id for c in catalog.checks_in_state("warning")[1]] == ["w"]
    assert catalog.checks_in_state("odd")[1] == []
    assert [(c.node, c.check_id) for c in catalog.checks_in_state("any")[1]] == [("a", "p"), ("b", "p"), ("b", "w")]
    assert [c.node for c in catalog.checks_in_state("passing", {"k": "v"})[1]] == ["b"]
    assert [c.check_id for c in catalog.service_checks("S")[1]] == ["w"]
    assert catalog.service_checks("s", {"k": "x"})[1] == []
    assert [c.check_id for c in catalog.node_checks("B")[1]] == ["p", "w"]


def test_a_check_that_moves_between_services_shows_in_one(driver: StateDriver) -> None:
    driver.register(node("n", service=service("s"), check=check("n", "c", service_id="s")))
    driver.register(node("n", service=service("t"), check=check("n", "c", service_id="t")))
    catalog = driver.state.catalog
    assert catalog.check_service_nodes("s")[0] == driver.index
    assert [len(i.checks) for name in ("s", "t") for i in catalog.check_service_nodes(name)[1]] == [0, 1]


def test_deregistering_a_service_takes_its_checks(driver: StateDriver) -> None:
    driver.register(node("n", service=service("s"), checks=[check("n", "c", service_id="s"), check("n", "nc")]))
    driver.deregister("n", service_id="S")
    assert [c.check_id for c in driver.state.catalog.node_checks("n")[1]] == ["nc"]
    assert driver.state.catalog.services()[1] == {}


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (node("n", service=service("s"), check=check("n", "c", service_id="none")), "Missing service registration"),
        (node("n", service=service("s"), check=check("other", "c")), 'check node "other" does not match node "n"'),
        (node("n", service=service("s" * 1600)), "Names are too long"),
    ],
)
def test_a_refused_registration_leaves_no_trace(driver: StateDriver, request_: RegisterRequest, text: str) -> None:
    driver.register(node("known"))
    before = driver.dump()
    result = driver.register(request_)
    assert isinstance(result, RequestError)
    assert text in str(result)
    after = driver.dump()
    del before["meta"], after["meta"]
    assert before == after
    assert node_names(driver) == ["known"]
