"""The messages as Consul's servers write them: a type byte and a MessagePack map; then an error text and a map.

Field names and numbers are hashicorp/raft's. Fields of our own (HintTerm and Match, Term in TimeoutNow, Offset and
SnapshotID in InstallSnapshot) are ignored by others and optional when reading; a request of our own, SnapshotArrived,
is answered by a closed connection where it is not known. The dialect knows one family for text and bytes, hence
`use_bin_type=False`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import msgpack

from consul_kernel.contracts.consensus import Configuration
from consul_kernel.contracts.errors import PeerProtocolError
from consul_kernel.contracts.store import LogEntry

from .core.entry import decode_configuration, encode_configuration
from .core.messages import (
    AppendEntries,
    AppendEntriesResponse,
    Heartbeat,
    HeartbeatResponse,
    InstallSnapshot,
    InstallSnapshotResponse,
    Request,
    RequestVote,
    RequestVoteResponse,
    Response,
    SnapshotPoint,
    TimeoutNow,
)
from .fields import Fields, FindId, entry_kind, raw_bytes, read_number, read_sender, whole_number

PROTOCOL_VERSION = 3
UNSUPPORTED_VERSION = "operation not supported with current protocol version"
MESSAGE_BYTES_MAX = 64 * 1024 * 1024
"""A larger message (without the bytes of a snapshot) closes the connection."""
_ZERO_TIME = bytes((1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF))
"""AppendedAt: Go's zero time, binary form."""


class RpcType(IntEnum):
    """The first byte of a request."""

    APPEND_ENTRIES = 0
    REQUEST_VOTE = 1
    INSTALL_SNAPSHOT = 2
    TIMEOUT_NOW = 3
    REQUEST_PRE_VOTE = 4
    SNAPSHOT_ARRIVED = 64
    """Ours: how much of which snapshot did you get from me?"""


RPC_TYPES = frozenset(RpcType)


def new_unpacker() -> msgpack.Unpacker:
    """A decoder for one connection, with bounded memory."""
    return msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=MESSAGE_BYTES_MAX)


def pack(value: object) -> bytes:
    """Encode in the old dialect."""
    packed: bytes = msgpack.packb(value, use_bin_type=False)
    return packed


# --- requests ---


class RequestEncoder:
    """Encodes requests of one server. Entries that go to several followers are encoded once."""

    _CACHED_BATCHES = 8

    def __init__(self, server_id: str, address: str) -> None:
        self._sender = {"Addr": address, "ID": server_id, "ProtocolVersion": PROTOCOL_VERSION}
        self._address = address
        self._id = server_id
        self._batches: dict[tuple[int, int, int], bytes] = {}

    def encode(self, request: Request) -> bytes:
        """One request, type byte included; for InstallSnapshot use `install_snapshot`."""
        match request:
            case AppendEntries():
                return self._append(request)
            case Heartbeat():
                return b"\x00" + self._map(
                    Entries=None,
                    Leader=self._address,
                    LeaderCommitIndex=0,
                    PrevLogEntry=0,
                    PrevLogTerm=0,
                    Term=request.term,
                )
            case RequestVote():
                return self._vote(request)
            case TimeoutNow():
                return b"\x03" + self._map(Term=request.term)
            case InstallSnapshot():
                raise TypeError("a snapshot is sent by its own task")

    def install_snapshot(self, term: int, point: SnapshotPoint, size: int, offset: int = 0) -> bytes:
        """The header before the bytes of state from `offset` to `size`."""
        return b"\x02" + self._map(
            Configuration=encode_configuration(point.configuration.servers),
            ConfigurationIndex=point.configuration.index,
            LastLogIndex=point.index,
            LastLogTerm=point.term,
            Leader=self._address,
            Offset=offset,
            Peers=None,
            Size=size,
            SnapshotID=point.id,
            SnapshotVersion=1,
            Term=term,
        )

    def snapshot_arrived(self, term: int) -> bytes:
        """The question how much of a snapshot has arrived."""
        return bytes((RpcType.SNAPSHOT_ARRIVED,)) + self._map(Leader=self._address, Term=term)

    def _map(self, **fields: object) -> bytes:
        return pack(dict(sorted((self._sender | fields).items())))

    def _vote(self, request: RequestVote) -> bytes:
        asked = {"LastLogIndex": request.last_index, "LastLogTerm": request.last_term, "Term": request.term}
        if request.pre:
            return b"\x04" + self._map(**asked)
        return b"\x01" + self._map(**asked, Candidate=self._address, LeadershipTransfer=request.transfer)

    def _append(self, request: AppendEntries) -> bytes:
        return b"".join(
            (
                b"\x00\x89",  # type byte, map of 9, keys in byte order
                b"\xa4Addr",
                pack(self._address),
                b"\xa7Entries",
                self._entries(request.entries),
                b"\xa2ID",
                pack(self._id),
                b"\xa6Leader",
                pack(self._address),
                b"\xb1LeaderCommitIndex",
                pack(request.commit_index),
                b"\xacPrevLogEntry",
                pack(request.prev_index),
                b"\xabPrevLogTerm",
                pack(request.prev_term),
                b"\xafProtocolVersion\x03",
                b"\xa4Term",
                pack(request.term),
            )
        )

    def _entries(self, entries: Sequence[LogEntry]) -> bytes:
        if not entries:
            return b"\x90"
        # Index and term of the last entry determine all before it (log matching property).
        key = (entries[0].index, entries[-1].index, entries[-1].term)
        encoded = self._batches.get(key)
        if encoded is None:
            encoded = pack(
                [
                    {
                        "AppendedAt": _ZERO_TIME,
                        "Data": entry.data,
                        "Extensions": None,
                        "Index": entry.index,
                        "Term": entry.term,
                        "Type": entry.kind,
                    }
                    for entry in entries
                ]
            )
            if len(self._batches) >= self._CACHED_BATCHES:
                del self._batches[next(iter(self._batches))]
            self._batches[key] = encoded
        return encoded


