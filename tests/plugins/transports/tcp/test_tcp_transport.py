"""The `tcp` transport fulfils the contract on IPv4 and IPv6, under asyncio's loop and under uvloop."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvloop

import consul_kernel_tcp
from consul_kernel.contracts.errors import PluginStartError, TransportError
from consul_kernel.contracts.plugin import PluginConfig
from consul_kernel.contracts.transport import Address, Stream, Transport, TransportContext
from consul_kernel.testing.transport_kit import CHECKS, TransportContractTests, TransportPair
from consul_kernel_tcp.sockets import KEEPALIVE_S
from consul_kernel_tcp.stream import TcpStream
from consul_kernel_tcp.transport import TcpTransport


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="no IPv6 on the loopback interface")


async def _make_pair(host: str) -> AsyncIterator[TransportPair]:
    a, b = TcpTransport(), TcpTransport()
    yield TransportPair(a=a, host_a=host, b=b, host_b=host)
    await a.aclose()
    await b.aclose()


class TestTcpTransportOnIPv4(TransportContractTests):
    @pytest.fixture
    async def pair(self) -> AsyncIterator[TransportPair]:
        async for pair in _make_pair("127.0.0.1"):
            yield pair


@needs_ipv6
class TestTcpTransportOnIPv6(TransportContractTests):
    @pytest.fixture
    async def pair(self) -> AsyncIterator[TransportPair]:
        async for pair in _make_pair("::1"):
            yield pair


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract_under_uvloop(check: Callable[[TransportPair], Awaitable[None]]) -> None:
    async def program() -> None:
        async for pair in _make_pair("127.0.0.1"):
            await check(pair)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(program())


def test_descriptor_makes_a_transport() -> None:
    plugin = consul_kernel_tcp.consul_kernel_register_transport()
    assert plugin.name == "tcp"
    assert isinstance(plugin.create(TransportContext(), PluginConfig()), Transport)


async def test_bind_errors_name_address_and_cause() -> None:
    transport = TcpTransport()

    async def serve(stream: Stream) -> None:
        raise AssertionError("nobody dials")

    taken = await transport.listen(Address("127.0.0.1", 0), serve)
    with pytest.raises(PluginStartError, match=rf"TCP 127\.0\.0\.1:{taken.address.port}: address already in use"):
        await transport.listen(taken.address, serve)
    with pytest.raises(PluginStartError, match=r"UDP 192\.0\.2\.1:0: cannot assign requested address"):
        await transport.open_packets(Address("192.0.2.1", 0), lambda packet, source: None)
    with pytest.raises(PluginStartError, match="'localhost' is not an IP address"):
        await transport.listen(Address("localhost", 0), serve)
    with pytest.raises(PluginStartError, match="70000"):
        await transport.listen(Address("127.0.0.1", 70_000), serve)
    await transport.aclose()


@needs_ipv6
async def test_any_ipv6_address_takes_ipv4_too_and_shows_it_as_such() -> None:
    transport = TcpTransport()
    received: asyncio.Queue[Address] = asyncio.Queue()
    peers: asyncio.Queue[Address] = asyncio.Queue()

    async def serve(stream: Stream) -> None:
        peers.put_nowait(stream.peer)

    everywhere = await transport.open_packets(Address("::", 0), lambda packet, source: received.put_nowait(source))
    for host in ("127.0.0.1", "::1"):
        other = await transport.open_packets(Address(host, 0), lambda packet, source: received.put_nowait(source))
        other.send(b"hello", Address(host, everywhere.address.port))
        assert await asyncio.wait_for(received.get(), 5) == other.address
        everywhere.send(b"back", other.address)
        source = await asyncio.wait_for(received.get(), 5)
        assert source == Address(host, everywhere.address.port)
    listener = await transport.listen(Address("::", 0), serve)
    for host in ("127.0.0.1", "::1"):
        (await transport.dial(Address(host, listener.address.port), timeout_ms=2000)).close()
        assert (await asyncio.wait_for(peers.get(), 5)).host == host
    await transport.aclose()


async def test_dial_gives_up_in_time_where_the_backlog_is_full() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        address = Address(*deaf.getsockname())
        transport = TcpTransport()

        async def dial_many() -> None:
            for _ in range(10):
                await transport.dial(address, timeout_ms=200)

        with pytest.raises(TransportError, match="i/o timeout"):
            await dial_many()
        await transport.aclose()


async def test_a_reset_connection_is_told_apart_from_its_end() -> None:
    """3.7: a broken connection is an error, not an end."""
    transport = TcpTransport()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        stream = await transport.dial(Address(*listening.getsockname()), timeout_ms=2000)
        accepted, _ = listening.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        accepted.close()
        with pytest.raises(TransportError, match="reset"):
            await asyncio.wait_for(stream.read(1), 5)
        with pytest.raises(TransportError):
            await stream.drain()
    await transport.aclose()


async def test_streams_have_no_nagle_delay() -> None:
    transport = TcpTransport()
    options: asyncio.Queue[int] = asyncio.Queue()

    async def serve(stream: Stream) -> None:
        await stream.read(1)

    listener = await transport.listen(Address("127.0.0.1", 0), serve)
    stream = await transport.dial(listener.address, timeout_ms=2000)
    assert stream._transport is not None
    sock = stream._transport.get_extra_info("socket")
    options.put_nowait(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    assert options.get_nowait()
    await transport.aclose()


async def test_both_ends_of_a_stream_notice_a_machine_that_is_gone() -> None:
    """A peer that lost its power says nothing; only the kernel's keep-alive frees the end that waits to read."""
    transport = TcpTransport()
    accepted: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()

    async def serve(stream: Stream) -> None:
        accepted.set_result(stream)
        await stream.read(1)

    listener = await transport.listen(Address("127.0.0.1", 0), serve)
    dialled = await transport.dial(listener.address, timeout_ms=2000)
    for stream in (dialled, await accepted):
        assert isinstance(stream, TcpStream)
        assert stream._transport is not None
        sock = stream._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == KEEPALIVE_S
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == KEEPALIVE_S
    await transport.aclose()


