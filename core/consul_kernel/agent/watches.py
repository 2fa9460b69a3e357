"""The watches of the agent file: they ask this agent's own HTTP API, as any client would, and call their handlers.

(Consul: documentation of watches; agent reloadWatches.)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from consul_kernel.structs.watch import WatchDefinition
from consul_kernel.watching.plan import Plan
from consul_kernel.watching.progress import Progress
from consul_kernel.watching.results import encode_result

from .watch_handlers import make_handler

logger = logging.getLogger(__name__)

WAIT_MS = 300_000
ANSWER_TIMEOUT_S = 360.0
"""For a wait, what the servers lengthen it by, and the way."""
MAX_RESULT_BYTES = 64 * 1024 * 1024
"""A larger answer is not taken, but told in the log and asked for again, later and later."""
_GOOD = (200, 404)

Addresses = Callable[[], Sequence[str]]
"""Where the HTTP API is served: `127.0.0.1:8500 (tcp)`, `/run/consul.sock (unix)`."""


class Watches:
    """The watches that run, one task each."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._running: list[tuple[WatchDefinition, asyncio.Task[None]]] = []
        self._ending: set[asyncio.Task[None]] = set()

    def follow(self, wanted: Sequence[WatchDefinition]) -> None:
        """Start what is new, stop what is not wanted any more, and leave alone what is as it was."""
        before, self._running = self._running, []
        for watch in wanted:
            known = next((pair for pair in before if pair[0] == watch), None)
            if known is not None:
                before.remove(known)
                self._running.append(known)
            else:
                work = watch_for_ever(watch, self._addresses)
                self._running.append((watch, asyncio.create_task(work, name=f"watch {watch.type}")))
        for _, task in before:
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def __len__(self) -> int:
        return len(self._running)

    async def aclose(self) -> None:
        """Stop all of them, and the handlers that run."""
        self.follow(())
        await asyncio.gather(*self._ending, return_exceptions=True)


async def watch_for_ever(watch: WatchDefinition, addresses: Addresses) -> None:
    """One watch. While its handler runs nothing is asked; what changes meanwhile is seen after that, once."""
    plan, progress, handle = Plan(watch), Progress(watch.type), make_handler(watch)
    while True:
        try:
            index, result = await _ask(watch, plan, progress.index, addresses)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            retry_s = progress.failed()
            logger.error("watch of type %s failed, trying again in %g s: %s", watch.type, retry_s, error or "timeout")
            await asyncio.sleep(retry_s)
            continue
        is_news, news = progress.take(index, result)
        if not is_news:
            continue
        try:
            await handle(index, encode_result(news))
        except Exception:
            logger.exception("the handler of a watch of type %s failed", watch.type)


async def _ask(watch: WatchDefinition, plan: Plan, index: int, addresses: Addresses) -> tuple[int, object]:
    connector, origin = _connector(addresses())
    query = plan.query(index, WAIT_MS)
    query += [("dc", watch.datacenter)] if watch.datacenter else []
    query += [("stale", "")] if watch.stale else []
    url = URL(f"{origin}{quote(plan.path)}?{urlencode(query)}", encoded=True)
    headers = {"X-Consul-Token": watch.token} if watch.token else {}
    timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        session.get(url, headers=headers) as response,
    ):
        body = bytearray()
        async for piece in response.content.iter_chunked(65536):
            body += piece
            if len(body) > MAX_RESULT_BYTES:
                raise ValueError(f"the answer is larger than {MAX_RESULT_BYTES} bytes")
        if response.status not in _GOOD:
            raise ValueError(f"Unexpected response code: {response.status} ({body[:200].decode('utf-8', 'replace')})")
        told = response.headers.get("X-Consul-Index", "")
        return int(told) if told.isdigit() else 0, plan.read(response.status, bytes(body))


def _connector(addresses: Sequence[str]) -> tuple[aiohttp.BaseConnector, str]:
    """How to reach the first of the addresses, and the URL that stands for it. ValueError where there is none."""
    for address in addresses:
        place, _, kind = address.rpartition(" ")
        if kind == "(unix)":
            return aiohttp.UnixConnector(path=place, force_close=True), "http://localhost"
        if kind == "(tcp)":
            host, _, port = place.rpartition(":")
            host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
            return aiohttp.TCPConnector(force_close=True), f"http://{host}:{port}"
    raise ValueError("the HTTP API is not served")
