"""Answers that are kept as they were, for `?cached` where there is nothing to wait for.

How old one may be is for the asker to say (`Cache-Control`: `max-age`, `must-revalidate`, `stale-if-error`). (Consul:
features/caching, simple caching.)
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from consul_kernel.contracts.errors import ConsulKernelError
from consul_kernel.structs.query import QueryOptions

MAX_KEPT = 256
"""Beyond, the one that was not used for the longest time is dropped."""
IDLE_S = 600.0
"""What nobody has asked for so long is dropped."""
_NS_PER_S = 1e9


@dataclass(slots=True)
class _Kept:
    reply: Any
    made_s: float
    used_s: float


class KeptAnswers:
    """The kept answers of one interface."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    async def read(
        self, key: bytes, request: QueryOptions, fetch: Callable[[], Awaitable[Any]]
    ) -> tuple[Any, float | None]:
        """The answer, and its age in seconds, or None for one that was just fetched."""
        now_s = asyncio.get_running_loop().time()
        kept = self._find(key, now_s)
        age_s = now_s - kept.made_s if kept is not None else 0.0
        if kept is not None and not request.must_revalidate and not 0 < request.max_age / _NS_PER_S < age_s:
            return kept.reply, age_s
        try:
            reply = await fetch()
        except ConsulKernelError:
            if kept is not None and age_s < request.stale_if_error / _NS_PER_S:
                return kept.reply, age_s
            raise
        self._kept[key] = _Kept(reply, now_s, now_s)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return reply, None

    def _find(self, key: bytes, now_s: float) -> _Kept | None:
        kept = self._kept.get(key)
        if kept is None or now_s - kept.used_s > IDLE_S:
            return None
        kept.used_s = now_s
        self._kept.move_to_end(key)
        return kept
