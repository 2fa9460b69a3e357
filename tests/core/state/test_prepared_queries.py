"""Prepared queries in the state machine: against a model, on two stores, and what one may be bound to."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from consul_kernel.contracts.errors import RequestError
from consul_kernel.state import CommandType
from consul_kernel.state.generations import NOTES_TABLE
from consul_kernel.state.watches import QUERY, TABLE, Topic
from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.prepared_query import (
    NAME_PREFIX_MATCH,
    PreparedQuery,
    PreparedQueryOp,
    PreparedQueryRequest,
    QueryTemplate,
    ServiceQuery,
)
from consul_kernel.structs.session import Session
from consul_kernel_memory.store import MemoryStore
from core.state.driver import StateDriver

IDS = tuple(f"aaaaaaaa-0000-0000-0000-00000000000{number}" for number in range(3))
SESSIONS = tuple(f"bbbbbbbb-0000-0000-0000-00000000000{number}" for number in range(2))
NAMES = ("", "web", "WEB", "db", IDS[0], IDS[1].upper())

ids, sessions, names = map(st.sampled_from, (IDS, SESSIONS, NAMES))


def put(driver: StateDriver, query: PreparedQuery, op: str = PreparedQueryOp.CREATE) -> object:
    return driver.apply(CommandType.PREPARED_QUERY, PreparedQueryRequest(op=op, query=query))


def delete(driver: StateDriver, query_id: str) -> object:
    return put(driver, PreparedQuery(id=query_id), PreparedQueryOp.DELETE)


@dataclass
class Kept:
    """A query: its name, what it is bound to, whether it is a template, and since when it is."""

    name: str
    session: str
    is_template: bool
    created: int


@dataclass
class Model:
    """The rules, with nothing about how queries are kept."""

    queries: dict[str, Kept] = field(default_factory=dict)
    sessions: set[str] = field(default_factory=set)

    def accepts(self, query_id: str, new: Kept) -> bool:
        others = [kept for known, kept in self.queries.items() if known != query_id]
        if new.name:
            if any(kept.name.lower() == new.name.lower() for kept in others):
                return False
        elif new.is_template and any(kept.is_template and not kept.name for kept in others):
            return False
        return new.name.lower() not in self.queries and (not new.session or new.session in self.sessions)


class Queries(RuleBasedStateMachine):
    """The same commands for two states, of which one takes them in one batch at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = StateDriver(MemoryStore().state)
        self.model = Model()

    @initialize()
    def a_node(self) -> None:
        self.driver.register(RegisterRequest(node="n1", address="10.0.0.1"))

    @rule(session=sessions)
    def create_session(self, session: str) -> None:
        self.driver.create_session(Session(id=session, node="n1"))
        self.model.sessions.add(session)

    @rule(session=sessions)
    def destroy_session(self, session: str) -> None:
        self.driver.destroy_session(session)
        self.model.sessions.discard(session)
        queries = self.model.queries
        self.model.queries = {known: kept for known, kept in queries.items() if kept.session != session}

    @rule(query_id=ids, name=names, session=st.just("") | sessions, is_template=st.booleans())
    def set(self, query_id: str, name: str, session: str, is_template: bool) -> None:
        kind = QueryTemplate(type=NAME_PREFIX_MATCH if is_template else "")
        known = self.model.queries.get(query_id)
        new = Kept(name, session, is_template, known.created if known else self.driver.index + 1)
        result = put(self.driver, PreparedQuery(id=query_id, name=name, session=session, template=kind))
        assert isinstance(result, RequestError) is not self.model.accepts(query_id, new)
        if result is None:
            self.model.queries[query_id] = new

    @rule(query_id=ids)
    def delete(self, query_id: str) -> None:
        assert delete(self.driver, query_id) is None
        self.model.queries.pop(query_id, None)

    @invariant()
    def the_state_has_what_the_model_has(self) -> None:
        queries = self.driver.state.queries
        found = {
            query.id: Kept(query.name, query.session, bool(query.template.type), query.create_index)
            for query in queries.all()[1]
        }
        assert found == self.model.queries
        for name in NAMES[1:]:
            named = queries.named(name)
            expected = [known for known, kept in found.items() if kept.name.lower() == name.lower()]
            assert ([named.id] if named else []) == expected

    def teardown(self) -> None:
        other = StateDriver(MemoryStore().state)
        if self.driver.commands:
            other.state.apply(self.driver.commands)
        assert other.dump() == self.driver.dump()


TestQueries = Queries.TestCase
TestQueries.settings = settings(max_examples=25, stateful_step_count=20)


def test_indexes_and_topics(driver: StateDriver) -> None:
    woken: list[Topic] = []
    driver.state.watches.wake = woken.extend  # type: ignore[method-assign, assignment]
    put(driver, PreparedQuery(id=IDS[0], name="web", service=ServiceQuery(service="a")))
    created = driver.index
    put(driver, PreparedQuery(id=IDS[0].upper(), name="db"), PreparedQueryOp.UPDATE)
    index, query = driver.state.queries.get(IDS[0])
    assert query is not None
    assert (index, query.create_index, query.modify_index) == (driver.index, created, driver.index)
    assert driver.state.queries.named("web") is None
    assert set(woken) == {(TABLE, b"prepared-queries"), (QUERY, IDS[0].encode())}
    woken.clear()
    delete(driver, IDS[1])
    assert (woken, driver.state.queries.index()) == ([], index)
    delete(driver, IDS[0])
    assert (len(woken), driver.state.queries.index()) == (2, driver.index)


def test_a_query_ends_with_its_session_and_whoever_waits_wakes(driver: StateDriver) -> None:
    driver.register(RegisterRequest(node="n1", address="10.0.0.1"))
    driver.create_session(Session(id=SESSIONS[0], node="n1"))
    put(driver, PreparedQuery(id=IDS[0], session=SESSIONS[0].upper()))
    woken: list[Topic] = []
    driver.state.watches.wake = woken.extend  # type: ignore[method-assign, assignment]
    driver.deregister("n1")
    assert driver.state.queries.all() == (driver.index, [])
    assert (QUERY, IDS[0].encode()) in woken


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (PreparedQuery(), "Missing Query ID"),
        (PreparedQuery(id="x"), "failed prepared query lookup: index error: UUID must be 36 characters"),
        (PreparedQuery(id=IDS[1], name="WEB"), "name 'WEB' aliases an existing query name"),
        (PreparedQuery(id=IDS[1], name=IDS[0]), f"name '{IDS[0]}' aliases an existing query ID"),
        (PreparedQuery(id=IDS[1], session="x"), "invalid session: index error: UUID must be 36 characters"),
        (PreparedQuery(id=IDS[1], session=SESSIONS[0]), "invalid session"),
        (
            PreparedQuery(id=IDS[1], template=QueryTemplate(type=NAME_PREFIX_MATCH)),
            "a query template with an empty name already exists",
        ),
    ],
)
def test_what_is_refused(driver: StateDriver, query: PreparedQuery, text: str) -> None:
    put(driver, PreparedQuery(id=IDS[0], name="web"))
    put(driver, PreparedQuery(id=IDS[2], template=QueryTemplate(type=NAME_PREFIX_MATCH)))
    before = {table: rows for table, rows in driver.dump().items() if table != NOTES_TABLE}
    result = put(driver, query)
    assert isinstance(result, RequestError)
    assert str(result) == text
    assert {table: rows for table, rows in driver.dump().items() if table != NOTES_TABLE} == before
    assert str(put(driver, query, "odd")) == "Invalid PreparedQuery operation 'odd'"
