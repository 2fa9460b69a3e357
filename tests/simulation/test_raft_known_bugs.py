"""Bugs put back in: the simulation must find each of them."""

from __future__ import annotations

import pytest

from simulation.raft_known_bugs import BUGS, Patch
from simulation.raft_nemesis import run_seed
from simulation.raft_scenarios import SCENARIOS

SEEDS_MAX = 150
SCENARIO_SEEDS = 2


def _run_all() -> None:
    for scenario in SCENARIOS:
        for seed in range(SCENARIO_SEEDS):
            scenario(seed)
    for seed in range(SEEDS_MAX):
        run_seed(seed)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_the_simulation_finds(bug: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    bug(monkeypatch)
    with pytest.raises(AssertionError):
        _run_all()
