"""Bugs that others have had in SWIM and Serf, put back in one at a time: the simulation must find each of them.

1. A refutation does not raise the incarnation, so that nobody takes it for news.
2. A suspicion that is repeated begins anew, and is told anew.
3. A suspicion never times out.
4. A leave is taken for a failure.
5. An exchange with somebody who has not heard of a death yet resurrects the dead.
6. Nobody else is asked to probe a member that does not answer, so that one broken link is enough for an accusation.
7. A member that hears of its own death does not refute it.
8. The retransmit limit is ignored: every message is sent for ever.
9. Members to probe are drawn at random instead of in turns, so that some wait for very long.
10. Suspects are told nothing, so that they cannot refute.
11. Doubt in our own health never falls.
12. User events are not remembered, so that every copy is delivered.
13. A suspicion about an older incarnation counts.
14. What is known already counts as news, and is told again by everybody, for ever.
15. Packets are filled without regard to their budget.
16. Failed members are not called on, so that the halves of a partition never meet again.
17. Digests say who is there, and not at which incarnation, so that exchanges heal nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import pytest

from consul_kernel.contracts.membership import MemberEventKind, MemberStatus
from consul_kernel.testing.simulation import ViolationError
from consul_kernel_swim.core.broadcasts import BroadcastQueue
from consul_kernel_swim.core.courier import Courier
from consul_kernel_swim.core.digest_table import DigestTable, key_of
from consul_kernel_swim.core.messages import Alive, Dead, NodeState, RemoteNode, Suspect
from consul_kernel_swim.core.nodes import Node, NodeTable
from consul_kernel_swim.core.prober import Prober
from consul_kernel_swim.core.recent import RecentRing
from consul_kernel_swim.core.roster import Roster
from consul_kernel_swim.core.rules import MembershipRules
from consul_kernel_swim.core.suspicion import Awareness
from consul_kernel_swim.core.swim import Swim
from simulation.gossip_scenarios import (
    SCENARIOS,
    Scenario,
    broken_link,
    chaos,
    long_partition,
    missed_news,
    quiet_course,
    rounds,
    short_pauses,
)

SEEDS = 4

Patch = Callable[[pytest.MonkeyPatch], None]


def refute_at_the_same_incarnation(patch: pytest.MonkeyPatch) -> None:
    """1"""

    def _refute(self: MembershipRules, accused_incarnation: int) -> None:
        own = self._nodes.own
        own.incarnation = max(own.incarnation, accused_incarnation)
        self._spread(own.name, own.to_alive().encode())

    patch.setattr(MembershipRules, "_refute", _refute)


def suspicion_starts_again(patch: pytest.MonkeyPatch) -> None:
    """2"""
    true_suspect = MembershipRules.suspect

    def suspect(self: MembershipRules, suspect: Suspect) -> None:
        node = self._nodes.get(suspect.node)
        if node is not None and node.state is NodeState.SUSPECT and suspect.incarnation >= node.incarnation:
            self._drop_suspicion(node.name)
            node.state = NodeState.ALIVE
        true_suspect(self, suspect)

    patch.setattr(MembershipRules, "suspect", suspect)


def suspicion_never_ends(patch: pytest.MonkeyPatch) -> None:
    """3"""
    patch.setattr(MembershipRules, "_confirm_dead", lambda self, name: None)


def leave_is_a_failure(patch: pytest.MonkeyPatch) -> None:
    """4"""

    def left(self: Roster, node: Node) -> None:
        record = self._records.get(node.name)
        if record is not None and record.member.status in (MemberStatus.ALIVE, MemberStatus.LEAVING):
            self._set_gone(record, MemberStatus.FAILED, MemberEventKind.FAILED)

    patch.setattr(Roster, "left", left)


def old_state_resurrects(patch: pytest.MonkeyPatch) -> None:
    """5"""
    true_merge = MembershipRules.merge

    def merge(self: MembershipRules, remote: list[RemoteNode]) -> None:
        for entry in remote:
            node = self._nodes.get(entry.alive.node)
            if node is not None and node.is_gone() and entry.state is NodeState.ALIVE:
                self._accept_alive(node, entry.alive)
        true_merge(self, remote)

    patch.setattr(MembershipRules, "merge", merge)


def nobody_else_is_asked(patch: pytest.MonkeyPatch) -> None:
    """6"""
    patch.setattr(Prober, "_ask_others", lambda self: None)


def own_death_is_not_refuted(patch: pytest.MonkeyPatch) -> None:
    """7"""
    true_dead = MembershipRules.dead
    true_suspect = MembershipRules.suspect

    def dead(self: MembershipRules, dead: Dead, on_sent: Callable[[], None] | None = None) -> None:
        if dead.node != self._nodes.own_name or self.has_left:
            true_dead(self, dead, on_sent)

    def suspect(self: MembershipRules, suspect: Suspect) -> None:
        # What an exchange says of the dead comes as a suspicion by this agent itself.
        if suspect.node != self._nodes.own_name or suspect.accuser != self._nodes.own_name:
            true_suspect(self, suspect)

    patch.setattr(MembershipRules, "dead", dead)
    patch.setattr(MembershipRules, "suspect", suspect)


def retransmit_limit_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """8"""
    patch.setattr(Courier, "_sends_max", lambda self, member_count: 1 << 30)


def probes_are_drawn_at_random(patch: pytest.MonkeyPatch) -> None:
    """9"""

    def next_to_probe(self: NodeTable, now_ms: int, keep_gone_ms: int) -> Node | None:
        found = self.pick(1, lambda node: not node.is_gone() and node.name != self.own_name)
        return found[0] if found else None

    patch.setattr(NodeTable, "next_to_probe", next_to_probe)


def suspects_are_told_nothing(patch: pytest.MonkeyPatch) -> None:
    """10"""
    true_send, true_wants = Courier.send, Courier._wants_gossip

    def send(self: Courier, to: object, *messages: bytes, checksum: bool = False) -> None:
        true_send(self, to, messages[0], checksum=checksum)  # type: ignore[arg-type]

    def wants(self: Courier, node: Node) -> bool:
        return node.state is NodeState.ALIVE and true_wants(self, node)

    patch.setattr(Courier, "send", send)
    patch.setattr(Courier, "_wants_gossip", wants)


def doubt_never_falls(patch: pytest.MonkeyPatch) -> None:
    """11"""
    true_adjust = Awareness.adjust
    patch.setattr(Awareness, "adjust", lambda self, delta: true_adjust(self, max(0, delta)))


def events_are_not_remembered(patch: pytest.MonkeyPatch) -> None:
    """12"""
    patch.setattr(RecentRing, "admit", lambda self, lamport_time, clock_time, item, size=0: True)


def old_suspicions_count(patch: pytest.MonkeyPatch) -> None:
    """13"""
    true_suspect = MembershipRules.suspect

    def suspect(self: MembershipRules, suspect: Suspect) -> None:
        node = self._nodes.get(suspect.node)
        if node is not None and suspect.incarnation < node.incarnation and node.name != self._nodes.own_name:
            node.incarnation = suspect.incarnation
        true_suspect(self, suspect)

    patch.setattr(MembershipRules, "suspect", suspect)


def known_news_is_news(patch: pytest.MonkeyPatch) -> None:
    """14"""

    def alive(self: MembershipRules, alive: Alive) -> None:
        node = self._nodes.get(alive.node)
        if node is not None and alive.incarnation == node.incarnation and alive.node != self._nodes.own_name:
            self._accept_alive(node, alive)
        else:
            true_alive(self, alive)

    true_alive = MembershipRules.alive
    patch.setattr(MembershipRules, "alive", alive)


def budget_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """15"""
    true_take = BroadcastQueue.take

    def take(self: BroadcastQueue, free_bytes: int, parts_max: int, sends_max: int) -> list[bytes]:
        return true_take(self, 60_000, parts_max, sends_max)

    patch.setattr(BroadcastQueue, "take", take)


def failed_members_are_not_called_on(patch: pytest.MonkeyPatch) -> None:
    """16"""
    patch.setattr(Swim, "_reconnect", lambda self: None)


def digests_forget_the_incarnation(patch: pytest.MonkeyPatch) -> None:
    """17"""

    def hash_of(self: DigestTable, name: str) -> int | None:
        node = self._nodes.peek(name)
        return None if node is None else 0 if node.is_gone() else key_of(name)

    patch.setattr(DigestTable, "_hash_of", hash_of)


class Bug(NamedTuple):
    """A bug, the course of events that shows it, and words of what is said then."""

    patch: Patch
    scenario: Scenario
    complaint: str


BUGS = (
    Bug(refute_at_the_same_incarnation, short_pauses, "for failed, which lives"),
    Bug(suspicion_starts_again, quiet_course, "BoundedState"),
    Bug(suspicion_never_ends, quiet_course, "a crash is known to 0 of 18"),
    Bug(leave_is_a_failure, quiet_course, "Departures"),
    Bug(old_state_resurrects, chaos, "takes it for failed|for failed, which lives|from incarnation 2 back to 1"),
    Bug(nobody_else_is_asked, broken_link, "probes_failed, and all can be reached"),
    Bug(own_death_is_not_refuted, chaos, "and it lives|Incarnations|a return is known to"),
    Bug(retransmit_limit_is_ignored, quiet_course, "RetransmitLimit"),
    Bug(probes_are_drawn_at_random, rounds, "ProbeRounds"),
    Bug(suspects_are_told_nothing, short_pauses, "for failed, which lives"),
    Bug(doubt_never_falls, short_pauses, "Health"),
    Bug(events_are_not_remembered, quiet_course, "Delivery"),
    Bug(old_suspicions_count, chaos, "Incarnations"),
    Bug(known_news_is_news, missed_news, "BoundedState"),
    Bug(budget_is_ignored, quiet_course, "PacketBudget"),
    Bug(failed_members_are_not_called_on, long_partition, "is FAILED, and it lives"),
    Bug(digests_forget_the_incarnation, missed_news, "Agreement"),
)


def run_seeds(scenario: Scenario) -> None:
    for seed in range(SEEDS):
        scenario(seed)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_without_bugs_nothing_is_found(scenario: Scenario) -> None:
    run_seeds(scenario)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.patch.__name__)
def test_the_simulation_finds(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.patch(monkeypatch)
    with pytest.raises(ViolationError, match=bug.complaint):
        run_seeds(bug.scenario)


def test_every_bug_of_the_list_is_put_back() -> None:
    numbers = re.findall(r"^(\d+)\. ", __doc__ or "", re.MULTILINE)
    assert numbers == [bug.patch.__doc__ for bug in BUGS]
    assert len(numbers) >= 10
