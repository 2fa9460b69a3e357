"""Commands: what the log carries to the state machine. Plain values, decided in full before they are proposed.

A command is one octet for its type and the request as MessagePack. The numbers are those of Consul's log, so that
each noun to come has its place. Time and randomness are never looked up when a command is applied: whoever
proposes it has put them into the request.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import msgspec

from consul_kernel.contracts.errors import ConsulKernelError
from consul_kernel.structs.autopilot import AutopilotSetConfigRequest
from consul_kernel.structs.catalog import DeregisterRequest, RegisterRequest
from consul_kernel.structs.config_entry import ConfigEntryRequest
from consul_kernel.structs.coordinate import CoordinateBatch
from consul_kernel.structs.kv import KVSRequest
from consul_kernel.structs.prepared_query import PreparedQueryRequest
from consul_kernel.structs.query import DatacenterRequest
from consul_kernel.structs.session import SessionRequest
from consul_kernel.structs.txn import TxnRequest

from .autopilot import apply_autopilot_config
from .command_times import CommandTimes
from .config_entries import apply_config_entry
from .coordinates import update_coordinates
from .kv import apply_kvs
from .query_commands import apply_query
from .registration import deregister, register
from .restore import RestoreRequest, apply_restore
from .session_commands import apply_session
from .tombstones import reap_tombstones
from .transaction import Transaction
from .txn import apply_txn

IGNORABLE = 0x80
"""Added to a type, this says that a server which does not know the type may skip the command."""


class UnknownCommandError(ConsulKernelError):
    """The log has a command that this version does not know and must not skip: it needs a newer consul-kernel."""


class CorruptCommandError(ConsulKernelError):
    """The log has a command of a known type that cannot be decoded."""


class CommandType(IntEnum):
    """The first octet of a command. Below 64 the numbers are Consul's; gaps belong to nouns that have their own issues

    (ACL, …).
    """

    REGISTER = 0
    DEREGISTER = 1
    KVS = 2
    SESSION = 3
    TOMBSTONE = 5
    PREPARED_QUERY = 7
    TXN = 8
    AUTOPILOT = 9
    CONFIG_ENTRY = 22
    RESTORE = 64
    COORDINATES = 6 | IGNORABLE


class TombstoneRequest(DatacenterRequest, kw_only=True):
    """Forget tombstones made at or before `reap_index`."""

    op: str = "reap"
    reap_index: int = 0


class Command:
    """How commands of one type are decoded and applied."""

    __slots__ = ("apply", "decode")

    def __init__(self, request_type: type[Any], apply: Callable[[Transaction, Any], object]) -> None:
        self.decode: Callable[[memoryview], Any] = msgspec.msgpack.Decoder(request_type).decode
        self.apply = apply


def _reap(transaction: Transaction, request: TombstoneRequest) -> None:
    reap_tombstones(transaction, request.reap_index)


COMMANDS: dict[int, Command] = {
    CommandType.REGISTER: Command(RegisterRequest, register),
    CommandType.DEREGISTER: Command(DeregisterRequest, deregister),
    CommandType.KVS: Command(KVSRequest, apply_kvs),
    CommandType.SESSION: Command(SessionRequest, apply_session),
    CommandType.TOMBSTONE: Command(TombstoneRequest, _reap),
    CommandType.PREPARED_QUERY: Command(PreparedQueryRequest, apply_query),
    CommandType.TXN: Command(TxnRequest, apply_txn),
    CommandType.AUTOPILOT: Command(AutopilotSetConfigRequest, apply_autopilot_config),
    CommandType.CONFIG_ENTRY: Command(ConfigEntryRequest, apply_config_entry),
    CommandType.RESTORE: Command(RestoreRequest, apply_restore),
    CommandType.COORDINATES: Command(CoordinateBatch, update_coordinates),
}

COMMANDS_SINCE: dict[int, int] = {
    **dict.fromkeys((CommandType.SESSION, CommandType.TXN, CommandType.AUTOPILOT, CommandType.RESTORE), 2),
    **dict.fromkeys((CommandType.PREPARED_QUERY, CommandType.CONFIG_ENTRY), 3),
}
"""The generation of servers (`tags.GENERATION`) that first knew a command, where that is not the first: to one of an
older generation, such a command in its log is the end."""

_encoder = msgspec.msgpack.Encoder()


def encode_command(kind: CommandType, request: DatacenterRequest) -> bytes:
    """The bytes to propose. The caller's token is not for the log: it was checked, and is a secret."""
    if request.token:
        request = msgspec.structs.replace(request, token="")
    buffer = bytearray((kind,))
    _encoder.encode_into(request, buffer, 1)
    return bytes(buffer)


def apply_command(transaction: Transaction, command: bytes, times: CommandTimes | None = None) -> object:
    """Apply one command; its result. RequestError when it is refused (nothing may stay written then)."""
    kind = command[0] if command else -1
    known = COMMANDS.get(kind)
    if known is None:
        if kind & IGNORABLE and kind >= 0:
            return None
        raise UnknownCommandError(
            f"the log's entry {transaction.index} has command type {kind}: it was written by a newer version"
        )
    try:
        request = known.decode(memoryview(command)[1:])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptCommandError(f"the log's entry {transaction.index} (type {kind}): {error}") from error
    if times is None:
        return known.apply(transaction, request)
    begun_s = time.perf_counter()
    try:
        return known.apply(transaction, request)
    finally:
        times.applied(kind, request, (time.perf_counter() - begun_s) * 1000)
