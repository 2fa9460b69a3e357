"""The wire is hashicorp/raft's: names, numbers, order of keys, and the dialect of MessagePack."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from consul_kernel.contracts.consensus import Configuration, Server, Suffrage
from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.store import LogEntry
from consul_kernel_raft.core.entry import EntryKind, decode_configuration, encode_configuration
from consul_kernel_raft.core.messages import (
    AppendEntries,
    AppendEntriesResponse,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    RequestVote,
    RequestVoteResponse,
    TimeoutNow,
)
from consul_kernel_raft.wire import (
    RequestEncoder,
    check_version,
    decode_request,
    decode_response,
    encode_error,
    encode_response,
)

ENCODER = RequestEncoder("id-a", "10.0.0.1:8300")
APPEND = AppendEntries(
    sender="id-a",
    to="id-b",
    term=3,
    prev_index=7,
    prev_term=2,
    entries=[LogEntry(8, 3, EntryKind.COMMAND, b"\x02\xff" * 200), LogEntry(9, 3, EntryKind.NOOP, b"")],
    commit_index=6,
    round=5,
    sent_ms=6,
)


def unpack(frame: bytes) -> tuple[int, dict[bytes, Any]]:
    return frame[0], msgpack.unpackb(frame[1:], raw=True)


def decode(frame: bytes) -> object:
    kind, fields = unpack(frame)
    return decode_request(kind, fields, to="id-b", token=1, find_id=lambda address: f"found {address}")


def test_append_entries() -> None:
    kind, fields = unpack(ENCODER.encode(APPEND))
    assert kind == 0
    assert list(fields) == sorted(fields)
    assert {key: value for key, value in fields.items() if key != b"Entries"} == {
        b"Addr": b"10.0.0.1:8300",
        b"ID": b"id-a",
        b"Leader": b"10.0.0.1:8300",
        b"LeaderCommitIndex": 6,
        b"PrevLogEntry": 7,
        b"PrevLogTerm": 2,
        b"ProtocolVersion": 3,
        b"Term": 3,
    }
    assert fields[b"Entries"][0] == {
        b"AppendedAt": bytes.fromhex("010000000000000000000000 00ffff"),
        b"Data": b"\x02\xff" * 200,
        b"Extensions": None,
        b"Index": 8,
        b"Term": 3,
        b"Type": 0,
    }
    decoded = decode(ENCODER.encode(APPEND))
    assert isinstance(decoded, AppendEntries)
    assert decoded.entries == APPEND.entries
    assert (decoded.sender, decoded.prev_index, decoded.prev_term, decoded.commit_index) == ("id-a", 7, 2, 6)


def test_no_byte_of_the_new_raw_family() -> None:
    """Old decoders know neither str8 (d9) nor bin (c4 to c6): lengths from 32 on are raw16."""
    entry = LogEntry(1, 1, 0, b"y" * 40)
    frame = ENCODER.encode(_append_of(entry))
    assert b"\xda\x00\x28" + b"y" * 40 in frame


def _append_of(entry: LogEntry) -> AppendEntries:
    return AppendEntries(sender="a", to="b", term=1, prev_index=0, prev_term=0, entries=[entry], commit_index=0)


def test_a_heartbeat_has_nil_entries_and_an_empty_append_has_none() -> None:
    beat = ENCODER.encode(Heartbeat(sender="id-a", to="id-b", term=4, round=1, sent_ms=2))
    assert unpack(beat)[1][b"Entries"] is None
    assert isinstance(decode(beat), Heartbeat)
    empty = ENCODER.encode(
        AppendEntries(sender="id-a", to="id-b", term=4, prev_index=0, prev_term=0, entries=[], commit_index=0)
    )
    assert unpack(empty)[1][b"Entries"] == []
    assert isinstance(decode(empty), AppendEntries)


def test_votes() -> None:
    request = RequestVote(sender="id-a", to="id-b", term=4, last_index=9, last_term=3, transfer=True)
    kind, fields = unpack(ENCODER.encode(request))
    assert (kind, fields[b"Candidate"], fields[b"LeadershipTransfer"]) == (1, b"10.0.0.1:8300", True)
    pre = RequestVote(sender="id-a", to="id-b", term=4, last_index=9, last_term=3, pre=True)
    kind, fields = unpack(ENCODER.encode(pre))
    assert kind == 4
    assert b"Candidate" not in fields
    decoded = decode(ENCODER.encode(pre))
    assert isinstance(decoded, RequestVote)
    assert decoded.pre


def test_a_peer_before_ids_is_found_by_its_address() -> None:
    fields = {b"Candidate": b"10.0.0.9:8300", b"Term": 2, b"LastLogIndex": 1, b"LastLogTerm": 1}
    decoded = decode_request(1, fields, to="a", token=1, find_id=lambda address: f"found {address}")
    assert decoded.sender == "found 10.0.0.9:8300"


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        (
            APPEND,
            AppendEntriesResponse(
                sender="id-b",
                to="id-a",
                term=3,
                success=True,
                prev_index=7,
                match_index=9,
                hint_index=9,
                commit_index=6,
                round=5,
                sent_ms=6,
            ),
        ),
        (
            APPEND,
            AppendEntriesResponse(
                sender="id-b",
                to="id-a",
                term=3,
                success=False,
                prev_index=7,
                hint_index=4,
                hint_term=2,
                commit_index=6,
                round=5,
                sent_ms=6,
            ),
        ),
        (
            Heartbeat(sender="id-a", to="id-b", term=4, round=1, sent_ms=2),
            HeartbeatResponse(sender="id-b", to="id-a", term=4, success=True, round=1, sent_ms=2),
        ),
        (
            RequestVote(sender="id-a", to="id-b", term=4, last_index=9, last_term=3),
            RequestVoteResponse(sender="id-b", to="id-a", term=4, request_term=4, granted=True),
        ),
    ],
)
def test_responses_come_back_with_what_the_request_knew(request_: Any, response: Any) -> None:
    unpacker = msgpack.Unpacker(raw=True)
    unpacker.feed(encode_response(response))
    error, fields = unpacker
    assert error == b""
    assert decode_response(request_, error, fields) == response


def test_errors() -> None:
    unpacker = msgpack.Unpacker(raw=True)
    unpacker.feed(encode_error("no"))
    assert list(unpacker) == [b"no", None]
    with pytest.raises(PeerProtocolError, match="no"):
        decode_response(APPEND, b"no", None)


def test_timeout_now_of_another_implementation_has_no_fields_of_ours() -> None:
    decoded = decode_request(3, {b"ID": b"x", b"ProtocolVersion": 3}, to="a", token=1, find_id=str)
    assert decoded == TimeoutNow(sender="x", to="a", term=0)


def test_versions() -> None:
    assert check_version({b"ProtocolVersion": 3})
    assert check_version({b"ProtocolVersion": 2})
    assert not check_version({b"ProtocolVersion": 0})
    assert not check_version({b"ProtocolVersion": 4})
    assert not check_version([])


def test_configuration_as_consul_writes_it() -> None:
    servers = (Server("id", "10.0.0.1:8300"), Server("other", "10.0.0.2:8300", Suffrage.NONVOTER))
    data = encode_configuration(servers)
    assert data[:9] == b"\x81\xa7Servers"
    assert decode_configuration(data, 5) == Configuration(servers, 5)
    with pytest.raises(PeerProtocolError):
        decode_configuration(b"\x81", 5)


@pytest.mark.parametrize("kind", range(6))
@pytest.mark.parametrize(
    "fields",
    [
        None,
        [],
        {},
        {b"ID": b"\xff"},
        {b"ID": b"x", b"Term": -1},
        {b"ID": b"x", b"Term": 1, b"Entries": [7]},
        {b"ID": b"x", b"Term": 1 << 63},
        {b"ID": b"x", b"LastLogIndex": b"x", b"Configuration": b"\xc1", b"PrevLogEntry": "x", b"Term": 1.5},
    ],
)
def test_garbage_is_a_protocol_error_or_an_empty_request(kind: int, fields: Any) -> None:
    try:
        decoded = decode_request(kind, fields, to="a", token=1, find_id=str)
    except PeerProtocolError:
        return
    assert not isinstance(decoded, InstallSnapshot)
    assert decoded.sender == "x"


@pytest.mark.parametrize("kind", [-1, 256, 1 << 40, True, b"0", None])
def test_an_entry_of_a_type_that_no_log_keeps_is_refused(kind: Any) -> None:
    entry = {b"Index": 8, b"Term": 3, b"Type": kind, b"Data": b"x"}
    fields = {b"ID": b"a", b"ProtocolVersion": 3, b"Term": 3, b"PrevLogEntry": 7, b"Entries": [entry]}
    with pytest.raises(PeerProtocolError):
        decode_request(0, fields, to="b", token=1, find_id=str)


@pytest.mark.parametrize("kind", range(5))
def test_a_sender_whose_name_is_too_long_to_be_voted_for_is_refused(kind: int) -> None:
    long = b"i" * 513
    for fields in ({b"ID": long}, {b"Addr": long}, {b"Candidate": long, b"Leader": long}):
        with pytest.raises(PeerProtocolError):
            decode_request(kind, fields | {b"Configuration": b"\x80"}, to="b", token=1, find_id=str)
