"""HTTP/2 pings, in the clear and within TLS."""

from __future__ import annotations

import ssl

from consul_kernel.structs.check import CheckDefinition, CheckStatus
from harness.checks import SECOND_NS, CheckBench
from plugins.checks.probed import GrpcServer, tcp_server

SUCCESS = (CheckStatus.PASSING, "HTTP2 ping was successful")


def h2ping(address: str, *, use_tls: bool = False, **changes: object) -> CheckDefinition:
    return CheckDefinition(
        id="c",
        h2ping=address,
        interval=SECOND_NS,
        options=None if use_tls else {"h2ping_use_tls": False},
        **changes,  # type: ignore[arg-type]
    )


def server() -> GrpcServer:
    return GrpcServer(lambda _: None)


async def test_in_the_clear(bench: CheckBench) -> None:
    async with tcp_server(server()) as address:
        assert await bench.first_report(h2ping(address)) == SUCCESS


async def test_tls_is_the_rule(bench: CheckBench, server_tls: ssl.SSLContext) -> None:
    async with tcp_server(server(), ssl=server_tls) as address:
        assert await bench.first_report(h2ping(address, use_tls=True, tls_skip_verify=True)) == SUCCESS
        status, output = await bench.first_report(h2ping(address, use_tls=True))
    assert status is CheckStatus.CRITICAL
    assert output == f"Failed to dial to {address}: tls: failed to verify certificate: self-signed certificate"


async def test_a_server_without_http2_is_critical(bench: CheckBench, server_tls: ssl.SSLContext) -> None:
    context = server_tls
    context.set_alpn_protocols(["http/1.1"])
    try:
        async with tcp_server(server(), ssl=context) as address:
            status, output = await bench.first_report(h2ping(address, use_tls=True, tls_skip_verify=True))
    finally:
        context.set_alpn_protocols(["h2", "http/1.1"])
    assert status is CheckStatus.CRITICAL
    assert "HTTP2 ping failed: http2: unexpected ALPN protocol" in output or "tls: " in output


async def test_nobody_there(bench: CheckBench) -> None:
    status, output = await bench.first_report(h2ping("127.0.0.1:1"))
    assert status is CheckStatus.CRITICAL
    assert output == "Failed to dial to 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused"


async def test_one_that_hangs_up_is_critical(bench: CheckBench, listener: str) -> None:
    status, output = await bench.first_report(h2ping(listener))
    assert status is CheckStatus.CRITICAL
    assert output.startswith(("HTTP2 ping failed: ", "Failed to dial to "))
