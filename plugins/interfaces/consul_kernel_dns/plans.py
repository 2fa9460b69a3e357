"""Questions that were understood before, and what their last answer was made of."""

from __future__ import annotations

from .material import Material
from .naming import Meaning, NodeRead, ServiceRead
from .query import Query

_MAX_WEIGHT_KEPT = 50_000


class Plan:
    """How to answer one question, asked in one way.

    `material` is of use as long as the catalog says the same as when it was made.
    """

    __slots__ = ("is_kept", "material", "meaning", "query", "read")

    def __init__(self, query: Query, meaning: Meaning, read: ServiceRead | NodeRead | None) -> None:
        self.query = query
        self.meaning = meaning
        self.read = read
        self.material: Material | None = None
        self.is_kept = False


class PlanCache:
    """Plans by the bytes of their query after the id. When full, the oldest goes.

    Bounded in two ways: by the number of questions and, as services may be large, by the instances and messages
    of their materials.
    """

    def __init__(self, max_plans: int) -> None:
        self._max_plans = max_plans
        self._plans: dict[tuple[bytes, bool], Plan] = {}
        self.weight = 0
        """Instances and messages that are kept."""

    def __len__(self) -> int:
        return len(self._plans)

    def get(self, body: bytes, is_tcp: bool) -> Plan | None:
        """The plan for a query, if it is known."""
        return self._plans.get((body, is_tcp))

    def put(self, body: bytes, plan: Plan) -> None:
        """Keep a new plan."""
        while len(self._plans) >= self._max_plans:
            self._drop_oldest()
        plan.is_kept = True
        self._plans[body, plan.query.is_tcp] = plan

    def keep_material(self, plan: Plan, material: Material) -> None:
        """Remember what a plan's answer is made of, unless that is larger than a good part of all that may be kept."""
        if not plan.is_kept:
            return
        self.weight -= 0 if plan.material is None else plan.material.weight
        plan.material = None
        if material.weight > _MAX_WEIGHT_KEPT // 4:
            return
        plan.material = material
        self.weight += material.weight
        while self.weight > _MAX_WEIGHT_KEPT and self._plans:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        dropped = self._plans.pop(next(iter(self._plans)))
        dropped.is_kept = False
        if dropped.material is not None:
            self.weight -= dropped.material.weight
            dropped.material = None
