"""HTTP checks against servers of every temper."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from consul_kernel.structs.check import CheckDefinition, CheckStatus
from harness.checks import SECOND_NS, CheckBench
from plugins.checks.probed import http_server


@pytest.fixture
async def web_server() -> AsyncIterator[str]:
    async def handle(request: web.BaseRequest) -> web.Response:
        if request.path == "/slow":
            await asyncio.sleep(30)
        return web.Response(status=int(request.path[1:]), text=f"{request.method} {request.headers.get('X-A', '-')}")

    server = web.Server(handle)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    yield f"{host}:{port}"
    await runner.cleanup()


def http(address: str, path: str, **changes: object) -> CheckDefinition:
    return CheckDefinition(id="c", http=f"http://{address}/{path}", interval=SECOND_NS, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "status"),
    [(200, CheckStatus.PASSING), (204, CheckStatus.PASSING), (429, CheckStatus.WARNING), (404, CheckStatus.CRITICAL)],
)
async def test_http_follows_the_status(bench: CheckBench, web_server: str, code: int, status: CheckStatus) -> None:
    seen, output = await bench.first_report(http(web_server, str(code)))
    assert seen is status
    assert output.startswith(f"HTTP GET http://{web_server}/{code}: {code} ")


async def test_http_needs_no_reason_behind_the_status(bench: CheckBench) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 299 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        status, output = await bench.first_report(http(f"{host}:{port}", ""))
    assert (status, output) == (CheckStatus.PASSING, f"HTTP GET http://{host}:{port}/: 299  Output: ")


async def test_http_sends_method_and_headers(bench: CheckBench, web_server: str) -> None:
    definition = http(web_server, "200", method="POST", header={"X-A": ["b"]}, body="{}")
    assert (await bench.first_report(definition))[1].endswith("Output: POST b")


async def test_http_that_takes_too_long_is_critical(bench: CheckBench, web_server: str) -> None:
    status, output = await bench.first_report(http(web_server, "slow", timeout=SECOND_NS // 20))
    assert status is CheckStatus.CRITICAL
    assert "deadline exceeded" in output


async def test_http_refused_is_critical(bench: CheckBench) -> None:
    status, output = await bench.first_report(http("127.0.0.1:1", "200"))
    assert status is CheckStatus.CRITICAL
    assert output == 'Get "http://127.0.0.1:1/200": dial tcp 127.0.0.1:1: connect: connection refused'


async def test_http_without_an_answer_is_critical(bench: CheckBench) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        reported = await bench.first_report(http(f"{host}:{port}", ""))
    assert reported == (CheckStatus.CRITICAL, f'Get "http://{host}:{port}/": EOF')


async def answer_with(request: web.BaseRequest) -> web.StreamResponse:
    """What is at each path of the server below."""
    match request.path:
        case "/long":
            return web.Response(body=b"a" * 10_000 + b"the end")
        case "/endless":
            response = web.StreamResponse()
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                while True:
                    await response.write(b"x" * 65_536)
            return response
        case "/cut":
            response = web.StreamResponse(headers={"Content-Length": "100"})
            await response.prepare(request)
            await response.write(b"so far")
            assert request.transport is not None
            request.transport.close()
            return response
        case "/moved":
            return web.Response(status=302, headers={"Location": "/long"})
        case "/circle":
            return web.Response(status=302, headers={"Location": "/circle"})
    return web.json_response({name: request.headers.getall(name) for name in ("User-Agent", "Accept", "Host", "X-A")})


@pytest.fixture
async def odd_server() -> AsyncIterator[str]:
    async with http_server(answer_with) as address:
        yield address


async def test_http_keeps_the_end_of_a_long_body(bench: CheckBench, odd_server: str) -> None:
    status, output = await bench.first_report(http(odd_server, "long", output_max_size=20))
    assert (status, output) == (
        CheckStatus.PASSING,
        f"HTTP GET http://{odd_server}/long: 200 OK Output: " + "a" * 13 + "the end",
    )


async def test_http_reads_no_endless_body(bench: CheckBench, odd_server: str) -> None:
    status, output = await bench.first_report(http(odd_server, "endless"))
    assert status is CheckStatus.PASSING
    assert output.endswith("x" * 4096)


async def test_http_takes_the_status_of_a_body_that_breaks_off(bench: CheckBench, odd_server: str) -> None:
    expected = f"HTTP GET http://{odd_server}/cut: 200 OK Output: so far"
    assert await bench.first_report(http(odd_server, "cut")) == (CheckStatus.PASSING, expected)


async def test_http_follows_redirects_unless_told_otherwise(bench: CheckBench, odd_server: str) -> None:
    assert (await bench.first_report(http(odd_server, "moved")))[0] is CheckStatus.PASSING
    status, output = await bench.first_report(http(odd_server, "moved", disable_redirects=True))
    assert (status, output) == (CheckStatus.CRITICAL, f"HTTP GET http://{odd_server}/moved: 302 Found Output: ")
    status, output = await bench.first_report(http(odd_server, "circle"))
    assert (status, output) == (CheckStatus.CRITICAL, f'Get "http://{odd_server}/circle": stopped after 10 redirects')


async def test_http_sends_every_value_of_a_header_and_ones_own_in_place_of_the_usual(
    bench: CheckBench, odd_server: str
) -> None:
    header = {"user-agent": ["mine"], "Host": ["web.example"], "X-A": ["1", "2"]}
    _, output = await bench.first_report(http(odd_server, "", header=header))
    seen = json.loads(output.partition("Output: ")[2])
    assert seen == {
        "User-Agent": ["mine"],
        "Accept": ["text/plain, text/*, */*"],
        "Host": ["web.example"],
        "X-A": ["1", "2"],
    }


async def test_http_of_what_is_no_url_is_critical(bench: CheckBench) -> None:
    status, output = await bench.first_report(CheckDefinition(id="c", http="nonsense", interval=SECOND_NS))
    assert status is CheckStatus.CRITICAL
    assert output.startswith('Get "nonsense": ')


async def test_https_asks_for_a_certificate_unless_told_otherwise(
    bench: CheckBench, server_tls: ssl.SSLContext
) -> None:
    async with http_server(answer_with, tls=server_tls) as address:
        url = f"https://{address}/long"
        status, output = await bench.first_report(CheckDefinition(id="c", http=url, interval=SECOND_NS))
        assert status is CheckStatus.CRITICAL
        assert "CERTIFICATE_VERIFY_FAILED" in output
        lenient = CheckDefinition(id="c", http=url, tls_skip_verify=True, tls_server_name="web", interval=SECOND_NS)
        assert (await bench.first_report(lenient))[0] is CheckStatus.PASSING
