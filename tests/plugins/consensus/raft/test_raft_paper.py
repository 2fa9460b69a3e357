"""The rules of the paper and the thesis, one by one, on a single core."""

from __future__ import annotations

from typing import TypeVar

import pytest

from consul_kernel.contracts.consensus import Configuration, Role, Server
from consul_kernel.contracts.store import LogEntry
from consul_kernel_raft.core import (
    ChangeConfiguration,
    Committed,
    OutOfRoom,
    Propose,
    ReadIndex,
    ReadState,
    RoomAgain,
    Timer,
    TransferLeadership,
    WriteDone,
)
from consul_kernel_raft.core.entry import EntryKind, encode_configuration
from consul_kernel_raft.core.messages import (
    AppendEntries,
    AppendEntriesResponse,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    InstallSnapshotResponse,
    Message,
    RequestVote,
    RequestVoteResponse,
    SnapshotPoint,
    TimeoutNow,
)
from consul_kernel_raft.core.room import LOG
from plugins.consensus.raft.raft_pair import SERVERS, TIMING, Bench, nonvoter, vote

MessageT = TypeVar("MessageT")


def only(messages: list[Message], kind: type[MessageT]) -> MessageT:
    """The one message of this kind."""
    (found,) = [message for message in messages if isinstance(message, kind)]
    return found


def append(
    term: int, prev: tuple[int, int], terms: tuple[int, ...] = (), *, commit: int = 0, sender: str = "b"
) -> AppendEntries:
    entries = [LogEntry(prev[0] + 1 + offset, of, EntryKind.NOOP, b"") for offset, of in enumerate(terms)]
    return AppendEntries(
        sender=sender, to="a", term=term, prev_index=prev[0], prev_term=prev[1], entries=entries, commit_index=commit
    )


def matched(bench: Bench, sender: str, index: int) -> list[Message]:
    return bench.step(
        AppendEntriesResponse(
            sender=sender,
            to="a",
            term=bench.raft.term,
            success=True,
            prev_index=0,
            match_index=index,
            round=bench.raft.round,
            sent_ms=bench.now_ms,
        )
    )


# --- §5.1, §5.2: terms and elections ---


def test_a_newer_term_makes_a_leader_step_down_5_1() -> None:
    bench = Bench()
    bench.lead()
    bench.step(append(bench.raft.term + 1, (1, 1)))
    assert bench.raft.role is Role.FOLLOWER
    assert bench.raft.leader_id == "b"


def test_an_older_term_is_refused_5_1() -> None:
    bench = Bench(term=5)
    answer = only(bench.step(append(4, (1, 1))), AppendEntriesResponse)
    assert (answer.success, answer.term) == (False, 5)
    assert bench.raft.leader_id is None


def test_a_follower_stands_after_a_random_time_5_2() -> None:
    timeouts = set()
    for _ in range(1):
        bench = Bench()
        for _ in range(50):
            bench.step(Heartbeat(sender="b", to="a", term=1, round=0, sent_ms=0))
            deadline_ms = bench.raft.deadline_ms()
            assert deadline_ms is not None
            timeouts.add(deadline_ms - bench.now_ms)
    assert min(timeouts) > TIMING.heartbeat_timeout_ms
    assert max(timeouts) <= 2 * TIMING.heartbeat_timeout_ms
    assert len(timeouts) > 25


def test_one_vote_a_term_5_2() -> None:
    bench = Bench()
    assert only(bench.step(vote("b", 2, (1, 1))), RequestVoteResponse).granted
    assert not only(bench.step(vote("c", 2, (1, 1))), RequestVoteResponse).granted
    assert only(bench.step(vote("b", 2, (1, 1))), RequestVoteResponse).granted


def test_a_vote_survives_a_restart_figure_2() -> None:
    bench = Bench(term=2, vote="b")
    assert not only(bench.step(vote("c", 2, (1, 1))), RequestVoteResponse).granted


def test_a_vote_is_durable_before_it_is_given_figure_2() -> None:
    bench = Bench()
    bench.flushing = False
    assert bench.step(vote("b", 2, (1, 1))) == []
    bench.raft.step(WriteDone(1), bench.now_ms)
    assert only(bench.drain(), RequestVoteResponse).granted


