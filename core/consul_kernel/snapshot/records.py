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


SERVED = frozenset(
    {
        RecordType.REGISTER,
        RecordType.KVS,
        RecordType.SESSION,
        RecordType.TOMBSTONE,
        RecordType.COORDINATE_BATCH_UPDATE,
        RecordType.PREPARED_QUERY,
        RecordType.AUTOPILOT,
        RecordType.INDEX,
        RecordType.CONFIG_ENTRY,
        RecordType.CHUNKING_STATE,
    }
)
"""The types that become rows; all others are only kept."""

HEADER = -1
"""Stands for the type of the header, which has none."""
NO_KIND = -2


class RecordReader:
    """Cuts the bytes of `state.bin` into records. Each byte is looked at once, however it arrives."""

    def __init__(self, max_record_bytes: int = MAX_RECORD_BYTES) -> None:
        self._max_record_bytes = max_record_bytes
        self._scanner = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=0, read_size=4096)
        self._buffer = bytearray()
        self._base = 0
        self._kind = HEADER
        """The type of the record that is on its way; NO_KIND between two records."""
        self.count = -1
        """Records so far, the header not counted."""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take bytes; type and octets of each record that is complete now, the header first, with type HEADER.

        The iterator must be used up. ArchiveError where the bytes are no such records.
        """
        self._buffer += data
        scanner = self._scanner
        scanner.feed(data)
        start, base = 0, self._base
        with memoryview(self._buffer) as view:
            while True:
                if self._kind == NO_KIND:
                    octet = scanner.read_bytes(1)
                    if not octet:
                        break
                    self._kind = octet[0]
                    start += 1
                if not self._skip_record(len(view) - start):
                    break
                end = scanner.tell() - base
                if end - start > self._max_record_bytes:
                    raise self._damaged(f"has {end - start} bytes, {self._max_record_bytes} are possible")
                kind, self._kind = self._kind, NO_KIND
                self.count += 1
                yield kind, bytes(view[start:end])
                start = end
        del self._buffer[:start]
        self._base += start

    def close(self) -> None:
        """Say that no more bytes come. ArchiveError where a record is cut short, or nothing came at all."""
        if self._kind != NO_KIND or self._buffer:
            raise self._damaged("is cut short")

    def _skip_record(self, buffered: int) -> bool:
        """Move behind the next record; whether all of it has come."""
        try:
            self._scanner.skip()
        except msgpack.OutOfData:
            if buffered > self._max_record_bytes:
                raise self._damaged(f"has more than {self._max_record_bytes} bytes") from None
            return False
        except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
            raise self._damaged(f"is no MessagePack: {str(error) or type(error).__name__}") from error
        return True

    def _damaged(self, what: str) -> ArchiveError:
        return record_error(self._kind, self.count, what)


def record_error(kind: int, number: int, what: str) -> ArchiveError:
    """What is wrong with a record; `number` counts from 0."""
    if kind == HEADER:
        return ArchiveError(f"the header of the snapshot's state {what}")
    return ArchiveError(f"record {number} of the snapshot ({type_name(kind)}) {what}")
