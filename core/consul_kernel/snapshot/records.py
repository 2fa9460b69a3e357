"""`state.bin`: a header, then one octet for the type of each record and the record as MessagePack, to the end.

The types are those of the commands in Consul's log; the records mostly are not the commands, but what is in the tables.
MessagePack is that of Consul's wire: text and octets are of the old `raw` family.
(Consul: `agent/consul/fsm/snapshot_oss.go`, `agent/structs.MessageType`.)
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

import msgpack

from .archive import ArchiveError

MAX_RECORD_BYTES = 32 * 1024 * 1024
"""The longest record. A key's value has half a megabyte, as long as nobody has raised that limit."""


class RecordType(IntEnum):
    """Types of records, and of commands, by the names under which Consul lists them."""

    REGISTER = 0
    DEREGISTER = 1
    KVS = 2
    SESSION = 3
    ACL = 4
    TOMBSTONE = 5
    COORDINATE_BATCH_UPDATE = 6
    PREPARED_QUERY = 7
    TXN = 8
    AUTOPILOT = 9
    AREA = 10
    ACL_BOOTSTRAP = 11
    INTENTION = 12
    CONNECT_CA = 13
    CONNECT_CA_PROVIDER_STATE = 14
    CONNECT_CA_CONFIG = 15
    INDEX = 16
    ACL_TOKEN = 17
    ACL_TOKEN_DELETE = 18
    ACL_POLICY = 19
    ACL_POLICY_DELETE = 20
    CONNECT_CA_LEAF = 21
    CONFIG_ENTRY = 22
    ACL_ROLE = 23
    ACL_ROLE_DELETE = 24
    ACL_BINDING_RULE = 25
    ACL_BINDING_RULE_DELETE = 26
    ACL_AUTH_METHOD = 27
    ACL_AUTH_METHOD_DELETE = 28
    CHUNKING_STATE = 29
    FEDERATION_STATE = 30
    SYSTEM_METADATA = 31


_INITIALISMS = ("KVS", "ACL", "CA")


def type_name(kind: int) -> str:
    """Consul's name of a type; `Unknown(77)` for others."""
    try:
        words = RecordType(kind).name.split("_")
    except ValueError:
        return f"Unknown({kind})"
    return "".join(word if word in _INITIALISMS else word.capitalize() for word in words)


ORDER = (
    RecordType.REGISTER,
    RecordType.COORDINATE_BATCH_UPDATE,
    RecordType.SESSION,
    RecordType.ACL,
    RecordType.ACL_BOOTSTRAP,
    RecordType.ACL_TOKEN,
    RecordType.ACL_POLICY,
    RecordType.ACL_ROLE,
    RecordType.ACL_BINDING_RULE,
    RecordType.ACL_AUTH_METHOD,
    RecordType.KVS,
    RecordType.TOMBSTONE,
    RecordType.PREPARED_QUERY,
    RecordType.AUTOPILOT,
    RecordType.INTENTION,
    RecordType.CONNECT_CA,
    RecordType.CONNECT_CA_PROVIDER_STATE,
    RecordType.CONNECT_CA_CONFIG,
    RecordType.CONFIG_ENTRY,
    RecordType.FEDERATION_STATE,
    RecordType.SYSTEM_METADATA,
    RecordType.INDEX,
    RecordType.CHUNKING_STATE,
)
"""In which Consul writes them. Types that are not named here come before the indexes."""


class RecordReader:
    """Cuts the bytes of `state.bin` into records. Each byte is looked at once, however it arrives."""

    def __init__(self, max_record_bytes: int = MAX_RECORD_BYTES) -> None:
        self._max_record_bytes = max_record_bytes
        self._scanner = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=0, read_size=4096)
        self._buffer = bytearray()
        self._base = 0
        self._kind: int | None = None
        self._has_header = False
        self.count = 0
        """Records so far, the header not counted."""
        self.read_bytes = 0
        """Bytes of the header and of the records so far."""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take bytes; type and octets of each record that is complete now, the header first, with type -1.

        The iterator must be used up. ArchiveError where the bytes are no such records.
        """
        self._buffer += data
        self._scanner.feed(data)
        while True:
            if self._kind is None and not self._next_kind():
                return
            record = self._next_record()
            if record is None:
                return
            kind, self._kind = self._kind, None
            assert kind is not None
            yield kind, record

    def close(self) -> None:
        """Say that no more bytes come. ArchiveError where a record is cut short, or nothing came at all."""
        if not self._has_header:
            raise ArchiveError("the state has no header")
        if self._buffer or self._kind is not None:
            raise self._damaged("is cut short")

    def _next_kind(self) -> bool:
        """Find the type of the next record; whether it has come."""
        if not self._has_header:
            self._kind = HEADER
            return bool(self._buffer)
        octet: bytes = self._scanner.read_bytes(1)
        if not octet:
            return False
        self._kind = octet[0]
        self._consume(1)
        return True

    def _next_record(self) -> bytes | None:
        try:
            self._scanner.skip()
        except msgpack.OutOfData:
            if len(self._buffer) > self._max_record_bytes:
                raise self._damaged(f"has more than {self._max_record_bytes} bytes") from None
            return None
        except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
            raise self._damaged(f"is no MessagePack: {str(error) or type(error).__name__}") from error
        size = self._scanner.tell() - self._base
        if size > self._max_record_bytes:
            raise self._damaged(f"has {size} bytes, {self._max_record_bytes} are possible")
        record = bytes(memoryview(self._buffer)[:size])
        self._consume(size)
        if self._has_header:
            self.count += 1
        self._has_header = True
        return record

    def _consume(self, size: int) -> None:
        del self._buffer[:size]
        self._base += size
        self.read_bytes += size

    def _damaged(self, what: str) -> ArchiveError:
        return record_error(self._kind if self._kind is not None else HEADER, self.count, what)


HEADER = -1
"""Stands for the type of the header, which has none."""


def record_error(kind: int, number: int, what: str) -> ArchiveError:
    """What is wrong with a record; `number` counts from 0."""
    return ArchiveError(f"record {number} of the snapshot ({'header' if kind == HEADER else type_name(kind)}) {what}")
