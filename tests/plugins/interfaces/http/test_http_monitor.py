"""`/v1/agent/monitor`, `/v1/agent/host`, and what is switched off."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from consul_kernel.contracts.errors import AgentError, RequestError

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site


async def listen(site: Site, target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which the head of the answer has come."""
    reader, writer = await site.connect()
    writer.write(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"Content-Type: text/plain; charset=utf-8\r\n" in head
    return reader, writer


async def test_lines_come_as_they_are_written(site: Site) -> None:
    reader, writer = await listen(site, "/v1/agent/monitor?loglevel=debug&logjson")
    (log,) = site.agent.logs
    assert (log.level, log.as_json) == ("debug", True)
    async with asyncio.timeout(5):
        for line in (b"one\n", b"two\n"):
            log.lines.put_nowait(line)
            assert await reader.readuntil(line) == b"4\r\n" + line
            await reader.readexactly(2)
        log.lines.put_nowait(None)
        assert await reader.readexactly(5) == b"0\r\n\r\n"
        await log.is_closed.wait()
    writer.close()


async def test_the_level_is_info_unless_it_is_said(site: Site) -> None:
    _, writer = await listen(site, "/v1/agent/monitor")
    assert (site.agent.logs[0].level, site.agent.logs[0].as_json) == ("INFO", False)
    writer.close()


async def test_a_listener_that_goes_is_forgotten(site: Site) -> None:
    _, writer = await listen(site, "/v1/agent/monitor")
    writer.close()
    async with asyncio.timeout(5):
        await site.agent.logs[0].is_closed.wait()


async def test_listeners_do_not_keep_the_interface_from_closing(site: Site) -> None:
    reader, writer = await listen(site, "/v1/agent/monitor")
    async with asyncio.timeout(1):
        await site.interface.aclose()
        assert site.agent.logs[0].is_closed.is_set()
        assert await reader.read() == b"0\r\n\r\n"
    writer.close()


async def test_refusals(site: Site) -> None:
    site.agent.monitor_refusal = RequestError("Unknown log level: odd")
    got = await site.get("/v1/agent/monitor?loglevel=odd")
    assert (got.status, got.text) == (400, "Bad request: Unknown log level: odd")
    site.agent.monitor_refusal = AgentError("too many")
    assert (await site.get("/v1/agent/monitor")).status == 500


async def test_the_host_is_described(site: Site) -> None:
    site.agent.host_description = {"CPU": [], "Errors": None}
    got = await site.get("/v1/agent/host")
    assert (got.status, got.json) == (200, {"CPU": [], "Errors": None})


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "/v1/agent/token/default"),
        ("PUT", "/v1/agent/token/odd"),
        ("GET", "/v1/acl/tokens"),
        ("PUT", "/v1/acl/bootstrap"),
        ("POST", "/v1/internal/acl/authorize"),
    ],
)
async def test_acls_are_switched_off(site: Site, method: str, target: str) -> None:
    got = await site.send(method, target, b"{}")
    assert (got.status, got.text) == (401, "ACL support disabled")


async def test_profiles_are_for_nobody_by_default(site: Site) -> None:
    for target in ("/debug/pprof/", "/debug/pprof/heap"):
        got = await site.get(target)
        assert (got.status, got.text) == (401, "ACL support disabled")


@pytest.mark.parametrize("target", ["/v1/agent/connect/ca/roots", "/v1/agent/connect/ca/leaf/web"])
async def test_there_is_no_certificate_authority(site: Site, target: str) -> None:
    got = await site.get(target)
    assert (got.status, got.text) == (500, "Connect must be enabled in order to use this endpoint")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"Target": "web", "ClientCertURI": "spiffe://x/ns/default/dc/dc1/svc/db"}, 200, '"Authorized":true'),
        ({"ClientCertURI": "spiffe://x"}, 400, "Target service must be specified"),
        ({"Target": "web", "ClientCertURI": "http://x"}, 400, "ClientCertURI not a valid Connect identifier"),
    ],
)
async def test_nothing_forbids_services_to_reach_each_other(
    site: Site, body: dict[str, str], status: int, words: str
) -> None:
    got = await site.send("POST", "/v1/agent/connect/authorize", body)
    assert got.status == status
    assert words in got.text
