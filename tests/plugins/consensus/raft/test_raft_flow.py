"""Flow control: what a leader has under way to one follower is bounded, and nothing that is lost stays lost."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from consul_kernel.contracts.errors import StoreError
from consul_kernel.contracts.store import LogEntry
from consul_kernel_raft.core import Limits, Propose, Timer, Unreachable
from consul_kernel_raft.core.messages import (
    AppendEntries,
    AppendEntriesResponse,
    HeartbeatResponse,
    InstallSnapshot,
    Message,
)
from consul_kernel_raft.core.progress import ProgressState
from plugins.consensus.raft.raft_pair import TIMING, Bench

SMALL = Limits(append_entries_max=1, inflight_max=4, inflight_bytes_max=1000)


def leading(limits: Limits = SMALL) -> Bench:
    """A leader whose follower b has everything, and whose follower c is never heard of."""
    bench = Bench(limits=limits)
    bench.lead()
    acknowledge(bench, 2)
    return bench


def acknowledge(bench: Bench, index: int, *, commit_index: int = 0) -> list[Message]:
    response = AppendEntriesResponse(
        sender="b",
        to="a",
        term=bench.raft.term,
        success=True,
        prev_index=0,
        match_index=index,
        commit_index=commit_index,
        sent_ms=bench.now_ms,
    )
    return bench.step(response)


def beat(bench: Bench) -> list[Message]:
    return bench.step(
        HeartbeatResponse(sender="b", to="a", term=bench.raft.term, success=True, round=0, sent_ms=bench.now_ms)
    )


def to_b(messages: Sequence[Message]) -> list[AppendEntries]:
    return [message for message in messages if isinstance(message, AppendEntries) and message.to == "b"]


def sent(messages: Sequence[Message]) -> list[int]:
    """The indexes of the entries on their way to b."""
    return [entry.index for message in to_b(messages) for entry in message.entries]


def test_entries_go_out_without_waiting_until_the_window_is_full() -> None:
    bench = leading()
    assert sent(bench.step(Propose([b"x"] * 10))) == [3, 4, 5, 6]
    assert sent(bench.step(Propose([b"x"]))) == []
    assert sent(acknowledge(bench, 5)) == [7, 8, 9]
    assert sent(acknowledge(bench, 9)) == [10, 11, 12, 13]


def test_the_window_is_bounded_in_bytes_too() -> None:
    """The append that goes beyond is the last one, so that an entry of any size gets through."""
    bench = leading()
    assert sent(bench.step(Propose([b"x" * 600] * 4))) == [3, 4]
    assert sent(acknowledge(bench, 3)) == [5]
    assert sent(acknowledge(bench, 5)) == [6]
    assert sent(bench.step(Propose([b"y" * 5000]))) == [7]
    assert sent(bench.step(Propose([b"z"]))) == []
    assert sent(acknowledge(bench, 7)) == [8]


@pytest.mark.parametrize("full", [True, False])
def test_a_follower_that_only_answers_heartbeats_is_sent_no_entry_twice(full: bool) -> None:
    """Its disk hangs: entries that were sent may still be confirmed, and repeating them would pile them up."""
    bench = leading()
    bench.step(Propose([b"x"] * (4 if full else 2)))
    for _ in range(20):
        again = beat(bench)
        assert [message.entries for message in to_b(again)] == [()]
    bench.step(Unreachable("b"))
    for _ in range(20):
        assert sent(beat(bench)) == []
    assert sent(acknowledge(bench, 3)) == [4, 5, 6] if full else [4]


def test_what_was_lost_is_found_missing_and_sent_again() -> None:
    bench = leading()
    bench.step(Propose([b"x"] * 3))
    (question,) = to_b(beat(bench))
    refusal = AppendEntriesResponse(
        sender="b",
        to="a",
        term=bench.raft.term,
        success=False,
        prev_index=question.prev_index,
        hint_index=2,
        hint_term=2,
        sent_ms=bench.now_ms,
    )
    assert sent(bench.step(refusal)) == [3]
    assert sent(acknowledge(bench, 3)) == [4, 5]


def test_a_commitment_whose_notice_was_lost_is_told_again() -> None:
    """Nothing else would tell the follower before the next write, and its stale reads would stay stale."""
    bench = leading()
    bench.step(Propose([b"x"]))
    acknowledge(bench, 3, commit_index=2)
    assert bench.raft.commit_index == 3
    bench.now_ms += TIMING.commit_ms
    assert [message.commit_index for message in to_b(bench.step(Timer()))] == [3]
    assert [message.commit_index for message in to_b(beat(bench))] == [3]
    acknowledge(bench, 3, commit_index=3)
    assert to_b(beat(bench)) == []


def test_entries_that_should_be_there_and_cannot_be_read_stop_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot in their place would hide a broken disk, and come round again with every answer."""
    bench = Bench((1, 1, 1, 1))
    bench.lead()

    def entries(first: int, last: int, max_bytes: int) -> Sequence[LogEntry]:
        raise StoreError("input/output error")

    monkeypatch.setattr(bench.store, "entries", entries)
    refusal = AppendEntriesResponse(
        sender="c", to="a", term=bench.raft.term, success=False, prev_index=4, hint_index=2, sent_ms=bench.now_ms
    )
    with pytest.raises(StoreError, match="input/output"):
        bench.step(refusal)


def test_a_follower_that_lacks_what_is_not_kept_is_sent_a_snapshot_7() -> None:
    bench = leading()
    bench.step(Propose([b"x"] * 4))
    acknowledge(bench, 6)
    bench.save_snapshot(5)
    bench.step(Propose([b"y"]))
    acknowledge(bench, 7)
    refusal = AppendEntriesResponse(
        sender="c", to="a", term=bench.raft.term, success=False, prev_index=1, hint_index=0, sent_ms=bench.now_ms
    )
    (snapshot,) = (message for message in bench.step(refusal) if isinstance(message, InstallSnapshot))
    assert (snapshot.to, snapshot.snapshot.index) == ("c", 5)
    assert bench.raft.leadership is not None
    assert bench.raft.leadership.tracker.progress["b"].state is ProgressState.REPLICATE
