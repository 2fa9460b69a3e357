"""Debian's `serf` and this membership in one pool: real processes, real sockets, on loopback addresses."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from consul_kernel.contracts.cipher import Cipher
from consul_kernel.contracts.errors import MembershipError
from consul_kernel.contracts.membership import GossipEvent, MembershipContext, MemberStatus, UserEvent
from consul_kernel.contracts.transport import Address
from consul_kernel_aes_gcm.cipher import AesGcmCipher
from consul_kernel_swim import SwimConfig, SwimMembership
from consul_kernel_tcp.transport import TcpTransport

SERF = shutil.which("serf")
pytestmark = pytest.mark.skipif(SERF is None, reason="no `serf` binary on this machine")

HOST = "127.0.0.71"
OUR_HOST = "127.0.0.72"
WAIT_S = 40.0


def free_port(host: str) -> int:
    """A port that is free for streams and for packets."""
    for _ in range(50):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind((host, 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no free port on {host}")


class SerfAgent:
    """A `serf agent` process and its command line."""

    def __init__(self, name: str, log: Path, *options: str) -> None:
        self.name = name
        self.options = options
        self.address = Address(HOST, free_port(HOST))
        self.rpc = f"{HOST}:{free_port(HOST)}"
        self.log = log
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        assert SERF is not None
        with self.log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                SERF,
                "agent",
                f"-node={self.name}",
                f"-bind={self.address}",
                f"-rpc-addr={self.rpc}",
                "-profile=local",
                "-tag=colour=blue",
                "-log-level=debug",
                *self.options,
                stdout=log,
                stderr=log,
            )
        await until(self.answers, lambda: f"serf does not start: {self.tail()}")

    async def command(self, *arguments: str) -> str:
        """Run `serf …` against this agent; its output."""
        assert SERF is not None
        process = await asyncio.create_subprocess_exec(
            SERF,
            arguments[0],
            f"-rpc-addr={self.rpc}",
            *arguments[1:],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return output.decode()

    async def answers(self) -> bool:
        return "members" in await self.command("members", "-format=json")

    async def statuses(self) -> dict[str, str]:
        members = json.loads(await self.command("members", "-format=json"))["members"]
        return {member["name"]: member["status"] for member in members}

    async def tags(self, name: str) -> dict[str, str]:
        members = json.loads(await self.command("members", "-format=json"))["members"]
        found: dict[str, str] = next(member["tags"] for member in members if member["name"] == name)
        return found

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


class OurAgent:
    """This project's membership on a real socket."""

    def __init__(self, name: str, cipher: Cipher | None = None) -> None:
        self.events: list[GossipEvent] = []
        self.transport = TcpTransport()
        self.address = Address(OUR_HOST, free_port(OUR_HOST))
        self.membership = SwimMembership(
            MembershipContext(
                node_name=name,
                bind=self.address,
                advertise=self.address,
                tags={"role": "kernel"},
                transport=self.transport,
                cipher=cipher,
                on_event=self.events.append,
                now_ms=lambda: time.monotonic_ns() // 1_000_000,
                rng=random.Random(72),
            ),
            SwimConfig(profile="local"),
        )

    def status(self, name: str) -> MemberStatus | None:
        return next((member.status for member in self.membership.members() if member.name == name), None)

    def user_events(self) -> list[tuple[str, bytes]]:
        return [(event.name, event.payload) for event in self.events if isinstance(event, UserEvent)]

    async def stop(self) -> None:
        await self.membership.aclose()
        await self.transport.aclose()


async def until(condition: Callable[[], object], describe: Callable[[], str]) -> None:
    """Poll a condition, which may be a coroutine function, until it holds."""
    deadline = time.monotonic() + WAIT_S
    while True:
        outcome = condition()
        if asyncio.iscoroutine(outcome):
            outcome = await outcome
        if outcome:
            return
        if time.monotonic() > deadline:
            raise AssertionError(describe())
        await asyncio.sleep(0.1)


@pytest.fixture
async def serf(tmp_path: Path) -> AsyncIterator[SerfAgent]:
    agent = SerfAgent("go-serf", tmp_path / "serf.log")
    try:
        await agent.start()
        yield agent
    finally:
        await agent.stop()


@pytest.fixture
async def ours() -> AsyncIterator[OurAgent]:
    agent = OurAgent("kernel")
    await agent.membership.start()
    yield agent
    await agent.stop()


