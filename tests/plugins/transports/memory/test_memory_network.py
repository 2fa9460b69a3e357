"""The in-memory network does what a test asks of it, and the same thing every time."""

from __future__ import annotations

import asyncio
import random

import pytest

from consul_kernel.contracts.errors import PluginStartError, StreamClosedError, TransportError
from consul_kernel.contracts.transport import Address, Stream
from consul_kernel.testing.memory_network import LinkQuality, MemoryNetwork
from consul_kernel.testing.virtual_time import (
    VirtualDeadlockError,
    VirtualTimeLimitError,
    VirtualTimeLoop,
    run_virtual,
    virtual_now_ms,
)

A, B = "10.0.0.1", "10.0.0.2"


async def _echo(stream: Stream) -> None:
    while data := await stream.read(65_536):
        stream.write(data)
        await stream.drain()


def test_an_hour_passes_at_once_and_exactly() -> None:
    async def program() -> int:
        await asyncio.sleep(3600)
        return virtual_now_ms()

    assert run_virtual(program()) == 3_600_000


def test_deadlock_names_who_waits() -> None:
    async def wait_for_nothing() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(VirtualDeadlockError, match="wait_for_nothing"):
        run_virtual(wait_for_nothing())


def test_endless_program_meets_the_limit() -> None:
    async def tick_for_ever() -> None:
        loop = asyncio.get_running_loop()
        while True:
            tick = loop.create_future()
            loop.call_later(1, tick.set_result, None)
            await tick

    with pytest.raises(VirtualTimeLimitError, match="tick_for_ever"):
        run_virtual(tick_for_ever(), limit_s=100)


def test_clock_stands_still_while_a_thread_works() -> None:
    async def program() -> tuple[int, int]:
        sleeper = asyncio.create_task(asyncio.sleep(5))
        result = await asyncio.to_thread(sum, range(100_000))
        before = virtual_now_ms()
        await sleeper
        assert isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
        return result, before

    assert run_virtual(program()) == (sum(range(100_000)), 0)


def _transcript(seed: int) -> list[tuple[int, bytes]]:
    quality = LinkQuality(delay_ms_min=1, delay_ms_max=50, loss_rate=0.2, duplicate_rate=0.1, reorder_rate=0.1)

    async def program() -> list[tuple[int, bytes]]:
        network = MemoryNetwork(random.Random(seed), quality=quality)
        seen: list[tuple[int, bytes]] = []
        b = await network.transport(B).open_packets(
            Address(B, 8301), lambda packet, source: seen.append((virtual_now_ms(), packet))
        )
        a = await network.transport(A).open_packets(Address(A, 8301), lambda packet, source: None)
        for number in range(200):
            a.send(b"%d" % number, b.address)
        await asyncio.sleep(10)
        counters = network.counters
        assert counters["delivered"] == len(seen) == 200 + counters["duplicated"] - counters["lost"]
        assert counters["lost"] > 10
        assert counters["duplicated"] > 5
        assert [packet for _, packet in seen] != sorted((packet for _, packet in seen), key=int)
        return seen

    return run_virtual(program())


def test_packets_are_lost_doubled_and_reordered_the_same_way_each_time() -> None:
    assert _transcript(7) == _transcript(7)
    assert _transcript(7) != _transcript(8)


def test_one_way_partition_and_heal() -> None:
    async def program() -> None:
        network = MemoryNetwork(random.Random(1))
        at_a: list[bytes] = []
        at_b: list[bytes] = []
        a = await network.transport(A).open_packets(Address(A, 1), lambda packet, source: at_a.append(packet))
        b = await network.transport(B).open_packets(Address(B, 1), lambda packet, source: at_b.append(packet))
        network.partition(A, B, one_way=True)
        a.send(b"lost", b.address)
        b.send(b"comes", a.address)
        await asyncio.sleep(1)
        assert (at_a, at_b) == ([b"comes"], [])
        network.heal()
        a.send(b"now", b.address)
        await asyncio.sleep(1)
        assert at_b == [b"now"]

    run_virtual(program())


