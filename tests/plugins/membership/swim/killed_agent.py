"""A process that is one member, `killed`, until somebody kills it: PORT SNAPSHOT [PORT to join …], all on loopback."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path

from consul_kernel.contracts.membership import MembershipContext
from consul_kernel.contracts.transport import Address
from consul_kernel_swim import SwimConfig, SwimMembership
from consul_kernel_tcp.transport import TcpTransport

HOST = "127.0.0.1"


async def main(port: str, path: str, *joins: str) -> None:
    address = Address(HOST, int(port))
    membership = SwimMembership(
        MembershipContext(
            node_name="killed",
            bind=address,
            advertise=address,
            tags={},
            transport=TcpTransport(),
            cipher=None,
            on_event=lambda event: None,
            now_ms=lambda: time.monotonic_ns() // 1_000_000,
            rng=random.Random(),
            snapshot_path=Path(path),
        ),
        SwimConfig(profile="local"),
    )
    await membership.start()
    if joins:
        await membership.join([Address(HOST, int(other)) for other in joins])
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
