"""Raft's cost on top of the log: proposals of one server against bare appends, and of three servers in one process.

    python tests/benchmarks/bench_raft.py [--seconds 2]

Prints figures per second, the median latency, CPU per proposal, and the ratio to a bare append with its flush.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from consul_kernel.contracts.consensus import ConsensusContext, Server
from consul_kernel.contracts.store import LogEntry, Store, StoreContext
from consul_kernel.contracts.transport import Address, Stream, TransportContext
from consul_kernel.testing.consensus_parts import JournalMachine
from consul_kernel_disk import consul_kernel_register_store
from consul_kernel_raft import RaftConfig, RaftConsensus
from consul_kernel_tcp import consul_kernel_register_transport

COMMAND = b"x" * 256


@dataclass
class Figures:
    """One measurement."""

    per_second: float
    median_ms: float
    cpu_us: float


async def measure(work: Callable[[], Awaitable[object]], concurrency: int, seconds: float) -> Figures:
    """Repeat `work` in several tasks at once."""
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def repeat() -> None:
        while time.perf_counter() < until:
            begin = time.perf_counter()
            await work()
            latencies.append(time.perf_counter() - begin)

    cpu, begin = time.process_time(), time.perf_counter()
    await asyncio.gather(*(repeat() for _ in range(concurrency)))
    elapsed = time.perf_counter() - begin
    cpu_us = (time.process_time() - cpu) / len(latencies) * 1e6
    return Figures(len(latencies) / elapsed, statistics.median(latencies) * 1e3, cpu_us)


async def new_store(folder: Path) -> Store:
    plugin = consul_kernel_register_store()
    folder.mkdir()  # noqa: ASYNC240 -- before anything is measured
    store = plugin.create(StoreContext(data_dir=folder), plugin.config_type())
    await store.start()
    return store


async def bare_append(folder: Path, seconds: float) -> Figures:
    """One task that appends one entry at a time: what a lone write costs at least."""
    store = await new_store(folder)
    log = store.log

    async def work() -> None:
        await log.append([LogEntry(log.last_index + 1, 1, 0, COMMAND)])

    figures = await measure(work, 1, seconds)
    await store.aclose()
    return figures


async def quorum(folder: Path, size: int, concurrencies: list[int], seconds: float) -> list[Figures]:
    """Servers in one process over loopback; proposals on the leader."""
    transport_plugin = consul_kernel_register_transport()
    transport = transport_plugin.create(TransportContext(), transport_plugin.config_type())

    async def dial(server: Server) -> Stream:
        host, _, port = server.address.rpartition(":")
        return await transport.dial(Address(host, int(port)), timeout_ms=1000)

    served: dict[int, RaftConsensus] = {}

    def serve_for(number: int) -> Callable[[Stream], Awaitable[None]]:
        async def serve(stream: Stream) -> None:
            await served[number].serve(stream)

        return serve

    listeners = [await transport.listen(Address("127.0.0.1", 0), serve_for(number)) for number in range(size)]
    servers = [Server(f"server-{number}", str(listener.address)) for number, listener in enumerate(listeners)]
    stores = [await new_store(folder / str(number)) for number in range(size)]
    for number, (server, store) in enumerate(zip(servers, stores, strict=True)):
        served[number] = RaftConsensus(
            ConsensusContext(
                server_id=server.id,
                address=server.address,
                log=store.log,
                snapshots=store.snapshots,
                state_machine=JournalMachine(),
                dial=dial,
                on_leader_change=lambda change: None,
                on_failure=lambda error: None,
                now_ms=lambda: time.monotonic_ns() // 1_000_000,
                rng=random.Random(number),
                multiplier=1,
            ),
            RaftConfig(),
        )
        await served[number].start()
        await served[number].bootstrap(servers)
    while not any(consensus.is_leader for consensus in served.values()):
        await asyncio.sleep(0.01)
    leader = next(consensus for consensus in served.values() if consensus.is_leader)
    results = [
        await measure(lambda: leader.propose(COMMAND, timeout_ms=5000), concurrency, seconds)
        for concurrency in concurrencies
    ]
    for consensus in served.values():
        await consensus.aclose()
    for store in stores:
        await store.aclose()
    await transport.aclose()
    return results


async def main(seconds: float) -> None:
    concurrencies = [1, 16, 64]
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        bare = await bare_append(folder / "bare", seconds)
        print(f"bare append    x1   {bare.per_second:8.0f}/s  {bare.median_ms:7.2f} ms  {bare.cpu_us:6.0f} us CPU")
        for size in (1, 3):
            (folder / f"quorum-{size}").mkdir()
            results = await quorum(folder / f"quorum-{size}", size, concurrencies, seconds)
            for concurrency, figures in zip(concurrencies, results, strict=True):
                print(
                    f"{size} server(s)    x{concurrency:<3d} {figures.per_second:8.0f}/s  {figures.median_ms:7.2f} ms"
                    f"  {figures.cpu_us:6.0f} us CPU  throughput/bare {figures.per_second / bare.per_second:6.2f}"
                    f"  latency/bare {figures.median_ms / bare.median_ms:5.2f}"
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    asyncio.run(main(parser.parse_args().seconds))
