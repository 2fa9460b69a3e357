"""`Session.*`: what holds locks."""

from __future__ import annotations

import uuid

from msgspec.structs import replace

from consul_kernel.contracts.errors import RequestError, RpcError
from consul_kernel.rpc.endpoints import EndpointTable
from consul_kernel.state.commands import CommandType
from consul_kernel.state.keys import fold
from consul_kernel.state.watches import NODE_SESSIONS, SESSION, TABLE, Topic
from consul_kernel.structs.duration import DurationError, format_duration_ns, parse_duration_ns
from consul_kernel.structs.methods import (
    SESSION_APPLY,
    SESSION_GET,
    SESSION_LIST,
    SESSION_NODE_SESSIONS,
    SESSION_RENEW,
)
from consul_kernel.structs.query import NodeSpecificRequest
from consul_kernel.structs.session import (
    IndexedSessions,
    Session,
    SessionBehavior,
    SessionOp,
    SessionRequest,
    SessionSpecificRequest,
)

from .blocking import answer
from .context import EndpointContext
from .verifying import NO_LEADER

SESSIONS_TOPIC: Topic = (TABLE, b"sessions")
MAX_TTL_NS = 24 * 3600 * 1_000_000_000
_NS_PER_MS = 1_000_000


class SessionEndpoint:
    """Reads are answered from the state that this server has applied; writes go through the log."""

    def __init__(self, context: EndpointContext) -> None:
        self._context = context
        self._sessions = context.state.sessions
        self._timers = context.session_timers

    def attach(self, table: EndpointTable) -> None:
        """Attach every method."""
        table.attach(SESSION_APPLY, self.apply)
        table.attach(SESSION_GET, self.get)
        table.attach(SESSION_LIST, self.list)
        table.attach(SESSION_NODE_SESSIONS, self.node_sessions)
        table.attach(SESSION_RENEW, self.renew)

    # --- writes ---

    async def apply(self, request: SessionRequest) -> str:
        """Create a session, whose id is the answer, or end one."""
        session = request.session
        if request.op == SessionOp.DESTROY and not session.id:
            raise RpcError("Must provide ID")
        if request.op == SessionOp.CREATE and not session.node:
            raise RpcError("Must provide Node")
        if session.behavior not in ("", *SessionBehavior):
            raise RpcError(f"Invalid Behavior setting '{session.behavior}'")
        self._require_ttl(session)
        if request.op == SessionOp.CREATE:
            behavior = session.behavior or SessionBehavior.RELEASE.value
            session = replace(session, id=str(uuid.uuid4()), behavior=behavior)
        created = await self._context.propose(
            CommandType.SESSION, replace(request, session=session), refused="apply failed: "
        )
        if request.op == SessionOp.CREATE:
            self._timers.reset(session)
        else:
            self._timers.clear(session.id)
        return created if isinstance(created, str) else ""

    def _require_ttl(self, session: Session) -> None:
        if not session.ttl:
            return
        try:
            ttl_ns = parse_duration_ns(session.ttl)
        except DurationError as error:
            raise RpcError(f"Session TTL '{session.ttl}' invalid: {error}") from error
        least_ns = self._context.session_ttl_min_ms * _NS_PER_MS
        if ttl_ns != 0 and not least_ns <= ttl_ns <= MAX_TTL_NS:
            bounds = f"{format_duration_ns(least_ns)}={format_duration_ns(MAX_TTL_NS)}"
            raise RpcError(f"Invalid Session TTL '{ttl_ns}', must be between [{bounds}]")

    async def renew(self, request: SessionSpecificRequest) -> IndexedSessions:
        """Give a session its whole time again; the session, or nothing when there is none of this id.

        As in Consul the reply says nothing of its freshness.
        """
        if not self._context.consensus.is_leader:
            raise RpcError(NO_LEADER)
        try:
            index, session = self._sessions.get(_id_of(request))
        except RequestError as error:
            raise RpcError(str(error)) from error
        if session is None:
            return IndexedSessions(index=index)
        self._timers.reset(session)
        return IndexedSessions(index=index, sessions=[session])

    # --- reads ---

    async def get(self, request: SessionSpecificRequest) -> IndexedSessions:
        """One session."""
        session_id = _id_of(request)

        def read() -> IndexedSessions:
            index, session = self._sessions.get(session_id)
            return IndexedSessions(index=index, sessions=None if session is None else [session])

        return await answer(self._context, request, read, lambda: ((SESSION, fold(session_id)),))

    async def list(self, request: SessionSpecificRequest) -> IndexedSessions:
        """All sessions by id."""

        def read() -> IndexedSessions:
            index, sessions = self._sessions.all()
            return IndexedSessions(index=index, sessions=sessions or None)

        return await answer(self._context, request, read, lambda: (SESSIONS_TOPIC,))

    async def node_sessions(self, request: NodeSpecificRequest) -> IndexedSessions:
        """The sessions of a node by id."""

        def read() -> IndexedSessions:
            index, sessions = self._sessions.of_node(request.node)
            return IndexedSessions(index=index, sessions=sessions or None)

        return await answer(self._context, request, read, lambda: ((NODE_SESSIONS, fold(request.node)),))


def _id_of(request: SessionSpecificRequest) -> str:
    return request.session_id or request.session
