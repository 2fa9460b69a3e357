"""What all routes share: methods, paths, queries, headers, limits, and requests that are none."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import pytest

from consul_kernel.contracts.errors import (
    ConsulKernelError,
    NotFoundError,
    ProposalTimeoutError,
    RequestError,
    RpcError,
)
from consul_kernel.structs.kv import DirEntry, IndexedDirEntries
from consul_kernel.structs.methods import CATALOG_LIST_SERVICES, KVS_APPLY, KVS_GET, STATUS_LEADER
from consul_kernel.structs.service import IndexedServices
from consul_kernel.structs.settings import HttpSettings

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Serve, Site

VALUE = IndexedDirEntries(index=9, known_leader=True, entries=[DirEntry(key=b"k", value=b"v")])


# --- routes and methods ---


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("/v1/acl/bootstrap", "PUT", "OPTIONS,PUT"),
        ("/v1/internal/acl/authorize", "POST", "OPTIONS,POST"),
    ],
)
async def test_routes_of_acls_are_switched_off_but_know_their_methods(
    site: Site, path: str, method: str, allow: str
) -> None:
    got = await site.send(method, path)
    assert (got.status, got.text) == (401, "ACL support disabled")
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
        (RpcError("raft apply failed: Key is too long: 9000 bytes, at most 1528 are possible"), 400),
        (RpcError("The matching takes too long: there is too much text for such an expression"), 400),
        (RpcError("Names are too long: 9002 bytes together, at most 1520 are possible"), 400),
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


# --- the log ---


async def test_each_request_is_a_debug_line_without_its_token(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.agent.answer(KVS_GET, VALUE)
    caplog.set_level(logging.DEBUG, logger="consul_kernel_http")
    await site.get("/v1/kv/k?token=not-for-the-log")
    (line,) = [text for text in caplog.messages if text.startswith("Request finished")]
    assert re.fullmatch(
        r"Request finished: method=GET path=/v1/kv/k status=200 from=127\.0\.0\.1 latency=\d+\.\d{3}ms", line
    )
    assert "not-for-the-log" not in caplog.text


async def test_requests_are_no_lines_above_debug(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="consul_kernel_http")
    site.agent.answer(KVS_GET, VALUE)
    assert (await site.get("/v1/kv/k")).status == 200
    assert not caplog.messages
