"""Whole quorums in virtual time, with every kind of fault: the slice of the seeds that the suite has time for.

`consul-kernel simulate raft -seeds 20000` runs the rest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from consul_kernel.cli.record_flags import record_flags
from consul_kernel.contracts.simulation import SimulationReport
from consul_kernel_raft.core import Raft
from consul_kernel_raft.simulation.course import Course
from consul_kernel_raft.simulation.mixes import MIXES
from consul_kernel_raft.simulation.options import FAULTS, RaftOptions

SEEDS = 120
GROUP = 30


def run(options: RaftOptions) -> SimulationReport:
    return Course(options, lambda share, text: None).run()


def figure(report: SimulationReport, name: str) -> float:
    return next(figure.value for figure in report.figures if figure.name == name)


@pytest.mark.parametrize("first", range(1, SEEDS, GROUP))
def test_nothing_is_broken_whatever_goes_wrong(first: int) -> None:
    reports = [run(RaftOptions(seed=seed)) for seed in range(first, first + GROUP)]
    assert {report.seed: report.violations for report in reports if report.violations} == {}
    for name in ("writes", "reads", "faults"):
        assert sum(figure(report, name) for report in reports) > 10 * GROUP, "the runs must do something"
    assert {figure(report, "servers") for report in reports} == {3, 4, 5, 6, 7}
    for name in ("crashes", "terms", "snapshots taken", "snapshots sent"):
        assert any(figure(report, name) for report in reports)


def test_without_faults_one_leader_answers_everybody() -> None:
    report = run(RaftOptions(faults="none", servers="5", client_interval_ms=5))
    assert not report.violations
    assert not report.faults
    assert figure(report, "terms") == 2
    assert figure(report, "writes") > 300


@pytest.mark.parametrize("kind", FAULTS)
def test_each_kind_of_fault_strikes(kind: str) -> None:
    report = run(RaftOptions(faults=kind, seconds=1, servers="3", mix="everything", fault_interval_ms=100))
    assert not report.violations
    assert report.faults
    assert all(fault.startswith(f"{kind} at ") for fault in report.faults)


def test_help_names_every_fault_of_every_mix() -> None:
    assert {fault for mix in MIXES.values() for fault in mix.faults} == set(FAULTS)
    helps = {flag.name: " ".join(flag.help.split()) for flag in record_flags(RaftOptions)}
    assert ", ".join(FAULTS) in helps["faults"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"faults": "crash,plague"}, "no fault is called 'plague'"),
        ({"servers": "many"}, "neither a number nor a range"),
        ({"servers": "7..3"}, "not within"),
        ({"servers": "3..70"}, "not within"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        run(RaftOptions(**options))  # type: ignore[arg-type]


def test_an_algorithm_that_raises_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Raft, now_ms: int) -> None:
        raise LookupError("no such entry")

    monkeypatch.setattr(Raft, "_timer", fail)
    (violation,) = run(RaftOptions(seconds=1)).violations
    assert violation.startswith("LookupError('no such entry') in test_raft_simulation.py:")


def test_another_seed_is_another_run_and_the_same_one_the_same() -> None:
    digests = [run(RaftOptions(seed=seed)).digest for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


def test_run_does_not_depend_on_the_order_of_hashes() -> None:
    def digests(hash_seed: str) -> list[str]:
        command = [sys.executable, "-m", "consul_kernel.cli.main", "simulate", "raft"]
        flags = ["-seed", "7", "-seeds", "3", "-jobs", "1", "-quiet", "-format", "json"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        shown = subprocess.run([*command, *flags], env=environment, capture_output=True, text=True, check=True)
        return [str(report["digest"]) for report in json.loads(shown.stdout)]

    assert digests("0") == digests("12345")
