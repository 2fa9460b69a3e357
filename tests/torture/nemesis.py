"""When what is broken, and whether all becomes well again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.waiting import ConditionTimeoutError

from .faults import FAULTS, Fault
from .servers import Servers

QUIET_S = (1.0, 3.0)
SECOND_FAULT_SHARE = 0.2
"""How often another fault strikes while one lasts."""
RECOVERY_S = 60.0
"""Within this time after a repair all servers know one leader, have a vote, and take writes."""


@dataclass(slots=True)
class Strike:
    """One fault that struck. Times are of the monotonic clock."""

    name: str
    what: str
    begun_s: float
    repaired_s: float = 0.0
    well_s: float = 0.0


@dataclass(slots=True)
class Chronicle:
    """Every fault, and what did not recover."""

    strikes: list[Strike] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Nemesis:
    """Every fault once in each round, in random order; between them all must become well."""

    def __init__(self, servers: Servers, names: Sequence[str], rng: random.Random, tell: Callable[[str], None]) -> None:
        self._servers = servers
        self._names = list(names)
        self._rng = rng
        self._tell = tell
        self._round: list[str] = []
        self.chronicle = Chronicle()

    def run(self, seconds: float) -> None:
        """Until the time is up, or something does not recover."""
        end_s = time.monotonic() + seconds
        if not self._names:
            time.sleep(seconds)
        while time.monotonic() < end_s and not self.chronicle.failures:
            self._wait(QUIET_S)
            strikes: list[Strike] = []
            faults: list[Fault] = []
            self._strike(strikes, faults)
            if self._rng.random() < SECOND_FAULT_SHARE:
                self._wait(faults[0].lasts_s)
                self._strike(strikes, faults)
            self._wait(faults[-1].lasts_s)
            for fault in faults:
                fault.repair()
            self._await_recovery(strikes)
        self._wait(QUIET_S)

    def _strike(self, strikes: list[Strike], faults: list[Fault]) -> None:
        if not self._round:
            self._round = self._rng.sample(self._names, len(self._names))
        name = self._round.pop()
        fault = FAULTS[name](self._servers, self._rng)
        begun_s = time.monotonic()
        what = fault.strike()
        self._tell(what)
        faults.append(fault)
        strikes.append(Strike(name, what, begun_s))
        self.chronicle.strikes.append(strikes[-1])

    def _await_recovery(self, strikes: Sequence[Strike]) -> None:
        repaired_s = time.monotonic()
        for strike in strikes:
            strike.repaired_s = repaired_s
        try:
            took_s = self._servers.wait_until_well(RECOVERY_S)
        except ConditionTimeoutError as error:
            self.chronicle.failures.append(f"{'; '.join(strike.what for strike in strikes)}: {error}")
            self._tell(f"NOT WELL: {error}")
            return
        for strike in strikes:
            strike.well_s = repaired_s + took_s
        self._tell(f"repaired; well after {took_s:.1f} s")

    def _wait(self, bounds_s: tuple[float, float]) -> None:
        time.sleep(self._rng.uniform(*bounds_s))
