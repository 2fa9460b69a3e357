"""Connections: HTTP's own rules, and what bounds the clients that bend them."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvloop
from aiohttp.http_parser import HttpRequestParserPy

from consul_kernel.contracts.interface import InterfaceContext
from consul_kernel.contracts.transport import Address
from consul_kernel.structs.kv import DirEntry, IndexedDirEntries, KVSRequest
from consul_kernel.structs.methods import CATALOG_LIST_SERVICES, KVS_APPLY, KVS_GET, STATUS_LEADER
from consul_kernel.structs.service import IndexedServices
from consul_kernel.structs.settings import DnsSettings, HttpSettings, LimitSettings
from consul_kernel.testing.fake_agent import FakeAgent
from consul_kernel.testing.interface_kit import bound_address
from consul_kernel_http import HttpConfig, HttpInterface, answer, reading

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


# --- what a connection does with requests that come faster than answers ---


async def read_all(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(), 5)


async def test_pipelined_requests_are_answered_in_order_whether_or_not_they_wait(site: Site) -> None:
    opened = asyncio.Event()

    async def slow(_request: object) -> IndexedDirEntries:
        await opened.wait()
        return IndexedDirEntries(index=9, entries=[DirEntry(key=b"k", value=b"slow")])

    site.agent.answer(KVS_GET, slow)
    site.agent.answer(STATUS_LEADER, "l")
    reader, writer = await site.connect()
    writer.write(
        b"GET /v1/status/leader HTTP/1.1\r\nHost: t\r\n\r\n"
        b"GET /v1/kv/k?raw HTTP/1.1\r\nHost: t\r\n\r\n"
        b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
        b"GET /v1/status/leader HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
    )
    await reader.readuntil(b'"l"')
    opened.set()
    rest = await read_all(reader)
    bodies = [part.partition(b"\r\n\r\n")[2] for part in rest.split(b"HTTP/1.1 ")[1:]]
    assert bodies == [b"slow", b"Consul Agent", b'"l"']
    writer.close()


async def test_a_client_that_asks_without_end_is_held_up_and_answered_in_full(site: Site) -> None:
    opened = asyncio.Event()

    async def slow(_request: object) -> IndexedDirEntries:
        await opened.wait()
        return VALUE

    site.agent.answer(KVS_GET, slow)
    reader, writer = await site.connect()
    asked = 5_000
    writer.write(b"GET /v1/kv/k?raw HTTP/1.1\r\nHost: t\r\n\r\n")
    writer.write(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n" * (asked - 1) + b"GET / HTTP/1.0\r\n\r\n")
    while not site.agent.calls:
        await asyncio.sleep(0)
    (open_connection,) = site.interface._connections._open
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(open_connection._queue) < 1_000
    opened.set()
    answered = await asyncio.wait_for(reader.read(-1), 20)
    assert answered.count(b"Consul Agent") == asked
    writer.close()


async def test_a_client_that_pipelines_and_does_not_read_is_not_served_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = IndexedDirEntries(index=9, entries=[DirEntry(key=b"k", value=b"v" * 4_000_000)])
    monkeypatch.setattr(answer, "WRITE_TIMEOUT_S", 0.2)
    site.agent.answer(KVS_GET, value)
    _, writer = await site.connect()
    writer.write(b"GET /v1/kv/k?raw HTTP/1.1\r\nHost: t\r\n\r\n" * 10)
    async with asyncio.timeout(5):
        while not site.agent.calls or site.interface.connection_count:
            await asyncio.sleep(0.01)
    assert len(site.agent.calls) < 10
    writer.close()


async def test_a_body_that_nobody_wants_is_passed_over(site: Site) -> None:
    reader, writer = await site.connect()
    writer.write(b"PUT /nowhere HTTP/1.1\r\nHost: t\r\nContent-Length: 300000\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"x" * 300_000 + b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
    assert (await read_all(reader)).endswith(b"Consul Agent")
    writer.close()


@pytest.mark.parametrize("size", [600_000, 3_000_000])
async def test_long_bodies_are_refused_and_read_in_time(serve: Serve, size: int) -> None:
    site = await serve(limits=LimitSettings(kv_max_value_size=1_000_000))
    stored: list[bytes] = []

    def store(request: KVSRequest) -> bool:
        stored.append(request.dir_ent.value or b"")
        return True

    site.agent.answer(KVS_APPLY, store)
    got = await site.put("/v1/kv/k", b"v" * size)
    assert got.status == (200 if size <= 1_000_000 else 413)
    assert [len(value) for value in stored] == ([size] if size <= 1_000_000 else [])


async def test_a_chunked_body_beyond_the_limit_is_413(serve: Serve) -> None:
    site = await serve(limits=LimitSettings(kv_max_value_size=1_000))
    reader, writer = await site.connect()
    writer.write(b"PUT /v1/kv/a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 5)
    assert site.agent.calls == []
    writer.close()


async def test_a_body_in_a_segment_of_its_own_counts_for_no_header(serve: Serve) -> None:
    site = await serve(http=HttpSettings(max_header_bytes=4096))
    site.agent.answer(KVS_APPLY, True)
    site.agent.answer(STATUS_LEADER, "l")
    reader, writer = await site.connect()
    for _ in range(2):
        writer.write(b"PUT /v1/kv/a HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 6000\r\n\r\n")
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"x" * 6000)
        assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert await reader.readexactly(4) == b"true"
    writer.write(b"GET /v1/status/leader HTTP/1.1\r\nHost: t\r\n\r\n")
    assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    writer.close()


async def test_trailers_without_end_are_cut_off(serve: Serve) -> None:
    site = await serve(http=HttpSettings(max_header_bytes=4096))
    site.agent.answer(KVS_APPLY, True)
    reader, writer = await site.connect()
    writer.write(b"PUT /v1/kv/a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n")
    reading = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
    sent = 0
    while not reading.done() and sent < 250:
        writer.write(f"X-{sent}: {'a' * 1000}\r\n".encode())
        sent += 1
        await asyncio.sleep(0.001)
    assert sent < 250
    assert (await reading).startswith(b"HTTP/1.1 400 ")
    writer.close()


@pytest.mark.parametrize("chunks", [16_384, 16_385, 24_579])
async def test_bodies_of_many_small_chunks_leave_the_connection_in_step(site: Site, chunks: int) -> None:
    """The parser counts chunks that nobody has read yet, and its body asks for a pause and takes it back by itself."""
    site.agent.answer(KVS_APPLY, True)
    site.agent.answer(STATUS_LEADER, "l")
    reader, writer = await site.connect()
    writer.write(b"PUT /v1/kv/a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write(b"1\r\nx\r\n" * chunks + b"0\r\n\r\n")
    writer.write(b"GET /v1/status/leader HTTP/1.1\r\nHost: t\r\n\r\n" * 500)
    writer.write(b"PUT /v1/kv/a HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello")
    async with asyncio.timeout(10):
        for body in (b"true", *[b'"l"'] * 500, b"true"):
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(body)) == body
    writer.close()


async def test_a_client_that_was_not_invited_to_send_its_body_is_let_go(serve: Serve) -> None:
    site = await serve(limits=LimitSettings(kv_max_value_size=1_000))
    reader, writer = await site.connect()
    writer.write(b"PUT /v1/kv/a HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n")
    begun = asyncio.get_running_loop().time()
    got = await read_all(reader)
    assert got.startswith(b"HTTP/1.1 413 ")
    assert b" 100 " not in got
    assert asyncio.get_running_loop().time() - begun < 1.5
    writer.close()


# --- other protocols, other ends ---


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c", b"tcp"])
async def test_another_protocol_is_not_taken_up(site: Site, protocol: bytes) -> None:
    reader, writer = await site.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: " + protocol + b"\r\n\r\n\x00\x01")
    got = await read_all(reader)
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close\r\n" in got
    assert got.endswith(b"Consul Agent")
    writer.close()


async def test_no_tunnels(site: Site) -> None:
    reader, writer = await site.connect()
    writer.write(b"CONNECT elsewhere:80 HTTP/1.1\r\nHost: t\r\n\r\nGET / HTTP/1.1\r\n\r\n")
    got = await read_all(reader)
    assert got.startswith(b"HTTP/1.1 400 ")
    assert b"Consul Agent" not in got
    writer.close()


@pytest.mark.parametrize(
    "octets",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_400_after_what_was_asked_before(site: Site, octets: bytes) -> None:
    reader, writer = await site.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    await reader.readuntil(b"Consul Agent")
    writer.write(octets)
    got = await read_all(reader)
    assert got.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert got.endswith(b"\r\n\r\n400 Bad Request")
    writer.close()


async def test_too_many_headers_are_refused(site: Site) -> None:
    reader, writer = await site.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: t\r\n" + b"X: y\r\n" * 1_000 + b"\r\n")
    assert (await read_all(reader)).startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_headers_that_come_drop_by_drop_are_cut_off(serve: Serve) -> None:
    site = await serve(config=HttpConfig(header_timeout_ms=200))
    reader, writer = await site.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    await reader.readuntil(b"Consul Agent")
    reading = asyncio.ensure_future(reader.read())
    writer.write(b"GET / HTTP/1.1\r\n")
    async with asyncio.timeout(5):
        while not reading.done():
            writer.write(b"X: y\r\n")
            await asyncio.sleep(0.02)
    assert reading.exception() is not None or reading.result() == b""
    writer.close()


async def test_an_answer_survives_that_its_body_came_to_an_end_too_early(site: Site) -> None:
    site.agent.answer(KVS_APPLY, True)
    _, writer = await site.connect()
    writer.write(b"PUT /v1/kv/a HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nab")
    await asyncio.sleep(0)
    writer.close()
    async with asyncio.timeout(5):
        while site.interface.connection_count:
            await asyncio.sleep(0.01)
    assert site.agent.calls == []
    assert (await site.get("/")).text == "Consul Agent"


async def test_closing_ends_resting_connections_at_once(site: Site) -> None:
    reader, writer = await site.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
    await reader.readuntil(b"Consul Agent")
    begun = asyncio.get_running_loop().time()
    await site.interface.aclose()
    assert asyncio.get_running_loop().time() - begun < 0.4
    assert await read_all(reader) == b""
    assert site.interface.connection_count == 0
    writer.close()


async def test_a_unix_socket_serves_as_a_port_does(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    context = InterfaceContext(
        agent=FakeAgent(),
        bind=(),
        dns=DnsSettings(),
        http=HttpSettings(),
        limits=LimitSettings(http_max_conns_per_client=1),
    )
    interface = HttpInterface(context, HttpConfig(address=f"unix://{path}"))
    await interface.start()
    connections = [await asyncio.open_unix_connection(str(path)) for _ in range(3)]
    for reader, writer in connections:
        writer.write(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"Consul Agent"), 5)
        writer.close()
    await interface.aclose()
    assert not path.exists()


# --- without the parser in C ---


async def test_the_parser_in_python_does_as_well(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "HttpRequestParser", HttpRequestParserPy)
    site = await serve()
    site.agent.answer(KVS_APPLY, True)
    reader, writer = await site.connect()
    writer.write(
        b"PUT /v1/kv/a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
    )
    assert await asyncio.wait_for(reader.readuntil(b"true"), 5)
    assert await asyncio.wait_for(reader.readuntil(b"Consul Agent"), 5)
    writer.write(b"GET /\r\n\r\n")
    assert (await read_all(reader)).startswith(b"HTTP/1.1 400 ")
    assert site.agent.requests(KVS_APPLY)[0].dir_ent.value == b"abc"
    assert (await site.put("/v1/kv/b", b"v" * 500_000)).status == 200
    writer.close()


def test_the_parser_in_c_is_the_one_that_is_used() -> None:
    assert reading.IS_PARSED_IN_C
