"""Bugs put back in, one at a time: the simulation must find each of them, by the property that it breaks."""

from __future__ import annotations

import inspect
from typing import NamedTuple

import pytest

from consul_kernel.testing.simulation import ViolationError
from consul_kernel_raft.simulation import course, invariants
from simulation import raft_known_bugs as bugs
from simulation import raft_staging
from simulation.raft_scenarios import RUNS, SCENARIO_SEEDS, Scenario, any_course
from simulation.raft_scenarios_elections import (
    removed_server_does_not_know,
    single_voter_has_no_room,
    two_stand_at_once,
)
from simulation.raft_scenarios_lease import (
    answers_come_late,
    disk_of_the_leader_hangs,
    follower_restarts_while_the_lease_runs,
    follower_that_hears_nothing_stands,
    former_leader_is_asked_to_read,
    leader_hands_over_and_is_cut_off,
    leader_removes_itself_from_two,
)
from simulation.raft_scenarios_log import (
    figure_8,
    former_leader_has_entries_of_its_own,
    leader_forgets_what_one_follower_has,
    message_of_the_past_arrives_late,
    notice_of_a_commitment_is_lost,
    snapshot_comes_late,
)
from simulation.raft_scenarios_servers import (
    leader_that_removes_itself_is_deposed,
    learners_have_everything,
    one_leader_changes_the_servers_twice,
    two_leaders_change_the_servers,
)


class Bug(NamedTuple):
    """A bug, the course of events that shows it, and words of what is said then."""

    patch: bugs.Patch
    scenario: Scenario
    complaint: str


BUGS = (
    Bug(bugs.commit_by_counting, figure_8, "LeaderCompleteness"),
    Bug(bugs.forget_the_vote, any_course, "Durability: s. grants a vote that it may forget"),
    Bug(bugs.answer_before_persisting, any_course, "Durability"),
    Bug(bugs.count_own_log_before_it_is_durable, leader_forgets_what_one_follower_has, "LeaderCompleteness"),
    Bug(bugs.vote_for_any_log, any_course, "LeaderCompleteness"),
    Bug(bugs.vote_while_the_leader_lives, follower_that_hears_nothing_stands, "Lease"),
    Bug(bugs.read_without_asking, former_leader_is_asked_to_read, "CurrentReads"),
    Bug(bugs.keep_the_lease_after_timeout_now, leader_hands_over_and_is_cut_off, "Lease"),
    Bug(bugs.overwrite_without_checking, former_leader_has_entries_of_its_own, "StateMachineSafety|Durability"),
    Bug(bugs.append_over_whatever_is_there, any_course, "LeaderCompleteness|no progress|stays behind"),
    Bug(bugs.install_over_a_newer_state, snapshot_comes_late, "PersistentState: s. takes back what it committed"),
    Bug(bugs.change_servers_before_the_term_began, two_leaders_change_the_servers, "OneChange.*nothing of its term"),
    Bug(bugs.change_servers_twice_at_once, one_leader_changes_the_servers_twice, "OneChange.*is not committed"),
    Bug(bugs.keep_a_configuration_that_was_truncated, former_leader_has_entries_of_its_own, "LatestConfiguration"),
    Bug(bugs.stand_no_more_once_removed, leader_that_removes_itself_is_deposed, "the servers go on"),
    Bug(bugs.count_learners, learners_have_everything, "LeaderCompleteness"),
    Bug(bugs.commit_what_the_leader_has, former_leader_has_entries_of_its_own, "StateMachineSafety"),
    Bug(bugs.help_at_once_after_a_restart, follower_restarts_while_the_lease_runs, "Lease"),
    Bug(bugs.lease_from_the_answer, answers_come_late, "Lease"),
    Bug(bugs.keep_the_lease_when_leaving, leader_removes_itself_from_two, "Lease"),
    Bug(bugs.lead_with_a_disk_that_hangs, disk_of_the_leader_hangs, "the leader whose disk hangs gives way"),
    Bug(bugs.tell_of_a_commitment_once, notice_of_a_commitment_is_lost, "a commitment becomes known"),
    Bug(bugs.follow_a_leader_of_the_past, message_of_the_past_arrives_late, "LeaderCompleteness"),
    Bug(bugs.vote_twice_in_a_term, two_stand_at_once, "ElectionSafety: s. and s. lead in term 3"),
    Bug(bugs.stand_without_asking_first, removed_server_does_not_know, "Stability: in calm, s. comes to term 3"),
    Bug(bugs.look_at_once_whether_there_is_room, single_voter_has_no_room, "steps without an end"),
    Bug(bugs.ignore_the_window, any_course, "BoundedState: s. has .* appends under way"),
    Bug(bugs.drop_what_is_not_known_to_be_committed, any_course, "LeaderAppendOnly|OneChange"),
    Bug(bugs.apply_before_it_is_durable, any_course, "StateMachineSafety: .* which is not durable"),
)


