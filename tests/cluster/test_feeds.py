"""Reads that tell only what has changed, through a client agent and from another datacenter, by real processes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from harness.agents import AgentProcess, Cluster
from harness.waiting import wait_for
from plugins.interfaces.http.feeds import Event, Events, listening

pytestmark = pytest.mark.timeout(120)

FAST_GOSSIP = {"gossip_interval": "50ms", "probe_interval": "500ms", "probe_timeout": "250ms"}
NODE = {
    "Node": "n1",
    "Address": "10.0.0.1",
    "Service": {"ID": "web1", "Service": "web", "Port": 80},
    "Check": {"Node": "n1", "CheckID": "up", "Name": "up", "Status": "passing", "ServiceID": "web1"},
}
READS = (
    "/v1/kv/feeds/?recurse",
    "/v1/kv/feeds/?keys",
    "/v1/kv/feeds/a",
    "/v1/catalog/nodes",
    "/v1/catalog/services",
    "/v1/catalog/service/web",
    "/v1/catalog/node/n1",
    "/v1/catalog/node-services/n1",
    "/v1/health/node/n1",
    "/v1/health/checks/web",
    "/v1/health/state/any",
    "/v1/health/service/web?passing",
    "/v1/session/list",
    "/v1/session/node/n1",
    "/v1/query",
    "/v1/config/service-defaults",
    "/v1/internal/ui/nodes",
    "/v1/internal/ui/node/n1",
    "/v1/internal/ui/services",
)
"""What can wait and changes by what is done below."""
WHOLES = ("/v1/catalog/node/n1", "/v1/catalog/node-services/n1", "/v1/internal/ui/node/n1")


def two_datacenters(cluster: Cluster) -> tuple[AgentProcess, AgentProcess]:
    """A client of dc1, and the server of dc2."""
    (there,) = cluster.servers(1, prefix="t", datacenter="dc2", gossip_wan=FAST_GOSSIP)
    (here,) = cluster.servers(1, datacenter="dc1", gossip_wan=FAST_GOSSIP, retry_join_wan=[there.wan])
    client = cluster.client("c1", [here], datacenter="dc1")
    for agent in (there, here, client):
        agent.wait_leader(timeout_s=60)
    wait_for(lambda: sorted(client.get("/v1/catalog/datacenters")) == ["dc1", "dc2"], "both datacenters")
    return client, there


def write(agent: AgentProcess, method: str, path: str, body: Any = None) -> None:
    answer = agent.ask(method, path, body)
    assert answer.status == 200, answer


def fill(agent: AgentProcess) -> None:
    """Something of everything."""
    write(agent, "PUT", "/v1/catalog/register", NODE)
    write(agent, "PUT", "/v1/kv/feeds/a", b"1")
    write(agent, "PUT", "/v1/session/create", {"Node": "n1", "Name": "s", "Checks": []})
    write(agent, "PUT", "/v1/kv/feeds/b", b"1")
    write(agent, "POST", "/v1/query", {"Name": "q", "Service": {"Service": "web"}})


def follow(copy: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    gone = (*changes["DeletedPrefixes"],)
    kept = {
        key: entry
        for key, entry in copy.items()
        if key not in changes["Deleted"] and not (gone and key.startswith(gone))
    }
    return ({} if changes["Whole"] else kept) | {entry["Key"]: entry for entry in changes["Entries"]}


def test_changes_since_an_index_and_streams(cluster: Cluster) -> None:
    client, there = two_datacenters(cluster)
    fill(there)
    changes_since_an_index(client, there)
    asyncio.run(streams(client, there))


def changes_since_an_index(client: AgentProcess, there: AgentProcess) -> None:
    target = "/v1/kv/feeds/?recurse&dc=dc2"
    whole = client.get(f"{target}&since=0")
    assert whole["Whole"]
    copy = follow({}, whole)
    assert sorted(copy) == ["feeds/a", "feeds/b"]
    write(there, "PUT", "/v1/kv/feeds/tree/x", b"1")
    write(there, "DELETE", "/v1/kv/feeds/tree/?recurse")
    write(there, "DELETE", "/v1/kv/feeds/b")
    changes = client.get(f"{target}&since={whole['Index']}")
    assert (changes["Whole"], changes["Entries"]) == (False, [])
    assert (changes["Deleted"], changes["DeletedPrefixes"]) == (["feeds/b"], ["feeds/tree/"])
    assert follow(copy, changes) == {entry["Key"]: entry for entry in client.get(target)}
    nothing = client.get(f"{target}&since={changes['Index']}&wait=10ms")
    assert (nothing["Whole"], nothing["Entries"], nothing["Deleted"]) == (False, [], [])


async def streams(client: AgentProcess, there: AgentProcess) -> None:
    async with AsyncExitStack() as stack:
        feeds: dict[str, Events] = {}
        for read in READS:
            joined = f"{read}{'&' if '?' in read else '?'}dc=dc2"
            feeds[read] = await stack.enter_async_context(listening(client.http, joined))
        for read, events in feeds.items():
            assert (await events.next()).name == "whole", read
        await asyncio.to_thread(change_everything, there)
        for read, events in feeds.items():
            event = await next_named(events)
            assert event.name == ("whole" if read in WHOLES else "changes"), read
        # All of it ends with the agent, none holds it up.
        await asyncio.to_thread(client.end)
        for events in feeds.values():
            await events.rest()
    assert there.running


async def next_named(events: Events) -> Event:
    while not (event := await events.next()).name:
        pass
    return event


def change_everything(there: AgentProcess) -> None:
    write(there, "PUT", "/v1/config", {"Kind": "service-defaults", "Name": "web", "Protocol": "http"})
    write(there, "PUT", "/v1/kv/feeds/a", b"2")
    write(there, "PUT", "/v1/kv/feeds/c", b"2")
    write(there, "PUT", "/v1/session/create", {"Node": "n1", "Name": "other", "Checks": []})
    write(there, "POST", "/v1/query", {"Name": "r", "Service": {"Service": "web"}})
    second = {"ID": "web2", "Service": "web", "Port": 81}
    check = {"Node": "n1", "CheckID": "up2", "Name": "up", "Status": "passing", "ServiceID": "web2"}
    write(there, "PUT", "/v1/catalog/register", {**NODE, "Service": second, "Check": check})
    third = {"ID": "db", "Service": "db"}
    write(there, "PUT", "/v1/catalog/register", {"Node": "n2", "Address": "10.0.0.2", "Service": third})
    write(there, "PUT", "/v1/catalog/register", {"Node": "n1", "Address": "10.0.0.9"})
