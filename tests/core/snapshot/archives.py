"""Archives made to measure, whole and damaged."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from consul_kernel.snapshot.archive import META, STATE, SUMS, ArchiveMeta, write_archive
from consul_kernel.snapshot.archive_reader import ArchiveReader
from consul_kernel.snapshot.encoding import encode_entry, encode_record, encode_value
from consul_kernel.snapshot.records import RecordReader, RecordType
from consul_kernel.structs.kv import DirEntry

DATA = Path(__file__).parent / "data"
REAL = (DATA / "consul-1.10.11.snap").read_bytes()
"""What a real Consul 1.10.11 saved."""


def real_answers() -> dict[str, object]:
    """What that Consul answered just before, by the path of the request."""
    answers: dict[str, object] = json.loads(gzip.decompress((DATA / "consul-1.10.11.json.gz").read_bytes()))
    return answers


def pack(state: bytes, *, index: int = 9, piece: int = 1000) -> bytes:
    """An archive of these bytes."""
    meta = ArchiveMeta(id="2-9-1", index=index, term=2, size=len(state))
    pieces = [state[at : at + piece] for at in range(0, len(state), piece)]
    return b"".join(write_archive(meta, pieces, hashlib.sha256(state).digest(), now_s=1))


def pack_by_hand(members: Sequence[tuple[str, bytes]], *, tail: bytes = bytes(1024)) -> bytes:
    """A gzip of a tar of these members, whatever they are."""
    packed = io.BytesIO()
    for name, content in members:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        packed.write(info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512))
    packed.write(tail)
    return gzip.compress(packed.getvalue())


def members_of(state: bytes, **changes: object) -> list[tuple[str, bytes]]:
    """The three members of an archive; `changes` are of the description."""
    meta = {"Version": 1, "ID": "2-9-1", "Index": 9, "Term": 2, "Size": len(state), **changes}
    described = json.dumps(meta).encode()
    return [(META, described), (STATE, state), (SUMS, sums_of({META: described, STATE: state}))]


def sums_of(contents: dict[str, bytes]) -> bytes:
    """`SHA256SUMS` of these files."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items()]
    return "".join(lines).encode()


def unpack(archive: bytes, *, piece: int = 4096) -> tuple[ArchiveMeta, bytes]:
    """Description and state, read in pieces."""
    state = bytearray()
    reader = ArchiveReader(state.extend)
    for at in range(0, len(archive), piece):
        reader.feed(archive[at : at + piece])
    return reader.close(), bytes(state)


def records_of(state: bytes, *, piece: int = 4096) -> list[tuple[int, bytes]]:
    """Type and octets of every record, the header first."""
    reader = RecordReader()
    found: list[tuple[int, bytes]] = []
    for at in range(0, len(state), piece):
        found += reader.feed(state[at : at + piece])
    reader.close()
    return found


def state_of(entries: Iterable[DirEntry], *, last_index: int = 9, tail: bytes = b"") -> bytes:
    """`state.bin` with these keys, the index of the table, and whatever else."""
    listed = list(entries)
    newest = max((entry.modify_index for entry in listed), default=0)
    return b"".join(
        (
            encode_value({"LastIndex": last_index}),
            *(encode_entry(entry) for entry in listed),
            encode_record(RecordType.INDEX, {"Key": "kvs", "Value": newest}),
            tail,
        )
    )