def test_a_candidate_counts_itself_only_when_its_vote_is_durable_figure_2() -> None:
    bench = Bench(servers=(SERVERS[0],))
    bench.flushing = False
    bench.step(Timer())
    assert bench.raft.leadership is None
    bench.raft.step(WriteDone(1), bench.now_ms)
    assert bench.raft.role is Role.LEADER


@pytest.mark.parametrize(
    ("last", "granted"), [((3, 2), True), ((4, 2), True), ((2, 3), True), ((2, 2), False), ((9, 1), False)]
)
def test_only_an_up_to_date_log_gets_the_vote_5_4_1(last: tuple[int, int], granted: bool) -> None:
    bench = Bench((1, 1, 2), term=3)
    assert only(bench.step(vote("b", 4, last)), RequestVoteResponse).granted is granted


# --- thesis §4.2.3, §6.4.1, §9.6: protection of a working leader ---


def test_whoever_hears_a_leader_does_not_vote_thesis_4_2_3() -> None:
    bench = Bench()
    bench.step(Heartbeat(sender="b", to="a", term=1, round=0, sent_ms=0))
    bench.now_ms += TIMING.heartbeat_timeout_ms - 1
    answer = only(bench.step(vote("c", 7, (9, 9))), RequestVoteResponse)
    assert (answer.granted, answer.term, bench.raft.term) == (False, 1, 1)
    bench.now_ms += 1
    assert only(bench.step(vote("c", 7, (9, 9))), RequestVoteResponse).granted


def test_a_transfer_passes_that_protection_thesis_3_10() -> None:
    bench = Bench()
    bench.step(Heartbeat(sender="b", to="a", term=1, round=0, sent_ms=0))
    assert only(bench.step(vote("c", 2, (1, 1), transfer=True)), RequestVoteResponse).granted


def test_a_restarted_server_helps_nobody_at_first_thesis_6_4_1() -> None:
    bench = Bench()
    bench.now_ms -= 2000
    assert not only(bench.step(vote("b", 2, (1, 1))), RequestVoteResponse).granted


def test_a_restarted_server_without_entries_helps_nobody_either_thesis_6_4_1() -> None:
    """It may have answered the heartbeats of a leader that has just added it; a lease may rest on those."""
    bench = Bench((), term=3)
    bench.now_ms -= 2000
    answer = only(bench.step(vote("b", 4, (1, 3), pre=True)), RequestVoteResponse)
    assert not answer.granted
    bench.now_ms += TIMING.heartbeat_timeout_ms
    assert only(bench.step(vote("b", 4, (1, 3), pre=True)), RequestVoteResponse).granted


def test_pre_vote_changes_nothing_thesis_9_6() -> None:
    bench = Bench()
    assert only(bench.step(vote("b", 2, (1, 1), pre=True)), RequestVoteResponse).granted
    assert (bench.raft.term, bench.raft.vote) == (1, "")
    bench.now_ms += 5000
    asked = bench.step(Timer())
    assert all(isinstance(message, RequestVote) and message.pre and message.term == 2 for message in asked)
    assert bench.raft.term == 1


def test_whoever_only_asks_others_still_votes_thesis_9_6() -> None:
    """Its own term has not begun; to refuse a candidate of the current one would cost an election."""
    bench = Bench(term=3)
    bench.now_ms += 5000
    bench.step(Timer())
    assert bench.raft.pre_voting
    assert only(bench.step(vote("b", 3, (1, 1))), RequestVoteResponse).granted
    assert (bench.raft.role, bench.raft.vote) == (Role.FOLLOWER, "b")


def test_the_lease_runs_from_the_sending_thesis_6_4_1() -> None:
    bench = Bench()
    bench.lead()
    matched(bench, "b", 2)
    sent_ms = bench.now_ms
    bench.now_ms += 300
    bench.step(HeartbeatResponse(sender="b", to="a", term=2, success=True, round=0, sent_ms=sent_ms))
    assert bench.raft.lease_until_ms == sent_ms + TIMING.lease_ms


def test_a_leader_that_removes_itself_gives_up_its_lease_thesis_4_2_2() -> None:
    """The voter that it leaves behind needs nobody's vote, and so waits for no lease to run out."""
    bench = Bench(servers=SERVERS[:2])
    bench.lead()
    matched(bench, "b", 2)
    assert bench.raft.lease_until_ms > bench.now_ms
    bench.step(ChangeConfiguration(SERVERS[1:2]))
    assert bench.raft.role is Role.LEADER
    assert bench.raft.lease_until_ms == 0
    bench.step(HeartbeatResponse(sender="b", to="a", term=2, success=True, round=0, sent_ms=bench.now_ms))
    assert bench.raft.lease_until_ms == 0


