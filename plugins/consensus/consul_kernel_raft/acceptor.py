"""The connections that other servers opened: which answer goes where, and snapshots on their way in."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from consul_kernel.contracts.consensus import ConsensusContext
from consul_kernel.contracts.errors import ConsulKernelError, NotLeaderError, PeerProtocolError
from consul_kernel.contracts.transport import Stream

from .core import Event, Raft
from .core.messages import InstallSnapshot, Message, Response, TimeoutNow
from .incoming import IncomingSnapshot
from .meters import Meters
from .serving import Connection, Slot, SnapshotBytes
from .wire import encode_response
from .wire_snapshot import SnapshotArrived, SnapshotHeader

_log = logging.getLogger(__name__)
_CONNECTIONS_MAX = 256
"""More are closed at once; a quorum needs two or three for each server."""


class Acceptor:
    """Serves connections (`serving.Receiver`). `running` gives the algorithm, or raises NotLeaderError."""

    def __init__(
        self,
        context: ConsensusContext,
        running: Callable[[], Raft],
        post: Callable[[Event], None],
        meters: Meters,
    ) -> None:
        self._meters = meters
        self.server_id = context.server_id
        self._store = context.snapshots
        self._machine = context.state_machine
        self._running = running
        self._post = post
        self._slots: dict[int, Slot] = {}
        self._next_token = 1
        self._connections: set[Connection] = set()
        self._incoming: IncomingSnapshot | None = None

    async def serve(self, stream: Stream) -> None:
        """Serve one connection until it ends."""
        try:
            raft = self._running()
        except NotLeaderError:
            stream.close()
            return
        if len(self._connections) >= _CONNECTIONS_MAX:
            stream.close()
            return
        connection = Connection(stream, self)
        self._connections.add(connection)
        try:
            await connection.serve()
        except PeerProtocolError as error:
            raft.peer_error()
            _log.info("raft: connection from %s closed: %s", stream.peer, error)
        except (ConsulKernelError, OSError) as error:
            _log.debug("raft: connection from %s ended: %s", stream.peer, error)
        finally:
            self._connections.discard(connection)
            stream.close()

    def answer(self, response: Response) -> None:
        """Send a response on the connection that its request came from, if that still exists."""
        slot = self._slots.pop(response.token, None)
        if slot is not None:
            if slot.served is not None:
                slot.served.add((time.perf_counter() - slot.begun_s) * 1000)
            slot.fill(encode_response(response))

    def close(self) -> None:
        """End every connection."""
        self._slots.clear()
        for connection in list(self._connections):
            connection.close()

    async def aclose(self) -> None:
        """End every connection, and give up what has come of a snapshot."""
        self.close()
        if self._incoming is not None:
            await self._incoming.abandon()

    # --- what a connection asks for ---

    def find_id(self, address: str) -> str:
        """The id of the server with this address; the address where it is unknown."""
        servers = self._running().configuration.servers
        return next((server.id for server in servers if server.address == address), address)

    def register(self, slot: Slot) -> int:
        """A token for one request."""
        slot.token = self._next_token
        self._next_token += 1
        self._slots[slot.token] = slot
        return slot.token

    def forget(self, slots: list[Slot]) -> None:
        """Nobody waits for these answers."""
        for slot in slots:
            self._slots.pop(slot.token, None)

    def receive(self, message: Message) -> None:
        """Take a request in."""
        slot = None if isinstance(message, TimeoutNow) else self._slots.get(message.token)
        if slot is not None:
            slot.served = self._meters.served(message)
        self._post(message)

    async def receive_snapshot(
        self, message: InstallSnapshot, header: SnapshotHeader, source: SnapshotBytes
    ) -> InstallSnapshot:
        """Store a snapshot from the leader, if it is one; one at a time, and only of the newest term."""
        if message.term < self._running().term:
            raise PeerProtocolError(f"a snapshot of term {message.term}, which is over")
        incoming = self._incoming
        if header.offset:
            if incoming is None or not incoming.goes_on_with(message, header):
                raise PeerProtocolError(f"a snapshot that goes on at {header.offset}, which is not where it ended")
        else:
            if incoming is not None:
                if incoming.is_attached and incoming.message.term >= message.term:
                    raise PeerProtocolError("another snapshot is being received")
                await incoming.abandon()
            incoming = IncomingSnapshot(message, header, self._store, self._machine, self._snapshot_over)
            self._incoming = incoming
        return replace(message, snapshot=await incoming.take_from(source))

    async def snapshot_arrived(self, sender: str) -> SnapshotArrived:
        """What has arrived from this sender, whose connection of before is over, since it asks."""
        incoming = self._incoming
        if incoming is None or incoming.message.sender != sender:
            return SnapshotArrived()
        await incoming.detach()
        return incoming.arrived if incoming is self._incoming else SnapshotArrived()

    def _snapshot_over(self, incoming: IncomingSnapshot) -> None:
        if incoming is self._incoming:
            self._incoming = None
