"""Checks that every transport passes, by the numbered clauses of docs/contracts/transport.md.

Each check is a coroutine function of one `TransportPair`: two hosts that reach each other. A plugin's suite
subclasses `TransportContractTests` and gives it a fixture `pair`; other test runners call the checks directly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from consul_kernel.contracts.errors import PluginStartError, StreamClosedError, TransportError
from consul_kernel.contracts.transport import Address, CountingEndpoint, Listener, Stream, Transport

from .clauses import ClauseError, require

WAIT_S = 10.0
"""What a check waits at most for anything that must happen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportPair:
    """Two transports and a host address of each; they may be one and the same host."""

    a: Transport
    host_a: str
    b: Transport
    host_b: str


async def _echo(stream: Stream) -> None:
    while data := await stream.read(65_536):
        stream.write(data)
        await stream.drain()


async def _connect(pair: TransportPair) -> tuple[Stream, Stream, asyncio.Event, Listener]:
    """A stream dialled by a, the same accepted by b, and the event that lets b's task return."""
    accepted: asyncio.Queue[Stream] = asyncio.Queue()
    release = asyncio.Event()

    async def serve(stream: Stream) -> None:
        accepted.put_nowait(stream)
        await release.wait()

    listener = await pair.b.listen(Address(pair.host_b, 0), serve)
    dialled = await pair.a.dial(listener.address, timeout_ms=5000)
    return dialled, await asyncio.wait_for(accepted.get(), WAIT_S), release, listener


async def check_1_1_bound_address_has_the_real_port(pair: TransportPair) -> None:
    """1.1: port 0 asks for any free port; `address` tells which."""
    packets = await pair.a.open_packets(Address(pair.host_a, 0), lambda packet, source: None)
    listener = await pair.a.listen(Address(pair.host_a, 0), _echo)
    for address in (packets.address, listener.address):
        require(address.host == pair.host_a and address.port > 0, f"1.1: {address} is not what was bound")


async def check_1_2_taken_address_is_a_start_error_that_names_it(pair: TransportPair) -> None:
    """1.2: an address in use raises PluginStartError with the address in its text."""
    packets = await pair.a.open_packets(Address(pair.host_a, 0), lambda packet, source: None)
    listener = await pair.a.listen(Address(pair.host_a, 0), _echo)
    for bind in (
        lambda: pair.a.open_packets(packets.address, lambda packet, source: None),
        lambda: pair.a.listen(listener.address, _echo),
    ):
        attempt: Callable[[], Awaitable[object]] = bind
        try:
            await attempt()
        except PluginStartError as error:
            require(pair.host_a in str(error), f"1.2: {error} does not name the address")
        else:
            raise ClauseError("1.2: the same address was bound twice")


async def check_1_3_closed_address_can_be_bound_again(pair: TransportPair) -> None:
    """1.3: what was closed can be bound again at once, even while old streams linger."""
    dialled, _, release, listener = await _connect(pair)
    await asyncio.wait_for(listener.aclose(), WAIT_S)
    again = await pair.b.listen(listener.address, _echo)
    require(again.address == listener.address, "1.3: not the same address")
    packets = await pair.b.open_packets(Address(pair.host_b, 0), lambda packet, source: None)
    packets.close()
    packets.close()
    await pair.b.open_packets(packets.address, lambda packet, source: None)
    release.set()
    dialled.close()


async def check_2_1_packets_arrive_whole_with_their_source(pair: TransportPair) -> None:
    """2.1: a packet arrives as it was sent, with the sender's address."""
    received: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()
    b = await pair.b.open_packets(Address(pair.host_b, 0), lambda packet, source: received.put_nowait((packet, source)))
    a = await pair.a.open_packets(Address(pair.host_a, 0), lambda packet, source: None)
    for packet in (b"x", bytes(range(256)) * 5, b"y" * 60_000):
        a.send(packet, b.address)
        got, source = await asyncio.wait_for(received.get(), WAIT_S)
        require(got == packet, f"2.1: {len(packet)} bytes became {len(got)}")
        require(source == a.address, f"2.1: source {source} is not {a.address}")


