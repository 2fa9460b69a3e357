"""One run: a pool forms, faults strike, everything comes right, and then what is promised is measured."""

from __future__ import annotations

import random
from functools import partial

from consul_kernel.contracts.membership import GossipEvent, MemberEvent, MemberEventKind, MemberStatus, UserEvent
from consul_kernel.contracts.simulation import Figure, Progress, SimulationReport
from consul_kernel.testing.simulation import Nemesis, NetworkFaults, ViolationError, draw_plan
from consul_kernel_swim.simulation.agent import Agent
from consul_kernel_swim.simulation.bounds import detection_ms, healing_ms, spread_ms
from consul_kernel_swim.simulation.invariants import Accuracy, GossipInvariant, all_invariants, cheap_invariants
from consul_kernel_swim.simulation.options import GossipOptions
from consul_kernel_swim.simulation.settled import populate
from consul_kernel_swim.simulation.spread import Spread
from consul_kernel_swim.simulation.strikes import Strikes
from consul_kernel_swim.simulation.world import World

_FAULT_MS = (1_000, 15_000)
_CLOCK_DRIFT = 0.001
_FORM_MS = 60_000


class Course:
    """Made for one run. Raises ValueError for options that do not go together."""

    def __init__(self, options: GossipOptions, progress: Progress) -> None:
        self._options = options
        self._progress = progress
        self._size = options.size()
        self._kinds = options.kinds()
        self._settings = options.settings()
        self._rng = random.Random(options.seed)
        self.world = World(
            options.seed,
            self._settings,
            conditions=options.conditions(),
            invariants=self._invariants(),
            clock_drift=_CLOCK_DRIFT if self._kinds else 0.0,
            memberlist_share=options.memberlist_share(),
        )
        self._impatient = list(self.world.invariants)
        """Whichever complained last is asked first: most times it still does."""
        self._strikes = Strikes(self.world, quorum=max(3, self._size // 2))
        self._plan = draw_plan(
            self._rng,
            self._kinds,
            from_ms=0,
            until_ms=options.seconds * 1000,
            every_ms=options.fault_interval_ms,
            length_ms=_FAULT_MS,
        )
        self._figures: list[Figure] = []
        self._events = 0

    def _invariants(self) -> list[GossipInvariant]:
        if self._options.invariants == "none":
            return []
        return all_invariants() if self._options.watch_all() else cheap_invariants()

    # --- the run ---

    def run(self) -> SimulationReport:
        """Everything, in order; a violation ends it."""
        violations: list[str] = []
        with self.world.transcript.written_to(self._options.transcript):
            try:
                self._form()
                self._strike()
                self._settle()
                self._examine()
            except ViolationError as violation:
                violations.append(f"{violation} (at {self.world.timeline.now_ms} ms)")
        self._progress(1.0, "done")
        return SimulationReport(
            seed=self._options.seed,
            digest=self.world.transcript.digest(),
            figures=[*self._totals(), *self._figures],
            violations=violations,
            faults=[str(fault) for fault in self._plan],
        )

    def _form(self) -> None:
        self._progress(0.0, f"{self._size} members")
        if self._options.start == "settled":
            populate(self.world, self._size)
            return
        world, first = self.world, self.world.start("n1")
        for number in range(2, self._size + 1):
            world.timeline.at(20 * number, partial(world.start, f"n{number}", None, [first.address]))
        took_ms = world.timeline.run_until_true(self._all_know_all, 20 * self._size + _FORM_MS, "the pool forms")
        self._figure("the pool forms", took_ms, "ms")

    def _all_know_all(self) -> bool:
        members = self.world.members()
        known = (agent.swim.serf.roster.count(MemberStatus.ALIVE) for agent in members)
        return len(members) == self._size and all(count == self._size for count in known)

    def _strike(self) -> None:
        """Let the faults of the plan happen, or nothing, while agents send events and change their tags."""
        world, began_ms = self.world, self.world.timeline.now_ms
        names = NetworkFaults(world.network, lambda: [agent.name for agent in world.running()])
        plan = [fault.shifted(began_ms) for fault in self._plan]
        nemesis = Nemesis(world.timeline, plan, {**names.strikes(), **self._strikes.strikes()})
        packets, sent, streams = world.packets_sent, world.bytes_sent, world.streams.bytes_sent
        seconds = self._options.seconds
        for second in range(seconds):
            if self._kinds:
                world.timeline.after(self._rng.randrange(1_000), self._busy)
            world.timeline.run_until(began_ms + 1_000 * (second + 1))
            text = f"{world.timeline.now_ms // 1000} s, {len(world.running())} running"
            self._progress(0.6 * (second + 1) / seconds, text)
        nemesis.stop()
        world.network.become_calm(self._options.conditions())
        world.calm_since_ms = world.timeline.now_ms
        if seconds:
            share = 1 / (seconds * max(1, len(world.running())))
            self._figure("packets sent by a member", (world.packets_sent - packets) * share, "/s")
            self._figure("bytes in packets sent by a member", (world.bytes_sent - sent) * share, "B/s")
            self._figure("bytes in streams sent by a member", (world.streams.bytes_sent - streams) * share, "B/s")

    def _busy(self) -> None:
        """Somebody sends an event, or gets other tags."""
        members = self.world.members()
        agent = self._rng.choice(members)
        self._events += 1
        if self._rng.random() < 0.7:
            self.world.send_user_event(agent, f"event-{self._events}", self._rng.randbytes(self._rng.randrange(200)))
        else:
            tags = {**agent.swim.local_member().tags, "version": str(self._events)}
            self.world.set_tags(agent, tags)

    def _settle(self) -> None:
        """Wait until everybody agrees. Raises ViolationError when that takes longer than it may."""
        world = self.world
        gone = sum(not agent.running for agent in world.agents.values())
        bound_ms = healing_ms(self._settings, len(world.agents), gone)
        took_ms = world.timeline.run_until_true(self._is_right, bound_ms, self._what_is_wrong, every_ms=1_000)
        self._figure("all is right after the last fault", took_ms, "ms")
        world.settled = True

    def _is_right(self) -> bool:
        return self._wrong() is None

    def _what_is_wrong(self) -> str:
        return self._wrong() or "nothing is wrong any more"

    def _wrong(self) -> str | None:
        """What is not as it should be, or None. Queues may still hold what all know."""
        if not all(agent.joined_ms is not None or agent.is_leaving for agent in self.world.running()):
            return "somebody has not joined yet"
        if any(agent.is_leaving for agent in self.world.running()):
            return "somebody has not left yet"
        for invariant in self._impatient:
            try:
                invariant.at_rest(self.world)
            except ViolationError as violation:
                self._impatient.remove(invariant)
                self._impatient.insert(0, invariant)
                return str(violation)
        return None

    # --- what is promised ---

    def _examine(self) -> None:
        """An event, a crash, a leave, other tags, and a return, each known to all in time; then all is at rest."""
        world = self.world
        size, score = len(world.agents), max(agent.swim.awareness.score for agent in world.members())
        soon_ms = spread_ms(self._settings, size, self._options.delay_ms)
        sender, victim, leaver, changer = self._rng.sample(world.members(), 4)
        self._progress(0.65, "an event")
        self._events += 1
        name = f"event-{self._events}"
        told = Spread(world, lambda event: isinstance(event, UserEvent) and event.name == name, world.members())
        world.send_user_event(sender, name, b"examined")
        self._await(told, soon_ms, "an event")
        self._progress(0.7, "a crash")
        victim.crash()
        world.leave(leaver)
        failed = self._changes(victim, MemberEventKind.FAILED)
        left = self._changes(leaver, MemberEventKind.LEAVE)
        world.set_tags(changer, {**changer.swim.local_member().tags, "version": "examined"})
        changed = self._changes(changer, MemberEventKind.UPDATE)
        self._await(changed, soon_ms, "other tags")
        self._await(left, 2 * (self._settings.broadcast_timeout_ms + soon_ms), "a leave")
        self._await(failed, detection_ms(self._settings, size, score, self._options.delay_ms), "a crash")
        self._progress(0.9, "a return")
        back = self._changes(victim, MemberEventKind.JOIN)
        world.start(victim.name, None, [sender.address])
        self._await(back, 2 * soon_ms + 2_000, "a return")
        self._progress(0.95, "rest")
        world.timeline.run_until_true(self._is_right, soon_ms + 10_000, self._what_is_wrong, every_ms=500)

    def _changes(self, about: Agent, kind: MemberEventKind) -> Spread:
        """Who of the others is told that a member changed."""

        def is_news(event: GossipEvent) -> bool:
            return isinstance(event, MemberEvent) and event.kind is kind and event.member.name == about.name

        return Spread(self.world, is_news, [agent for agent in self.world.members() if agent is not about])

    def _await(self, spread: Spread, within_ms: int, what: str) -> None:
        def missing() -> str:
            return f"{what} is known to {len(spread.times_ms)} of {spread.audience}"

        passed_ms = spread.age_ms
        self.world.timeline.run_until_true(lambda: spread.is_known_to_all, within_ms - passed_ms, missing, every_ms=50)
        spread.end()
        for share, text in ((0.5, "half"), (0.99, "99 %"), (1.0, "all")):
            self._figure(f"{what} is known to {text}", spread.time_to(share), "ms")

    # --- figures ---

    def _figure(self, name: str, value: float, unit: str = "") -> None:
        self._figures.append(Figure(name=name, value=value, unit=unit))

    def _totals(self) -> list[Figure]:
        world = self.world
        alarms = [one.false_alarms for one in world.invariants if isinstance(one, Accuracy)]
        steps = sum(agent.steps for agent in world.agents.values())
        figures = [
            Figure(name="members", value=self._size),
            Figure(name="virtual time", value=world.timeline.now_ms / 1000, unit="s"),
            Figure(name="faults", value=len(self._plan)),
            Figure(name="share that exchanges whole states", value=self._options.memberlist_share()),
            Figure(name="steps", value=steps),
            Figure(name="packets", value=world.packets_sent),
        ]
        return figures + [Figure(name="false alarms", value=count) for count in alarms]
