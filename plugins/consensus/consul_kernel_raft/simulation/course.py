"""One run: faults strike while clients write and read; then they end, and everything must come right."""

from __future__ import annotations

import random
import traceback
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from consul_kernel.contracts.simulation import Figure, Progress, SimulationReport
from consul_kernel.testing.simulation import (
    Conditions,
    DiskSpeed,
    Nemesis,
    NetworkFaults,
    Transcript,
    ViolationError,
    draw_plan,
)
from consul_kernel_raft.simulation.clients import Workload
from consul_kernel_raft.simulation.invariants import all_invariants
from consul_kernel_raft.simulation.options import RaftOptions
from consul_kernel_raft.simulation.server import SimServer
from consul_kernel_raft.simulation.strikes import Strikes
from consul_kernel_raft.simulation.world import LIMITS, World

_LONGEST: Final = 8
"""Faults last up to so many times the mean time between two, so that some meet."""
_CALM: Final = Conditions(delay_ms=(1, 5))
_CALM_CLIENT_MS: Final = 20
_PROGRESS_MS: Final = 10_000
"""Within so long of the last fault clients get their answers again, and servers keep up."""
_WRITES: Final = 5
_LATE_MS: Final = 50
_UNDER_WAY_MS: Final = 300
"""Within so long of the last fault what was begun before it is over: a transfer takes an election timeout."""
_REST_MS: Final = 5_000
"""Within so long of the last request all servers have the same."""
_LOOK_AROUND_MS: Final = 400
"""Two election timeouts in which nobody may stand."""
_BEHIND_MAX: Final = 20


class Course:
    """Made for one run. Raises ValueError for options that do not go together."""

    def __init__(self, options: RaftOptions, progress: Progress) -> None:
        self._options = options
        self._progress = progress
        rng, mix, kinds = random.Random(options.seed), options.mix_of_faults(), options.kinds()
        servers = options.draw_servers(rng)
        transcript = Transcript()
        self._writing = ExitStack()
        self._writing.enter_context(transcript.written_to(options.transcript))  # the founding is in it, too
        self.world = World(
            rng.getrandbits(64),
            servers=servers,
            founders=mix.founders(rng, servers),
            limits=replace(
                LIMITS, append_entries_max=rng.choice(mix.append_entries_max), inflight_max=rng.choice((1, 4))
            ),
            conditions=mix.conditions(rng) if kinds else _CALM,
            invariants=all_invariants(),
            transcript=transcript,
        )
        self.world.slow_turn_rate = rng.choice((0.0, 0.0, 0.2))
        self._set_disks(DiskSpeed(slow_rate=0.03))
        self._workload = Workload(self.world, options.client_interval_ms or rng.choice(mix.client_ms))
        every_ms = options.fault_interval_ms or rng.choice(mix.fault_ms)
        self._plan = draw_plan(
            rng,
            kinds,
            from_ms=0,
            until_ms=options.seconds * 1_000,
            every_ms=every_ms,
            length_ms=(10, min(mix.length_ms, _LONGEST * every_ms)),
        )
        self._figures: list[Figure] = []

    def _set_disks(self, speed: DiskSpeed) -> None:
        for server in self.world.servers.values():
            server.storage.log_disk.speed = speed

    # --- the run ---

    def run(self) -> SimulationReport:
        """Everything, in order; a violation ends it."""
        violations: list[str] = []
        with self._writing:
            try:
                self._strike()
                self._recover()
                self._rest()
            except ViolationError as violation:
                violations.append(f"{violation} (at {self.world.timeline.now_ms} ms)")
            except Exception as error:  # noqa: BLE001 -- a core that raises is as wrong, and the seed must be known
                last = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{Path(last.filename).name}:{last.lineno}"
                violations.append(f"{error!r} in {where} (at {self.world.timeline.now_ms} ms)")
        self._progress(1.0, "done")
        return SimulationReport(
            seed=self._options.seed,
            digest=self.world.transcript.digest(),
            figures=[*self._totals(), *self._figures],
            violations=violations,
            faults=[str(fault) for fault in self._plan],
        )

    def _strike(self) -> None:
        world, seconds = self.world, self._options.seconds
        names = NetworkFaults(world.network, lambda: list(world.servers))
        nemesis = Nemesis(world.timeline, self._plan, {**names.strikes(), **Strikes(world).strikes()})
        for second in range(1, seconds + 1):
            world.timeline.run_until(1_000 * second)
            self._progress(0.8 * second / seconds, f"{second} s, {world.clients.writes} writes")
        nemesis.stop()
        world.network.become_calm(_CALM)
        world.slow_turn_rate = 0.0
        self._set_disks(DiskSpeed())
        self._workload.interval_ms = _CALM_CLIENT_MS
        for server in world.servers.values():
            world.start(server)
            server.storage.log_disk.mend()
        world.forget_late_messages(_LATE_MS)

    def _recover(self) -> None:
        """Liveness: once faults stop, clients are answered, and servers keep up."""
        world = self.world
        target = world.clients.writes + _WRITES
        began_ms = world.timeline.now_ms
        took_ms = world.timeline.run_until_true(
            lambda: world.clients.writes >= target and self._keep_up(), _PROGRESS_MS, "no progress in calm", every_ms=20
        )
        self._figures.append(Figure(name="progress after the last fault", value=took_ms, unit="ms"))
        world.timeline.run_until(began_ms + _UNDER_WAY_MS)

    def _keep_up(self) -> bool:
        """Whether all voters have applied nearly everything, and one of them leads."""
        leaders = self.world.leaders()
        if not leaders:
            return False
        raft = leaders[-1].running.raft
        applied = (self.world.servers[name].machine.applied_index for name in raft.voters)
        return leaders[-1].id in raft.voters and all(index >= raft.commit_index - _BEHIND_MAX for index in applied)

    def _rest(self) -> None:
        """With nobody writing, all servers of the quorum come to have everything, and stay so."""
        world = self.world
        self._workload.stop()
        took_ms = world.timeline.run_until_true(self._all_have_all, _REST_MS, "a server stays behind", every_ms=20)
        self._figures.append(Figure(name="the last has everything", value=took_ms, unit="ms"))
        world.settled = True
        world.timeline.run_for(_LOOK_AROUND_MS)
        world.watch.check_rest()

    def _all_have_all(self) -> bool:
        leaders = self.world.leaders()
        if not leaders:
            return False
        raft = leaders[-1].running.raft
        members: list[SimServer] = [self.world.servers[server.id] for server in raft.configuration.servers]
        return all(member.machine.applied_index == raft.log.last_index for member in members)

    # --- figures ---

    def _totals(self) -> list[Figure]:
        world = self.world
        terms = max((server.running.raft.term for server in world.alive), default=0)
        return [
            Figure(name="servers", value=len(world.servers)),
            Figure(name="virtual time", value=world.timeline.now_ms / 1_000, unit="s"),
            Figure(name="faults", value=len(self._plan)),
            Figure(name="steps", value=world.watch.steps),
            Figure(name="messages", value=world.messages),
            Figure(name="writes", value=world.clients.writes),
            Figure(name="reads", value=world.clients.reads),
            Figure(name="terms", value=terms),
            Figure(name="crashes", value=world.crashes),
            Figure(name="snapshots taken", value=world.snapshots.taken),
            Figure(name="snapshots sent", value=world.snapshots.arrived),
        ]
