"""Who answers a call: this agent, the leader, another server, or a server of another datacenter.

The rules are Consul's (`agent/consul/rpc.go` forwardRPC, `agent/consul/client.go` RPC).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, TypeVar

from consul_kernel.contracts.consensus import CatchingUpConsensus, Consensus, LogPosition
from consul_kernel.contracts.errors import NotLeaderError, RpcError
from consul_kernel.contracts.transport import Address
from consul_kernel.structs.methods import Method, Route

from .client import ConnectionPool
from .directory import ServerDirectory
from .endpoints import EndpointTable
from .errors import (
    DATACENTER_UNREACHABLE,
    NO_LEADER,
    NO_PATH,
    NO_SERVERS,
    RpcTransportError,
    RpcUnreachableError,
)

_log = logging.getLogger(__name__)

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")

HOLD_TIMEOUT_MS = 7000
CALL_TIMEOUT_MS = 60_000
DEFAULT_QUERY_TIME_MS = 300_000
MAX_QUERY_TIME_MS = 600_000
MIN_CONNECT_TIMEOUT_MS, MAX_CONNECT_TIMEOUT_MS = 1_000, 10_000
"""How long a server may take to be connected to: half of the hold time, so that another can be tried within it."""
JITTER_FRACTION = 16
"""Retries wait at random up to this part of the hold time; blocking queries up to this part longer."""
FIRST_PAUSE_MS, MANY_ATTEMPTS = 20, 10
"""The longest pause after a first attempt in vain, which doubles with each, up to that part of the hold time."""
CATCH_UP_TIMEOUT_MS = 500
"""How long a stale read may wait for what was written through this server; once, where its disk is slow."""
FORMER_LEADER_CHECK_MS = 1_000
"""How long a former leader may take to give a sign of life: others have already done without one for so long."""

NOT_THE_LEADER = "node is not the leader"


class Router:
    """Routes calls. Servers have endpoints and a consensus, client agents have neither."""

    def __init__(
        self,
        *,
        datacenter: str,
        directory: ServerDirectory,
        pool: ConnectionPool,
        now_ms: Callable[[], int],
        rng: random.Random,
        server_id: str = "",
        endpoints: EndpointTable | None = None,
        consensus: Consensus | None = None,
        hold_timeout_ms: int = HOLD_TIMEOUT_MS,
        call_timeout_ms: int = CALL_TIMEOUT_MS,
    ) -> None:
        """`hold_timeout_ms`: Consul's `performance.rpc_hold_timeout`. `server_id`: this server's id in the quorum."""
        if (endpoints is None) != (consensus is None):
            raise ValueError("a server has both endpoints and a consensus, a client agent has neither")
        self._datacenter = datacenter
        self._directory = directory
        self._pool = pool
        self._now_ms = now_ms
        self._rng = rng
        self._server_id = server_id
        self._endpoints = endpoints
        self._consensus = consensus
        self._hold_ms = hold_timeout_ms
        self._call_timeout_ms = call_timeout_ms
        self._connect_timeout_ms = min(MAX_CONNECT_TIMEOUT_MS, max(MIN_CONNECT_TIMEOUT_MS, hold_timeout_ms // 2))
        self._catching_up: CatchingUpConsensus | None = (
            consensus if isinstance(consensus, CatchingUpConsensus) else None
        )
        self._owed: LogPosition | None = None
        """The last write that was forwarded, until it is known to be applied here."""
        self._heard_from_leader = False
        self._leader_changes = 0
        self._leader_address = ""
        self._news: asyncio.Future[None] | None = None
        self.client_calls = 0
        """A client agent's calls to servers, and how many of them failed."""
        self.client_failures = 0
        self.cross_datacenter: dict[str, int] = {}
        """Calls to other datacenters, by name; only to those that are known."""
        self.is_leaving = False
        """Set when this server is about to leave: calls are not held any more."""

    async def call(self, method: Method[RequestT, ReplyT], request: RequestT) -> ReplyT:
        """Carry out a call wherever it belongs.

        Raises RpcError with Consul's texts, RpcTransportError among them, or whatever an endpoint raises here.
        """
        reply: ReplyT
        if self._consensus is None:
            reply = await self._call_from_client(method, request)
            return reply
        datacenter = getattr(request, "datacenter", "")
        if datacenter and datacenter != self._datacenter:
            reply = await self._call_datacenter(datacenter, method, request)
            return reply
        # The common case comes first and costs next to nothing: this server may answer by itself.
        if method.route is Route.ANY or self._consensus.is_leader or self._may_answer_stale(method, request):
            handle = self._handler(method)
            if self._owed is not None and method.route is Route.READ:
                await self._settle(self._owed)
            try:
                reply = await handle(request)
                return reply
            except (NotLeaderError, RpcError) as error:
                if method.route is Route.ANY or not _may_retry(error, method):
                    raise
                # Leadership was lost, or is being handed over, before anything was proposed.
        reply = await self._call_leader(self._consensus, method, request)
        return reply

    def read_at_once(self, method: Method[RequestT, ReplyT], request: RequestT) -> ReplyT | None:
        """The reply to a read that this server answers by itself and without waiting; None where there is none.

        Raises what `call` would.
        """
        consensus, endpoints = self._consensus, self._endpoints
        if consensus is None or endpoints is None:
            return None
        endpoint = endpoints.get(method.name)
        if endpoint is None or endpoint.at_once is None or self._owed is not None:
            return None
        datacenter = getattr(request, "datacenter", "")
        if datacenter and datacenter != self._datacenter:
            return None
        if consensus.is_leader or self._may_answer_stale(method, request):
            reply: ReplyT | None = endpoint.at_once(request)
            return reply
        return None

    # --- a server's way ---

    def _handler(self, method: Method[Any, Any]) -> Callable[[Any], Awaitable[Any]]:
        endpoints = self._endpoints
        endpoint = endpoints.get(method.name) if endpoints is not None else None
        if endpoint is None:
            raise RpcError(f"rpc: can't find method {method.name}")
        return endpoint.handle

    def _may_answer_stale(self, method: Method[Any, Any], request: Any) -> bool:
        if method.route is not Route.READ or not request.allow_stale:
            return False
        if not self._heard_from_leader and self._consensus is not None:
            self._heard_from_leader = self._consensus.status().last_contact_ms is not None
        return self._heard_from_leader

    async def _call_leader(self, consensus: Consensus, method: Method[Any, Any], request: Any) -> Any:
        """Answer as the leader or have it answer, waiting for one at most the hold time."""
        started = self._now_ms()
        deadline = started + self._hold_ms
        failure: RpcError = RpcError(NO_LEADER)
        changes, attempts = self._leader_changes, 0
        while True:
            try:
                if consensus.is_leader:
                    return await self._handler(method)(request)
                leader = consensus.status().leader
                if leader is not None and leader.id != self._server_id:
                    return await self._forward(parse_address(leader.address), method, request)
                failure = RpcError(NO_LEADER)
            except NotLeaderError:
                failure = RpcError(NO_LEADER)
            except RpcError as error:
                if not _may_retry(error, method):
                    raise
                failure = error
                deadline = self._extend(deadline, started, error)
            if self.is_leaving:
                raise RpcError(NO_LEADER)
            if self._leader_changes == changes:
                await self._wait_before_retry(deadline, failure, attempts, self._next_leader_change())
            # Whoever leads from now on may not be ready yet: it is asked again soon, but not by all at once.
            attempts = attempts + 1 if self._leader_changes == changes else 0
            changes = self._leader_changes

    async def _forward(self, leader: Address, method: Method[Any, Any], request: Any) -> Any:
        """Have the leader answer, and remember how far it is with what it has written."""
        if method.route is not Route.WRITE or self._catching_up is None:
            return await self._call_at(leader, method, request)
        return await self._call_at(leader, method, request, self._owe)

    def _owe(self, position: LogPosition) -> None:
        if self._owed is None or position.index > self._owed.index:
            self._owed = position

    async def _settle(self, owed: LogPosition) -> None:
        """See to it that what was written through this server can be read here.

        So whoever asks one agent for one thing after the other, such as a name that it has just registered, is not told
        of the past. Consul's followers learn of a write when the leader sends the next, or some 50 ms later.
        """
        if self._catching_up is not None:
            await self._catching_up.catch_up(owed, timeout_ms=CATCH_UP_TIMEOUT_MS)
        if self._owed is owed:
            self._owed = None

    async def _call_datacenter(self, datacenter: str, method: Method[Any, Any], request: Any) -> Any:
        """Have a server of another datacenter answer; its own routing does the rest.

        Consul asks one server and gives up. Here a server that cannot be reached, or that broke off a read, is followed
        by the next, so that the loss of one is not seen; when all of them are lost, until the hold time is over.
        """
        started = self._now_ms()
        deadline = started + self._hold_ms
        if self._directory.knows_datacenter(datacenter):
            self.cross_datacenter[datacenter] = self.cross_datacenter.get(datacenter, 0) + 1
        while True:
            servers = self._directory.route(datacenter)
            if not servers:
                raise RpcError(DATACENTER_UNREACHABLE if self._directory.knows_datacenter(datacenter) else NO_PATH)
            failure = RpcError(DATACENTER_UNREACHABLE)
            for server in servers:
                try:
                    reply = await self._call_at(server.address, method, request)
                except RpcError as error:
                    if isinstance(error, RpcTransportError):
                        self._directory.doubt(server)
                    else:
                        self._directory.trust(server)  # an error, too, is an answer
                    if not _may_retry(error, method):
                        raise
                    failure = error
                    deadline = self._extend(deadline, started, error)
                else:
                    self._directory.trust(server)
                    return reply
                if self._now_ms() >= deadline:
                    break
            if isinstance(failure, RpcUnreachableError):
                _log.info("no server of datacenter %s can be reached: %s", datacenter, failure)
                failure = RpcError(DATACENTER_UNREACHABLE)
            await self._wait_before_retry(deadline, failure)

    # --- a client agent's way ---

    async def _call_from_client(self, method: Method[Any, Any], request: Any) -> Any:
        """Have a server of our datacenter answer: the first of the list, after a failure the next."""
        started = self._now_ms()
        deadline = started + self._hold_ms
        attempts = 0
        while True:
            server = self._directory.pick(self._datacenter)
            if server is None:
                raise RpcError(NO_SERVERS)
            attempts += 1
            self.client_calls += 1
            try:
                return await self._call_at(server.address, method, request)
            except RpcError as error:
                self.client_failures += 1
                may_retry = _may_retry(error, method)
                if may_retry or isinstance(error, RpcTransportError):
                    self._directory.fail(server)
                if not may_retry:
                    raise
                failure = error
                deadline = self._extend(deadline, started, error)
            if self._now_ms() >= deadline:
                raise failure
            # The next server is asked at once; only after all of them there is a pause.
            if attempts % max(1, self._directory.count(self._datacenter)) == 0:
                await self._wait_before_retry(deadline, failure)

    # --- both ---

    async def _call_at(
        self,
        address: Address,
        method: Method[Any, Any],
        request: Any,
        on_applied: Callable[[LogPosition], None] | None = None,
    ) -> Any:
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("%s is forwarded to %s", method.name, address)
        return await self._pool.call(
            address,
            method,
            request,
            timeout_ms=self._timeout_ms(request),
            connect_timeout_ms=self._connect_timeout_ms,
            on_applied=on_applied,
        )

    def _timeout_ms(self, request: Any) -> int:
        """A blocking query takes its time, a sixteenth more at random, and the remote end may hold it besides."""
        if not getattr(request, "min_query_index", 0):
            return self._call_timeout_ms
        query_ms: int = request.max_query_time // 1_000_000
        query_ms = DEFAULT_QUERY_TIME_MS if query_ms <= 0 else min(query_ms, MAX_QUERY_TIME_MS)
        return query_ms + query_ms // JITTER_FRACTION + self._hold_ms + self._call_timeout_ms

    def _extend(self, deadline: int, started: int, error: RpcError) -> int:
        """The hold time begins anew, once, where a call broke off that had been waiting for longer than that.

        So a blocking query outlives the server that carried it out.
        """
        now = self._now_ms()
        if isinstance(error, RpcTransportError) and now >= deadline == started + self._hold_ms:
            return now + self._hold_ms
        return deadline

    async def _wait_before_retry(
        self, deadline: int, failure: RpcError, attempts: int = MANY_ATTEMPTS, news: asyncio.Future[None] | None = None
    ) -> None:
        """Pause for a random time, which is longer after more attempts, or until there is `news`."""
        longest = min(self._hold_ms / JITTER_FRACTION, FIRST_PAUSE_MS << min(attempts, MANY_ATTEMPTS))
        pause = self._rng.uniform(0, longest)
        if self._now_ms() + pause >= deadline:
            raise failure
        if news is None:
            await asyncio.sleep(pause / 1000)
        else:
            await asyncio.wait([news], timeout=pause / 1000)

    def leader_changed(self) -> None:
        """This server has learned of another leader, or that there is none: calls that wait for one look again.

        Calls that the former leader has may wait in vain: it is asked for a sign of life, and they fail without one.
        """
        self._leader_changes += 1
        leader = self._consensus.status().leader if self._consensus is not None else None
        if leader is not None:
            former, self._leader_address = self._leader_address, leader.address
            if former not in ("", leader.address):
                with contextlib.suppress(RpcError):  # an address that nobody could call
                    self._pool.check(parse_address(former), FORMER_LEADER_CHECK_MS)
        news, self._news = self._news, None
        if news is not None:
            news.set_result(None)

    def _next_leader_change(self) -> asyncio.Future[None]:
        if self._news is None:
            self._news = asyncio.get_running_loop().create_future()
        return self._news


def _may_retry(error: NotLeaderError | RpcError, method: Method[Any, Any]) -> bool:
    """Whether a call may be made again: nothing was carried out, or it was cut off and twice is as good as once."""
    if isinstance(error, NotLeaderError | RpcUnreachableError):
        return True
    if isinstance(error, RpcTransportError):
        return method.is_repeatable
    text = str(error)
    return NO_LEADER in text or NOT_THE_LEADER in text


@lru_cache(maxsize=1024)
def parse_address(text: str) -> Address:
    """The address of a server as the quorum has it. Raises RpcError."""
    host, _, port = text.rpartition(":")
    try:
        return Address(host.strip("[]"), int(port))
    except ValueError:
        raise RpcError(f"leader has an unusable address {text!r}") from None
