"""`consul-kernel simulate`: a protocol in virtual time, as the plugin that speaks it offers it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from consul_kernel.cli.columns import format_columns
from consul_kernel.cli.command import EXIT_FAILURE, EXIT_OK, Command, fail, too_many_arguments
from consul_kernel.cli.flags import Arguments, Flag, FlagError, FlagType
from consul_kernel.cli.progress import shown_progress
from consul_kernel.cli.record_flags import record_flags, record_from
from consul_kernel.cli.simulation_runs import load_simulation, run_one, run_seeds
from consul_kernel.contracts.errors import PluginLoadError
from consul_kernel.contracts.plugin import PluginKind
from consul_kernel.contracts.simulation import SimulationReport

_COMMON = (
    Flag("plugin", FlagType.TEXT, "The plugin whose simulation is run."),
    Flag("seeds", FlagType.INT, "How many runs are made, with -seed and the numbers behind it.", default=1),
    Flag("jobs", FlagType.INT, "How many processes share the runs; 0 for one for each processor.", default=0),
    Flag("format", FlagType.TEXT, "`pretty` for a table, `json` for every report.", default="pretty"),
    Flag("quiet", FlagType.BOOL, "Show no progress."),
)
_VIOLATIONS_SHOWN = 20


class _Kind(NamedTuple):
    """Which plugins have a simulation of this name, and which of them is taken by default."""

    kind: PluginKind
    plugin: str


_KINDS = {"gossip": _Kind(PluginKind.MEMBERSHIP, "swim"), "raft": _Kind(PluginKind.CONSENSUS, "raft")}


def _with_flags(command: Command, arguments: Sequence[str]) -> Command:
    """The flags of the plugin that is meant, with the common ones. Raises FlagError."""
    kind, plugin = _KINDS[command.name.split(" ")[1]]
    plugin = _given_plugin(arguments) or plugin
    try:
        simulation = load_simulation(kind, plugin)
    except PluginLoadError as error:
        raise FlagError(str(error)) from None
    common = [dataclasses.replace(flag, default=plugin) if flag.name == "plugin" else flag for flag in _COMMON]
    return dataclasses.replace(command, flags=(*common, *record_flags(simulation.options_type)))


def _given_plugin(arguments: Sequence[str]) -> str | None:
    """What `-plugin` says; everything else is parsed later, when its flags are known."""
    for at, argument in enumerate(arguments):
        name, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name == "plugin":
            return value if equals else next(iter(arguments[at + 1 : at + 2]), None)
    return None


def _run(name: str, arguments: Arguments) -> int:
    if arguments.positional:
        return too_many_arguments(0, arguments)
    if arguments.text("format") not in ("pretty", "json"):
        return fail(f"Invalid format: {arguments.text('format')}")
    count, jobs = arguments.number("seeds"), arguments.number("jobs")
    if count < 1 or jobs < 0:
        return fail("-seeds must be at least 1, and -jobs must not be negative")
    kind = _KINDS[name].kind
    simulation = load_simulation(kind, arguments.text("plugin"))
    record = record_from(arguments, simulation.options_type)
    seeds = range(record.seed, record.seed + count)
    jobs = min(count, jobs or _processors())
    began_s = time.monotonic()
    try:
        with shown_progress(f"simulate {name}", quiet=arguments.is_set("quiet")) as show:
            if count == 1:
                reports = [run_one(simulation, record, show)]
            else:
                options = msgspec.structs.asdict(record)
                reports = run_seeds(kind, arguments.text("plugin"), options, seeds, jobs, show)
    except ValueError as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    _tell(name, arguments, reports, time.monotonic() - began_s)
    return EXIT_FAILURE if any(report.violations for report in reports) else EXIT_OK


def _processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _tell(name: str, arguments: Arguments, reports: Sequence[SimulationReport], took_s: float) -> None:
    if arguments.text("format") == "json":
        print(msgspec.json.format(msgspec.json.encode(reports), indent=2).decode())
    else:
        print(format_columns(_summary(reports, took_s)))
    broken = [report for report in reports if report.violations]
    for report in broken[:_VIOLATIONS_SHOWN]:
        print(f"\nseed {report.seed}: {'; '.join(report.violations)}", file=sys.stderr)
        print(f"    {_reproducing(name, arguments, report.seed)}", file=sys.stderr)
    if len(broken) > _VIOLATIONS_SHOWN:
        print(f"\n… and {len(broken) - _VIOLATIONS_SHOWN} seeds more", file=sys.stderr)


def _summary(reports: Sequence[SimulationReport], took_s: float) -> list[list[str]]:
    """One run: its figures. Many: the median and the largest of each."""
    figures: dict[tuple[str, str], list[float]] = {}
    for report in reports:
        for figure in report.figures:
            figures.setdefault((figure.name, figure.unit), []).append(figure.value)
    digest = reports[0].digest if len(reports) == 1 else _digest_of_all(reports)
    many = len(reports) > 1
    rows = [["Figure", "Median", "Largest", "Unit"] if many else ["Figure", "Value", "Unit"]]
    for (figure_name, unit), values in figures.items():
        shown = [_number(statistics.median(values)), _number(max(values))] if many else [_number(values[0])]
        rows.append([figure_name, *shown, unit])
    filler = [""] if many else []
    rows.append(["runs", str(len(reports)), *filler, ""])
    rows.append(["runs that broke an invariant", str(sum(bool(one.violations) for one in reports)), *filler, ""])
    rows.append(["digest", digest, *filler, ""])
    rows.append(["took", f"{took_s:.1f}", *filler, "s"])
    return rows


def _digest_of_all(reports: Sequence[SimulationReport]) -> str:
    lines = "".join(f"{report.seed} {report.digest}\n" for report in reports)
    return hashlib.blake2b(lines.encode(), digest_size=16).hexdigest()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1_000 else f"{value:,.2f}"


def _reproducing(name: str, arguments: Arguments, seed: int) -> str:
    """The command that makes this run again."""
    command = ["consul-kernel", "simulate", name, f"-seed={seed}"]
    for flag in sorted(arguments.given - {"seed", "seeds", "jobs", "format", "quiet"}):
        value = arguments.values[flag]
        command.append(f"-{flag}={str(value).lower() if isinstance(value, bool) else value}")
    return shlex.join(command)


def _gossip(arguments: Arguments) -> int:
    return _run("gossip", arguments)


def _raft(arguments: Arguments) -> int:
    return _run("raft", arguments)


COMMANDS = (
    _with_flags(
        Command(
            "simulate gossip",
            "simulate gossip [options]",
            "Runs pools of agents in virtual time",
            _gossip,
            description=(
                "Runs a pool of agents on a faulty network in virtual time, in one process and without sockets. While "
                "faults strike, and when they are over, invariants are checked; then it is measured how fast news "
                "spreads. The same seed gives the same run.\n\n"
                "The exit code is 1 when an invariant was broken; the command that shows the same again is printed."
            ),
            prepare=_with_flags,
        ),
        (),
    ),
    _with_flags(
        Command(
            "simulate raft",
            "simulate raft [options]",
            "Runs quorums of servers in virtual time",
            _raft,
            description=(
                "Runs a quorum of Raft servers on a faulty network and faulty disks in virtual time, in one process "
                "and without sockets. The algorithm's invariants are checked at every step; when the faults are over, "
                "it must go on within a bound, and what clients saw must be linearizable. The same seed gives the same "
                "run.\n\n"
                "The exit code is 1 when an invariant was broken; the command that shows the same again is printed."
            ),
            prepare=_with_flags,
        ),
        (),
    ),
)