async def check_2_2_sending_never_raises(pair: TransportPair) -> None:
    """2.2: `send` raises for no packet and no address, nor after `close`; what is lost may be counted."""
    a = await pair.a.open_packets(Address(pair.host_a, 0), lambda packet, source: None)
    for to in (Address(pair.host_b, 1), Address("not an address", 7), Address(pair.host_b, 0), Address("", -1)):
        a.send(b"lost", to)
    a.send(bytes(70_000), Address(pair.host_b, 9))
    if isinstance(a, CountingEndpoint):
        lost = sum(a.send_failures.values())
        require(
            lost >= 4, f"2.2: {lost} packets are counted that could not be sent, not those to nowhere and the long one"
        )
    a.close()
    a.send(b"late", Address(pair.host_b, 9))


async def check_2_3_a_receiver_that_raises_gets_the_next_packet(pair: TransportPair) -> None:
    """2.3: an exception out of `receive` is logged, and packets go on being delivered."""
    received: asyncio.Queue[bytes] = asyncio.Queue()

    def receive(packet: bytes, source: Address) -> None:
        received.put_nowait(packet)
        raise RuntimeError("the receiver's fault")

    b = await pair.b.open_packets(Address(pair.host_b, 0), receive)
    a = await pair.a.open_packets(Address(pair.host_a, 0), lambda packet, source: None)
    for packet in (b"first", b"second"):
        a.send(packet, b.address)
        got = await asyncio.wait_for(received.get(), WAIT_S)
        require(got == packet, f"2.3: {got!r} in place of {packet!r}")


async def check_3_1_streams_carry_bytes_in_order_both_ways(pair: TransportPair) -> None:
    """3.1: every byte arrives once and in order, both ways at the same time, also when there is much."""
    listener = await pair.b.listen(Address(pair.host_b, 0), _echo)
    stream = await pair.a.dial(listener.address, timeout_ms=5000)
    require(stream.peer == listener.address, f"3.1: peer is {stream.peer}, not {listener.address}")
    data = bytes(range(251)) * 4000

    async def send() -> None:
        for start in range(0, len(data), 50_000):
            stream.write(data[start : start + 50_000])
            await stream.drain()
        stream.close_write()

    sender = asyncio.create_task(send())
    got = await asyncio.wait_for(stream.read_exactly(len(data)), WAIT_S)
    await sender
    require(got == data, "3.1: the bytes that came back are not those that were sent")
    stream.close()


async def check_3_2_end_of_one_direction_leaves_the_other(pair: TransportPair) -> None:
    """3.2: `close_write` ends one direction; the other goes on. `read` gives b"" at the end, again and again."""
    dialled, accepted, release, _ = await _connect(pair)
    dialled.write(b"question")
    dialled.close_write()
    require(await asyncio.wait_for(accepted.read_exactly(8), WAIT_S) == b"question", "3.2: bytes before the end")
    for _ in range(2):
        require(await asyncio.wait_for(accepted.read(10), WAIT_S) == b"", "3.2: no end of stream")
    accepted.write(b"answer")
    await accepted.drain()
    require(await asyncio.wait_for(dialled.read_exactly(6), WAIT_S) == b"answer", "3.2: the answer")
    release.set()
    require(await asyncio.wait_for(dialled.read(1), WAIT_S) == b"", "3.2: closed when serve returned")
    dialled.close()


async def check_3_3_short_stream_is_an_error_of_read_exactly(pair: TransportPair) -> None:
    """3.3: `read_exactly` raises StreamClosedError when the stream ends before."""
    dialled, accepted, release, _ = await _connect(pair)
    accepted.write(b"abc")
    accepted.close_write()
    try:
        await asyncio.wait_for(dialled.read_exactly(4), WAIT_S)
    except StreamClosedError:
        return
    finally:
        release.set()
        dialled.close()
    raise ClauseError("3.3: three bytes passed for four")


