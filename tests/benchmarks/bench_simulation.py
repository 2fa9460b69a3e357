"""How gossip scales: load per member and the spreading of news, in simulated pools of 100 to 10,000 members.

    python tests/benchmarks/bench_simulation.py [--sizes 100,300,1000,3000,10000] [--write docs]

Each size runs in a process of its own, on one core, with the LAN profile and a network that takes 0 to 5 ms. The pool
has been at rest for long; measured are some seconds of rest without exchanges of state and with them, then how a user
event and a crash become known. What a member's core costs is measured twice: among all others, whose tables push its
own out of the processor's cache, and alone, by giving a fresh core what some members were given. Prints a table; with
`--write` it also draws the charts of docs/simulation.md. 10,000 members take some minutes and 2 GiB.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from consul_kernel.contracts.membership import MemberEvent, MemberEventKind, UserEvent
from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.events import Effect, Input
from consul_kernel_swim.core.messages import NodeState
from consul_kernel_swim.core.settings import PROFILES, Settings
from consul_kernel_swim.core.suspicion import suspicion_timeout_ms
from consul_kernel_swim.core.swim import SharedPool, Swim
from consul_kernel_swim.simulation.agent import Agent, tags_of
from consul_kernel_swim.simulation.settled import populate
from consul_kernel_swim.simulation.spread import Spread, epidemic
from consul_kernel_swim.simulation.world import World

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.line_chart import Axis, Line, chart

SIZES = (100, 300, 1_000, 3_000, 10_000)
LAN = replace(PROFILES["lan"], coordinates=False)
MEAN_DELAY_MS = 2.5
WARM_UP_MS = 2_000
REST_MS = {100: 120_000, 300: 60_000, 1_000: 30_000, 3_000: 15_000, 10_000: 10_000}
EVENT_MS = 4_000
CURVE_STEP_MS = 20
CRASH_STEP_MS = 100
CRASH_MS = 180_000


RECORDED = tuple(f"n{number}" for number in range(20, 80))
REPLAYS = 5
"""Of which the fastest counts: the others were disturbed."""


class RecordingWorld(World):
    """Remembers what some agents are given, and from which seed each of them was made."""

    def __init__(self, seed: int, settings: Settings) -> None:
        super().__init__(seed, settings)
        self.seeds: dict[str, int] = {}
        self.given: dict[str, list[tuple[Input, int]]] = {name: [] for name in RECORDED}

    def create(self, name: str, address: Address) -> Agent:
        state = self.rng.getstate()
        agent = super().create(name, address)
        if name in self.given:
            rng = random.Random()
            rng.setstate(state)
            self.seeds[name] = rng.getrandbits(64)
            self._record(agent.swim, self.given[name])
        return agent

    @staticmethod
    def _record(swim: Swim, given: list[tuple[Input, int]]) -> None:
        step = swim.step

        def recorded(event: Input, now_ms: int, now_us: int | None = None) -> list[Effect]:
            given.append((event, now_ms))
            return step(event, now_ms, now_us)

        swim.step = recorded  # type: ignore[method-assign]

    def replay(self, pool: SharedPool, from_ms: int) -> float:
        """The CPU time, in µs a second, that one core takes which has the processor's cache to itself."""
        took_s = min(self._replay(pool, from_ms) for _ in range(REPLAYS))
        return took_s * 1e6 / len(self.seeds) / (self.timeline.now_ms - from_ms) * 1_000

    def _replay(self, pool: SharedPool, from_ms: int) -> float:
        took_s = 0.0
        for name, seed in self.seeds.items():
            swim = Swim(name, self.agents[name].address, tags_of(name), self.settings, random.Random(seed))
            swim.stand_in(pool)
            later = [(event, now_ms) for event, now_ms in self.given[name] if now_ms >= from_ms]
            for event, now_ms in self.given[name][: -len(later)]:
                swim.step(event, now_ms)
            began_s = time.process_time()
            for event, now_ms in later:
                swim.step(event, now_ms)
            took_s += time.process_time() - began_s
        return took_s


def make_pool(size: int, settings: Settings) -> tuple[RecordingWorld, SharedPool, float]:
    """A pool at rest, what its agents share, and the KiB of memory that each of them takes."""
    gc.collect()
    process = psutil.Process()
    before = process.memory_info().rss
    world = RecordingWorld(1, settings)
    pool = populate(world, size)
    world.timeline.run_until(WARM_UP_MS)
    gc.collect()
    gc.freeze()
    return world, pool, (process.memory_info().rss - before) / size / 1024


