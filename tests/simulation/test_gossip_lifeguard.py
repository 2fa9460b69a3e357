"""Slow members, and how often they make others believe that healthy ones have failed, with Lifeguard and without it.

`python tests/benchmarks/bench_lifeguard.py` makes the whole experiment.
"""

from __future__ import annotations

from consul_kernel_swim.simulation.lifeguard import LIFEGUARD, REDUCTION_PUBLISHED, SWIM_ALONE, count_false_alarms


def test_false_alarms_are_as_rare_as_published() -> None:
    def count(*, lifeguard: bool) -> int:
        settings = LIFEGUARD if lifeguard else SWIM_ALONE
        alarms = count_false_alarms(1, settings=settings, is_patient=lifeguard, members=32, slow=8, seconds=60)
        return alarms.of_all

    alone = count(lifeguard=False)
    assert alone >= 10, "members that are slow enough cause false alarms"
    assert count(lifeguard=True) * REDUCTION_PUBLISHED <= alone