def test_no_lease_before_the_first_entry_of_the_term_is_applied() -> None:
    bench = Bench()
    bench.lead()
    bench.step(HeartbeatResponse(sender="b", to="a", term=2, success=True, round=0, sent_ms=bench.now_ms))
    assert bench.raft.lease_until_ms == 0


def test_a_leader_that_reaches_no_quorum_steps_down_thesis_6_2() -> None:
    bench = Bench()
    bench.lead()
    bench.now_ms += TIMING.heartbeat_timeout_ms
    bench.step(Timer())
    assert bench.raft.role is Role.FOLLOWER


# --- §5.3: replication ---


def test_appended_entries_are_durable_before_the_answer_figure_2() -> None:
    bench = Bench()
    bench.flushing = False
    assert bench.step(append(1, (1, 1), (1,))) == []
    bench.raft.step(WriteDone(1), bench.now_ms)
    assert only(bench.drain(), AppendEntriesResponse).match_index == 2


def test_a_heartbeat_does_not_wait_for_entries_on_their_way_to_the_disk() -> None:
    bench = Bench()
    bench.flushing = False
    bench.step(append(1, (1, 1), (1,)))
    assert only(bench.step(Heartbeat(sender="b", to="a", term=1, round=3, sent_ms=4)), HeartbeatResponse).success


def test_a_gap_is_refused_with_a_hint_5_3() -> None:
    bench = Bench((1, 1, 1))
    answer = only(bench.step(append(2, (9, 2), (2,))), AppendEntriesResponse)
    assert (answer.success, answer.hint_index, answer.hint_term) == (False, 3, 1)


def test_a_conflicting_suffix_is_replaced_5_3() -> None:
    bench = Bench((1, 1, 2, 2, 2), term=2)
    assert only(bench.step(append(3, (2, 1), (3,))), AppendEntriesResponse).success
    assert [entry.term for entry in bench.store.stored] == [1, 1, 3]


def test_what_is_replaced_before_it_was_written_is_confirmed_to_nobody_figure_2() -> None:
    bench = Bench()
    bench.flushing = False
    bench.step(append(1, (1, 1), (1,)))
    bench.step(append(1, (2, 1), (1,)))
    bench.step(append(2, (2, 1), (2,), sender="c"))
    bench.raft.step(WriteDone(1), bench.now_ms)
    first = only(bench.drain(), AppendEntriesResponse)
    assert (first.success, first.match_index) == (True, 2)
    bench.raft.step(WriteDone(2), bench.now_ms)
    old, new = (message for message in bench.drain() if isinstance(message, AppendEntriesResponse))
    assert (old.to, old.success, old.term) == ("b", False, 2)
    assert (new.to, new.success, new.match_index) == ("c", True, 3)


def test_a_late_append_removes_nothing_5_3() -> None:
    bench = Bench((1, 1, 1, 1))
    assert only(bench.step(append(1, (1, 1), (1,))), AppendEntriesResponse).match_index == 2
    assert bench.raft.log.last_index == 4


def test_what_is_committed_here_need_not_be_sent_again_5_4() -> None:
    bench = Bench((1, 1, 1, 1))
    bench.step(append(1, (3, 1), commit=3))
    assert only(bench.step(append(2, (0, 0))), AppendEntriesResponse).match_index == 3
    assert only(bench.step(append(2, (1, 1), (1,))), AppendEntriesResponse).match_index == 3


def test_commit_goes_no_further_than_what_matches_5_3() -> None:
    bench = Bench((1, 1, 2, 2), term=2)
    bench.step(append(3, (2, 1), commit=4))
    assert bench.raft.commit_index == 2


def test_what_another_server_has_applied_is_committed_where_the_entry_is_the_same_5_3() -> None:
    bench = Bench((1, 1, 2, 2), term=2)
    for other in (Committed(4, 1), Committed(4, 3), Committed(5, 2), Committed(0, 0)):
        bench.step(other)
        assert bench.raft.commit_index == 0
    bench.step(Committed(3, 2))
    assert [entry.index for entry in bench.applied] == [1, 2, 3]
    bench.step(Committed(2, 1))
    assert bench.raft.commit_index == 3


