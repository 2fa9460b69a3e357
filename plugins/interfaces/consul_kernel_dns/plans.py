"""Questions that were understood before, and what their last answer was made of."""

from __future__ import annotations

from collections.abc import Sequence

from consul_kernel.structs.health import CheckServiceNode
from consul_kernel.structs.node import Node

from .naming import Meaning, NodeRead, ServiceRead
from .pool import Pool
from .query import Query

Found = Sequence[CheckServiceNode] | Node | None
"""What a read of the catalog gave."""

_MAX_GROUPS_KEPT = 50_000


class Plan:
    """How to answer one question, asked in one way.

    `pool` was made from `found`: as long as the catalog says the same again, it need not be made anew.
    """

    __slots__ = ("found", "meaning", "pool", "query", "read", "weight")

    def __init__(self, query: Query, meaning: Meaning, read: ServiceRead | NodeRead | None) -> None:
        self.query = query
        self.meaning = meaning
        self.read = read
        self.found: Found = None
        self.pool: Pool | None = None
        self.weight = 0


class PlanCache:
    """Plans by the bytes of their query after the id. When full, the oldest goes.

    Bounded in two ways: by the number of questions and, as services may be large, by the groups in their pools.
    """

    def __init__(self, max_plans: int) -> None:
        self._max_plans = max_plans
        self._plans: dict[tuple[bytes, bool], Plan] = {}
        self._groups_kept = 0

    def __len__(self) -> int:
        return len(self._plans)

    def get(self, body: bytes, is_tcp: bool) -> Plan | None:
        return self._plans.get((body, is_tcp))

    def put(self, body: bytes, plan: Plan) -> None:
        """Keep a new plan."""
        while len(self._plans) >= self._max_plans:
            self._drop_oldest()
        self._plans[body, plan.query.is_tcp] = plan

    def keep_pool(self, plan: Plan, found: Found, pool: Pool | None) -> None:
        """Remember what a plan's answer is made of, unless that is larger than all that may be kept."""
        weight = 0 if pool is None else len(pool.groups) + len(pool.aliases)
        if weight > _MAX_GROUPS_KEPT // 4:
            return
        self._groups_kept += weight - plan.weight
        plan.found, plan.pool, plan.weight = found, pool, weight
        while self._groups_kept > _MAX_GROUPS_KEPT and self._plans:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = next(iter(self._plans))
        dropped = self._plans.pop(oldest)
        self._groups_kept -= dropped.weight
        dropped.weight = 0
        dropped.found = dropped.pool = None
