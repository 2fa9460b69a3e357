"""Applies commands to a state one by one, giving each the next log index."""

from __future__ import annotations

from typing import Any

from consul_kernel.contracts.store import SnapshotMeta, StateStore
from consul_kernel.state import CommandType, ReplicatedState, TombstoneRequest, encode_command
from consul_kernel.state.generations import NOTES_TABLE, Generations
from consul_kernel.structs.catalog import DeregisterRequest, RegisterRequest
from consul_kernel.structs.coordinate import Coordinate, CoordinateBatch, NodeCoordinate
from consul_kernel.structs.kv import DirEntry, KVOp, KVSRequest
from consul_kernel.structs.query import DatacenterRequest
from consul_kernel.structs.session import Session, SessionOp, SessionRequest

Dump = dict[str, list[tuple[bytes, bytes]]]


class StateDriver:
    def __init__(self, store: StateStore) -> None:
        self.store = store
        self.state = ReplicatedState(store)
        self.commands: list[tuple[int, bytes]] = []

    @property
    def index(self) -> int:
        return self.state.applied_index

    def apply(self, kind: CommandType, request: DatacenterRequest) -> Any:
        entry = (self.index + 1, encode_command(kind, request))
        self.commands.append(entry)
        return self.state.apply([entry])[0]

    def kv(self, op: KVOp, key: bytes, value: bytes = b"v", *, cas: int = 0, flags: int = 0) -> Any:
        entry = DirEntry(key=key, value=value, flags=flags, modify_index=cas)
        return self.apply(CommandType.KVS, KVSRequest(op=op, dir_ent=entry))

    def put(self, key: bytes, value: bytes = b"v") -> int:
        self.kv(KVOp.SET, key, value)
        return self.index

    def register(self, request: RegisterRequest) -> Any:
        return self.apply(CommandType.REGISTER, request)

    def deregister(self, node: str, *, service_id: str = "", check_id: str = "") -> Any:
        return self.apply(
            CommandType.DEREGISTER, DeregisterRequest(node=node, service_id=service_id, check_id=check_id)
        )

    def place(self, node: str, distance_s: float) -> Any:
        """Tell where a node stands."""
        place = NodeCoordinate(node=node, coord=Coordinate(vec=[distance_s, *[0.0] * 7]))
        return self.apply(CommandType.COORDINATES, CoordinateBatch(updates=[place]))

    def create_session(self, session: Session) -> Any:
        return self.apply(CommandType.SESSION, SessionRequest(op=SessionOp.CREATE, session=session))

    def destroy_session(self, session_id: str) -> Any:
        return self.apply(CommandType.SESSION, SessionRequest(op=SessionOp.DESTROY, session=Session(id=session_id)))

    def reap(self, up_to: int) -> Any:
        return self.apply(CommandType.TOMBSTONE, TombstoneRequest(reap_index=up_to))

    def dump(self) -> Dump:
        """The rows of the state and of what is staged, under the names in snapshots, and the index it has applied."""
        tables = Generations.load(self.store).tables(self.store.tables())
        rows = {table: list(self.store.range(name)) for table, name in tables}
        applied = [pair for pair in self.store.range(NOTES_TABLE) if pair[0] == b"applied_index"]
        return {**rows, NOTES_TABLE: applied} if applied else rows

    def sweep(self) -> None:
        """Remove all waste."""
        while self.state.remove_waste(7):
            pass


class BytesSource:
    """A snapshot source that hands out small pieces."""

    def __init__(self, data: bytes, piece: int = 777, *, index: int | None = None) -> None:
        """`index` is what the description says, by default the same as the data."""
        self._data = data
        self._piece = piece
        told = int.from_bytes(data[8:16], "big") if index is None else index
        self.meta = SnapshotMeta(id="test", index=told, term=1, size=len(data))

    async def read(self, max_bytes: int) -> bytes:
        size = min(self._piece, max_bytes)
        head, self._data = self._data[:size], self._data[size:]
        return head

    def close(self) -> None:
        self._data = b""
