"""What tests of event streams share: a client that reads events, and reads that wait for what a test changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from consul_kernel.structs.methods import Method
from consul_kernel.structs.query import QueryMeta, QueryOptions

if TYPE_CHECKING:
    from plugins.interfaces.http.conftest import Site


@dataclass(frozen=True, slots=True)
class Event:
    """One event; without a name it has only moved the index on, or was a comment."""

    name: str
    id: int | None
    data: Any
    comment: str | None = None


class Events:
    """The events of one answer, in order."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> Event:
        """The next event or comment."""
        async with asyncio.timeout(10):
            lines = (await self.response.content.readuntil(b"\n\n")).decode().rstrip("\n").split("\n")
        fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
        comment = next((line[1:].strip() for line in lines if line.startswith(":")), None)
        data = json.loads(fields["data"]) if "data" in fields else None
        return Event(fields.get("event", ""), int(fields["id"]) if "id" in fields else None, data, comment)

    async def rest(self) -> bytes:
        """Whatever comes until the end."""
        async with asyncio.timeout(10):
            return await self.response.content.read()


@asynccontextmanager
async def listening(address: object, target: str, **headers: str) -> AsyncIterator[Events]:
    """A stream that is open."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{address}{target}", headers={"Accept": "text/event-stream", **named}) as response,
    ):
        yield Events(response)


class Source:
    """Answers a method as a server does: at once, or when the index is beyond the one that was asked with."""

    def __init__(self, site: Site, method: Method[Any, Any], reply: Callable[[int], QueryMeta]) -> None:
        self._reply = reply
        self._changed = asyncio.Event()
        self.index = 5
        self.waiting = 0
        self.asked: list[int] = []
        site.agent.answer(method, self._answer)

    def change(self, reply: Callable[[int], QueryMeta] | None = None, *, index: int = 0) -> None:
        """Answer so from now on."""
        self._reply = reply or self._reply
        self.index = index or self.index + 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def _answer(self, request: QueryOptions) -> QueryMeta:
        self.asked.append(request.min_query_index)
        self.waiting += 1
        try:
            while request.min_query_index and request.min_query_index == self.index:
                await self._changed.wait()
        finally:
            self.waiting -= 1
        return self._reply(self.index)
