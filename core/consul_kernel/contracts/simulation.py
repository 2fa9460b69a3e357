"""Simulation: whole pools of a plugin's protocol in virtual time, in one process, from a seed.

A plugin of any kind may offer one (`Plugin.simulation`); `consul-kernel simulate NAME` runs it. What simulations are
built of is `consul_kernel.testing.simulation`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Protocol, runtime_checkable

import msgspec

Progress = Callable[[float, str], None]
"""Told now and then how much of a run is done, from 0 to 1, and in a few words what is going on."""


class SimulationOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the records that hold a simulation's options. Each field becomes a flag of the command.

    `probe_interval_ms` is the flag `-probe-interval-ms`; the docstring behind a field is the flag's help. Types are
    int, float, bool and str, within the bounds that a `msgspec.Meta` sets; every field has a default.
    """

    seed: Annotated[int, msgspec.Meta(ge=0)] = 1
    """Where all randomness comes from: the same seed gives the same run."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a summary. Of many runs the median and the largest value are shown."""

    name: str
    value: float
    unit: str = ""


class SimulationReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one run went. `digest` stands for its transcript: equal digests, equal runs.

    `violations` says which invariants were broken, and is empty after a good run. `faults` is what went wrong on
    purpose, in order.
    """

    seed: int
    digest: str
    figures: Sequence[Figure] = ()
    violations: Sequence[str] = ()
    faults: Sequence[str] = ()


@runtime_checkable
class Simulation(Protocol):
    """What a plugin's `simulation` callable returns."""

    @property
    def name(self) -> str:
        """The word behind `simulate`: `gossip`, `raft`."""
        ...

    @property
    def options_type(self) -> type[SimulationOptions]:
        """The record of its options."""
        ...

    def run(self, options: Any, progress: Progress) -> SimulationReport:
        """One run, from beginning to end; `options` is an instance of `options_type`.

        Synchronous and deterministic. A broken invariant is told in the report and does not raise.
        Raises ValueError for options that do not go together.
        """
        ...
