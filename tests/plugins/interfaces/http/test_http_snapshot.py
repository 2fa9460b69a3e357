"""`/v1/snapshot`: archives of any length, out and in, never in memory as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import pytest

from consul_kernel.contracts.errors import RpcError
from consul_kernel.structs.snapshot import SnapshotOp, SnapshotResponse
from consul_kernel_http import HttpConfig

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Serve, Site

PIECES = [b"one", b"x" * 100_000, b"three"]


async def raw(site: Site, request: bytes) -> tuple[dict[str, str], bytes]:
    """Headers by lower-case name, and what follows them until the connection ends."""
    reader, writer = await site.connect()
    try:
        writer.write(request)
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode("latin-1")
        line, *lines = head.rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value for name, value in (each.split(": ", 1) for each in lines)}
        return {"": line, **headers}, await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


def unchunked(body: bytes) -> bytes:
    found = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            assert body == b"\r\n"
            return found
        found += body[:length]
        assert body[length : length + 2] == b"\r\n"
        body = body[length + 2 :]


# --- saving ---


async def test_an_archive_leaves_in_pieces_with_what_is_known_of_it(serve: Serve) -> None:
    site = await serve()
    site.agent.archive = list(PIECES)
    site.agent.snapshot_response = SnapshotResponse(index=42, known_leader=True, last_contact=5_000_000)
    headers, body = await raw(
        site,
        b"GET /v1/snapshot?stale&dc=dc9 HTTP/1.1\r\nHost: x\r\nX-Consul-Token: secret\r\n"
        b"Accept-Encoding: gzip\r\nConnection: close\r\n\r\n",
    )
    assert headers[""] == "HTTP/1.1 200 OK"
    assert headers["content-type"] == "application/x-gzip"
    assert headers["x-consul-index"] == "42"
    assert headers["x-consul-knownleader"] == "true"
    assert headers["x-consul-lastcontact"] == "5"
    assert headers["x-consul-query-backend"] == "blocking-query"
    assert headers["transfer-encoding"] == "chunked"
    assert "content-length" not in headers
    assert "content-encoding" not in headers
    assert unchunked(body) == b"".join(PIECES)
    (request,) = site.agent.snapshot_requests
    assert (request.datacenter, request.token, request.allow_stale) == ("dc9", "secret", True)
    assert request.op == SnapshotOp.SAVE


async def test_the_connection_serves_another_request_behind_it(serve: Serve) -> None:
    site = await serve()
    site.agent.archive = list(PIECES)
    _, body = await raw(
        site,
        b"GET /v1/snapshot HTTP/1.1\r\nHost: x\r\n\r\n"
        b"GET /v1/agent/self HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    first, _, second = body.partition(b"0\r\n\r\n")
    assert unchunked(first + b"0\r\n\r\n") == b"".join(PIECES)
    assert second.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_http_1_0_gets_it_until_the_end_of_the_connection(serve: Serve) -> None:
    site = await serve()
    site.agent.archive = list(PIECES)
    headers, body = await raw(site, b"GET /v1/snapshot HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert headers[""] == "HTTP/1.0 200 OK"
    assert "transfer-encoding" not in headers
    assert body == b"".join(PIECES)


async def test_an_archive_that_breaks_off_cannot_be_taken_for_a_whole(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    site = await serve()
    site.agent.archive = [b"begin", RpcError("the disk is gone")]
    reader, writer = await site.connect()
    writer.write(b"GET /v1/snapshot HTTP/1.1\r\nHost: x\r\n\r\n")
    received = b""
    try:
        while data := await asyncio.wait_for(reader.read(65536), 10):
            received += data
    except ConnectionResetError:
        pass
    writer.close()
    assert b"0\r\n\r\n" not in received
    assert "the disk is gone" in caplog.text
    assert (await site.get("/v1/agent/self")).status == 200


async def test_a_client_that_goes_away_ends_the_archive(serve: Serve) -> None:
    site = await serve()
    site.agent.archive = [b"x" * 1_000_000] * 200
    closed = asyncio.Event()
    pieces = site.agent._archive

    async def watched() -> AsyncGenerator[bytes, None]:
        try:
            async for piece in pieces():
                yield piece
        finally:
            closed.set()

    site.agent._archive = watched  # type: ignore[method-assign]
    reader, writer = await site.connect()
    writer.write(b"GET /v1/snapshot HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await asyncio.wait_for(reader.read(1000), 10)
    writer.transport.abort()
    await asyncio.wait_for(closed.wait(), 10)


async def test_a_refusal_is_an_ordinary_answer(serve: Serve) -> None:
    site = await serve()
    site.agent.snapshot_refusal = RpcError("No path to datacenter")
    for method in ("GET", "PUT"):
        got = await site.send(method, "/v1/snapshot?dc=x", b"" if method == "PUT" else None)
        assert (got.status, got.text) == (500, "No path to datacenter")
    site.agent.snapshot_refusal = RpcError("Permission denied")
    assert (await site.get("/v1/snapshot")).status == 403


# --- restoring ---


async def test_a_body_of_any_length_is_restored(serve: Serve) -> None:
    site = await serve()
    body = bytes(range(256)) * 40_000
    got = await site.put("/v1/snapshot", body)
    assert (got.status, got.body) == (200, b"")
    assert "Content-Type" not in got.headers
    assert site.agent.restored == [body]
    assert site.agent.snapshot_requests[0].op == SnapshotOp.RESTORE


async def test_a_body_in_chunks_is_restored_and_an_empty_one_too(serve: Serve) -> None:
    site = await serve()
    headers, _ = await raw(
        site,
        b"PUT /v1/snapshot HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    )
    assert headers[""] == "HTTP/1.1 200 OK"
    assert (await site.put("/v1/snapshot", None)).status == 200
    assert site.agent.restored == [b"abcde", b""]


async def test_a_client_that_asks_whether_to_go_on_is_told_so(serve: Serve) -> None:
    site = await serve()
    reader, writer = await site.connect()
    writer.write(
        b"PUT /v1/snapshot HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n"
        b"Connection: close\r\n\r\n"
    )
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"body")
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 200 OK")
    assert site.agent.restored == [b"body"]
    writer.close()


async def test_a_client_that_stops_in_the_middle_is_given_up(serve: Serve) -> None:
    site = await serve(config=HttpConfig(body_timeout_ms=100))
    headers, body = await raw(site, b"PUT /v1/snapshot HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
    assert headers[""].startswith("HTTP/1.1 408 ")
    assert body == b"Request body took too long"
    assert site.agent.restored == []


async def test_other_methods_are_refused(serve: Serve) -> None:
    site = await serve()
    got = await site.send("DELETE", "/v1/snapshot")
    assert (got.status, got.headers["Allow"]) == (405, "OPTIONS,GET,PUT")