def test_a_leader_learns_of_no_commitment_it_counts_itself() -> None:
    """Nor does it say that it might: who waits for an entry would ask again in every turn."""
    bench = Bench((1, 1))
    assert bench.raft.has_uncommitted(2, 1)
    bench.lead()
    assert bench.raft.role is Role.LEADER
    assert not bench.raft.has_uncommitted(2, 1)
    bench.step(Committed(2, 1))
    assert bench.raft.commit_index == 0


def test_a_committed_entry_is_never_replaced_5_4() -> None:
    bench = Bench((1, 1, 1))
    bench.step(append(1, (3, 1), commit=3))
    bench.step(append(2, (1, 1), (2, 2)))
    assert [entry.term for entry in bench.store.stored] == [1, 1, 1]


def test_malformed_entries_are_refused_and_counted() -> None:
    bench = Bench()
    gap = AppendEntries(
        sender="b",
        to="a",
        term=1,
        prev_index=1,
        prev_term=1,
        entries=[LogEntry(5, 1, EntryKind.NOOP, b"")],
        commit_index=0,
    )
    assert not only(bench.step(gap), AppendEntriesResponse).success
    assert bench.raft.peer_errors == 1


def test_a_leader_skips_a_conflicting_term_at_once_5_3() -> None:
    bench = Bench((1, 1, 1, 4, 4, 4), term=4)
    bench.lead()
    refused = AppendEntriesResponse(
        sender="b", to="a", term=5, success=False, prev_index=6, hint_index=6, hint_term=3, sent_ms=bench.now_ms
    )
    assert only(bench.step(refused), AppendEntries).prev_index == 3


# --- §5.4.2: commitment ---


def test_only_an_entry_of_the_current_term_commits_by_counting_figure_8() -> None:
    bench = Bench((1, 2), term=3)
    bench.lead()
    matched(bench, "b", 2)
    assert bench.raft.commit_index == 0
    matched(bench, "b", 3)
    assert bench.raft.commit_index == 3


def test_a_leader_counts_its_own_log_only_when_durable_thesis_10_2_1() -> None:
    bench = Bench()
    bench.lead()
    matched(bench, "b", 2)
    bench.flushing = False
    sent = bench.step(Propose([b"x"]))
    assert any(isinstance(message, AppendEntries) and message.entries for message in sent)
    matched(bench, "b", 3)
    assert bench.raft.commit_index == 2
    assert bench.raft.write is not None
    bench.raft.step(WriteDone(bench.raft.write.number), bench.now_ms)
    assert bench.raft.commit_index == 3


# --- §7: snapshots ---


def install(term: int, index: int, snapshot_term: int) -> InstallSnapshot:
    point = SnapshotPoint(id="s", index=index, term=snapshot_term, configuration=Configuration(SERVERS, 1))
    return InstallSnapshot(sender="b", to="a", term=term, snapshot=point)


def test_a_snapshot_beyond_the_log_replaces_it_7() -> None:
    bench = Bench((1, 1, 1))
    assert only(bench.step(install(2, 9, 2)), InstallSnapshotResponse).success
    log = bench.raft.log
    assert (log.last_index, log.last_term, bench.raft.commit_index, bench.raft.applied_index) == (9, 2, 9, 9)


def test_a_snapshot_that_the_log_contains_keeps_what_follows_it_figure_13() -> None:
    bench = Bench((1, 1, 1))
    assert only(bench.step(install(1, 2, 1)), InstallSnapshotResponse).success
    assert (bench.raft.log.last_index, bench.raft.commit_index) == (3, 2)


def test_an_old_snapshot_takes_nothing_back_7() -> None:
    bench = Bench((1, 1, 1))
    bench.step(append(1, (3, 1), commit=3))
    assert only(bench.step(install(1, 2, 1)), InstallSnapshotResponse).success
    assert (bench.raft.log.last_index, bench.raft.applied_index) == (3, 3)


def test_a_snapshot_of_a_term_to_come_is_refused_and_counted() -> None:
    bench = Bench((1, 1, 1))
    assert not only(bench.step(install(2, 9, 3)), InstallSnapshotResponse).success
    assert (bench.raft.log.last_index, bench.raft.peer_errors) == (3, 1)


