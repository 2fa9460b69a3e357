"""The archive: what is written is read, and nothing else is."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kernel.contracts.consensus import Configuration, Server, Suffrage
from consul_kernel.snapshot.archive import (
    MAX_STATE_BYTES,
    META,
    STATE,
    SUMS,
    ArchiveError,
    ArchiveMeta,
    describe,
    write_archive,
)
from consul_kernel.snapshot.archive_reader import MAX_SMALL_BYTES, OUTPUT_BYTES, ArchiveReader
from core.snapshot.archives import REAL, members_of, pack, pack_by_hand, sums_of, unpack

STATE_BYTES = b"\x81\xa9LastIndex\x09" + bytes(range(256)) * 3


@given(state=st.binary(max_size=4000), written=st.integers(1, 999), read=st.integers(1, 999))
def test_what_is_written_is_read(state: bytes, written: int, read: int) -> None:
    meta, got = unpack(pack(state, piece=written), piece=read)
    assert got == state
    assert (meta.index, meta.term, meta.size) == (9, 2, len(state))


def test_an_archive_is_a_tar_that_anybody_can_read() -> None:
    with tarfile.open(fileobj=io.BytesIO(pack(STATE_BYTES)), mode="r:gz") as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == [META, STATE, SUMS]
        assert {member.mode for member in members} == {0o600}
        contents = {member.name: tar.extractfile(member).read() for member in members}  # type: ignore[union-attr]
    assert contents[STATE] == STATE_BYTES
    assert contents[META].endswith(b"}\n")
    assert contents[SUMS] == sums_of({META: contents[META], STATE: STATE_BYTES})
    described = json.loads(contents[META])
    assert list(described) == [
        "Version",
        "ID",
        "Index",
        "Term",
        "Peers",
        "Configuration",
        "ConfigurationIndex",
        "Size",
    ]


def test_the_description_is_that_of_a_real_one() -> None:
    servers = (
        Server("bb9381da-c6ee-459f-fda7-714c48321c48", "127.55.0.1:8300"),
        Server("cc9381da-c6ee-459f-fda7-714c48321c48", "127.55.0.2:8300", Suffrage.NONVOTER),
    )
    meta = describe(228, 2, Configuration(servers, 1), now_ms=1795419111940)
    real, _ = unpack(REAL)
    assert (meta.id, meta.index, meta.term, meta.version) == (real.id, real.index, real.term, real.version)
    assert (meta.peers, meta.configuration_index) == (real.peers, real.configuration_index)
    assert meta.configuration.servers is not None
    assert meta.configuration.servers[:1] == real.configuration.servers
    assert [server.suffrage for server in meta.configuration.servers] == [0, 1]


def test_a_state_that_tar_cannot_tell_is_not_written() -> None:
    with pytest.raises(ArchiveError, match="too large"):
        next(write_archive(ArchiveMeta(size=MAX_STATE_BYTES + 1), (), b"", now_s=1))


def test_several_gzip_streams_are_one() -> None:
    whole = gzip.decompress(pack(STATE_BYTES))
    assert unpack(gzip.compress(whole[:700]) + gzip.compress(whole[700:]))[1] == STATE_BYTES


def test_zeros_behind_the_end_are_what_tar_adds() -> None:
    assert unpack(pack_by_hand(members_of(STATE_BYTES), tail=bytes(10240)))[1] == STATE_BYTES


def test_members_may_come_in_any_order() -> None:
    assert unpack(pack_by_hand(members_of(STATE_BYTES)[::-1]))[1] == STATE_BYTES


# --- damage ---


def refused(archive: bytes, *, piece: int = 333) -> str:
    with pytest.raises(ArchiveError) as caught:
        unpack(archive, piece=piece)
    return str(caught.value)


def test_an_archive_cut_anywhere_is_refused() -> None:
    archive = pack(STATE_BYTES)
    for length in range(len(archive)):
        assert refused(archive[:length], piece=4096)


@given(at=st.integers(0, len(REAL) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found_or_changes_nothing(at: int, bit: int) -> None:
    damaged = bytearray(REAL)
    damaged[at] ^= 1 << bit
    try:
        got = unpack(bytes(damaged))
    except ArchiveError:
        return
    assert got == unpack(REAL)  # gzip's header has fields that mean nothing


@given(garbage=st.binary(min_size=1, max_size=200))
def test_garbage_is_refused(garbage: bytes) -> None:
    assert refused(garbage)
    assert refused(gzip.compress(garbage))


def test_nothing_at_all_is_refused() -> None:
    assert "failed to decompress snapshot" in refused(b"")
    assert "failed to decompress snapshot" in refused(b"this is no archive")
    assert "unexpected EOF" in refused(gzip.compress(b""))


MEMBERS = members_of(STATE_BYTES)
DESCRIBED = MEMBERS[0][1]


@pytest.mark.parametrize(
    ("members", "text"),
    [
        (MEMBERS[1:], 'file missing for "meta.json"'),
        ([MEMBERS[0], MEMBERS[2]], 'file missing for "state.bin"'),
        (MEMBERS[:2], 'list missing hash for "meta.json"'),
        ([*MEMBERS, ("more.bin", b"x")], 'unexpected file "more.bin"'),
        ([*MEMBERS, MEMBERS[1]], '"state.bin" is there twice'),
        ([*MEMBERS[:2], (SUMS, sums_of({META: DESCRIBED, STATE: b"other"}))], 'hash check failed for "state.bin"'),
        ([*MEMBERS[:2], (SUMS, sums_of({META: b"other", STATE: STATE_BYTES}))], 'hash check failed for "meta.json"'),
        ([*MEMBERS[:2], (SUMS, sums_of({META: DESCRIBED}))], 'list missing hash for "state.bin"'),
        ([*MEMBERS[:2], (SUMS, MEMBERS[2][1] + sums_of({"x": b""}))], 'file missing for "x"'),
        ([*MEMBERS[:2], (SUMS, b"nonsense\n")], "another form"),
        ([*MEMBERS[:2], (SUMS, b"\xff" * 64 + b"  meta.json\n")], 'hash check failed for "meta.json"'),
        (members_of(STATE_BYTES, Size=3), "state.bin has"),
        (members_of(STATE_BYTES, Version=2), "unsupported snapshot version 2"),
        (members_of(STATE_BYTES, Index=-1), "no state has the index -1"),
        (members_of(STATE_BYTES, Index="x"), "failed to decode snapshot metadata"),
        (members_of(STATE_BYTES, Peers="?"), "failed to decode snapshot metadata"),
    ],
)
def test_an_archive_that_does_not_hold_together_is_refused(members: list[tuple[str, bytes]], text: str) -> None:
    assert text in refused(pack_by_hand(members))


def test_bytes_behind_the_end_are_refused() -> None:
    assert "after the end" in refused(pack_by_hand(MEMBERS, tail=bytes(1024) + b"more"))


@pytest.mark.parametrize(
    "kind", [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, b"S", b"x", b"L"]
)
def test_only_plain_files_are_taken(kind: bytes) -> None:
    info = tarfile.TarInfo(STATE)
    info.type = kind
    assert "unexpected file" in refused(gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)))


# --- bombs ---


def test_a_size_that_cannot_be_is_refused_before_its_first_byte() -> None:
    info = tarfile.TarInfo(STATE)
    info.size = 1 << 40
    assert "bytes, " in refused(gzip.compress(info.tobuf(tarfile.GNU_FORMAT)))


def test_a_state_for_which_there_is_no_room_is_refused_before_its_first_byte() -> None:
    written: list[bytes] = []
    reader = ArchiveReader(written.append, max_state_bytes=len(STATE_BYTES) - 1)
    with pytest.raises(ArchiveError, match="are possible"):
        reader.feed(pack(STATE_BYTES))
    assert written == []


def test_a_long_description_is_refused() -> None:
    assert "are possible" in refused(pack_by_hand([(META, b" " * (MAX_SMALL_BYTES + 1))]))


def test_however_much_comes_out_of_little_only_a_piece_is_in_memory() -> None:
    size = 64 * 1024 * 1024
    info = tarfile.TarInfo(STATE)
    info.size = size
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(info.tobuf(tarfile.USTAR_FORMAT))
    bomb += b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()
    assert len(bomb) * 500 < size
    sizes: list[int] = []
    reader = ArchiveReader(lambda piece: sizes.append(len(piece)))
    reader.feed(bomb)
    assert sum(sizes) == size
    assert max(sizes) <= OUTPUT_BYTES
    with pytest.raises(ArchiveError, match="unexpected EOF"):
        reader.close()