def rest(world: World, size: int) -> dict[str, float]:
    """What one member sends, and what it costs, in a second of rest."""
    duration_ms = REST_MS.get(size, 20_000)
    packets, sent, streams = world.packets_sent, world.bytes_sent, world.streams.bytes_sent
    began_s = time.process_time()
    world.timeline.run_for(duration_ms)
    share = 1_000 / duration_ms / size
    return {
        "cpu_us": (time.process_time() - began_s) * 1e6 * share,
        "packets": (world.packets_sent - packets) * share,
        "packet_bytes": (world.bytes_sent - sent) * share,
        "stream_bytes": (world.streams.bytes_sent - streams) * share,
    }


def tell(world: World) -> list[float]:
    """The share of members that have a user event, every 20 ms after it was sent."""
    told = Spread(world, lambda event: isinstance(event, UserEvent), world.members())
    world.send_user_event(world.agents["n7"], "news", b"")
    world.timeline.run_for(EVENT_MS)
    told.end()
    return [told.share_at(at_ms) for at_ms in range(0, EVENT_MS, CURVE_STEP_MS)]


def crash(world: World) -> dict[str, Any]:
    """The shares of members that suspect a crashed one, and that hold it for failed, every 100 ms after the crash."""
    victim = world.agents["n9"]
    victim.crash()
    others = [agent for agent in world.members() if agent is not victim]

    def is_failure(event: object) -> bool:
        return isinstance(event, MemberEvent) and event.kind is MemberEventKind.FAILED

    failed = Spread(world, is_failure, others)
    suspected: list[float] = []
    while not failed.is_known_to_all and failed.age_ms < CRASH_MS:
        world.timeline.run_for(CRASH_STEP_MS)
        states = (agent.swim.nodes.peek(victim.name) for agent in others)
        suspected.append(sum(node is None or node.state is not NodeState.ALIVE for node in states) / len(others))
    failed.end()
    shares = [failed.share_at(CRASH_STEP_MS * (step + 1)) for step in range(len(suspected))]
    return {"suspected": suspected, "failed": shares, "all_ms": failed.time_to(1.0)}


def measure(size: int) -> dict[str, Any]:
    """Everything about one size."""
    quiet, pool, memory_kib = make_pool(size, replace(LAN, push_pull_interval_ms=10**9))
    packets_alone = rest(quiet, size)
    alone_us = quiet.replay(pool, WARM_UP_MS)
    del quiet
    gc.unfreeze()
    gc.collect()
    world, pool, _ = make_pool(size, LAN)
    whole = rest(world, size)
    whole_alone_us = world.replay(pool, WARM_UP_MS)
    return {
        "size": size,
        "memory_kib": memory_kib,
        "packets_alone": packets_alone,
        "alone_us": alone_us,
        "whole": whole,
        "whole_alone_us": whole_alone_us,
        "event": tell(world),
        "crash": crash(world),
        "peak_mib": psutil.Process().memory_info().rss / 2**20,
        "cpu_s": time.process_time(),
    }


# --- showing it ---


def theory(size: int) -> list[float]:
    """The epidemic's curve in the same steps."""
    return epidemic(LAN, size, delay_ms=MEAN_DELAY_MS, until_ms=EVENT_MS)[:EVENT_MS:CURVE_STEP_MS]


def first_at(shares: Sequence[float], share: float, step_ms: int) -> int:
    """When a curve reaches a share; -1 for never."""
    return next((step_ms * at for at, value in enumerate(shares) if value >= share), -1)


HEADING = (
    "members",
    "packets /s",
    "bytes /s in packets",
    "in exchanges",
    "core's CPU, alone",
    "with exchanges",
    "among all",
    "memory",
    "event known to half, 99 %, all",
    "theory: half, 99 %",
    "crash known to all",
)


