"""Who waits for what: blocking queries wake only when something that they read has changed.

A topic is a kind and a key: one key of the KV store, one service, one node, one whole table. A query waits on
the narrowest topics that cover what it read; applying a batch collects the topics it touched and wakes them once,
after the batch is complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from consul_kernel.contracts.errors import RequestError

Topic = tuple[str, bytes]
"""Kind and key. Topics of kind KEY_PREFIX are only waited for; those of kind KEY wake them."""

KEY = "kv"
KEY_PREFIX = "kv.prefix"
NODE = "node"
"""A node's record or its set of services, by lower-cased name."""
SERVICE = "service"
"""The instances of a service and the records of their nodes, by lower-cased name."""
SERVICE_HEALTH = "service.health"
"""As SERVICE, and all checks of the instances and of their nodes."""
NODE_CHECKS = "checks.node"
SERVICE_CHECKS = "checks.service"
CHECK_STATUS = "checks.status"
COORDINATES_OF_NODE = "coordinates.node"
SESSION = "session"
"""One session, by lower-cased id."""
NODE_SESSIONS = "session.node"
"""Which sessions a node has, by its lower-cased name."""
QUERY = "query"
"""One prepared query, by lower-cased id."""
CONFIG_ENTRY = "config"
"""One configuration entry, by its key."""
CONFIG_KIND = "config.kind"
"""The configuration entries of a kind."""
TABLE = "table"
"""Anything in a table, by the table's name."""

MAX_WATCHES = 65536


class WatchLimitError(RequestError):
    """So many queries are blocked that another cannot be."""


class Watch:
    """One wait for any of some topics. It is registered from its making until `wait` ends or `close`."""

    __slots__ = ("_future", "_topics", "_watches")

    def __init__(self, watches: Watches, topics: Iterable[Topic]) -> None:
        self._watches = watches
        self._topics = tuple(topics)
        self._future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        watches.add(self._future, self._topics)

    async def wait(self, timeout_s: float) -> bool:
        """Wait for a touch; False when the time ran out. To be awaited once."""
        timer = self._future.get_loop().call_later(timeout_s, _expire, self._future)
        try:
            return await self._future
        finally:
            timer.cancel()
            self.close()

    def close(self) -> None:
        """Wait no more. Idempotent."""
        self._watches.remove(self._future, self._topics)
        self._topics = ()


def _expire(future: asyncio.Future[bool]) -> None:
    if not future.done():
        future.set_result(False)


class Watches:
    """All waits of one server's state. Touching a topic costs one lookup, whoever waits elsewhere.

    Waits on key prefixes are found by cutting the touched key at each length that any waited-for prefix has,
    so the cost is the number of different lengths, not of waits.
    """

    def __init__(self, *, max_watches: int = MAX_WATCHES) -> None:
        self.epoch = 0
        """Counts replacements of the whole state."""
        self._max_watches = max_watches
        self._waits: dict[Topic, set[asyncio.Future[bool]]] = {}
        self._prefix_lengths: dict[int, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def watch(self, topics: Iterable[Topic]) -> Watch:
        """Register a wait. WatchLimitError when `max_watches` are registered."""
        if self._count >= self._max_watches:
            raise WatchLimitError("Too many blocking queries")
        return Watch(self, topics)

    def add(self, future: asyncio.Future[bool], topics: tuple[Topic, ...]) -> None:
        """Register a future; `Watch` does it."""
        self._count += 1
        for topic in topics:
            waits = self._waits.get(topic)
            if waits is None:
                self._waits[topic] = {future}
                if topic[0] == KEY_PREFIX:
                    length = len(topic[1])
                    self._prefix_lengths[length] = self._prefix_lengths.get(length, 0) + 1
            else:
                waits.add(future)

    def remove(self, future: asyncio.Future[bool], topics: tuple[Topic, ...]) -> None:
        """Forget a future; `Watch` does it."""
        if topics:
            self._count -= 1
        for topic in topics:
            waits = self._waits.get(topic)
            if waits is not None:
                waits.discard(future)
                if not waits:
                    self._drop(topic)

    def wake(self, touched: Iterable[Topic]) -> None:
        """End the waits on these topics, and on prefixes of touched keys."""
        if not self._waits:
            return
        for topic in touched:
            self._wake_topic(topic)
            if topic[0] == KEY and self._prefix_lengths:
                key = topic[1]
                for length in tuple(self._prefix_lengths):
                    if length <= len(key):
                        self._wake_topic((KEY_PREFIX, key[:length]))

    def wake_all(self) -> None:
        """End every wait: the state was replaced."""
        self.epoch += 1
        for topic in tuple(self._waits):
            self._wake_topic(topic)

    def _wake_topic(self, topic: Topic) -> None:
        waits = self._waits.get(topic)
        if waits is None:
            return
        self._drop(topic)
        for future in waits:
            if not future.done():
                future.set_result(True)

    def _drop(self, topic: Topic) -> None:
        del self._waits[topic]
        if topic[0] == KEY_PREFIX:
            length = len(topic[1])
            left = self._prefix_lengths[length] - 1
            if left:
                self._prefix_lengths[length] = left
            else:
                del self._prefix_lengths[length]
