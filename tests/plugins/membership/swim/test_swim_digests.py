"""Exchanges by digests: they end as whole exchanges do, and cost what differs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.contracts.membership import MemberStatus
from consul_kernel_swim.core.digest_messages import Difference, Digest, PartialState
from consul_kernel_swim.core.digest_table import DigestTable, bucket_count
from consul_kernel_swim.core.messages import Alive, Dead, ErrorReply, Message, NodeState, Suspect, User
from consul_kernel_swim.core.serf_messages import JoinIntent, LeaveIntent, UserEventMessage
from consul_kernel_swim.core.settings import PROTOCOL_VERSIONS
from consul_kernel_swim.core.streams import PushPull
from consul_kernel_swim.core.tags import encode_tags
from plugins.membership.swim.core_pair import RARELY, Pair, Side

VERSIONS = RARELY.versions
CLOCK = User(JoinIntent(1_000, "a").encode())
"""The Lamport clocks are far from what is said of members, as in a pool that has lived."""


def alive(number: int, incarnation: int = 1, versions: bytes = VERSIONS, host: int = 1, **tags: str) -> Alive:
    return Alive(
        incarnation, f"n{number}", bytes((10, host, number >> 8, number & 255)), 7946, encode_tags(tags), versions
    )


def user_event(lamport_time: int, name: str) -> User:
    return User(UserEventMessage(lamport_time, name, b"payload").encode())


def pool(count: int = 40) -> Pair:
    """Two that know the same members, and that have compared it."""
    pair = Pair()
    pair.meet()
    pair.tell([CLOCK, *(alive(number) for number in range(count))])
    pair.exchange_all()
    pair.sent.clear()
    pair.sent_bytes = 0
    return pair


def kinds(pair: Pair) -> list[type]:
    return [type(message) for message in pair.sent]


def status(side: Side, name: str) -> MemberStatus | None:
    member = side.swim.serf.roster.get(name)
    return None if member is None else member.status


def hashed_anew(side: Side) -> tuple[int, ...]:
    """The sums of a table that begins from nothing."""
    roster = side.swim.serf.roster
    names = {node.name for node in side.swim.nodes} | set(roster.names())
    table = DigestTable(side.swim.nodes, set(names), roster.status_time, roster.names)
    for _ in table.refresh():
        pass
    return table.sums(256)


def hashed(side: Side) -> tuple[int, ...]:
    for _ in side.swim.digest_table.refresh():
        pass
    return side.swim.digest_table.sums(256)


# --- what it costs ---


@pytest.mark.parametrize("count", [10, 100, 3_000])
def test_equal_states_cost_the_digest_alone(count: int) -> None:
    pair = pool(count)
    pair.compare()
    assert kinds(pair) == [Digest, Difference]
    assert pair.sent_bytes < 250 + 8 * bucket_count(count)
    assert pair.a.swim.counters["digests_differed"] == 0


def test_buckets_grow_with_the_pool_and_a_digest_stays_below_two_kilobytes() -> None:
    assert [bucket_count(count) for count in (0, 1, 31, 32, 100, 300, 1_000, 3_000, 10_000, 100_000)] == [
        1,
        1,
        1,
        2,
        4,
        16,
        32,
        128,
        256,
        256,
    ]


def test_one_member_that_differs_costs_its_bucket_and_its_state() -> None:
    pair = pool(1_000)
    pair.a.receive(alive(7, 2, role="new"))
    pair.compare()
    assert kinds(pair) == [Digest, Difference, PartialState, PartialState]
    assert [len(message.nodes) for message in pair.sent if isinstance(message, PartialState)] == [1, 1]
    assert pair.sent_bytes < 3_000
    node = pair.b.swim.nodes.peek("n7")
    assert node is not None
    assert node.incarnation == 2
    pair.sent.clear()
    pair.compare()
    assert kinds(pair) == [Digest, Difference]


# --- each kind of news, both ways ---

NEWS: dict[str, list[Message]] = {
    "a newcomer": [alive(900)],
    "other tags": [alive(1, 2, role="web")],
    "a refutation": [alive(1, 2)],
    "a suspicion": [Suspect(1, "n1", "x")],
    "a death": [Dead(1, "n1", "x")],
    "a leave": [User(LeaveIntent(5, "n1").encode()), Dead(1, "n1", "n1")],
    "an intent to join": [User(JoinIntent(7, "n1").encode())],
    "a user event": [user_event(3, "deploy")],
    "a new address": [Dead(1, "n1", "n1"), alive(1, 2, host=9)],
    "an accusation of one side": [Suspect(1, "a", "x")],
    "an accusation of the other": [Suspect(1, "b", "x")],
    "the death of one side": [Dead(1, "a", "x")],
    "the death of the other": [Dead(1, "b", "x")],
}


def picture(side: Side) -> object:
    """All that two exchanges must agree upon. Who left has no agreed time: each whole state counts it up by one."""
    nodes = {
        node.name: (node.state, node.incarnation, node.host, node.port, node.meta, node.versions)
        for node in side.swim.nodes
    }
    roster = side.swim.serf.roster
    members = {
        member.name: (
            member.status,
            member.address,
            dict(member.tags),
            None if member.status is MemberStatus.LEFT else roster.status_time(member.name),
        )
        for member in roster.members()
    }
    return nodes, members, side.swim.lamport_times(), side.swim.serf.user_events.remembered()


@pytest.mark.parametrize("what", NEWS)
@pytest.mark.parametrize("knows", ["a", "b"])
def test_news_of_either_side_ends_as_after_a_whole_exchange(what: str, knows: str) -> None:
    by_digests, whole = pool(), pool()
    for pair in (by_digests, whole):
        (pair.a if knows == "a" else pair.b).receive(*NEWS[what])
    by_digests.compare_by_digests()
    whole.exchange_all()
    assert kinds(by_digests)[:2] == [Digest, Difference]
    assert picture(by_digests.a) == picture(whole.a)
    assert picture(by_digests.b) == picture(whole.b)


def test_who_has_failed_for_one_and_left_for_the_other_has_left_for_both() -> None:
    for knows_better in ("a", "b"):
        pair = pool()
        pair.tell([Dead(1, "n1", "x")])
        one = pair.a if knows_better == "a" else pair.b
        one.receive(User(LeaveIntent(9, "n1").encode()))
        pair.compare()
        assert status(pair.a, "n1") is status(pair.b, "n1") is MemberStatus.LEFT
        pair.sent.clear()
        pair.compare()
        assert kinds(pair) == [Digest, Difference]


# --- what differs for ever, and is no news ---


def test_those_that_are_gone_differ_for_nobody() -> None:
    """One holds them for failed, or for left, or at an older incarnation; another has never heard of them."""
    pair = pool()
    pair.a.receive(alive(900), Dead(1, "n900", "x"), alive(901), User(LeaveIntent(5, "n901").encode()))
    pair.a.receive(Dead(1, "n901", "n901"), Dead(1, "n3", "n3"))
    pair.b.receive(Dead(4, "n3", "n3"))
    pair.compare()
    assert kinds(pair) == [Digest, Difference]
    assert status(pair.b, "n900") is status(pair.b, "n901") is None


def test_many_failed_are_drawn_for_each_exchange() -> None:
    pair = pool(0)
    pair.tell([alive(number) for number in range(400)])
    pair.tell([Dead(1, f"n{number}", "x") for number in range(400)])
    pair.compare()
    digest, difference = pair.sent
    assert isinstance(digest, Digest)
    assert isinstance(difference, Difference)
    assert len(set(digest.failed)) == len(set(difference.failed)) == 128
    pair.b.receive(*(User(LeaveIntent(9, f"n{number}").encode()) for number in range(400)))
    for _ in range(60):
        pair.compare()
    assert pair.a.swim.serf.roster.count(MemberStatus.FAILED) == 0


def test_events_from_before_a_join_differ_for_nobody() -> None:
    pair = pool()
    pair.a.receive(*(user_event(time, f"old-{time}") for time in range(1, 20)))
    pair.b.swim.serf.user_events.clock.witness(30)
    pair.b.swim.serf.user_events.merge({}, skip_up_to=25)
    pair.compare()
    assert kinds(pair) == [Digest, Difference]
    pair.a.receive(user_event(40, "new"))
    pair.compare()
    assert list(pair.b.swim.serf.user_events.remembered()) == [40]
    pair.sent.clear()
    pair.compare()
    assert kinds(pair) == [Digest, Difference]


def test_events_that_are_too_old_for_anybody_differ_for_nobody() -> None:
    pair = pool()
    pair.a.receive(user_event(2, "old"))
    pair.b.swim.serf.user_events.clock.witness(2_000)
    pair.compare()
    assert kinds(pair) == [Digest, Difference]


# --- equivalence ---

numbers = st.integers(0, 5)
incarnations = st.integers(1, 3)
times = st.integers(1, 6)
names = st.sampled_from(["n0", "n1", "n2", "n3", "n4", "n5", "a", "b"])
rumours = st.one_of(
    st.builds(
        alive, numbers, incarnations, st.sampled_from((VERSIONS, PROTOCOL_VERSIONS)), st.sampled_from((1, 1, 1, 2))
    ),
    st.builds(
        lambda number, incarnation, role: alive(number, incarnation, role=role), numbers, incarnations, st.text()
    ),
    st.builds(Suspect, incarnations, names, st.sampled_from(("x", "y"))),
    st.builds(Dead, incarnations, names, st.sampled_from(("x", "y"))),
    names.flatmap(lambda name: st.builds(Dead, incarnations, st.just(name), st.just(name))),
    st.builds(lambda time, name: User(LeaveIntent(time, name).encode()), times, names),
    st.builds(lambda time, name: User(JoinIntent(time, name).encode()), times, names),
    st.builds(user_event, times, st.sampled_from(("deploy", "restart"))),
)
histories = st.lists(rumours, max_size=25)


def two_histories(common: list[Message], of_a: list[Message], of_b: list[Message]) -> Pair:
    pair = Pair()
    pair.meet()
    pair.tell([CLOCK, *common])
    pair.a.receive(*of_a)
    pair.b.receive(*of_b)
    return pair


@settings(max_examples=120, deadline=None)
@given(histories, histories, histories)
def test_exchange_by_digests_ends_as_a_whole_one(
    common: list[Message], of_a: list[Message], of_b: list[Message]
) -> None:
    by_digests, whole = two_histories(common, of_a, of_b), two_histories(common, of_a, of_b)
    for _ in range(2):
        by_digests.compare_by_digests()
        whole.exchange_all()
        assert picture(by_digests.a) == picture(whole.a)
        assert picture(by_digests.b) == picture(whole.b)
    for side in (by_digests.a, by_digests.b):
        assert hashed(side) == hashed_anew(side)


@settings(max_examples=30, deadline=None)
@given(histories, histories, st.integers(0, 8), st.integers(0, 8))
def test_any_number_of_buckets_finds_the_same(of_a: list[Message], of_b: list[Message], few: int, many: int) -> None:
    pair = two_histories([], of_a, of_b)
    for side in (pair.a, pair.b):
        hashed(side)
    found = []
    for count in (1 << few, 1 << many):
        a, b = pair.a.swim.digest_table, pair.b.swim.digest_table
        sums_a, sums_b = a.sums(count), b.sums(count)
        differing = [at for at in range(count) if sums_a[at] != sums_b[at]]
        members = [set(table.members(at, count)) for at in differing for table in (a, b)]
        odd: set[tuple[str, int]] = set()
        for of_one, of_other in zip(members[::2], members[1::2], strict=True):
            odd |= {entry for entry in of_one ^ of_other if entry[1]}
        found.append(odd)
    assert found[0] == found[1]


# --- who can, and who cannot ---


def test_members_that_say_nothing_of_digests_get_whole_states() -> None:
    pair = Pair(RARELY, replace(RARELY, digests=False))
    pair.meet()
    pair.compare()
    assert kinds(pair) == [PushPull, PushPull]


def test_who_refuses_a_digest_gets_the_whole_state_at_once() -> None:
    """Another agent under the name, or a restarted one, whose word has not come yet."""
    pair = Pair(RARELY, replace(RARELY, digests=False))
    pair.meet()
    pair.a.receive(replace_versions(pair.b.swim.nodes.own.to_alive(), VERSIONS))
    pair.compare()
    assert kinds(pair) == [Digest, ErrorReply, PushPull, PushPull]
    assert pair.a.swim.counters["digests_unanswered"] == 1


def test_whoever_has_it_switched_off_says_six_bytes_and_begins_none() -> None:
    pair = Pair(replace(RARELY, digests=False), RARELY)
    pair.meet()
    assert pair.a.swim.nodes.own.versions == PROTOCOL_VERSIONS
    pair.compare()
    assert kinds(pair) == [PushPull, PushPull]


def replace_versions(message: Alive, versions: bytes) -> Alive:
    return Alive(message.incarnation, message.node, message.host, message.port, message.meta, versions)


def test_own_word_that_comes_back_with_six_bytes_is_our_word() -> None:
    pair = pool()
    own = pair.a.swim.nodes.own
    pair.a.receive(replace_versions(own.to_alive(), own.versions[:6]))
    assert own.incarnation == 1
    pair.a.receive(replace_versions(own.to_alive(), own.versions[:5] + b"\7"))
    assert own.incarnation == 2


def test_word_of_an_earlier_life_that_could_compare_digests_is_outdone_by_one_that_cannot() -> None:
    side = Pair(replace(RARELY, digests=False)).a
    side.receive(replace_versions(side.swim.nodes.own.to_alive(), VERSIONS))
    assert side.swim.nodes.own.incarnation == 2


def test_copy_of_six_bytes_takes_nothing_away_and_one_of_seven_adds_it_without_a_word() -> None:
    for first, then in ((VERSIONS, PROTOCOL_VERSIONS), (PROTOCOL_VERSIONS, VERSIONS)):
        side = pool(0).a
        side.receive(alive(1, versions=first))
        side.wait(5_000)
        side.effects.clear()
        queued = len(side.swim.courier.queues[0])
        side.receive(alive(1, versions=then))
        node = side.swim.nodes.peek("n1")
        assert node is not None
        assert node.versions == VERSIONS
        assert len(side.swim.courier.queues[0]) == queued == 0
        assert not side.effects


def test_another_seventh_byte_is_no_update_of_a_member() -> None:
    side = pool(0).a
    side.receive(alive(1))
    side.effects.clear()
    side.receive(alive(1, 2, versions=PROTOCOL_VERSIONS))
    side.receive(alive(1, 3))
    assert not [effect for effect in side.effects if type(effect).__name__ == "Notify"]
    node = side.swim.nodes.peek("n1")
    assert node is not None
    assert (node.incarnation, node.versions) == (3, VERSIONS)


def test_digests_heal_what_a_relay_left_out() -> None:
    pair = pool()
    pair.a.receive(alive(1, 2, versions=PROTOCOL_VERSIONS))
    pair.b.receive(alive(1, 2))
    pair.compare()
    node = pair.a.swim.nodes.peek("n1")
    assert node is not None
    assert node.versions == VERSIONS


def test_state_of_a_member_is_checked_as_in_a_whole_exchange() -> None:
    pair = pool()
    pair.b.receive(alive(900, versions=bytes((4, 5, 4, 2, 5, 4, 1))))
    pair.compare()
    assert status(pair.a, "n900") is None
    assert pair.a.swim.counters["merges_refused"] == 1


def test_versions_of_those_unlike_us_count_when_a_part_is_merged() -> None:
    """Somebody speaks what the newcomer cannot: as in a whole exchange, nobody is merged then."""
    pair = pool()
    pair.tell([alive(800, versions=bytes((1, 2, 2, 2, 5, 4)))])
    pair.b.receive(alive(900, versions=bytes((3, 5, 3, 2, 5, 4))))
    pair.compare()
    assert status(pair.a, "n900") is None
    assert pair.a.swim.counters["merges_refused"] == 1


def test_nothing_of_a_suspicion_begins_again() -> None:
    pair = pool()
    pair.tell([Suspect(1, "n1", "x")])
    before = pair.a.swim.nodes.peek("n1")
    assert before is not None
    assert before.state is NodeState.SUSPECT
    pair.compare()
    assert kinds(pair) == [Digest, Difference]
