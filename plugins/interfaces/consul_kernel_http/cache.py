"""Answers that are kept up to date in the background, for `?cached` (Consul: features/caching, background refresh).

The first read of a kind is a miss and is answered as usual; from then on a blocking query of our own keeps its answer
current, and further reads take it from here without asking a server. `Cache-Control` does not apply, as in Consul:
the answer is as fresh as a blocking query sees it, and `Age` says for how long that query has been failing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import Any, TypeVar

import msgspec

from consul_kernel.contracts.errors import ConsulKernelError
from consul_kernel.contracts.interface import AgentApi
from consul_kernel.contracts.metrics import NO_METRICS, Metrics
from consul_kernel.structs.methods import Method
from consul_kernel.structs.query import QueryMeta, QueryOptions

from .cache_meters import CacheMeters

logger = logging.getLogger(__name__)

RequestT = TypeVar("RequestT", bound=QueryOptions)
ReplyT = TypeVar("ReplyT", bound=QueryMeta)

MAX_ENTRIES = 256
"""Beyond, the one that was not used for the longest time is dropped."""
IDLE_S = 600.0
"""What nobody has asked for so long is dropped."""

_POLL_NS = 60 * 1_000_000_000
_PAUSE_S = 0.01
"""Between two refreshes: what changes more often is fetched less often than it changes."""
_PAUSE_UNCHANGED_S = 1.0
"""After an answer that brought nothing new: a server need not block, and must not be asked without end."""
_FIRST_RETRY_S = 0.25
_LONGEST_RETRY_S = 30.0

_key_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class Entry:
    """One answer and the task that keeps it current."""

    def __init__(self, reply: Any, now_s: float) -> None:
        self.reply = reply
        self.used_s = now_s
        self.lost_contact_s: float | None = None
        self.refresher: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def put(self, reply: Any) -> None:
        """Take a newer answer and wake whoever waits for it."""
        self.reply = reply
        self.lost_contact_s = None
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait_beyond(self, index: int, timeout_s: float) -> None:
        """Wait until the answer's index is another one, or the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.reply.index == index:
                    await self._changed.wait()
        except TimeoutError:
            pass


class ReadCache:
    """The cached answers of one interface."""

    def __init__(self, agent: AgentApi, metrics: Metrics = NO_METRICS) -> None:
        self._agent = agent
        self._meters = CacheMeters(metrics, lambda: len(self._entries))
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()

    async def read(self, method: Method[RequestT, ReplyT], request: RequestT) -> tuple[ReplyT, float | None]:
        """The answer, and its age in seconds, or None for an answer that was just fetched."""
        key = cache_key(method, request)
        now_s = asyncio.get_running_loop().time()
        entry = self._entries.get(key)
        if entry is None:
            self._meters.asked(method.name, "miss_new")
            reply = await self._agent.call(method, plain_request(request))
            self._keep(key, method, request, reply)
            return reply, None
        entry.used_s = now_s
        self._entries.move_to_end(key)
        has_to_wait = bool(request.min_query_index) and request.min_query_index == entry.reply.index
        self._meters.asked(method.name, "miss_block" if has_to_wait else "hit")
        if has_to_wait:
            await entry.wait_beyond(request.min_query_index, request.max_query_time / 1e9)
        found: ReplyT = entry.reply
        return found, now_s - entry.lost_contact_s if entry.lost_contact_s is not None else 0.0

    def close(self) -> None:
        """Stop refreshing."""
        for entry in self._entries.values():
            if entry.refresher is not None:
                entry.refresher.cancel()
        self._entries.clear()

    def _keep(self, key: bytes, method: Method[RequestT, ReplyT], request: RequestT, reply: ReplyT) -> None:
        if key in self._entries:  # a second miss at the same time
            return
        loop = asyncio.get_running_loop()
        entry = self._entries[key] = Entry(reply, loop.time())
        entry.refresher = loop.create_task(self._refresh(key, entry, method, request))
        while len(self._entries) > MAX_ENTRIES:
            _, oldest = self._entries.popitem(last=False)
            if oldest.refresher is not None:
                oldest.refresher.cancel()

    async def _refresh(self, key: bytes, entry: Entry, method: Method[RequestT, ReplyT], request: RequestT) -> None:
        loop = asyncio.get_running_loop()
        retry_s = _FIRST_RETRY_S
        while loop.time() - entry.used_s < IDLE_S:
            watching = plain_request(request)
            watching.min_query_index = max(entry.reply.index, 1)
            watching.max_query_time = _POLL_NS
            try:
                reply = await self._agent.call(method, watching)
                self._meters.asked(method.name, "fetch_success")
                pause_s = _PAUSE_UNCHANGED_S if reply.index == entry.reply.index else _PAUSE_S
                entry.put(reply)
                retry_s = _FIRST_RETRY_S
                await asyncio.sleep(pause_s)
            except ConsulKernelError as error:
                self._meters.asked(method.name, "fetch_error")
                logger.debug("cannot refresh a cached %s: %s", method.name, error)
                entry.lost_contact_s = entry.lost_contact_s or loop.time()
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
            except Exception:  # a fault is no reason to keep an answer that nobody refreshes
                logger.exception("refreshing a cached %s failed", method.name)
                break
        if self._entries.get(key) is entry:
            del self._entries[key]
            self._meters.expired.add()


def plain_request(request: RequestT) -> RequestT:
    """The request without what says how to wait for it and how old it may be."""
    return msgspec.structs.replace(
        request,
        min_query_index=0,
        max_query_time=0,
        use_cache=False,
        max_age=0,
        must_revalidate=False,
        stale_if_error=0,
    )


def cache_key(method: Method[RequestT, ReplyT], request: RequestT) -> bytes:
    """What is the same for two requests that have the same answer."""
    return method.name.encode() + b"\0" + _key_encode(plain_request(request))
