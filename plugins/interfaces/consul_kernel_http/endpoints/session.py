"""`/v1/session`."""

from __future__ import annotations

from consul_kernel.contracts.errors import RequestError
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
    SessionOp,
    SessionRequest,
    SessionSpecificRequest,
)
from consul_kernel_http.answer import Answer
from consul_kernel_http.exchange import Exchange
from consul_kernel_http.failures import BadRequestError, HttpError
from consul_kernel_http.options import read_options
from consul_kernel_http.reads import meta_head, read
from consul_kernel_http.session_body import read_session
from consul_kernel_http.views.session import session_view

from .catalog import MISSING_NODE

MISSING_SESSION = "Missing session"


async def create(exchange: Exchange) -> Answer:
    """Create a session; the answer is its id."""
    body = await exchange.json_body()
    try:
        session = read_session(body, exchange.agent.node_name)
    except RequestError as error:
        raise BadRequestError(f"Request decode failed: {error}") from None
    session_id = await exchange.agent.call(SESSION_APPLY, _write_request(exchange, SessionOp.CREATE, session))
    return exchange.json({"ID": session_id})


async def destroy(exchange: Exchange) -> Answer:
    """End a session, whether there is one or not."""
    session = Session(id=_session_id(exchange))
    await exchange.agent.call(SESSION_APPLY, _write_request(exchange, SessionOp.DESTROY, session))
    return exchange.json(True)


async def renew(exchange: Exchange) -> Answer:
    """Give a session its whole time to live again; the answer is the session."""
    session_id = _session_id(exchange)
    request = SessionSpecificRequest(
        datacenter=exchange.datacenter(), token=exchange.token(), session_id=session_id, session=session_id
    )
    reply = await exchange.agent.call(SESSION_RENEW, request)
    if not reply.sessions:
        raise HttpError(404, f"Session id '{session_id}' not found")
    return exchange.json([session_view(session) for session in reply.sessions])


async def info(exchange: Exchange) -> Answer:
    """One session, as a list."""
    request = read_options(exchange, SessionSpecificRequest())
    request.session_id = request.session = _session_id(exchange)
    return _answer(exchange, await read(exchange, SESSION_GET, request))


async def list_sessions(exchange: Exchange) -> Answer:
    """All sessions."""
    request = read_options(exchange, SessionSpecificRequest())
    return _answer(exchange, await read(exchange, SESSION_LIST, request))


async def of_node(exchange: Exchange) -> Answer:
    """The sessions of a node."""
    request = read_options(exchange, NodeSpecificRequest(node=exchange.suffix))
    if not request.node:
        raise BadRequestError(MISSING_NODE)
    return _answer(exchange, await read(exchange, SESSION_NODE_SESSIONS, request))


def _answer(exchange: Exchange, reply: IndexedSessions) -> Answer:
    return exchange.json([session_view(session) for session in reply.sessions or []], meta_head(reply))


def _session_id(exchange: Exchange) -> str:
    if not exchange.suffix:
        raise BadRequestError(MISSING_SESSION)
    return exchange.suffix


def _write_request(exchange: Exchange, op: SessionOp, session: Session) -> SessionRequest:
    return SessionRequest(datacenter=exchange.datacenter(), token=exchange.token(), op=op, session=session)
