"""From an archive's records to the rows of a state: what a restore puts in place of what there was.

Every record that consul-kernel has tables for becomes rows; any other is kept as it came, and told of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from consul_kernel.contracts.errors import RequestError
from consul_kernel.state import catalog_tables
from consul_kernel.state.autopilot import put_autopilot_config
from consul_kernel.state.config_entries import put_config_entry
from consul_kernel.state.coordinates import put_coordinate
from consul_kernel.state.keys import fold, pack_index, require_short
from consul_kernel.state.kv import MAX_KV_KEY_BYTES, put_entry
from consul_kernel.state.prepared_queries import put_query, query_key
from consul_kernel.state.sessions import put_session, session_key
from consul_kernel.state.tables import INDEX_TABLE
from consul_kernel.state.tombstones import put_tombstone
from consul_kernel.state.unserved import put_unserved
from consul_kernel.structs.autopilot import AutopilotConfig
from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.config_entry import ConfigEntry
from consul_kernel.structs.coordinate import NodeCoordinate
from consul_kernel.structs.node import Node
from consul_kernel.structs.prepared_query import PreparedQuery
from consul_kernel.structs.record import RaftIndexed
from consul_kernel.structs.service import Weights
from consul_kernel.structs.session import Session

from .decoding import ValueProblem, decode_any, decode_entry, decode_value, require_index
from .mesh import decode_config_entry, without_empty_proxy
from .records import HEADER, RecordType, record_error, type_name

SERVICE_INDEX = b"service."
_SERVICE, _CHECK = 254, 255
"""Stand for types of their own where it is remembered what was seen."""
_TABLES = ("kvs", "nodes", "services", "checks", "sessions", "tombstones")
"""What has an index of its own in every state that has rows there."""


class RowCollector:
    """Takes rows, until who reads them off calls `take`."""

    def __init__(self) -> None:
        self.rows: dict[str, list[bytes]] = {}
        self.size = 0

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Add a row. RequestError where the key is too long for a store."""
        if not key:
            raise ValueProblem("has an empty name")
        require_short(key)
        pairs = self.rows.get(table)
        if pairs is None:
            pairs = self.rows[table] = []
        pairs += (key, value)
        self.size += len(key) + len(value)

    def take(self) -> dict[str, list[bytes]]:
        """The rows so far, and none left."""
        rows, self.rows, self.size = self.rows, {}, 0
        return rows