# --- thesis §6.4: reads ---


def test_a_read_waits_for_a_round_that_began_after_it_thesis_6_4() -> None:
    bench = Bench()
    bench.lead()
    matched(bench, "b", 2)
    bench.raft.step(ReadIndex([7]), bench.now_ms)
    ready = bench.raft.ready()
    assert ready is not None
    assert ready.reads == []
    beat = next(message for message in ready.messages if isinstance(message, Heartbeat))
    late = HeartbeatResponse(sender="b", to="a", term=2, success=True, round=beat.round - 1, sent_ms=bench.now_ms)
    bench.raft.step(late, bench.now_ms)
    assert bench.raft.read_states == []
    answer = HeartbeatResponse(sender="b", to="a", term=2, success=True, round=beat.round, sent_ms=bench.now_ms)
    bench.raft.step(answer, bench.now_ms)
    assert bench.raft.read_states == [ReadState(7, 2)]


def test_a_follower_confirms_no_read() -> None:
    bench = Bench()
    bench.raft.step(ReadIndex([1]), bench.now_ms)
    assert bench.raft.read_states == [ReadState(1, None)]


# --- thesis chapter 4: configurations ---


def test_a_change_counts_when_appended_and_is_undone_by_truncation_thesis_4_1() -> None:
    bench = Bench()
    data = encode_configuration((*SERVERS, nonvoter("d")))
    entry = LogEntry(2, 1, EntryKind.CONFIGURATION, data)
    bench.step(AppendEntries(sender="b", to="a", term=1, prev_index=1, prev_term=1, entries=[entry], commit_index=0))
    assert bench.raft.configuration.get("d") == nonvoter("d")
    bench.step(append(2, (1, 1), (2,), sender="c"))
    assert bench.raft.configuration.get("d") is None


def test_one_change_at_a_time_and_none_before_the_term_began_thesis_4_1() -> None:
    bench = Bench()
    bench.lead()
    change = ChangeConfiguration((*SERVERS, Server("d", "d:8300")))
    assert bench.raft.refuse_change(change) is not None
    matched(bench, "b", 2)
    assert bench.raft.refuse_change(change) is None
    bench.step(change)
    assert bench.raft.refuse_change(ChangeConfiguration(SERVERS)) is not None
    assert bench.raft.voters == {"a", "b", "c", "d"}


def test_two_voters_at_once_are_refused_thesis_4_1() -> None:
    bench = Bench()
    bench.lead()
    matched(bench, "b", 2)
    assert bench.raft.refuse_change(ChangeConfiguration(SERVERS[:1])) is not None


def test_a_non_voter_never_stands() -> None:
    bench = Bench(servers=(nonvoter("a"), *SERVERS[1:]))
    assert bench.raft.deadline_ms() is None


def test_a_removed_server_stands_until_its_removal_is_committed_thesis_4_2_2() -> None:
    bench = Bench((1, 1), term=1)
    removal = LogEntry(3, 1, EntryKind.CONFIGURATION, encode_configuration(SERVERS[1:]))
    bench.step(AppendEntries(sender="b", to="a", term=1, prev_index=2, prev_term=1, entries=[removal], commit_index=2))
    assert bench.raft.voters == {"b", "c"}
    bench.now_ms = bench.raft.deadline_ms() or 0
    assert [message.to for message in bench.step(Timer()) if isinstance(message, RequestVote)] == ["b", "c"]
    bench.step(RequestVoteResponse(sender="b", to="a", term=1, request_term=2, granted=True, pre=True))
    assert bench.raft.term == 1, "its own vote does not count"
    bench.step(append(1, (3, 1), commit=3))
    bench.now_ms = bench.raft.deadline_ms() or 0
    assert bench.step(Timer()) == []
    assert bench.raft.deadline_ms() is None


# --- thesis §3.10: transfer ---


def test_timeout_now_comes_when_the_target_has_everything_thesis_3_10() -> None:
    bench = Bench()
    bench.lead()
    matched(bench, "c", 2)
    assert bench.raft.lease_until_ms > 0
    assert not any(isinstance(message, TimeoutNow) for message in bench.step(TransferLeadership("b")))
    bench.step(Propose([b"refused"]))
    assert bench.raft.log.last_index == 2
    assert only(matched(bench, "b", 2), TimeoutNow).to == "b"
    assert bench.raft.lease_until_ms == 0


