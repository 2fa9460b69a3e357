"""Sessions and locks against a model in a few lines: who holds what, after whatever order of events.

Two states on two stores get the same commands, one by one and in batches: they must stay the same to the octet.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from consul_kernel.contracts.errors import RequestError
from consul_kernel.state import CommandType
from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.check import HealthCheck
from consul_kernel.structs.kv import DirEntry, KVOp, KVSRequest
from consul_kernel.structs.session import Session
from consul_kernel_memory.store import MemoryStore
from core.state.driver import StateDriver

NODES = ("n1", "n2")
CHECKS = ("c1", "c2")
KEYS = (b"a", b"b", b"c/d")
IDS = tuple(f"aaaaaaaa-0000-0000-0000-00000000000{number}" for number in range(4))

nodes, checks, keys, ids = map(st.sampled_from, (NODES, CHECKS, KEYS, IDS))


@dataclass
class Held:
    """A key: by whom it is held, and how often it was taken since it was last written without a session."""

    session: str = ""
    lock_index: int = 0


@dataclass
class Alive:
    """A session: of which node, on what it depends, and what becomes of its keys."""

    node: str
    checks: list[str]
    behavior: str
    delay: int


@dataclass
class Model:
    """The rules of sessions and locks, with nothing about how they are kept."""

    checks: dict[tuple[str, str], str] = field(default_factory=dict)
    nodes: set[str] = field(default_factory=set)
    sessions: dict[str, Alive] = field(default_factory=dict)
    keys: dict[bytes, Held] = field(default_factory=dict)
    delayed: set[bytes] = field(default_factory=set)

    def create(self, session_id: str, session: Alive) -> bool:
        depends = [self.checks.get((session.node, check)) for check in session.checks]
        if session_id in self.sessions or session.node not in self.nodes:
            return False
        if None in depends or "critical" in depends:
            return False
        self.sessions[session_id] = session
        return True

    def end(self, session_id: str) -> None:
        session = self.sessions.pop(session_id, None)
        if session is None:
            return
        for key, held in list(self.keys.items()):
            if held.session == session_id:
                held.session = ""
                if session.delay:
                    self.delayed.add(key)
                if session.behavior == "delete":
                    del self.keys[key]

    def end_where(self, node: str, check: str | None) -> None:
        for session_id, session in list(self.sessions.items()):
            if session.node == node and (check is None or check in session.checks):
                self.end(session_id)

    def lock(self, key: bytes, session_id: str) -> bool | None:
        if session_id not in self.sessions:
            return None
        held = self.keys.get(key, Held())
        if held.session not in ("", session_id):
            return False
        self.keys[key] = Held(session_id, held.lock_index + (held.session != session_id))
        return True

    def unlock(self, key: bytes, session_id: str) -> bool:
        held = self.keys.get(key)
        if held is None or held.session != session_id:
            return False
        held.session = ""
        return True


class SessionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.driver = StateDriver(MemoryStore().state)
        self.copy = StateDriver(MemoryStore().state)
        self.behind = 0
        self.model = Model()

    @initialize()
    def register_all(self) -> None:
        for node in NODES:
            for check in CHECKS:
                self.set_check(node, check, "passing")

    @rule(node=nodes, check=checks, status=st.sampled_from(["passing", "warning", "critical"]))
    def set_check(self, node: str, check: str, status: str) -> None:
        record = HealthCheck(node=node, check_id=check, status=status)
        self.driver.register(RegisterRequest(node=node, address="10.0.0.1", check=record))
        self.model.nodes.add(node)
        self.model.checks[node, check] = status
        if status == "critical":
            self.model.end_where(node, check)

    @rule(node=nodes, check=checks)
    def remove_check(self, node: str, check: str) -> None:
        self.driver.deregister(node, check_id=check)
        if self.model.checks.pop((node, check), None) is not None:
            self.model.end_where(node, check)

    @rule(node=nodes)
    def remove_node(self, node: str) -> None:
        self.driver.deregister(node)
        self.model.nodes.discard(node)
        for check in CHECKS:
            self.model.checks.pop((node, check), None)
        self.model.end_where(node, None)

    @rule(
        session_id=ids,
        node=nodes,
        depends=st.lists(checks, max_size=2, unique=True),
        behavior=st.sampled_from(["release", "delete"]),
        delay=st.sampled_from([0, 10**12]),
    )
    def create(self, session_id: str, node: str, depends: list[str], behavior: str, delay: int) -> None:
        session = Session(id=session_id, node=node, node_checks=depends, behavior=behavior, lock_delay=delay)
        created = self.driver.create_session(session)
        assert (created == session_id) == self.model.create(session_id, Alive(node, depends, behavior, delay))

    @rule(session_id=ids)
    def destroy(self, session_id: str) -> None:
        self.driver.destroy_session(session_id)
        self.model.end(session_id)

    @rule(session_id=ids, key=keys, value=st.sampled_from([b"1", b"2"]))
    def lock(self, session_id: str, key: bytes, value: bytes) -> None:
        answer = self._write(KVOp.LOCK, key, value, session_id)
        expected = self.model.lock(key, session_id)
        assert isinstance(answer, RequestError) if expected is None else answer is expected

    @rule(session_id=ids, key=keys, value=st.sampled_from([b"1", b"2"]))
    def unlock(self, session_id: str, key: bytes, value: bytes) -> None:
        assert self._write(KVOp.UNLOCK, key, value, session_id) is self.model.unlock(key, session_id)

    @rule(key=keys, value=st.sampled_from([b"1", b"2"]))
    def put(self, key: bytes, value: bytes) -> None:
        self.driver.put(key, value)
        self.model.keys.setdefault(key, Held()).lock_index = 0

    @rule(key=keys)
    def delete(self, key: bytes) -> None:
        self.driver.kv(KVOp.DELETE, key)
        self.model.keys.pop(key, None)

    @rule(prefix=st.sampled_from([b"", b"c/"]))
    def delete_tree(self, prefix: bytes) -> None:
        self.driver.kv(KVOp.DELETE_TREE, prefix)
        self.model.keys = {key: held for key, held in self.model.keys.items() if not key.startswith(prefix)}

    @rule()
    def catch_up(self) -> None:
        """The copy applies in one batch what it has not yet, and is the same then."""
        self.copy.state.apply(self.driver.commands[self.behind :])
        self.behind = len(self.driver.commands)
        assert self.copy.dump() == self.driver.dump()

    @invariant()
    def is_as_the_model_has_it(self) -> None:
        state = self.driver.state
        assert {session.id for session in state.sessions.all()[1]} == set(self.model.sessions)
        for node in NODES:
            of_node = {name for name, session in self.model.sessions.items() if session.node == node}
            assert {session.id for session in state.sessions.of_node(node)[1]} == of_node
        entries = {entry.key: Held(entry.session, entry.lock_index) for entry in state.kv.entries(b"")[1]}
        assert entries == self.model.keys
        assert {key for key in KEYS if state.lock_delays.holds(key)} == self.model.delayed

    def _write(self, op: KVOp, key: bytes, value: bytes, session: str) -> object:
        entry = DirEntry(key=key, value=value, session=session)
        return self.driver.apply(CommandType.KVS, KVSRequest(op=op, dir_ent=entry))


TestSessions = SessionMachine.TestCase
TestSessions.settings = settings(max_examples=40, stateful_step_count=30)
