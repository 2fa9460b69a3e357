"""Records: cut out of a stream, encoded as Consul does, decoded whatever they are."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consul_kernel.snapshot.archive import ArchiveError
from consul_kernel.snapshot.decoding import MAX_DEPTH, ValueProblem, decode_any, decode_entry, decode_value
from consul_kernel.snapshot.encoding import encode_entry, encode_record, encode_value
from consul_kernel.snapshot.loading import Loader
from consul_kernel.snapshot.records import HEADER, ORDER, SERVED, RecordReader, RecordType, type_name
from consul_kernel.structs.kv import DirEntry
from consul_kernel.structs.session import Session
from core.snapshot.archives import REAL, records_of, unpack

INDEX = st.integers(0, (1 << 62) - 1)
ENTRY = st.builds(
    DirEntry,
    create_index=INDEX,
    modify_index=INDEX,
    lock_index=INDEX,
    flags=st.integers(0, (1 << 64) - 1),
    key=st.binary(max_size=300),
    value=st.none() | st.binary(max_size=300) | st.just(bytes(70_000)),
    session=st.sampled_from(["", "ac23b1bf-b8b0-a1d0-2897-5fbc4d26d6c5"]),
)


@given(ENTRY)
def test_a_key_is_encoded_as_any_record_and_decoded_again(entry: DirEntry) -> None:
    record = encode_entry(entry)
    assert record == encode_record(RecordType.KVS, entry)
    assert decode_entry(record[1:]) == entry
    assert decode_value(DirEntry, record[1:]) == entry


@given(
    records=st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=50) | st.integers(0, 9)), max_size=20),
    piece=st.integers(1, 40),
)
def test_records_are_cut_however_they_arrive(records: list[tuple[int, Any]], piece: int) -> None:
    state = encode_value({"LastIndex": 1}) + b"".join(encode_record(kind, value) for kind, value in records)
    found = records_of(state, piece=piece)
    assert found[0] == (HEADER, encode_value({"LastIndex": 1}))
    assert found[1:] == [(kind, encode_value(value)) for kind, value in records]


def test_a_state_cut_anywhere_but_between_records_is_refused() -> None:
    state = encode_value({"LastIndex": 1}) + encode_entry(DirEntry(key=b"key", value=b"value")) + b"\x1d\x80"
    whole = {12, len(state) - 2, len(state)}
    for length in range(len(state) + 1):
        if length in whole:
            assert records_of(state[:length])
        else:
            with pytest.raises(ArchiveError, match="cut short"):
                records_of(state[:length])


@given(st.binary(max_size=100))
def test_garbage_is_refused_or_cut_into_something(garbage: bytes) -> None:
    try:
        found = records_of(garbage, piece=7)
    except ArchiveError:
        return
    assert len(b"".join(record for _, record in found)) + len(found) - 1 == len(garbage)


def test_a_record_that_is_too_long_is_refused_before_its_end() -> None:
    reader = RecordReader(max_record_bytes=100)
    assert len(list(reader.feed(encode_value({"LastIndex": 1})))) == 1
    with pytest.raises(ArchiveError, match=r"record 0 of the snapshot \(KVS\) has more than 100 bytes"):
        list(reader.feed(b"\x02\xdb\x00\x10\x00\x00" + bytes(200)))
    reader = RecordReader(max_record_bytes=100)
    with pytest.raises(ArchiveError, match="has 101 bytes"):
        list(reader.feed(encode_value(bytes(98))))


def test_a_record_that_is_no_messagepack_is_named() -> None:
    with pytest.raises(ArchiveError, match=r"record 0 of the snapshot \(Session\) is no MessagePack"):
        records_of(encode_value({"LastIndex": 1}) + b"\x03\xc1")
    with pytest.raises(ArchiveError, match="header of the snapshot's state is no MessagePack"):
        records_of(b"\xc1")


def test_a_nesting_bomb_is_refused() -> None:
    bomb = b"\x91" * 100_000 + b"\xc0"
    with pytest.raises(ArchiveError, match="is no MessagePack"):
        records_of(encode_value({"LastIndex": 1}) + b"\x1e" + bomb)
    with pytest.raises(ValueProblem, match="deeper"):
        decode_any(b"\x91" * (MAX_DEPTH + 1) + b"\xc0")


def test_types_have_consuls_names() -> None:
    names = [type_name(kind) for kind in range(33)]
    assert names[2] == "KVS"
    assert names[6] == "CoordinateBatchUpdate"
    assert names[14] == "ConnectCAProviderState"
    assert names[19] == "ACLPolicy"
    assert names[32] == "Unknown(32)"
    assert set(SERVED) <= set(ORDER)
    assert len(set(ORDER)) == len(ORDER)


def test_every_record_of_a_real_archive_is_cut_out() -> None:
    _, state = unpack(REAL)
    found = records_of(state, piece=100)
    assert len(found) == 256
    assert len(state) == sum(1 + len(record) for _, record in found) - 1
    assert [kind for kind, _ in found[-2:]] == [RecordType.INDEX, RecordType.CHUNKING_STATE]


# --- values ---


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\xc0",
        b"\x90",
        encode_value({"Key": 7}),
        encode_value({"Key": "k", "Flags": -1}),
        encode_value({"Key": "k", "ModifyIndex": -1}),
        encode_value({"Key": "k", "ModifyIndex": 1 << 62}),
        encode_value({"Key": "k", "ModifyIndex": "x"}),
        encode_value({"Key": "k", "Value": [1]}),
        encode_value({"Key": "k", "Session": b"\xff"}),
    ],
)
def test_a_key_that_is_none_is_refused(record: bytes) -> None:
    with pytest.raises(ValueProblem):
        decode_entry(record)


def test_newer_forms_of_text_and_octets_are_taken() -> None:
    record = msgpack.packb({"Key": "k" * 40, "Value": b"v" * 40, "Session": "s" * 40}, use_bin_type=True)
    entry = decode_entry(record)
    assert (entry.key, entry.value, entry.session) == (b"k" * 40, b"v" * 40, "s" * 40)


SCALAR = st.none() | st.booleans() | st.integers(-9, 1 << 63) | st.floats(allow_nan=False) | st.text(max_size=40)


@settings(max_examples=50)
@given(st.lists(SCALAR | st.lists(SCALAR | st.dictionaries(st.text(max_size=9), SCALAR, max_size=3), max_size=3)))
def test_any_value_survives(value: Any) -> None:
    assert decode_any(encode_value(value)) == value


def test_octets_that_are_no_text_survive() -> None:
    octets = encode_value({"Config": {"blob": b"\xff\x00", "b": 1, "a": 1.0}})
    value = decode_any(octets)
    assert value == {"Config": {"blob": b"\xff\x00", "b": 1, "a": 1.0}}
    assert encode_value(value) == octets


def test_values_of_other_kinds_are_refused() -> None:
    with pytest.raises(ValueProblem):
        decode_any(msgpack.packb(msgpack.ExtType(5, b"x")))
    with pytest.raises(ValueProblem, match="behind its end"):
        decode_any(b"\xc0\xc0")


# --- rows ---


def damaged(kind: int, value: Any) -> str:
    loader = Loader()
    with pytest.raises(ArchiveError) as caught:
        loader.add(kind, encode_value(value))
    return str(caught.value)


def test_records_that_no_state_can_hold_are_named() -> None:
    assert "(KVS) cannot be taken: has a key of 0 bytes" in damaged(RecordType.KVS, {"Key": ""})
    assert "(KVS) cannot be taken: has a key of 2000 bytes" in damaged(RecordType.KVS, {"Key": "k" * 2000})
    assert "Names are too long" in damaged(RecordType.REGISTER, {"Node": "n" * 2000})
    assert "(Session) cannot be taken" in damaged(RecordType.SESSION, ["no session"])
    assert "(Session) cannot be taken: has the index" in damaged(RecordType.SESSION, {"ID": "x", "ModifyIndex": -1})
    assert "(Index) cannot be taken: is no index" in damaged(RecordType.INDEX, {"Key": "kvs"})
    assert "is no run of octets" in damaged(RecordType.CONFIG_ENTRY, {"Kind": "x"})
    assert "does not tell its last index" in damaged(HEADER, {"LastIndex": None})
    assert "has the index" in damaged(HEADER, {"LastIndex": 1 << 62})


@given(kind=st.integers(-1, 40), record=st.binary(max_size=60))
def test_whatever_a_record_holds_it_is_taken_or_named(kind: int, record: bytes) -> None:
    loader, outcome = Loader(), "taken"
    try:
        loader.add(kind, record)
    except ArchiveError as error:
        outcome = str(error)
    assert outcome == "taken" or "cannot be taken" in outcome


def test_an_index_that_an_archive_lacks_is_made_up_for() -> None:
    loader = Loader()
    loader.add(HEADER, encode_value({"LastIndex": 77}))
    loader.add(RecordType.KVS, encode_entry(DirEntry(key=b"k", modify_index=5))[1:])
    loader.add(RecordType.SESSION, encode_value(Session(id="s", node="n")))
    loader.take()
    loader.finish()
    index = (77).to_bytes(8, "big")
    assert loader.take() == {"index": [b"kvs", index, b"sessions", index]}


def test_pieces_of_writes_that_nobody_completes_are_told() -> None:
    loader = Loader()
    loader.add(RecordType.CHUNKING_STATE, encode_value({"ChunkMap": {}}))
    assert not loader.unserved
    loader.add(RecordType.CHUNKING_STATE, encode_value({"ChunkMap": {7: [b"x"]}}))
    loader.add(77, encode_value({}))
    assert loader.unserved_names() == ["ChunkingState (1)", "Unknown(77) (1)"]
