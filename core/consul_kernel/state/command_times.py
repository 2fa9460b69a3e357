"""How long commands take to be applied, under the names of Consul's `fsm` metrics (docs/agent/telemetry)."""

from __future__ import annotations

from consul_kernel.contracts.metrics import Labels, Metrics, Sample
from consul_kernel.structs.config_entry import ConfigEntryRequest

_NAMES = {
    0: "fsm.register",
    1: "fsm.deregister",
    2: "fsm.kvs",
    3: "fsm.session",
    5: "fsm.tombstone",
    7: "fsm.prepared-query",
    8: "fsm.txn",
    9: "fsm.autopilot",
    22: "fsm.config_entry",
    6 | 0x80: "fsm.coordinate.batch-update",
}
"""By the number of the command's type (`commands.CommandType`)."""
_WITH_OPERATION = frozenset({2, 3, 5, 7, 22})
_MAX_SAMPLES = 64
"""Operations and kinds come from the log, which only this project's servers write; more are not told apart."""


class CommandTimes:
    """Adds each command to the sample of its type and operation."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._samples: dict[tuple[int, str, str], Sample] = {}

    def applied(self, kind: int, request: object, taken_ms: float) -> None:
        """A command of a type was applied, or refused."""
        operation = str(getattr(request, "op", "")) if kind in _WITH_OPERATION else ""
        entry_kind = request.entry.kind if isinstance(request, ConfigEntryRequest) else ""
        key = (kind, operation, entry_kind)
        sample = self._samples.get(key)
        if sample is None:
            name = _NAMES.get(kind, "")
            if not name or len(self._samples) >= _MAX_SAMPLES:
                return
            labels: Labels = (("op", operation),) if operation else ()
            sample = self._metrics.sample(f"{name}.{entry_kind}" if entry_kind else name, labels)
            self._samples[key] = sample
        sample.add(taken_ms)