async def test_a_failing_receiver_does_not_stop_the_packets(caplog: pytest.LogCaptureFixture) -> None:
    transport = TcpTransport()
    received: asyncio.Queue[bytes] = asyncio.Queue()

    def receive(packet: bytes, source: Address) -> None:
        if packet == b"bad":
            raise ValueError("on purpose")
        received.put_nowait(packet)

    here = await transport.open_packets(Address("127.0.0.1", 0), receive)
    there = await transport.open_packets(Address("127.0.0.1", 0), receive)
    there.send(b"bad", here.address)
    there.send(b"good", here.address)
    assert await asyncio.wait_for(received.get(), 5) == b"good"
    assert "on purpose" in caplog.text
    await transport.aclose()


async def test_a_second_reader_is_a_programming_error() -> None:
    transport = TcpTransport()

    async def serve(stream: Stream) -> None:
        await stream.read(1)

    listener = await transport.listen(Address("127.0.0.1", 0), serve)
    stream = await transport.dial(listener.address, timeout_ms=2000)
    first = asyncio.create_task(stream.read(1))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="one task at a time"):
        await stream.read(1)
    stream.close()
    assert await first == b""
    await transport.aclose()


async def test_listener_can_be_closed_by_what_it_serves() -> None:
    transport = TcpTransport()
    closed = asyncio.Event()

    async def serve(stream: Stream) -> None:
        await listener.aclose()
        closed.set()

    listener = await transport.listen(Address("127.0.0.1", 0), serve)
    await transport.dial(listener.address, timeout_ms=2000)
    await asyncio.wait_for(closed.wait(), 5)
    with pytest.raises(TransportError, match="refused"):
        await transport.dial(listener.address, timeout_ms=2000)
    await transport.aclose()


async def test_a_peer_that_never_reads_does_not_keep_a_closed_stream_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consul_kernel_tcp.stream.LINGER_S", 0.05)
    transport = TcpTransport()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        stream = await transport.dial(Address(*listening.getsockname()), timeout_ms=2000)
        accepted, _ = listening.accept()
        stream.write(bytes(20_000_000))
        stream.close()
        async with asyncio.timeout(5):
            while transport._dialled:
                await asyncio.sleep(0.01)
        accepted.close()
    await transport.aclose()


@pytest.mark.parametrize("cause", ["EMSGSIZE", "ENOBUFS", "ENETUNREACH", "EPERM"])
async def test_what_could_not_be_sent_is_counted_by_cause_and_told_once(
    cause: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing(socket.socket):
        def sendto(self, *_: object) -> int:
            raise OSError(getattr(errno, cause), "refused")

    transport = TcpTransport()
    endpoint = await transport.open_packets(Address("127.0.0.1", 0), lambda packet, source: None)
    refusing = Refusing(socket.AF_INET, socket.SOCK_DGRAM)
    monkeypatch.setattr(endpoint, "_socket", refusing)
    for _ in range(3):
        endpoint.send(b"x", Address("127.0.0.1", 9))
    assert endpoint.send_failures == {cause: 3}
    assert caplog.text.count(f"could not be sent: {cause}") == 1
    monkeypatch.undo()
    refusing.close()
    await transport.aclose()
