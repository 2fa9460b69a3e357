"""The asyncio side: real sockets, ciphers, labels, strangers at the door."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from consul_kernel.contracts.cipher import Cipher
from consul_kernel.contracts.errors import MembershipError, PluginStartError
from consul_kernel.contracts.membership import (
    AcceptMember,
    GossipEvent,
    Member,
    Membership,
    MembershipContext,
    MemberStatus,
    UserEvent,
)
from consul_kernel.contracts.transport import Address
from consul_kernel.testing.membership_world import FAST_TUNING, KeyedCipher
from consul_kernel_swim import SwimConfig, SwimMembership, consul_kernel_register_membership
from consul_kernel_swim.config import settle
from consul_kernel_swim.core.messages import Alive, NodeState, RemoteNode
from consul_kernel_swim.core.settings import PROFILES, PROTOCOL_VERSIONS
from consul_kernel_swim.core.streams import PushPull, StreamDecoder, UserStream
from consul_kernel_swim.core.tags import encode_tags
from consul_kernel_tcp.transport import TcpTransport

HOST = "127.0.0.1"


class Agent:
    def __init__(self, membership: SwimMembership, transport: TcpTransport, events: list[GossipEvent]) -> None:
        self.membership = membership
        self.transport = transport
        self.events = events

    @property
    def address(self) -> Address:
        return self.membership.local_member.address

    def names(self) -> set[str]:
        return {member.name for member in self.membership.members()}


@asynccontextmanager
async def running(
    name: str,
    *,
    cipher: Cipher | None = None,
    accept: AcceptMember | None = None,
    config: SwimConfig | None = None,
    on_event: Callable[[GossipEvent], None] | None = None,
    host: str = HOST,
) -> AsyncIterator[Agent]:
    events: list[GossipEvent] = []
    transport = TcpTransport()
    membership = SwimMembership(
        MembershipContext(
            node_name=name,
            bind=Address(host, 0),
            advertise=Address(host, 0),
            tags={},
            transport=transport,
            cipher=cipher,
            on_event=on_event or events.append,
            now_ms=lambda: time.monotonic_ns() // 1_000_000,
            rng=random.Random(name),
            accept=accept,
            tuning=FAST_TUNING,
        ),
        config or SwimConfig(profile="local"),
    )
    await membership.start()
    try:
        yield Agent(membership, transport, events)
    finally:
        await membership.aclose()
        await transport.aclose()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def exchange(agent: Agent, data: bytes) -> bytes:
    """What comes back over a stream until the agent closes it."""
    stream = await agent.transport.dial(agent.address, timeout_ms=2000)
    try:
        stream.write(data)
        await stream.drain()
        received = b""
        async with asyncio.timeout(5):
            while piece := await stream.read(65_536):
                received += piece
        return received
    finally:
        stream.close()


async def test_plugin_describes_itself() -> None:
    plugin = consul_kernel_register_membership()
    assert (plugin.name, plugin.config_type) == ("swim", SwimConfig)


async def test_two_agents_on_real_sockets_with_cipher_and_label() -> None:
    config = SwimConfig(profile="local", label="blue")
    key = KeyedCipher(b"k")
    async with running("a", cipher=key, config=config) as a, running("b", cipher=key, config=config) as b:
        assert await a.membership.join([b.address]) == 1
        await until(lambda: a.names() == b.names() == {"a", "b"})
        await a.membership.send_user_event("hello", b"\0")
        await until(lambda: any(isinstance(event, UserEvent) for event in b.events))
        assert b.membership.stats()["encrypted"] == "true"
        assert "packets_refused" not in a.membership.stats()
        async with running("c", cipher=key) as c:
            with pytest.raises(MembershipError):
                await c.membership.join([a.address])
            assert int(a.membership.stats()["streams_refused"]) == 1


async def test_agents_meet_on_ipv6() -> None:
    async with running("a", host="::1") as a, running("b", host="::1") as b:
        assert await b.membership.join([a.address]) == 1
        await until(lambda: a.names() == b.names() == {"a", "b"})
        assert {member.address.host for member in a.membership.members()} == {"::1"}
        await a.membership.send_user_event("hello", b"")
        await until(lambda: any(isinstance(event, UserEvent) for event in b.events))


async def test_check_that_raises_refuses(caplog: pytest.LogCaptureFixture) -> None:
    def check(member: Member) -> str | None:
        raise RuntimeError("a fault in the check")

    async with running("a", accept=check) as a, running("b") as b:
        await b.membership.join([a.address])
        await until(lambda: "members_refused" in a.membership.stats())
        assert a.names() == {"a"}
    assert "a fault in the check" in caplog.text


async def test_plain_packets_are_refused_and_counted_where_a_cipher_is_set() -> None:
    async with running("a", cipher=KeyedCipher(b"k")) as a:
        endpoint = await a.transport.open_packets(Address(HOST, 0), lambda packet, source: None)
        endpoint.send(Alive(1, "x", b"\x7f\0\0\1", 1, encode_tags({}), PROTOCOL_VERSIONS).encode(), a.address)
        await until(lambda: a.membership.stats().get("packets_refused") == "1")
        assert a.names() == {"a"}


async def test_sealed_stream_at_an_agent_without_cipher_is_told_why() -> None:
    async with running("a") as a:
        reply = await exchange(a, b"\x0a\0\0\0\x05hello")
        assert b"encryption is not configured" in reply


async def test_state_of_hundreds_of_members_passes_compressed_or_not() -> None:
    nodes = tuple(
        RemoteNode(
            NodeState.ALIVE,
            Alive(
                1, f"node-{number}", b"\x7f\0\0\2", 1000 + number, encode_tags({"n": str(number)}), PROTOCOL_VERSIONS
            ),
        )
        for number in range(900)
    )
    for compress in (False, True):
        async with running("a", config=SwimConfig(profile="local", compress_streams=compress)) as a:
            data = PushPull(nodes, b"", False).encode()
            assert len(data) > 65_536
            await exchange(a, data)
            await until(lambda: len(a.names()) == 901)
            reply = StreamDecoder().feed(await exchange(a, PushPull((), b"", False).encode()))
            assert isinstance(reply, PushPull)
            assert len(reply.nodes) == 901


async def test_user_message_over_a_stream_arrives() -> None:
    async with running("a") as a:
        body = b"\x03\x84\xa2CC\xc2\xa5LTime\x1e\xa4Name\xa8over-tcp\xa7Payload\xa1x"
        assert await exchange(a, UserStream(body).encode()) == b""
        await until(lambda: UserEvent("over-tcp", b"x", 30) in a.events)


async def test_garbage_on_streams_and_packets_stops_nothing() -> None:
    rng = random.Random(5)
    async with running("a") as a, running("b") as b:
        endpoint = await a.transport.open_packets(Address(HOST, 0), lambda packet, source: None)
        for _ in range(200):
            endpoint.send(bytes((rng.randrange(16),)) + rng.randbytes(rng.randrange(80)), a.address)
        for kind in (*range(16), 244, 255):
            stream = await a.transport.dial(a.address, timeout_ms=2000)
            stream.write(bytes((kind,)) + rng.randbytes(rng.randrange(300)))
            stream.close_write()
            async with asyncio.timeout(5):
                while await stream.read(65_536):
                    continue
            stream.close()
        assert await b.membership.join([a.address]) == 1
        await until(lambda: {"a", "b"} <= a.names())
        assert "step_faults" not in a.membership.stats()


async def test_stream_that_says_nothing_is_ended_in_time() -> None:
    async with running("a", config=SwimConfig(profile="local", tcp_timeout_ms=100)) as a:
        assert await exchange(a, b"") == b""
        assert a.membership.stats()["streams_broken"] == "1"


async def test_streams_beyond_128_are_closed(caplog: pytest.LogCaptureFixture) -> None:
    async with running("a", config=SwimConfig(profile="local", tcp_timeout_ms=5000)) as a:
        held = [await a.transport.dial(a.address, timeout_ms=2000) for _ in range(128)]
        assert await exchange(a, b"") == b""
        assert a.membership.stats()["streams_over_limit"] == "1"
        for stream in held:
            stream.close()
    assert "128 streams are served already, 128 of them from this host" in caplog.text


async def test_host_with_most_streams_makes_room_for_others() -> None:
    async with running("a", config=SwimConfig(profile="local", tcp_timeout_ms=60_000)) as a, running("b") as b:
        to = (a.address.host, a.address.port)
        held = [await asyncio.open_connection(*to, local_addr=("127.0.0.66", 0)) for _ in range(130)]
        await until(lambda: a.membership.stats().get("streams_over_limit") == "2")
        async with asyncio.timeout(5):
            assert await b.membership.join([a.address]) == 1
            assert await held[0][0].read() == b""
        assert not held[1][0].at_eof()
        assert a.membership.stats()["streams_over_limit"] == "3"
        for _, writer in held:
            writer.close()


async def test_application_that_raises_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def explode(event: object) -> None:
        raise RuntimeError("a fault of the application")

    async with running("a", on_event=explode) as a, running("b") as b:
        assert await b.membership.join([a.address]) == 1
        await until(lambda: a.names() == {"a", "b"})
    assert "a fault of the application" in caplog.text


async def test_transport_at_fault_ends_the_join_that_it_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(to: Address, *, timeout_ms: int) -> object:
        raise RuntimeError("a fault of the transport's own")

    async with running("a") as a:
        monkeypatch.setattr(a.transport, "dial", broken)
        async with asyncio.timeout(5):
            with pytest.raises(MembershipError, match="a fault of the transport's own"):
                await a.membership.join([Address(HOST, 7301)])
    assert "exchange with 127.0.0.1:7301" in caplog.text


async def test_refusal_is_logged_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="consul_kernel.swim"):
        async with running("a", accept=lambda member: f"Member '{member.name}' is a stranger") as a, running("b") as b:
            for _ in range(2):
                await b.membership.join([a.address])
            await until(lambda: int(a.membership.stats().get("members_refused", "0")) >= 2)
            assert a.names() == {"a"}
    assert caplog.text.count("member refused: Member 'b' is a stranger") == 1


async def test_commands_end_when_the_membership_is_closed() -> None:
    async with running("a") as a:
        waiting = asyncio.create_task(a.membership.join([Address("127.0.0.1", 1), a.address]))
        await a.membership.aclose()
        with pytest.raises(MembershipError):
            await waiting
        with pytest.raises(MembershipError, match="closed"):
            await a.membership.leave()
        with pytest.raises(PluginStartError):
            await a.membership.start()


async def test_nothing_works_before_the_start() -> None:
    context = MembershipContext(
        node_name="a",
        bind=Address(HOST, 0),
        advertise=Address(HOST, 0),
        tags={"too": "x" * 600},
        transport=TcpTransport(),
        cipher=None,
        on_event=lambda event: None,
        now_ms=lambda: 0,
        rng=random.Random(1),
    )
    membership = SwimMembership(context, SwimConfig())
    assert isinstance(membership, Membership)
    assert membership.members() == ()
    assert membership.local_member.status is MemberStatus.NONE
    with pytest.raises(MembershipError, match="not been started"):
        await membership.leave()
    with pytest.raises(PluginStartError, match="512"):
        await membership.start()


# --- configuration ---


def test_profile_then_consuls_tuning_then_the_block() -> None:
    tuning = {"gossip_interval": 77, "probe_interval": 88, "later_key": 1}
    settings = settle(SwimConfig(probe_interval_ms=99, profile="local"), "lan", tuning, 5, 29)
    assert settings.gossip_interval_ms == 77
    assert settings.probe_interval_ms == 99
    assert settings.tcp_timeout_ms == PROFILES["local"].tcp_timeout_ms
    assert (settings.reconnect_timeout_ms, settings.sealed_overhead_bytes) == (5, 29)


def test_wan_pool_has_its_own_profile() -> None:
    settings = settle(SwimConfig(probe_interval_ms=99), "wan", {"gossip_interval": 400}, 5, 0)
    assert settings.probe_interval_ms == 5000
    assert settings.gossip_interval_ms == 400
    assert settle(SwimConfig(profile="local"), "wan", {}, 5, 0).tcp_timeout_ms == 1000


def test_wan_pool_gossips_like_consuls() -> None:
    settings = settle(SwimConfig(), "wan", {}, 5, 0)
    assert (settings.gossip_nodes, settings.retransmit_mult, settings.suspicion_mult) == (3, 4, 6)
    tuned = settle(SwimConfig(), "wan", {"gossip_nodes": 4, "retransmit_mult": 5}, 5, 0)
    assert (tuned.gossip_nodes, tuned.retransmit_mult) == (4, 5)
    assert settle(SwimConfig(profile="wan"), "lan", {}, 5, 0).gossip_nodes == PROFILES["wan"].gossip_nodes == 4


def test_block_refuses_unknown_keys_and_negative_numbers() -> None:
    for block in ({"gossip_interval_msec": 1}, {"gossip_nodes": -1}, {"profile": "moon"}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(block, SwimConfig)
