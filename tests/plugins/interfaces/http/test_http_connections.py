"""Connections: HTTP's own rules, and what bounds the clients that bend them."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import uvloop

from consul_kernel.contracts.interface import InterfaceContext
from consul_kernel.contracts.transport import Address
from consul_kernel.structs.kv import DirEntry, IndexedDirEntries
from consul_kernel.structs.methods import CATALOG_LIST_SERVICES, KVS_APPLY, KVS_GET, STATUS_LEADER
from consul_kernel.structs.service import IndexedServices
from consul_kernel.structs.settings import DnsSettings, HttpSettings, LimitSettings
from consul_kernel.testing.fake_agent import FakeAgent
from consul_kernel.testing.interface_kit import bound_address
from consul_kernel_http import HttpConfig, HttpInterface, answer

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Serve, Site

VALUE = IndexedDirEntries(index=9, known_leader=True, entries=[DirEntry(key=b"k", value=b"v")])


# --- HTTP itself ---


async def test_keep_alive_and_pipelining(site: Site) -> None:
    site.agent.answer(STATUS_LEADER, "l")
    reader, writer = await site.connect()
    writer.write(b"GET /v1/status/leader HTTP/1.1\r\nHost: t\r\n\r\n" * 3)
    for _ in range(3):
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head
        assert b"Connection: close" not in head
        assert await reader.readexactly(3) == b'"l"'
    writer.close()


@pytest.mark.parametrize(
    ("headers", "line", "connection"),
    [
        (b"HTTP/1.0\r\n", b"HTTP/1.0 200 OK", None),
        (b"HTTP/1.0\r\nConnection: keep-alive\r\n", b"HTTP/1.0 200 OK", b"keep-alive"),
        (b"HTTP/1.1\r\nHost: t\r\nConnection: close\r\n", b"HTTP/1.1 200 OK", b"close"),
    ],
)
async def test_versions_and_connections(site: Site, headers: bytes, line: bytes, connection: bytes | None) -> None:
    reader, writer = await site.connect()
    writer.write(b"GET / " + headers + b"\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(line + b"\r\n")
    if connection is None:
        assert b"Connection:" not in head
    else:
        assert b"Connection: " + connection in head
    if connection != b"keep-alive":
        await reader.readexactly(12)
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_absolute_form(site: Site) -> None:
    got = await site.get("http://elsewhere:1/v1/nope")
    assert got.status == 404
    assert (await site.get("http://elsewhere/")).text == "Consul Agent"


async def test_expect_continue(site: Site) -> None:
    site.agent.answer(KVS_APPLY, True)
    reader, writer = await site.connect()
    writer.write(b"PUT /v1/kv/a HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"v")
    assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    writer.close()


async def test_large_answers_are_pressed_for_those_who_want_it(site: Site) -> None:
    services = {f"service-{number}": ["tag"] for number in range(1000)}
    site.agent.answer(CATALOG_LIST_SERVICES, IndexedServices(index=1, services=dict(services)))
    plain = await site.get("/v1/catalog/services")
    pressed = await site.get("/v1/catalog/services", Accept_Encoding="gzip, deflate")
    assert "Content-Encoding" not in plain.headers
    assert pressed.headers["Content-Encoding"] == "gzip"
    assert len(pressed.body) < len(plain.body) / 2
    assert zlib.decompress(pressed.body, 31) == plain.body


async def test_body_on_get_is_ignored(site: Site) -> None:
    site.agent.answer(KVS_GET, VALUE)
    assert (await site.send("GET", "/v1/kv/k", b'{"x": 1}')).status == 200


async def test_request_line_beyond_the_limit_is_431(serve: Serve) -> None:
    site = await serve(http=HttpSettings(max_header_bytes=4096))
    assert (await site.get("/v1/kv/" + "a" * 3000)).status == 500
    got = await site.get("/v1/kv/" + "a" * 5000)
    assert (got.status, got.text) == (431, "431 Request Header Fields Too Large")


async def test_long_keys_are_fine_by_default(site: Site) -> None:
    site.agent.answer(KVS_GET, VALUE)
    assert (await site.get("/v1/kv/" + "a" * 100_000)).status == 200


async def test_headers_without_end_are_cut_off(serve: Serve) -> None:
    site = await serve(http=HttpSettings(max_header_bytes=4096))
    reader, writer = await site.connect()
    writer.write(b"GET / HTTP/1.1\r\n")
    reading = asyncio.ensure_future(reader.read())
    sent = 0
    while not reading.done() and sent < 10_000:
        writer.write(f"X-{sent}: {'a' * 1000}\r\n".encode())
        sent += 1
        await asyncio.sleep(0)
    assert sent < 10_000
    try:
        assert (await reading).startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))
    except ConnectionError:
        pass  # the end came while more was being sent
    writer.close()


# --- limits in time and number ---


async def test_slow_headers_end_the_connection(serve: Serve) -> None:
    site = await serve(config=HttpConfig(header_timeout_ms=100))
    reader, writer = await site.connect()
    writer.write(b"GET / HTT")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_resting_connections_end(serve: Serve) -> None:
    site = await serve(config=HttpConfig(keepalive_timeout_ms=100))
    reader, writer = await site.connect()
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_slow_bodies_end_with_408(serve: Serve) -> None:
    site = await serve(config=HttpConfig(body_timeout_ms=50))
    reader, writer = await site.connect()
    writer.write(b"PUT /v1/kv/a HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nab")
    assert b" 408 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()


async def test_client_that_does_not_read_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "WRITE_TIMEOUT_S", 0.1)
    value = IndexedDirEntries(index=9, entries=[DirEntry(key=b"k", value=b"v" * 20_000_000)])
    site.agent.answer(KVS_GET, value)
    reader, writer = await site.connect()
    writer.write(b"GET /v1/kv/k?raw HTTP/1.1\r\nHost: t\r\n\r\n")
    async with asyncio.timeout(5):
        while not site.agent.calls or site.interface.connection_count:
            await asyncio.sleep(0.01)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(20_000_000)
    writer.close()


async def test_malformed_chunks_end_the_request(serve: Serve) -> None:
    site = await serve(config=HttpConfig(body_timeout_ms=100))
    reader, writer = await site.connect()
    writer.write(b"PUT /v1/kv/a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
    await asyncio.sleep(0.05)
    writer.write(b"cde\r\nZZ\r\n")
    assert (await asyncio.wait_for(reader.readline(), 5)).split()[1] in {b"400", b"408"}
    assert site.agent.calls == []
    writer.close()


LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.mark.parametrize("loop_factory", LOOPS, ids=["asyncio", "uvloop"])
def test_connections_per_client_are_bounded(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    context = InterfaceContext(
        agent=FakeAgent(),
        bind=[Address("127.0.0.1", 0)],
        dns=DnsSettings(),
        http=HttpSettings(),
        limits=LimitSettings(http_max_conns_per_client=2),
    )

    async def ask(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        try:
            return await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()

    async def program() -> None:
        interface = HttpInterface(context, HttpConfig())
        await interface.start()
        port = bound_address(interface).port
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _, writer in held:  # a round trip, so that both have been counted
            writer.write(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        for reader, _ in held:
            await asyncio.wait_for(reader.readuntil(b"Consul Agent"), 5)
        for _ in range(5):
            refused = await ask(port)
            assert refused.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
            assert refused.endswith(
                b"Your IP is issuing too many concurrent connections, please rate limit your calls\n"
            )
        held[0][1].close()
        async with asyncio.timeout(5):
            while b"Consul Agent" not in await ask(port):
                await asyncio.sleep(0.01)
        held[1][1].close()
        await interface.aclose()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(program())
