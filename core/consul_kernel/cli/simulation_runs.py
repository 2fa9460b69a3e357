"""Runs of a plugin's simulation: one here, or many in processes of their own."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Any

import msgspec

from consul_kernel.contracts.errors import PluginLoadError
from consul_kernel.contracts.plugin import PluginKind
from consul_kernel.contracts.simulation import Progress, Simulation, SimulationOptions, SimulationReport
from consul_kernel.plugins import PluginManager

_COLLECT_EVERY = 100_000
"""Records made and not freed between two collections."""


def load_simulation(kind: PluginKind, plugin: str) -> Simulation:
    """What a plugin offers. Raises PluginLoadError when it offers none."""
    descriptor = PluginManager().load(kind, plugin)
    if descriptor.simulation is None:
        raise PluginLoadError(f"{kind} {plugin!r} has no simulation")
    return descriptor.simulation()


def run_seed(kind: PluginKind, plugin: str, options: Mapping[str, Any], seed: int) -> SimulationReport:
    """One run, in whatever process; `options` are the fields of the options record."""
    simulation = load_simulation(kind, plugin)
    return run_one(simulation, msgspec.convert({**options, "seed": seed}, simulation.options_type), _silent)


def run_one(simulation: Simulation, options: SimulationOptions, progress: Progress) -> SimulationReport:
    """One run, with few collections of garbage: worlds have many records and few cycles, and each looks at them all."""
    thresholds = gc.get_threshold()
    gc.set_threshold(_COLLECT_EVERY, *thresholds[1:])
    try:
        return simulation.run(options, progress)
    finally:
        gc.set_threshold(*thresholds)


def _silent(share: float, text: str) -> None:
    """Progress that nobody wants to know."""


def run_seeds(
    kind: PluginKind,
    plugin: str,
    options: Mapping[str, Any],
    seeds: Sequence[int],
    jobs: int,
    progress: Progress,
) -> list[SimulationReport]:
    """A run for each seed, in `jobs` processes; the reports in the order of the seeds."""
    if jobs == 1:
        reports = []
        for seed in seeds:
            reports.append(run_seed(kind, plugin, options, seed))
            progress(len(reports) / len(seeds), f"{len(reports)} of {len(seeds)} seeds")
        return reports
    by_seed = {}
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _end_with_parent) as pool:
        try:
            for report in _as_they_come(lambda seed: pool.submit(run_seed, kind, plugin, options, seed), seeds, jobs):
                by_seed[report.seed] = report
                progress(len(by_seed) / len(seeds), f"{len(by_seed)} of {len(seeds)} seeds")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [by_seed[seed] for seed in seeds]


def _end_with_parent() -> None:
    """In a process of the pool: end at once when the one that started it is gone, however it was ended."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _as_they_come(
    submit: Callable[[int], Future[SimulationReport]], seeds: Sequence[int], jobs: int
) -> Iterator[SimulationReport]:
    """Two runs for each process at once, so that few are waiting when one is interrupted."""
    waiting = iter(seeds)
    running = {submit(seed) for _, seed in zip(range(2 * jobs), waiting, strict=False)}
    while running:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()
        running |= {submit(seed) for _, seed in zip(done, waiting, strict=False)}
