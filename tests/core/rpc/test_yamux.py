"""yamux sessions: against each other, against frames written by hand, and against garbage."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.contracts.errors import StreamClosedError, TransportError
from consul_kernel.contracts.transport import Address, Stream
from consul_kernel.rpc.yamux import YamuxSession
from consul_kernel.rpc.yamux_settings import YamuxSettings
from consul_kernel.rpc.yamux_stream import YamuxStream
from consul_kernel.testing.memory_network import MemoryNetwork
from consul_kernel.testing.virtual_time import run_virtual, virtual_now_ms

A, B = "10.0.0.1", "10.0.0.2"
PORT = Address(B, 8300)


@asynccontextmanager
async def _connection(seed: int = 1) -> AsyncIterator[tuple[Stream, Stream, MemoryNetwork]]:
    network = MemoryNetwork(random.Random(seed))
    accepted: asyncio.Queue[Stream] = asyncio.Queue()
    release = asyncio.Event()

    async def serve(stream: Stream) -> None:
        accepted.put_nowait(stream)
        await release.wait()

    listener = await network.transport(B).listen(PORT, serve)
    dialled = await network.transport(A).dial(PORT, timeout_ms=1000)
    try:
        yield dialled, await accepted.get(), network
    finally:
        release.set()
        await listener.aclose()


@asynccontextmanager
async def _sessions(
    settings: YamuxSettings | None = None, seed: int = 1
) -> AsyncIterator[tuple[YamuxSession, YamuxSession, MemoryNetwork]]:
    async with _connection(seed) as (dialled, accepted, network):
        client = YamuxSession(dialled, is_client=True, settings=settings or YamuxSettings())
        server = YamuxSession(accepted, is_client=False, settings=settings or YamuxSettings())
        client.start()
        server.start()
        try:
            yield client, server, network
        finally:
            await client.aclose()
            await server.aclose()


@asynccontextmanager
async def _raw_peer(settings: YamuxSettings | None = None) -> AsyncIterator[tuple[Stream, YamuxSession]]:
    """A server session and the bare connection to it."""
    async with _connection() as (dialled, accepted, _):
        server = YamuxSession(accepted, is_client=False, settings=settings or YamuxSettings())
        server.start()
        try:
            yield dialled, server
        finally:
            await server.aclose()


def _frame(kind: int, flags: int, stream_id: int, length: int, body: bytes = b"", version: int = 0) -> bytes:
    return struct.pack(">BBHII", version, kind, flags, stream_id, length) + body


async def _read_frame(stream: Stream) -> tuple[int, int, int, int]:
    version, kind, flags, stream_id, length = struct.unpack(">BBHII", await stream.read_exactly(12))
    assert version == 0
    return kind, flags, stream_id, length


async def _echo(stream: YamuxStream) -> None:
    while data := await stream.read(70_000):
        stream.write(data)
        await stream.drain()
    stream.close()


async def _serve(session: YamuxSession, handler: Callable[[YamuxStream], Awaitable[None]]) -> None:
    async with asyncio.TaskGroup() as group:
        while True:
            try:
                stream = await session.accept()
            except TransportError:
                return
            group.create_task(_swallow(handler(stream)))


async def _swallow(work: Awaitable[None]) -> None:
    try:
        await work
    except TransportError:
        return


def test_many_streams_carry_much_both_ways_at_once() -> None:
    async def program() -> None:
        async with _sessions() as (client, server, _):
            serving = asyncio.create_task(_serve(server, _echo))
            rng = random.Random(5)

            async def one(size: int) -> None:
                stream = client.open_stream()
                data = rng.randbytes(size)

                async def send() -> None:
                    for start in range(0, size, 33_333):
                        stream.write(data[start : start + 33_333])
                        await stream.drain()
                    stream.close_write()

                sender = asyncio.create_task(send())
                assert await stream.read_exactly(size) == data
                assert await stream.read(1) == b""
                await sender
                stream.close()

            await asyncio.gather(*(one(size) for size in (0, 1, 400 * 1024, 1_500_000, 262_144, 262_145, 131_072)))
            await asyncio.sleep(1)
            assert (client.stream_count, server.stream_count) == (0, 0)
            await client.aclose()
            await serving

    run_virtual(program())


def test_frames_are_those_of_consul() -> None:
    """Opening, acknowledgement, ping and goodbye, as the wire notes give them (yamux spec.md)."""

    async def program() -> None:
        async with _connection() as (dialled, accepted, _):
            client = YamuxSession(dialled, is_client=True)
            client.start()
            stream = client.open_stream()
            stream.write(b"hello")
            assert (
                await accepted.read_exactly(29)
                == bytes.fromhex("000100010000000100000000") + bytes.fromhex("000000000000000100000005") + b"hello"
            )
            assert client.open_stream().id == 3
            assert await _read_frame(accepted) == (1, 1, 3, 0)
            accepted.write(_frame(1, 2, 1, 0) + _frame(2, 1, 0, 77))
            assert await _read_frame(accepted) == (2, 2, 0, 77)
            assert stream.acknowledged
            stream.close()
            assert await _read_frame(accepted) == (1, 4, 1, 0)
            await client.aclose()
            assert await _read_frame(accepted) == (3, 0, 0, 0)
            assert await accepted.read(1) == b""

    run_virtual(program())


def test_stream_may_be_opened_by_data_and_end_with_it() -> None:
    async def program() -> None:
        async with _raw_peer() as (peer, server):
            peer.write(_frame(0, 1 | 4, 1, 3, b"abc"))
            stream = await server.accept()
            assert await stream.read_exactly(3) == b"abc"
            assert await stream.read(1) == b""
            assert await _read_frame(peer) == (1, 2, 1, 0)

    run_virtual(program())


def test_receiver_grants_window_in_halves_and_writer_waits_for_it() -> None:
    async def program() -> None:
        async with _raw_peer() as (peer, server):
            peer.write(_frame(1, 1, 1, 0))
            stream = await server.accept()
            assert await _read_frame(peer) == (1, 2, 1, 0)
            peer.write(_frame(0, 0, 1, 131_072, bytes(131_072)))
            await stream.read_exactly(131_071)
            await stream.read_exactly(1)
            assert await _read_frame(peer) == (1, 0, 1, 131_072)

            stream.write(bytes(300_000))
            got = await _read_frame(peer)
            assert got == (0, 0, 1, 262_144)
            await peer.read_exactly(262_144)
            drain = asyncio.create_task(stream.drain())
            await asyncio.sleep(5)
            assert not drain.done()
            peer.write(_frame(1, 0, 1, 100_000))
            assert await _read_frame(peer) == (0, 0, 1, 300_000 - 262_144)
            await drain

    run_virtual(program())


@pytest.mark.parametrize(
    "wrong",
    [
        _frame(0, 0, 1, 262_145),
        _frame(1, 1, 1, 0),
        _frame(1, 1, 2, 0),
        _frame(1, 1, 0, 0),
        _frame(9, 0, 0, 0),
        _frame(0, 0, 0, 0, version=1),
        b"GET / HTTP/1.1\r\n",
    ],
    ids=["beyond window", "second SYN", "our own id", "id zero", "unknown type", "unknown version", "another protocol"],
)
def test_broken_protocol_ends_the_session_with_a_go_away(wrong: bytes) -> None:
    async def program() -> None:
        async with _raw_peer() as (peer, server):
            peer.write(_frame(1, 1, 1, 0))
            stream = await server.accept()
            assert await _read_frame(peer) == (1, 2, 1, 0)
            peer.write(wrong)
            assert await _read_frame(peer) == (3, 0, 0, 1)
            assert await peer.read(1) == b""
            with pytest.raises(TransportError, match="broke the protocol"):
                await stream.read(1)
            with pytest.raises(TransportError):
                await server.accept()
            assert not server.is_open

    run_virtual(program())


def test_frames_for_unknown_streams_are_skipped() -> None:
    async def program() -> None:
        async with _raw_peer() as (peer, server):
            peer.write(_frame(0, 0, 99, 5, b"xxxxx") + _frame(1, 8, 99, 0) + _frame(1, 4, 97, 0) + _frame(1, 1, 1, 0))
            assert (await server.accept()).id == 1

    run_virtual(program())


def test_backlog_is_bounded_and_the_rest_is_reset() -> None:
    async def program() -> None:
        async with _raw_peer(YamuxSettings(accept_backlog=4)) as (peer, server):
            peer.write(b"".join(_frame(1, 1, 1 + 2 * number, 0) for number in range(6)))
            assert await _read_frame(peer) == (1, 8, 9, 0)
            assert await _read_frame(peer) == (1, 8, 11, 0)
            for number in range(4):
                assert (await server.accept()).id == 1 + 2 * number

    run_virtual(program())


def test_peer_that_pings_and_never_reads_is_dropped() -> None:
    async def program() -> None:
        async with _connection() as (dialled, accepted, _):
            server = YamuxSession(accepted, is_client=False)
            server.start()
            acceptor = asyncio.create_task(server.accept())

            async def flood() -> None:
                for number in range(100_000):
                    dialled.write(_frame(2, 1, 0, number))
                    if number % 100 == 0:
                        await dialled.drain()

            with pytest.raises(TransportError):
                await flood()
            with pytest.raises(TransportError, match="does not read"):
                await acceptor
            await server.aclose()

    run_virtual(program())


def test_silent_peer_is_noticed_by_keepalive() -> None:
    async def program() -> None:
        async with _raw_peer() as (peer, server):
            with pytest.raises(TransportError, match="does not answer"):
                await server.accept()
            assert 40_000 <= virtual_now_ms() <= 40_100
            assert await _read_frame(peer) == (2, 1, 0, 1)

    run_virtual(program())


def test_living_peers_stay_together_for_hours_and_part_within_seconds_of_a_crash() -> None:
    async def program() -> None:
        async with _sessions() as (client, server, network):
            stream = client.open_stream()
            reader = asyncio.create_task(stream.read(1))
            await server.accept()
            await asyncio.sleep(7200)
            assert client.is_open
            assert server.is_open
            network.crash(B)
            with pytest.raises(TransportError, match="reset"):
                await reader
            assert not client.is_open

    run_virtual(program())


def test_stream_that_is_never_acknowledged_ends_the_session() -> None:
    async def program() -> None:
        async with _connection() as (dialled, accepted, _):
            client = YamuxSession(dialled, is_client=True)
            client.start()
            stream = client.open_stream()

            async def answer_pings() -> None:
                while True:
                    kind, flags, _, opaque = await _read_frame(accepted)
                    if (kind, flags) == (2, 1):
                        accepted.write(_frame(2, 2, 0, opaque))

            answering = asyncio.create_task(_swallow(answer_pings()))
            with pytest.raises(TransportError, match="does not accept streams"):
                await stream.read(1)
            assert 75_000 < virtual_now_ms() <= 90_100
            await client.aclose()
            await answering

    run_virtual(program())


def test_reset_tells_the_other_end_that_nobody_waits() -> None:
    async def program() -> None:
        async with _sessions() as (client, server, _):
            stream = client.open_stream()
            stream.write(b"question")
            other = await server.accept()
            gone = asyncio.Event()
            other.on_gone = gone.set
            await other.read_exactly(8)
            stream.reset()
            await gone.wait()
            other.write(b"answer")
            with pytest.raises(TransportError, match="reset"):
                await other.drain()
            assert (client.stream_count, server.stream_count) == (0, 0)

    run_virtual(program())


def test_half_closed_stream_of_a_forgetful_peer_is_reset_after_its_time() -> None:
    async def program() -> None:
        async with _sessions() as (client, server, _):
            client.open_stream().close()
            other = await server.accept()
            assert await other.read(1) == b""
            await asyncio.sleep(250)
            assert client.stream_count == 1
            await asyncio.sleep(100)
            assert (client.stream_count, server.stream_count) == (0, 0)

    run_virtual(program())


def test_slow_consumer_cannot_grow_memory() -> None:
    async def program() -> None:
        async with _sessions() as (client, server, _):
            stream = client.open_stream()
            sent = 0

            async def fill() -> None:
                nonlocal sent
                while True:
                    stream.write(bytes(65_536))
                    sent += 65_536
                    await stream.drain()

            filler = asyncio.create_task(fill())
            other = await server.accept()
            await asyncio.sleep(10)
            assert sent <= 256 * 1024 + 65_536
            assert sum(map(len, other._chunks)) == 256 * 1024
            # The session's other streams are not held up.
            quick = client.open_stream()
            quick.write(b"quick")
            assert await (await server.accept()).read_exactly(5) == b"quick"
            filler.cancel()

    run_virtual(program())


def test_going_away_leaves_open_streams_alone() -> None:
    async def program() -> None:
        async with _connection() as (dialled, accepted, _):
            client = YamuxSession(dialled, is_client=True)
            client.start()
            stream = client.open_stream()
            accepted.write(_frame(3, 0, 0, 0) + _frame(0, 2, 1, 2, b"ok"))
            assert await stream.read_exactly(2) == b"ok"
            with pytest.raises(TransportError, match="no more streams"):
                client.open_stream()
            accepted.close()
            with pytest.raises((TransportError, StreamClosedError)):
                await stream.read(1)
            await client.aclose()

    run_virtual(program())


@settings(max_examples=150)
@given(st.lists(st.binary(max_size=400), max_size=5), st.booleans())
def test_garbage_ends_a_session_and_nothing_else(pieces: list[bytes], plausible: bool) -> None:
    async def program() -> None:
        async with _raw_peer() as (peer, server):
            accepting = asyncio.create_task(_serve(server, _echo))
            for piece in pieces:
                # A plausible header now and then lets garbage come further.
                peer.write(
                    _frame(piece[0] % 4, piece[-1] % 16, len(piece), len(piece)) if plausible and piece else piece
                )
                peer.write(piece)
            peer.close_write()
            await accepting
            assert not server.is_open

    run_virtual(program(), limit_s=1000)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 3), st.integers(1, 200_000)), max_size=20))
def test_any_interleaving_delivers_each_stream_whole(seed: int, writes: list[tuple[int, int]]) -> None:
    async def program() -> None:
        async with _sessions(seed=seed) as (client, server, _):
            got: dict[int, bytearray] = {}

            async def collect(stream: YamuxStream) -> None:
                into = got.setdefault(stream.id, bytearray())
                while data := await stream.read(1 + seed % 90_000):
                    into += data
                stream.close()

            serving = asyncio.create_task(_serve(server, collect))
            rng = random.Random(seed)
            streams = [client.open_stream() for _ in range(4)]
            want = {stream.id: bytearray() for stream in streams}
            for number, size in writes:
                data = rng.randbytes(size)
                want[streams[number].id] += data
                streams[number].write(data)
                if rng.random() < 0.3:
                    await streams[number].drain()
            for stream in streams:
                stream.close_write()
                assert await stream.read(1) == b""
            await client.aclose()
            await serving
            assert got == want

    run_virtual(program())


def test_peer_that_grants_no_window_for_long_has_its_stream_reset() -> None:
    async def program() -> None:
        async with _sessions() as (client, server, _):
            stream = client.open_stream()
            stream.write(bytes(300_000))
            other = await server.accept()
            with pytest.raises(TransportError, match="does not read"):
                await stream.drain()
            assert 60_000 <= virtual_now_ms() <= 60_100
            await asyncio.sleep(0.1)
            assert (client.stream_count, server.stream_count) == (0, 0)
            assert len(await other.read(1_000_000)) > 0
            assert client.is_open

    run_virtual(program())
