"""Whole pools in virtual time, with every kind of fault: the slice of the seeds that the suite has time for.

`consul-kernel simulate gossip -nodes 50 -nodes-max 200 -seeds 1000` runs the rest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from consul_kernel.contracts.simulation import SimulationReport
from consul_kernel_swim.core.digest_table import DigestTable
from consul_kernel_swim.simulation.course import Course
from consul_kernel_swim.simulation.options import GossipOptions


def run(options: GossipOptions) -> SimulationReport:
    return Course(options, lambda share, text: None).run()


@pytest.mark.parametrize("seed", range(1, 4))
def test_nothing_is_broken_whatever_goes_wrong(seed: int) -> None:
    report = run(GossipOptions(seed=seed, nodes=50, seconds=30))
    assert not report.violations
    assert report.faults


@pytest.mark.parametrize("exchanges", ["digests", "mixed", "whole"])
def test_hashes_are_those_of_what_is_known_whatever_has_happened(exchanges: str) -> None:
    """What was kept up change by change is what comes out when all is hashed anew; at rest, all have the same."""
    course = Course(GossipOptions(seed=11, nodes=30, seconds=10, exchanges=exchanges), lambda share, text: None)  # type: ignore[arg-type]
    assert not course.run().violations
    sums = set()
    for agent in course.world.members():
        if not agent.is_plain:
            kept, swim = agent.swim.digest_table, agent.swim
            roster = swim.serf.roster
            names = {node.name for node in swim.nodes} | set(roster.names())
            anew = DigestTable(swim.nodes, names, roster.status_time, roster.names)
            for table in (kept, anew):
                for _ in table.refresh():
                    pass
            assert kept.sums(256) == anew.sums(256)
            sums.add(kept.sums(1))
    if exchanges == "digests":
        assert len(sums) == 1


def test_pool_grows_from_one_member_by_joins() -> None:
    report = run(GossipOptions(seed=5, nodes=40, faults="none", seconds=0, start="joins"))
    assert not report.violations


def test_another_seed_is_another_run_and_the_same_one_the_same() -> None:
    digests = [run(GossipOptions(seed=seed, nodes=12, seconds=10)).digest for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


def simulate(*flags: str, hash_seed: str = "0") -> list[tuple[int, str]]:
    """Seeds and digests, as the command tells them."""
    command = [sys.executable, "-m", "consul_kernel.cli.main", "simulate", "gossip"]
    common = ["-nodes", "12", "-quiet", "-format", "json"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    shown = subprocess.run([*command, *common, *flags], env=environment, capture_output=True, text=True, check=True)
    return [(report["seed"], report["digest"]) for report in json.loads(shown.stdout)]


def test_run_does_not_depend_on_the_order_of_hashes() -> None:
    flags = ("-seconds", "10", "-seed", "7")
    assert simulate(*flags, hash_seed="0") == simulate(*flags, hash_seed="12345")


def test_processes_share_the_seeds_and_change_nothing() -> None:
    flags = ("-seconds", "2", "-seed", "3", "-seeds", "3")
    alone, shared = (simulate(*flags, "-jobs", jobs) for jobs in ("1", "2"))
    assert alone == shared
    assert [seed for seed, _ in shared] == [3, 4, 5]
