"""A served interface with a fake agent, and a raw client that hides nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from consul_kernel.contracts.interface import InterfaceContext
from consul_kernel.contracts.transport import Address
from consul_kernel.structs.settings import DnsSettings, HttpSettings, LimitSettings
from consul_kernel.testing.fake_agent import FakeAgent
from consul_kernel.testing.interface_kit import bound_address
from consul_kernel_http import HttpConfig, HttpInterface


@dataclass(frozen=True, slots=True)
class Got:
    """An answer, octet by octet."""

    status: int
    headers: dict[str, str]
    """With the names as they were sent."""
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        assert self.headers.get("Content-Type") == "application/json", self
        return json.loads(self.body)


async def read_answer(reader: asyncio.StreamReader, *, method: str = "GET") -> Got:
    """Read one answer from a connection."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode("latin-1")
    status_line, *lines = head.rstrip("\r\n").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    length = int(headers.get("Content-Length", -1))
    if method == "HEAD":
        body = b""
    elif length >= 0:
        body = await asyncio.wait_for(reader.readexactly(length), 10)
    else:
        body = await asyncio.wait_for(reader.read(), 10)
    return Got(int(status_line.split(" ", 2)[1]), headers, body)


class Site:
    """A running interface."""

    def __init__(self, agent: FakeAgent, interface: HttpInterface) -> None:
        self.agent = agent
        self.interface = interface
        self.address: Address = bound_address(interface)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A raw connection."""
        return await asyncio.open_connection(self.address.host, self.address.port)

    async def send(
        self, method: str, target: str, body: bytes | str | dict[str, Any] | None = None, **headers: str
    ) -> Got:
        """One request on a connection of its own; the target is sent as it is."""
        reader, writer = await self.connect()
        if isinstance(body, dict):
            body = json.dumps(body)
        octets = body.encode() if isinstance(body, str) else body or b""
        lines = [f"{method} {target} HTTP/1.1", "Host: test", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(octets)}")
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + octets)
            return await read_answer(reader, method=method)
        finally:
            writer.close()

    async def get(self, target: str, **headers: str) -> Got:
        return await self.send("GET", target, **headers)

    async def put(self, target: str, body: bytes | str | dict[str, Any] | None = b"", **headers: str) -> Got:
        return await self.send("PUT", target, body, **headers)


Serve = Callable[..., Awaitable[Site]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Makes sites, with other settings where a test needs them; all are closed afterwards."""
    interfaces: list[HttpInterface] = []

    async def make(
        *,
        http: HttpSettings | None = None,
        limits: LimitSettings | None = None,
        config: HttpConfig | None = None,
    ) -> Site:
        agent = FakeAgent()
        context = InterfaceContext(
            agent=agent,
            bind=[Address("127.0.0.1", 0)],
            dns=DnsSettings(),
            http=http or HttpSettings(),
            limits=limits or LimitSettings(),
        )
        interface = HttpInterface(context, config or HttpConfig())
        interfaces.append(interface)
        await interface.start()
        return Site(agent, interface)

    yield make
    for interface in interfaces:
        await interface.aclose()


@pytest.fixture
async def site(serve: Serve) -> Site:
    """A site with default settings."""
    return await serve()
