"""Debian's `serf agent` as a process, and this membership beside it: real sockets on loopback addresses."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

from consul_kernel.contracts.cipher import Cipher
from consul_kernel.contracts.membership import GossipEvent, MembershipContext, MemberStatus, UserEvent
from consul_kernel.contracts.membership_capabilities import AnswerQuery
from consul_kernel.contracts.transport import Address
from consul_kernel_swim import SwimConfig, SwimMembership
from consul_kernel_tcp.transport import TcpTransport

SERF = shutil.which("serf")
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

    def said(self) -> str:
        """All of its log."""
        return self.log.read_text(errors="replace")

    def tail(self) -> str:
        return self.said()[-3000:]

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


class OurAgent:
    """This project's membership on a real socket."""

    def __init__(
        self,
        name: str,
        cipher: Cipher | None = None,
        *,
        tags: dict[str, str] | None = None,
        answer_query: AnswerQuery | None = None,
        address: Address | None = None,
        push_pull_interval_ms: int = 0,
    ) -> None:
        self.name = name
        self.cipher = cipher
        self.events: list[GossipEvent] = []
        self.transport = TcpTransport()
        self.address = address or Address(OUR_HOST, free_port(OUR_HOST))
        self.membership = SwimMembership(
            MembershipContext(
                node_name=name,
                bind=self.address,
                advertise=self.address,
                tags=tags or {"role": "kernel"},
                transport=self.transport,
                cipher=cipher,
                on_event=self.events.append,
                now_ms=lambda: time.monotonic_ns() // 1_000_000,
                now_us=lambda: time.monotonic_ns() // 1_000,
                rng=random.Random(name),
                answer_query=answer_query,
            ),
            SwimConfig(profile="local", push_pull_interval_ms=push_pull_interval_ms),
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


async def join(serf: SerfAgent, ours: OurAgent) -> None:
    assert await ours.membership.join([serf.address]) == 1
    await until(lambda: ours.status("go-serf") is MemberStatus.ALIVE, lambda: f"we do not see it: {serf.tail()}")

    async def seen() -> bool:
        return await serf.statuses() == {"go-serf": "alive", "kernel": "alive"}

    await until(seen, lambda: f"serf does not see us: {serf.tail()}")
