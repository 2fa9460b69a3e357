"""`consul-kernel simulate`: figures, the exit code, and the command that shows a violation again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import psutil
import pytest

from core.cli.conftest import Run
from harness.waiting import wait_for

SHORT = ("-seconds", "1", "-mix", "crashes", "-jobs", "1", "-quiet")


def test_one_run_shows_its_figures(run: Run) -> None:
    ran = run("simulate", "raft", "-seed", "3", "-servers", "3..3", *SHORT)
    assert (ran.code, ran.err) == (0, "")
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert lines[0] == "Figure Value Unit"
    assert {"servers 3", "runs 1", "runs that broke an invariant 0"} <= set(lines)


def test_many_runs_are_reported_one_by_one(run: Run) -> None:
    ran = run("simulate", "raft", "-seed", "3", "-seeds", "2", "-format", "json", *SHORT)
    assert ran.code == 0
    reports = json.loads(ran.out)
    assert [report["seed"] for report in reports] == [3, 4]
    assert reports[0]["digest"] != reports[1]["digest"]


def test_violation_is_told_with_the_command_that_shows_it_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, now_ms: int) -> None:
        raise LookupError("no such entry")

    monkeypatch.setattr("consul_kernel_raft.core.raft.Raft._timer", fail)
    ran = run("simulate", "raft", "-seed", "5", "-seeds", "2", *SHORT)
    assert ran.code == 1
    assert "seed 5: LookupError('no such entry')" in ran.err
    assert "consul-kernel simulate raft -seed=6 -mix=crashes -seconds=1\n" in ran.err


def test_options_that_mean_nothing_are_refused(run: Run) -> None:
    ran = run("simulate", "raft", "-servers", "many", "-quiet")
    assert ran.code == 1
    assert "-servers 'many' is neither a number nor a range such as 3..7" in ran.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_processes_of_the_runs_end_with_the_command(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "consul_kernel.cli.main", "simulate", "raft", "-seeds", "1000", "-jobs", "2"]
    with subprocess.Popen([*command, "-quiet"]) as simulating:
        this = psutil.Process(simulating.pid)
        workers = wait_for(
            lambda: [one for one in this.children(recursive=True) if sum(one.cpu_times()[:2]) > 0.6], "runs that began"
        )
        simulating.send_signal(number)
    wait_for(lambda: not any(worker.is_running() for worker in workers), "the end of the runs")