class Loader:
    """Makes rows of records. `add` raises ArchiveError for a record that is damaged, or that no store can take."""

    def __init__(self) -> None:
        self.collector = RowCollector()
        self.counts: Counter[int] = Counter()
        """Records by type."""
        self.unserved: Counter[int] = Counter()
        """Of those, the ones that are only kept."""
        self.last_index = 0
        self._number = 0
        self._seen: set[bytes] = set()
        self._held: set[bytes] = set()
        self._indexes: dict[bytes, int] = {}
        self._tables: set[str] = set()
        self._loaders: dict[int, Callable[[bytes], None]] = {
            RecordType.REGISTER: self._register,
            RecordType.KVS: self._kvs,
            RecordType.SESSION: self._session,
            RecordType.TOMBSTONE: self._tombstone,
            RecordType.COORDINATE_BATCH_UPDATE: self._coordinates,
            RecordType.PREPARED_QUERY: self._query,
            RecordType.AUTOPILOT: self._autopilot,
            RecordType.INDEX: self._index,
            RecordType.CONFIG_ENTRY: self._config_entry,
            RecordType.CHUNKING_STATE: self._chunking,
        }

    def add(self, kind: int, record: bytes) -> None:
        """Take the next record; the header first, with type HEADER."""
        try:
            if kind == HEADER:
                self._header(record)
                return
            load = self._loaders.get(kind)
            if load is None:
                self._keep(kind, record)
            else:
                load(record)
        except (ValueProblem, RequestError) as error:
            raise record_error(kind, self._number, f"cannot be taken: {error}") from None
        self.counts[kind] += 1
        self._number += 1

    @property
    def size(self) -> int:
        """Bytes of the rows that can be taken."""
        return self.collector.size

    def take(self) -> dict[str, list[bytes]]:
        """The rows since the last time: keys and values by turns, by table."""
        rows = self.collector.take()
        self._tables.update(rows)
        return rows

    def finish(self) -> None:
        """Add what archives may lack: the index of a table that has rows."""
        for table in _TABLES:
            if table in self._tables | self.collector.rows.keys() and table.encode() not in self._indexes:
                self.collector.put(INDEX_TABLE, table.encode(), pack_index(self.last_index))

    def unserved_names(self) -> list[str]:
        """What is only kept, by name, each with the number of records."""
        return [f"{type_name(kind)} ({count})" for kind, count in sorted(self.unserved.items())]

    # --- one for each type of record ---

    def _header(self, record: bytes) -> None:
        header = decode_any(record)
        index = header.get("LastIndex") if isinstance(header, dict) else None
        if not isinstance(index, int):
            raise ValueProblem("does not tell its last index")
        require_index(index)
        self.last_index = index

    def _register(self, record: bytes) -> None:
        request = decode_value(RegisterRequest, record)
        self._require_indexes(request)
        if self._is_new(RecordType.REGISTER, catalog_tables.node_key(request.node)):
            self._put_node(request)
        if request.service is not None:
            self._require_indexes(request.service)
            service = without_empty_proxy(request.service)
            if service.weights is None:
                service.weights = Weights()
            self._require_new(_SERVICE, catalog_tables.instance_key(request.node, service.id))
            catalog_tables.put_service(self.collector, request.node, service)
        for check in (*((request.check,) if request.check else ()), *(request.checks or ())):
            self._require_indexes(check)
            self._require_new(_CHECK, catalog_tables.check_key(check.node, check.check_id))
            catalog_tables.put_check(self.collector, check)

    def _put_node(self, request: RegisterRequest) -> None:
        """Every record of a node's services and checks repeats it; the first counts."""
        node = Node(
            id=request.id,
            node=request.node,
            address=request.address,
            datacenter=request.datacenter,
            tagged_addresses=request.tagged_addresses,
            meta=request.node_meta,
            create_index=request.create_index,
            modify_index=request.modify_index,
        )
        catalog_tables.put_node(self.collector, node)

    def _kvs(self, record: bytes) -> None:
        entry = decode_entry(record)
        _require_key(entry.key)
        if entry.session or self._held:
            # Of a key that is not held, the last record counts; nothing else is found by it.
            if entry.key in self._held:
                raise ValueProblem(f"is there twice: {entry.key[:100]!r}")
            if entry.session:
                self._held.add(entry.key)
        put_entry(self.collector, entry)

    def _tombstone(self, record: bytes) -> None:
        entry = decode_entry(record)
        _require_key(entry.key)
        self._require_new(RecordType.TOMBSTONE, entry.key)
        put_tombstone(self.collector, entry.key, entry.modify_index)

    def _session(self, record: bytes) -> None:
        session = decode_value(Session, record)
        self._require_indexes(session)
        self._require_new(RecordType.SESSION, session_key(session.id))
        put_session(self.collector, session)

    def _coordinates(self, record: bytes) -> None:
        for coordinate in decode_value(list[NodeCoordinate], record):
            put_coordinate(self.collector, coordinate)

    def _query(self, record: bytes) -> None:
        query = decode_value(PreparedQuery, record)
        self._require_indexes(query)
        self._require_new(RecordType.PREPARED_QUERY, query_key(query.id))
        put_query(self.collector, query)

    def _autopilot(self, record: bytes) -> None:
        config = decode_value(AutopilotConfig, record)
        self._require_indexes(config)
        put_autopilot_config(self.collector, config)

    def _config_entry(self, record: bytes) -> None:
        entry: ConfigEntry = decode_config_entry(record)
        self._require_indexes(entry)
        put_config_entry(self.collector, entry)

    def _index(self, record: bytes) -> None:
        index = decode_any(record)
        name = index.get("Key") if isinstance(index, dict) else None
        value = index.get("Value") if isinstance(index, dict) else None
        if not isinstance(name, str) or not isinstance(value, int):
            raise ValueProblem("is no index")
        require_index(value)
        key = name.encode()
        if key.startswith(SERVICE_INDEX):
            # Names are looked up without regard to case here; of several that differ in it alone, the newest counts.
            key = SERVICE_INDEX + fold(name[len(SERVICE_INDEX) :])
        self._indexes[key] = max(value, self._indexes.get(key, 0))
        self.collector.put(INDEX_TABLE, key, pack_index(self._indexes[key]))

    def _chunking(self, record: bytes) -> None:
        """Pieces of large writes that were under way, which nobody will complete. There seldom are any."""
        state = decode_any(record)
        if not isinstance(state, dict) or state.get("ChunkMap"):
            self._keep(RecordType.CHUNKING_STATE, record)

    def _keep(self, kind: int, record: bytes) -> None:
        put_unserved(self.collector, kind, self._number, record)
        self.unserved[kind] += 1

    def _is_new(self, kind: int, key: bytes) -> bool:
        seen = bytes((kind,)) + key
        if seen in self._seen:
            return False
        self._seen.add(seen)
        return True

    def _require_new(self, kind: int, key: bytes) -> None:
        """What is there twice would leave rows behind that find the first by what only the second is."""
        if not self._is_new(kind, key):
            raise ValueProblem(f"is there twice: {key[:100]!r}")

    @staticmethod
    def _require_indexes(record: RaftIndexed | RegisterRequest) -> None:
        require_index(record.create_index)
        require_index(record.modify_index)


def _require_key(key: bytes) -> None:
    if not 0 < len(key) <= MAX_KV_KEY_BYTES:
        raise ValueProblem(f"has a key of {len(key)} bytes, 1 to {MAX_KV_KEY_BYTES} are possible")