async def check_3_4_slow_reader_stops_the_writer(pair: TransportPair) -> None:
    """3.4: `drain` waits while the peer does not read, so that memory stays bounded; it goes on afterwards."""
    dialled, accepted, release, _ = await _connect(pair)
    sent = 0
    piece = bytes(256 * 1024)

    async def fill() -> None:
        nonlocal sent
        while sent < 256 * 1024 * 1024:
            dialled.write(piece)
            sent += len(piece)
            await dialled.drain()

    try:
        await asyncio.wait_for(fill(), 1.0)
    except TimeoutError:
        pass
    require(sent < 256 * 1024 * 1024, "3.4: the writer was never stopped")
    total = 0
    while total < sent:
        total += len(await asyncio.wait_for(accepted.read(1024 * 1024), WAIT_S))
    await asyncio.wait_for(dialled.drain(), WAIT_S)
    release.set()
    dialled.close()


async def check_3_5_close_is_final_and_harmless(pair: TransportPair) -> None:
    """3.5: `close` may be repeated; queued bytes still arrive; afterwards write is ignored and drain raises."""
    dialled, accepted, release, _ = await _connect(pair)
    dialled.write(b"last words")
    dialled.close()
    dialled.close()
    dialled.write(b"ignored")
    dialled.close_write()
    try:
        await dialled.drain()
    except TransportError:
        pass
    else:
        raise ClauseError("3.5: drain of a closed stream returned")
    require(await asyncio.wait_for(accepted.read_exactly(10), WAIT_S) == b"last words", "3.5: queued bytes were lost")
    require(await asyncio.wait_for(accepted.read(1), WAIT_S) == b"", "3.5: no end after close")
    release.set()


async def check_3_6_close_wakes_a_waiting_reader(pair: TransportPair) -> None:
    """3.6: a task that waits in `read` gets b"" when another one closes the stream."""
    dialled, _, release, _ = await _connect(pair)
    reader = asyncio.create_task(dialled.read(1))
    await asyncio.sleep(0)
    dialled.close()
    require(await asyncio.wait_for(reader, WAIT_S) == b"", "3.6: the reader got something else")
    release.set()


async def check_3_8_a_second_reader_is_a_programming_error(pair: TransportPair) -> None:
    """3.8: reading while another task waits in `read` raises RuntimeError; the first reader is not disturbed."""
    dialled, accepted, release, _ = await _connect(pair)
    reader = asyncio.create_task(dialled.read(1))
    await asyncio.sleep(0)
    try:
        await dialled.read(1)
    except RuntimeError:
        pass
    else:
        raise ClauseError("3.8: two tasks could read at once")
    accepted.write(b"x")
    require(await asyncio.wait_for(reader, WAIT_S) == b"x", "3.8: the first reader was disturbed")
    release.set()
    dialled.close()


async def check_4_1_refused_dial_is_a_transport_error(pair: TransportPair) -> None:
    """4.1: dialling where nobody listens raises TransportError with the address in its text, within the time."""
    listener = await pair.b.listen(Address(pair.host_b, 0), _echo)
    await listener.aclose()
    for to in (listener.address, Address("not an address", 1)):
        try:
            await asyncio.wait_for(pair.a.dial(to, timeout_ms=2000), WAIT_S)
        except TransportError as error:
            require(str(to) in str(error), f"4.1: {error} does not name {to}")
        else:
            raise ClauseError(f"4.1: somebody answered at {to}")


async def check_5_1_closing_a_listener_ends_what_it_serves(pair: TransportPair) -> None:
    """5.1: `Listener.aclose` cancels serving tasks, closes their streams, and may be repeated."""
    cancelled = asyncio.Event()
    serving = asyncio.Event()

    async def serve(stream: Stream) -> None:
        serving.set()
        try:
            await stream.read(1)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    listener = await pair.b.listen(Address(pair.host_b, 0), serve)
    dialled = await pair.a.dial(listener.address, timeout_ms=5000)
    await asyncio.wait_for(serving.wait(), WAIT_S)
    await asyncio.wait_for(listener.aclose(), WAIT_S)
    await asyncio.wait_for(listener.aclose(), WAIT_S)
    require(cancelled.is_set(), "5.1: the serving task was not cancelled")
    try:
        require(await asyncio.wait_for(dialled.read(1), WAIT_S) == b"", "5.1: the stream lives on")
    except TransportError:
        pass
    dialled.close()