async def join(serf: SerfAgent, ours: OurAgent) -> None:
    assert await ours.membership.join([serf.address]) == 1
    await until(lambda: ours.status("go-serf") is MemberStatus.ALIVE, lambda: f"we do not see it: {serf.tail()}")

    async def seen() -> bool:
        return await serf.statuses() == {"go-serf": "alive", "kernel": "alive"}

    await until(seen, lambda: f"serf does not see us: {serf.tail()}")


async def test_members_tags_and_events_pass_both_ways(serf: SerfAgent, ours: OurAgent) -> None:
    await join(serf, ours)
    found = next(member for member in ours.membership.members() if member.name == "go-serf")
    assert dict(found.tags) == {"colour": "blue"}
    assert found.address == serf.address
    assert await serf.tags("kernel") == {"role": "kernel"}

    await ours.membership.set_tags({"role": "kernel", "version": "2"})

    async def retagged() -> bool:
        return await serf.tags("kernel") == {"role": "kernel", "version": "2"}

    await until(retagged, serf.tail)
    await serf.command("tags", "-set", "colour=red")
    await until(lambda: {"colour": "red"} in [dict(member.tags) for member in ours.membership.members()], serf.tail)

    await serf.command("event", "from-go", "payload")
    await until(lambda: ours.user_events() == [("from-go", b"payload")], serf.tail)
    await ours.membership.send_user_event("from-kernel", b"\x00\xff")
    await until(lambda: "user-event: from-kernel" in serf.tail(), serf.tail)
    assert not [line for line in serf.tail().splitlines() if "[ERR]" in line or "[WARN]" in line]


async def test_sealed_gossip_is_framed_as_memberlists(tmp_path: Path) -> None:
    key = bytes(range(32))
    serf = SerfAgent("go-serf", tmp_path / "serf.log", f"-encrypt={base64.b64encode(key).decode()}")
    ours, outsider = OurAgent("kernel", AesGcmCipher([key])), OurAgent("outsider")
    try:
        await serf.start()
        await ours.membership.start()
        await outsider.membership.start()
        await join(serf, ours)
        await serf.command("event", "from-go", "payload")
        await until(lambda: ours.user_events() == [("from-go", b"payload")], serf.tail)
        await ours.membership.send_user_event("from-kernel", b"")
        await until(lambda: "user-event: from-kernel" in serf.tail(), serf.tail)
        with pytest.raises(MembershipError):
            await outsider.membership.join([serf.address])
        assert "packets_refused" not in ours.membership.stats()
    finally:
        await outsider.stop()
        await ours.stop()
        await serf.stop()


async def test_serf_joins_us_and_reaches_us(serf: SerfAgent, ours: OurAgent) -> None:
    await serf.command("join", str(ours.address))
    await until(lambda: ours.status("go-serf") is MemberStatus.ALIVE, serf.tail)
    # `reachability` sends the query `_serf_ping` and counts who acknowledges it.
    answer = await serf.command("reachability")
    assert "2 of 2" in answer or "Successfully contacted all live nodes" in answer, answer


async def test_a_leave_is_left_for_both(serf: SerfAgent, ours: OurAgent) -> None:
    await join(serf, ours)
    await ours.membership.leave()

    async def left() -> bool:
        return (await serf.statuses())["kernel"] == "left"

    await until(left, serf.tail)


async def test_serfs_leave_is_left_for_us(serf: SerfAgent, ours: OurAgent) -> None:
    await join(serf, ours)
    await serf.command("leave")
    await until(lambda: ours.status("go-serf") is MemberStatus.LEFT, serf.tail)


async def test_a_killed_agent_is_failed_for_both(serf: SerfAgent, ours: OurAgent, tmp_path: Path) -> None:
    await join(serf, ours)
    second = SerfAgent("go-second", tmp_path / "second.log")
    try:
        await second.start()
        await second.command("join", str(ours.address))
        await until(lambda: ours.status("go-second") is MemberStatus.ALIVE, second.tail)
    finally:
        await second.stop()
    await until(lambda: ours.status("go-second") is MemberStatus.FAILED, serf.tail)
    await ours.membership.force_leave("go-second")
    await until(lambda: ours.status("go-second") is MemberStatus.LEFT, serf.tail)

    async def forced_there() -> bool:
        return (await serf.statuses()).get("go-second") == "left"

    await until(forced_there, serf.tail)
    await ours.stop()

    async def failed() -> bool:
        return (await serf.statuses())["kernel"] == "failed"

    await until(failed, serf.tail)
