"""The other servers: which connection a message takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from consul_kernel.contracts.consensus import Configuration, ConsensusContext, DialServer, Server
from consul_kernel.contracts.errors import PeerProtocolError, TransportError
from consul_kernel.contracts.metrics import Metrics
from consul_kernel.contracts.transport import Stream

from .channel import Channel
from .core import Event, Unreachable
from .core.messages import AppendEntries, Request
from .journal import Journal
from .meters import PeerMeters
from .wire import RequestEncoder, decode_response

_APPEND_TIMEOUT_MS = 10_000
_APPENDS_OUTSTANDING_MAX = 128
_CONTROL_OUTSTANDING_MAX = 16

Post = Callable[[Event], None]


class Peer:
    """Two connections to one server: appends on one, so that heartbeats and votes on the other never wait."""

    def __init__(
        self,
        server: Server,
        dial: DialServer,
        encoder: RequestEncoder,
        post: Post,
        on_refused: Callable[[], None],
        journal: Journal,
        control_timeout_ms: int,
        metrics: Metrics,
    ) -> None:
        meters = PeerMeters(metrics, server.id)
        self.server = server
        self._dial = dial
        self._encoder = encoder
        self._post = post
        self._on_refused = on_refused
        self._journal = journal
        self._appends = Channel(
            self._connect,
            self._answered,
            self._broken,
            self._unanswered,
            meters.answered,
            timeout_ms=_APPEND_TIMEOUT_MS,
            outstanding_max=_APPENDS_OUTSTANDING_MAX,
        )
        self._control = Channel(
            self._connect,
            self._answered,
            lambda: None,
            self._unanswered,
            meters.answered,
            timeout_ms=control_timeout_ms,
            outstanding_max=_CONTROL_OUTSTANDING_MAX,
        )

    def send(self, request: Request) -> None:
        """Send, or drop and say so: the algorithm repeats what matters."""
        frame = self._encoder.encode(request)
        if isinstance(request, AppendEntries):
            if not self._appends.send(request, frame):
                self._broken()
        else:
            self._control.send(request, frame)

    def _broken(self) -> None:
        self._post(Unreachable(self.server.id))

    def _unanswered(self, reason: str) -> None:
        self._journal.unreachable(self.server.id, self.server.address, reason)

    async def _connect(self) -> Stream:
        return await self._dial(self.server)

    def _answered(self, request: Request, error: Any, fields: Any) -> None:
        try:
            response = decode_response(request, error, fields)
        except PeerProtocolError:
            self._on_refused()
            raise
        self._journal.answered(self.server.id, self.server.address)
        if response is not None:
            self._post(response)

    async def aclose(self) -> None:
        """Close both connections."""
        await self._appends.aclose()
        await self._control.aclose()


class Peers:
    """One Peer for each other server of the configuration."""

    def __init__(
        self,
        context: ConsensusContext,
        encoder: RequestEncoder,
        post: Post,
        journal: Journal,
        *,
        control_timeout_ms: int,
    ) -> None:
        self._metrics = context.metrics
        self._id = context.server_id
        self._dial = context.dial
        self._encoder = encoder
        self._post = post
        self._journal = journal
        self._control_timeout_ms = control_timeout_ms
        self._peers: dict[str, Peer] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._configuration: Configuration | None = None
        self.answers_refused = 0
        """Answers that could not be read, or said that a request was not understood."""

    def update(self, configuration: Configuration) -> None:
        """Follow the configuration: forget servers that are gone or moved, know new ones."""
        if configuration is self._configuration:
            return
        self._configuration = configuration
        wanted = {server.id: server for server in configuration.servers if server.id != self._id}
        for server_id, peer in list(self._peers.items()):
            server = wanted.get(server_id)
            if server is None or server.address != peer.server.address:
                self._close(self._peers.pop(server_id))
                self._journal.forget(server_id)
        for server_id, server in wanted.items():
            if server_id not in self._peers:
                self._peers[server_id] = Peer(
                    server,
                    self._dial,
                    self._encoder,
                    self._post,
                    self._refused,
                    self._journal,
                    self._control_timeout_ms,
                    self._metrics,
                )

    def send(self, request: Request) -> None:
        """Send to `request.to`, if it is one of the servers."""
        peer = self._peers.get(request.to)
        if peer is not None:
            peer.send(request)

    async def connect(self, server_id: str) -> Stream:
        """A connection of its own. Raises TransportError."""
        peer = self._peers.get(server_id)
        if peer is None:
            raise TransportError(f"no server {server_id} in the configuration")
        return await self._dial(peer.server)

    def _refused(self) -> None:
        self.answers_refused += 1

    def _close(self, peer: Peer) -> None:
        task = asyncio.get_running_loop().create_task(peer.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Close every connection."""
        for peer in self._peers.values():
            self._close(peer)
        self._peers.clear()
        if self._closing:
            await asyncio.wait(self._closing)
