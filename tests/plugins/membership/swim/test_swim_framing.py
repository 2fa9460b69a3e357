"""Who takes what, with and without keys, while encryption is being introduced; and what unfinished streams may hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from consul_kernel.contracts.errors import CipherError, PeerProtocolError, StreamClosedError
from consul_kernel.contracts.transport import Address, Stream
from consul_kernel.testing.membership_world import KeyedCipher
from consul_kernel_swim.core.messages import NodeState, Ping, RemoteNode
from consul_kernel_swim.core.packets import compress_message
from consul_kernel_swim.core.streams import PushPull, StreamMessage
from consul_kernel_swim.framing import OVER_BUDGET, Framing, HeldBytes
from consul_kernel_swim.sealing import NO_CIPHER, NOT_SEALED, Sealing
from consul_kernel_tcp.transport import TcpTransport
from plugins.membership.swim.core_bench import alive

KEY = KeyedCipher(b"k")
PACKET = Ping(5, "own").encode()
MESSAGE = Ping(7, "own")

PLAIN = Sealing(None)
OFF = Sealing(KEY, verify_incoming=False, verify_outgoing=False)
OUTGOING = Sealing(KEY, verify_incoming=False)
FULL = Sealing(KEY)
STEPS = (PLAIN, OFF, OUTGOING, FULL)


@pytest.mark.parametrize("before", range(3))
@pytest.mark.parametrize("label", [b"", b"blue"])
def test_each_step_of_an_introduction_understands_the_one_before_and_after(before: int, label: bytes) -> None:
    made = [
        Sealing(None, label),
        Sealing(KEY, label, verify_incoming=False, verify_outgoing=False),
        Sealing(KEY, label, verify_incoming=False),
        Sealing(KEY, label),
    ]
    a, b = made[before], made[before + 1]
    assert b.open_packet(a.seal_packet(PACKET)) == PACKET
    assert a.open_packet(b.seal_packet(PACKET)) == PACKET


def test_steps_that_are_skipped_do_not_understand_each_other() -> None:
    with pytest.raises(CipherError):
        FULL.open_packet(PLAIN.seal_packet(PACKET))
    with pytest.raises(CipherError):
        FULL.open_packet(OFF.seal_packet(PACKET))
    assert PLAIN.open_packet(OUTGOING.seal_packet(PACKET)) != PACKET


def test_what_came_plain_is_counted_as_long_as_there_are_keys() -> None:
    sealing = Sealing(KEY, verify_incoming=False)
    for _ in range(3):
        sealing.open_packet(PACKET)
    sealing.open_packet(FULL.seal_packet(PACKET))
    sealing.take_plain()
    assert sealing.unsealed_taken == 4
    plain = Sealing(None)
    plain.open_packet(PACKET)
    assert plain.unsealed_taken == 0


def test_budget_is_that_of_sealed_packets_before_they_are_sealed() -> None:
    assert OFF.overhead_bytes == FULL.overhead_bytes == KEY.overhead
    assert PLAIN.overhead_bytes == 0


def test_label_is_told_from_a_sealed_packet_that_begins_like_one() -> None:
    labelled = Sealing(None, b"blue").seal_packet(PACKET)
    for sealing in STEPS:
        with pytest.raises(PeerProtocolError, match="label"):
            sealing.open_packet(labelled)
    # The toy cipher's first byte is a digest's: some packet's begins with 244.
    packet = next(
        packet
        for packet in (Ping(number, "own").encode() for number in range(10_000))
        if FULL.seal_packet(packet)[0] == 244
    )
    assert FULL.open_packet(FULL.seal_packet(packet)) == packet


# --- over streams ---


class Wire:
    """Two ends of a real stream."""

    def __init__(self, dialled: Stream, accepted: Stream) -> None:
        self.dialled = dialled
        self.accepted = accepted


@pytest.fixture
async def wires() -> AsyncIterator[TcpTransport]:
    transport = TcpTransport()
    yield transport
    await transport.aclose()


async def wire(transport: TcpTransport) -> Wire:
    ends: asyncio.Queue[Stream] = asyncio.Queue()
    done = asyncio.Event()

    async def serve(stream: Stream) -> None:
        await ends.put(stream)
        await done.wait()

    listener = await transport.listen(Address("127.0.0.1", 0), serve)
    return Wire(await transport.dial(listener.address, timeout_ms=2000), await ends.get())


async def pass_over(transport: TcpTransport, source: Sealing, to: Framing, message: bytes) -> StreamMessage:
    line = await wire(transport)
    line.dialled.write(source.seal_stream(message, dialling=True))
    line.dialled.close_write()
    return await to.receive(line.accepted, served=True)


@pytest.mark.parametrize(
    ("source", "to", "refusal"),
    [
        (PLAIN, PLAIN, None),
        (PLAIN, OFF, None),
        (PLAIN, OUTGOING, None),
        (PLAIN, FULL, NOT_SEALED),
        (OFF, PLAIN, None),
        (OFF, FULL, NOT_SEALED),
        (OUTGOING, PLAIN, NO_CIPHER),
        (OUTGOING, OFF, None),
        (OUTGOING, FULL, None),
        (FULL, OFF, None),
        (FULL, OUTGOING, None),
        (FULL, FULL, None),
    ],
)
async def test_streams_between_steps(wires: TcpTransport, source: Sealing, to: Sealing, refusal: str | None) -> None:
    if refusal is None:
        assert await pass_over(wires, source, Framing(to), MESSAGE.encode()) == MESSAGE
    else:
        with pytest.raises(PeerProtocolError, match=refusal):
            await pass_over(wires, source, Framing(to), MESSAGE.encode())


async def test_sealed_stream_that_no_key_opens_is_never_taken_as_plain(wires: TcpTransport) -> None:
    with pytest.raises(CipherError):
        await pass_over(wires, Sealing(KeyedCipher(b"other")), Framing(OFF), MESSAGE.encode())


def state_of(count: int) -> PushPull:
    return PushPull(
        tuple(RemoteNode(NodeState.ALIVE, alive(f"n{number}", number % 250)) for number in range(count)), b"", False
    )


@pytest.mark.parametrize("sealing", [PLAIN, FULL])
@pytest.mark.parametrize("compress", [False, True])
async def test_large_state_is_read_while_others_have_their_turns(
    wires: TcpTransport, sealing: Sealing, compress: bool
) -> None:
    state = state_of(4_000)
    encoded = state.encode()
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    framing = Framing(sealing)
    task = asyncio.create_task(others())
    try:
        message = await pass_over(wires, sealing, framing, compress_message(encoded) if compress else encoded)
        in_thread = framing._expander is not None
    finally:
        task.cancel()
        framing.close()
    assert message == state
    assert in_thread is compress
    if not compress:
        assert turns >= len(encoded) // 16_384


async def test_stream_that_ends_too_early_is_the_peers_fault(wires: TcpTransport) -> None:
    for sealing in (PLAIN, FULL):
        line = await wire(wires)
        line.dialled.write(sealing.seal_stream(state_of(10).encode(), dialling=True)[:-1])
        line.dialled.close_write()
        with pytest.raises(PeerProtocolError, match="ends within"):
            await Framing(sealing).receive(line.accepted, served=True)
    line = await wire(wires)
    line.dialled.close_write()
    with pytest.raises(StreamClosedError):
        await Framing(PLAIN).receive(line.accepted, served=False)


# --- what unfinished streams hold together ---


async def test_half_sent_messages_share_one_budget(wires: TcpTransport) -> None:
    framing = Framing(FULL)
    framing.held = HeldBytes(total=400_000, free=1_000)
    announced = b"\x0a" + (1 << 20).to_bytes(4, "big")
    lines, reading = [], []
    for _ in range(3):
        line = await wire(wires)
        line.dialled.write(announced + bytes(150_000))
        lines.append(line)
        reading.append(asyncio.create_task(framing.receive(line.accepted, served=True)))
    done, waiting = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    assert len(done) == 1
    with pytest.raises(PeerProtocolError, match=OVER_BUDGET):
        done.pop().result()
    assert framing.held.refused == 1
    # A small message needs nothing of what is held.
    assert await pass_over(wires, FULL, framing, MESSAGE.encode()) == MESSAGE
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert await pass_over(wires, FULL, framing, state_of(2_000).encode()) == state_of(2_000)


async def test_announced_length_alone_holds_nothing(wires: TcpTransport) -> None:
    framing = Framing(FULL)
    framing.held = HeldBytes(total=10, free=10)
    lines = [await wire(wires) for _ in range(20)]
    reading = []
    for line in lines:
        line.dialled.write(b"\x0a" + (20 << 20).to_bytes(4, "big"))
        reading.append(asyncio.create_task(framing.receive(line.accepted, served=True)))
    await asyncio.wait(reading, timeout=0.1)
    assert framing.held.refused == 0
    for task in reading:
        task.cancel()
    await asyncio.wait(reading)


async def test_sealed_message_of_more_than_20_mib_is_refused_by_its_length(wires: TcpTransport) -> None:
    line = await wire(wires)
    line.dialled.write(b"\x0a" + ((20 << 20) + 1).to_bytes(4, "big"))
    with pytest.raises(PeerProtocolError, match="more than"):
        await Framing(FULL).receive(line.accepted, served=True)