def run_seeds(scenario: Scenario) -> None:
    for seed in SCENARIO_SEEDS:
        scenario(seed)


@pytest.mark.parametrize("scenario", RUNS)
def test_without_bugs_nothing_is_found(scenario: Scenario) -> None:
    run_seeds(scenario)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.patch.__name__)
def test_the_simulation_finds(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.patch(monkeypatch)
    with pytest.raises(ViolationError, match=bug.complaint):
        run_seeds(bug.scenario)


def test_every_known_bug_is_put_back() -> None:
    functions = [function for _, function in inspect.getmembers(bugs, inspect.isfunction)]
    known = {function for function in functions if [*inspect.signature(function).parameters] == ["patch"]}
    assert {bug.patch for bug in BUGS} == known
    assert len(known) >= 29


ALONE = {
    invariants.Agreement: (bugs.vote_for_any_log, any_course),
    invariants.BoundedState: (bugs.ignore_the_window, any_course),
    invariants.CurrentReads: (bugs.read_without_asking, former_leader_is_asked_to_read),
    invariants.Durability: (bugs.answer_before_persisting, any_course),
    invariants.ElectionSafety: (bugs.vote_twice_in_a_term, two_stand_at_once),
    invariants.LatestConfiguration: (
        bugs.keep_a_configuration_that_was_truncated,
        former_leader_has_entries_of_its_own,
    ),
    invariants.LeaderAppendOnly: (bugs.drop_what_is_not_known_to_be_committed, any_course),
    invariants.LeaderCompleteness: (bugs.commit_by_counting, figure_8),
    invariants.Lease: (bugs.vote_while_the_leader_lives, follower_that_hears_nothing_stands),
    invariants.Linearizability: (bugs.vote_for_any_log, any_course),
    invariants.LogMatching: (bugs.overwrite_without_checking, former_leader_has_entries_of_its_own),
    invariants.OneChange: (bugs.change_servers_twice_at_once, one_leader_changes_the_servers_twice),
    invariants.PersistentState: (bugs.install_over_a_newer_state, snapshot_comes_late),
    invariants.Stability: (bugs.stand_without_asking_first, removed_server_does_not_know),
    invariants.StateMachineSafety: (bugs.count_own_log_before_it_is_durable, leader_forgets_what_one_follower_has),
}
"""For each invariant a bug that it finds where nothing else is watched: none of them holds by itself."""


@pytest.mark.parametrize("watched", [type(one) for one in invariants.all_invariants()])
def test_each_invariant_finds_something(
    watched: type[invariants.RaftInvariant], monkeypatch: pytest.MonkeyPatch
) -> None:
    patch, scenario = ALONE[watched]
    patch(monkeypatch)
    monkeypatch.setattr(raft_staging, "all_invariants", lambda: [watched()])
    monkeypatch.setattr(course, "all_invariants", lambda: [watched()])
    with pytest.raises(ViolationError, match=watched.__name__):
        run_seeds(scenario)
