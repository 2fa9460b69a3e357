"""Agents with another key, or none: both sides are told why they do not meet, and nobody can fill a log."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from consul_kernel.contracts.cipher import Cipher
from consul_kernel.contracts.errors import MembershipError
from consul_kernel.contracts.membership import MembershipContext
from consul_kernel.contracts.transport import Address, Stream
from consul_kernel.testing.membership_world import FAST_TUNING, KeyedCipher
from consul_kernel_swim import SwimConfig, SwimMembership
from consul_kernel_swim.complaints import Complaints
from consul_kernel_tcp.transport import TcpTransport

HOST = "127.0.0.1"


@asynccontextmanager
async def running(name: str, cipher: Cipher | None) -> AsyncIterator[SwimMembership]:
    transport = TcpTransport()
    membership = SwimMembership(
        MembershipContext(
            node_name=name,
            bind=Address(HOST, 0),
            advertise=Address(HOST, 0),
            tags={},
            transport=transport,
            cipher=cipher,
            on_event=lambda event: None,
            now_ms=lambda: time.monotonic_ns() // 1_000_000,
            rng=random.Random(name),
            tuning=FAST_TUNING,
        ),
        SwimConfig(profile="local"),
    )
    await membership.start()
    try:
        yield membership
    finally:
        await membership.aclose()
        await transport.aclose()


@pytest.mark.parametrize(
    ("server", "joiner", "server_says", "joiner_says"),
    [
        pytest.param(b"k", b"j", "not sealed with this key", "the same cipher, and the same key?", id="another key"),
        pytest.param(
            b"k",
            None,
            "Encryption is configured but remote state is not encrypted",
            "Remote state is encrypted and encryption is not configured",
            id="joiner has none",
        ),
        pytest.param(
            None,
            b"j",
            "Remote state is encrypted and encryption is not configured",
            "Encryption is configured but remote state is not encrypted",
            id="server has none",
        ),
    ],
)
async def test_both_sides_say_why_they_do_not_meet(
    server: bytes | None, joiner: bytes | None, server_says: str, joiner_says: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="consul_kernel.swim")
    async with (
        running("a", KeyedCipher(server) if server else None) as a,
        running("b", KeyedCipher(joiner) if joiner else None) as b,
    ):
        for _ in range(3):
            with pytest.raises(MembershipError) as refusal:
                await b.join([a.local_member.address])
        assert joiner_says in str(refusal.value)
        assert len(a.members()) == 1
        assert a.stats()["streams_refused"] == "3"
    told = [record.getMessage() for record in caplog.records if "was refused" in record.getMessage()]
    assert 1 <= len(told) <= 2, "once, or twice where a minute ends between"
    assert told[0].startswith("pool lan: a stream from 127.0.0.1 was refused: ")
    assert server_says in told[0]


async def test_packet_that_no_key_opens_is_told_with_its_sender(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="consul_kernel.swim")
    transport = TcpTransport()
    async with running("a", KeyedCipher(b"k")) as a:
        endpoint = await transport.open_packets(Address(HOST, 0), lambda packet, source: None)
        endpoint.send(b"\x01 a plain packet that is long enough to be taken for a sealed one", a.local_member.address)
        async with asyncio.timeout(5):
            while a.stats().get("packets_refused") != "1":
                await asyncio.sleep(0.01)
        await transport.aclose()
    assert "a packet from 127.0.0.1 was refused: not sealed with this key" in caplog.text


async def test_connection_closed_without_an_answer_suggests_the_reason() -> None:
    async def hang_up(stream: Stream) -> None:
        await stream.read(1)

    transport = TcpTransport()
    listener = await transport.listen(Address(HOST, 0), hang_up)
    try:
        async with running("b", None) as b:
            with pytest.raises(MembershipError, match=r"closed the connection .* the same encryption key\?"):
                await b.join([listener.address])
    finally:
        await transport.aclose()


def test_strangers_cannot_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="consul_kernel.swim")
    complaints = Complaints("lan")
    for number in range(1000):
        complaints.refused("packet", f"10.0.0.{number}", "no key", 0)
    assert len(caplog.records) == 30
    complaints.warn("a member's own warning", 0)
    assert "a member's own warning" in caplog.text
    for _ in range(1000):
        complaints.warn("again", 0)
    assert len(caplog.records) == 60
    assert complaints.suppressed == 970 + 971
    complaints.refused("packet", "10.0.0.1", "no key", 60_000)
    assert len(caplog.records) == 61