def decode_request(kind: int, fields: Any, *, to: str, token: int, find_id: FindId) -> Request:
    """Read a request's map. Raises PeerProtocolError for what is no request."""
    if not isinstance(fields, dict):
        raise PeerProtocolError("a request is not a map")
    if kind == RpcType.APPEND_ENTRIES:
        sender = read_sender(fields, b"Leader", find_id)
        term = read_number(fields, b"Term")
        if fields.get(b"Entries") is None and not read_number(fields, b"PrevLogEntry"):
            return Heartbeat(sender=sender, to=to, term=term, round=0, sent_ms=0, token=token)
        return AppendEntries(
            sender=sender,
            to=to,
            term=term,
            prev_index=read_number(fields, b"PrevLogEntry"),
            prev_term=read_number(fields, b"PrevLogTerm"),
            entries=_read_entries(fields.get(b"Entries")),
            commit_index=read_number(fields, b"LeaderCommitIndex"),
            token=token,
        )
    if kind in (RpcType.REQUEST_VOTE, RpcType.REQUEST_PRE_VOTE):
        return RequestVote(
            sender=read_sender(fields, b"Candidate", find_id),
            to=to,
            term=read_number(fields, b"Term"),
            last_index=read_number(fields, b"LastLogIndex"),
            last_term=read_number(fields, b"LastLogTerm"),
            pre=kind == RpcType.REQUEST_PRE_VOTE,
            transfer=bool(fields.get(b"LeadershipTransfer")),
            token=token,
        )
    if kind == RpcType.TIMEOUT_NOW:
        return TimeoutNow(sender=read_sender(fields, b"Leader", find_id), to=to, term=read_number(fields, b"Term"))
    if kind == RpcType.INSTALL_SNAPSHOT:
        return _read_install(fields, to, token, find_id)
    raise PeerProtocolError(f"unknown request type {kind}")


def _read_install(fields: Fields, to: str, token: int, find_id: FindId) -> InstallSnapshot:
    configuration = fields.get(b"Configuration")
    if not isinstance(configuration, bytes):
        raise PeerProtocolError("a snapshot without configuration")
    index = read_number(fields, b"LastLogIndex")
    point = SnapshotPoint(
        id="",
        index=index,
        term=read_number(fields, b"LastLogTerm"),
        configuration=decode_configuration(configuration, read_number(fields, b"ConfigurationIndex")),
    )
    if index == 0:
        raise PeerProtocolError("a snapshot of nothing")
    return InstallSnapshot(
        sender=read_sender(fields, b"Leader", find_id),
        to=to,
        term=read_number(fields, b"Term"),
        snapshot=point,
        token=token,
    )


