"""Configuration entries together: chains of services, and the gateways and intentions in front of them."""

from __future__ import annotations

from typing import Any

import pytest

from consul_kernel.contracts.errors import RequestError
from consul_kernel.server.config_entries import check_together, normalise
from consul_kernel.state import CommandType, ReplicatedState
from consul_kernel.structs.config_entry import ConfigEntry, ConfigEntryOp, ConfigEntryRequest
from consul_kernel.structs.config_kinds import decode_entry
from consul_kernel_memory.store import MemoryStore
from core.state.driver import StateDriver


class Entries:
    """Entries that are written as the leader does it."""

    def __init__(self) -> None:
        self._driver = StateDriver(MemoryStore().state)
        self.state: ReplicatedState = self._driver.state

    def put(self, kind: str, name: str = "web", **fields: Any) -> None:
        entry = normalise(decode_entry({"Kind": kind, "Name": name, **fields}))
        check_together(self.state.config_entries, entry)
        self._driver.apply(CommandType.CONFIG_ENTRY, ConfigEntryRequest(op=ConfigEntryOp.UPSERT, entry=entry))

    def delete(self, kind: str, name: str = "web") -> None:
        entry = ConfigEntry(kind=kind, name=name)
        check_together(self.state.config_entries, entry, is_deleted=True)
        self._driver.apply(CommandType.CONFIG_ENTRY, ConfigEntryRequest(op=ConfigEntryOp.DELETE, entry=entry))

    def http(self, *names: str) -> None:
        for name in names:
            self.put("service-defaults", name, Protocol="http")


@pytest.fixture
def entries() -> Entries:
    return Entries()


def refused(text: str) -> Any:
    return pytest.raises(RequestError, match=f"^{text}$")


TCP_ROUTED = 'discovery chain "web" uses a protocol "tcp" that does not permit advanced routing or splitting behavior'
ALL = [{"Weight": 100}]


@pytest.mark.parametrize(("kind", "field"), [("service-router", "Routes"), ("service-splitter", "Splits")])
def test_only_requests_can_be_routed_or_split(entries: Entries, kind: str, field: str) -> None:
    fields: dict[str, Any] = {field: [] if field == "Routes" else ALL}
    with refused(TCP_ROUTED):
        entries.put(kind, **fields)
    entries.http("web")
    entries.put(kind, **fields)
    with refused(TCP_ROUTED):
        entries.put("service-defaults", Protocol="tcp")
    with refused(TCP_ROUTED):
        entries.delete("service-defaults")
    entries.put("proxy-defaults", "global", Config={"protocol": "grpc"})
    entries.delete("service-defaults")
    with refused(TCP_ROUTED):
        entries.delete("proxy-defaults", "global")
    entries.delete(kind)
    entries.delete("proxy-defaults", "global")


def test_services_of_one_chain_speak_alike(entries: Entries) -> None:
    entries.http("web", "api")
    text = 'discovery chain "web" uses inconsistent protocols; service "db" has "tcp" which is not "http"'
    with refused(text):
        entries.put("service-splitter", Splits=[{"Weight": 50}, {"Weight": 50, "Service": "db"}])
    with refused(text):
        entries.put("service-router", Routes=[{"Destination": {"Service": "db"}}])
    with refused(text):
        entries.put("service-resolver", Failover={"*": {"Service": "db"}})
    entries.put("service-splitter", Splits=[{"Weight": 50}, {"Weight": 50, "Service": "api"}])
    # What another chain leads to may not change under it.
    with refused('discovery chain "web" uses inconsistent protocols; service "api" has "tcp" which is not "http"'):
        entries.put("service-defaults", "api", Protocol="tcp")


def test_subsets_are_those_that_there_are(entries: Entries) -> None:
    entries.http("web", "api")
    with refused('service "api" does not have a subset named "v1"'):
        entries.put("service-router", Routes=[{"Destination": {"Service": "api", "ServiceSubset": "v1"}}])
    entries.put("service-resolver", "api", Subsets={"v1": {}}, DefaultSubset="v1")
    entries.put("service-router", Routes=[{"Destination": {"Service": "api", "ServiceSubset": "v1"}}])
    with refused('service "api" does not have a subset named "v1"'):
        entries.delete("service-resolver", "api")


