"""How fast calls between agents are: `python tests/benchmarks/bench_rpc.py`.

One connection over loopback TCP, both ends in this one process, so that the figures are those of two agents on
one core; CPU time is shown beside the rate, since it hardly depends on what else runs. As a yardstick, as many
bytes are echoed over a bare stream of the transport; the ratio says what multiplexing, encoding and routing cost.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, cast

import uvloop

from consul_kernel.contracts.consensus import Consensus
from consul_kernel.contracts.transport import Address, Stream
from consul_kernel.rpc.client import ConnectionPool
from consul_kernel.rpc.directory import ServerDirectory
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.rpc.router import Router
from consul_kernel.rpc.server import RpcServer
from consul_kernel.structs.kv import DirEntry, IndexedDirEntries, KeyRequest
from consul_kernel.structs.methods import KVS_GET
from consul_kernel.structs.settings import LimitSettings
from consul_kernel_tcp.transport import TcpTransport

REPLY = IndexedDirEntries(
    index=10, known_leader=True, entries=[DirEntry(key=b"a/b", value=bytes(100), modify_index=10)]
)
REQUEST = KeyRequest(datacenter="dc1", key=b"a/b")
REQUEST_BYTES, REPLY_BYTES = 300, 280
"""About what the call is on the wire, for the yardstick."""


class _Leader:
    is_leader = True


async def _get(request: KeyRequest) -> IndexedDirEntries:
    return REPLY


class Speed(NamedTuple):
    """Calls per second, and microseconds of CPU for each."""

    rate: float
    cpu_us: float


async def _rate(action: Callable[[], Awaitable[object]], count: int, concurrency: int) -> Speed:
    async def worker() -> None:
        for _ in range(count // concurrency):
            await action()

    await action()
    started, cpu_started = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    cpu_s = time.process_time() - cpu_started
    return Speed(count / (time.perf_counter() - started), cpu_s / count * 1e6)


async def _bare_rate(transport: TcpTransport, count: int) -> Speed:
    async def answer(stream: Stream) -> None:
        while await stream.read_exactly(REQUEST_BYTES):
            stream.write(bytes(REPLY_BYTES))

    listener = await transport.listen(Address("127.0.0.1", 0), answer)
    stream = await transport.dial(listener.address, timeout_ms=1000)

    async def ask() -> None:
        stream.write(bytes(REQUEST_BYTES))
        await stream.read_exactly(REPLY_BYTES)

    rate = await _rate(ask, count, 1)
    await listener.aclose()
    return rate


async def measure(count: int) -> dict[str, Speed]:
    """Speeds, by case."""
    transport = TcpTransport()
    pool = ConnectionPool(transport)
    table = EndpointTable()
    table.attach(KVS_GET, _get)
    router = Router(
        datacenter="dc1",
        directory=ServerDirectory(random.Random(1)),
        pool=pool,
        now_ms=lambda: 0,
        rng=random.Random(1),
        endpoints=table,
        consensus=cast("Consensus", cast("Any", _Leader())),
    )
    server = RpcServer(table, router.call, limits=LimitSettings())
    listener = await transport.listen(Address("127.0.0.1", 0), server.serve)

    def call() -> Awaitable[object]:
        return pool.call(listener.address, KVS_GET, REQUEST, timeout_ms=10_000)

    rates = {
        "answered here": await _rate(lambda: router.call(KVS_GET, REQUEST), count * 20, 1),
        "bare echo, one at a time": await _bare_rate(transport, count),
        "calls, one at a time": await _rate(call, count, 1),
        "calls, 64 at a time": await _rate(call, count, 64),
    }
    await pool.aclose()
    await transport.aclose()
    return rates


def main() -> None:
    """Print rates, times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="uvloop")
    options = parser.parse_args()
    factory = uvloop.new_event_loop if options.loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        rates = runner.run(measure(options.count))
    for name, speed in rates.items():
        sys.stdout.write(f"{name:28} {speed.rate:12,.0f}/s {speed.cpu_us:9.1f} us of CPU\n")
    ratio = rates["bare echo, one at a time"].cpu_us / rates["calls, one at a time"].cpu_us
    sys.stdout.write(f"{'bare echo / call, in CPU':28} {ratio:12.2f}\n")


if __name__ == "__main__":
    main()
