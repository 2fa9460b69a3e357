"""What gossip costs one member: the codec, packets handled, whole states, and doing nothing.

    python tests/benchmarks/bench_gossip.py [--only codec,core,state,loopback,idle] [--cipher NAME ...]

Prints one line per figure. `core` hands packets to the protocol core; `loopback` has another process send them to a
real member through the `tcp` transport, plain and sealed by every installed cipher unless some are named, and counts
the member's CPU. Beside this file, `bench_ciphers.py` measures the ciphers alone, `bench_pool.py` many members.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import socket
import sys
import time
import timeit
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import uvloop

from consul_kernel.contracts.cipher import Cipher, CipherContext
from consul_kernel.contracts.membership import MembershipContext
from consul_kernel.contracts.plugin import PluginKind
from consul_kernel.contracts.transport import Address
from consul_kernel.plugins import PluginManager, installed_plugins
from consul_kernel_swim import SwimConfig, SwimMembership
from consul_kernel_swim.core import lzw
from consul_kernel_swim.core.events import PacketReceived, Started
from consul_kernel_swim.core.messages import Ack, Alive, Message, NodeState, Ping, RemoteNode, Suspect, decode_message
from consul_kernel_swim.core.packets import add_checksum, join_messages, split_packet
from consul_kernel_swim.core.serf_messages import UserEventMessage
from consul_kernel_swim.core.settings import PROTOCOL_VERSIONS, Settings
from consul_kernel_swim.core.streams import PushPull, StreamDecoder
from consul_kernel_swim.core.swim import Swim
from consul_kernel_swim.core.tags import encode_tags
from consul_kernel_tcp.transport import TcpTransport

sys.path.insert(0, str(Path(__file__).parents[1]))

from plugins.membership.swim.core_pair import Pair

OWN = Address("127.0.0.1", 7946)
PEER = Address("127.0.0.2", 7946)
PACKET_BYTES = 1400
KEY = bytes(range(32))
PINGS = 40_000
WINDOW = 16
"""Pings under way at a time: more is served in one turn of the loop, and costs less each."""
META = encode_tags({"role": "consul", "dc": "dc1", "id": "d83b4a05-60b9-33fb-517c-762ccde66f9c", "vsn": "2"})


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def alive(number: int, incarnation: int = 1) -> Alive:
    host = bytes((10, number >> 16 & 255, number >> 8 & 255, number & 255))
    return Alive(incarnation, f"node-{number}", host, 8301, META, PROTOCOL_VERSIONS)


def full_packet(message: Callable[[int], bytes]) -> bytes:
    """A compound as long as a packet may be, checksum included."""
    parts: list[bytes] = []
    while len(add_checksum(join_messages([*parts, message(len(parts))]))) <= PACKET_BYTES:
        parts.append(message(len(parts)))
    return add_checksum(join_messages(parts))


def microseconds(action: Callable[[], object], number: int = 5_000) -> float:
    """The best of several rounds: what the machine does besides only adds."""
    return min(timeit.repeat(action, number=number, repeat=7)) / number * 1e6


def read_packet(packet: bytes) -> list[Message]:
    return [decode_message(part) for part in split_packet(packet)[0]]


def write_packet(messages: Sequence[Message]) -> bytes:
    return add_checksum(join_messages([message.encode() for message in messages]))


def bench_codec() -> None:
    kinds: dict[str, Callable[[int], bytes]] = {
        "alives": lambda n: alive(n).encode(),
        "suspicions": lambda n: Suspect(1, f"node-{n}", f"node-{n + 1}").encode(),
        "pings": lambda n: Ping(n, f"node-{n}", PEER, "node-1").encode(),
    }
    for name, make in kinds.items():
        packet = full_packet(make)
        messages = read_packet(packet)
        write, read = microseconds(partial(write_packet, messages)), microseconds(partial(read_packet, packet))
        say(f"{f'full packet of {len(messages)} {name}':<48} {write:6.1f} µs to write {read:6.1f} µs to read")


def make_cipher(name: str) -> Cipher:
    plugin = PluginManager().load(PluginKind.CIPHER, name)
    cipher: Cipher = plugin.create(CipherContext(encrypt=KEY), plugin.config_type())
    return cipher


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


def bench_digests() -> None:
    """What two members take together that compare digests, and what they send, beside an exchange of whole states."""
    for members in (100, 10_000):
        pair = Pair()
        pair.meet()
        pair.tell(alive(number) for number in range(members))
        pair.compare_by_digests()
        for differing in (0, 1, 100):
            pair.a.receive(*(alive(number, 2 + differing) for number in range(differing)))
            for name, exchange in (("digests", pair.compare_by_digests), ("whole states", pair.exchange_all)):
                pair.sent_bytes = 0
                start = time.process_time()
                exchange()
                took = time.process_time() - start
                text = f"{name} of {members} members, {differing if name == 'digests' else 0} differ"
                say(f"{text:<48} {took * 1e3:10.2f} ms {pair.sent_bytes:>12,} bytes")


def make_member(transport: TcpTransport, number: int, cipher: Cipher | None = None) -> SwimMembership:
    context = MembershipContext(
        node_name=f"a{number}",
        bind=Address("127.0.0.1", 0),
        advertise=Address("127.0.0.1", 0),
        tags={},
        transport=transport,
        cipher=cipher,
        on_event=lambda event: None,
        now_ms=lambda: time.monotonic_ns() // 1_000_000,
        rng=random.Random(number),
    )
    return SwimMembership(context, SwimConfig())


def ping_all_the_time(port: int, cipher_name: str | None) -> None:
    """Keep WINDOW pings under way until PINGS have been answered."""
    cipher = None if cipher_name is None else make_cipher(cipher_name)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.2)
        source = Address("127.0.0.1", sock.getsockname()[1])
        pings = [Ping(number, "a0", source, "peer").encode() for number in range(1000)]
        packets = pings if cipher is None else [cipher.seal(ping) for ping in pings]
        sent = answered = 0
        while answered < PINGS:
            while sent - answered < WINDOW:
                sock.sendto(packets[sent % len(packets)], ("127.0.0.1", port))
                sent += 1
            try:
                sock.recv(65_536)
                answered += 1
            except TimeoutError:
                sent = answered  # some were lost


async def bench_loopback(cipher_name: str | None) -> None:
    transport = TcpTransport()
    member = make_member(transport, 0, None if cipher_name is None else make_cipher(cipher_name))
    await member.start()
    port = member.local_member.address.port
    peer = multiprocessing.get_context("spawn").Process(target=ping_all_the_time, args=(port, cipher_name))
    peer.start()
    start = time.process_time()
    await asyncio.to_thread(peer.join)
    used = time.process_time() - start
    say(f"{f'ping answered over loopback, cipher {cipher_name}':<48} {used / PINGS * 1e6:6.1f} µs of CPU")
    await member.aclose()
    await transport.aclose()


async def bench_idle(agents: int, seconds: float) -> None:
    transport = TcpTransport()
    pool = [make_member(transport, number) for number in range(agents)]
    for member in pool:
        await member.start()
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


def main() -> None:
    """Measure what was asked for."""
    sections = ("codec", "core", "state", "loopback", "idle")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(sections), help="sections, separated by commas")
    parser.add_argument("--cipher", action="append", help="a cipher by its name; may be given many times")
    arguments = parser.parse_args()
    only = arguments.only.split(",")
    if unknown := set(only) - set(sections):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    ciphers = arguments.cipher or [found.name for found in installed_plugins() if found.kind is PluginKind.CIPHER]
    if "codec" in only:
        bench_codec()
    if "core" in only:
        bench_core()
    if "state" in only:
        bench_push_pull()
        bench_digests()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if "loopback" in only:
            for name in (None, *ciphers):
                runner.run(bench_loopback(name))
        if "idle" in only:
            runner.run(bench_idle(agents=10, seconds=20))


if __name__ == "__main__":
    main()
