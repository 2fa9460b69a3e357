"""Somebody who wants to fill the memory: one valid kind of message after the other, each of them news."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import count

from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.messages import Alive, Dead, IndirectPing, NodeState, Ping, RemoteNode, Suspect
from consul_kernel_swim.core.query_messages import QueryResponse
from consul_kernel_swim.core.serf_messages import JoinIntent, LeaveIntent, SerfState, UserEventMessage
from consul_kernel_swim.core.settings import PROTOCOL_VERSIONS
from consul_kernel_swim.core.streams import PushPull
from consul_kernel_swim.core.tags import encode_tags
from consul_kernel_swim.core.wire import pack

from .gossip_corpus import PEER

Campaign = Callable[[random.Random], Iterator[bytes]]

_HOST = b"\x0a\0\0\2"
_META = encode_tags({"role": "node"})
_BIG = 60_000


def _alive(incarnation: int, name: str) -> bytes:
    return Alive(incarnation, name, _HOST, 8301, _META, PROTOCOL_VERSIONS).encode()


def _user(serf: bytes) -> bytes:
    return b"\x08" + serf


def events_of_one_time(rng: random.Random) -> Iterator[bytes]:
    """Every event under one Lamport time, each as long as a packet can be."""
    for number in count():
        yield _user(UserEventMessage(7, f"e{number}", rng.randbytes(_BIG)).encode())


def events_of_all_times(rng: random.Random) -> Iterator[bytes]:
    """A full ring."""
    for number in count(1):
        yield _user(UserEventMessage(number // 4, f"e{number}", rng.randbytes(_BIG)).encode())


def suspicions_that_come_and_go(rng: random.Random) -> Iterator[bytes]:
    """Every suspicion has a timer."""
    yield _alive(1, "n")
    for incarnation in count(2):
        yield Suspect(incarnation - 1, "n", f"accuser-{incarnation}").encode()
        yield Suspect(incarnation - 1, "n", f"second-{incarnation}").encode()
        yield _alive(incarnation, "n")


def long_names(rng: random.Random) -> Iterator[bytes]:
    """Names that no member has, wherever a message takes one."""
    for number in count():
        name = f"{number}" + "x" * (_BIG - 100)
        member = f"n{number}"
        yield _alive(1, member)
        yield Suspect(1, member, name).encode()
        yield Dead(1, name, name).encode()
        yield Ping(number, "own", PEER, name).encode()
        yield _user(JoinIntent(number, name).encode())
        yield _user(UserEventMessage(number, name, b"").encode())


def pruned_members(rng: random.Random) -> Iterator[bytes]:
    """Leaving members that are to be pruned: each is so after a while."""
    yield _alive(1, "n")
    for number in count(2):
        yield _user(LeaveIntent(number, "n", prune=True).encode())


def strangers_intents(rng: random.Random) -> Iterator[bytes]:
    """Intents about members that nobody knows."""
    for number in count(1):
        yield _user(LeaveIntent(number, f"nobody-{number}", prune=True).encode())


def new_members(rng: random.Random) -> Iterator[bytes]:
    """More members than there is room for, some of them dead."""
    for number in count():
        yield _alive(1, f"m{number}")
        yield Dead(1, f"m{number - rng.randrange(100)}", "n").encode()


def requests_for_help(rng: random.Random) -> Iterator[bytes]:
    """Indirect pings, each remembered until it is over."""
    for number in count():
        target = Address(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 8301)
        yield IndirectPing(number, f"n{number}", target, True, PEER, "peer").encode()


def questions(rng: random.Random) -> Iterator[bytes]:
    """Queries that want an acknowledgement, and answers to questions that nobody asked."""
    for number in count(1):
        query = {
            "Addr": _HOST,
            "Filters": [],
            "Flags": 1,
            "ID": number,
            "LTime": number // 300,
            "Name": rng.choice(("_serf_conflict", "_serf_ping", "q")),
            "Payload": rng.randbytes(1_000),
            "Port": 8301,
            "RelayFactor": 255,
            "SourceNode": "n",
            "Timeout": 10**12,
        }
        yield _user(b"\x04" + pack(query))
        yield _user(QueryResponse(number // 300, number, f"n{number}", 0, rng.randbytes(1_000)).encode())


PACKET_CAMPAIGNS: tuple[Campaign, ...] = (
    events_of_one_time,
    events_of_all_times,
    suspicions_that_come_and_go,
    long_names,
    pruned_members,
    strangers_intents,
    new_members,
    requests_for_help,
    questions,
)


def large_states(rng: random.Random) -> Iterator[bytes]:
    """Whole states full of strangers, of events and of times."""
    for number in count(1):
        nodes = tuple(
            RemoteNode(
                rng.choice(tuple(NodeState)), Alive(number, f"m{number}-{n}", _HOST, 8301, _META, PROTOCOL_VERSIONS)
            )
            for n in range(200)
        )
        times = {f"s{number}-{n}": number for n in range(500)}
        left = [f"l{number}-{n}" for n in range(500)]
        events = {number * 10 + n: [("e", rng.randbytes(20_000))] for n in range(10)}
        state = SerfState(number, number, number, times, left, events).encode()
        yield PushPull(nodes, state, rng.random() < 0.5).encode()


STREAM_CAMPAIGNS: tuple[Campaign, ...] = (large_states,)
