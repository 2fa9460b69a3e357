"""How many gossip packets one core handles in a second, and what an idle agent costs.

    python tests/benchmarks/bench_gossip.py

Prints one line per figure; all of it runs in one process without network, except the idle agents, which are real
ones on loopback sockets.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable

from consul_kernel.contracts.membership import MembershipContext
from consul_kernel.contracts.transport import Address
from consul_kernel_swim import SwimConfig, SwimMembership
from consul_kernel_swim.core import lzw
from consul_kernel_swim.core.events import PacketReceived, Started
from consul_kernel_swim.core.messages import Ack, Alive, NodeState, Ping, RemoteNode, Suspect
from consul_kernel_swim.core.packets import join_messages
from consul_kernel_swim.core.serf_messages import UserEventMessage
from consul_kernel_swim.core.settings import PROTOCOL_VERSIONS, Settings
from consul_kernel_swim.core.streams import PushPull, StreamDecoder
from consul_kernel_swim.core.swim import Swim
from consul_kernel_swim.core.tags import encode_tags
from consul_kernel_tcp.transport import TcpTransport

OWN = Address("127.0.0.1", 7946)
PEER = Address("127.0.0.2", 7946)
META = encode_tags({"role": "consul", "dc": "dc1", "id": "d83b4a05-60b9-33fb-517c-762ccde66f9c", "vsn": "2"})


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def alive(number: int, incarnation: int = 1) -> Alive:
    host = bytes((10, number >> 16 & 255, number >> 8 & 255, number & 255))
    return Alive(incarnation, f"node-{number}", host, 8301, META, PROTOCOL_VERSIONS)


def make_core(members: int) -> Swim:
    swim = Swim("own", OWN, {}, Settings(), random.Random(1))
    swim.step(Started(), 0)
    for number in range(members):
        swim.step(PacketReceived(alive(number).encode(), PEER), 0)
    return swim


def rate(name: str, packets: list[bytes], swim: Swim) -> None:
    """Steps per second over packets that are made before."""
    events = [PacketReceived(packet, PEER) for packet in packets]
    start = time.perf_counter()
    for now_ms, event in enumerate(events):
        swim.step(event, 10 + now_ms // 50)
    took = time.perf_counter() - start
    say(f"{name:<48} {len(events) / took:>10,.0f} packets/s  {took / len(events) * 1e6:6.1f} µs each")


def bench_core() -> None:
    count = 20_000
    for members in (10, 1000):
        label = f"({members} members)"
        rate(f"ping answered {label}", [Ping(n, "own", PEER, "p").encode() for n in range(count)], make_core(members))
        rate(f"stray ack {label}", [Ack(n).encode() for n in range(count)], make_core(members))
        known = [join_messages([alive(n % members).encode() for n in range(k, k + 4)]) for k in range(count)]
        rate(f"compound of 4 known alives {label}", known, make_core(members))
        news = [alive(n % members, 2 + n // members).encode() for n in range(count)]
        rate(f"alive with news, queued {label}", news, make_core(members))
        rumours = [Suspect(1, f"node-{n % members}", f"node-{(n + 1) % members}").encode() for n in range(count)]
        rate(f"suspect {label}", rumours, make_core(members))
        events = [b"\x08" + UserEventMessage(n + 1, "deploy", bytes(50)).encode() for n in range(count)]
        rate(f"user event, delivered and queued {label}", events, make_core(members))


def bench_push_pull() -> None:
    nodes = tuple(RemoteNode(NodeState.ALIVE, alive(number)) for number in range(1000))
    plain = PushPull(nodes, b"", False).encode()
    compressed = lzw.compress(plain)

    def timed(name: str, action: Callable[[], object]) -> None:
        start = time.perf_counter()
        action()
        say(f"{name:<48} {(time.perf_counter() - start) * 1e3:10.1f} ms")

    say(f"push/pull of 1000 members: {len(plain):,} bytes, {len(compressed):,} compressed")
    timed("encode", PushPull(nodes, b"", False).encode)
    timed("decode", lambda: StreamDecoder().feed(plain))
    timed("LZW write", lambda: lzw.compress(plain))
    timed("LZW read", lambda: lzw.decompress(compressed, 1 << 24))


async def bench_idle(agents: int, seconds: float) -> None:
    transport = TcpTransport()
    pool = []
    for number in range(agents):
        context = MembershipContext(
            node_name=f"a{number}",
            bind=Address("127.0.0.1", 0),
            advertise=Address("127.0.0.1", 0),
            tags={},
            transport=transport,
            cipher=None,
            on_event=lambda event: None,
            now_ms=lambda: time.monotonic_ns() // 1_000_000,
            rng=random.Random(number),
        )
        pool.append(SwimMembership(context, SwimConfig()))
        await pool[-1].start()
    for member in pool[1:]:
        await member.join([pool[0].local_member.address])
    while any(len(member.members()) < agents for member in pool):
        await asyncio.sleep(0.1)
    await asyncio.sleep(5)
    start = time.process_time()
    await asyncio.sleep(seconds)
    share = (time.process_time() - start) / seconds / agents
    say(f"{f'idle agent, profile lan, pool of {agents}':<48} {share * 100:10.3f} % of a core")
    for member in pool:
        await member.aclose()
    await transport.aclose()


if __name__ == "__main__":
    bench_core()
    bench_push_pull()
    asyncio.run(bench_idle(agents=10, seconds=20))