def table(results: Sequence[dict[str, Any]]) -> str:
    """Markdown, a row for each size."""
    lines = [f"| {' | '.join(HEADING)} |", "|" + "---|" * len(HEADING)]
    for result in results:
        alone, whole, size = result["packets_alone"], result["whole"], result["size"]
        event, expected = result["event"], theory(size)
        seen = ", ".join(f"{first_at(event, share, CURVE_STEP_MS):,}" for share in (0.5, 0.99, 1.0))
        said = ", ".join(f"{first_at(expected, share, CURVE_STEP_MS):,}" for share in (0.5, 0.99))
        cells = (
            f"{size:,}",
            f"{alone['packets']:.2f}",
            f"{alone['packet_bytes']:.0f}",
            f"{whole['stream_bytes']:.1f}",
            f"{result['alone_us']:.0f} µs /s",
            f"{result['whole_alone_us']:.0f} µs /s",
            f"{whole['cpu_us']:.0f} µs /s",
            f"{result['memory_kib']:.0f} KiB",
            f"{seen} ms",
            f"{said} ms",
            f"{result['crash']['all_ms'] / 1000:.1f} s",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def spread_chart(results: Sequence[dict[str, Any]]) -> str:
    """A user event: measured, and by the theory."""
    lines = []
    for colour, result in enumerate(result for result in results if result["size"] in (100, 1_000, 10_000)):
        size = result["size"]
        for name, curve, dashed in ((f"{size:,} members", result["event"], False), ("theory", theory(size), True)):
            points = [(CURVE_STEP_MS * at / 1000, 100 * share) for at, share in enumerate(curve)]
            lines.append(Line(name, points[: 2_000 // CURVE_STEP_MS], colour, is_dashed=dashed))
    across = Axis("seconds after a user event was sent", 0, 2, (0, 0.5, 1, 1.5, 2))
    return chart("A user event spreads", across, Axis("% of the members", 0, 100, (0, 25, 50, 75, 100)), lines)


def crash_chart(result: dict[str, Any]) -> str:
    """A crash: who suspects, who holds it for failed, and the epidemic that begins with the first accuser."""
    size, crash = result["size"], result["crash"]
    step_s = CRASH_STEP_MS / 1000
    suspected = [(step_s * (at + 1), 100 * share) for at, share in enumerate(crash["suspected"])]
    failed = [(step_s * (at + 1), 100 * share) for at, share in enumerate(crash["failed"])]
    began_s = next(at for at, share in suspected if share > 0) - step_s
    shortest_s = suspicion_timeout_ms(LAN.suspicion_mult, size, LAN.probe_interval_ms) / 1000
    end_s = math.ceil((suspected[-1][0] + 1) / 5) * 5
    curve = epidemic(LAN, size, delay_ms=MEAN_DELAY_MS, until_ms=EVENT_MS)[::50]

    def expected(from_s: float) -> list[tuple[float, float]]:
        points = [(0.0, 0.0), *((from_s + 0.05 * at, 100 * share) for at, share in enumerate(curve))]
        return [point for point in [*points, (float(end_s), 100 * curve[-1])] if point[0] <= end_s]

    lines = [
        Line("suspected or failed", suspected, 0),
        Line("theory", expected(began_s), 0, is_dashed=True),
        Line("failed", failed, 1),
        Line("theory", expected(began_s + shortest_s), 1, is_dashed=True),
    ]
    across = Axis("seconds after the crash", 0, end_s, range(0, end_s + 1, 5))
    down = Axis("% of the members", 0, 100, (0, 25, 50, 75, 100))
    return chart(f"{size:,} members learn of a crash", across, down, lines)


def load_chart(results: Sequence[dict[str, Any]]) -> str:
    """What a member sends and what it costs, beside the size of the pool."""

    def line(name: str, colour: int, value: Callable[[dict[str, Any]], float]) -> Line:
        return Line(name, [(result["size"], value(result)) for result in results], colour, has_marks=True)

    lines = [
        line("bytes /s", 0, lambda result: result["whole"]["packet_bytes"] + result["whole"]["stream_bytes"]),
        line("CPU µs /s, alone", 1, lambda result: result["whole_alone_us"]),
        line("CPU µs /s, among all", 3, lambda result: result["whole"]["cpu_us"]),
    ]
    top = math.ceil(max(y for one in lines for _, y in one.points) / 100) * 100
    sizes = [result["size"] for result in results]
    across = Axis("members", sizes[0], sizes[-1], sizes, is_log=True)
    return chart(
        "Load of one member at rest, exchanges of state included",
        across,
        Axis("", 0, top, range(0, top + 1, 100)),
        lines,
    )


def main() -> None:
    """Measure each size, print the table, draw the charts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--write", type=Path, help="the folder of the documents")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    results = []
    for size in map(int, arguments.sizes.split(",")):
        command = [sys.executable, __file__, "--one", str(size)]
        results.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        result = results[-1]
        print(f"{size:,} members: {result['peak_mib']:,.0f} MiB, {result['cpu_s']:,.0f} s of CPU", file=sys.stderr)
    print(table(results))
    if arguments.write:
        folder = arguments.write / "images"
        folder.mkdir(exist_ok=True)
        (folder / "gossip-spread.svg").write_text(spread_chart(results))
        (folder / "gossip-crash.svg").write_text(crash_chart(results[-1]))
        (folder / "gossip-load.svg").write_text(load_chart(results))


if __name__ == "__main__":
    main()