async def check_5_2_one_failing_stream_harms_no_other(pair: TransportPair) -> None:
    """5.2: an exception out of `serve` closes that stream alone."""
    failed = asyncio.Event()

    async def serve(stream: Stream) -> None:
        if await stream.read_exactly(1) == b"!":
            failed.set()
            raise TransportError("on purpose")
        await _echo(stream)

    listener = await pair.b.listen(Address(pair.host_b, 0), serve)
    bad = await pair.a.dial(listener.address, timeout_ms=5000)
    good = await pair.a.dial(listener.address, timeout_ms=5000)
    bad.write(b"!")
    await asyncio.wait_for(failed.wait(), WAIT_S)
    good.write(b"?fine")
    require(await asyncio.wait_for(good.read_exactly(4), WAIT_S) == b"fine", "5.2: the other stream was harmed")
    bad.close()
    good.close()


async def check_6_1_closing_the_transport_closes_everything(pair: TransportPair) -> None:
    """6.1: `Transport.aclose` closes listeners, packets and streams, may be repeated, and ends dialling."""
    dialled, accepted, release, _ = await _connect(pair)
    await asyncio.wait_for(pair.a.aclose(), WAIT_S)
    await asyncio.wait_for(pair.a.aclose(), WAIT_S)
    try:
        require(await asyncio.wait_for(accepted.read(1), WAIT_S) == b"", "6.1: the stream lives on")
    except TransportError:
        pass
    require(await dialled.read(1) == b"", "6.1: the dialled end lives on")
    try:
        await pair.a.dial(Address(pair.host_b, 9), timeout_ms=100)
    except TransportError:
        return
    finally:
        release.set()
    raise ClauseError("6.1: a closed transport dials")


CHECKS: tuple[Callable[[TransportPair], Awaitable[None]], ...] = tuple(
    value for name, value in sorted(globals().items()) if name.startswith("check_")
)
"""Every check, in the order of the clauses."""


class TransportContractTests:
    """Base of a plugin's suite. The subclass defines a fixture `pair` that yields a `TransportPair` and cleans up."""

    async def test_1_1(self, pair: TransportPair) -> None:
        await check_1_1_bound_address_has_the_real_port(pair)

    async def test_1_2(self, pair: TransportPair) -> None:
        await check_1_2_taken_address_is_a_start_error_that_names_it(pair)

    async def test_1_3(self, pair: TransportPair) -> None:
        await check_1_3_closed_address_can_be_bound_again(pair)

    async def test_2_1(self, pair: TransportPair) -> None:
        await check_2_1_packets_arrive_whole_with_their_source(pair)

    async def test_2_2(self, pair: TransportPair) -> None:
        await check_2_2_sending_never_raises(pair)

    async def test_2_3(self, pair: TransportPair) -> None:
        await check_2_3_a_receiver_that_raises_gets_the_next_packet(pair)

    async def test_3_1(self, pair: TransportPair) -> None:
        await check_3_1_streams_carry_bytes_in_order_both_ways(pair)

    async def test_3_2(self, pair: TransportPair) -> None:
        await check_3_2_end_of_one_direction_leaves_the_other(pair)

    async def test_3_3(self, pair: TransportPair) -> None:
        await check_3_3_short_stream_is_an_error_of_read_exactly(pair)

    async def test_3_4(self, pair: TransportPair) -> None:
        await check_3_4_slow_reader_stops_the_writer(pair)

    async def test_3_5(self, pair: TransportPair) -> None:
        await check_3_5_close_is_final_and_harmless(pair)

    async def test_3_6(self, pair: TransportPair) -> None:
        await check_3_6_close_wakes_a_waiting_reader(pair)

    async def test_3_8(self, pair: TransportPair) -> None:
        await check_3_8_a_second_reader_is_a_programming_error(pair)

    async def test_4_1(self, pair: TransportPair) -> None:
        await check_4_1_refused_dial_is_a_transport_error(pair)

    async def test_5_1(self, pair: TransportPair) -> None:
        await check_5_1_closing_a_listener_ends_what_it_serves(pair)

    async def test_5_2(self, pair: TransportPair) -> None:
        await check_5_2_one_failing_stream_harms_no_other(pair)

    async def test_6_1(self, pair: TransportPair) -> None:
        await check_6_1_closing_the_transport_closes_everything(pair)
