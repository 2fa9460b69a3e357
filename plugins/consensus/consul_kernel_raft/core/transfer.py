"""Leadership handed over: because somebody asked for it (thesis §3.10), or because the disk of the leader hangs."""

from __future__ import annotations

from consul_kernel.contracts.consensus import Suffrage

from .messages import TimeoutNow
from .state import RaftState


def begin_transfer(state: RaftState, target_id: str, now_ms: int) -> None:
    """Take no more proposals, and hand over once the target has the whole log, within an election timeout."""
    leadership, target = state.leadership, state.configuration.get(target_id)
    if leadership is None or leadership.transfer_target is not None:
        return
    if target is None or target.id == state.id or target.suffrage is not Suffrage.VOTER:
        return
    leadership.transfer_target = target.id
    leadership.transfer_until_ms = now_ms + state.timing.election_timeout_ms
    maybe_hand_over(state)


def maybe_hand_over(state: RaftState) -> None:
    """Ask the target of a transfer to stand once it has the whole log (thesis §3.10)."""
    leadership = state.leadership
    if leadership is None or leadership.transfer_target is None or leadership.transfer_sent:
        return
    progress = leadership.tracker.progress.get(leadership.transfer_target)
    if progress is not None and progress.match_index == state.log.last_index:
        leadership.transfer_sent = True
        leadership.lease_until_ms = 0
        state.send(TimeoutNow(sender=state.id, to=leadership.transfer_target, term=state.term))


def end_transfer(state: RaftState, now_ms: int) -> None:
    """The target did not take over in time (thesis §3.10: then go on leading).

    After TimeoutNow the lease of this term is gone for good, so the way on is a new election.
    """
    leadership = state.leadership
    if leadership is None:
        return
    if leadership.transfer_sent:
        state.become_follower(state.term, None, now_ms)
    else:
        leadership.transfer_target = None


def give_way(state: RaftState, now_ms: int) -> None:
    """Step down for a disk that hangs or is full, and have the voter stand at once that has the most of the log.

    A leader writes in parallel with its followers (thesis §10.2.1), so a quorum may go on without its disk; but
    what is committed so it cannot apply and answer. Another one can. Nobody who lacks what is committed is asked:
    it would not win, and disturb who could.
    """
    leadership = state.leadership
    if leadership is None:
        return
    leadership.stalled = True
    progress = leadership.tracker.progress
    ready = [server_id for server_id in progress if server_id in state.voters]
    ready = [server_id for server_id in ready if progress[server_id].match_index >= state.commit_index]
    if ready:
        latest = max(ready, key=lambda peer: (progress[peer].match_index, progress[peer].contact_ms, peer))
        state.send(TimeoutNow(sender=state.id, to=latest, term=state.term))
    state.become_follower(state.term, None, now_ms)
