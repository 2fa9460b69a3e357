"""The catalog against a model that is nothing but dicts, and scans of them."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.service import NodeService
from consul_kernel_memory.store import MemoryStore
from core.state.driver import StateDriver

NODES = ["a", "B", "c"]
SERVICES = ["web", "db"]
CHECKS = ["c1", "c2"]
STATUSES = ["passing", "warning", "critical"]


class CatalogModel(RuleBasedStateMachine):
    """Nodes without ids, instances and checks; what each service's index and health must be is worked out afresh."""

    nodes = st.sampled_from(NODES)
    services = st.sampled_from(SERVICES)
    checks = st.sampled_from(CHECKS)

    def __init__(self) -> None:
        super().__init__()
        self.driver = StateDriver(MemoryStore().state)
        self.addresses: dict[str, str] = {}
        self.instances: dict[tuple[str, str], tuple[str, int]] = {}
        """(node, id) to name and port; the ids are the names, with "x" for an instance that changes its name."""
        self.statuses: dict[tuple[str, str], tuple[str, str]] = {}
        """(node, check id) to status and service id."""
        self.changed: dict[str, int] = {}
        self.extinct: int | None = None

    # --- what happens ---

    @rule(node=nodes, address=st.sampled_from(["10.0.0.1", "10.0.0.2"]))
    def register_node(self, node: str, address: str) -> None:
        self._register(node, address)

    @rule(node=nodes, service_id=st.sampled_from([*SERVICES, "x"]), name=services, port=st.integers(0, 1))
    def register_service(self, node: str, service_id: str, name: str, port: int) -> None:
        name = name if service_id == "x" else service_id
        self._register(node, self.addresses.get(node, "10.0.0.1"), NodeService(id=service_id, service=name, port=port))
        key = (node, service_id)
        old = self.instances.get(key)
        if old != (name, port):
            self.instances[key] = (name, port)
            self._touch(name)
            if old is not None and old[0] != name:
                self._shrink(old[0])

    @rule(node=nodes, check=checks, status=st.sampled_from(STATUSES), service_id=st.sampled_from(["", *SERVICES]))
    def register_check(self, node: str, check: str, status: str, service_id: str) -> None:
        if node not in self.addresses or (service_id and (node, service_id) not in self.instances):
            return
        record = HealthCheck(node=node, check_id=check, status=status, service_id=service_id)
        self.driver.register(RegisterRequest(node=node, skip_node_update=True, check=record))
        old = self.statuses.get((node, check))
        if old != (status, service_id):
            self.statuses[node, check] = (status, service_id)
            self._touch_owner(node, service_id)
            if old is not None and old[1] != service_id:
                self._touch_owner(node, old[1])

    @rule(node=nodes, service_id=st.sampled_from([*SERVICES, "x"]))
    def deregister_service(self, node: str, service_id: str) -> None:
        self.driver.deregister(node, service_id=service_id)
        self._forget_instance(node, service_id)

    @rule(node=nodes, check=checks)
    def deregister_check(self, node: str, check: str) -> None:
        self.driver.deregister(node, check_id=check)
        self._forget_check(node, check)

    @rule(node=nodes)
    def deregister_node(self, node: str) -> None:
        self.driver.deregister(node)
        for owner, service_id in list(self.instances):
            if owner == node:
                self._forget_instance(node, service_id)
        for owner, check in list(self.statuses):
            if owner == node:
                self._forget_check(node, check)
        self.addresses.pop(node, None)

    def _register(self, node: str, address: str, service: NodeService | None = None) -> None:
        self.driver.register(RegisterRequest(node=node, address=address, service=service))
        if self.addresses.get(node) != address:
            self.addresses[node] = address
            self._touch_owner(node, "")

    # --- what it means ---

    def _touch(self, name: str) -> None:
        self.changed[name] = self.driver.index

    def _touch_owner(self, node: str, service_id: str) -> None:
        for (owner, own_id), (name, _) in self.instances.items():
            if owner == node and service_id in ("", own_id):
                self._touch(name)

    def _shrink(self, name: str) -> None:
        if any(kept == name for kept, _ in self.instances.values()):
            self._touch(name)
        else:
            self.changed.pop(name, None)
            self.extinct = self.driver.index

    def _forget_check(self, node: str, check: str) -> None:
        known = self.statuses.pop((node, check), None)
        if known is not None:
            self._touch_owner(node, known[1])

    def _forget_instance(self, node: str, service_id: str) -> None:
        known = self.instances.pop((node, service_id), None)
        if known is not None:
            for owner, check in list(self.statuses):
                if owner == node and self.statuses[owner, check][1] == service_id:
                    del self.statuses[owner, check]
            self._shrink(known[0])

    # --- what must hold ---

    @invariant()
    def nodes_agree(self) -> None:
        found = self.driver.state.catalog.nodes()[1]
        expected = sorted(self.addresses.items(), key=lambda pair: pair[0].lower())
        assert [(node.node, node.address) for node in found] == expected

    @invariant()
    def services_agree(self) -> None:
        catalog = self.driver.state.catalog
        assert sorted(catalog.services()[1]) == sorted({name for name, _ in self.instances.values()})
        for name in SERVICES:
            keys = [key for key, (own_name, _) in self.instances.items() if own_name == name]
            keys.sort(key=lambda key: (key[0].lower(), key[1]))
            index, found = catalog.check_service_nodes(name)
            assert [(i.node.node, i.service.id) for i in found] == keys
            for instance in found:
                key = (instance.node.node, instance.service.id)
                assert instance.service.port == self.instances[key][1]
                assert instance.node.address == self.addresses[key[0]]
                assert [(c.check_id, c.status) for c in instance.checks] == self._expected_checks(*key)
            plain_index, plain = catalog.service_nodes(name)
            assert [(node.node, node.service_id) for node in plain] == keys
            if keys:
                assert index == plain_index == self.changed[name]
            elif self.extinct is not None:
                assert index == plain_index == self.extinct

    def _expected_checks(self, node: str, service_id: str) -> list[tuple[str, str]]:
        return [
            (check, status)
            for wanted in ("", service_id)
            for (owner, check), (status, own_id) in sorted(self.statuses.items())
            if owner == node and own_id == wanted
        ]

    @invariant()
    def checks_agree(self) -> None:
        for status in STATUSES:
            found = self.driver.state.catalog.checks_in_state(status)[1]
            expected = [key for key, (own, _) in self.statuses.items() if own == status]
            assert [(c.node, c.check_id) for c in found] == sorted(expected, key=lambda key: (key[0].lower(), key[1]))


CatalogModel.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestCatalogModel = CatalogModel.TestCase