def test_timeout_now_of_another_term_is_ignored() -> None:
    bench = Bench(term=3)
    bench.step(TimeoutNow(sender="b", to="a", term=2))
    assert bench.raft.role is Role.FOLLOWER
    asked = bench.step(TimeoutNow(sender="b", to="a", term=3))
    assert all(isinstance(message, RequestVote) and message.transfer and not message.pre for message in asked)


# --- thesis §10.2.1: the leader's own disk ---


def test_a_leader_whose_disk_hangs_gives_way_to_a_voter_that_has_everything_thesis_10_2_1() -> None:
    bench = Bench()
    bench.lead()
    matched(bench, "b", 2)
    bench.flushing = False
    bench.step(Propose([b"x"]))
    until_ms = bench.now_ms + TIMING.stall_ms
    matched(bench, "c", 3)
    while bench.now_ms < until_ms:
        assert bench.raft.role is Role.LEADER
        bench.now_ms = min(until_ms, bench.now_ms + TIMING.heartbeat_interval_ms)
        for follower in ("b", "c"):
            answer = HeartbeatResponse(sender=follower, to="a", term=2, success=True, round=0, sent_ms=bench.now_ms)
            bench.step(answer)
    deadline_ms = bench.raft.deadline_ms()
    assert deadline_ms is not None
    assert deadline_ms <= until_ms
    assert only(bench.step(Timer()), TimeoutNow).to == "c"
    assert (bench.raft.role, bench.raft.lease_until_ms) == (Role.FOLLOWER, 0)


def test_a_single_server_without_room_looks_again_later() -> None:
    bench = Bench(servers=SERVERS[:1])
    bench.flushing = False
    bench.step(Timer())
    bench.step(OutOfRoom(LOG))
    for _ in range(3):
        bench.now_ms = max(bench.now_ms, bench.raft.deadline_ms() or 0)
        bench.step(Timer())
        assert (bench.raft.deadline_ms() or 0) >= bench.now_ms + TIMING.election_timeout_ms
    assert bench.raft.role is not Role.LEADER


def test_a_single_server_waits_for_its_disk() -> None:
    bench = Bench(servers=SERVERS[:1])
    bench.step(Timer())
    assert bench.raft.role is Role.LEADER
    bench.flushing = False
    bench.step(Propose([b"x"]))
    bench.now_ms += 100 * TIMING.stall_ms
    bench.step(Timer())
    assert bench.raft.role is Role.LEADER


# --- full disks ---


def test_a_leader_without_room_gives_way_to_the_voter_that_has_the_most() -> None:
    bench = Bench()
    bench.lead()
    matched(bench, "b", 2)
    bench.step(Propose([b"x", b"y"]))
    matched(bench, "c", 3)
    assert only(bench.step(OutOfRoom("log")), TimeoutNow).to == "c"
    assert (bench.raft.role, bench.raft.lease_until_ms) == (Role.FOLLOWER, 0)


def test_a_server_without_room_does_not_stand() -> None:
    """It could not write its own vote down; that its term rose would only disturb who can."""
    bench = Bench(term=3)
    bench.step(OutOfRoom("state"))
    for _ in range(5):
        deadline_ms = bench.raft.deadline_ms()
        assert deadline_ms is not None
        bench.now_ms = deadline_ms
        assert bench.step(Timer()) == []
    assert bench.step(TimeoutNow(sender="b", to="a", term=3)) == []
    assert (bench.raft.role, bench.raft.term) == (Role.FOLLOWER, 3)
    bench.step(RoomAgain("state"))
    deadline_ms = bench.raft.deadline_ms()
    assert deadline_ms is not None
    bench.now_ms = deadline_ms
    assert all(isinstance(message, RequestVote) and message.pre for message in bench.step(Timer()))


def test_a_single_server_without_room_leads_and_takes_nothing() -> None:
    bench = Bench(servers=SERVERS[:1])
    bench.step(Timer())
    bench.step(OutOfRoom("log"))
    assert bench.raft.role is Role.LEADER
    assert not bench.raft.may_propose
    bench.step(RoomAgain("log"))
    assert bench.raft.may_propose