def test_stream_survives_a_short_partition_and_breaks_in_a_long_one() -> None:
    async def program() -> None:
        network = MemoryNetwork(random.Random(2), stream_break_ms=1000)
        await network.transport(B).listen(Address(B, 8300), _echo)
        stream = await network.transport(A).dial(Address(B, 8300), timeout_ms=1000)
        network.partition(A, B)
        stream.write(b"held back")
        await asyncio.sleep(0.5)
        network.heal()
        assert await stream.read_exactly(9) == b"held back"
        network.partition(A, B)
        stream.write(b"never")
        with pytest.raises(TransportError, match="timed out"):
            await stream.read(100)
        with pytest.raises(TransportError):
            await stream.drain()
        assert network.counters["broken_streams"] == 1

    run_virtual(program())


def test_dial_is_refused_at_once_and_times_out_across_a_partition() -> None:
    async def program() -> None:
        network = MemoryNetwork(random.Random(3))
        transport = network.transport(A)
        with pytest.raises(TransportError, match=r"10\.0\.0\.2:8300.*refused"):
            await transport.dial(Address(B, 8300), timeout_ms=1000)
        assert virtual_now_ms() < 10
        await network.transport(B).listen(Address(B, 8300), _echo)
        network.partition(A, B)
        with pytest.raises(TransportError, match="no answer within 1000 ms"):
            await transport.dial(Address(B, 8300), timeout_ms=1000)

    run_virtual(program())


def test_crash_breaks_streams_and_frees_addresses() -> None:
    async def program() -> None:
        network = MemoryNetwork(random.Random(4))
        old = network.transport(B)
        await old.listen(Address(B, 8300), _echo)
        transport = network.transport(A)
        stream = await transport.dial(Address(B, 8300), timeout_ms=1000)
        network.crash(B)
        with pytest.raises(TransportError, match="reset"):
            await stream.read(1)
        with pytest.raises(TransportError, match="refused"):
            await transport.dial(Address(B, 8300), timeout_ms=1000)
        listener = await network.transport(B).listen(Address(B, 8300), _echo)
        again = await transport.dial(listener.address, timeout_ms=1000)
        again.write(b"back")
        assert await again.read_exactly(4) == b"back"

    run_virtual(program())


def test_slow_reader_stops_the_writer() -> None:
    async def program() -> None:
        network = MemoryNetwork(random.Random(5))
        accepted: asyncio.Queue[Stream] = asyncio.Queue()
        hold = asyncio.Event()

        async def take(stream: Stream) -> None:
            accepted.put_nowait(stream)
            await hold.wait()

        await network.transport(B).listen(Address(B, 8300), take)
        stream = await network.transport(A).dial(Address(B, 8300), timeout_ms=1000)
        sent = 0

        async def fill() -> None:
            nonlocal sent
            while True:
                stream.write(bytes(65_536))
                sent += 65_536
                await stream.drain()

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fill(), 10)
        assert sent <= 512 * 1024
        reader = await accepted.get()
        await reader.read_exactly(sent)
        await stream.drain()
        hold.set()
        assert await stream.read(1) == b""
        with pytest.raises(StreamClosedError):
            await stream.read_exactly(1)

    run_virtual(program())


def test_addresses_are_taken_once_and_only_on_their_host() -> None:
    async def program() -> None:
        transport = MemoryNetwork(random.Random(6)).transport(A)
        await transport.listen(Address("0.0.0.0", 8300), _echo)
        with pytest.raises(PluginStartError, match=r"10\.0\.0\.1:8300: address already in use"):
            await transport.listen(Address(A, 8300), _echo)
        with pytest.raises(PluginStartError, match="not an address of this host"):
            await transport.open_packets(Address(B, 8300), lambda packet, source: None)

    run_virtual(program())