def test_circles(entries: Entries) -> None:
    entries.put("service-resolver", "a", Redirect={"Service": "b"})
    entries.put("service-resolver", "b", Redirect={"Service": "c"})
    circle = "a.default.dc1 -> b.default.dc1 -> c.default.dc1 -> a.default.dc1"
    rotated = "c.default.dc1 -> a.default.dc1 -> b.default.dc1 -> c.default.dc1"
    with refused(f"detected circular resolver redirect: \\[({circle}|{rotated})\\]"):
        entries.put("service-resolver", "c", Redirect={"Service": "a"})
    entries.put("service-resolver", "c", Redirect={"Datacenter": "dc2"})
    entries.http("x", "y")
    entries.put("service-splitter", "x", Splits=[{"Weight": 100, "Service": "y"}])
    with refused(r"detected circular reference: \[splitter:y.* -> splitter:x.* -> splitter:y.*\]"):
        entries.put("service-splitter", "y", Splits=[{"Weight": 100, "Service": "x"}])


def test_many_ways_to_the_same_are_gone_once(entries: Entries) -> None:
    """2 to the 40th ways lead through these splitters."""
    entries.http(*(f"s{number}" for number in range(42)))
    for number in range(40, -1, -1):
        # To the next by itself, and to the same by a redirect of the second.
        splits = [{"Weight": 50, "Service": f"s{number + 1}"}, {"Weight": 50, "Service": f"s{min(number + 2, 41)}"}]
        entries.put("service-splitter", f"s{number}", Splits=splits if number < 40 else ALL)
    assert entries.state.config_entries.get("service-splitter", "s0")[1] is not None


def test_a_service_outside_has_no_instances_to_choose_from(entries: Entries) -> None:
    entries.put("service-defaults", ExternalSNI="web.example.com")
    text = 'service "web" has an external SNI set; cannot define {} for external services'
    with refused(text.format("subsets")):
        entries.put("service-resolver", Subsets={"v1": {}})
    with refused(text.format("failover")):
        entries.put("service-resolver", Failover={"*": {"Datacenters": ["dc2"]}})


def listener(protocol: str, *services: str) -> dict[str, Any]:
    return {"Port": 80, "Protocol": protocol, "Services": [{"Name": name} for name in services]}


def test_a_gateway_speaks_as_its_services(entries: Entries) -> None:
    entries.http("web")
    with refused('service "web" has protocol "http", which does not match defined listener protocol "tcp"'):
        entries.put("ingress-gateway", "gate", Listeners=[listener("tcp", "web")])
    entries.put("ingress-gateway", "gate", Listeners=[listener("http", "web", "*")])
    with refused('service "web" has protocol "tcp", which does not match defined listener protocol "http"'):
        entries.delete("service-defaults")
    entries.put("ingress-gateway", "gate", Listeners=[listener("tcp", "db")])
    # In front of what is not looked into, one for TCP may stay when the service's protocol changes.
    entries.http("db")
    with refused('service "db" has protocol "http", which does not match defined listener protocol "tcp"'):
        entries.put("service-splitter", "db", Splits=ALL)


def test_a_name_is_of_one_kind_of_gateway(entries: Entries) -> None:
    entries.put("terminating-gateway", "gate", Services=[])
    with refused(
        'cannot create a "ingress-gateway" config entry with name "gate", a "terminating-gateway" config entry with '
        "that name already exists"
    ):
        entries.put("ingress-gateway", "gate", Listeners=[])
    entries.delete("terminating-gateway", "gate")
    entries.put("ingress-gateway", "gate", Listeners=[])


def test_intentions_that_look_into_requests_need_some(entries: Entries) -> None:
    text = 'service "web" has protocol "tcp", which is incompatible with L7 intentions permissions'
    sources = [{"Name": "a", "Permissions": [{"Action": "allow", "HTTP": {"PathExact": "/"}}]}]
    with refused(text):
        entries.put("service-intentions", Sources=sources)
    entries.http("web")
    entries.put("service-intentions", Sources=sources)
    with refused(text):
        entries.put("service-defaults", Protocol="tcp")
    with refused(text):
        entries.delete("service-defaults")
    entries.put("service-intentions", Sources=[{"Name": "a", "Action": "allow"}])
    entries.delete("service-defaults")
