"""Queries in the core: asking, being asked, and passing on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.contracts.membership_capabilities import IncomingQuery, QueryOutcome
from consul_kernel.contracts.transport import Address
from consul_kernel_swim.core.events import SendPacket
from consul_kernel_swim.core.internal_messages import decode_conflict_response
from consul_kernel_swim.core.queries import QUERIES_MAX
from consul_kernel_swim.core.query_filters import encode_filters
from consul_kernel_swim.core.query_messages import Query, QueryResponse, Relay
from consul_kernel_swim.core.serf_types import QUERY_FLAG_ACK, QUERY_FLAG_NO_BROADCAST
from consul_kernel_swim.core.settings import PROFILES, Settings
from plugins.membership.swim.serf_bench import OWN, SerfBench

ASKER = Address("10.0.0.9", 7946)


def question(**changes: object) -> Query:
    fields: dict[str, object] = {
        "lamport_time": 9,
        "query_id": 77,
        "name": "uptime",
        "reply_to": ASKER,
        "source": "asker",
        "timeout_ns": 5_000_000_000,
        **changes,
    }
    return Query(**fields)  # type: ignore[arg-type]


def answer(text: bytes = b"up") -> Callable[[IncomingQuery], bytes | None]:
    return lambda query: text


# --- asking ---


def test_question_goes_out_with_this_agents_time_address_and_limits() -> None:
    bench = SerfBench(others=2)
    bench.ask("uptime", b"how long", request_ack=True, relay_factor=3, timeout_ms=1500, nodes=["n1"], tags={"a": "b"})
    bench.wait(1000)
    (query,) = bench.asked()
    assert query == Query(
        lamport_time=1,
        query_id=query.query_id,
        name="uptime",
        payload=b"how long",
        reply_to=OWN,
        source="own",
        filters=(b"\x00\x91\xa2n1", b"\x01\x82\xa4Expr\xa1b\xa3Tag\xa1a"),
        flags=QUERY_FLAG_ACK,
        relay_factor=3,
        timeout_ns=1_500_000_000,
    )
    bench.ask()
    bench.wait(1000)
    assert [query.lamport_time for query in bench.asked()] == [1, 2]
    assert len({query.query_id for query in bench.asked()}) == 2


def test_it_ends_with_the_last_answer_and_counts_its_own() -> None:
    bench = SerfBench(others=2, answer_query=answer(b"mine"))
    command = bench.ask(request_ack=True)
    bench.wait(500)
    (query,) = bench.asked()
    bench.respond(query, "n2", b"2")
    bench.respond(query, "n2", None, QUERY_FLAG_ACK)
    bench.respond(query, "n1", b"1")
    assert bench.done(command) is None
    bench.respond(query, "n1", None, QUERY_FLAG_ACK)
    outcome = bench.query_outcome(command)
    assert outcome == QueryOutcome(acks=("own", "n2", "n1"), responses={"own": b"mine", "n2": b"2", "n1": b"1"})
    assert list(outcome.responses) == ["own", "n2", "n1"]


def test_alone_it_ends_at_once_and_nothing_lies_in_a_queue_for_whoever_comes() -> None:
    bench = SerfBench(answer_query=answer(b"mine"))
    command = bench.ask()
    assert bench.query_outcome(command).responses == {"own": b"mine"}
    bench.add("late", 2)
    bench.wait(5000)
    assert bench.asked() == []


@pytest.mark.parametrize(("others", "timeout_ms"), [(1, 3200), (8, 3200), (9, 6400), (98, 6400), (99, 9600)])
def test_its_own_time_grows_with_the_pool(others: int, timeout_ms: int) -> None:
    bench = SerfBench()
    for number in range(others):
        bench.add(f"n{number}", number + 1)
    command = bench.ask()
    bench.wait(timeout_ms - 1)
    assert bench.done(command) is None
    bench.wait(1)
    assert bench.query_outcome(command) == QueryOutcome(acks=(), responses={})


def test_what_comes_repeatedly_late_or_for_another_question_is_counted_and_dropped() -> None:
    bench = SerfBench(others=2)
    command = bench.ask(timeout_ms=1000)
    bench.wait(500)
    (query,) = bench.asked()
    for payload in (b"first", b"second"):
        bench.respond(query, "n1", payload)
    bench.receive(QueryResponse(query.lamport_time, query.query_id + 1, "n2", 0, b"x").encode())
    bench.receive(QueryResponse(query.lamport_time + 1, query.query_id, "n2", 0, b"x").encode())
    bench.wait(500)
    outcome = bench.query_outcome(command)
    bench.respond(query, "n2", b"late")
    assert outcome.responses == {"n1": b"first"}
    assert bench.swim.counters["query_responses_repeated"] == 1
    assert bench.swim.counters["query_responses_late"] == 3


def test_answers_under_forged_names_are_bounded() -> None:
    bench = SerfBench(others=1)
    command = bench.ask(timeout_ms=10_000)
    bench.wait(500)
    (query,) = bench.asked()
    for number in range(200):
        bench.respond(query, f"forged-{number}", b"x")
        bench.respond(query, f"forged-{number}", None, QUERY_FLAG_ACK)
    bench.respond(query, "n1", bytes(1025))
    bench.wait(10_000)
    outcome = bench.query_outcome(command)
    assert (len(outcome.responses), len(outcome.acks)) == (64, 64)
    assert bench.swim.counters["query_responses_over_limit"] == 272
    assert bench.swim.counters["query_responses_too_large"] == 1


def test_questions_under_way_are_bounded() -> None:
    bench = SerfBench(others=1)
    commands = [bench.ask() for _ in range(QUERIES_MAX + 1)]
    assert bench.error(commands[-1]) == f"{QUERIES_MAX} queries are under way"
    assert bench.done(commands[0]) is None
    bench.wait(4000)
    assert bench.error(commands[0]) is None
    assert bench.done(bench.ask()) is None


def test_only_who_fits_is_waited_for() -> None:
    bench = SerfBench()
    bench.add("web1", 1, role="web")
    bench.add("db1", 2, role="db")
    command = bench.ask(tags={"role": "we."}, request_ack=True)
    bench.wait(500)
    (query,) = bench.asked()
    bench.respond(query, "web1", None, QUERY_FLAG_ACK)
    bench.respond(query, "web1", b"up")
    assert bench.query_outcome(command) == QueryOutcome(acks=("web1",), responses={"web1": b"up"})
    nobody = bench.ask(nodes=["somebody-new"])
    bench.wait(500)
    bench.respond(bench.asked()[1], "somebody-new", b"here")
    assert bench.done(nobody) is None
    bench.wait(3000)
    assert bench.query_outcome(nobody).responses == {"somebody-new": b"here"}


def test_ping_ends_with_the_last_acknowledgement() -> None:
    bench = SerfBench(others=1)
    command = bench.ask("_serf_ping", request_ack=True)
    bench.wait(500)
    bench.respond(bench.asked()[0], "n1", None, QUERY_FLAG_ACK)
    assert bench.query_outcome(command) == QueryOutcome(acks=("own", "n1"), responses={})


def test_largest_question_has_1024_bytes() -> None:
    bench = SerfBench(others=1)
    framing = len(question(lamport_time=1, query_id=1 << 30, name="q", payload=bytes(900), source="own").encode()) - 900
    largest = bench.ask(payload=bytes(1024 - framing), timeout_ms=5000)
    assert bench.done(largest) is None
    too_large = bench.ask(payload=bytes(1024 - framing + 1), timeout_ms=5000)
    assert bench.error(too_large) == "query exceeds limit of 1024 bytes"
    bench.wait(500)
    assert [len(query.encode()) for query in bench.asked()] == [1024]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"name": "_serf_list-keys"}, "Queries cannot contain the '_serf_' prefix"),
        ({"name": "_serf_ping", "payload": b"x"}, "Queries cannot contain the '_serf_' prefix"),
        ({"relay_factor": 256}, "a relay factor is a number from 0 to 255, not 256"),
        ({"relay_factor": -1}, "a relay factor is a number from 0 to 255, not -1"),
        ({"timeout_ms": 3_600_001}, "a query takes at most 3600000 ms, not 3600001"),
        ({"timeout_ms": -1}, "a query takes at most 3600000 ms, not -1"),
        ({"tags": {"a": "("}}, "the filter of tag 'a' is no regular expression: missing closing ): `(`"),
        ({"tags": {str(n): "" for n in range(17)}}, "17 tags to filter by, where at most 16 are possible"),
    ],
)
def test_what_cannot_be_asked_is_refused(options: dict[str, object], error: str) -> None:
    bench = SerfBench(others=1)
    command = bench.ask(**options)  # type: ignore[arg-type]
    assert bench.error(command) == error
    bench.wait(1000)
    assert bench.asked() == []


# --- being asked ---


def test_acknowledgement_goes_before_the_answer_alone_and_straight_to_the_asker() -> None:
    asked: list[IncomingQuery] = []

    def note(query: IncomingQuery) -> bytes:
        asked.append(query)
        return b"up"

    bench = SerfBench(others=3, answer_query=note)
    query = question(flags=QUERY_FLAG_ACK, payload=b"how long")
    before = len(bench.packets)
    bench.receive(query.encode())
    bench.receive(query.encode())
    assert asked == [IncomingQuery(name="uptime", payload=b"how long", source="asker", lamport_time=9)]
    assert bench.packets[before:] == [
        (ASKER, b"\x08" + QueryResponse(9, 77, "own", QUERY_FLAG_ACK, None).encode()),
        (ASKER, b"\x08" + QueryResponse(9, 77, "own", 0, b"up").encode()),
    ]
    bench.wait(1000)
    assert bench.asked() == [query]


def test_silence_is_no_answer() -> None:
    bench = SerfBench(others=1, answer_query=lambda query: None)
    bench.receive(question().encode())
    assert bench.serf_sent(ASKER) == []
    bench.receive(question(query_id=78, flags=QUERY_FLAG_ACK).encode())
    assert bench.serf_sent(ASKER) == [QueryResponse(9, 78, "own", QUERY_FLAG_ACK, None)]


@pytest.mark.parametrize("changes", [{"reply_to": None}, {"timeout_ns": 0}, {"timeout_ns": -1}])
def test_nobody_answers_into_the_void_or_after_the_end(changes: dict[str, object]) -> None:
    asked: list[IncomingQuery] = []
    bench = SerfBench(others=1, answer_query=lambda query: asked.append(query))
    bench.receive(question(**changes).encode())
    assert asked == []
    bench.wait(1000)
    assert [query.query_id for query in bench.asked()] == [77]


def test_query_that_must_not_be_passed_on_is_answered_all_the_same() -> None:
    bench = SerfBench(others=3, answer_query=answer())
    bench.receive(question(flags=QUERY_FLAG_NO_BROADCAST).encode())
    bench.wait(1000)
    assert bench.asked() == []
    assert bench.serf_sent(ASKER) == [QueryResponse(9, 77, "own", 0, b"up")]


def node_filter(*names: str) -> bytes:
    return encode_filters(names, {})[0]


def tag_filter(tag: str, expression: str) -> bytes:
    return encode_filters((), {tag: expression})[0]


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ((), True),
        ((node_filter("own", "x"),), True),
        ((node_filter("x"),), False),
        ((node_filter("own"), node_filter("x")), False),
        ((node_filter("Own"),), False),
        ((tag_filter("role", "eb-s"),), True),
        ((tag_filter("role", "^eb"),), False),
        ((tag_filter("absent", "^$"),), True),
        ((tag_filter("absent", "."),), False),
        ((node_filter("own"), tag_filter("role", "web"), tag_filter("zone", "n")), True),
        ((node_filter("own"), tag_filter("role", "web"), tag_filter("zone", "s")), False),
        ((b"\x02\x90",), False),
        ((b"",), False),
        ((b"\x00",), False),
        ((b"\x00\xa1x",), False),
        ((b"\x01\x82\xa4Expr\xa1(\xa3Tag\xa1a",), False),
        ((b"\x01\x82\xa4Expr\xa4\\1.*\xa3Tag\xa1a",), False),
        ((b"\x01\xc1",), False),
        ((tag_filter("absent", ""),) * 16, True),
        ((tag_filter("absent", ""),) * 17, False),
    ],
)
def test_who_is_asked(filters: tuple[bytes, ...], fits: bool) -> None:
    bench = SerfBench(others=1, tags={"role": "web-server", "zone": "north"}, answer_query=answer())
    query = question(filters=filters)
    bench.receive(query.encode())
    assert bool(bench.serf_sent(ASKER)) is fits
    bench.wait(1000)
    assert bench.asked() == [query]


def test_strangers_expression_costs_a_bounded_time() -> None:
    """Nested repetitions on a long value would take a tenth of a second each."""
    bench = SerfBench(others=1, tags={"long": "".join(map(chr, range(300, 540)))}, answer_query=answer())
    bench.receive(question(filters=(tag_filter("long", "(.?){120}y"),) * 4).encode())
    assert bench.serf_sent(ASKER) == []
    bench.receive(question(query_id=78, filters=(tag_filter("long", "(.?){20}"),)).encode())
    assert len(bench.serf_sent(ASKER)) == 1


def test_largest_answer_has_1024_bytes() -> None:
    framing = len(QueryResponse(9, 77, "own", 0, bytes(900)).encode()) - 900
    for length, sent in ((1024 - framing, 1), (1024 - framing + 1, 0)):
        bench = SerfBench(others=1, answer_query=answer(bytes(length)))
        bench.receive(question().encode())
        assert len(bench.serf_sent(ASKER)) == sent
        assert bench.swim.counters["query_answers_too_large"] == 1 - sent
    assert bench.warnings() == ["the answer to query 'uptime' exceeds the limit of 1024 bytes and is not sent"]


# --- passing on ---


def test_responses_also_go_through_other_members() -> None:
    bench = SerfBench(answer_query=answer())
    able = {bench.add(f"n{number}", number) for number in range(1, 5)}
    bench.add("old", 5, versions=bytes((1, 4, 2, 2, 5, 4)))
    query = question(relay_factor=3, flags=QUERY_FLAG_ACK)
    before = len(bench.packets)
    bench.receive(query.encode())
    sent = bench.packets[before:]
    for response in (QueryResponse(9, 77, "own", QUERY_FLAG_ACK, None), QueryResponse(9, 77, "own", 0, b"up")):
        relayed = b"\x08" + Relay(ASKER, "asker", response.encode()).encode()
        assert (ASKER, b"\x08" + response.encode()) in sent
        helpers = [address for address, packet in sent if packet == relayed]
        assert len(helpers) == len(set(helpers)) == 3
        assert set(helpers) <= able


def test_asker_and_small_pools_pass_nothing_on() -> None:
    bench = SerfBench(answer_query=answer())
    asker = bench.add("asker", 1)
    helper = bench.add("helper", 2)
    for relay_factor, helped in ((2, True), (3, False)):
        bench.packets.clear()
        bench.receive(question(query_id=relay_factor, reply_to=asker, relay_factor=relay_factor).encode())
        assert len(bench.serf_sent(asker)) == 1
        assert len(bench.serf_sent(helper)) == helped


def test_relay_of_a_long_answer_is_left_out() -> None:
    bench = SerfBench(others=2, answer_query=answer(bytes(960)))
    bench.receive(question(relay_factor=1).encode())
    assert not [message for message in bench.serf_sent() if isinstance(message, Relay)]
    assert len(bench.serf_sent(ASKER)) == 1
    assert bench.swim.counters["query_relays_too_large"] == 1


def test_relay_is_forwarded_as_it_is() -> None:
    bench = SerfBench()
    inner = QueryResponse(9, 77, "far", 0, b"up").encode()
    bench.packets.clear()
    bench.receive(Relay(ASKER, "asker", inner).encode())
    assert bench.packets == [(ASKER, b"\x08" + inner)]


def test_old_query_does_not_lie_in_the_queue() -> None:
    bench = SerfBench(Settings(queue_check_interval_ms=1000), answer_query=answer())
    bench.receive(question(timeout_ns=2_000_000_000).encode())
    assert bench.swim.stats()["query_queue"] == "1"
    bench.wait(3001)
    assert bench.swim.stats()["query_queue"] == "0"
    bench.add("late", 1)
    bench.wait(2000)
    assert bench.asked() == []


# --- Serf's own queries ---


def test_serfs_own_queries_are_not_shown_to_the_application() -> None:
    asked: list[str] = []
    bench = SerfBench(others=1, answer_query=lambda query: asked.append(query.name))
    for number, name in enumerate(("_serf_ping", "_serf_conflict", "_serf_list-keys", "_serf_future")):
        bench.receive(question(query_id=number, name=name, payload=b"own").encode())
    assert asked == []
    assert bench.swim.counters["internal_queries_unknown"] == 1


def test_conflict_is_answered_with_what_is_known_of_others() -> None:
    bench = SerfBench()
    bench.add("n1", 1, role="web")
    for number, name in enumerate(("n1", "unknown", "own")):
        bench.receive(question(query_id=number, name="_serf_conflict", payload=name.encode()).encode())
    known, unknown = (message for message in bench.serf_sent(ASKER) if isinstance(message, QueryResponse))
    assert decode_conflict_response(known.payload or b"") == bench.swim.members()[1]
    assert unknown.payload == b"\x06\xc0"


# --- strangers ---


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.builds(
                lambda time, number, filters, flags, relays, name: question(
                    lamport_time=time, query_id=number, filters=filters, flags=flags, relay_factor=relays, name=name
                ).encode(),
                st.integers(0, 12),
                st.integers(0, 3),
                st.lists(st.binary(max_size=12), max_size=3).map(tuple),
                st.integers(0, 3),
                st.integers(0, 255),
                st.sampled_from(("q", "_serf_ping", "_serf_conflict", "_serf_install-key", "_serf_list-keys")),
            ),
            st.builds(
                lambda time, number, sender, flags, payload: QueryResponse(
                    time, number, sender, flags, payload
                ).encode(),
                st.integers(0, 3),
                st.integers(0, 1 << 31),
                st.text(max_size=5),
                st.integers(0, 3),
                st.one_of(st.none(), st.binary(max_size=40)),
            ),
            st.binary(max_size=40).map(lambda body: b"\x09" + body),
        ),
        max_size=30,
    )
)
def test_whatever_is_asked_and_answered_a_query_ends(messages: list[bytes]) -> None:
    bench = SerfBench(PROFILES["local"], others=3, answer_query=answer())
    command = bench.ask(request_ack=True)
    for message in messages:
        bench.receive(message)
    bench.wait(1600)
    assert bench.query_outcome(command).responses["own"] == b"up"
    assert all(len(effect.packet) <= 1400 for effect in bench.effects if isinstance(effect, SendPacket))
