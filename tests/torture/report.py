"""What a run says at its end, and what it keeps when something was wrong."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from .history import History
from .nemesis import Chronicle
from .servers import Servers
from .verdict import Verdict, as_lines

SHOWN = 10


def summary(history: History, chronicle: Chronicle, verdict: Verdict, servers: Servers) -> str:
    """Counts by kind, faults, and the verdict."""
    by_mode: dict[str, list[str]] = defaultdict(list)
    for (mode, outcome), count in sorted(history.counts.items()):
        by_mode[mode].append(f"{outcome} {count}")
    struck = Counter(strike.name for strike in chronicle.strikes)
    recovery_s = max((strike.well_s - strike.repaired_s for strike in chronicle.strikes if strike.well_s), default=0.0)
    unknown = sum(count for (_, outcome), count in history.counts.items() if outcome == "unknown")
    lines = [
        f"operations: {sum(history.counts.values())} on {len(history.by_key)} keys",
        *(f"  {mode}: {', '.join(outcomes)}" for mode, outcomes in by_mode.items()),
        f"faults: {sum(struck.values())} ({', '.join(f'{name} {count}' for name, count in sorted(struck.items()))})",
        f"longest recovery after a repair: {recovery_s:.1f} s",
        f"servers that stopped by themselves: {sum(server.stopped_alone for server in servers.all)}",
        f"unknown outcomes: {unknown}",
        f"lost acknowledged writes: {len(verdict.lost)}",
        f"anomalies: {len(verdict.anomalies)}",
        f"stale default reads: {len(verdict.stale_default_reads)}",
        *(f"  {line}" for line in verdict.stale_default_reads[:SHOWN]),
        "longest time without an acknowledged write, by fault:",
    ]
    by_time = sorted(verdict.unavailable_s.items(), key=lambda item: -item[1])
    lines += [f"  {seconds:5.2f} s  {name}" for name, seconds in by_time]
    return "\n".join(lines)


def keep(history: History, chronicle: Chronicle, failures: Sequence[str], servers: Servers) -> Path:
    """Save everything that one needs to find out what went wrong; where."""
    folder = Path(tempfile.mkdtemp(prefix="consul-kernel-torture-failed-"))
    with (folder / "history.jsonl").open("w") as file:
        file.writelines(f"{line}\n" for line in as_lines(history))
    (folder / "faults.txt").write_text(
        "".join(f"{s.begun_s:.3f} {s.repaired_s:.3f} {s.well_s:.3f} {s.what}\n" for s in chronicle.strikes)
    )
    (folder / "failures.txt").write_text("\n".join(failures))
    for server in servers.all:
        if server.log.exists():
            shutil.copy(server.log, folder)
    return folder
