"""`/v1/event`, and which of the pool's events an agent keeps."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import msgpack
import pytest

import consul_kernel_http
from consul_kernel.contracts.membership import UserEvent
from consul_kernel.structs.event import EventFireResponse, event_index
from consul_kernel.structs.methods import INTERNAL_EVENT_FIRE
from consul_kernel.structs.service import NodeService
from consul_kernel.testing.fake_agent import FakeAgent
from consul_kernel_http.event_filters import accepts
from consul_kernel_http.event_log import KEPT_EVENTS, decode_payload, encode_payload, event_log_of

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site


def arrive(agent: FakeAgent, name: str, filters: dict[str, str] | None = None, *, ltime: int = 5) -> str:
    """Let an event arrive at the agent; its id."""
    event_id = str(uuid.uuid4())
    payload = msgpack.packb({"ID": event_id, "n": name, "p": b"data", "v": 1, **(filters or {})}, use_bin_type=True)
    event = UserEvent(f"consul:event:{name}", payload, ltime)
    consul_kernel_http.consul_kernel_gossip_event(agent, "lan", event)
    return event_id


async def test_fire(site: Site) -> None:
    site.agent.answer(INTERNAL_EVENT_FIRE, EventFireResponse())
    got = await site.put("/v1/event/fire/deploy?node=^x&service=web&tag=a&dc=d", b"\x00\x01\xff")
    shown = got.json
    assert list(shown) == ["ID", "Name", "Payload", "NodeFilter", "ServiceFilter", "TagFilter", "Version", "LTime"]
    assert (shown["Name"], shown["Payload"], shown["Version"], shown["LTime"]) == ("deploy", "AAH/", 1, 0)
    [request] = site.agent.requests(INTERNAL_EVENT_FIRE)
    assert (request.name, request.datacenter) == ("deploy", "d")
    assert request.payload is not None
    packed = msgpack.unpackb(request.payload, raw=False)
    assert packed == {
        "ID": shown["ID"],
        "n": "deploy",
        "nf": "^x",
        "p": b"\x00\x01\xff",
        "sf": "web",
        "tf": "a",
        "v": 1,
    }
    assert list(packed) == sorted(packed)


async def test_empty_payload_is_null_and_left_out_of_the_wire(site: Site) -> None:
    site.agent.answer(INTERNAL_EVENT_FIRE, EventFireResponse())
    got = await site.put("/v1/event/fire/deploy")
    assert got.json["Payload"] is None
    payload = site.agent.requests(INTERNAL_EVENT_FIRE)[0].payload
    assert payload is not None
    assert set(msgpack.unpackb(payload)) == {"ID", "n", "v"}


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("", 400, "Missing name"),
        ("e?tag=a", 500, "Cannot provide tag filter without service filter"),
        ("e?node=(", 500, "Invalid node filter: error parsing regexp: missing closing ): `(`"),
        (
            "e?node=(%3F=a)",
            500,
            "Invalid node filter: error parsing regexp: invalid or unsupported Perl syntax: `(?=a)`",
        ),
        ("e?service=(", 500, "Invalid service filter: error parsing regexp: "),
        ("e?service=x&tag=(", 500, "Invalid tag filter: error parsing regexp: "),
    ],
)
async def test_bad_events(site: Site, path: str, status: int, text: str) -> None:
    got = await site.put(f"/v1/event/fire/{path}")
    assert got.status == status
    assert got.text.startswith(text)
    assert site.agent.calls == []


async def test_list(site: Site) -> None:
    assert (await site.get("/v1/event/list")).text == "[]"
    first = arrive(site.agent, "a", ltime=3)
    second = arrive(site.agent, "b")
    got = await site.get("/v1/event/list")
    assert [event["ID"] for event in got.json] == [first, second]
    assert got.json[0]["LTime"] == 3
    assert got.json[0]["Payload"] == "ZGF0YQ=="
    assert got.headers["X-Consul-Index"] == str(event_index(second))
    assert [event["ID"] for event in (await site.get("/v1/event/list?name=a")).json] == [first]


async def test_list_blocks_until_the_newest_is_another(site: Site) -> None:
    index = event_index(arrive(site.agent, "a"))
    asking = asyncio.ensure_future(site.get(f"/v1/event/list?index={index}&wait=10s"))
    await asyncio.sleep(0.05)
    assert not asking.done()
    newest = arrive(site.agent, "b")
    assert (await asyncio.wait_for(asking, 5)).json[-1]["ID"] == newest
    got = await site.get(f"/v1/event/list?index={event_index(newest)}&wait=20ms")
    assert got.json[-1]["ID"] == newest


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({}, True),
        ({"nf": "^node"}, True),
        ({"nf": "^other"}, False),
        ({"nf": "("}, False),
        ({"nf": "(a+)+$"}, False),
        ({"sf": "web"}, True),
        ({"sf": "db"}, False),
        ({"sf": "web", "tf": "^v1$"}, True),
        ({"sf": "web", "tf": "v2"}, False),
        ({"sf": "^w$", "tf": "^v1$"}, True),
        ({"sf": "^(web|w)-?$", "nf": "1$"}, True),
        ({"sf": "^db$", "tf": "v1"}, False),
        ({"sf": "web", "tf": "("}, False),
        ({"nf": "^other", "sf": "web"}, False),
        ({"tf": "^nothing$"}, True),
    ],
)
def test_filters(filters: dict[str, str], kept: bool) -> None:
    agent = FakeAgent(node_name="node1")
    agent.local.services_by_id["w"] = NodeService(id="w", service="web", tags=["v1"])
    arrive(agent, "e", filters)
    assert bool(event_log_of(agent).named("")) is kept


def test_a_tag_is_looked_for_among_services_that_fit() -> None:
    agent = FakeAgent()
    agent.local.services_by_id["a"] = NodeService(id="a", service="a", tags=["blue"])
    agent.local.services_by_id["b"] = NodeService(id="b", service="b", tags=["red"])
    for service, tag, kept in (("a", "blue", True), ("a", "red", False), ("b", "red", True), ("a|b", "red", True)):
        before = len(event_log_of(agent).named(""))
        arrive(agent, "e", {"sf": f"^({service})$", "tf": tag})
        assert len(event_log_of(agent).named("")) - before == kept


def test_what_would_take_too_long_is_meant_for_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """A text is searched once, however many services have it; what all searches may take is bounded."""
    services = {f"w{number}": NodeService(id=f"w{number}", service="web", tags=["blue"]) for number in range(500)}
    filters = {"node": "", "service": "^web$", "tag": "^blue$", "node_name": "n", "services": services}
    assert accepts(**filters, max_steps=100)  # type: ignore[arg-type]
    filters["service"] = "^none$"
    assert not accepts(**filters, max_steps=1000)  # type: ignore[arg-type]
    (record,) = caplog.records
    assert "would take too long" in record.getMessage()


def test_remote_execution_is_not_listed() -> None:
    agent = FakeAgent()
    arrive(agent, "_rexec")
    assert event_log_of(agent).named("") == []


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x93\x01\x02\x03", b"text", msgpack.packb({"ID": 5, "v": "x"})])
def test_payloads_that_are_no_events_are_dropped(payload: bytes) -> None:
    agent = FakeAgent()
    consul_kernel_http.consul_kernel_gossip_event(agent, "lan", UserEvent("consul:event:e", payload, 1))
    consul_kernel_http.consul_kernel_gossip_event(agent, "lan", UserEvent("consul:new-leader", b"node2", 1))
    assert event_log_of(agent).named("") == []


def test_only_the_newest_are_kept() -> None:
    agent = FakeAgent()
    ids = [arrive(agent, "e") for _ in range(KEPT_EVENTS + 10)]
    assert [event.id for event in event_log_of(agent).named("e")] == ids[10:]


def test_payload_of_a_real_agent() -> None:
    # What a Consul 1.10.11 agent sent for `event/fire/via-http?node=.*`.
    payload = bytes.fromhex(
        "85a24944d92430366265343034302d653531662d616433612d386231352d653937346464363064386639"
        "a16ea87669612d68747470a26e66a22e2aa170c40a626f64792d6279746573a17601"
    )
    event = decode_payload(payload, 7)
    assert event.id == "06be4040-e51f-ad3a-8b15-e974dd60d8f9"
    assert (event.name, event.payload, event.node_filter, event.ltime) == ("via-http", b"body-bytes", ".*", 7)
    assert encode_payload(event) == payload


@pytest.mark.parametrize(
    ("pattern", "is_meant"),
    [
        ("^web-[0-9]+$", True),
        ("^(web|db)(-[0-9])*$", True),
        ("^[a-z]*[a-z]*[a-z]*[a-z]*$", False),
        ("(", False),
        ("(?=web)", False),
    ],
)
async def test_filters_are_gos_regular_expressions(site: Site, pattern: str, is_meant: bool) -> None:
    site.agent.local.services_by_id["web-1"] = NodeService(id="web-1", service="web-1")
    arrive(site.agent, "deploy", {"sf": pattern})
    assert len((await site.get("/v1/event/list")).json) == is_meant


@pytest.mark.timeout(5)
async def test_no_filter_takes_for_ever(site: Site) -> None:
    """Peers write filters, and Python's own matcher would be busy with these until long after the test."""
    site.agent.local.services_by_id["w"] = NodeService(id="w", service="a" * 200 + "!")
    for pattern in ("^(a|a)*$", "^(a*)*$", "^(a|aa)+$", "^a*a*a*a*a*a*a*$"):
        arrive(site.agent, "deploy", {"sf": pattern})
    assert (await site.get("/v1/event/list")).json == []