def _read_entries(value: Any) -> Sequence[LogEntry]:
    if value is None:
        return ()
    try:
        return [_read_entry(item) for item in value]
    except (TypeError, KeyError) as error:
        raise PeerProtocolError(f"an entry cannot be read: {error!r}") from error


def _read_entry(item: Any) -> LogEntry:
    index, term = whole_number(item[b"Index"]), whole_number(item[b"Term"])
    return LogEntry(index, term, entry_kind(item[b"Type"]), raw_bytes(item[b"Data"]))


def check_version(fields: Any) -> bool:
    """Whether the peer speaks a version that this one can answer: its own or the one before."""
    version = fields.get(b"ProtocolVersion") if isinstance(fields, dict) else None
    return isinstance(version, int) and PROTOCOL_VERSION - 1 <= version <= PROTOCOL_VERSION


# --- responses ---


def encode_error(text: str) -> bytes:
    """An answer that is only an error."""
    return pack(text) + b"\xc0"


def encode_response(response: Response) -> bytes:
    """An empty error text and the response's map."""
    match response:
        case AppendEntriesResponse():
            fields: dict[str, object] = {
                "HintTerm": response.hint_term,
                "LastLog": response.hint_index,
                "Match": response.match_index,
                "NoRetryBackoff": not response.success,
                "ProtocolVersion": PROTOCOL_VERSION,
                "Success": response.success,
                "Term": response.term,
            }
        case HeartbeatResponse():
            fields = {
                "LastLog": 0,
                "NoRetryBackoff": False,
                "ProtocolVersion": PROTOCOL_VERSION,
                "Success": response.success,
                "Term": response.term,
            }
        case RequestVoteResponse(pre=True):
            fields = {"Granted": response.granted, "ProtocolVersion": PROTOCOL_VERSION, "Term": response.term}
        case RequestVoteResponse():
            fields = {
                "Granted": response.granted,
                "Peers": None,
                "ProtocolVersion": PROTOCOL_VERSION,
                "Term": response.term,
            }
        case InstallSnapshotResponse():
            fields = {"ProtocolVersion": PROTOCOL_VERSION, "Success": response.success, "Term": response.term}
    return b"\xa0" + pack(fields)


def encode_timeout_now_response() -> bytes:
    """TimeoutNow is acknowledged, no more."""
    return b"\xa0" + pack({"ProtocolVersion": PROTOCOL_VERSION})


def decode_response(request: Request, error: Any, fields: Any) -> Response | None:
    """What a peer answered; None where there is nothing to take in. Raises PeerProtocolError."""
    if error:
        raise PeerProtocolError(f"{request.to} refused {type(request).__name__}: {error!r}")
    if isinstance(request, TimeoutNow):
        return None
    if not isinstance(fields, dict):
        raise PeerProtocolError("an answer is not a map")
    term = read_number(fields, b"Term")
    sender, to = request.to, request.sender
    match request:
        case AppendEntries():
            success = bool(fields.get(b"Success"))
            sent_index = request.prev_index + len(request.entries)
            return AppendEntriesResponse(
                sender=sender,
                to=to,
                term=term,
                success=success,
                prev_index=request.prev_index,
                match_index=max(sent_index, read_number(fields, b"Match")) if success else 0,
                hint_index=read_number(fields, b"LastLog"),
                hint_term=read_number(fields, b"HintTerm"),
                commit_index=request.commit_index,
                round=request.round,
                sent_ms=request.sent_ms,
            )
        case Heartbeat():
            success = bool(fields.get(b"Success"))
            return HeartbeatResponse(
                sender=sender, to=to, term=term, success=success, round=request.round, sent_ms=request.sent_ms
            )
        case RequestVote():
            return RequestVoteResponse(
                sender=sender,
                to=to,
                term=term,
                request_term=request.term,
                granted=bool(fields.get(b"Granted")),
                pre=request.pre,
            )
        case InstallSnapshot():
            success = bool(fields.get(b"Success"))
            return InstallSnapshotResponse(
                sender=sender, to=to, term=term, success=success, index=request.snapshot.index
            )


def configuration_bytes(configuration: Configuration) -> bytes:
    """A configuration as SnapshotMeta keeps it."""
    return encode_configuration(configuration.servers)
