"""UDP checks: an answer, silence, and a host that refuses."""

from __future__ import annotations

from consul_kernel.structs.check import CheckDefinition, CheckStatus
from harness.checks import SECOND_NS, CheckBench
from plugins.checks.probed import SilentUdpService, UdpService, udp_server


def udp(address: str, *, timeout_ns: int = 5 * SECOND_NS, **options: str) -> CheckDefinition:
    return CheckDefinition(
        id="c", kind="udp", options={"udp": address, **options}, interval=SECOND_NS, timeout=timeout_ns
    )


async def test_any_answer_is_passing(bench: CheckBench) -> None:
    service = UdpService()
    async with udp_server(service) as address:
        reported = await bench.first_report(udp(address, udp_message="are you there?"))
    assert reported == (CheckStatus.PASSING, f"UDP connect {address}: Success")
    assert service.received == [b"are you there?"]


async def test_so_is_silence(bench: CheckBench) -> None:
    async with udp_server(SilentUdpService()) as address:
        reported = await bench.first_report(udp(address, timeout_ns=SECOND_NS // 10))
    assert reported == (CheckStatus.PASSING, f"UDP connect {address}: Success")


async def test_a_port_that_nobody_has_is_critical(bench: CheckBench) -> None:
    expected = (CheckStatus.CRITICAL, "dial udp 127.0.0.1:1: connect: connection refused")
    assert await bench.first_report(udp("127.0.0.1:1")) == expected
