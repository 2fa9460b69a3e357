"""The asyncio side of queries and keys: real sockets, commands that end, and an application at fault."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from consul_kernel.contracts.errors import MembershipError
from consul_kernel.contracts.membership import Member, MembershipContext, MemberStatus
from consul_kernel.contracts.membership_capabilities import (
    AnswerQuery,
    IncomingQuery,
    KeyOperation,
    KeyringMembership,
    MembershipCapability,
    QueryingMembership,
    QueryRequest,
)
from consul_kernel.contracts.transport import Address
from consul_kernel.testing.membership_world import FAST_TUNING, KeyedCipher
from consul_kernel_swim import SwimConfig, SwimMembership, consul_kernel_register_membership
from consul_kernel_tcp.transport import TcpTransport

HOST = "127.0.0.1"
LOCAL = SwimConfig(profile="local")


@asynccontextmanager
async def running(
    name: str,
    *,
    answer_query: AnswerQuery | None = None,
    cipher: KeyedCipher | None = None,
    config: SwimConfig = LOCAL,
    reconnect_timeout_of: Callable[[Member], int | None] | None = None,
    snapshot_path: Path | None = None,
    verify_incoming: bool = True,
) -> AsyncIterator[SwimMembership]:
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
            answer_query=answer_query,
            reconnect_timeout_of=reconnect_timeout_of,
            snapshot_path=snapshot_path,
            verify_incoming=verify_incoming,
        ),
        config,
    )
    await membership.start()
    try:
        yield membership
    finally:
        await membership.aclose()
        await transport.aclose()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def join(a: SwimMembership, b: SwimMembership) -> None:
    await b.join([a.local_member.address])
    await until(lambda: len(a.members()) == len(b.members()) == 2)


def test_descriptor_names_what_the_membership_has() -> None:
    plugin = consul_kernel_register_membership()
    assert {MembershipCapability.QUERIES, MembershipCapability.KEYRING} <= plugin.capabilities
    assert issubclass(SwimMembership, QueryingMembership)
    assert issubclass(SwimMembership, KeyringMembership)


async def test_query_and_keys_over_real_sockets() -> None:
    old, new = b"o" * 32, b"n" * 32
    ciphers = KeyedCipher(old), KeyedCipher(old)
    async with (
        running("a", cipher=ciphers[0]) as a,
        running("b", cipher=ciphers[1], answer_query=lambda query: query.payload[::-1]) as b,
    ):
        await join(a, b)
        outcome = await a.query(QueryRequest(name="reverse", payload=b"abc", nodes=["b"], request_ack=True))
        assert (outcome.acks, outcome.responses) == (("b",), {"b": b"cba"})
        for operation, key in (
            (KeyOperation.INSTALL, new),
            (KeyOperation.USE, new),
            (KeyOperation.REMOVE, old),
        ):
            assert (await a.operate_keyring(operation, key)).error == ""
        assert [list(cipher.keys()) for cipher in ciphers] == [[new], [new]]
        assert [cipher.refused for cipher in ciphers] == [0, 0]


async def test_application_at_fault_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    def explode(query: IncomingQuery) -> bytes:
        raise RuntimeError("a fault in the answer")

    async with running("a") as a, running("b", answer_query=explode) as b:
        await join(a, b)
        outcome = await a.query(QueryRequest(name="q", timeout_ms=500, request_ack=True))
        assert sorted(outcome.acks) == ["a", "b"]
        assert outcome.responses == {}
        assert "step_faults" not in b.stats()
    assert "answer_query failed for 'q'" in caplog.text
    assert "a fault in the answer" in caplog.text


async def test_timeout_that_cannot_be_asked_for_is_the_pools(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[str] = []

    def explode(member: Member) -> int | None:
        asked.append(member.name)
        raise RuntimeError("a fault in the timeout")

    config = SwimConfig(profile="local", reap_interval_ms=20)
    async with running("a", config=config, reconnect_timeout_of=explode) as a, running("b") as b:
        await join(a, b)
        await b.aclose()
        await until(lambda: "b" in asked)
        assert {member.name: member.status for member in a.members()}["b"] is MemberStatus.FAILED
    assert "reconnect_timeout_of failed for b" in caplog.text


async def test_queries_end_when_the_membership_is_closed_and_when_nobody_waits() -> None:
    async with running("a") as a, running("b") as b:
        await join(a, b)
        waiting = asyncio.create_task(a.query(QueryRequest(name="q", timeout_ms=60_000)))
        given_up = asyncio.create_task(a.query(QueryRequest(name="q", timeout_ms=50)))
        await asyncio.sleep(0)
        given_up.cancel()
        await until(lambda: a.stats()["query_time"] == "3")
        # By its end the one that nobody waits for has ended as well.
        await a.query(QueryRequest(name="q", timeout_ms=100))
        await a.aclose()
        with pytest.raises(MembershipError, match="the membership is closed"):
            await waiting
        with pytest.raises(MembershipError, match="the membership is closed"):
            await a.operate_keyring(KeyOperation.LIST)


async def test_what_cannot_be_asked_says_why() -> None:
    async with running("a") as a:
        with pytest.raises(MembershipError, match="query exceeds limit of 1024 bytes"):
            await a.query(QueryRequest(name="q", payload=bytes(2000)))
        with pytest.raises(MembershipError, match="_serf_"):
            await a.query(QueryRequest(name="_serf_use-key"))
        outcome = await a.operate_keyring(KeyOperation.LIST)
        assert outcome.messages == {"a": "Keyring is empty (encryption not enabled)"}


async def test_ring_stays_as_it_is_while_unsealed_gossip_is_accepted() -> None:
    cipher = KeyedCipher(b"o" * 32)
    async with running("a", cipher=cipher, verify_incoming=False) as a:
        outcome = await a.operate_keyring(KeyOperation.INSTALL, b"n" * 32)
        assert outcome.error == "1/1 nodes reported failure"
        assert list(cipher.keys()) == [b"o" * 32]


async def test_agent_that_gives_its_name_up_stops(caplog: pytest.LogCaptureFixture) -> None:
    """Two agents are named `same`; the third knows the first, so the second, which asks, gives up."""
    asking = SwimConfig(profile="local", resolve_name_conflicts=True)
    async with running("same") as first, running("third") as third, running("same", config=asking) as second:
        await join(first, third)
        with caplog.at_level(logging.ERROR, logger="consul_kernel.swim"):
            await second.join([third.local_member.address])

            async def has_stopped() -> bool:
                try:
                    await second.send_user_event("x", b"")
                except MembershipError:
                    return True
                return False

            async with asyncio.timeout(20):
                while not await has_stopped():
                    await asyncio.sleep(0.05)
        assert "another agent is named 'same': 0 of 1 members know this one by it" in caplog.text
        assert {member.name for member in third.members()} == {"same", "third"}


async def test_coalesced_changes_reach_the_snapshot_at_once(tmp_path: Path) -> None:
    config = SwimConfig(profile="local", coalesce_period_ms=60_000, quiescent_period_ms=60_000)
    path = tmp_path / "local.snapshot"
    async with running("a", config=config, snapshot_path=path) as a, running("b") as b:
        await join(a, b)
        await until(lambda: path.exists() and "alive: b " in path.read_text())
