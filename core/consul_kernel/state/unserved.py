"""Records of a Consul archive that nothing here serves: ACL, intentions, certificate authorities, and what is newer.

They are kept as they came, so that an archive made of this state has them again, and are listed when one is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from .keys import pack_index, unpack_index
from .tables import Reader, Writer

UNSERVED_TABLE = "unserved"
"""Type of the record (one octet) and its place in the archive (eight octets) to the record's octets."""


def put_unserved(writer: Writer, kind: int, place: int, record: bytes) -> None:
    """Keep a record of a type, at its place among all records."""
    writer.put(UNSERVED_TABLE, bytes((kind,)) + pack_index(place), record)


def unserved_kinds(reader: Reader) -> list[int]:
    """The types of which records are kept, in order."""
    kinds: list[int] = []
    while (pair := next(reader.range(UNSERVED_TABLE, bytes((kinds[-1] + 1 if kinds else 0,))), None)) is not None:
        kinds.append(pair[0][0])
        if kinds[-1] == 255:
            break
    return kinds


def unserved(reader: Reader, kind: int) -> Iterator[tuple[int, bytes]]:
    """Place and octets of the records of a type, in order."""
    for key, record in reader.range(UNSERVED_TABLE, bytes((kind,)), bytes((kind, *([255] * 9)))):
        yield unpack_index(key[1:]), record
