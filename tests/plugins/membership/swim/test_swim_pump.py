"""The driver's task: after a standstill, under a flood, and at the end."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from consul_kernel.contracts.errors import MembershipError, TransportError
from consul_kernel.contracts.membership import GossipEvent, MemberEvent, MembershipContext, MemberStatus
from consul_kernel.contracts.transport import Address, Listener, PacketEndpoint, ReceivePacket, ServeStream, Stream
from consul_kernel.structs.coordinate import Coordinate
from consul_kernel.testing.virtual_time import run_virtual, virtual_now_ms
from consul_kernel_swim import SwimConfig, SwimMembership
from consul_kernel_swim.core.coordinates import encode_coordinate
from consul_kernel_swim.core.messages import Ack, Alive, Ping, Suspect, decode_message
from consul_kernel_swim.core.packets import join_messages, split_packet
from consul_kernel_swim.core.settings import PROTOCOL_VERSIONS
from consul_kernel_tcp.transport import TcpTransport

OWN = Address("10.0.0.1", 8301)
PEER = Address("10.0.0.2", 8301)
STANDSTILL_MS = 5_000
COORDINATE = encode_coordinate(Coordinate(vec=[0.01] * 8, error=0.5, adjustment=0.0, height=1e-5))


def alive(name: str, incarnation: int = 1) -> bytes:
    return Alive(incarnation, name, b"\x0a\0\0\2", 8301, b"\xff\x80", PROTOCOL_VERSIONS).encode()


class HandTransport:
    """Packets are delivered by the test, and kept when they are sent; nobody can be dialled."""

    def __init__(self) -> None:
        self.address = OWN
        self.sent: list[tuple[bytes, Address]] = []
        self.receive: ReceivePacket = lambda packet, source: None
        self.send_failures = {"ENETUNREACH": 2}

    async def open_packets(self, bind: Address, receive: ReceivePacket) -> PacketEndpoint:
        self.receive = receive
        return self

    async def listen(self, bind: Address, serve: ServeStream) -> Listener:
        return self

    async def dial(self, to: Address, *, timeout_ms: int) -> Stream:
        raise TransportError("nobody there")

    def send(self, packet: bytes, to: Address) -> None:
        self.sent.append((packet, to))

    def close(self) -> None: ...

    async def aclose(self) -> None: ...

    def deliver(self, packet: bytes) -> None:
        self.receive(packet, PEER)

    def sent_pings(self) -> list[Ping]:
        messages = [decode_message(part) for packet, _ in self.sent for part in split_packet(packet)[0]]
        return [message for message in messages if isinstance(message, Ping)]


class Bench:
    """One membership in virtual time, whose process can be made to stand still: then the clock goes on alone."""

    def __init__(self, on_event: Callable[[GossipEvent], None] = lambda event: None) -> None:
        self.stood_still_ms = 0
        self.transport = HandTransport()
        self.membership = SwimMembership(
            MembershipContext(
                node_name="own",
                bind=OWN,
                advertise=OWN,
                tags={},
                transport=self.transport,
                cipher=None,
                on_event=on_event,
                now_ms=self.now_ms,
                now_us=lambda: self.now_ms() * 1000,
                rng=random.Random(1),
            ),
            SwimConfig(),
        )

    def now_ms(self) -> int:
        return virtual_now_ms() + self.stood_still_ms

    async def start_with_peer(self) -> None:
        await self.membership.start()
        self.transport.deliver(alive("peer"))
        await asyncio.sleep(0)

    async def until_pinged(self, but_not: int = 0) -> Ping:
        """The next ping of the peer, other than the one of this number."""
        while True:
            for ping in self.transport.sent_pings():
                if ping.sequence > but_not:
                    return ping
            await asyncio.sleep(0.001)

    def stat(self, name: str) -> str:
        return self.membership.stats().get(name, "0")


def test_an_answer_that_came_during_a_standstill_is_taken_before_the_probe_is_given_up() -> None:
    async def program() -> None:
        bench = Bench()
        await bench.start_with_peer()
        ping = await bench.until_pinged()
        bench.stood_still_ms += STANDSTILL_MS
        for number in range(200):  # more than one turn of the loop reads from a socket
            bench.transport.deliver(Suspect(0, f"stranger-{number}", "m").encode())
        bench.transport.deliver(Ack(ping.sequence).encode())
        await bench.until_pinged(but_not=ping.sequence)
        assert bench.stat("standstills") == "1"
        assert bench.stat("probes_failed") == "0"
        assert bench.stat("health_score") == "0"
        await bench.membership.aclose()

    run_virtual(program())


def test_a_refutation_that_came_during_a_standstill_saves_the_suspect() -> None:
    async def program() -> None:
        bench = Bench()
        await bench.start_with_peer()
        bench.transport.deliver(Suspect(1, "peer", "m").encode())
        await asyncio.sleep(0.5)
        bench.stood_still_ms += 600_000
        for number in range(200):
            bench.transport.deliver(Suspect(0, f"stranger-{number}", "m").encode())
        bench.transport.deliver(alive("peer", incarnation=2))
        await asyncio.sleep(0.1)
        assert {member.name: member.status for member in bench.membership.members()}["peer"] is MemberStatus.ALIVE
        assert bench.stat("suspicions_expired") == "0"
        await bench.membership.aclose()

    run_virtual(program())


def test_after_a_standstill_without_an_answer_the_peer_is_suspected_as_ever() -> None:
    async def program() -> None:
        bench = Bench()
        await bench.start_with_peer()
        await bench.until_pinged()
        bench.stood_still_ms += STANDSTILL_MS
        await asyncio.sleep(2)
        assert bench.stat("probes_failed") == "1"
        await bench.membership.aclose()

    run_virtual(program())


def test_the_way_is_not_measured_by_an_answer_that_had_to_wait() -> None:
    async def program() -> None:
        bench = Bench()
        await bench.start_with_peer()
        ping = await bench.until_pinged()
        before = bench.membership.coordinate()
        bench.stood_still_ms += STANDSTILL_MS
        bench.transport.deliver(Ack(ping.sequence, COORDINATE).encode())
        ping = await bench.until_pinged(but_not=ping.sequence)
        assert bench.membership.coordinate() == before
        bench.transport.deliver(Ack(ping.sequence, COORDINATE).encode())
        await bench.until_pinged(but_not=ping.sequence)
        assert bench.membership.coordinate() != before
        await bench.membership.aclose()

    run_virtual(program())


def test_a_handler_that_blocks_costs_nobody_its_good_name() -> None:
    bench: Bench

    def block(event: GossipEvent) -> None:
        bench.stood_still_ms += 3_000

    async def program() -> None:
        nonlocal bench
        bench = Bench(block)
        await bench.start_with_peer()
        ping = await bench.until_pinged()
        for number in range(5):
            bench.transport.deliver(alive(f"n{number}"))
        bench.transport.deliver(Ack(ping.sequence).encode())
        await asyncio.sleep(0.01)
        assert bench.stat("probes_failed") == "0"
        await bench.membership.aclose()

    run_virtual(program())


def test_a_ping_is_answered_before_the_gossip_that_waits() -> None:
    async def program() -> None:
        bench = Bench()
        await bench.start_with_peer()
        for number in range(3_000):
            bench.transport.deliver(Suspect(0, f"stranger-{number}", "m").encode())
        bench.transport.deliver(Ping(7, "own", PEER, "peer").encode())
        bench.transport.sent.clear()
        while not bench.transport.sent:
            await asyncio.sleep(0)
        first = decode_message(split_packet(bench.transport.sent[0][0])[0][0])
        assert isinstance(first, Ack)
        assert first.sequence == 7
        await bench.membership.aclose()

    run_virtual(program())


def test_a_fault_in_one_effect_takes_no_other_along() -> None:
    events: list[GossipEvent] = []

    async def program() -> None:
        bench = Bench(events.append)
        await bench.start_with_peer()

        def fail(packet: bytes, to: Address) -> None:
            raise RuntimeError("a fault of the transport's")

        bench.transport.send = fail  # type: ignore[method-assign]
        bench.transport.deliver(join_messages([Ping(7, "own", PEER, "peer").encode(), alive("n")]))
        await asyncio.sleep(0.01)
        assert [event.member.name for event in events if isinstance(event, MemberEvent)] == ["own", "peer", "n"]
        assert bench.stat("step_faults") == "1"
        await bench.membership.aclose()

    run_virtual(program())


def test_what_the_transport_could_not_send_is_told() -> None:
    async def program() -> None:
        bench = Bench()
        await bench.start_with_peer()
        assert bench.stat("send_failures_ENETUNREACH") == "2"
        await bench.membership.aclose()

    run_virtual(program())


async def test_an_end_under_load_leaves_no_task_and_no_socket() -> None:
    tasks, files = asyncio.all_tasks(), open_files()
    transport = TcpTransport()
    members = [real_member(transport, number) for number in range(6)]
    for member in members:
        await member.start()
    addresses = [member.local_member.address for member in members]
    joins = [asyncio.create_task(joined(member, addresses)) for member in members for _ in range(4)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        for number in range(3_000):
            flood.sendto(Suspect(number, "a0", "m").encode(), addresses[number % len(addresses)])
        await asyncio.sleep(0)
        await asyncio.gather(*(member.aclose() for member in members))
    assert all(isinstance(outcome, int | MembershipError) for outcome in await asyncio.gather(*joins))
    await transport.aclose()
    assert asyncio.all_tasks() == tasks
    assert open_files() == files


def open_files() -> set[Path]:
    return set(Path("/proc/self/fd").iterdir())


def real_member(transport: TcpTransport, number: int) -> SwimMembership:
    loop = asyncio.get_running_loop()
    return SwimMembership(
        MembershipContext(
            node_name=f"a{number}",
            bind=Address("127.0.0.1", 0),
            advertise=Address("127.0.0.1", 0),
            tags={},
            transport=transport,
            cipher=None,
            on_event=lambda event: None,
            now_ms=lambda: round(loop.time() * 1000),
            rng=random.Random(number),
        ),
        SwimConfig(profile="local"),
    )


async def joined(member: SwimMembership, addresses: list[Address]) -> Any:
    try:
        return await member.join(addresses)
    except MembershipError as error:
        return error
