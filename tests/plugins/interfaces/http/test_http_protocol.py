"""What all routes share: methods, paths, queries, headers, limits, and requests that are none."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import uvloop

from consul_kernel.contracts.errors import (
    ConsulKernelError,
    NotFoundError,
    ProposalTimeoutError,
    RequestError,
    RpcError,
)
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


# --- routes and methods ---


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("/v1/query", "GET", "OPTIONS,GET,POST"),
        ("/v1/snapshot", "PUT", "OPTIONS,GET,PUT"),
        ("/v1/txn", "PUT", "OPTIONS,PUT"),
    ],
)
async def test_routes_of_later_versions_are_absent_but_know_their_methods(
    site: Site, path: str, method: str, allow: str
) -> None:
    got = await site.send(method, path)
    assert (got.status, got.body) == (404, b"")
    got = await site.send("PATCH", path)
    assert (got.status, got.headers["Allow"]) == (405, allow)


async def test_root(site: Site) -> None:
    got = await site.get("/")
    assert (got.status, got.text, got.headers["Content-Type"]) == (200, "Consul Agent", "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/",
        "/v1/nope",
        "/v2/kv/a",
        "/v1/status/leader/",
        "/V1/status/leader",
        "/ui",
    ],
)
async def test_unknown_paths_are_404_without_anything(site: Site, path: str) -> None:
    for method in ("GET", "PUT"):
        got = await site.send(method, path)
        assert (got.status, got.body) == (404, b"")
        assert "Content-Type" not in got.headers
        assert "X-Consul-Default-Acl-Policy" not in got.headers


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [
        ("/v1//status/leader", "/v1/status/leader"),
        ("//v1/status/leader?a=%20b", "/v1/status/leader?a=%20b"),
        ("/v1/x/../status/leader", "/v1/status/leader"),
        ("/v1/./kv/a/", "/v1/kv/a/"),
        ("/v1/kv/a%2F%2Fb%20c", "/v1/kv/a/b%20c"),
        ("/..", "/"),
        ("/v1/kv?recurse", "/v1/kv/?recurse"),
        ("/v1/kv/a/..", "/v1/kv/"),
        ("/v1/catalog/service", "/v1/catalog/service/"),
        ("/v1//kv/a!(b)'", "/v1/kv/a%21%28b%29%27"),
    ],
)
async def test_paths_are_cleaned_by_redirection(site: Site, path: str, cleaned: str) -> None:
    got = await site.get(path)
    assert (got.status, got.headers["Location"]) == (301, cleaned)
    assert got.text == f'<a href="{cleaned}">Moved Permanently</a>.\n\n'
    assert got.headers["Content-Type"] == "text/html; charset=utf-8"
    assert (await site.put(path)).body == b""


async def test_redirections_cannot_inject(site: Site) -> None:
    got = await site.get("//v1/%0d%0aX-Evil:%20x/<script>")
    assert got.status == 301
    assert "X-Evil" not in got.headers
    assert "<script>" not in got.text


@pytest.mark.parametrize(
    ("path", "allow"),
    [("/v1/kv/a", "OPTIONS,GET,PUT,DELETE"), ("/v1/status/leader", "OPTIONS,GET"), ("/v1/agent/leave", "OPTIONS,PUT")],
)
async def test_methods(site: Site, path: str, allow: str) -> None:
    for method in ("POST", "PATCH", "HEAD"):
        got = await site.send(method, path)
        assert (got.status, got.headers["Allow"]) == (405, allow)
        assert got.text == ("" if method == "HEAD" else f"method {method} not allowed")
        assert got.headers["Content-Length"] == str(len(f"method {method} not allowed"))
    got = await site.send("OPTIONS", path)
    assert (got.status, got.headers["Allow"], got.body) == (200, allow, b"")
    assert "Content-Type" not in got.headers
    assert site.agent.calls == []


# --- queries ---


@pytest.mark.parametrize("query", ["a;b", "a=%zz", "%", "a=%4"])
async def test_malformed_query_is_500_and_empty(site: Site, query: str) -> None:
    got = await site.get(f"/v1/kv/a?{query}")
    assert (got.status, got.body) == (500, b"")
    assert got.headers["X-Consul-Default-Acl-Policy"] == "allow"


@pytest.mark.parametrize("path", ["/v1/kv/%zz", "/v1/%", "/%a"])
async def test_malformed_path_is_go_s_bad_request(site: Site, path: str) -> None:
    got = await site.get(path)
    assert (got.status, got.text) == (400, "400 Bad Request")
    assert got.headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("stale&consistent", "Cannot specify ?stale with ?consistent, conflicting semantics."),
        ("consistent&max_stale=5m", "Cannot specify ?stale with ?consistent, conflicting semantics."),
        ("cached&consistent", "Cannot specify ?cached with ?consistent, conflicting semantics."),
        ("max_stale=soon", 'Invalid max_stale value "soon"'),
        ("index=x", "Invalid index"),
        ("index=-1", "Invalid index"),
        ("wait=10", "Invalid wait time"),
        ("index=1&wait=x", "Invalid wait time"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/kv/a", "/v1/catalog/services", "/v1/health/service/s", "/v1/status/leader"])
async def test_bad_read_options(site: Site, path: str, query: str, text: str) -> None:
    got = await site.get(f"{path}?{query}")
    assert (got.status, got.text) == (400, text)
    assert "X-Consul-Index" not in got.headers
    assert site.agent.calls == []


@pytest.mark.parametrize("header", ["max-age=x", "max-age=-1", "stale-if-error=x", "max-age=4294967296"])
async def test_bad_cache_control(site: Site, header: str) -> None:
    got = await site.get("/v1/health/service/s?cached", Cache_Control=header)
    assert (got.status, got.text) == (400, "Invalid Cache-Control header.")


async def test_read_options_reach_the_agent(site: Site) -> None:
    site.agent.answer(KVS_GET, VALUE)
    await site.get("/v1/kv/k?dc=d&stale&index=7&wait=1m&max_stale=2s&filter=x", X_Consul_Token="t")
    request = site.agent.requests(KVS_GET)[0]
    assert (request.datacenter, request.token, request.filter) == ("d", "t", "x")
    assert request.allow_stale
    assert request.max_stale_duration == 2_000_000_000
    assert (request.min_query_index, request.max_query_time) == (7, 60_000_000_000)


@pytest.mark.parametrize(
    ("query", "wait_ns"),
    [("index=7", 300_000_000_000), ("index=7&wait=24h", 600_000_000_000), ("index=7&wait=-5s", 1), ("", 0)],
)
async def test_waits_are_bounded(site: Site, query: str, wait_ns: int) -> None:
    site.agent.answer(KVS_GET, VALUE)
    await site.get(f"/v1/kv/k?{query}")
    assert site.agent.requests(KVS_GET)[0].max_query_time == wait_ns


@pytest.mark.parametrize(
    ("query", "headers", "token"),
    [
        ("?token=q", {"X_Consul_Token": "h"}, "q"),
        ("", {"X_Consul_Token": "h", "Authorization": "Bearer b"}, "h"),
        ("", {"Authorization": "bearer b"}, "b"),
        ("", {"Authorization": "Basic b"}, ""),
    ],
)
async def test_where_tokens_come_from(site: Site, query: str, headers: dict[str, str], token: str) -> None:
    site.agent.answer(KVS_GET, VALUE)
    await site.get(f"/v1/kv/k{query}", **headers)
    assert site.agent.requests(KVS_GET)[0].token == token


@pytest.mark.parametrize(("query", "told"), [("", "leader"), ("?stale", "stale"), ("?consistent", "consistent")])
async def test_effective_consistency(site: Site, query: str, told: str) -> None:
    site.agent.answer(CATALOG_LIST_SERVICES, IndexedServices(index=1, services={}))
    got = await site.get(f"/v1/catalog/services{query}")
    assert got.headers["X-Consul-Effective-Consistency"] == told


async def test_discovery_may_default_to_stale(serve: Serve) -> None:
    site = await serve(http=HttpSettings(discovery_max_stale_ms=5000))
    site.agent.answer(CATALOG_LIST_SERVICES, IndexedServices(index=1, services={}))
    site.agent.answer(KVS_GET, VALUE)
    assert (await site.get("/v1/catalog/services")).headers["X-Consul-Effective-Consistency"] == "stale"
    assert (await site.get("/v1/catalog/services?leader")).headers["X-Consul-Effective-Consistency"] == "leader"
    await site.get("/v1/kv/k")
    assert not site.agent.requests(KVS_GET)[0].allow_stale


async def test_answer_that_is_too_stale_is_asked_of_the_leader(site: Site) -> None:
    def answer(request: object) -> IndexedDirEntries:
        stale = getattr(request, "allow_stale", False)
        return IndexedDirEntries(index=3 if stale else 4, last_contact=10**10 if stale else 0, entries=VALUE.entries)

    site.agent.answer(KVS_GET, answer)
    assert (await site.get("/v1/kv/k?max_stale=1s")).headers["X-Consul-Index"] == "4"
    assert (await site.get("/v1/kv/k?max_stale=1m")).headers["X-Consul-Index"] == "3"


# --- failures ---


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RpcError("Permission denied"), 403),
        (RpcError("rpc error making call: ACL not found"), 403),
        (RpcError("rpc rate limit exceeded: try again"), 429),
        (RpcError("No cluster leader"), 500),
        (RequestError("wrong"), 400),
        (NotFoundError("none"), 404),
        (ProposalTimeoutError("timed out"), 500),
        (ConsulKernelError("anything"), 500),
    ],
)
async def test_errors_by_kind_and_text(site: Site, error: ConsulKernelError, status: int) -> None:
    site.agent.answer(KVS_APPLY, error)
    got = await site.put("/v1/kv/a", b"v")
    assert (got.status, got.text) == (status, str(error))


async def test_fault_is_500_and_the_connection_goes_on(site: Site) -> None:
    site.agent.answer(KVS_GET, ValueError("a fault on purpose"))
    site.agent.answer(STATUS_LEADER, "l")
    reader, writer = await site.connect()
    for target, line in (("/v1/kv/a", b" 500 "), ("/v1/status/leader", b" 200 ")):
        writer.write(f"GET {target} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert line in head
        length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        assert b"purpose" not in await reader.readexactly(length)
    writer.close()


# --- settings ---


async def test_response_headers_are_on_every_answer(serve: Serve) -> None:
    site = await serve(http=HttpSettings(response_headers={"x-consul-test": "yes", "X-Two": "a\r\nb"}))
    for path in ("/", "/nope", "/v1/status/leader", "/v1//x"):
        got = await site.get(path)
        assert got.headers["X-Consul-Test"] == "yes"
        assert got.headers["X-Two"] == "a  b"
    assert (await site.put("/v1/status/leader")).headers["X-Consul-Test"] == "yes"


async def test_dev_mode_indents(serve: Serve) -> None:
    site = await serve(http=HttpSettings(dev_mode=True))
    site.agent.answer(CATALOG_LIST_SERVICES, IndexedServices(index=1, services={"s": ["t"]}))
    got = await site.get("/v1/catalog/services")
    assert got.text == '{\n    "s": [\n        "t"\n    ]\n}\n'


async def test_blocked_endpoints(serve: Serve) -> None:
    site = await serve(http=HttpSettings(block_endpoints=("/v1/agent/", "/v1/status/leader")))
    for path in ("/v1/agent/self", "/v1/status/leader"):
        got = await site.get(path)
        assert (got.status, got.text) == (403, "Endpoint is blocked by agent configuration")
    site.agent.answer(KVS_GET, VALUE)
    assert (await site.get("/v1/kv/k")).status == 200


@pytest.mark.parametrize(("networks", "status"), [(("10.0.0.0/8",), 403), (("10.0.0.0/8", "127.0.0.0/8"), 200)])
async def test_writes_only_from_some_networks(serve: Serve, networks: tuple[str, ...], status: int) -> None:
    site = await serve(http=HttpSettings(allow_write_http_from=networks))
    site.agent.answer(KVS_APPLY, True)
    site.agent.answer(KVS_GET, VALUE)
    got = await site.put("/v1/kv/k", b"v")
    assert got.status == status
    assert got.text == ("true" if status == 200 else "Access is restricted")
    assert (await site.get("/v1/kv/k")).status == 200


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
