"""A member that is killed finds its pool again by its snapshot alone: a real process, real sockets."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from consul_kernel.contracts.membership import MembershipContext, MemberStatus
from consul_kernel.contracts.transport import Address
from consul_kernel.testing.membership_world import FAST_TUNING
from consul_kernel_swim import SwimConfig, SwimMembership
from consul_kernel_tcp.transport import TcpTransport
from harness.agents import free_ports

SCRIPT = Path(__file__).parent / "killed_agent.py"
HOST = "127.0.0.1"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


async def test_killed_process_comes_back_without_any_address(tmp_path: Path) -> None:
    path = tmp_path / "serf" / "local.snapshot"
    (port,) = free_ports(1)
    transport = TcpTransport()
    stable = SwimMembership(
        MembershipContext(
            node_name="stable",
            bind=Address(HOST, 0),
            advertise=Address(HOST, 0),
            tags={},
            transport=transport,
            cipher=None,
            on_event=lambda event: None,
            now_ms=lambda: time.monotonic_ns() // 1_000_000,
            rng=random.Random(1),
            tuning=FAST_TUNING,
        ),
        SwimConfig(profile="local"),
    )
    await stable.start()

    def status() -> MemberStatus | None:
        return next((member.status for member in stable.members() if member.name == "killed"), None)

    async def live(*joins: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(sys.executable, SCRIPT, str(port), path, *map(str, joins))

    process = await live(stable.local_member.address.port)
    try:
        await until(lambda: status() is MemberStatus.ALIVE)
        await until(lambda: path.exists() and "alive: stable" in path.read_text())
        process.kill()
        await process.wait()
        with path.open("a") as snapshot:
            snapshot.write("not-alive: stab")  # what a crash in the middle of a write leaves
        await until(lambda: status() is MemberStatus.FAILED)
        process = await live()
        await until(lambda: status() is MemberStatus.ALIVE)
    finally:
        process.kill()
        await process.wait()
        await stable.aclose()
        await transport.aclose()
