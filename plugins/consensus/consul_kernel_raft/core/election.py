"""Elections: pre-vote, vote, and the rule that protects a working leader from both."""

from __future__ import annotations

from consul_kernel.contracts.consensus import Role

from .messages import RequestVote, RequestVoteResponse
from .replication import begin_leadership
from .state import RaftState
from .tracker import quorum_size


def election_timeout(state: RaftState, now_ms: int) -> None:
    """No word from a leader for too long (§5.2), or no outcome of the last election."""
    if not state.may_stand:
        state.reset_election_timer(now_ms)
        return
    if state.log.pending_snapshot is not None or state.without_room:
        _set_candidate_timer(state, now_ms)  # look again later: a single voter's own timeout has no length
        return
    if state.voters == {state.id}:
        stand(state, now_ms, transfer=False)
    else:
        _ask_first(state, now_ms)


def _ask_first(state: RaftState, now_ms: int) -> None:
    """Pre-vote: raise the term only once a majority would vote for it (thesis §9.6)."""
    state.role = Role.CANDIDATE
    state.pre_voting = True
    state.leader_id = None
    state.votes = {state.id}
    _set_candidate_timer(state, now_ms)
    for message in _vote_requests(state, state.term + 1, pre=True, transfer=False):
        state.send(message)


def stand(state: RaftState, now_ms: int, *, transfer: bool) -> None:
    """Begin an election (§5.2). Our own vote counts, and the others are asked, once it is durable."""
    state.term += 1
    state.vote = state.id
    state.role = Role.CANDIDATE
    state.pre_voting = False
    state.leader_id = None
    state.votes = set()
    _set_candidate_timer(state, now_ms)
    for message in _vote_requests(state, state.term, pre=False, transfer=transfer):
        state.send_when_durable(message)


def _set_candidate_timer(state: RaftState, now_ms: int) -> None:
    base_ms = state.timing.election_timeout_ms
    state.election_deadline_ms = now_ms + state.rng.randint(base_ms, 2 * base_ms)


def _vote_requests(state: RaftState, term: int, *, pre: bool, transfer: bool) -> list[RequestVote]:
    return [
        RequestVote(
            sender=state.id,
            to=server.id,
            term=term,
            last_index=state.log.last_index,
            last_term=state.log.last_term,
            pre=pre,
            transfer=transfer,
        )
        for server in state.configuration.servers
        if server.id != state.id and server.id in state.voters
    ]


def own_vote_is_durable(state: RaftState, now_ms: int) -> None:
    """Called after each write: a candidate counts itself only when a crash cannot undo its vote."""
    if (
        state.role is Role.CANDIDATE
        and not state.pre_voting
        and state.durable.term == state.term
        and state.durable.vote == state.id
        and state.id not in state.votes
    ):
        _count_vote(state, state.id, now_ms)


def receive_vote_request(state: RaftState, request: RequestVote, now_ms: int) -> None:
    """Answer a candidate (paper, figure 2; thesis §4.2.3 and §9.6)."""
    if not request.transfer and _leader_is_alive(state, now_ms):
        _answer(state, request, granted=False, durable=False)
    elif request.pre:
        granted = request.term > state.term and state.log.is_up_to_date(request.last_index, request.last_term)
        _answer(state, request, granted=granted, durable=False)
    elif request.term < state.term:
        _answer(state, request, granted=False, durable=False)
    else:
        _vote(state, request, now_ms)


def _leader_is_alive(state: RaftState, now_ms: int) -> bool:
    """Whether a leader was heard from within the minimum election timeout (thesis §4.2.3).

    Such a server neither votes nor takes a newer term from a candidate: the lease rests on it (§6.4.1), and a
    server that was removed, or cut off, cannot depose a leader that works.
    """
    if state.leadership is not None:
        return now_ms < state.leadership.tracker.contact_ms() + state.timing.heartbeat_timeout_ms
    return now_ms < state.vote_guard_until_ms


def _vote(state: RaftState, request: RequestVote, now_ms: int) -> None:
    """One vote for each term, first come first served, only for a log as up-to-date as ours (§5.2, §5.4.1)."""
    if request.term > state.term:
        state.become_follower(request.term, None, now_ms)
    granted = (
        (state.role is Role.FOLLOWER or state.pre_voting)
        and state.vote in ("", request.sender)
        and state.log.is_up_to_date(request.last_index, request.last_term)
    )
    if granted:
        state.vote = request.sender
        state.become_follower(state.term, state.leader_id, now_ms)  # whoever only asked others waits for this one
    _answer(state, request, granted=granted, durable=True)


def _answer(state: RaftState, request: RequestVote, *, granted: bool, durable: bool) -> None:
    answer = RequestVoteResponse(
        sender=state.id,
        to=request.sender,
        term=state.term,
        request_term=request.term,
        granted=granted,
        pre=request.pre,
        token=request.token,
    )
    if durable:
        state.send_when_durable(answer)  # the vote must not be forgotten (figure 2: persistent state)
    else:
        state.send(answer)


def receive_vote_response(state: RaftState, response: RequestVoteResponse, now_ms: int) -> None:
    """Count a vote, if it belongs to the election under way."""
    if response.term > state.term and not (response.pre and response.granted):
        state.become_follower(response.term, None, now_ms)
        return
    if state.role is not Role.CANDIDATE or not response.granted or response.pre is not state.pre_voting:
        return
    if response.request_term != state.term + (1 if state.pre_voting else 0):
        return
    _count_vote(state, response.sender, now_ms)


def _count_vote(state: RaftState, voter: str, now_ms: int) -> None:
    voters = state.voters
    if voter not in voters:
        return
    state.votes.add(voter)
    if len(state.votes & voters) < quorum_size(len(voters)):
        return
    if state.pre_voting:
        stand(state, now_ms, transfer=False)
    else:
        begin_leadership(state, now_ms)
