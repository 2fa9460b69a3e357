"""From a frozen state to an archive's records, in Consul's order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from consul_kernel.state import catalog_tables
from consul_kernel.state.autopilot import autopilot_config
from consul_kernel.state.config_entries import config_entries
from consul_kernel.state.coordinates import coordinates
from consul_kernel.state.keys import unpack_index
from consul_kernel.state.kv import scan_entries
from consul_kernel.state.prepared_queries import queries
from consul_kernel.state.sessions import sessions
from consul_kernel.state.tables import INDEX_TABLE, Reader
from consul_kernel.state.tombstones import scan_tombstones
from consul_kernel.state.unserved import unserved, unserved_kinds
from consul_kernel.structs.catalog import RegisterRequest
from consul_kernel.structs.kv import DirEntry
from consul_kernel.structs.node import Node

from .archive import ArchiveError
from .encoding import encode_entry, encode_record, encode_value
from .loading import SERVICE_INDEX
from .mesh import encode_config_entry, with_proxy
from .records import ORDER, RecordType


def state_records(reader: Reader, index: int) -> Iterator[bytes]:
    """The bytes of `state.bin`, a record at a time, the header first. `index` is that of the state.

    ArchiveError for a record that cannot be written; its text says which.
    """
    yield encode_value({"LastIndex": index})
    kept = unserved_kinds(reader)
    others = [kind for kind in kept if kind not in ORDER]
    for kind in ORDER:
        if kind is RecordType.INDEX:
            for other in others:
                yield from _unserved_records(reader, other)
        writer = _WRITERS.get(kind)
        if writer is not None:
            yield from writer(reader)
        if kind in kept:
            yield from _unserved_records(reader, kind)
        elif kind is RecordType.CHUNKING_STATE:
            yield encode_record(kind, {"ChunkMap": {}})


def _unserved_records(reader: Reader, kind: int) -> Iterator[bytes]:
    for _, record in unserved(reader, kind):
        yield bytes((kind,)) + record


def _registrations(reader: Reader) -> Iterator[bytes]:
    """A node by itself, then each of its services and each of its checks with it."""
    for key, node in catalog_tables.nodes.scan(reader):
        yield _registration(node)
        for _, service in catalog_tables.services.scan(reader, key):
            yield _registration(node, service=with_proxy(service))
        for _, check in catalog_tables.checks.scan(reader, key):
            yield _registration(node, check=check)


def _registration(node: Node, **parts: Any) -> bytes:
    request = RegisterRequest(
        datacenter=node.datacenter,
        id=node.id,
        node=node.node,
        address=node.address,
        tagged_addresses=node.tagged_addresses,
        node_meta=node.meta,
        create_index=node.create_index,
        modify_index=node.modify_index,
        **parts,
    )
    try:
        return encode_record(RecordType.REGISTER, request)
    except (ValueError, OverflowError, RecursionError) as error:
        name = "".join(f", {kind} {part.id if kind == 'service' else part.check_id!r}" for kind, part in parts.items())
        raise ArchiveError(f"node {node.node!r}{name} cannot be written into an archive: {error}") from error


def _coordinates(reader: Reader) -> Iterator[bytes]:
    for _, coordinate in coordinates.scan(reader):
        yield encode_record(RecordType.COORDINATE_BATCH_UPDATE, [coordinate])


def _sessions(reader: Reader) -> Iterator[bytes]:
    for _, session in sessions.scan(reader):
        yield encode_record(RecordType.SESSION, session)


def _entries(reader: Reader) -> Iterator[bytes]:
    for _, entry in scan_entries(reader):
        yield encode_entry(entry)


def _tombstones(reader: Reader) -> Iterator[bytes]:
    for key, index in scan_tombstones(reader):
        yield encode_record(RecordType.TOMBSTONE, DirEntry(key=key, modify_index=index))


def _queries(reader: Reader) -> Iterator[bytes]:
    for _, query in queries.scan(reader):
        yield encode_record(RecordType.PREPARED_QUERY, query)


def _autopilot(reader: Reader) -> Iterator[bytes]:
    config = autopilot_config(reader)
    if config is not None:
        yield encode_record(RecordType.AUTOPILOT, config)


def _config_entries(reader: Reader) -> Iterator[bytes]:
    for _, entry in config_entries.scan(reader):
        yield encode_config_entry(entry)


def _indexes(reader: Reader) -> Iterator[bytes]:
    for key, value in reader.range(INDEX_TABLE):
        yield encode_record(RecordType.INDEX, {"Key": _index_name(reader, key), "Value": unpack_index(value)})


def _index_name(reader: Reader, key: bytes) -> bytes:
    """The name of an index; a service's in the case that the service has, by which Consul looks it up."""
    if key.startswith(SERVICE_INDEX):
        first = next(catalog_tables.instances_of(reader, key[len(SERVICE_INDEX) :]), None)
        service = catalog_tables.services.get(reader, first) if first is not None else None
        if service is not None:
            return SERVICE_INDEX + service.service.encode()
    return key


_WRITERS = {
    RecordType.REGISTER: _registrations,
    RecordType.COORDINATE_BATCH_UPDATE: _coordinates,
    RecordType.SESSION: _sessions,
    RecordType.KVS: _entries,
    RecordType.TOMBSTONE: _tombstones,
    RecordType.PREPARED_QUERY: _queries,
    RecordType.AUTOPILOT: _autopilot,
    RecordType.CONFIG_ENTRY: _config_entries,
    RecordType.INDEX: _indexes,
}
